"""A copy of the process reads, and may die."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from ckpt_inspect.errors import StoreError
from ckpt_inspect.runs.apart import DiedReading, apart, expect

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="no copies are made here")

ROOM = 1 << 28


def test_what_the_copy_finds_comes_back() -> None:
    """Its pieces, joined; texts and numbers of a run as they were."""
    assert apart(lambda: [b"ab", memoryview(bytes(range(3)))], 30, ROOM) == b"ab\0\1\2"


def test_errors_of_the_copy_are_raised_here() -> None:
    """With the same words."""

    def refuse() -> list[bytes]:
        raise StoreError("s.h5: is damaged")

    with pytest.raises(StoreError, match=r"^s\.h5: is damaged$"):
        apart(refuse, 30, ROOM)


def test_a_copy_that_dies_is_an_error() -> None:
    """As libhdf5 dies of some bytes."""

    def die() -> list[bytes]:
        os.kill(os.getpid(), signal.SIGSEGV)
        return []

    with pytest.raises(DiedReading, match="ends the process"):
        apart(die, 30, ROOM)


def test_a_copy_that_takes_for_ever_is_ended() -> None:
    """No process is left. In an interpreter of its own: this one may have others."""
    script = """
import os, time
from ckpt_inspect.runs.apart import DiedReading, apart
try:
    apart(lambda: time.sleep(60) or [], 0.2, 1 << 28)
except DiedReading as error:
    print(error)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none is left")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "for ever" in done.stdout
    assert done.stdout.endswith("none is left\n")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="nobody says here how a process works")  # noqa: PTH110
def test_a_copy_that_works_may_take_longer() -> None:
    """On a busy machine a sound store takes many times as long as elsewhere, and is no damaged one."""

    def work() -> list[bytes]:
        until = time.monotonic() + 0.9
        while time.monotonic() < until:
            pass
        return [b"done"]

    assert apart(work, 0.3, ROOM) == b"done"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is not limited here")  # noqa: PTH110
def test_memory_that_was_not_announced_is_refused() -> None:
    """What was announced is there."""

    def ask(announced: int) -> list[bytes]:
        expect(announced)
        return [bytes(len(bytearray(2 * ROOM)) and 1)]

    with pytest.raises(DiedReading):
        apart(lambda: ask(0), 30, ROOM)
    assert apart(lambda: ask(2 * ROOM), 30, ROOM) == b"\0"


def test_ctrl_c_while_the_copy_is_made_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python drops what is raised in the functions that it calls after a fork."""
    real = os.fork

    def fork() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)  # where Python looks for signals
        return real()

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(KeyboardInterrupt):
        apart(lambda: [time.sleep(5) or b""], 10, 1 << 28)


def test_a_copy_outlives_nobody_for_long() -> None:
    """Its time on the processor is limited, to a third: one that goes in circles ends soon, and if its maker dies."""

    def limit() -> list[bytes]:
        return [str(resource.getrlimit(resource.RLIMIT_CPU)[0]).encode()]

    assert int(apart(limit, 6.5, ROOM)) == 3


def test_no_size_of_a_file_is_too_much_to_wait_for() -> None:
    """A sparse one may claim any, and with it more seconds than a clock takes."""
    assert apart(lambda: [b"a"], 1e15, ROOM) == b"a"
