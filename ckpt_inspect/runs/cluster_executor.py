"""The workers of an existing Dask cluster, as an executor."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, ParamSpec, TypeVar

PATIENCE = 60.0
"""Seconds that are waited for another worker when a cluster has lost all of them: time to start one anew."""

P = ParamSpec("P")
T = TypeVar("T")


class ClusterExecutor(Executor):
    """Has the workers of a Dask cluster do what is submitted.

    distributed's own executor leaves a future pending for ever if workers are lost at a bad moment: when its task has
    failed for good, it asks for a result and doesn't expect the error. And Dask itself waits for ever for workers that
    don't come back: here each future fails when none has been there for `PATIENCE` seconds.
    """

    def __init__(self, client: Any) -> None:
        """`client`: a `distributed.Client`, which has no types."""
        self._client = client
        self._lock = Lock()
        self._pending: dict[Future[Any], Any] = {}
        """With the cluster's task for each."""
        self._lost = ""
        """Why nothing is taken any more; empty while it is."""
        self._is_over = Event()
        self._watcher: Thread | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return the future of a call, which is made anew even if a call was the same. Raises BrokenExecutor if the
        workers are lost."""
        future = Future[T]()
        with self._lock:
            if self._lost:
                raise BrokenExecutor(self._lost)
            task = self._client.submit(fn, *args, **kwargs, pure=False)
            self._pending[future] = task
            if self._watcher is None:
                self._watcher = Thread(target=self._watch, name="ckpt-inspect-cluster", daemon=True)
                self._watcher.start()
        future.add_done_callback(self._let_go)
        task.add_done_callback(lambda task: self._take(task, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop looking after the workers, which go on."""
        self._is_over.set()
        if cancel_futures:
            for future in tuple(self._pending):
                future.cancel()

    def _let_go(self, future: Future[Any]) -> None:
        """Have the cluster forget what was cancelled here."""
        task = self._pending.pop(future, None)
        if future.cancelled() and task is not None:
            with suppress(Exception):  # the scheduler may be gone, and distributed's errors are of many kinds
                task.cancel()

    def _take(self, task: Any, future: Future[Any]) -> None:
        """Pass the outcome of a cluster's task to the future that stands for it."""
        found: Any = None
        error: BaseException | None = None
        try:
            if task.status == "cancelled":
                raise BrokenExecutor("the cluster's scheduler is gone, or gave up what it was asked for")
            # takes its time: if a worker is lost with what it had done, the task is "lost" until another does it again
            found = task.result()
        except OSError as each:  # the connection's: what a unit meets is its result
            error = BrokenExecutor(f"the cluster can't be reached any more: {each}")
        except BaseException as each:
            error = each
        self._settle(future, found, error)

    def _settle(self, future: Future[T], found: T, error: BaseException | None) -> None:
        with self._lock:
            if future.done() or not future.set_running_or_notify_cancel():
                return
            if error is None:
                future.set_result(found)
            else:
                future.set_exception(error)

    def _watch(self) -> None:
        """Let everything fail that is waited for, when no worker has been there for too long."""
        seen = time.monotonic()
        while not self._is_over.wait(PATIENCE / 8):
            try:
                has_workers = bool(self._client.nthreads())
            except Exception:  # of many kinds: the scheduler doesn't answer
                has_workers = False
            if has_workers:
                seen = time.monotonic()
            elif time.monotonic() - seen >= PATIENCE:
                self._lose(f"the cluster has had no worker for {PATIENCE:.0f} s")
                return

    def _lose(self, why: str) -> None:
        with self._lock:
            self._lost = why
        for future in tuple(self._pending):
            self._settle(future, None, BrokenExecutor(why))
