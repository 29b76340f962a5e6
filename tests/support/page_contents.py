"""What a page is made of, made up: runs of any size, with findings of every severity and names of any kind."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pandas as pd
from support.frames_for_plots import make_frames

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.findings.checks import KINDS
from ckpt_inspect.findings.finding import Evidence, Finding, Kind, Severity
from ckpt_inspect.presentation.page import Contents, MissingFigure, PageFigure, PageRun, Picture

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A picture of one pixel, as PNG."""


def kind(name: str) -> Kind:
    """The kind of finding of that id."""
    return next(each for each in KINDS if each.id == name)


def make_finding(name: str, parameters: Sequence[str], *, optimizer: str = "adam", severity: str = "") -> Finding:
    """A finding of that kind about these parameters, with evidence for each of its metrics."""
    of = kind(name)
    evidence = tuple(Evidence(p, "ckpt-2", 200, dict.fromkeys(of.metrics, 0.25)) for p in parameters)
    return Finding(
        of, Severity[severity.upper()] if severity else of.severity, f"{of.title} in {len(parameters)} tensors",
        optimizer, tuple(parameters), ("ckpt-2",), (200,), evidence, (), of.action,
    )  # fmt: skip


def make_run(
    name: str = "digits", frame: pd.DataFrame | None = None, findings: Sequence[Finding] = (), *, problems: int = 0
) -> PageRun:
    """A run of that frame (default: four parameters in three checkpoints)."""
    frame = make_frames(4, 3)["parameters"] if frame is None else frame
    checkpoints = frame.drop_duplicates("checkpoint_index")["checkpoint"].tolist()
    table = pd.DataFrame({"checkpoint": checkpoints, "format": "keras-archive", "layout": "keras-3", "size_bytes": 10})
    rows = [
        {
            "checkpoint": f"ckpt-{i}", "optimizer": "adam", "code": "odd", "severity": "warning",
            "message": "something was odd", "resolution": "it was passed over",
        }
        for i in range(problems)
    ]  # fmt: skip
    columns = ["checkpoint", "optimizer", "code", "severity", "message", "resolution"]
    return PageRun(name, frame, table, pd.DataFrame(rows, columns=columns), tuple(findings))


def make_figure(optimizer: str = "adam", metrics: Sequence[str] = ("effective_lr",), file: str = "1.png") -> PageFigure:
    """A figure of one pixel."""
    question = f"What does {metrics[0]} look like?"
    return PageFigure(optimizer, question, "How to read it.", "run digits", file, tuple(metrics), Picture(PIXEL, 1, 1))


def make_contents(*runs: PageRun, problems: Sequence[Problem] = ()) -> Contents:
    """A page's contents, with a figure for some metrics."""
    metrics = (("effective_lr",), ("untouched", "epsilon_dominated"))
    figures = [make_figure(metrics=each, file=f"adam-{i}.png") for i, each in enumerate(metrics)]
    missing = [MissingFigure("adam", "What do single weights see?", "there is one checkpoint")]
    return Contents(runs or (make_run(),), figures, missing, problems, "0.0")
