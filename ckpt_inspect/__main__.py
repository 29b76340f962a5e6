"""`python -m ckpt_inspect` and the console script."""

from __future__ import annotations

import atexit
import gc
import os
import sys


def main() -> None:
    """Run the command line; the two questions asked most often are answered before anything else is imported."""
    if sys.argv[1:] == ["--version"]:
        from ckpt_inspect._version import __version__

        sys.stdout.write(f"ckpt-inspect {__version__}\n")
    elif sys.argv[1:] in ([], ["--help"]):
        from ckpt_inspect.usage import HELP

        sys.stdout.write(HELP)
        sys.exit(0 if sys.argv[1:] else 2)
    else:
        # no matrix is multiplied here, and OpenBLAS' idle threads would spin for a tenth of what reading 1 GB takes
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # imports make a hundred thousand objects and hardly a cycle among them: look for cycles more seldom
        gc.set_threshold(50_000)
        from ckpt_inspect.cli import main as run

        run()


def run_and_leave() -> None:
    """Run the command line as a whole process: what is registered for its end is done, and then it ends.

    Otherwise the interpreter would take every module apart first, a tenth of the time of a small question.
    """
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except OSError as error:  # of the two questions that are answered here
        code = f"ckpt-inspect: {error.strerror}"
    if not (code is None or isinstance(code, int)):
        sys.exit(str(code))
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the reader has gone: the interpreter knows what to do
        sys.exit(code)
    os._exit(code or 0)


if __name__ == "__main__":
    run_and_leave()
