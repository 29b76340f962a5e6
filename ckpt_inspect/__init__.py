"""Effective learning rates, reconstructed from TensorFlow and Keras checkpoints."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ckpt_inspect._version import __version__

if TYPE_CHECKING:
    from ckpt_inspect.api import analyze as analyze
    from ckpt_inspect.api import analyze_runs as analyze_runs
    from ckpt_inspect.api import check as check
    from ckpt_inspect.api import describe as describe
    from ckpt_inspect.api import diff as diff
    from ckpt_inspect.api import draw_diff as draw_diff
    from ckpt_inspect.api import explain as explain
    from ckpt_inspect.api import export as export
    from ckpt_inspect.api import find_checkpoints as find_checkpoints
    from ckpt_inspect.api import find_runs as find_runs
    from ckpt_inspect.api import follow as follow
    from ckpt_inspect.api import load as load
    from ckpt_inspect.api import open_checkpoint as open_checkpoint
    from ckpt_inspect.api import optimizer_states as optimizer_states
    from ckpt_inspect.api import write_report as write_report
    from ckpt_inspect.checkpoint import Checkpoint as Checkpoint
    from ckpt_inspect.checkpoint import Problem as Problem
    from ckpt_inspect.checkpoint import TensorSpec as TensorSpec
    from ckpt_inspect.errors import CkptInspectError as CkptInspectError
    from ckpt_inspect.findings.checks import find_findings as find_findings
    from ckpt_inspect.findings.finding import Finding as Finding
    from ckpt_inspect.findings.finding import Severity as Severity
    from ckpt_inspect.findings.thresholds import Thresholds as Thresholds
    from ckpt_inspect.overview.overview import Overview as Overview
    from ckpt_inspect.presentation.progress import progress_line as progress_line
    from ckpt_inspect.presentation.results import Analyses as Analyses
    from ckpt_inspect.presentation.results import Diff as Diff
    from ckpt_inspect.presentation.results import Followed as Followed
    from ckpt_inspect.presentation.results import RunResult as RunResult
    from ckpt_inspect.series.run import Run as Run
    from ckpt_inspect.soundness.verdicts import CheckedRun as CheckedRun
    from ckpt_inspect.soundness.verdicts import Reason as Reason
    from ckpt_inspect.soundness.verdicts import Soundness as Soundness
    from ckpt_inspect.soundness.verdicts import Verdict as Verdict
    from ckpt_inspect.sourced import Sourced as Sourced
    from ckpt_inspect.state.optimizer_state import OptimizerState as OptimizerState
    from ckpt_inspect.state.optimizer_state import Parameter as Parameter

# Where each public name lives; imported when it is first asked for, so that importing the package costs nothing. No
# room is called as a public function is: importing it would put the module in the function's place
_HOMES = {
    "Analyses": "presentation.results",
    "CheckedRun": "soundness.verdicts",
    "Checkpoint": "checkpoint",
    "CkptInspectError": "errors",
    "Diff": "presentation.results",
    "Finding": "findings.finding",
    "Followed": "presentation.results",
    "OptimizerState": "state.optimizer_state",
    "Overview": "overview.overview",
    "Parameter": "state.optimizer_state",
    "Problem": "checkpoint",
    "Reason": "soundness.verdicts",
    "Run": "series.run",
    "RunResult": "presentation.results",
    "Severity": "findings.finding",
    "Soundness": "soundness.verdicts",
    "Sourced": "sourced",
    "TensorSpec": "checkpoint",
    "Thresholds": "findings.thresholds",
    "Verdict": "soundness.verdicts",
    "analyze": "api",
    "analyze_runs": "api",
    "check": "api",
    "describe": "api",
    "diff": "api",
    "draw_diff": "api",
    "explain": "api",
    "export": "api",
    "find_checkpoints": "api",
    "find_findings": "findings.checks",
    "find_runs": "api",
    "follow": "api",
    "load": "api",
    "open_checkpoint": "api",
    "optimizer_states": "api",
    "progress_line": "presentation.progress",
    "write_report": "api",
}

__all__ = [
    "Analyses",
    "CheckedRun",
    "Checkpoint",
    "CkptInspectError",
    "Diff",
    "Finding",
    "Followed",
    "OptimizerState",
    "Overview",
    "Parameter",
    "Problem",
    "Reason",
    "Run",
    "RunResult",
    "Severity",
    "Soundness",
    "Sourced",
    "TensorSpec",
    "Thresholds",
    "Verdict",
    "__version__",
    "analyze",
    "analyze_runs",
    "check",
    "describe",
    "diff",
    "draw_diff",
    "explain",
    "export",
    "find_checkpoints",
    "find_findings",
    "find_runs",
    "follow",
    "load",
    "open_checkpoint",
    "optimizer_states",
    "progress_line",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
