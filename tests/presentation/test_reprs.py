"""What an interactive session prints of a result: at most a screen, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.keras_files import Run as Training

import ckpt_inspect
from ckpt_inspect.comparison.differences import Differences, ParameterDiff
from ckpt_inspect.findings.checks import KINDS
from ckpt_inspect.findings.finding import Evidence, Finding
from ckpt_inspect.measurement.columns import Columns, OptimizerColumns, Remark
from ckpt_inspect.overview.overview import ShownParameter
from ckpt_inspect.presentation.export import Exported
from ckpt_inspect.presentation.report import Omission, Report, ReportFigure
from ckpt_inspect.presentation.results import Analyses, Diff, RunResult

DIGITS = Path(__file__).parent.parent.parent / "fixtures" / "digits"
MOST_LINES, MOST_LETTERS = 20, 2000
MANY_CHECKPOINTS, MANY_PARAMETERS = 1000, 400
FEW = {"checkpoint": 10, "parameter": 6}


def named(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"encoder/layer_{i}/attention/{prefix}" for i in range(count))


def grown(columns: Columns) -> dict[str, np.ndarray]:
    """The columns of the run of ten checkpoints by six parameters, of a thousand by four hundred."""
    result = {}
    for name, column in columns.items():
        shape = list(column.shape)
        if name in ("bin_edges", "parameter", "shape", "dtype", "size", "sample_index"):
            by_checkpoint = False
        else:
            by_checkpoint = shape[0] == FEW["checkpoint"]
        if by_checkpoint:
            column = np.repeat(column, MANY_CHECKPOINTS // FEW["checkpoint"], axis=0)
        axis = 1 if by_checkpoint else 0
        if name != "bin_edges" and column.ndim > axis and column.shape[axis] == FEW["parameter"]:
            column = np.take(column, np.arange(MANY_PARAMETERS) % FEW["parameter"], axis=axis)
        result[name] = column
    if "parameter" in result:
        result["parameter"] = np.array(named("kernel", MANY_PARAMETERS), object)
    else:
        result["checkpoint"] = np.array([f"ckpt-{i}" for i in range(MANY_CHECKPOINTS)], object)
    return result


@cache
def small() -> Analyses:
    return ckpt_inspect.analyze(DIGITS)


@cache
def large() -> Analyses:
    """1,000 checkpoints of 12 optimizers, each of 400 parameters."""
    run = small()
    (only,) = run.optimizers.values()
    variables = grown(only.variables)
    remarks = tuple(Remark(f"ckpt-{i}", "", p) for i in range(MANY_CHECKPOINTS) for p in run.problems)
    optimizers = {f"optimizer_{i}": OptimizerColumns(f"optimizer_{i}", variables) for i in range(12)}
    return replace(run, checkpoints=grown(run.checkpoints), optimizers=optimizers, remarks=remarks)


@cache
def ends() -> Diff:
    return ckpt_inspect.diff(DIGITS / "epoch-01.keras", DIGITS / "epoch-10.keras")


def results() -> Iterator[tuple[str, object]]:
    """Every kind of public result: of a small fixture, and of a run that fills many screens."""
    checkpoint = ckpt_inspect.open_checkpoint(DIGITS / "epoch-10.keras")
    (state,) = ckpt_inspect.optimizer_states(checkpoint)
    parameter = state.parameters["hidden/kernel"]
    overview = ckpt_inspect.describe(DIGITS)
    run = ckpt_inspect.Run("digits", DIGITS, ckpt_inspect.find_checkpoints(DIGITS))
    finding = Finding(KINDS[0], KINDS[0].severity, "NaN in 400 of 400 tensors: a, b, c and 397 more", "adam")
    evidence = tuple(Evidence(name, "ckpt-1", 1, {"nonfinite": 1.0}) for name in named("kernel", 12))
    many_files = tuple(Path("report") / f"optimizer-{i}-effective-lr.png" for i in range(MANY_PARAMETERS))
    figures = tuple(ReportFigure("effective-lr", "adam", "?", "How" * 100, "of", file) for file in many_files)
    omitted = tuple(Omission("elements", f"optimizer_{i}", "none") for i in range(50))
    row = ParameterDiff("adam", "dense/kernel", "changed", (3,), (3,), "float32", "float32")
    rows = tuple(replace(row, parameter=name) for name in named("kernel", MANY_PARAMETERS))
    yield from (
        ("Checkpoint", checkpoint),
        ("OptimizerState", state),
        ("OptimizerState, large", replace(state, parameters=dict.fromkeys(named("kernel", 400), parameter))),
        ("OptimizerState, several", (state, state)),
        ("Parameter", parameter),
        ("Overview", overview),
        (
            "Overview, large",
            replace(
                overview,
                parameters=tuple(ShownParameter("adam", n, (3, 4), "float32", ()) for n in named("kernel", 400)),
                files=tuple(str(path) for path in many_files),
            ),
        ),
        ("Run", run),
        ("Run, large", replace(run, checkpoints=run.checkpoints * 100)),
        ("RunResult", RunResult(run, Path("digits.ckpt-inspect.h5"), small())),
        ("RunResult, large", RunResult(run, None, large())),
        ("RunResult, failed", RunResult(run, None, None, ckpt_inspect.CkptInspectError("no checkpoint"))),
        ("Diff", ends()),
        ("Diff, large", Diff("a", "b", (), rows)),
        ("Diff, empty", Diff.of(Differences("a", "b", (), ()))),
        ("Finding", replace(finding, parameters=named("kernel", 400), evidence=evidence)),
        ("Kind", KINDS[0]),
        ("Thresholds", ckpt_inspect.Thresholds()),
        ("Explanation", ckpt_inspect.explain("effective_lr")[0]),
        ("Report", Report(Path("report"), figures[:6], (), Path("report/index.html"))),
        ("Report, large", Report(Path("report"), figures, omitted, Path("report/index.html"))),
        ("Exported", Exported(many_files[:1])),
        ("Exported, large", Exported(many_files)),
        ("TensorSpec", checkpoint.tensors["optimizer/vars/0"]),
        ("Sourced", state.step),
        ("OptimizerColumns", small().optimizers["optimizer"]),
    )


def is_a_screen(text: str) -> bool:
    return len(text.splitlines()) <= MOST_LINES and len(text) <= MOST_LETTERS


def test_a_result_prints_a_screen_at_most() -> None:
    """Whatever is in it; and it says what it is."""
    texts = {name: repr(result) for name, result in results()}
    assert [name for name, text in texts.items() if not is_a_screen(text)] == []
    assert [name for name, text in texts.items() if name.partition(",")[0].split()[0] not in text] == []


@pytest.mark.parametrize("run", [small, large])
def test_a_run_prints_a_screen_at_most(run: object) -> None:
    """A run of any length and of many optimizers."""
    text = repr(run())  # type: ignore[operator]
    assert is_a_screen(text)
    assert "Methods: " in text


def test_names_out_of_files_control_no_terminal(tmp_path: Path) -> None:
    """What a session prints is printable, whatever the parameters and folders are called."""
    name = "line\u2028\x1b[31m/kernel"
    state = Training(shapes={name: (3, 2)})
    first, second = state.train(5).save(tmp_path / "a.h5"), state.train(5).save(tmp_path / "b.h5")
    states = ckpt_inspect.optimizer_states(first)
    (parameter,) = states[0].parameters.values()
    found = (ckpt_inspect.analyze(tmp_path), ckpt_inspect.diff(first, second), states, parameter)
    assert all(line.isprintable() for result in found for line in repr(result).split("\n"))
