"""Effective learning rates, reconstructed from TensorFlow and Keras checkpoints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ckpt_inspect._version import __version__

if TYPE_CHECKING:
    from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
    from ckpt_inspect.comparison.diff import diff
    from ckpt_inspect.comparison.differences import Diff
    from ckpt_inspect.errors import CkptInspectError
    from ckpt_inspect.findings import Finding, Severity, Thresholds, find_findings
    from ckpt_inspect.runs.analyses import Analyses
    from ckpt_inspect.runs.analysis import Analysis
    from ckpt_inspect.runs.analyze import analyze, load
    from ckpt_inspect.series.newest import open_checkpoint
    from ckpt_inspect.series.search import find_checkpoints
    from ckpt_inspect.sourced import Sourced
    from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter, optimizer_states

# Where each public name lives; imported when it is first asked for, so that importing the package costs nothing. No
# module is called as a public function is: importing it would put the module in the function's place
_HOMES = {
    "Analyses": "runs.analyses",
    "Analysis": "runs.analysis",
    "Checkpoint": "checkpoint",
    "CkptInspectError": "errors",
    "Diff": "comparison.differences",
    "Finding": "findings",
    "OptimizerState": "state.optimizer_state",
    "Parameter": "state.optimizer_state",
    "Problem": "checkpoint",
    "Severity": "findings",
    "Sourced": "sourced",
    "TensorSpec": "checkpoint",
    "Thresholds": "findings",
    "analyze": "runs.analyze",
    "diff": "comparison.diff",
    "find_checkpoints": "series.search",
    "find_findings": "findings",
    "load": "runs.analyze",
    "open_checkpoint": "series.newest",
    "optimizer_states": "state.optimizer_state",
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
