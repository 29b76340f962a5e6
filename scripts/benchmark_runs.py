"""Commands, run beside what they are compared with, and what `benchmark.py` says of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import benchmark_data as data

MEMORY_GOAL = 180e6


@dataclass(frozen=True)
class Sizes:
    """How much data."""

    large: data.Shapes
    layers: int
    """Dense layers of `width` x `width` in the Keras files and Orbax folders."""
    width: int
    one: int
    """Elements of the one tensor."""
    many: int
    """Small checkpoints."""
    stored: int
    """Checkpoints in the store that one is appended to."""
    elements: int
    """Elements that the formulas are timed with."""


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
class Pairs:
    """Runs of ours, each with the run of the reference that followed it."""

    ours: tuple[Run, ...]
    reference: tuple[Run, ...]
    taken_off: Run = Run(0, 0, 0)
    """What of each of ours doesn't count."""

    def ratios(self) -> list[float]:
        """Return how many times as long ours took, pair by pair."""
        return [(a.wall - self.taken_off.wall) / b.wall for a, b in zip(self.ours, self.reference, strict=True)]

    def cpu_ratio(self) -> float:
        """Return the median of the same of all threads' time."""
        both = zip(self.ours, self.reference, strict=True)
        return statistics.median((a.cpu - self.taken_off.cpu) / b.cpu for a, b in both)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    work: str
    against: str
    ours: str
    reference: str
    least: str
    """The best of the pairs."""
    median: str
    cpu: str
    """The median of the ratios of the time of all threads: what else the machine does matters less to it."""
    goal: str
    is_met: bool


def run(command: Sequence[str], folder: Path, expected: tuple[int, ...] = (0,)) -> Run:
    """Run a command to its end; whatever it prints is dropped, but shown if it fails."""
    # as anyone who has run it once before: its modules are compiled
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")}
    with tempfile.TemporaryFile() as errors:
        launched = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
        done = subprocess.run(
            launched, cwd=folder, stdout=subprocess.PIPE, stderr=errors, env=environment, check=True, text=True
        )
        status, wall, cpu, most = done.stdout.split()
        if int(status) not in expected:
            errors.seek(0)
            sys.exit(f"{' '.join(command)}: exit {status}\n{errors.read().decode('utf-8', 'replace')}")
    return Run(float(wall), float(cpu), float(most) * (1 if sys.platform == "darwin" else 1024))


_LAUNCHER = """
import os, sys, time
nothing = os.open(os.devnull, os.O_WRONLY)
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, nothing, 1)])
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - start
print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""Runs a command from a small process: what a command takes counts from the process that starts it."""


@dataclass
class Bench:
    """The folder, the repeats, and commands."""

    folder: Path
    sizes: Sizes
    repeats: int
    peaks: dict[str, Run] = field(default_factory=dict)
    """By what was done, the run of the highest peak of memory."""

    def ours(
        self, *arguments: str | Path, expected: tuple[int, ...] = (0,), fresh: str | None = None, what: str = ""
    ) -> Run:
        """Run ckpt-inspect; `fresh`: a store that is removed before; `what`: what was done, in the rows of memory."""
        if fresh is not None:
            (self.folder / fresh).unlink(missing_ok=True)
        done = run([sys.executable, "-m", "ckpt_inspect", *map(str, arguments)], self.folder, expected)
        if what and done.peak > self.peaks.get(what, Run(0, 0, 0)).peak:
            self.peaks[what] = done
        return done

    def python(self, *arguments: str | Path) -> Run:
        """Run Python."""
        return run([sys.executable, *map(str, arguments)], self.folder)

    def cat(self, *files: Path) -> Run:
        """Read files plainly in one thread."""
        return run(["sh", "-c", 'cat "$@" > /dev/null', "cat", *map(str, files)], self.folder)

    def compare(
        self,
        ours: Callable[[], Run],
        reference: Callable[[], Run],
        repeats: int | None = None,
        *,
        warm: bool = True,
        taken_off: Run = Run(0, 0, 0),
    ) -> Pairs:
        """Return runs of both, in turns, after one of each that doesn't count if `warm`."""
        if warm and self.repeats > 1:
            reference()
            ours()
        pairs = [(ours(), reference()) for _ in range(repeats or self.repeats)]
        return Pairs(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs), taken_off)


def median(runs: Sequence[Run]) -> Run:
    """Return the median of each figure; the highest peak."""
    walls, cpus = [r.wall for r in runs], [r.cpu for r in runs]
    return Run(statistics.median(walls), statistics.median(cpus), max(r.peak for r in runs))


def at_most(work: str, against: str, pairs: Pairs, goal: float, limit: float | None = None) -> Row:
    """A row whose goal is a multiple of the reference's time."""
    ratios, ours = pairs.ratios(), median(pairs.ours)
    middle = statistics.median(ratios)
    wanted = f"at most {goal:g}x" + (f", under {limit:g} s" if limit else "")
    is_met = middle <= goal and (limit is None or ours.wall < limit)
    least, cpu = f"{min(ratios):.2f}x", f"{pairs.cpu_ratio():.2f}x"
    return Row(
        work, against, seconds(ours), seconds(median(pairs.reference)), least, f"{middle:.2f}x", cpu, wanted, is_met
    )


def faster(work: str, against: str, pairs: Pairs, goal: float) -> Row:
    """A row whose goal is to take a fraction of the reference's time."""
    ratios = [1 / ratio for ratio in pairs.ratios()]
    middle = statistics.median(ratios)
    return Row(
        work, against, seconds(median(pairs.ours)), seconds(median(pairs.reference)), f"{max(ratios):.1f}x faster",
        f"{middle:.1f}x faster", f"{1 / pairs.cpu_ratio():.1f}x faster", f"{goal:g}x faster", middle >= goal,
    )  # fmt: skip


def absolute(work: str, values: Sequence[float], unit: str, goal: float, done: Run) -> Row:
    """A row without a reference: of figures of several runs the least and the median; the goal is their most."""
    middle = statistics.median(values)
    least, shown, wanted = f"{min(values):.2f} {unit}", f"{middle:.2f} {unit}", f"at most {goal:g} {unit}"
    return Row(work, "", seconds(done), "", least, shown, "", wanted, middle <= goal)


def peak(work: str, done: Run) -> Row:
    """A row of memory."""
    shown = f"{done.peak / 1e6:.0f} MB"
    return Row(work, "", f"{shown} peak", "", shown, shown, "", f"at most {MEMORY_GOAL / 1e6:.0f} MB",
               done.peak <= MEMORY_GOAL)  # fmt: skip


def seconds(done: Run) -> str:
    """Return wall time, and what all threads took."""
    if done.wall < 1e-2:
        return f"{done.wall * 1e6:.0f} µs"
    return f"{done.wall:.2f} s ({done.cpu:.2f} CPU)" if done.wall >= 0.3 else f"{done.wall * 1e3:.0f} ms"


def gigabytes(size: float) -> str:
    """Return bytes in GB or MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
