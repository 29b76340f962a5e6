"""The workers of an existing Dask cluster, as an executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ClusterExecutor(Executor):
    """Has the workers of a Dask cluster do what is submitted.

    distributed's own executor leaves a future pending for ever if workers are lost at a bad moment: when its task has
    failed for good, it asks for a result and doesn't expect the error.
    """

    def __init__(self, client: Any) -> None:
        """`client`: a `distributed.Client`, which has no types."""
        self._client = client

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return the future of a call, which is made anew even if a call was the same."""
        future = Future[T]()
        task = self._client.submit(fn, *args, **kwargs, pure=False)
        future.add_done_callback(lambda done: task.cancel() if done.cancelled() else None)
        task.add_done_callback(lambda task: _take(task, future))
        return future


def _take(task: Any, future: Future[Any]) -> None:
    """Give what became of a cluster's task to the future that stands for it."""
    if task.status == "cancelled":
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(task.result())
    except BaseException as error:
        future.set_exception(error)
