"""What is read of a run, and in which units: each parameter once, bounds from sizes alone."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs.planning import UNIT_BYTES, Options, Span, Unit, plan_run, plan_units, split
from ckpt_inspect.series.run import Run
from ckpt_inspect.state.selection import Selection

FOLDER = Path("/training/run")


def run(*names: str) -> Run:
    return Run("run", FOLDER, tuple(FOLDER / name for name in names))


def stored(*names: str, options: Options | None = None, folder: Path = FOLDER) -> RunColumns:
    """What a store holds of checkpoints whose fingerprints are their names' capitals."""
    columns = {
        "checkpoint": list(names),
        "path": [str(folder / name) for name in names],
        "fingerprint": [name.upper() for name in names],
        "files": [f"{folder / name}.index\n{folder / name}.data" for name in names],
    }
    return RunColumns(
        "run", (options or Options()).text(), {k: np.array(v, object) for k, v in columns.items()}, {}, ()
    )


def unchanged(files: Sequence[str]) -> str:
    """The fingerprint that `stored` gives."""
    return Path(files[0]).stem.upper()


# --- what is new


def test_without_a_store_everything_is_read() -> None:
    """In the run's order."""
    plan = plan_run(run("a", "b"), Options(), None, None, unchanged)
    assert plan.unread == (FOLDER / "a", FOLDER / "b")
    assert plan.order({}) == []
    assert plan.order({str(FOLDER / "b"): "B2"}) == ["B2"]


def test_only_what_is_new_or_changed_is_read() -> None:
    """By the fingerprint of the files that the store names."""
    changed = {"b": "OTHER", "c": None}
    plan = plan_run(
        run("a", "b", "c", "d"), Options(), Path("s"), stored("a", "b", "c"),
        lambda files: changed.get(Path(files[0]).stem, unchanged(files)),
    )  # fmt: skip
    assert [path.name for path in plan.unread] == ["b", "c", "d"]
    assert plan.known == {str(FOLDER / "a"): "A"}


def test_what_was_deleted_keeps_its_place_and_what_cannot_be_read_has_none() -> None:
    """`b` is gone from the folder; `c` is there, was changed, and could not be read again."""
    plan = plan_run(
        run("a", "c", "d"), Options(), Path("s"), stored("a", "b", "c"),
        lambda files: None if Path(files[0]).stem == "c" else unchanged(files),
    )  # fmt: skip
    assert plan.order({str(FOLDER / "d"): "D"}) == ["A", "B", "D"]


def test_files_of_checkpoints_that_are_gone_are_not_looked_at() -> None:
    """A run of 100,000 that keeps five asks for five."""
    asked: list[str] = []

    def fingerprint_of(files: Sequence[str]) -> str:
        asked.append(Path(files[0]).stem)
        return unchanged(files)

    plan_run(run("d"), Options(), Path("s"), stored("a", "b", "c", "d"), fingerprint_of)
    assert asked == ["d"]


def test_other_options_read_everything_again() -> None:
    """Nothing of the store is used."""
    plan = plan_run(run("a"), Options({"beta_2": 0.98}), Path("s"), stored("a"), unchanged)
    assert (plan.previous, plan.known, len(plan.unread)) == (None, {}, 1)


def test_other_options_do_not_replace_what_is_gone() -> None:
    """The store may be all that is left."""
    with pytest.raises(StoreError, match=r"^s: holds results of other options, also of 1 checkpoints .*/a; name"):
        plan_run(run("b"), Options({"beta_2": 0.98}), Path("s"), stored("a", "b"), unchanged)


def test_another_runs_store_is_refused() -> None:
    """Both folders are named."""
    with pytest.raises(StoreError, match=r"^s: holds the run in /other, not the one in /training/run; name another"):
        plan_run(run("a"), Options(), Path("s"), stored("a", folder=Path("/other")), unchanged)


def test_options_are_known_again_by_their_text() -> None:
    """Whatever their order; a number of numpy's is a number."""
    one = Options({"beta_1": 0.9, "learning_rate": np.float64(0.1)}, Selection(("*",), ()))
    two = Options({"learning_rate": 0.1, "beta_1": 0.9}, Selection(("*",), ()))
    assert one.text() == two.text()
    assert len({Options().text(), Options(has_elements=True).text(), one.text()}) == 3


# --- units


@given(st.lists(st.integers(0, 50)), st.integers(1, 100))
def test_spans_cover_every_parameter_once(sizes: list[int], most: int) -> None:
    """In order; none is larger than it may be, unless it is one parameter; none could have taken the next one too."""
    spans = split(sizes, most)
    assert [place for span in spans for place in range(len(sizes))[span.slice]] == list(range(len(sizes)))
    each = [sizes[span.slice] for span in spans]
    assert all(sum(part) <= most or len(part) == 1 for part in each)
    assert all(sum(part) + following[0] > most for part, following in pairwise(each))
    assert spans[-1].last is None


@given(st.lists(st.integers(0, 1 << 31), min_size=1), st.integers(UNIT_BYTES + 1, 1 << 40))
def test_units_measure_every_parameter_once_and_add_up(sizes: list[int], nbytes: int) -> None:
    """Bytes are shared out without a rest."""
    units = plan_units(FOLDER / "a", Options(), nbytes, lambda: sizes)
    assert [place for unit in units for place in range(len(sizes))[unit.span.slice]] == list(range(len(sizes)))
    assert sum(unit.nbytes for unit in units) == nbytes
    assert all(unit.nbytes >= 0 for unit in units)
    assert {unit.path for unit in units} == {FOLDER / "a"}


def test_a_small_checkpoint_is_one_unit_and_is_not_opened() -> None:
    """Opening takes longer than measuring it."""

    def opened() -> list[int]:
        raise AssertionError

    assert plan_units(FOLDER / "a", Options(), UNIT_BYTES, opened) == [
        Unit((str(FOLDER / "a"),), Options(), Span(0, None), UNIT_BYTES)
    ]


def test_a_checkpoint_without_parameters_is_a_unit() -> None:
    """Its result says why there are none."""
    assert [unit.span for unit in plan_units(FOLDER / "a", Options(), 1 << 40, list)] == [Span()]


def test_units_are_picklable() -> None:
    """With two neighbours the later one is measured."""
    unit = Unit(("a", "b"), Options({"beta_1": 0.9}, Selection(("*",), ("x",))), Span(2, 5), 7)
    assert pickle.loads(pickle.dumps(unit)) == unit
    assert unit.path == Path("b")
