"""However the work is cut, and whoever does it: the same columns and the same store, to the bit."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.adam_bundles import save_bundle, save_series
from support.adam_runs import AdamRun
from support.keras_files import Run, save_large_archive
from support.openings import before_opening
from support.recorded_cases import CASES, FIXTURES
from support.store_contents import contents

from ckpt_inspect import analyze, analyze_runs, find_checkpoints, find_runs, load
from ckpt_inspect.errors import DamagedFileError, RequestError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.layouts import find_optimizers, found_before
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs import execution, planning
from ckpt_inspect.runs.analysis import Analysis, Chosen
from ckpt_inspect.runs.assembly import assemble
from ckpt_inspect.runs.execution import UnitResult, Worker, measure_unit, merge
from ckpt_inspect.runs.planning import Options, Span, Unit
from ckpt_inspect.storage.local import LocalFile

GIVEN = {"learning_rate": 0.01, "epsilon": 1e-7}

LARGE_SHAPES = {"a": (3,), "wide": (700, 500), "b": (40, 50), "c": (), "long": (300_000,)}
"""Of one to two pieces of a sweep."""


@pytest.fixture(scope="module")
def large_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of 8 MB, the last of them damaged, and one of other parameters."""
    folder = tmp_path_factory.mktemp("large") / "run"
    folder.mkdir()
    training = Run(shapes=LARGE_SHAPES)
    for step in (2, 4):
        save_bundle(training.train(2), folder / f"m-{step}")
    damage(save_bundle(training, folder / "m-5"))
    save_bundle(Run(shapes={"a": (3,), "d": (7, 5)}).train(6), folder / "m-6")
    for file in (*folder.iterdir(), folder):
        os.utime(file, (1e9, 1e9))  # what was written just now may still be, and is waited for
    return folder


def damage(prefix: Path) -> None:
    """Flip a bit of the data."""
    data = Path(f"{prefix}.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    raw[7] ^= 1
    data.write_bytes(raw)


@pytest.fixture
def every_parameter_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units of one parameter each."""
    monkeypatch.setattr(planning, "UNIT_BYTES", 0)


def processes() -> Executor:
    """Two, that share nothing with this one."""
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


# --- the same results


@pytest.mark.parametrize("unit_bytes", [0, 1 << 20, 1 << 40], ids=["each parameter", "some", "whole"])
@pytest.mark.parametrize("executor", [None, lambda: ThreadPoolExecutor(2), processes], ids=["here", "threads", "procs"])
def test_neither_the_split_nor_the_executor_changes_a_bit(
    large_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit_bytes: int,
    executor: Callable[[], Executor] | None,
) -> None:  # fmt: skip
    """Columns, remarks and the store's bytes, with a checkpoint that can't be read among them."""
    expected = analyze(large_run, store=tmp_path / "whole.h5", given=GIVEN)
    assert [failure.checkpoint for failure in expected.failures] == ["m-5"]
    monkeypatch.setattr(planning, "UNIT_BYTES", unit_bytes)
    if executor is None:
        found = analyze(large_run, store=tmp_path / "split.h5", given=GIVEN)
    else:
        with executor() as pool:
            found = analyze(large_run, store=tmp_path / "split.h5", given=GIVEN, executor=pool)
    assert found == expected == load(tmp_path / "split.h5")
    assert contents(tmp_path / "split.h5") == contents(tmp_path / "whole.h5")


@pytest.mark.parametrize("case", [case for case in CASES if "v1fmt" not in case])
def test_recorded_checkpoints_split_at_every_parameter_are_the_whole(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules that need sums over a tensor, several optimizers, no rate, half precision: all that is recorded."""

    def answers(executor: Executor | None) -> Iterator[RunColumns | str]:
        for result in analyze_runs(find_runs(FIXTURES / case), executor=executor):
            yield str(result.error) if result.analyses is None else result.analyses

    whole = list(answers(None))
    monkeypatch.setattr(planning, "UNIT_BYTES", 0)
    with ThreadPoolExecutor(1) as pool:
        assert list(answers(pool)) == whole


@pytest.mark.usefixtures("every_parameter_apart")
def test_what_is_undetermined_is_reported_once(tmp_path: Path) -> None:
    """Not once a unit."""
    folder = tmp_path / "run"
    folder.mkdir()
    AdamRun().train(3).save(folder / "m.h5")
    with ThreadPoolExecutor(1) as pool:
        found = analyze(folder, given={"rule": "lamb", "epsilon": 1e-6}, executor=pool)
    assert len(found.remarks) == len({remark.problem for remark in found.remarks})


def test_results_merge_in_parts(large_run: Path) -> None:
    """Any cut gives the analysis of the whole, through a pickle too."""
    options = Options(GIVEN)
    (whole,) = Worker().units_of(large_run / "m-4", options, 1)
    expected = columns_of(merge([measure_unit(whole)]))
    for cut in range(len(LARGE_SHAPES) + 1):
        parts = [replace(whole, span=Span(0, cut)), replace(whole, span=Span(cut, None))]
        results = [pickle.loads(pickle.dumps(measure_unit(part))) for part in parts]
        assert columns_of(merge(results)) == expected


def columns_of(analysis: Analysis) -> RunColumns:
    """All that is in it, to be compared."""
    return assemble("run", "", [analysis.fingerprint], None, {analysis.fingerprint: analysis})


def test_what_one_process_does_is_not_cut(large_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large checkpoint is one unit, and no cut has its threads wait for each other."""
    monkeypatch.setattr(planning, "UNIT_BYTES", 0)
    (whole,) = Worker().units_of(large_run / "m-4", Options(GIVEN), 1, is_cut=False)
    assert whole.span == Span(0, None)
    assert len(Worker().units_of(large_run / "m-4", Options(GIVEN), 1)) == len(LARGE_SHAPES)


def test_the_whole_is_measured_though_the_file_has_more_than_was_planned(large_run: Path) -> None:
    """A file that was replaced after it was split: the last unit takes all that is left."""
    units = planning.plan_units(large_run / "m-4", Options(GIVEN), 1 << 40, lambda: [1 << 40, 1 << 40])
    (whole,) = Worker().units_of(large_run / "m-4", Options(GIVEN), 1)
    assert len(units) == 2
    assert columns_of(merge([measure_unit(u) for u in units])) == columns_of(merge([measure_unit(whole)]))


def test_a_checkpoint_that_changes_between_its_units_is_refused(tmp_path: Path) -> None:
    """Half of the old one and half of the new one are no checkpoint."""
    path = save_bundle(Run().train(3), tmp_path / "m")
    unit = Unit((str(path),), Options(GIVEN))
    first = measure_unit(replace(unit, span=Span(0, 2)))
    save_bundle(Run().train(4), path)
    second = measure_unit(replace(unit, span=Span(2, None)))
    with pytest.raises(DamagedFileError, match="was changed while it was read; analyse again"):
        merge([first, second])


def test_of_two_neighbours_the_later_is_measured(large_run: Path) -> None:
    """The earlier is for figures of what happened in between."""
    alone = measure_unit(Unit((str(large_run / "m-4"),), Options(GIVEN)))
    both = measure_unit(Unit((str(large_run / "m-2"), str(large_run / "m-4")), Options(GIVEN)))
    assert columns_of(merge([both])) == columns_of(merge([alone]))


# --- opening


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is opened."""
    names: list[str] = []
    before_opening(monkeypatch, lambda path: names.append(path.name))
    return names


def test_small_checkpoints_are_opened_once(tmp_path: Path, openings: list[str]) -> None:
    """Planning looks at names and sizes only."""
    paths = save_series(tmp_path / "run", 3)
    analyze(tmp_path / "run")
    assert openings == [path.name for path in paths]


def test_a_worker_resolves_names_once_for_checkpoints_of_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker gets unit by unit; each thread of one process remembers for itself."""
    resolved: list[str] = []

    def find(checkpoint: Any) -> Any:
        resolved.append(checkpoint.format)
        return find_optimizers(checkpoint)

    monkeypatch.setattr(found_before, "find_optimizers", find)
    monkeypatch.setattr(execution, "_kept", execution._Kept())
    units = [Unit((str(path),), Options()) for path in find_checkpoints(FIXTURES.parent / "digits")[:4]]
    results = [measure_unit(unit) for unit in units]
    with ThreadPoolExecutor(1) as thread:
        again = list(thread.map(measure_unit, units))
    assert len(resolved) == 2
    with Worker(1) as fresh:
        alone = [fresh.measure(unit) for unit in units]
    for one, two, three in zip(results, again, alone, strict=True):
        assert columns_of(merge([one])) == columns_of(merge([two])) == columns_of(merge([three]))


@pytest.mark.usefixtures("every_parameter_apart")
def test_a_large_checkpoint_is_opened_once_in_this_process(tmp_path: Path, openings: list[str]) -> None:
    """To plan, and by all of its four units; with an executor, once more by each."""
    path = save_bundle(Run().train(3), tmp_path / "m")
    analyze(path)
    assert openings == ["m"]
    with ThreadPoolExecutor(1) as pool:
        analyze(path, executor=pool)
    assert openings == ["m"] * (1 + 1 + 4)


# --- failures, interrupts, progress


@pytest.mark.usefixtures("every_parameter_apart")
def test_a_large_checkpoint_that_cannot_be_opened_is_one_failure(tmp_path: Path) -> None:
    """Planning meets it first, and leaves it to whoever does the work."""
    (first, second) = save_series(tmp_path / "run", 2)
    Path(f"{second}.data-00000-of-00001").write_bytes(b"")
    for executor in (None, ThreadPoolExecutor(2)):
        found = analyze(tmp_path / "run", executor=executor)
        assert list(found.checkpoints["checkpoint"]) == [first.name]
        (failure,) = found.failures
        assert failure.checkpoint == second.name
        if executor is not None:
            executor.shutdown()


def test_errors_of_this_package_survive_a_pickle(tmp_path: Path) -> None:
    """Type and sentence."""
    result = measure_unit(Unit((str(tmp_path / "none"),), Options()))
    copy: UnitResult = pickle.loads(pickle.dumps(result))
    assert result.error is not None
    assert (type(copy.error), str(copy.error)) == (type(result.error), str(result.error))


class Interrupted(Executor):
    """Does three units at once, and is interrupted in the fourth; the rest waits."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures.append(future)
        if len(self.futures) <= 3:
            future.set_result(fn(*args, **kwargs))
        elif len(self.futures) == 4:
            future.set_exception(KeyboardInterrupt())
        return future


def test_an_interrupt_keeps_what_was_done_and_cancels_the_rest(tmp_path: Path) -> None:
    """Three are in the store; nothing else is begun."""
    save_series(tmp_path / "run", 6)
    executor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        analyze(tmp_path / "run", store=tmp_path / "s.h5", executor=executor)
    assert len(load(tmp_path / "s.h5")) == 3
    assert [future.cancelled() for future in executor.futures] == [False] * 4 + [True] * 2


@pytest.mark.usefixtures("every_parameter_apart")
def test_an_interrupt_in_the_middle_of_a_checkpoint_leaves_it_out(tmp_path: Path) -> None:
    """Three of its four parameters are no checkpoint: there is nothing to store."""
    save_series(tmp_path / "run", 2)
    with pytest.raises(KeyboardInterrupt):
        analyze(tmp_path / "run", store=tmp_path / "s.h5", executor=Interrupted())
    assert not (tmp_path / "s.h5").exists()


class Backwards(Executor):
    """Does nothing until it holds so many units, and then the last first."""

    def __init__(self, most: int) -> None:
        self.most, self.largest, self.together = most, 0, 1
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        self.largest = max(self.largest, len(self.waiting))
        if len(self.waiting) == self.most:
            while self.waiting:
                future_done, work = self.waiting.pop()
                future_done.set_result(work())
        return future


@pytest.mark.parametrize("together", [1, 2])
def test_an_executor_may_be_done_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """It never holds a whole run of 100,000; the result is in the run's order all the same, failures too."""
    monkeypatch.setattr(execution, "IN_FLIGHT", 3 * together)
    paths = save_series(tmp_path / "run", 6 * together)
    for path in paths[1:3]:
        damage(path)
    save_bundle(Run(shapes={"other": (3,), "dense/bias": (3,)}).train(5), paths[4])
    executor = Backwards(3)
    executor.together = together
    assert analyze(tmp_path / "run", executor=executor) == analyze(tmp_path / "run")
    assert executor.largest == 3


@pytest.mark.parametrize("unit_bytes", [0, 1 << 40])
@pytest.mark.parametrize("has_executor", [False, True])
def test_progress_reaches_the_total_and_never_falls(
    large_run: Path, monkeypatch: pytest.MonkeyPatch, unit_bytes: int, has_executor: bool
) -> None:
    """The total is the same for any split."""
    monkeypatch.setattr(planning, "UNIT_BYTES", unit_bytes)
    calls: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as pool:
        analyze(
            large_run, progress=lambda done, total: calls.append((done, total)),
            executor=pool if has_executor else None,
        )  # fmt: skip
    done = [d for d, _ in calls]
    assert done == sorted(done)
    size = sum(file.stat().st_size for file in large_run.iterdir() if file.name != "checkpoint")
    assert {total for _, total in calls} == {size} == {done[-1]}


# --- what an executor can't do


def test_elements_are_written_by_this_process_alone(tmp_path: Path) -> None:
    """One clear sentence, before anything is read or written."""
    save_series(tmp_path / "run", 1)
    with ThreadPoolExecutor(1) as pool, pytest.raises(RequestError, match="leave out the executor, or the elements"):
        analyze(tmp_path / "run", store=tmp_path / "s.h5", elements=True, executor=pool)
    assert not (tmp_path / "s.h5").exists()


@pytest.mark.usefixtures("every_parameter_apart")
def test_elements_of_a_split_checkpoint_are_whole(tmp_path: Path) -> None:
    """Every array is kept, as without a split."""
    save_series(tmp_path / "run", 2)
    analyze(tmp_path / "run", store=tmp_path / "s.h5", given=GIVEN, elements=True)
    with h5py.File(tmp_path / "s.h5") as file:
        for name in ("model.ckpt-10", "model.ckpt-20"):
            assert len([d for d in file[f"Adam/elements/{name}"].values() if "shape" in d.attrs]) == 4


def test_what_is_no_executor_is_refused(tmp_path: Path) -> None:
    """A number of workers, for one."""
    save_series(tmp_path / "run", 1)
    with pytest.raises(RequestError, match=r"executor must be a concurrent\.futures\.Executor, not 2"):
        analyze(tmp_path / "run", executor=2)  # type: ignore[arg-type]


def test_several_runs_share_an_executor(tmp_path: Path) -> None:
    """`analyze_runs` passes it on."""
    for name in ("a", "b"):
        save_series(tmp_path / name, 2)
    with ThreadPoolExecutor(2) as pool:
        found = [result.analyses for result in analyze_runs([tmp_path / "a", tmp_path / "b"], executor=pool)]
    assert found == [analyze(tmp_path / "a"), analyze(tmp_path / "b")]


def test_an_open_checkpoint_is_analysed_in_parts(tmp_path: Path) -> None:
    """By the places of the parameters that are chosen; each is θ, m and v of float32."""
    path = save_bundle(Run().train(3), tmp_path / "m")
    with open_checkpoint(path) as checkpoint:
        chosen = Chosen.of(checkpoint, GIVEN)
        (optimizer,), (whole,) = chosen.measure(slice(1, 3)).optimizers, chosen.measure().optimizers
        assert chosen.nbytes() == [3 * 4 * math.prod(shape) for shape in whole.parameters.shapes]
    assert optimizer.parameters.names == whole.parameters.names[1:3]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_units_of_a_large_archive_compare_its_checksum_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    """Each counts what it reads, and none reads what another has read."""
    path = save_large_archive(tmp_path / "m.keras", is_damaged=is_damaged)
    monkeypatch.setattr(planning, "UNIT_BYTES", 0)
    read: list[int] = []
    read_into = LocalFile.read_into

    def count(self: LocalFile, buffer: Any, offset: int) -> None:
        read.append(len(buffer))
        read_into(self, buffer, offset)

    monkeypatch.setattr(LocalFile, "read_into", count)
    with ThreadPoolExecutor(2) as pool:
        if is_damaged:
            with pytest.raises(DamagedFileError, match=r"m\.keras: its model\.weights\.h5: bad CRC"):
                analyze(path, executor=pool)
        else:
            assert analyze(path, executor=pool).failures == ()
            assert sum(read) < 1.3 * path.stat().st_size
