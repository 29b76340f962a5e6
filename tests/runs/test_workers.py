"""A Dask cluster does the work, or processes unasked: the same store, whatever becomes of them; what is wrong is one
sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path
from typing import Any

import pytest
from support.adam_bundles import save_series
from support.store_contents import contents

from ckpt_inspect import analyze
from ckpt_inspect.cli.analysing import print_analyses
from ckpt_inspect.cli.asked import Common
from ckpt_inspect.errors import RequestError
from ckpt_inspect.runs import cluster_executor, execution, worker_processes, workers
from ckpt_inspect.runs.execution import UnitResult, measure_units
from ckpt_inspect.runs.worker_processes import WorkerProcesses
from ckpt_inspect.storage import as_path

pytestmark = pytest.mark.filterwarnings("default")
"""distributed warns of ports and of its own parts."""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two processes with one thread each."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        yield local


def measure_or_end_once(units: Sequence[Any], threads: int | None = 1) -> list[UnitResult]:
    """End the process that measures a certain checkpoint, the first time."""
    (unit,) = units
    ended = Path(f"{unit.path}.ended")
    if unit.path.name == "model.ckpt-50" and not ended.exists():
        ended.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return measure_units(units, threads)


def test_a_lost_worker_of_a_cluster_changes_nothing(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its work is done by the other, or by the one that takes its place; every variable is the same to the bit."""
    save_series(tmp_path / "run", 12)
    alone = analyze(tmp_path / "run", store=tmp_path / "a.h5")
    monkeypatch.setattr(execution, "measure_units", measure_or_end_once)
    found = analyze(tmp_path / "run", store=tmp_path / "b.h5", cluster=cluster.scheduler_address)
    assert (tmp_path / "run" / "model.ckpt-50.ended").exists()
    assert found == alone
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")


def always_end(units: Sequence[Any], threads: int | None = 1) -> list[UnitResult]:
    """End every process that measures a certain checkpoint."""
    if units[0].path.name == "model.ckpt-20":
        os.kill(os.getpid(), signal.SIGKILL)
    return measure_units(units, threads)


def test_what_ends_every_worker_of_a_cluster_is_one_failure(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask gives it up after some, and the others are analysed."""
    save_series(tmp_path / "run", 4)
    monkeypatch.setattr(execution, "measure_units", always_end)
    found = analyze(tmp_path / "run", cluster=cluster.scheduler_address)
    assert list(found.checkpoints["checkpoint"]) == ["model.ckpt-10", "model.ckpt-30", "model.ckpt-40"]
    (failure,) = found.failures
    assert "the cluster's workers ended while they read it" in failure.problem.message


class LateTask:
    """A cluster's task that is called unfinished and then turns out to have failed."""

    status = "pending"

    def add_done_callback(self, call: Any) -> None:
        """Call at once."""
        call(self)

    def result(self) -> None:
        """Fail."""
        raise ValueError("lost and failed")


def test_a_task_that_fails_late_is_done_all_the_same() -> None:
    """Nobody waits for it for ever."""

    class Client:
        def submit(self, *_: Any, **__: Any) -> LateTask:
            return LateTask()

    assert isinstance(cluster_executor.ClusterExecutor(Client()).submit(len, "").exception(timeout=1), ValueError)


def test_an_address_without_a_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a time limit, in one sentence."""
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "ANSWER", 1.0)
    save_series(tmp_path / "run", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(RequestError, match="no Dask scheduler answered within 1 s"):
            analyze(tmp_path / "run", cluster=address)
    with pytest.raises(RequestError, match="no Dask scheduler answered"):
        analyze(tmp_path / "run", cluster="nowhere://x:y")


def test_workers_of_another_version_or_without_the_files(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is asked before the work begins."""
    save_series(tmp_path / "run", 1)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "__version__", "9.9")
        with pytest.raises(RequestError, match=r"has ckpt-inspect .*, and this is 9\.9"):
            analyze(tmp_path / "run", cluster=cluster.scheduler_address)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "absolute", lambda path: "/elsewhere/run")
        with pytest.raises(RequestError, match="doesn't see /elsewhere/run: every worker needs the checkpoints"):
            analyze(tmp_path / "run", cluster=cluster.scheduler_address)


def test_without_distributed_a_cluster_is_refused(tmp_path: Path) -> None:
    """With the line that installs it."""
    save_series(tmp_path / "run", 1)
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "import ckpt_inspect as ci\n"
        f"ci.analyze({str(tmp_path / 'run')!r}, cluster='tcp://127.0.0.1:1')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "distributed, which is not installed: pip install 'ckpt-inspect[cluster]'" in done.stderr


class SilentClient:
    """A cluster that takes what it is given, and has lost all its workers."""

    def __init__(self, workers: dict[str, int]) -> None:
        self._workers = workers

    def submit(self, *_: Any, **__: Any) -> Any:
        """Never done."""

        class Task:
            status = "pending"

            def add_done_callback(self, call: Any) -> None:
                """Nothing calls."""

        return Task()

    def nthreads(self) -> dict[str, int]:
        """The workers that are there."""
        return self._workers


def test_what_a_cluster_without_workers_was_given_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask waits for ever. As long as there is a worker nothing is given up, and what comes later is refused."""
    monkeypatch.setattr(cluster_executor, "PATIENCE", 0.2)
    with cluster_executor.ClusterExecutor(SilentClient({"tcp://10.0.0.5:1": 1})) as busy:
        late = busy.submit(len, "")
        with cluster_executor.ClusterExecutor(SilentClient({})) as lost:
            waiting = lost.submit(len, "")
            with pytest.raises(BrokenExecutor, match=r"has had no worker for 0 s"):
                waiting.result(timeout=30)
            with pytest.raises(BrokenExecutor):
                lost.submit(len, "")
        assert not late.done()


def test_a_cluster_that_gives_up_a_task_is_a_lost_one() -> None:
    """As when its scheduler is gone: this machine then does the rest."""

    class Client(SilentClient):
        def submit(self, *_: Any, **__: Any) -> Any:
            task = LateTask()
            task.status = "cancelled"
            return task

    with cluster_executor.ClusterExecutor(Client({})) as executor, pytest.raises(BrokenExecutor, match="gave up"):
        executor.submit(len, "").result(timeout=30)


class LostTask(LateTask):
    """A cluster's task that was done by a worker that is lost with the outcome, and that another does again."""

    status = "lost"

    def result(self) -> int:
        """Wait for the other."""
        return 3


def test_what_a_lost_worker_had_done_is_waited_for() -> None:
    """The cluster is not lost with it: Dask has it done again, and nothing has to be said of it."""

    class Client(SilentClient):
        def submit(self, *_: Any, **__: Any) -> Any:
            return LostTask()

    with cluster_executor.ClusterExecutor(Client({})) as executor:
        assert executor.submit(len, "abc").result(timeout=30) == 3


@pytest.mark.parametrize("when", ["as it is asked", "while it is read"])
def test_what_ended_all_workers_does_not_end_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """What they were asked for is done by another process; if that ends of it as well, it is one failure."""

    class Broken(Executor):
        def submit(self, *_: Any, **__: Any) -> Any:
            if when == "as it is asked":
                raise BrokenExecutor("gone")
            future = Future[Any]()
            future.set_exception(BrokenExecutor("gone"))
            return future

    save_series(tmp_path / "run", 4)
    monkeypatch.setattr(execution, "measure_units", always_end)
    found = analyze(tmp_path / "run", executor=Broken())
    assert list(found.checkpoints["checkpoint"]) == ["model.ckpt-10", "model.ckpt-30", "model.ckpt-40"]
    (failure,) = found.failures
    assert "worker processes ended while they read it" in failure.problem.message
    assert "the executor lost its workers (BrokenExecutor: gone)" in found.remarks[-1].problem.message


def test_lost_workers_where_no_process_may_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one does the rest."""

    class Broken(Executor):
        def submit(self, *_: Any, **__: Any) -> Any:
            raise BrokenExecutor("gone")

    def refused(_: int) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(worker_processes, "WorkerProcesses", refused)
    save_series(tmp_path / "run", 2)
    alone = analyze(tmp_path / "run", store=tmp_path / "a.h5")
    found = analyze(tmp_path / "run", store=tmp_path / "b.h5", executor=Broken())
    assert len(found) == len(alone)
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")


def measure_slowly(units: Sequence[Any], threads: int | None = 1) -> list[UnitResult]:
    """Leave time to lose a worker."""
    time.sleep(0.5)
    return measure_units(units, threads)


def test_a_connection_that_ends_is_a_lost_cluster() -> None:
    """As when its scheduler is killed while a result is on its way."""

    class ClosedTask(LateTask):
        def result(self) -> None:
            raise ConnectionError("Stream is closed")

    class Client(SilentClient):
        def submit(self, *_: Any, **__: Any) -> Any:
            return ClosedTask()

    with (
        cluster_executor.ClusterExecutor(Client({})) as executor,
        pytest.raises(BrokenExecutor, match="can't be reached any more: Stream is closed"),
    ):
        executor.submit(len, "").result(timeout=30)


def test_all_workers_of_a_cluster_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine does the rest when others have been waited for, and says so; the results are the same."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(cluster_executor, "PATIENCE", 2.0)
    monkeypatch.setattr(execution, "measure_units", measure_slowly)
    save_series(tmp_path / "run", 6)
    alone = analyze(tmp_path / "run", store=tmp_path / "a.h5")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:

        def end_all(done: int, total: int) -> None:
            if done and cluster.workers:
                cluster.scale(0)

        found = analyze(tmp_path / "run", store=tmp_path / "b.h5", cluster=cluster.scheduler_address, progress=end_all)
    assert "the cluster has had no worker for 2 s" in found.remarks[-1].problem.message
    assert len(found) == len(alone)
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")


# --- unasked


def test_processes_are_started_unasked_for_many_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And end with the work; the store is the same to the bit, and the next analysis, of nothing new, starts none."""
    started: list[WorkerProcesses] = []

    class Noted(WorkerProcesses):
        def __init__(self, count: int) -> None:
            super().__init__(count)
            started.append(self)

    monkeypatch.setattr(worker_processes, "WorkerProcesses", Noted)
    monkeypatch.setattr(workers, "MANY", 4)
    monkeypatch.setattr(workers, "_processors", lambda: 2)
    save_series(tmp_path / "run", 4)
    alone = analyze(tmp_path / "run", store=tmp_path / "a.h5")
    assert not started
    assert analyze(tmp_path / "run", store=tmp_path / "b.h5", workers="auto") == alone
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")
    (pool,) = started
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, 1)
    assert analyze(tmp_path / "run", store=tmp_path / "b.h5", workers="auto") == alone
    assert len(started) == 1


@pytest.mark.parametrize("why", ["few", "far", "one processor", "none may be started"])
def test_no_process_is_started_unasked(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Where this one is as fast, or alone."""

    def refused(_: int) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(worker_processes, "WorkerProcesses", refused)
    monkeypatch.setattr(workers, "_processors", lambda: 1 if why == "one processor" else 8)
    path = as_path("s3://bucket/model" if why == "far" else "/run/model")
    with workers.Spare() as spare:
        assert spare.executor_for([path] * (workers.MANY - (why == "few"))) is None


@pytest.mark.parametrize(("asked", "count"), [(None, "auto"), (3, 3)])
def test_the_command_line_starts_processes_for_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None, count: object
) -> None:
    """Unless it is told how many."""
    found: list[object] = []

    def noted(*_: Any, workers: object, **__: Any) -> Iterator[Any]:
        found.append(workers)
        return iter(())

    monkeypatch.setattr("ckpt_inspect.api.analyze_runs", noted)
    print_analyses([str(tmp_path)], Common({}, (), (), json=False, quiet=True, verbose=False), workers=asked)
    assert found == [count]
