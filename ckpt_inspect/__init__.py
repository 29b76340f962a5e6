"""Effective learning rates, reconstructed from TensorFlow and Keras checkpoints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ckpt_inspect._version import __version__

if TYPE_CHECKING:
    from ckpt_inspect.analyses import Analyses
    from ckpt_inspect.analysis import Analysis
    from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
    from ckpt_inspect.comparison import diff
    from ckpt_inspect.differences import Diff
    from ckpt_inspect.errors import CkptInspectError
    from ckpt_inspect.findings import Finding, Severity, Thresholds, find_findings
    from ckpt_inspect.formats import open_checkpoint
    from ckpt_inspect.hyperparameters import Sourced
    from ckpt_inspect.optimizer_state import OptimizerState, Parameter, optimizer_states
    from ckpt_inspect.runs import analyze, load
    from ckpt_inspect.series import find_checkpoints

# Where each public name lives; imported when it is first asked for, so that importing the package costs nothing. No
# module is called as a public function is: importing it would put the module in the function's place
_HOMES = {
    "Analyses": "analyses",
    "Analysis": "analysis",
    "Checkpoint": "checkpoint",
    "CkptInspectError": "errors",
    "Diff": "differences",
    "Finding": "findings",
    "OptimizerState": "optimizer_state",
    "Parameter": "optimizer_state",
    "Problem": "checkpoint",
    "Severity": "findings",
    "Sourced": "hyperparameters",
    "TensorSpec": "checkpoint",
    "Thresholds": "findings",
    "analyze": "runs",
    "diff": "comparison",
    "find_checkpoints": "series",
    "find_findings": "findings",
    "load": "runs",
    "open_checkpoint": "formats",
    "optimizer_states": "optimizer_state",
}

__all__ = [
    "Analyses",
    "Analysis",
    "Checkpoint",
    "CkptInspectError",
    "Diff",
    "Finding",
    "OptimizerState",
    "Parameter",
    "Problem",
    "Severity",
    "Sourced",
    "TensorSpec",
    "Thresholds",
    "__version__",
    "analyze",
    "diff",
    "find_checkpoints",
    "find_findings",
    "load",
    "open_checkpoint",
    "optimizer_states",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
