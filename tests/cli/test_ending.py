"""How the process ends: at once, and with all that the interpreter would have done that anyone sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = "from ckpt_inspect.__main__ import run_process\n"
ALONE = PROGRAM + "run_process()"


def ended(code: str, *words: str) -> tuple[int, str]:
    """Exit code and stdout of a program."""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("words, code", [(("explain", "nonfinite"), 0), (("show", "nothing-there"), 1), (("diff",), 2)])
def test_the_exit_code_is_the_commands(words: tuple[str, ...], code: int) -> None:
    """Whatever it is, and by whichever way its words are parsed."""
    assert ended(ALONE, *words)[0] == code


def test_what_was_printed_arrives() -> None:
    """All of a page, though stdout is no terminal."""
    code, text = ended(ALONE, "explain")
    assert code == 0
    assert text == ended("from ckpt_inspect.cli.app import main; main()", "explain")[1] != ""


def test_exit_functions_are_called() -> None:
    """Those that were registered before as well, with what they print."""
    code = "import atexit; atexit.register(print, 'farewell')\n"
    assert ended(code + ALONE, "show", "nothing-there") == (1, "farewell\n")


def test_threads_are_waited_for() -> None:
    """Unless they are daemons."""
    started = "import threading; threading.Timer(0.5, print, ['late']).start()\n"
    assert ended(started + ALONE, "show", "nothing-there") == (1, "late\n")


def test_a_program_that_runs_it_goes_on() -> None:
    """A profiler, or whoever calls it as a function."""
    calls = f"""
def calling():
    {PROGRAM}
    try:
        run_process()
    except SystemExit as ending:
        print("went on with", ending.code)
calling()
"""
    assert ended(calls, "show", "nothing-there") == (0, "went on with 1\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a device that is always full")
def test_what_can_not_be_printed_at_the_end_is_told() -> None:
    """By the interpreter, with its own exit code."""
    code = "import atexit; atexit.register(print, 'farewell')\n" + ALONE
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-c", code, "show", "nothing-there"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=buffered, check=False)
    assert done.returncode == 120
    assert b"No space left" in done.stderr
