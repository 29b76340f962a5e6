#!/usr/bin/env python3
"""Follow a training that saves 200 checkpoints and keeps five; one is left half-written, one damaged, one replaced.

usage: scripts/trial_following.py [--saves 200] [--pause 0.05] [--tensorflow]

With --tensorflow its own `CheckpointManager` writes; by default the same files are written without it.

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
import traceback
from pathlib import Path

import numpy as np
from trial_stores import ROOT, table

import ckpt_inspect as ci

sys.path.insert(0, str(ROOT / "tests"))

from support.adam_bundles import save_bundle
from support.keras_files import Run

KEPT = 5
SHARD = ".data-00000-of-00001"


class PlainWriter:
    """Saves as a CheckpointManager does: each file renamed into place, the index last; the oldest are deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, folder.parent / "made"
        self._made.mkdir()
        self._run, self._kept = Run(), list[str]()

    def save(self, number: int) -> None:
        """Train, and save under that number; one that is there is replaced."""
        name = f"ckpt-{number}"
        save_bundle(self._run.train(5), self._made / name)
        for suffix in (SHARD, ".index"):
            (self._made / f"{name}{suffix}").replace(self._folder / f"{name}{suffix}")
        self._kept += [name] if name not in self._kept else []
        while len(self._kept) > KEPT:
            oldest = self._kept.pop(0)
            for suffix in (SHARD, ".index"):
                (self._folder / f"{oldest}{suffix}").unlink()


class TensorFlowWriter:
    """TensorFlow's own."""

    def __init__(self, folder: Path) -> None:
        os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
        import tensorflow as tf

        self._model = tf.keras.Sequential([tf.keras.Input((8,)), tf.keras.layers.Dense(16), tf.keras.layers.Dense(4)])
        self._model.compile("adam", "mse")
        self._checkpoint = tf.train.Checkpoint(model=self._model, optimizer=self._model.optimizer)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=KEPT)
        self._random = np.random.default_rng(0)

    def save(self, number: int) -> None:
        """Train, and save under that number; one that is there is replaced."""
        for _ in range(5):
            self._model.train_on_batch(self._random.normal(size=(32, 8)), self._random.normal(size=(32, 4)))
        if self._manager.latest_checkpoint is not None and self._manager.latest_checkpoint.endswith(f"-{number}"):
            self._checkpoint.write(self._manager.latest_checkpoint)
        else:
            self._manager.save(checkpoint_number=number)


def write(folder: Path, saves: int, pause: float, writer: PlainWriter | TensorFlowWriter) -> None:
    """Save, and do harm to some."""
    for number in range(1, saves + 1):
        name = f"ckpt-{number}"
        shard = folder / f"{name}{SHARD}"
        if number == saves // 4:  # the writer was killed in the middle: its index never came
            shard.write_bytes(bytes(100))
            continue
        writer.save(number)
        if number == saves // 3:
            content = bytearray(shard.read_bytes())
            content[len(content) // 2] ^= 1
            shard.write_bytes(content)
        _wait(folder.parent / "taken", 0 if number == saves // 3 else 1, name, pause)
        if number == saves // 2:
            writer.save(number)
            _wait(folder.parent / "taken", 2, name, pause)


def _wait(taken: Path, times: int, name: str, pause: float) -> None:
    """Go on when it has been taken so often: however busy the machine, none is deleted before its turn."""
    time.sleep(pause)
    until = time.monotonic() + 60
    while time.monotonic() < until and (not taken.exists() or taken.read_text().split().count(name) < times):
        time.sleep(0.02)


def main() -> int:
    """Follow, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two saves, at least")
    parser.add_argument("--tensorflow", action="store_true", help="let TensorFlow write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ckpt-inspect-trial-") as scratch:
        folder = Path(scratch) / "run"
        folder.mkdir()
        pid = os.fork()
        if pid == 0:
            try:
                writer = TensorFlowWriter(folder) if options.tensorflow else PlainWriter(folder)
                (folder.parent / "ready").touch()
                write(folder, options.saves, options.pause, writer)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        while not (folder.parent / "ready").exists():  # TensorFlow takes its time
            time.sleep(0.1)
        seen: list[tuple[float, float]] = []
        taken: list[str] = []
        problems = 0
        busy = time.process_time()
        for each in ci.follow(folder, folder=scratch, every=0.05, idle=10.0):
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
