"""Processes that do units of work, as an executor that a lost process doesn't end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from ckpt_inspect.errors import WorkerLostError
from ckpt_inspect.storage import credentials

TOGETHER = 8
"""Small checkpoints that a process is asked for at a time: to ask for one takes half as long as to measure it."""

_ALL_TOGETHER = 128
"""Such checkpoints that all processes are asked for at a time, lest some wait while others have many."""

ATTEMPTS = 3
"""How often a call is made that ends the process that makes it; then it is taken to be the cause."""

_CODE = "import sys; sys.path[:] = {path!r}; from ckpt_inspect.runs.serving import serve; serve({handle})"

T = TypeVar("T")


class _Lost(Exception):  # noqa: N818 - said of what happened
    """The process ended before it answered; the message says how."""


class _Process:
    """One worker, which makes one call at a time. It ends with this process, however that ends: its input does."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        self._secrets: credentials.Kept = ({}, {})
        # A session of its own: what a terminal sends on Ctrl-C is for this process, which then ends its workers
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path=sys.path, handle=theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    def call(self, function: Callable[..., object], arguments: tuple[object, ...], named: dict[str, object]) -> object:
        """Return what the function returns there, or raise what it raises; _Lost if the process ends meanwhile."""
        if (secrets := credentials.kept()) != self._secrets:  # which paths don't hold
            self._secrets = secrets
            self.call(credentials.take, (secrets,), {})
        try:
            self._connection.send((function, arguments, named))
            is_done, answer = self._connection.recv()
        except (OSError, EOFError) as error:
            raise _Lost(self._ending()) from error
        if not is_done:
            raise answer
        return answer

    def end(self) -> None:
        """Let it finish what it is at, if anything, and end."""
        self._connection.close()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _ending(self) -> str:
        self._process.kill()
        status = self._process.wait()
        self._connection.close()
        return f"signal {-status}" if status < 0 else f"exit status {status}"


class WorkerProcesses(ThreadPoolExecutor):
    """So many processes, each of which makes one call at a time. A context manager, as every executor is.

    A process that ends in the middle of a call is replaced, and the call is made again, three times in all. Functions
    and arguments go there pickled; no module of the caller's is imported but those that they are from. When a `with`
    block ends by an exception, what is being done is ended at once.
    """

    def __init__(self, count: int) -> None:
        """The processes start at once, and are ready when they have imported what they need, some 0.2 s later."""
        super().__init__(count, thread_name_prefix="ckpt-inspect-worker")
        self.together = max(1, min(TOGETHER, _ALL_TOGETHER // count))
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: set[_Process] = set()
        self._is_ending = False
        self.lost = 0
        """Processes that ended in the middle of a call so far."""
        for _ in range(count):
            self._idle.put(self._started())

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Make a call in a process; the future raises WorkerLostError if the call ends each that makes it."""
        return super().submit(self._call, fn, args, kwargs)  # type: ignore[arg-type]  # what fn returns

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when they have done what was submitted."""
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            for process in self._all:
                process.end()
            while self._all:
                self._all.pop().wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._is_ending = True
            for process in tuple(self._all):
                process.kill()
        self.shutdown(cancel_futures=error is not None)

    def _started(self) -> _Process:
        process = _Process()
        self._all.add(process)
        return process

    def _call(self, function: Callable[..., object], arguments: tuple[object, ...], named: dict[str, object]) -> object:
        process = self._idle.get()
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return process.call(function, arguments, named)
                except _Lost as error:  # noqa: PERF203 - few attempts
                    self._all.discard(process)
                    self.lost += 1
                    if self._is_ending:
                        raise WorkerLostError("the worker process was ended with its pool") from error
                    process = self._started()
                    if attempt == ATTEMPTS:
                        raise WorkerLostError(
                            f"{ATTEMPTS} worker processes ended while they read it, the last with {error}: it needs "
                            f"more memory than there is, or crashes its reader; try it alone, without workers"
                        ) from error
            raise AssertionError("an attempt returns or raises")
        finally:
            self._idle.put(process)
