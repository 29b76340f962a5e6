"""The public functions as a whole: what is public, what a type checker sees, and what wrong arguments say."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import ckpt_inspect as ci
from ckpt_inspect.errors import NotFoundError, RequestError

DIGITS = Path(__file__).parent.parent / "fixtures" / "digits"
FIRST, LAST = DIGITS / "epoch-01.keras", DIGITS / "epoch-10.keras"


@cache
def run() -> ci.Analyses:
    return ci.analyze([FIRST, LAST])


@cache
def change() -> ci.Diff:
    return ci.diff(FIRST, LAST)


def analyzed(**options: object) -> object:
    return ci.analyze(FIRST, **options)  # type: ignore[arg-type]  # what is wrong on purpose


WRONG: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: ci.open_checkpoint(3), "path must be a path (text or pathlib.Path), not 3 (int)"),
    (lambda: ci.open_checkpoint(b"a"), "path must be a path (text or pathlib.Path), not b'a' (bytes)"),
    (lambda: ci.open_checkpoint(None), "path must be a path"),
    (lambda: ci.open_checkpoint(""), "path is empty: name a path"),
    (lambda: ci.optimizer_states(3), "checkpoint must be a path"),
    (lambda: ci.optimizer_states(FIRST, given=3), "given must be a mapping of names to values, not 3 (int)"),
    (lambda: ci.optimizer_states(FIRST, given={1: 0.5}), "a name in given must be text, not 1 (int)"),
    (lambda: ci.optimizer_states(FIRST, given={"beta_1": len}), "given['beta_1'] must be a number or text, not <built"),
    (lambda: ci.optimizer_states(FIRST, given={"beta_1": None}), "given['beta_1'] must be a number or text, not None"),
    (
        lambda: ci.optimizer_states(FIRST, given={"beta_1": [0.9]}),
        "given['beta_1'] must be a number or text, not [",
    ),
    (lambda: ci.optimizer_states(FIRST, given={"beta_1": "x"}), "beta_1 must be a number, not 'x'"),
    (lambda: ci.optimizer_states(FIRST, given={"beta_1": True}), "given['beta_1'] must be a number or text, not True"),
    (lambda: ci.optimizer_states(FIRST, given={"gamma": 1}), "'gamma' can't be given"),
    (lambda: ci.optimizer_states(FIRST, given={"lr": 0.1}), "; did you mean learning_rate?"),
    (lambda: ci.optimizer_states(FIRST, given={"betas": 0.1}), "; did you mean beta_1?"),
    (lambda: ci.optimizer_states(FIRST, given={"learning_rate": "r.csv"}), "a function of the step, not 'r.csv' (str)"),
    (lambda: ci.optimizer_states(FIRST, given={"learning_rate": lambda s: 1 // 0}), "failed at step 22: ZeroDivision"),
    (
        lambda: ci.optimizer_states(FIRST, given={"learning_rate": lambda s: None}),
        "returns for step 22 must be a number",
    ),
    (lambda: ci.optimizer_states(FIRST, given={"step": 3.5}), "step must be a whole number from 0 on, not 3.5"),
    (lambda: ci.optimizer_states(FIRST, given={"rule": 5}), "there is no rule 5"),
    (lambda: ci.optimizer_states(FIRST, given={"epsilon_placement": 5}), "epsilon_placement must be one of"),
    (lambda: ci.optimizer_states(FIRST, optimizer=3), "optimizer must be text, not 3 (int)"),
    (lambda: ci.describe([FIRST]), "checkpoint must be a path"),
    (lambda: ci.describe(FIRST, include=3), "include must be text or several, not 3 (int)"),
    (lambda: ci.describe(FIRST, exclude=[3]), "exclude must be text, not 3 (int)"),
    (lambda: ci.describe(FIRST, given=[1]), "given must be a mapping"),
    (lambda: ci.find_checkpoints(None), "folder_or_glob must be a path"),
    (lambda: ci.find_runs(3), "paths must be a path or several, not 3 (int)"),
    (lambda: ci.find_runs([3]), "paths must be a path (text or pathlib.Path), not 3 (int)"),
    (lambda: ci.check(3), "paths must be a path or several"),
    (lambda: ci.check(FIRST, reader=3), "reader must be text, not 3 (int)"),
    (lambda: ci.check(FIRST, reader="torch"), "there is no reader 'torch'"),
    (lambda: ci.check(FIRST, progress=3), "progress must be a function of what is done"),
    (lambda: ci.check(FIRST, given={"beta_2": len}), "given['beta_2'] must be a number or text"),
    (lambda: ci.diff(3, LAST), "a must be a path"),
    (lambda: ci.diff(FIRST, None), "b must be a path"),
    (lambda: ci.diff(FIRST, LAST, progress=3), "progress must be a function of what is done"),
    (lambda: ci.diff(FIRST, LAST, given={"beta_2": len}), "given['beta_2'] must be a number or text"),
    (lambda: ci.analyze(3), "paths must be a path or several"),
    (lambda: ci.analyze([3]), "paths must be a path (text"),
    (lambda: analyzed(store=3), "store must be a path"),
    (lambda: analyzed(given={"beta_1": len}), "given['beta_1'] must be a number or text"),
    (lambda: analyzed(include=3), "include must be text or several"),
    (lambda: analyzed(exclude=b"x"), "exclude must be text or several"),
    (lambda: analyzed(elements="yes"), "elements must be True or False, not 'yes' (str)"),
    (lambda: analyzed(elements=True), "kept in a store: name one"),
    (lambda: analyzed(threads="2"), "threads must be a whole number from 1 on, not '2' (str)"),
    (lambda: analyzed(threads=0), "threads must be a whole number from 1 on, not 0 (int)"),
    (lambda: analyzed(threads=True), "threads must be a whole number from 1 on"),
    (lambda: analyzed(threads=1.5), "threads must be a whole number from 1 on"),
    (lambda: analyzed(progress="x"), "progress must be a function"),
    (lambda: analyzed(thresholds=3), "thresholds must be a mapping"),
    (lambda: analyzed(thresholds={3: 1}), "a name in thresholds must be text, not 3 (int)"),
    (lambda: analyzed(thresholds={"starvd": 1}), "there is no threshold 'starvd': did you mean starved"),
    (lambda: analyzed(thresholds={"starved": "x"}), "the threshold starved must be a number from 0 on, not 'x'"),
    (lambda: analyzed(thresholds={"starved": len}), "the threshold starved must be a number from 0 on"),
    (lambda: ci.analyze_runs(3), "paths must be a path or several"),
    (lambda: ci.analyze_runs(FIRST, store=3), "store must be a path"),
    (lambda: ci.analyze_runs(FIRST, folder=3), "folder must be a path"),
    (lambda: ci.analyze_runs(FIRST, given={"beta_1": len}), "given['beta_1'] must be a number or text"),
    (lambda: ci.analyze_runs(FIRST, include=3), "include must be text or several"),
    (lambda: ci.analyze_runs(FIRST, thresholds={"x": 1}), "there is no threshold 'x'"),
    (lambda: ci.analyze_runs(FIRST, threads="2"), "threads must be a whole number"),
    (lambda: ci.analyze_runs(FIRST, elements=1), "elements must be True or False"),
    (lambda: ci.analyze_runs(FIRST, progress=3), "progress must be a function"),
    (lambda: ci.load(3), "store must be a path"),
    (lambda: ci.load(""), "store is empty: name a path"),
    (lambda: ci.draw_diff("a.png", "b.png"), "diff must be what diff() returned, not 'a.png' (str)"),
    (lambda: ci.draw_diff(change(), 3), "path must be a path"),
    (lambda: ci.draw_diff(change(), "diff.bmp"), "'diff.bmp' must end in .png, .svg or .pdf"),
    (lambda: ci.draw_diff(change(), "diff.png", given=3), "given must be a mapping"),
    (lambda: ci.write_report(3), "runs must be runs or stores, not 3 (int)"),
    (lambda: ci.write_report([3]), "runs must be a path"),
    (lambda: ci.write_report([]), "no run was given"),
    (lambda: ci.write_report(run(), 3), "folder must be a path"),
    (lambda: ci.write_report(run(), learning_rate="x"), "learning_rate must be a number, not 'x' (str)"),
    (lambda: ci.write_report(run(), learning_rate=True), "learning_rate must be a number, not True (bool)"),
    (lambda: ci.write_report(run(), learning_rate=float("nan")), "learning_rate must be a number, not nan (float)"),
    (lambda: ci.write_report(run(), learning_rate=-1), "a learning rate of -1.0 makes no update"),
    (lambda: ci.write_report(run(), names=3), "names must be text or several"),
    (lambda: ci.write_report(run(), names=["a", "b"]), "1 runs can't be called by 2 names"),
    (lambda: ci.write_report(run(), file_format=3), "file_format must be text, not 3 (int)"),
    (lambda: ci.write_report(run(), file_format="bmp"), "figures can't be written as 'bmp'"),
    (lambda: ci.write_report(run(), include=[3]), "include must be text"),
    (lambda: ci.write_report(run(), progress=3), "progress must be a function"),
    (lambda: ci.export(3, "csv"), "runs must be runs or stores"),
    (lambda: ci.export(run(), ["csv"]), "target must be text, not ['csv'] (list)"),
    (lambda: ci.export(run(), "xls"), "nothing is exported to 'xls'"),
    (lambda: ci.export(run(), "csv", 3), "path must be a path"),
    (lambda: ci.export(run(), "csv", frame=3), "frame must be text, not 3 (int)"),
    (lambda: ci.export(run(), "csv", frame="nope"), "there is no frame of kind 'nope'"),
    (lambda: ci.export(run(), "tensorboard", frame="parameters"), "tensorboard is not a table"),
    (lambda: ci.export(run(), "csv", learning_rate="x"), "learning_rate must be a number"),
    (lambda: ci.explain(3), "name must be text, not 3 (int)"),
    (lambda: ci.find_findings(3), "what analyze() or load() returned, not int"),
    (lambda: ci.find_findings(run(), {"starved": 1}), "thresholds must be Thresholds, not dict"),
    (lambda: run().to_frame(kind=3), "kind must be text, not 3 (int)"),
    (lambda: run().to_frame(kind=["parameters"]), "kind must be text"),
    (lambda: run().to_frame(kind="nope"), "there is no frame of kind 'nope'"),
    (lambda: run().to_frame("sample", checkpoints=3), "checkpoints must be whole numbers from 0 on, not 3 (int)"),
    (lambda: run().to_frame("sample", checkpoints=[0.5]), "each of checkpoints must be a whole number from 0 on"),
    (lambda: run().to_frame("sample", checkpoints=[99]), "the run has 2 checkpoints, and none of index 99"),
    (lambda: run().plot(name=3), "name must be text, not 3 (int)"),
    (lambda: run().plot("nope"), "there is no figure 'nope'"),
    (lambda: run().plot(optimizer=3), "optimizer must be text, not 3 (int)"),
    (lambda: run().plot(optimizer="nope"), "there is no optimizer 'nope'"),
    (lambda: run().plot(include=3), "include must be text or several"),
    (lambda: change().plot(3), "name must be text, not 3 (int)"),
    (lambda: change().plot("nope"), "there is no figure 'nope'"),
)
"""A call that can't be meant, and a part of what it says."""

ABSENT: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: ci.optimizer_states(FIRST, optimizer="nope"), "holds no optimizer 'nope'; it holds 'optimizer'"),
    (lambda: ci.optimizer_states(FIRST, given={"nope.beta_1": 0.5}), "holds no optimizer 'nope'"),
    (lambda: ci.diff(FIRST, LAST, include="nope"), "no parameter's name matches what was included"),
    (lambda: ci.analyze([]), "no path was given"),
    (lambda: ci.explain("nope"), "there is nothing called 'nope' to explain"),
    (lambda: ci.find_runs(DIGITS / "nope"), "nope"),
)
"""A call that names what isn't there."""


@pytest.mark.parametrize("call, told", WRONG)
def test_wrong_argument_is_a_request_at_fault(call: Callable[[], object], told: str, tmp_path: Path) -> None:
    """The argument is named, what it must be, and what it was; nothing is written."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RequestError, match=re.escape(told)):
        patch.chdir(tmp_path)
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call, told", ABSENT)
def test_what_is_not_there_is_named(call: Callable[[], object], told: str) -> None:
    """The caller is told what there is instead."""
    with pytest.raises(NotFoundError, match=re.escape(told)):
        call()


def test_numbers_of_any_kind_can_be_given() -> None:
    """numpy's numbers, whole floats for a step, and a single pattern by itself."""
    np = pytest.importorskip("numpy")
    (state,) = ci.optimizer_states(FIRST, given={"beta_1": np.float32(0.5), "step": 3.0, "epsilon": np.int64(1)})
    assert (state.hyperparameters["beta_1"].value, state.step.value) == (0.5, 3)
    assert ci.analyze(FIRST, include="hidden/*", threads=np.int64(1), thresholds={}).run == "digits"


def test_what_is_public_is_listed() -> None:
    """`__all__`, `dir` and what a type checker reads are the same names, and each of them is there."""
    assert sorted(ci.__all__) == ci.__all__
    assert set(ci.__all__) <= set(dir(ci))
    assert [name for name in dir(ci) if not name.startswith("__")] == [n for n in ci.__all__ if not n.startswith("__")]
    assert all(getattr(ci, name) is not None for name in ci.__all__)
    tree = ast.parse(Path(ci.__file__).read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    names = [alias.asname for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted([*names, "__version__"], key=str) == ci.__all__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        ci.nope  # type: ignore[attr-defined]  # noqa: B018 - that is what is tried


def test_a_type_checker_sees_what_is_public(tmp_path: Path) -> None:
    """The package is typed: no public name is Any, and no public function takes or gives Any."""
    mypy = pytest.importorskip("mypy.api")
    script = tmp_path / "script.py"
    script.write_text(
        "import ckpt_inspect as ci\n" + "\n".join(f"reveal_type(ci.{name})" for name in ci.__all__) + "\n"
    )
    package = str(Path(ci.__file__).parent.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", package)
        patch.chdir(tmp_path)
        out, err, code = mypy.run(["--strict", "--follow-imports=silent", "--config-file=", str(script)])
    revealed = re.findall(r'^script\.py:\d+: note: Revealed type is "(.*)"$', out, re.MULTILINE)
    assert (code, err, len(revealed)) == (0, "", len(ci.__all__)), out
    assert [t for name, t in zip(ci.__all__, revealed, strict=True) if t == "Any"] == []
    functions = [(name, t) for name, t in zip(ci.__all__, revealed, strict=True) if name.islower()]
    assert [(name, t) for name, t in functions if re.search(r"\bAny\b", t)] == []


def test_what_is_wrong_of_every_checkpoint_is_said_once() -> None:
    """A name that can't be given is the caller's matter, and not each checkpoint's."""
    with pytest.raises(RequestError) as caught:
        ci.analyze(FIRST.parent, given={"lr": 0.1})
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("did you mean learning_rate?")


@pytest.mark.parametrize(("name", "meant"), [("lr", "learning_rate"), ("α", "learning_rate"), ("eps", "epsilon")])
def test_hyperparameters_are_explained_by_their_usual_names(name: str, meant: str) -> None:
    """As users type them."""
    assert [e.name for e in ci.explain(name)] == [meant]


def test_a_run_that_was_found_may_be_analysed_by_itself() -> None:
    """One Run in the place of a path or several."""
    (run,) = ci.find_runs(FIRST.parent)
    (result,) = ci.analyze_runs(run)
    assert result.analyses is not None
    assert len(result.analyses.checkpoints["path"]) == len(run.checkpoints)
