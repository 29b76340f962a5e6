"""`python -m ckpt_inspect` and the console script."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

_NO_WINDOWS = (
    "ckpt-inspect: Windows is not supported; run it in WSL, Windows' own Linux, which reads the same files under /mnt"
)

_COMPLETION = "_CKPT_INSPECT_COMPLETE"
"""The variable by which a shell asks what the words so far can go on with."""


def main() -> None:
    """Run the command line; `--version` and `--help` are answered before anything else is imported."""
    if os.name == "nt":
        sys.exit(_NO_WINDOWS)
    if sys.argv[1:] in (["--version"], ["-V"]):
        from ckpt_inspect._version import __version__

        _answer(f"ckpt-inspect {__version__}\n")
    elif sys.argv[1:] in ([], ["--help"], ["-h"]) and _COMPLETION not in os.environ:
        from ckpt_inspect.cli.usage import HELP

        _answer(HELP)
        sys.exit(0 if sys.argv[1:] else 2)
    else:
        # no matrix is multiplied here, and OpenBLAS' idle threads would spin for a tenth of what reading 1 GB takes
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # imports make a hundred thousand objects and hardly a cycle among them: looking for cycles meanwhile would take
        # a tenth of what a small question takes
        gc.set_threshold(200_000)
        _share_one_heap()
        # glibc gives freed memory back at once, and fetching it again takes a tenth of the time, until a block as large
        # as this one was freed (mallopt(3), M_MMAP_THRESHOLD); nobody touches it, so it takes no memory
        bytes(1 << 24)
        from ckpt_inspect.cli.plainly import answer_plainly

        if not sys.argv[1:] or not answer_plainly(sys.argv[1:]):
            from ckpt_inspect.cli.app import main as run

            run()


def _share_one_heap() -> None:
    """Have all threads allocate from one heap: of one for each, what a thread freed stays taken (mallopt(3))."""
    if sys.platform == "linux":
        import ctypes  # numpy imports it as well

        arena_max = -8
        with contextlib.suppress(AttributeError):  # a library other than glibc
            ctypes.CDLL(None).mallopt(arena_max, 1)


def run_process() -> None:
    """Run the command line as a whole process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - it stays open to the end
    try:
        main()
    except KeyboardInterrupt:
        from ckpt_inspect.cli.terminal import INTERRUPTED

        _leave_requests(INTERRUPTED)
        sys.exit(INTERRUPTED)
    except SystemExit as ending:
        from ckpt_inspect.cli.terminal import INTERRUPTED

        if ending.code == INTERRUPTED:
            _leave_requests(INTERRUPTED)
        elif isinstance(ending.code, int):
            try:
                _leave_memory(ending.code)
            except KeyboardInterrupt:
                sys.exit(INTERRUPTED)
        raise
    finally:
        # the interpreter frees everything when it ends; searching for cycles first would take twice as long as that
        gc.freeze()


def _leave_memory(code: int) -> None:
    """End the process as the interpreter ends it, but for taking all modules and objects apart, a tenth of what a small
    checkpoint takes: the operating system has their memory back at once.

    It is left to the interpreter if another program runs this one, such as a profiler, if a thread is still to be
    waited for, or if what was printed can't be written, which it tells.
    """
    import atexit
    import threading

    is_program = hasattr(sys.modules["__main__"], run_process.__name__) and not sys.flags.inspect
    here = threading.main_thread()
    if not is_program or any(thread is not here and not thread.daemon for thread in threading.enumerate()):
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


def _leave_requests(code: int) -> None:
    """End at once if something is still being asked for of another machine, which the interpreter would wait for: a
    server that stalls takes 20 seconds to be given up. All else has been put away."""
    import threading

    if any(thread.name.startswith("ckpt-inspect-") for thread in threading.enumerate()):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _answer(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        from ckpt_inspect.cli.terminal import BROKEN_PIPE, drop_output

        drop_output()
        sys.exit(BROKEN_PIPE if isinstance(error, BrokenPipeError) else f"ckpt-inspect: {error.strerror}")


if __name__ == "__main__":
    run_process()
