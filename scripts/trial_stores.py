"""What the trials share: a run that grows, the whole contents of stores, the command line in a copy of this process."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package beside this script, whatever is installed

import h5py  # noqa: E402 - behind the path, and imported before copies are made
import numpy as np  # noqa: E402

import ckpt_inspect  # noqa: E402
import ckpt_inspect.cli.app  # noqa: E402
import ckpt_inspect.cli.commands.analyze  # noqa: E402 - a copy doesn't import it anew

FIXTURES = ROOT / "fixtures" / "digits"

_STORED = 3
"""Checkpoints that the store holds before a trial."""


class GrowingRun:
    """A folder of checkpoints, the store of the first ones, and the store of all: what an analysis must come to."""

    def __init__(self, folder: Path, *, elements: bool = False) -> None:
        """`elements`: the stores hold whole arrays as well."""
        self.checkpoints = folder / "digits"
        shutil.copytree(FIXTURES, self.checkpoints, ignore=shutil.ignore_patterns("*.json"))
        self.options = ["--elements"] if elements else []
        self.before, self.after = folder / "before.h5", folder / "after.h5"
        paths = sorted(self.checkpoints.iterdir())
        ckpt_inspect.analyze(paths[:_STORED], store=self.before, elements=elements)
        shutil.copyfile(self.before, self.after)
        status = run_copy(self.command(self.after), folder / "stderr").wait()
        if status:
            raise RuntimeError(f"the run alone failed: {(folder / 'stderr').read_text()}")
        self.contents = contents(self.after)

    def command(self, store: Path) -> list[str]:
        """Return the words of the command that is tried."""
        return ["analyze", str(self.checkpoints), "-o", str(store), "-q", *self.options]


def contents(store: Path) -> str:
    """Return a digest of all that a store holds: every group, attribute, dtype, shape and value."""
    found = hashlib.sha256()
    with h5py.File(store) as file:

        def take(name: str, thing: h5py.Group | h5py.Dataset) -> None:
            found.update(name.encode())
            for key in sorted(thing.attrs):
                if key not in ("REFERENCE_LIST", "DIMENSION_LIST"):
                    found.update(f"{key} {thing.attrs[key]!r}".encode())
            if isinstance(thing, h5py.Dataset):
                found.update(f"{thing.dtype} {thing.shape}".encode())
                values = thing[...]
                found.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())

        take("", file["/"])
        file.visititems(take)
    return found.hexdigest()


def is_whole(store: Path, least: int) -> bool:
    """Return whether a store loads, with at least so many checkpoints."""
    try:
        return len(ckpt_inspect.load(store)) >= least
    except ckpt_inspect.CkptInspectError:
        return False


def strangers(folder: Path, *known: Path) -> list[str]:
    """Return the names of files in the folder that are not known."""
    return sorted({path.name for path in folder.iterdir()} - {path.name for path in known})


class Copy:
    """A copy of this process that runs the command line."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return its exit status; of a copy that a signal ended minus the signal's number."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def has_ended(self) -> int | None:
        """Return its exit status if it has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


def run_copy(words: Sequence[str], stderr: Path, prepare: Callable[[], object] = lambda: None) -> Copy:
    """Begin `ckpt-inspect WORDS` in a copy of this process, so that its imports take no time, and give the copy.

    `prepare` is called in the copy before anything else.
    """
    sys.stdout.flush()
    stderr.write_bytes(b"")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # held back until the program itself runs
    try:
        pid = os.fork()
        if pid == 0:
            _be_the_copy(words, stderr, prepare)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Copy(pid)


def _be_the_copy(words: Sequence[str], stderr: Path, prepare: Callable[[], object]) -> NoReturn:
    status = 70
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        prepare()
        sys.argv = ["ckpt-inspect", *words]
        from ckpt_inspect.__main__ import run_process
        from ckpt_inspect.cli.terminal import INTERRUPTED

        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            run_process()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:  # in these lines, before or after the program
            status = INTERRUPTED
        except BaseException:
            import traceback

            traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(values))


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(heading), "|".join("---" for _ in heading), *(" | ".join(map(str, row)) for row in rows)]
    return "".join(f"| {line} |\n" if i != 1 else f"|{line}|\n" for i, line in enumerate(lines))
