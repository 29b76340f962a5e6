#!/usr/bin/env python3
"""Measure ckpt-inspect's speed and memory as ratios, each against its reference in the same run, side by side.

usage: scripts/benchmark.py [--quick] [--rows NAME,..] [--folder DIR] [--repeats N] [--markdown]

Makes its data (up to 7 GB; a twentieth with --quick) in a temporary folder below DIR, which should be on the disk to be
measured, and removes it. Commands alternate with their references, so that whatever else the machine does hits both;
of the pairs' ratios the best and the median are printed, and the median goal by goal is judged. Beside them stands the
ratio of what all threads took, which other work on the machine changes least. Peak memory is what the operating system
counted for the process (`ru_maxrss`).
Run it with the Python that has ckpt-inspect: `.venv/bin/python scripts/benchmark.py` after `scripts/test`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import benchmark_data as data
import numpy as np
from benchmark_rows import ROWS, evict, large
from benchmark_runs import Bench, Row, Sizes, median

FULL = Sizes(data.bert_base(), 5, 4096, 1 << 30, 1000, 10_000, 1 << 18)
QUICK = Sizes(data.bert_base(1, 3000), 5, 1024, 1 << 25, 100, 200, 1 << 16)


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
    start = median([bench.python("-c", "import typer, numpy, h5py") for _ in range(5)]).wall
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
    from ckpt_inspect.measurement.kernels import Buffers, Formula, pieces
    from ckpt_inspect.measurement.summaries import FineCounts
    from ckpt_inspect.native import loops
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
    head = ("work", "against", "ckpt-inspect", "reference", "best", "median", "CPU", "goal", "")
    judgements = {True: "met", False: "NOT MET"} if is_judged else {True: "", False: ""}
    cells = [
        head,
        *(
            (r.work, r.against, r.ours, r.reference, r.least, r.median, r.cpu, r.goal, judgements[r.is_met])
            for r in rows
        ),
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
                    sys.stderr.write(f"{row.work}: {row.median or row.ours}\n")
            sys.stdout.write("\n".join(limits(bench)) + "\n\n")
    sys.stdout.write(table(rows, as_markdown=options.markdown, is_judged=not options.quick) + "\n")
    if options.quick:
        sys.stdout.write("The goals are for data of the full size, beside which start-up is small.\n")
    if not options.quick and not all(row.is_met for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
