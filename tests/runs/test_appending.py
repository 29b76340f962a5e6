"""A store to which checkpoints are appended holds what it would if all of the run were put together anew each time."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.adam_bundles import save_bundle
from support.keras_files import Run

from ckpt_inspect import Analyses, analyze, load
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns
from ckpt_inspect.runs import analyze as analysing
from ckpt_inspect.runs import following, growth, inferring, movement, reading, sheltered, store, unchanged

FIXTURES = Path(__file__).parents[2] / "fixtures"
SAVED_MODEL = FIXTURES / "recorded" / "tf20_v2_fit_savedmodel" / "sm_6" / "saved_model.pb"
OLD = 1_700_000_000_123_456_789
"""Nanoseconds since 1970."""

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without a search for a smaller example: each takes a second."""

COUNT = 10
"""Checkpoints that there are of each kind."""


def save_bundles(run: Run, folder: Path, number: int) -> None:
    save_bundle(run, folder / f"model.ckpt-{number}")


def save_files(run: Run, folder: Path, number: int) -> None:
    run.save(folder / f"model-{number}.h5")


def save_epochs(run: Run, folder: Path, number: int) -> None:
    (folder / f"epoch_{number}").mkdir(exist_ok=True)
    run.save(folder / f"epoch_{number}" / "model.h5")


def save_bundle_folders(run: Run, folder: Path, number: int) -> None:
    (folder / f"step-{number}").mkdir(exist_ok=True)
    save_bundle(run, folder / f"step-{number}" / "variables")


def copy_archive(run: Run, folder: Path, number: int) -> None:
    source = FIXTURES / "digits" / f"epoch-{(number - 1) % COUNT + 1:02}.keras"
    shutil.copyfile(source, folder / f"epoch-{number:02}.keras")


def save_models(run: Run, folder: Path, number: int) -> None:
    """As TensorFlow exports: the bundle of the variables in a folder of the model's."""
    variables = folder / f"model-{number}" / "variables"
    variables.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SAVED_MODEL, variables.parent / SAVED_MODEL.name)
    save_bundle(run, variables / "variables")


def copy_orbax_step(run: Run, folder: Path, number: int) -> None:
    """One of two, in turn: counters that fall and rise."""
    source = FIXTURES / "orbax" / "run" / ("5" if number % 2 else "10")
    shutil.copytree(source, folder / f"{number}", dirs_exist_ok=True)


Save = Callable[[Run, Path, int], None]

KINDS: dict[str, Save] = {
    "bundles": save_bundles,
    "files": save_files,
    "epochs": save_epochs,
    "bundle folders": save_bundle_folders,
    "archives": copy_archive,
    "saved models": save_models,
    "orbax": copy_orbax_step,
}


@contextmanager
def lengths(long: int) -> Iterator[None]:
    """Count runs of more checkpoints as long, and their stores as large."""
    with pytest.MonkeyPatch.context() as patched:
        for room in (analysing, unchanged):
            patched.setattr(room, "LONG", long)
        patched.setattr(reading, "PART", 2)
        patched.setattr(store, "LARGE", 0 if long < COUNT else 1 << 30)
        patched.setattr(growth, "_SLAB", 5)
        patched.setattr(inferring, "STRETCH", 4)
        patched.setattr(inferring, "LATER_STRETCH", 3)
        for room in (inferring, following):
            patched.setattr(room, "KEPT_CHECKPOINTS", 2)
        patched.setattr(movement, "YOUNG", 0.0)
        yield


def content(run: RunColumns) -> RunColumns:
    """All of it in memory, without the figures that a long run doesn't have."""
    optimizers = {}
    for name, optimizer in run.optimizers.items():
        columns = {n: optimizer.variables[n] for n in optimizer.variables}
        for figure in ("path_distance", "path_straightness"):
            columns[figure] = np.full_like(columns[figure], np.nan)
        optimizers[name] = OptimizerColumns(name, columns)
    checkpoints = {name: run.checkpoints[name] for name in run.checkpoints}
    return replace(RunColumns(run.run, run.options, checkpoints, optimizers, run.remarks, run.thresholds))


class Training:
    """Writes checkpoints into a folder."""

    def __init__(self, folder: Path, save: Save) -> None:
        self.folder, self.save = folder, save
        self.run, self.number = Run(), 0
        self.skipped: list[int] = []
        self.clock = 0

    def _settle(self) -> None:
        """Give what was written just now times of its own, of long ago."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.stat().st_mtime_ns > OLD + 10**15:
                self.clock += 1000
                os.utime(path, ns=(OLD + self.clock, OLD + self.clock))

    def files(self, place: int) -> list[Path]:
        """The files of one of the checkpoints that are there."""
        every = [p for p in self.folder.rglob("*") if p.is_file()]
        stems = sorted({str(p).partition(".index")[0].partition(".data")[0] for p in every})
        stem = stems[place % len(stems)] if stems else "nothing"
        return [p for p in every if str(p).startswith((f"{stem}.", stem)) and str(p)[len(stem) :][:1] in ("", ".")]

    def do(self, what: str, place: int) -> None:
        """Do something to the folder."""
        if what in ("come", "reset", "skip") and self.number < COUNT:
            self.number += 1
            self.run = Run(seed=place) if what == "reset" else self.run
            self.run.train(3)
            if what == "skip":
                self.skipped.append(self.number)
            else:
                self.save(self.run, self.folder, self.number)
        elif what == "late" and self.skipped:
            self.save(self.run, self.folder, self.skipped.pop())
        elif what == "other":
            self.save(Run(seed=place, shapes={"other": (3,)}).train(2), self.folder, 50 + place)
        elif what == "rename":
            for name in {file.relative_to(self.folder).parts[0] for file in self.files(place)}:
                later = re.sub(r"\d+", lambda number: f"{int(number[0]) + 20}", name, count=1)
                if not (self.folder / later).exists():
                    (self.folder / name).rename(self.folder / later)
        elif what == "log":
            (self.folder / "log.txt").write_text(f"{place}")
        else:
            for file in self.files(place) if what in ("delete", "damage", "replace") else ():
                if what == "delete":
                    file.unlink()
                elif what == "damage":
                    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
                elif file.suffix == ".h5":
                    Run(seed=place).train(place + 1).save(file)
        self._settle()


CHANGES = ("reset", "skip", "late", "delete", "damage", "replace", "other", "rename", "log")
MOVES = st.tuples(st.sampled_from([*4 * ("come",), *CHANGES]), st.integers(0, 5))
Steps = Sequence[Sequence[tuple[str, int]]]

STEPS = st.lists(st.lists(MOVES, min_size=1, max_size=3), min_size=1, max_size=6)


def analyzed(folder: Path, place: Path) -> Analyses | str:
    """What an analysis returns, or why it can't be."""
    try:
        return analyze(folder, store=place)
    except CkptInspectError as error:
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2, phases=QUICK)
@given(begun=st.integers(3, 8), steps=STEPS)
def test_a_store_that_grows_is_that_which_is_put_together_anew(kind: str, begun: int, steps: Steps) -> None:
    """Whatever comes, of another model or late too, is deleted, damaged, replaced, renamed or begun anew in between."""
    check_growth(kind, begun, steps)


@pytest.mark.parametrize(
    ("begun", "steps"),
    [
        (3, [[("come", 0), ("come", 0), ("delete", 0)], [("other", 0), ("rename", 0), ("delete", 1)]]),
        (4, [[("delete", 5)], [("rename", 4)], [("come", 0)] * 3]),
        (
            6,
            [
                [("rename", 2), ("late", 0)],
                [("reset", 5)],
                [("come", 5), ("replace", 1), ("skip", 1)],
                [("come", 1), ("come", 4), ("reset", 5)],
            ],
        ),
    ],
)
def test_sequences_that_once_went_wrong(begun: int, steps: Steps) -> None:
    """Of one kind: what was wrong was the same for all."""
    check_growth("bundle folders", begun, steps)


def check_growth(kind: str, begun: int, steps: Steps) -> None:
    """Compare a store with one that is put together anew after each of some steps."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        folder.mkdir()
        training = Training(folder, KINDS[kind])
        grown, anew = (Path(scratch) / name for name in ("grown.h5", "anew.h5"))
        for moves in ([("come", 0)] * begun, *steps):
            for move in moves:
                training.do(*move)
            with lengths(2):
                one = analyzed(folder, grown)
            with lengths(10**9):
                other = analyzed(folder, anew)
            if isinstance(one, str) or isinstance(other, str):
                assert str(one).replace("grown.h5", "anew.h5") == str(other)
                continue
            assert content(one) == content(other)
            assert one.findings == other.findings
            assert one.segments == other.segments
            with lengths(2):
                assert content(load(grown)) == content(one)
                assert load(grown).findings == one.findings


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("kind", ["bundles", "epochs"])
@settings(max_examples=4, phases=QUICK)
@given(begun=st.integers(4, 8), writes=st.integers(0, 300))
def test_an_append_that_is_killed_leaves_the_store(kind: str, begun: int, writes: int) -> None:
    """After however many writes; it is as it was, and the next append is right."""
    with TemporaryDirectory() as scratch, lengths(2):
        folder, place = Path(scratch) / "run", Path(scratch) / "grown.h5"
        folder.mkdir()
        training = Training(folder, KINDS[kind])
        for _ in range(begun):
            training.do("come", 0)
        before = content(analyze(folder, store=place))
        raw = place.read_bytes()
        training.do("come", 0)
        child = os.fork()
        if child == 0:
            _die_after(writes)
            try:
                analyze(folder, store=place)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        if place.read_bytes() == raw:
            assert content(load(place)) == before
        else:
            assert len(load(place)) == begun + 1
        after = content(analyze(folder, store=place))
        assert after == content(load(place)) == content(analyze(folder, store=Path(scratch) / "at-once.h5"))
        assert [path.name for path in Path(scratch).iterdir() if path.suffix == ".tmp"] == []


def _die_after(writes: int) -> None:
    """End this process at that write of the store, or before it is in its place."""
    count = 0
    write = sheltered.ShelteredFile.write

    def counted(file: sheltered.ShelteredFile, content: bytes) -> int:
        nonlocal count
        count += 1
        if count > writes:
            os._exit(9)
        return write(file, content)

    sheltered.ShelteredFile.write = counted  # type: ignore[method-assign]  # in a process of its own
