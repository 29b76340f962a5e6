"""Reading that may end the process that does it: libhdf5 dies of, or loops on, some damaged files.

A copy of this process reads, and hands back what it found; if it dies or takes too long, that is an error like another.
A copy is made within milliseconds and has everything imported already. Where a system has no `fork`, the function is
called here.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ckpt_inspect.errors import CkptInspectError, StoreError
from ckpt_inspect.runs.sheltered import SignalShelter

Pieces = Sequence[bytes | memoryview]

_DONE, _MARK = b"+", 16
"""How an answer begins that is what the function returned, and the bytes before it."""

_MOST_SECONDS = 86_400.0
"""What a copy may take at the most: a sparse file may claim any size."""

_WAITING = 3
"""How many times as long as it may work a copy may take, on a busy machine."""

_limit: int | None = None
"""Bytes of address space that the copy may have at present; None in any other process."""


class DiedReading(RuntimeError):  # noqa: N818 - said of what happened
    """The copy ended, or was ended, before it had read everything."""


def apart(function: Callable[[], Pieces], seconds: float, room: int) -> bytearray:
    """Return what the function returns, pieces of bytes, joined; done in a copy of this process.

    The copy may take so many `seconds`, a third of them of the processor's time, and `room` bytes of memory beyond what
    `expect` announces. On a busy machine it may take longer, as long as it works. Raises StoreError with the words of
    what the function raises, DiedReading if the copy dies or takes longer.
    """
    seconds = min(seconds, _MOST_SECONDS)
    if not hasattr(os, "fork") or sys.platform == "darwin":  # macOS's own libraries don't bear a fork
        return bytearray().join(function())
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    shelter = SignalShelter(_copied)  # Python drops what is raised in the functions that it calls after a fork
    copy = _copied()
    if copy == 0:
        _be_the_copy(function, writing, seconds, room)
    shelter.close()
    os.close(writing)
    try:
        answer = _all_of(reading, copy, seconds)
    except BaseException:
        os.kill(copy, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        status = os.waitpid(copy, 0)[1]
    if status or not answer:
        raise DiedReading("reading it ends the process that does it")
    is_done = answer[:1] == _DONE
    del answer[:_MARK]
    if not is_done:
        raise StoreError(answer.decode("utf-8", "replace"))
    return answer


def _copied() -> int:
    """Make a copy of this process; return its number, and 0 in the copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the copy takes no lock of theirs
        return os.fork()


def expect(nbytes: int) -> None:
    """Announce that an array of that many bytes is about to be read: let a copy of a process have as much more."""
    global _limit
    if _limit is not None:
        import resource

        _limit += nbytes
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (_limit if hard < 0 else min(_limit, hard), hard))


def _be_the_copy(function: Callable[[], Pieces], writing: int, seconds: float, room: int) -> NoReturn:
    """Do it, tell it, and end without anything that this process meant to do at its end."""
    global _limit
    try:
        import faulthandler
        import gc
        import resource

        gc.disable()
        faulthandler.disable()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the C library says of a damaged heap
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # of the processor's time, which a busy machine doesn't shorten; also in case whoever would end it is killed
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        most = math.ceil(seconds / _WAITING)
        resource.setrlimit(resource.RLIMIT_CPU, (most if hard < 0 else min(most, hard), hard))
        _limit = _address_space()
        expect(room)
        try:
            answer: Pieces = [_DONE, bytes(_MARK - 1), *function()]
        except CkptInspectError as error:
            answer = [bytes(_MARK), str(error).encode("utf-8", "replace")]
        with os.fdopen(writing, "wb") as stream:
            for piece in answer:
                stream.write(piece)
        os._exit(0)
    finally:
        os._exit(1)


def _worked(process: int) -> int:
    """Return how much of the processor's time a process has had, in ticks; 0 where that is not told."""
    try:
        told = Path(f"/proc/{process}/stat").read_text("ascii", "replace")
        return sum(map(int, told.rpartition(")")[2].split()[11:13]))
    except (OSError, ValueError):
        return 0


def _address_space() -> int | None:
    """Return the bytes of address space this process has; None where that is not told."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _all_of(reading: int, copy: int, seconds: float) -> bytearray:
    """Return all that a copy writes into a pipe until its end; raises DiedReading if it does nothing for so long."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    found = bytearray()
    until, worked = time.monotonic() + seconds, 0
    while True:
        left = until - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            now = _worked(copy)  # the copy's own limit ends it if it works in circles
            if now <= worked:
                raise DiedReading("reading it takes for ever")
            until, worked = time.monotonic() + seconds, now
            continue
        piece = os.read(reading, 1 << 20)
        if not piece:
            return found
        found += piece
