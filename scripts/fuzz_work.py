"""What is done with one mutated checkpoint or store, in a worker process: what a user may do, by public calls."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import math
import os
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ckpt_inspect
from ckpt_inspect import CkptInspectError

SHORT, MOST_PIECES, LONG = 1000, 256, 1 << 16
"""Elements of a piece, more where that would be more pieces than these, but never more than the package's default."""

KINDS = ("parameters", "histogram", "sample", "checkpoints", "problems", "findings")
"""Frames of a run; a report is drawn from them."""

_CHANGING = ["path", "size_bytes", "modified", "fingerprint"]
"""Columns of a frame that say where and when its checkpoint was written."""


@dataclass
class Observed:
    """What came of it; compared with what comes of the healthy original."""

    values: dict[str, str] = field(default_factory=dict)
    """A digest of each result, by what it is of."""
    remarks: Counter[str] = field(default_factory=Counter)
    """Problems and findings, by identifier and what they are about."""
    errors: dict[str, str] = field(default_factory=dict)
    """CkptInspectErrors, by what was done."""
    exceptions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Other exceptions: the innermost place in ckpt_inspect, and the traceback."""
    peak: float = 0.0
    """Bytes of memory in use at most, beyond those before."""
    seconds: float = 0.0


class Work:
    """One case's steps, each on its own: what fails in one doesn't keep the next from being tried."""

    def __init__(self, folder: Path) -> None:
        self.observed = Observed()
        self._folder = folder

    def step(self, name: str, do: Callable[[], object]) -> None:
        """Do something, and keep what comes of it."""
        try:
            do()
        except CkptInspectError as error:
            self.observed.errors[name] = self._plain(f"{type(error).__name__}: {error}")
        except Exception as error:  # it is what is sought
            text = "".join(traceback.format_exception(error))
            self.observed.exceptions[name] = f"{type(error).__name__} {innermost(text)}", self._plain(text)

    def keep(self, name: str, value: object) -> None:
        """Keep the digest of a result."""
        content = value if isinstance(value, bytes) else self._plain(repr(value)).encode("utf-8", "backslashreplace")
        self.observed.values[name] = hashlib.sha256(content).hexdigest()[:12]

    def remark(self, *what: object) -> None:
        """Keep a Problem or finding."""
        self.observed.remarks[" ".join(self._plain(str(part)) for part in what)] += 1

    def _plain(self, text: str) -> str:
        return text.replace(str(self._folder), "<folder>")


def innermost(text: str) -> str:
    """Return the innermost place in ckpt_inspect that a traceback names, or a dump of faulthandler's."""
    found = re.findall(r'File "[^"]*?(ckpt_inspect/[^"]*)", line (\d+) in (\w+|<\w+>)', text.replace(", in ", " in "))
    if not found:
        return "outside of ckpt_inspect"
    file, line, name = found[0] if "most recent call first" in text else found[-1]
    return f"{file}:{line} {name}"


def look_at_checkpoint(folder: Path, target: str) -> Observed:
    """Open a checkpoint, read every tensor in pieces, find optimizers, analyse it."""
    work, path = Work(folder), folder / target
    work.step("open", lambda: _read(work, path))
    work.step("optimizer_states", lambda: _look_at_states(work, path))
    work.step("analyze", lambda: _keep_analyses(work, ckpt_inspect.analyze(path)))
    work.step("describe", lambda: repr(ckpt_inspect.describe(path)))
    return work.observed


def look_at_store(folder: Path, target: str, checkpoint: Path, *, is_drawn: bool) -> Observed:
    """Load a store, make every frame, export at another rate, and analyse one more checkpoint into it."""
    work, path = Work(folder), folder / target
    work.step("load", lambda: _keep_frames(work, ckpt_inspect.load(path)))
    work.step("export", lambda: _export(work, path, folder))
    if is_drawn:
        work.step("report", lambda: ckpt_inspect.write_report(path, folder / "report"))
    work.step("analyze into it", lambda: _keep_analyses(work, ckpt_inspect.analyze(checkpoint, store=path)))
    return work.observed


def _read(work: Work, path: Path) -> None:
    with ckpt_inspect.open_checkpoint(path) as checkpoint:
        _keep_problems(work, checkpoint.problems)
        work.keep("tensors", list(checkpoint.tensors.values()))
        for name in checkpoint.tensors:
            work.step(f"read {name[:80]}", functools.partial(_keep_tensor, work, checkpoint, name))
        for name in ("training_config", "graph", "labels", "producer", "written_order"):
            work.step(name, getattr(checkpoint, name))


def _keep_tensor(work: Work, checkpoint: ckpt_inspect.Checkpoint, name: str) -> None:
    found = hashlib.sha256()
    elements = min(max(SHORT, checkpoint.tensors[name].size // MOST_PIECES), LONG)
    for piece in checkpoint.stream(name, elements):
        found.update(repr(piece.tolist()).encode() if piece.dtype == object else piece.tobytes())
    work.keep(f"tensor {name}", found.digest())


def _look_at_states(work: Work, path: Path) -> None:
    with ckpt_inspect.open_checkpoint(path) as checkpoint:
        for state in ckpt_inspect.optimizer_states(checkpoint):
            numbers = {name: (value.value, value.source) for name, value in state.hyperparameters.items()}
            work.keep(f"optimizer {state.name}", (state.rule, state.step.value, numbers, list(state.parameters)))
            for name, parameter in state.parameters.items():
                work.step(f"E of {name[:80]}", functools.partial(_keep_parameter, work, parameter))


def _keep_parameter(work: Work, parameter: ckpt_inspect.Parameter) -> None:
    for what in ("effective_lr", "last_update"):
        value = getattr(parameter, what)()
        work.keep(f"{what} of {parameter.name}", None if value is None else value.tobytes())


def _keep_problems(work: Work, problems: tuple[ckpt_inspect.Problem, ...]) -> None:
    for problem in problems:
        work.remark("problem", problem.code, problem.severity)


def _keep_analyses(work: Work, analyses: ckpt_inspect.Analyses) -> None:
    for kind in ("parameters", "histogram", "sample"):
        work.keep(f"analysis, {kind}", _text(analyses.to_frame(kind)))
    for remark in analyses.remarks:
        work.remark("remark", remark.problem.code, remark.problem.severity, remark.optimizer)
    for finding in analyses.findings:
        work.remark("finding", finding.id, finding.severity, finding.optimizer, *finding.parameters)


def _keep_frames(work: Work, analyses: ckpt_inspect.Analyses) -> None:
    for kind in KINDS:
        work.step(f"frame {kind}", functools.partial(_keep_frame, work, analyses, kind))
    repr(analyses)


def _keep_frame(work: Work, analyses: ckpt_inspect.Analyses, kind: str) -> None:
    work.keep(f"store, {kind}", _text(analyses.to_frame(kind)))


def _export(work: Work, store: Path, folder: Path) -> None:
    target = folder / "exported.csv"
    ckpt_inspect.export(store, "csv", target, learning_rate=0.5)
    work.keep("exported", target.read_bytes())


def _text(frame: Any) -> bytes:
    stream = io.StringIO()
    frame.drop(columns=[name for name in _CHANGING if name in frame]).to_csv(stream)
    return stream.getvalue().encode("utf-8", "surrogatepass")


# --- judgement

OUTCOMES = ("same", "reported", "clean error", "silent", "exception", "hang", "crash", "memory")
FAULTS = frozenset({"exception", "hang", "crash", "memory"})
"""Outcomes that must not be."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a case."""

    outcome: str
    """One of OUTCOMES."""
    where: str = ""
    """Of a fault the innermost place in ckpt_inspect; of an error what was done; of a silent one what differs."""
    text: str = ""
    """The message, or the traceback."""


def judge(seen: Observed, healthy: Observed, most_memory: float) -> Verdict:
    """Return the outcome of a case that came to its end."""
    if seen.exceptions:
        place, text = next(iter(seen.exceptions.values()))
        return Verdict("memory" if place.startswith("MemoryError") else "exception", place, text)
    if seen.peak > most_memory:
        return Verdict("memory", "peak", f"{seen.peak / 1e6:.0f} MB more than before")
    if fresh := {name: text for name, text in seen.errors.items() if name not in healthy.errors}:
        name, text = next(iter(fresh.items()))
        return Verdict("clean error", name, text)
    if seen.remarks - healthy.remarks:
        return Verdict("reported", "", ", ".join(seen.remarks - healthy.remarks))
    if differing := sorted(_differing(seen.values, healthy.values)):
        return Verdict("silent", ", ".join(differing)[:200])
    return Verdict("same")


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    return (name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


# --- memory


def resident() -> float:
    """Return the bytes of memory in use; NaN if the system doesn't say."""
    return _status("VmRSS")


def mapped() -> float:
    """Return the bytes of address space in use."""
    return _status("VmSize")


def forget_peak() -> None:
    """Begin to measure anew what is in use at most."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Return the bytes that were in use at most."""
    return _status("VmHWM")


def _status(key: str, pid: int | None = None) -> float:
    try:
        text = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    except OSError:
        return math.nan
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return float(found[1]) * 1024 if found else math.nan


def processor_of(pid: int) -> float:
    """Return the seconds of processor time that another process has taken; NaN if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_of(pid: int) -> float:
    """Return the bytes of memory that another process uses; NaN if it is gone."""
    return _status("VmRSS", pid)
