#!/usr/bin/env python3
"""Follow a training that saves 200 checkpoints and keeps five; one is left half-written, one damaged, one replaced.

usage: scripts/trial_following.py [--saves 200] [--pause 0.05]

Prints what was taken, and time and memory of the first and the last quarter; exit status 1 if a complete checkpoint was
not taken exactly once, or a quarter took more than twice the time or 20 % more memory of the first.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from trial_stores import ROOT, table

import ckpt_inspect as ci

sys.path.insert(0, str(ROOT / "tests"))

from support.adam_bundles import save_bundle
from support.keras_files import Run

KEPT = 5
SHARD = ".data-00000-of-00001"


def write(folder: Path, saves: int, pause: float) -> None:
    """Save as a CheckpointManager does: each file renamed into place, the index last; the oldest are deleted."""
    run, kept = Run(), []
    made = folder.parent / "made"
    made.mkdir()
    folder.mkdir()
    for number in range(1, saves + 1):
        run.train(5)
        name = f"ckpt-{number}"
        save_bundle(run, made / name)
        if number == saves // 4:  # the writer was killed in the middle: its index never came
            (folder / f"{name}{SHARD}").write_bytes((made / f"{name}{SHARD}").read_bytes()[:100])
            continue
        if number == saves // 3:
            content = bytearray((made / f"{name}{SHARD}").read_bytes())
            content[7] ^= 1
            (made / f"{name}{SHARD}").write_bytes(content)
        _moved(made, folder, name)
        kept.append(name)
        while len(kept) > KEPT:
            oldest = kept.pop(0)
            for suffix in (SHARD, ".index"):
                (folder / f"{oldest}{suffix}").unlink()
        _wait(folder.parent / "taken", 0 if number == saves // 3 else 1, name, pause)
        if number == saves // 2:
            save_bundle(run.train(1), made / name)
            _moved(made, folder, name)
            _wait(folder.parent / "taken", 2, name, pause)


def _wait(taken: Path, times: int, name: str, pause: float) -> None:
    """Go on when it has been taken so often: however busy the machine, none is deleted before its turn."""
    time.sleep(pause)
    until = time.monotonic() + 60
    while time.monotonic() < until and (not taken.exists() or taken.read_text().split().count(name) < times):
        time.sleep(0.02)


def _moved(made: Path, folder: Path, name: str) -> None:
    for suffix in (SHARD, ".index"):
        (made / f"{name}{suffix}").replace(folder / f"{name}{suffix}")


def main() -> int:
    """Follow, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two saves, at least")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ckpt-inspect-trial-") as scratch:
        folder = Path(scratch) / "run"
        pid = os.fork()
        if pid == 0:
            try:
                write(folder, options.saves, options.pause)
            finally:
                os._exit(0)
        seen: list[tuple[float, float]] = []
        taken: list[str] = []
        problems = 0
        busy = time.process_time()
        for each in ci.follow(folder, folder=scratch, every=0.05, idle=5.0):
            now = time.process_time()
            if each.problem is not None:
                problems += 1
                sys.stdout.write(f"{each.problem.message}\n")
            else:
                taken.append(each.checkpoint)
                with (Path(scratch) / "taken").open("a") as file:
                    file.write(f"{each.checkpoint}\n")
                seen.append((now - busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
            busy = now
        os.waitpid(pid, 0)
        stored = ci.load(Path(scratch) / "run.ckpt-inspect.h5")
    left_out = {options.saves // 4, options.saves // 3}
    expected = {f"ckpt-{n}" for n in range(1, options.saves + 1) if n not in left_out}
    replaced = f"ckpt-{options.saves // 2}"
    missed = expected - set(taken)
    twice = sorted({name for name in taken if taken.count(name) > 1 + (name == replaced)})
    quarter = len(seen) // 4
    rows = []
    for title, part in (("first quarter", seen[1 : 1 + quarter]), ("last quarter", seen[-quarter:])):
        rows.append(
            [title, f"{1000 * statistics.median(s for s, _ in part):.1f} ms", f"{max(m for _, m in part):.0f} MB"]
        )
    sys.stdout.write(table(("checkpoints", "processor's time each", "memory at most"), rows))
    sys.stdout.write(
        f"taken {len(taken)}, expected {len(expected)} and one replaced; missed {sorted(missed) or 'none'}, more than "
        f"once {twice or 'none'}; reported {problems}; in the store {len(stored)}\n"
    )
    first, last = [statistics.median(s for s, _ in p) for p in (seen[1 : 1 + quarter], seen[-quarter:])]
    grown = seen[-1][1] / seen[quarter][1]
    is_wrong = missed or twice or problems != 1 or len(stored) != len(expected) or last > 2 * first or grown > 1.2
    return int(bool(is_wrong))


if __name__ == "__main__":
    sys.exit(main())
