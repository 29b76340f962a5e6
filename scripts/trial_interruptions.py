#!/usr/bin/env python3
"""Interrupt `analyze`, as it adds to a store, at random moments, and see that nothing is lost and nothing stays.

usage: scripts/trial_interruptions.py [--kills 20] [--signals 5] [--seed 1]
       scripts/trial_interruptions.py --kills 300 --signals 50        (all of it: some minutes)

After each: the old store, or one with more of the run, is whole; after SIGTERM, SIGHUP and SIGINT nothing temporary is
left. Then the same command is run to its end: the store's contents are those of a run that was never interrupted,
nothing temporary is left, and a temporary file that another process has open is still there.
Prints a table; exit status 1 if anything was otherwise. For Linux and macOS, which have `fork`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from trial_stores import GrowingRun, contents, is_whole, median, run_copy, strangers, table

from ckpt_inspect.runs.atomic import Temporary

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "HUP": signal.SIGHUP, "INT": signal.SIGINT}
WRONG = ("damaged", "left behind", "other result", "took another's", "odd status", "said too much")


def interrupt(run: GrowingRun, name: str, after: float, folder: Path) -> Counter[str]:
    """Do one trial in an empty folder, and count what came of it."""
    store, stderr = folder / "run.h5", folder.parent / "stderr"
    shutil.copyfile(run.before, store)
    found = Counter({"trials": 1})
    copy = run_copy(run.command(store), stderr)
    time.sleep(after)
    is_over = copy.has_ended()
    if is_over is None:
        copy.send(SIGNALS[name])
        status = copy.wait()
        found["interrupted"] += status != 0
        allowed = {0, -SIGNALS[name], 130} if name == "INT" else {0, -SIGNALS[name]}
        found["odd status"] += status not in allowed
    found["damaged"] += not is_whole(store, 3)
    left = strangers(folder, store)
    found["left by the kill" if name == "KILL" else "left behind"] += bool(left)
    if "Traceback" in (said := stderr.read_text(errors="replace")):
        found["said too much"] += 1
        sys.stderr.write(f"{name} after {after:.3f} s: {said}\n")
    others = Temporary(store)
    try:
        status = run_copy(run.command(store), stderr).wait()
        found["odd status"] += status != 0
        found["other result"] += contents(store) != run.contents
        found["took another's"] += not others.path.exists()
        found["left behind"] += bool(strangers(folder, store, others.path))
    finally:
        others.close()
    return found


def main() -> int:
    """Try each signal, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="by SIGKILL")
    parser.add_argument("--signals", type=int, default=5, help="by each of SIGTERM, SIGHUP, SIGINT")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rows = []
    is_wrong = False
    with tempfile.TemporaryDirectory(prefix="ckpt-inspect-trial-") as scratch:
        for elements in (False, True):
            run = GrowingRun(Path(scratch) / f"run-{elements}", elements=elements)
            took = []
            for i in range(5):
                store = Path(scratch) / f"timed-{i}.h5"
                shutil.copyfile(run.before, store)
                started = time.monotonic()
                run_copy(run.command(store), Path(scratch) / "stderr").wait()
                took.append(time.monotonic() - started)
            for name in SIGNALS:
                count = options.kills if name == "KILL" else options.signals
                count = count - count // 2 if elements else count // 2
                found: Counter[str] = Counter()
                for i in range(count):
                    folder = Path(scratch) / f"{elements}-{name}-{i}" / "stores"
                    folder.mkdir(parents=True)
                    found += interrupt(run, name, chance.uniform(0, 1.1 * median(took)), folder)
                    shutil.rmtree(folder.parent)
                columns = ("trials", "interrupted", "left by the kill", *WRONG)
                rows.append([name, "yes" if elements else "", *(found[column] for column in columns)])
                is_wrong |= any(found[column] for column in WRONG)
    heading = ("signal", "elements", "trials", "interrupted", "left by the kill", *WRONG)
    sys.stdout.write(table(heading, rows))
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
