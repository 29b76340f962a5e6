#!/usr/bin/env python3
"""Run `analyze`, `export` and `report` where there is no room, or no leave, to write.

usage: scripts/trial_full_disks.py [--sizes 4]          (--sizes 20: all of it)

The disks are small tmpfs where the system lets us mount them (root), the limits those of the size of a file (`ulimit
-f`), the folders read-only. Each command either does its work (exit status 0) or says why not in one sentence (1); the
old store is as it was, nothing temporary is left, and no process dies of a signal. With room again, `analyze` gives the
store of a run that was never disturbed. Prints a table; exit status 1 if anything was otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from trial_stores import GrowingRun, contents, run_copy, strangers, table

NOBODY = 65534
WRONG = ("old store changed", "left behind", "no sentence", "signal", "odd status", "other result")
COMMANDS = ("analyze", "analyze --elements", "export csv", "export parquet", "export tensorboard", "report")


@contextlib.contextmanager
def disk(size: int, place: Path) -> Iterator[bool]:
    """Mount a disk of so many bytes; give whether the system lets us."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(place)]
    is_mounted = False
    with contextlib.suppress(OSError):
        is_mounted = subprocess.run(words, check=False, capture_output=True).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(place)], check=True)
        shutil.rmtree(place)


def words_of(command: str, run: GrowingRun, store: Path) -> list[str]:
    """Return the words of a command that writes beside the store."""
    name, _, target = command.partition(" ")
    if name == "analyze":
        return run.command(store)
    if name == "export":
        return ["export", str(store), "--to", target, "-o", str(store.parent / f"exported-{target}"), "-q"]
    return ["report", str(store), "-o", str(store.parent / "drawn"), "-q"]


def attempt(
    command: str, run: GrowingRun, folder: Path, stderr: Path, prepare: Callable[[], object] = lambda: None
) -> Counter[str]:
    """Run a command on the store in a folder, and count what came of it."""
    store = folder / "run.h5"
    before, files = store.read_bytes(), {path.name for path in folder.iterdir()}
    status = run_copy(words_of(command, run, store), stderr, prepare).wait()
    said = stderr.read_text(errors="replace").strip().splitlines()
    has_failed = status != 0
    left = set(strangers(folder, store)) - files
    written = {name for name in left if not name.startswith(".")}
    return Counter(
        {
            "trials": 1,
            "done": int(not has_failed),
            "refused": int(status == 1),
            "old store changed": int(has_failed and store.read_bytes() != before),
            "left behind": len(left - written) + bool(has_failed and command.startswith("export") and written),
            "no sentence": int(has_failed and not (len(said) == 1 and said[0].startswith("ckpt-inspect: "))),
            "signal": int(status < 0),
            "odd status": int(status > 1),
        }
    )


def finish(run: GrowingRun, folder: Path, stderr: Path) -> Counter[str]:
    """Analyse with room again."""
    status = run_copy(run.command(folder / "run.h5"), stderr).wait()
    return Counter({"other result": int(status != 0 or contents(folder / "run.h5") != run.contents)})


def on_disks(command: str, run: GrowingRun, scratch: Path, count: int) -> Counter[str]:
    """Try disks that are full at many places of what is to be written."""
    old, new = run.before.stat().st_size, run.after.stat().st_size
    found: Counter[str] = Counter()
    page = resource.getpagesize()
    for i in range(count):
        room = old + page + (new + 4 * page) * i // max(1, count - 1)
        with disk(room, scratch / "disk") as is_mounted:
            if not is_mounted:
                return found
            shutil.copyfile(run.before, scratch / "disk" / "run.h5")
            found += attempt(command, run, scratch / "disk", scratch / "stderr")
            shutil.copyfile(scratch / "disk" / "run.h5", scratch / "run.h5")
        if command.startswith("analyze"):
            found += finish(run, scratch, scratch / "stderr")
    return found


def under_limits(command: str, run: GrowingRun, scratch: Path, count: int) -> Counter[str]:
    """Try limits of a file's size, as `ulimit -f` sets them."""
    found: Counter[str] = Counter()
    for i in range(count):
        size = run.after.stat().st_size * (i + 1) // count
        folder = scratch / f"limit-{i}"
        folder.mkdir()
        shutil.copyfile(run.before, folder / "run.h5")

        def limit(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        found += attempt(command, run, folder, scratch / "stderr", limit)
        if command.startswith("analyze"):
            found += finish(run, folder, scratch / "stderr")
        shutil.rmtree(folder)
    return found


def read_only(command: str, run: GrowingRun, scratch: Path) -> Counter[str]:
    """Try a folder that may not be written."""
    folder = scratch / "locked"
    folder.mkdir()
    shutil.copyfile(run.before, folder / "run.h5")
    folder.chmod(0o555)

    def become_nobody() -> None:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    try:
        return attempt(command, run, folder, scratch / "stderr", become_nobody)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def main() -> int:
    """Try every command in every place, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, default=4, help="of disks, and limits")
    options = parser.parse_args()
    rows: list[list[object]] = []
    is_wrong = False
    with tempfile.TemporaryDirectory(prefix="ckpt-inspect-trial-") as text:
        scratch = Path(text)
        scratch.chmod(0o755)
        runs = {has: GrowingRun(scratch / f"run-{has}", elements=has) for has in (False, True)}
        for command in COMMANDS:
            run = runs["--elements" in command]
            for place, found in (
                ("full disk", on_disks(command, run, scratch, options.sizes)),
                ("limit of a file", under_limits(command, run, scratch, options.sizes)),
                ("read-only folder", read_only(command, run, scratch)),
            ):
                rows.append([command, place, *(found[column] for column in ("trials", "done", "refused", *WRONG))])
                is_wrong |= any(found[column] for column in WRONG)
    sys.stdout.write(table(("command", "place", "trials", "done", "refused", *WRONG), rows))
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
