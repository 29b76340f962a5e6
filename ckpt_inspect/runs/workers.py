"""Who does the work: this process, processes of its own, or an existing cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ckpt_inspect._version import __version__
from ckpt_inspect.errors import RequestError
from ckpt_inspect.storage import absolute, as_path, native_path

if TYPE_CHECKING:
    from concurrent.futures import Executor

ANSWER = 15.0
"""Seconds within which a cluster's scheduler has to answer, and to have a worker."""


AUTO = "auto"
"""In place of a number of workers: as many as are worth it."""

MANY = 500
"""Checkpoints from which on processes are started for them: each takes as long to start as measuring a hundred."""

_MOST = 4
"""Processes that are started unasked: this one takes in what about four of them measure of small checkpoints."""


class Spare:
    """Processes of this machine that are started once there is enough to do. A context manager: they end with it."""

    def __init__(self) -> None:
        """None is started yet."""
        self._started = ExitStack()
        self._executor: Executor | None = None

    def __enter__(self) -> Spare:
        return self

    def __exit__(self, *error: Any) -> None:
        self._started.__exit__(*error)

    def executor_for(self, paths: Sequence[Path]) -> Executor | None:
        """Return what does the work on so many checkpoints; None if this process is as fast, or may start none."""
        count = min(_processors(), _MOST)
        if self._executor is None and count > 1 and len(paths) >= MANY and native_path(paths[0]) is not None:
            from ckpt_inspect.runs.worker_processes import WorkerProcesses  # and with it multiprocessing

            with suppress(OSError):
                self._executor = self._started.enter_context(WorkerProcesses(count))
        return self._executor


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(
    executor: Executor | Spare | None,
    count: int | Literal["auto"] | None,
    cluster: str | None,
    paths: Iterable[str | os.PathLike[str]] = (),
) -> Iterator[Executor | Spare | None]:
    """Give the executor, or so many processes of this machine, or the workers of the Dask cluster at an address; None
    if nothing is asked for. Raises RequestError for more than one, or a cluster that can't do the work on `paths`."""
    if sum(each is not None for each in (executor, None if count == AUTO else count, cluster)) > 1:
        raise RequestError("an executor, a number of workers and a cluster are three ways to do the work: choose one")
    if count == AUTO and executor is None and cluster is None:
        with Spare() as spare:
            yield spare
    elif isinstance(count, int):
        from ckpt_inspect.runs.worker_processes import WorkerProcesses  # and with it multiprocessing

        with WorkerProcesses(count) as processes:
            yield processes
    elif cluster is not None:
        from ckpt_inspect.runs.cluster_executor import ClusterExecutor

        with _client(cluster) as client:
            _check_workers(client, cluster, paths)
            with ClusterExecutor(client) as executor:
                yield executor
    else:
        yield executor


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise RequestError(
            "a cluster is used through distributed, which is not installed: pip install 'ckpt-inspect[cluster]'"
        ) from error
    import logging

    connect: Any = Client  # it has no types
    for name in ("distributed.client", "distributed.comm", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are reported in one sentence, below
    try:
        client: Any = connect(address, timeout=ANSWER)
    except (OSError, ValueError, TimeoutError) as error:
        raise RequestError(
            f"{address}: no Dask scheduler answered within {ANSWER:.0f} s ({error}); is it running, and is this its "
            "address, such as tcp://10.0.0.5:8786?"
        ) from error
    try:
        yield client
    finally:
        with suppress(OSError, TimeoutError):
            client.close(timeout=ANSWER)


def _check_workers(client: Any, address: str, paths: Iterable[str | os.PathLike[str]]) -> None:
    """Raise RequestError if a worker has another version of this package, or none, or doesn't see the files."""
    places = [absolute(path) for path in paths if native_path(as_path(path)) is not None and Path(path).exists()]
    try:
        client.wait_for_workers(1, timeout=ANSWER)
    except TimeoutError as error:
        raise RequestError(
            f"{address}: this scheduler has no worker, and none came within {ANSWER:.0f} s: start one, then try again"
        ) from error
    found = client.run(_looked, places, on_error="return")
    for worker, seen in found.items():
        if isinstance(seen, BaseException):
            raise RequestError(
                f"{address}: the worker {worker} can't run ckpt-inspect ({type(seen).__name__}: {seen}): install "
                f"version {__version__} and the same Python there"
            ) from seen
        version, missing = seen
        if version != __version__:
            raise RequestError(
                f"{address}: the worker {worker} has ckpt-inspect {version}, and this is {__version__}: install the "
                "same there"
            )
        if missing:
            raise RequestError(
                f"{address}: the worker {worker} doesn't see {missing[0]}: every worker needs the checkpoints under "
                "the same path, as on a shared file system, or at an address such as s3://"
            )


def _looked(places: list[str]) -> tuple[str, list[str]]:
    """Say which version is here, and which of the places are not; done by a worker."""
    return __version__, [place for place in places if not Path(place).exists()]
