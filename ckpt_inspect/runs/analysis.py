"""One checkpoint -> Analysis: every optimizer in it, every parameter's figures, and what was odd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from ckpt_inspect import storage
from ckpt_inspect.checkpoint import Array, Checkpoint, FileStat, Problem
from ckpt_inspect.errors import ChangedFileError, NoStateError, NotFoundError
from ckpt_inspect.layouts import find_optimizers, suspects
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.measurement.sweep import Measured, Sweep, nbytes_of
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.figures import ParameterFigures
from ckpt_inspect.runs.other_tensors import nonfinite_problems
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.inferred import Inferred
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter, optimizer_states
from ckpt_inspect.state.selection import Selection
from ckpt_inspect.update_rules import STATE_SLOTS

_HEAD_BYTES = 1 << 16
"""How much of a checkpoint's first file, its index, goes into the fingerprint."""

ElementSink = Callable[[str, Parameter, int, Array], None]
"""Given an optimizer's name, a parameter, the flat index of a piece's first element, and E of the piece."""


@dataclass(frozen=True, slots=True, eq=False)
class OptimizerAnalysis:
    """One optimizer in one checkpoint."""

    name: str
    rule: Sourced[str]
    layout: str
    family: str
    """Whose implementation: `layouts.found.Family`."""
    step: Sourced[int]
    counts_gradients: bool
    """Whether the step counts gradients of which several make an update."""
    hyperparameters: Mapping[str, Sourced[float]]
    has_scheduled_rate: bool
    """Whether the file shows that the learning rate follows the step by itself."""
    parameters: ParameterFigures
    absence: str | None
    """Why there are no moments; None if there are."""
    state_problems: tuple[Problem, ...]
    """What was odd about the state, whichever parameters were measured."""

    @property
    def is_relative(self) -> bool:
        """Return whether α is not known, so that every effective learning rate is E/α."""
        return any(self.parameters.are_relative)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return everything that was odd."""
        return (*self.state_problems, *self._undetermined())

    def _undetermined(self) -> Iterator[Problem]:
        """Why E is missing, once for each reason; a step of 0 speaks for itself."""
        if self.step.value == 0:
            return
        reasons: dict[str, list[str]] = {}
        for name, absence in zip(self.parameters.names, self.parameters.absences, strict=True):
            if absence:
                reasons.setdefault(absence, []).append(name)
        for reason, names in reasons.items():
            yield Problem(
                "effective-lr-undetermined",
                f"{spoken_name(self.name)}: no effective learning rate for {_some(names)}: {reason}",
                "the figures that don't need it are reported",
            )


@dataclass(frozen=True, slots=True)
class Analysis:
    """One checkpoint."""

    path: str
    name: str
    format: str
    layout: str
    """Of several optimizers' layouts, each once, with commas."""
    size_bytes: int
    """Of all its files."""
    modified: float
    """Of the newest of its files, in seconds since 1970."""
    fingerprint: str
    files: tuple[str, ...]
    """Absolute paths, the index first."""
    optimizers: tuple[OptimizerAnalysis, ...]
    problems: tuple[Problem, ...]
    """Of the checkpoint itself; each optimizer has its own."""

    @property
    def has_state(self) -> bool:
        """Return whether there is a parameter with moments after at least one update."""
        return any(o.parameters and o.step.value != 0 for o in self.optimizers)


def _tensors_of(parameters: Sequence[Parameter]) -> tuple[set[str], dict[str, str]]:
    """Return the keys of what is measured of parameters, and the names by key of their other slots, as averages."""
    known: set[str] = set()
    further: dict[str, str] = {}
    for parameter in parameters:
        known |= {parameter.found.value} - {None}  # type: ignore[arg-type]  # no key is left out
        for slot, key in parameter.found.slots.items():
            if slot in _MEASURED:
                known.add(key)
            else:
                further[key] = f"{parameter.name} ({slot.replace('_', ' ')})"
    return known, further


_MEASURED = {name for names in STATE_SLOTS.values() for name in names}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What there is to measure in an open checkpoint, with every number resolved."""

    checkpoint: Checkpoint
    states: tuple[OptimizerState, ...]
    parameters: tuple[tuple[OptimizerState, Parameter], ...]
    """With the state that each is part of; those of one state stand together."""
    selection: Selection = field(default_factory=Selection)

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        given: Given | None = None,
        selection: Selection | None = None,
        inferred: Inferred | None = None,
        find: Callable[[Checkpoint], tuple[FoundOptimizer, ...]] = find_optimizers,
    ) -> Chosen:
        """Resolve every optimizer, and choose the parameters that have something to measure.

        `given`, `inferred` and `find` as in `optimizer_states`. Reads metadata and scalars only. Raises
        CkptInspectError for what can't be read.
        """
        states = optimizer_states(checkpoint, given, inferred=inferred, find=find)
        selection = selection or Selection()
        parameters = tuple(
            (state, parameter)
            for state in states
            if state.update_rule is not None
            for parameter in state.parameters.values()
            if selection.has(parameter.name) and parameter.key("second_moment") is not None
        )
        return cls(checkpoint, states, parameters, selection)

    def nbytes(self) -> list[int]:
        """Return what reading each parameter comes to."""
        return [nbytes_of(parameter) for _, parameter in self.parameters]

    def expect(self, part: slice = slice(None)) -> bool:
        """Say that some of the parameters will be measured once everything else that is expected has been read; return
        whether that is heeded."""
        return Sweep([parameter for _, parameter in self.parameters[part]]).expect_later()

    def measure(
        self,
        part: slice = slice(None),
        *,
        sink: ElementSink | None = None,
        progress: Callable[[int], None] | None = None,
        threads: int | None = None,
        is_expected: bool = False,
    ) -> Analysis:
        """Read some of the parameters once, by default all; `join` puts several parts together.

        `progress` gets the bytes of each piece as it is done, from any thread. `is_expected`: what `expect` returned
        of this part. Raises CkptInspectError for what can't be read.
        """
        checkpoint, chosen = self.checkpoint, self.parameters[part]
        owners = {id(parameter): state.name for state, parameter in chosen}
        element_sink = None if sink is None else (lambda p, start, e: sink(owners[id(p)], p, start, e))
        sweep = Sweep(
            [p for _, p in chosen], threads=threads, progress=progress, sink=element_sink, is_expected=is_expected
        )
        measured, owned = sweep.run(), [state.name for state, _ in chosen]
        parts = {name: slice(owned.index(name), owned.index(name) + owned.count(name)) for name in dict.fromkeys(owned)}
        files = tuple(map(storage.absolute, checkpoint.files))
        others: tuple[Problem, ...] = ()
        if self.parameters and not part.start:  # once, in the first of several parts
            known, further = _tensors_of([parameter for _, parameter in self.parameters])
            others = tuple(nonfinite_problems(checkpoint, known, further, self.selection))
        return Analysis(
            path=str(checkpoint.path),
            name=Path(checkpoint.path).name,
            format=checkpoint.format,
            layout=",".join(dict.fromkeys(state.layout for state in self.states)),
            size_bytes=checkpoint.size_bytes,
            modified=checkpoint.modified,
            fingerprint=_fingerprint(files, checkpoint.file_stats, checkpoint.read_head(_HEAD_BYTES)),
            files=files,
            optimizers=tuple(
                _optimizer(state, measured.part(parts.get(state.name, slice(0, 0)))) for state in self.states
            ),
            problems=(*checkpoint.problems, *others, *(() if self.states else _unknown_state(checkpoint))),
        )


STATE_UNKNOWN = "state-unknown"
"""Code of the Problem of a checkpoint that may hold an optimizer's state of no known kind."""


def _unknown_state(checkpoint: Checkpoint) -> tuple[Problem, ...]:
    """Return the remark that tensors may be an optimizer's, though no layout found one; none if none may."""
    suspected = suspects(checkpoint)
    what = f"tensors that may be an optimizer's state of a kind that is not known, or weights: {suspected}"
    return (Problem(STATE_UNKNOWN, what, "they are not analysed", "info"),) if suspected else ()


def join(parts: Sequence[Analysis]) -> Analysis:
    """Return the analysis of a whole checkpoint from those of its parts, in the order of their parameters.

    Exactly what one analysis of everything would be. Raises ChangedFileError if the files were changed in between.
    """
    first, *others = parts
    if any(part.fingerprint != first.fingerprint for part in others):
        raise ChangedFileError(f"{first.path}: was changed while it was read; analyse again when it is complete")
    optimizers = [
        replace(same[0], parameters=ParameterFigures.joined([optimizer.parameters for optimizer in same]))
        for same in zip(*(part.optimizers for part in parts), strict=True)
    ]
    return replace(first, optimizers=tuple(optimizers))


def require_state(analysis: Analysis) -> None:
    """Raise NoStateError with one sentence that says what the checkpoint is, if it holds nothing to analyse.

    NotFoundError if it is the selection that leaves nothing.
    """
    if analysis.has_state:
        return
    path, optimizers = analysis.path, analysis.optimizers
    if not optimizers:
        reasons = "; ".join(dict.fromkeys(p.message for p in analysis.problems))
        kind = " of a known kind" if any(p.code == STATE_UNKNOWN for p in analysis.problems) else ", only weights"
        raise NoStateError(f"{path}: holds no optimizer state{kind}{f' ({reasons})' if reasons else ''}")
    stepless = [o for o in optimizers if o.parameters]
    if stepless:
        raise NoStateError(
            f"{path}: its {spoken_name(stepless[0].name)} ({stepless[0].rule.value}) has made no update yet (step 0), "
            "so that there are no effective learning rates: analyse a later checkpoint"
        )
    absences = dict.fromkeys(f"{o.name}: {o.absence}" for o in optimizers if o.absence)
    if not absences:
        raise NotFoundError(
            f"{path}: no parameter's name matches what was included; `ckpt-inspect show` lists them all"
        )
    raise NoStateError(f"{path}: holds no moments of Adam's kind ({'; '.join(absences)})")


def fingerprint(files: Sequence[str]) -> str:
    """Return 32 hexadecimal digits of the files' names, sizes and times, and of the first one's head, as they are now.

    Raises NotFoundError if one is missing.
    """
    paths = list(map(storage.as_path, files))
    found = list(map(storage.stat, paths))
    if missing := next((path for path, each in zip(paths, found, strict=True) if each.kind != "file"), None):
        raise NotFoundError(f"{missing}: is missing")
    stats = [FileStat(each.size, each.modified_ns) for each in found]
    return _fingerprint(files, stats, storage.read_head(paths[0], _HEAD_BYTES) if paths else b"")


def _fingerprint(files: Sequence[str], stats: Sequence[FileStat], head: bytes) -> str:
    import hashlib  # and with it OpenSSL: when there is something to be put together

    digest = hashlib.blake2b(digest_size=16)
    for place, (file, found) in enumerate(zip(files, stats, strict=True)):
        name = storage.name_of(file)  # in which bytes that are no text stand for themselves
        digest.update(f"{name}\0{found.size}\0{found.modified_ns}\0".encode("utf-8", "surrogateescape"))
        if place == 0:
            digest.update(head)
    return digest.hexdigest()


def fingerprint_now(files: Sequence[str]) -> str | None:
    """Return the fingerprint of files as they are; None if one is gone."""
    try:
        return fingerprint(files)
    except NotFoundError:
        return None


def _optimizer(state: OptimizerState, measured: Measured) -> OptimizerAnalysis:
    return OptimizerAnalysis(
        name=state.name,
        rule=state.rule_source,
        layout=state.layout,
        family=state.family,
        step=state.step,
        counts_gradients=state.counts_gradients,
        hyperparameters=state.hyperparameters,
        has_scheduled_rate=state.has_scheduled_rate,
        parameters=ParameterFigures.of(measured),
        absence=state.absence,
        state_problems=tuple(state.problems),
    )


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} parameters ({names[0]}, ..)"
