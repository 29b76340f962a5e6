#!/usr/bin/env python3
"""A run of very many tiny checkpoints: what analysing, growing, loading and reporting it takes.

    scripts/trial_many.py 1000 10000 100000 [--folder DIR] [--elements 100] [--only STEP ..] [--keep]

For each count the checkpoints are made (tensor bundles of one real Adam training of four parameters), and each step
runs in a process of its own: `analyze` the first time, again with nothing new, once more with one new checkpoint,
`load`, `report`. Prints seconds, processor's seconds, the largest memory, and sizes; nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import bundle_writer

import ckpt_inspect
from ckpt_inspect.formats.bundle_index import decode_index

_TEMPLATE = Path(__file__).parent.parent / "fixtures" / "formats" / "keras" / "ckpt-1"
_ARRAYS = ("value", "first_moment", "second_moment")
_COUNTER = "_iterations/.ATTRIBUTES/VARIABLE_VALUE"
_FLOAT, _STRING = 1, 7
"""TensorFlow's numbers of the types."""

_UPDATES = 5
"""Updates between two checkpoints."""

_STEPS = ("first", "again", "one", "load", "report")


class Training:
    """Adam on noise about a fixed gradient, saved as Keras 3's `tf.train.Checkpoint` of the fixture is."""

    def __init__(self, elements: int) -> None:
        with ckpt_inspect.open_checkpoint(_TEMPLATE) as checkpoint:
            (state,) = ckpt_inspect.optimizer_states(checkpoint)
            self._places = [[p.key(array) for array in _ARRAYS] for p in state.parameters.values()]
        index = decode_index(Path(f"{_TEMPLATE}.index").read_bytes())
        data = Path(f"{_TEMPLATE}.data-00000-of-00001").read_bytes()
        self._kept = {n: (e, data[e.offset : e.offset + e.size]) for n, e in index.entries.items()}
        self._rng = np.random.default_rng(0)
        size, self._elements = elements * len(self._places), elements
        self._mean = self._rng.standard_normal(size).astype(np.float32) * np.float32(0.01)
        self._value = self._rng.standard_normal(size).astype(np.float32) * np.float32(0.1)
        self._first, self._second = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.step = 0

    def update(self) -> None:
        """Make one update."""
        self.step += 1
        gradient = self._mean + self._rng.standard_normal(self._mean.size, np.float32) * np.float32(0.1)
        self._first += (gradient - self._first) * np.float32(1 - 0.9)
        self._second += (gradient * gradient - self._second) * np.float32(1 - 0.999)
        rate = 1e-2 * np.sqrt(1 - 0.999**self.step) / (1 - 0.9**self.step)
        self._value -= np.float32(rate) * self._first / (np.sqrt(self._second) + np.float32(1e-7))

    def save(self, folder: Path) -> None:
        """Write the present state."""
        arrays: dict[str | None, NDArray[Any]] = {}
        for keys, *pieces in zip(self._places, *(self._pieces(a) for a in self._all()), strict=True):
            arrays |= dict(zip(keys, pieces, strict=True))
        data, entries = bytearray(), [(b"", bundle_writer.header())]
        for name, (entry, raw) in self._kept.items():
            array = np.array(self.step, np.int64) if name.endswith(_COUNTER) else arrays.get(name)
            dtype, shape, crc = _STRING if entry.dtype == "string" else _FLOAT, entry.shape, entry.crc
            if array is not None:
                raw, shape, dtype = array.tobytes(), array.shape, bundle_writer.DATA_TYPES[array.dtype.name]
                crc = bundle_writer.masked(raw)
            entries.append((name.encode(), bundle_writer.entry(dtype, shape, len(data), len(raw), crc)))
            data += raw
        bundle_writer.write(folder / f"ckpt-{self.step}", entries, bytes(data))

    def _all(self) -> tuple[NDArray[np.float32], ...]:
        return self._value, self._first, self._second

    def _pieces(self, array: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return np.split(array, len(self._places))


def main() -> int:
    arguments = _parser().parse_args()
    place = Path(arguments.folder or tempfile.mkdtemp(prefix="many-"))
    heads = (f"{head:>8}" for head in ("s", "CPU s", "ms each", "MB", "size MB", "B each"))
    sys.stdout.write(" ".join((f"{'checkpoints':>11} {'step':>7}", *heads)) + "\n")
    try:
        for count in arguments.counts:
            _trial(place / str(count), count, arguments)
    finally:
        if not arguments.keep and not arguments.folder:
            shutil.rmtree(place)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="+")
    parser.add_argument("--folder", help="where checkpoints and stores are kept; those that are there are used again")
    parser.add_argument("--elements", type=int, default=100, help="of each parameter")
    parser.add_argument("--only", nargs="+", choices=_STEPS, default=_STEPS)
    parser.add_argument("--keep", action="store_true")
    return parser


def _trial(place: Path, count: int, arguments: argparse.Namespace) -> None:
    run, store, report = place / "run", place / "run.ckpt-inspect.h5", place / "report"
    training = Training(arguments.elements)
    if not run.exists():
        started = time.monotonic()
        run.mkdir(parents=True)
        for _ in range(count):
            for _ in range(_UPDATES):
                training.update()
            training.save(run)
        _print(count, "made", time.monotonic() - started, 0.0, 0.0, _size(run))
    analyze = ["analyze", str(run), "-o", str(store), "-q"]
    if "first" in arguments.only:
        store.unlink(missing_ok=True)
        _timed(count, "first", analyze, store)
    if "again" in arguments.only:
        _timed(count, "again", analyze, store)
    if "one" in arguments.only:
        newest = max(int(path.stem.rpartition("-")[2]) for path in run.glob("*.index"))
        training.step = newest + _UPDATES - 1
        for _ in range(50):  # moments of about the right size
            training.update()
        training.step = newest + _UPDATES
        training.save(run)
        _timed(count, "one", analyze, store)
    if "load" in arguments.only:
        _timed(count, "load", ["-c", f"import ckpt_inspect; ckpt_inspect.load({str(store)!r})"], store)
    if "report" in arguments.only:
        shutil.rmtree(report, ignore_errors=True)
        _timed(count, "report", ["report", str(store), "-o", str(report), "-q"], report / "index.html")
        sys.stdout.write(f"{'':>19} all files of the report: {_size(report) / 1e6:.1f} MB\n")


def _timed(count: int, step: str, command: Sequence[str], made: Path) -> None:
    """Run it in a process of its own, and print what it took."""
    how = [] if command[0] == "-c" else ["-m", "ckpt_inspect"]
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *how, *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - started
    if status:
        sys.stdout.write(f"{count:>11} {step:>7} ended with {status}\n")
        return
    _print(count, step, took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, _size(made))


def _print(count: int, step: str, took: float, processor: float, megabytes: float, size: int) -> None:
    each = f"{took / count * 1e3:>8.3f} {megabytes:>8.0f} {size / 1e6:>8.2f} {size / count:>8.0f}"
    sys.stdout.write(f"{count:>11} {step:>7} {took:>8.2f} {processor:>8.2f} {each}\n")
    sys.stdout.flush()


def _size(place: Path) -> int:
    if place.is_dir():
        return sum(path.stat().st_size for path in place.rglob("*"))
    return place.stat().st_size if place.exists() else 0


if __name__ == "__main__":
    sys.exit(main())
