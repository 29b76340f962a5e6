#!/usr/bin/env python3
"""Measure ckpt-inspect's speed and memory as ratios, each against its reference in the same run, side by side.

usage: scripts/benchmark.py [--quick] [--rows NAME,..] [--folder DIR] [--repeats N] [--markdown]

Makes its data (up to 7 GB; a twentieth with --quick) in a temporary folder below DIR, which should be on the disk to be
measured, and removes it. Commands alternate with their references, so that whatever else the machine does hits both;
medians are printed. Peak memory is what the operating system counted for the process (`ru_maxrss`).
Run it with the Python that has ckpt-inspect: `.venv/bin/python scripts/benchmark.py` after `scripts/test`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import benchmark_data as data
import numpy as np

HERE = Path(__file__).parent
MEMORY_GOAL = 300e6


@dataclass(frozen=True)
class Sizes:
    """How much data."""

    large: data.Shapes
    layers: int
    """Dense layers of 4096 x 4096 (`--quick`: 512 x 512) in the Keras files."""
    width: int
    one: int
    """Elements of the one tensor."""
    many: int
    """Small checkpoints."""


FULL = Sizes(data.bert_base(), 5, 4096, 1 << 30, 1000)
QUICK = Sizes(data.bert_base(1, 3000), 5, 1024, 1 << 25, 100)


@dataclass(frozen=True)
class Run:
    """One command, run once."""

    wall: float
    """Seconds from start to end, as are the others."""
    cpu: float
    """User and system time of all its threads."""
    peak: float
    """Bytes of memory at most."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    work: str
    against: str
    ours: str
    reference: str
    result: str
    goal: str
    is_met: bool


def run(command: Sequence[str], folder: Path, expected: tuple[int, ...] = (0,)) -> Run:
    """Run a command to its end; whatever it prints is dropped, but shown if it fails."""
    # as anyone who has run it once before: its modules are compiled
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")}
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in expected:
            errors.seek(0)
            sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{errors.read().decode('utf-8', 'replace')}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


class Bench:
    """The folder, the repeats, and commands."""

    def __init__(self, folder: Path, sizes: Sizes, repeats: int) -> None:
        self.folder = folder
        self.sizes = sizes
        self.repeats = repeats
        self.peaks: dict[str, float] = {}

    def ours(self, *arguments: str | Path, expected: tuple[int, ...] = (0,), fresh: str | None = None) -> Run:
        """Run ckpt-inspect; `fresh`: a store that is removed before."""
        if fresh is not None:
            (self.folder / fresh).unlink(missing_ok=True)
        done = run([sys.executable, "-m", "ckpt_inspect", *map(str, arguments)], self.folder, expected)
        self.peaks[str(arguments[0])] = max(self.peaks.get(str(arguments[0]), 0), done.peak)
        return done

    def python(self, *arguments: str | Path) -> Run:
        """Run Python."""
        return run([sys.executable, *map(str, arguments)], self.folder)

    def cat(self, *files: Path) -> Run:
        """Read files plainly in one thread."""
        return run(["sh", "-c", 'cat "$@" > /dev/null', "cat", *map(str, files)], self.folder)

    def compare(
        self, ours: Callable[[], Run], reference: Callable[[], Run], repeats: int | None = None, *, warm: bool = True
    ) -> tuple[Run, Run]:
        """Medians of both, run in turns, after one of each that doesn't count if `warm`."""
        if warm and self.repeats > 1:
            reference()
            ours()
        pairs = [(ours(), reference()) for _ in range(repeats or self.repeats)]
        return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def median(runs: Iterator[Run]) -> Run:
    """Of each figure; the highest peak."""
    every = list(runs)
    return Run(
        statistics.median(r.wall for r in every), statistics.median(r.cpu for r in every), max(r.peak for r in every)
    )


# --- rows


def helps(bench: Bench) -> Iterator[Row]:
    """Start-up."""
    for option in ("--help", "--version"):
        ours, reference = bench.compare(
            lambda option=option: bench.ours(option),  # type: ignore[misc]
            lambda: bench.python("-c", "pass"),
            max(bench.repeats, 11),
        )
        yield at_most(f"`{option}`", "`python -c pass`", ours, reference, 5, limit=0.15)


def show(bench: Bench) -> Iterator[Row]:
    """`show` against the import that everything else begins with."""
    data.write_tf1_run(bench.folder / "small", data.dense_layers(3, 64), (10,))
    ours, reference = bench.compare(
        lambda: bench.ours("show", "small/model.ckpt-10"), lambda: bench.python("-c", "import tensorflow")
    )
    yield faster("`show`, small checkpoint", "`import tensorflow`", ours, reference, 12)


def analyze(bench: Bench) -> Iterator[Row]:
    """Two large checkpoints, warm."""
    files, prefixes = large(bench)
    arguments = ("analyze", "large", "-o", "large.h5", "-q")
    naive = (HERE / "benchmark_naive.py", "naive.h5", *prefixes)
    work = f"`analyze`, two checkpoints of {gigabytes(files[0].stat().st_size)}, page cache warm"
    ours, reference = bench.compare(
        lambda: bench.ours(*arguments, fresh="large.h5"), lambda: bench.python(*naive), min(bench.repeats, 3)
    )
    yield faster(work, "TensorFlow's reader and numpy (`benchmark_naive.py`)", ours, reference, 12)
    ours, reference = bench.compare(lambda: bench.ours(*arguments, fresh="large.h5"), lambda: bench.cat(*files))
    yield at_most("the same", "`cat FILES > /dev/null`", ours, reference, 4)


def cold(bench: Bench) -> Iterator[Row]:
    """The same out of the disk."""
    files, _ = large(bench)

    def evicted(command: Callable[[], Run]) -> Callable[[], Run]:
        def call() -> Run:
            evict(files)
            return command()

        return call

    arguments = ("analyze", "large", "-o", "large.h5", "-q")
    ours, reference = bench.compare(
        evicted(lambda: bench.ours(*arguments, fresh="large.h5")), evicted(lambda: bench.cat(*files)), warm=False
    )
    yield at_most("the same, page cache cold", "`cat`, cold", ours, reference, 1.3)


def memory(bench: Bench) -> Iterator[Row]:
    """One huge tensor."""
    folder = bench.folder / "one"
    folder.mkdir()
    size = bench.sizes.one * 4
    data.write_one_tensor(folder / "model.ckpt-10", bench.sizes.one)
    done = bench.ours("analyze", "one", "-o", "one.h5", "-q", fresh="one.h5")
    yield peak(f"`analyze`, one tensor of {gigabytes(size)}", done)
    done = bench.ours("diff", "one/model.ckpt-10", "one/model.ckpt-10", "-q")
    yield peak(f"`diff`, one tensor of {gigabytes(size)}", done)
    shutil.rmtree(folder)
    if "analyze" in bench.peaks:
        yield peak("every `analyze` so far", Run(0, 0, bench.peaks["analyze"]))


def many(bench: Bench) -> Iterator[Row]:
    """A long run of small checkpoints."""
    count = bench.sizes.many
    shapes = data.dense_layers(8, 64)
    data.write_tf1_run(bench.folder / "many", shapes, tuple(range(10, 10 * count + 1, 10)))
    half = bench.folder / "half"
    half.mkdir()
    for step in range(10, 10 * (count // 2) + 1, 10):
        for file in (bench.folder / "many").glob(f"model.ckpt-{step}.*"):
            (half / file.name).hardlink_to(file)
    size = sum(f.stat().st_size for f in (bench.folder / "many").glob("model.ckpt-10.*"))
    whole, part = bench.compare(
        lambda: bench.ours("analyze", "many", "-o", "many.h5", "-q", fresh="many.h5"),
        lambda: bench.ours("analyze", "half", "-o", "half.h5", "-q", fresh="half.h5"),
        min(bench.repeats, 3),
    )
    each = whole.wall / count
    work = f"`analyze`, {count} checkpoints of {size / 1e6:.1f} MB"
    yield Row(work, "", f"{whole.wall:.2f} s", "", f"{each * 1e3:.1f} ms each", "at most 15 ms each", each <= 0.015)
    growth = whole.wall / part.wall
    yield Row(
        "the same", "half as many", f"{whole.wall:.2f} s", f"{part.wall:.2f} s", f"{growth:.2f}x", "linear: 2x",
        growth <= 2.2,
    )  # fmt: skip
    again = median(bench.ours("analyze", "many", "-o", "many.h5", "-q") for _ in range(bench.repeats))
    yield Row(
        "the same again, nothing new", "", f"{again.wall:.2f} s", "", f"{again.cpu:.2f} s CPU", "under 0.5 s",
        again.wall < 0.5,
    )  # fmt: skip


def keras(bench: Bench) -> Iterator[Row]:
    """HDF5 files; both hold the same arrays, which h5py reads out of the plain one."""
    shapes, plain = data.dense_layers(bench.sizes.layers, bench.sizes.width), bench.folder / "model.h5"
    data.write_h5(plain, shapes)
    data.write_keras(bench.folder / "model.keras", shapes)
    for name in ("model.h5", "model.keras"):
        ours, reference = bench.compare(
            lambda name=name: bench.ours("analyze", name, "-o", "keras.h5", "-q", fresh="keras.h5"),  # type: ignore[misc]
            lambda: bench.python("-c", READ_H5, plain),
        )
        size = gigabytes((bench.folder / name).stat().st_size)
        work = f"`analyze`, `{Path(name).suffix}` of {size}"
        yield at_most(work, "h5py reading all its datasets", ours, reference, 3)
    for name in ("model.h5", "model.keras"):
        (bench.folder / name).unlink()


READ_H5 = """
import sys, h5py
def read(name, dataset):
    if isinstance(dataset, h5py.Dataset):
        dataset[()]
h5py.File(sys.argv[1], "r").visititems(read)
"""


def diff(bench: Bench) -> Iterator[Row]:
    """Two large checkpoints against each other."""
    files, prefixes = large(bench)
    ours, reference = bench.compare(
        lambda: bench.ours("diff", *prefixes, "-q", expected=(1,)), lambda: bench.cat(*files)
    )
    yield at_most("`diff` of the two", "`cat FILES > /dev/null`", ours, reference, 4)


def elements(bench: Bench) -> Iterator[Row]:
    """Whole arrays of E."""
    large(bench)
    size = 8 * sum(int(np.prod(shape)) for shape in bench.sizes.large.values())
    ours, reference = bench.compare(
        lambda: bench.ours("analyze", "large", "--elements", "-o", "elements.h5", "-q", fresh="elements.h5"),
        lambda: bench.python("-c", WRITE, "plain.bin", str(size)),
        min(bench.repeats, 3),
    )
    (bench.folder / "elements.h5").unlink()
    (bench.folder / "plain.bin").unlink()
    yield at_most(f"`analyze --elements` of the two ({gigabytes(size)} of E)", "writing as much", ours, reference, 4)


WRITE = """
import os, sys
piece = os.urandom(1 << 22)
with open(sys.argv[1], "wb", buffering=0) as file:
    left = int(sys.argv[2])
    while left:
        left -= file.write(piece[:left])
    os.fsync(file.fileno())
"""

ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "help": helps,
    "show": show,
    "analyze": analyze,
    "cold": cold,
    "diff": diff,
    "elements": elements,
    "many": many,
    "keras": keras,
    "memory": memory,
}


def large(bench: Bench) -> tuple[list[Path], list[str]]:
    """The files of data and the prefixes of the two large checkpoints, made once."""
    folder, steps = bench.folder / "large", (1000, 2000)
    if not folder.exists():
        data.write_tf1_run(folder, bench.sizes.large, steps)
    prefixes = [f"large/model.ckpt-{step}" for step in steps]
    return [bench.folder / f"{prefix}.data-00000-of-00001" for prefix in prefixes], prefixes


def evict(files: Sequence[Path]) -> None:
    """Have the kernel forget the files' pages."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def at_most(work: str, against: str, ours: Run, reference: Run, goal: float, limit: float | None = None) -> Row:
    """A row whose goal is a multiple of the reference's time."""
    ratio = ours.wall / reference.wall
    wanted = f"at most {goal:g}x" + (f", under {limit:g} s" if limit else "")
    is_met = ratio <= goal and (limit is None or ours.wall < limit)
    return Row(work, against, seconds(ours), seconds(reference), f"{ratio:.2f}x", wanted, is_met)


def faster(work: str, against: str, ours: Run, reference: Run, goal: float) -> Row:
    """A row whose goal is to take a fraction of the reference's time."""
    ratio = reference.wall / ours.wall
    return Row(
        work, against, seconds(ours), seconds(reference), f"{ratio:.1f}x faster", f"{goal:g}x faster", ratio >= goal
    )


def peak(work: str, done: Run) -> Row:
    """A row of memory."""
    return Row(work, "", f"{done.peak / 1e6:.0f} MB peak", "", "", f"at most {MEMORY_GOAL / 1e6:.0f} MB",
               done.peak <= MEMORY_GOAL)  # fmt: skip


def seconds(done: Run) -> str:
    """Wall time, and what all threads took."""
    return f"{done.wall:.2f} s ({done.cpu:.2f} CPU)" if done.wall >= 0.3 else f"{done.wall * 1e3:.0f} ms"


def gigabytes(size: float) -> str:
    """In GB or MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


# --- the machine


def limits(bench: Bench) -> list[str]:
    """What the machine itself can do, and what is the least that the work takes: of the large checkpoints' files."""
    import google_crc32c

    block = np.random.default_rng(0).integers(0, 255, 1 << 26, np.uint8)
    other = np.empty_like(block)
    python = sys.version.split()[0]
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {python}, numpy {np.__version__}",
        f"checksum (CRC-32C, one thread): {len(block) / best(lambda: google_crc32c.value(block)) / 1e9:.1f} GB/s",
        f"memory (copying 64 MiB, one thread): {len(block) / best(lambda: np.copyto(other, block)) / 1e9:.1f} GB/s",
    ]
    start = median(bench.python("-c", "import typer, numpy, h5py") for _ in range(5)).wall
    lines.append(f"start-up (Python with typer, numpy and h5py): {start * 1e3:.0f} ms")
    lines.append(kernel_limit())
    files, _ = large(bench)
    size = sum(file.stat().st_size for file in files)
    evict(files)
    lines.append(f"plain read (`cat`, one thread), cold: {size / bench.cat(*files).wall / 1e9:.2f} GB/s")
    bench.cat(*files)
    lines.append(f"plain read, page cache warm: {size / best(lambda: bench.cat(*files)) / 1e9:.2f} GB/s")
    return lines


def kernel_limit() -> str:
    """How long the figures of float32 elements take that are in the cache already."""
    from ckpt_inspect.measurement.extension import loops
    from ckpt_inspect.measurement.kernels import Buffers, Formula, pieces
    from ckpt_inspect.measurement.summaries import FineCounts
    from ckpt_inspect.update_rules import Settings, State, find_rule
    from ckpt_inspect.update_rules.implementations import TF1

    size, rule, values = 1 << 18, find_rule("adam"), data.AdamValues()
    assert rule is not None
    state = State(*(next(values.pieces(array, size)) for array in ("value", "first_moment", "second_moment")))
    formula = Formula.of(rule, Settings(TF1, 1000, 1e-3, 0.9, 0.999, 1e-8), np.dtype(np.float32))
    buffers, counts = Buffers(size), FineCounts()
    each = best(lambda: list(pieces(formula, state, buffers, counts)), 20) / size
    way = "numpy; the loops in C were not compiled" if loops is None else "compiled loops"
    return f"all figures of Adam's state ({way}, one thread): {each * 1e9:.2f} ns an element, {12e-9 / each:.1f} GB/s"


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the quickest of a few."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def table(rows: Sequence[Row], *, as_markdown: bool, is_judged: bool) -> str:
    """The rows, aligned; whether they meet their goals if that `is_judged`."""
    head = ("work", "against", "ckpt-inspect", "reference", "result", "goal", "")
    judgements = {True: "met", False: "NOT MET"} if is_judged else {True: "", False: ""}
    cells = [
        head,
        *((r.work, r.against, r.ours, r.reference, r.result, r.goal, judgements[r.is_met]) for r in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    if as_markdown:
        lines = [f"| {line} |" for line in lines]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small data, one repeat: to see that it works")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--folder", type=Path, default=None, help="where the data is made (default: temporary files')")
    parser.add_argument("--repeats", type=int, default=None, help="of each pair (default 5; --quick: 1)")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args()
    names = options.rows.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"{', '.join(unknown)}: not among {', '.join(ROWS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ckpt-inspect-benchmark-", dir=options.folder) as folder:
        bench = Bench(Path(folder), QUICK if options.quick else FULL, options.repeats or (1 if options.quick else 5))
        with contextlib.suppress(KeyboardInterrupt):
            for name in names:
                for row in ROWS[name](bench):
                    rows.append(row)
                    sys.stderr.write(f"{row.work}: {row.result or row.ours}\n")
            sys.stdout.write("\n".join(limits(bench)) + "\n\n")
    sys.stdout.write(table(rows, as_markdown=options.markdown, is_judged=not options.quick) + "\n")
    if options.quick:
        sys.stdout.write("The goals are for data of the full size, beside which start-up is small.\n")
    if not options.quick and not all(row.is_met for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
