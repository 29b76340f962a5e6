"""Processes that do the work: one that is lost costs nothing but time, and none stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from support.adam_bundles import save_series
from support.store_contents import contents

from ckpt_inspect import analyze, load
from ckpt_inspect.errors import NotFoundError, WorkerLostError
from ckpt_inspect.runs import execution
from ckpt_inspect.runs.analyze import WORKERS_LOST
from ckpt_inspect.runs.execution import UnitResult, measure_units
from ckpt_inspect.runs.worker_processes import ATTEMPTS, WorkerProcesses


def end_once(marker: str) -> str:
    """End the process that calls it, the first time."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def end_always(tries: str) -> None:
    """End every process that calls it, and leave a letter each time."""
    with Path(tries).open("a") as file:
        file.write("x")
    os._exit(7)


def refuse() -> None:
    raise NotFoundError("not here")


def number() -> int:
    sys.stdout.write("no answer\n")
    return os.getpid()


@pytest.fixture(scope="module")
def pool() -> Any:
    """Two processes, for tests that leave them as they were."""
    with WorkerProcesses(2) as processes:
        yield processes


def test_calls_are_made_elsewhere(pool: WorkerProcesses) -> None:
    """In at most two processes, none of them this one; what they print is no answer."""
    numbers = {future.result() for future in [pool.submit(number) for _ in range(8)]}
    assert 1 <= len(numbers) <= 2
    assert os.getpid() not in numbers


def test_what_a_call_raises_arrives(pool: WorkerProcesses) -> None:
    """Type and sentence."""
    with pytest.raises(NotFoundError, match="not here"):
        pool.submit(refuse).result()


def test_what_can_not_be_sent_or_found_there_is_raised(pool: WorkerProcesses) -> None:
    """A function without a name; the next call is made all the same."""
    with pytest.raises(Exception, match="pickle"):
        pool.submit(lambda: 1).result()
    assert pool.submit(os.getpid).result() > 0


def test_a_lost_call_is_made_again(pool: WorkerProcesses, tmp_path: Path) -> None:
    """By a process that takes the lost one's place."""
    before = pool.lost
    assert pool.submit(end_once, str(tmp_path / "ended")).result() == "done"
    assert pool.lost == before + 1


def test_a_call_that_ends_every_process_is_given_up(pool: WorkerProcesses, tmp_path: Path) -> None:
    """After three, and it says how they ended; the pool goes on."""
    with pytest.raises(WorkerLostError, match=r"3 worker processes ended.*exit status 7"):
        pool.submit(end_always, str(tmp_path / "tries")).result()
    assert (tmp_path / "tries").read_text() == "x" * ATTEMPTS
    assert pool.submit(os.getpid).result() > 0


def test_no_process_outlives_its_pool() -> None:
    """Neither at the end nor when a block is left by an exception, in the middle of a call."""
    with WorkerProcesses(1) as processes:
        one = processes.submit(os.getpid).result()
    with pytest.raises(KeyboardInterrupt), WorkerProcesses(1) as processes:
        two = processes.submit(os.getpid).result()
        processes.submit(time.sleep, 600)
        raise KeyboardInterrupt
    for pid in (one, two):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_no_process_outlives_one_that_is_killed() -> None:
    """Their input ends, and so do they."""
    code = (
        "import os, sys, time; from ckpt_inspect.runs.worker_processes import WorkerProcesses\n"
        "print(WorkerProcesses(1).submit(os.getpid).result(), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] == "Z":
            return  # nobody asks how it ended
        time.sleep(0.1)
    pytest.fail(f"process {pid} is still there")


# --- with an analysis


def test_the_same_store_as_one_process(tmp_path: Path, pool: WorkerProcesses) -> None:
    """To the bit."""
    save_series(tmp_path / "run", 5)
    alone = analyze(tmp_path / "run", store=tmp_path / "a.h5")
    assert analyze(tmp_path / "run", store=tmp_path / "b.h5", executor=pool) == alone
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")


def measure_or_end(units: Sequence[Any], threads: int | None = 1) -> list[UnitResult]:
    """End the process that measures a certain checkpoint."""
    if any(unit.path.name == "model.ckpt-20" for unit in units):
        os._exit(9)
    return measure_units(units, threads)


@pytest.mark.parametrize("together", [1, 2, 8])
def test_what_ends_every_worker_is_one_failure(
    tmp_path: Path, pool: WorkerProcesses, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """The others are analysed, also those that were asked for together with it."""
    save_series(tmp_path / "run", 3)
    pool.together = together
    monkeypatch.setattr(execution, "measure_units", measure_or_end)
    found = analyze(tmp_path / "run", executor=pool)
    assert list(found.checkpoints["checkpoint"]) == ["model.ckpt-10", "model.ckpt-30"]
    (failure,) = found.failures
    assert "model.ckpt-20: 3 worker processes ended while they read it" in failure.problem.message


class Breaking(Executor):
    """Does what it is asked for twice; then its workers are lost."""

    def __init__(self, together: int) -> None:
        self.count, self.together = 0, together

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.count += 1
        future: Future[Any] = Future()
        if self.count <= 2:
            future.set_result(fn(*args, **kwargs))
        elif self.count <= 4:
            future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
        else:
            raise BrokenProcessPool("a child process terminated abruptly, it is not usable any more")
        return future


@pytest.mark.parametrize("together", [1, 2])
def test_this_process_does_what_a_broken_executor_leaves(tmp_path: Path, together: int) -> None:
    """The result says so, the store doesn't: it is the same store."""
    save_series(tmp_path / "run", 5 * together + 2)
    alone = analyze(tmp_path / "run", store=tmp_path / "a.h5")
    found = analyze(tmp_path / "run", store=tmp_path / "b.h5", executor=Breaking(together))
    assert [p.code for p in found.problems if p not in alone.problems] == [WORKERS_LOST]
    assert load(tmp_path / "b.h5") == alone
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")


def end_worker_once(units: Sequence[Any], threads: int | None = 1) -> list[UnitResult]:
    """End the process that measures a certain checkpoint, the first time."""
    for unit in units:
        if unit.path.name == "model.ckpt-20":
            end_once(str(unit.path) + ".ended")
    return measure_units(units, threads)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_the_executors_of_the_standard_library(tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a pool that breaks in the middle."""
    save_series(tmp_path / "run", 4)
    alone = analyze(tmp_path / "run")
    if kind is ProcessPoolExecutor:
        monkeypatch.setattr(execution, "measure_units", end_worker_once)
    with kind(1) as executor:
        found = analyze(tmp_path / "run", executor=executor)
    assert found.checkpoints.keys() == alone.checkpoints.keys()
    assert list(found.checkpoints["checkpoint"]) == list(alone.checkpoints["checkpoint"])
    assert [p.code for p in found.problems if p not in alone.problems] == (
        [WORKERS_LOST] if kind is ProcessPoolExecutor else []
    )
