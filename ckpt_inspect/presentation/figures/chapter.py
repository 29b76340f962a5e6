"""One optimizer's results, of one run or several, as arrays that are ready to be drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.comparison.segments import BEGINNING_WORDS
from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import setting, spoken_name, whole
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.presentation.figures.names import Group, group_by_structure, shared_prefix, short_labels, shorten
from ckpt_inspect.presentation.figures.questions import (
    KERNELS,
    LEAST_SHARE,
    NOT_FINITE,
    SCHEDULED,
    SHARE_LABELS,
    VECTORS,
)
from ckpt_inspect.presentation.figures.thinning import most_checkpoints, telling_positions
from ckpt_inspect.presentation.figures.wording import drawable, number
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known, rows_of
from ckpt_inspect.presentation.tables.wording import span_text
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import SOURCE_WORDS, shown_source

if TYPE_CHECKING:
    from pandas import DataFrame

    from ckpt_inspect.comparison.segments import Segment

_VECTOR_ROLES = frozenset({"bias", "gamma", "beta", "scale", "offset"})
"""Last words of the names of variables that are vectors by their meaning, although some layers give them more axes."""
MOST_MARKS = 24
"""Of a run that are drawn, the first; more would be a wall."""
MOST_IN_PICTURE = 400
"""Checkpoints of a run in a picture."""
_TELLING = ("update_rms", "update_to_weight", "effective_lr_median", "window_gradient_rms")
"""Columns whose extremes are kept when a long run is thinned."""
_DOUBTFUL = {"default": "assumed", "inferred": "inferred"}


@dataclass(frozen=True, slots=True)
class RunFrames:
    """The tidy frames of one run, as `Analyses.to_frame(kind)` gives them."""

    name: str
    """The run's name, for people; unique among the runs drawn together."""
    parameters: DataFrame
    """Kind `parameters`: one row per checkpoint, optimizer and parameter."""
    histogram: DataFrame | None = None
    """Kind `histogram`: non-empty bins; of a few checkpoints is enough (`chosen_checkpoints`)."""
    segments: tuple[Segment, ...] = ()
    """Of the run; nothing is marked if they aren't given."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run's results of one optimizer: K checkpoints in training order by P parameters of the chapter."""

    name: str
    series: OptimizerSeries
    histogram: DataFrame | None = None
    segments: tuple[Segment, ...] = ()
    _columns: dict[str, Floats] = field(default_factory=dict)

    def column(self, name: str) -> Floats:
        """Return (K, P) values of a column of the frame; all NaN if the frame lacks it.

        Where no element is finite no share is known: none is 0 there, or too small, because none is a number.
        """
        if name not in self._columns:
            values = self.series.values(name)
            if name in SHARE_LABELS:
                values = np.where(self.column("nonfinite") >= self.column("size"), np.nan, values)
            self._columns[name] = values
        return self._columns[name]

    @property
    def indices(self) -> Floats:
        """Return (K,) `checkpoint_index`."""
        return self.series.indices

    @property
    def steps(self) -> Floats:
        """Return (K,) updates applied; NaN if not known."""
        return self.series.steps

    @property
    def is_relative(self) -> NDArray[np.bool_]:
        """Return (K,) whether the frame holds E/α, because α is not known there."""
        return self.series.is_relative

    @cached_property
    def learning_rate(self) -> Floats:
        """Return (K,) the nominal rate of the last update; NaN if not known."""
        return floats(self.series.heads["learning_rate"])

    @cached_property
    def parts(self) -> NDArray[np.intp]:
        """Return (K,) which line of training each checkpoint lies on, from 0: no curve goes from one to another."""
        return self.series.parts(self.segments)

    def curve(self, values: Floats, at: NDArray[np.intp]) -> Floats:
        """Return values (K,) as a curve through the checkpoints `at` these positions takes them: with a NaN before
        each line of training but the first."""
        curve: Floats = np.insert(np.asarray(values, float)[at], np.flatnonzero(np.diff(self.parts[at])) + 1, np.nan)
        return curve

    @cached_property
    def marks(self) -> Mapping[int, str]:
        """Return where something happened to the run, by position among the checkpoints, and what."""
        places = [(int(np.searchsorted(self.indices, segment.start)), segment) for segment in self.segments[1:]]
        count = len(self.indices)
        found = {k: BEGINNING_WORDS[s.begins] for k, s in places if 0 < k < count and self.indices[k] < s.stop}
        damaged = np.flatnonzero((self.column("nonfinite") > 0).any(axis=1))
        if damaged.size:
            found[int(damaged[0])] = NOT_FINITE  # whatever else began there, this matters more
        return dict(sorted(found.items()))

    def telling_positions(self, most: int) -> NDArray[np.intp]:
        """Return the positions of about so many checkpoints, those that tell most, and what is marked."""
        columns = [self.column(name) for name in _TELLING]
        columns += [np.maximum(self.column(name), LEAST_SHARE) for name in SHARE_LABELS]
        known = [values for values in columns if not np.isnan(values).all()]
        also = {k for mark in list(self.marks)[:MOST_MARKS] for k in (mark - 1, mark)}
        return telling_positions(known or columns[:1], most, also)

    @cached_property
    def doubts(self) -> Mapping[str, str]:
        """Return hyperparameters on which figures rest although they are assumed, inferred, or refuted by other
        checkpoints of the run, by name, each with its value and source."""
        return dict(_doubts(self.series.heads))

    @property
    def rate_text(self) -> str:
        """Return its learning rate, how it changed, and where it is from."""
        sources = ", ".join(SOURCE_WORDS.get(s, s) for s in self.series.distinct("learning_rate_source"))
        value = span_text(self.learning_rate, number)
        return f"learning rate α {value} ({sources})" if value else "learning rate α not known"

    @property
    def is_scheduled(self) -> bool:
        """Return whether the learning rate changes so much that it would hide all else."""
        rates = known(self.learning_rate)
        return bool(rates.size and rates.max() > SCHEDULED * rates.min())

    @cached_property
    def divisor(self) -> Floats:
        """Return (K,) what its effective learning rates are divided by to be E/α: 1 where they are that already."""
        return np.where(self.is_relative, 1.0, self.learning_rate)


def _doubts(heads: DataFrame) -> Iterator[tuple[str, str]]:
    for name in (str(column).removesuffix("_source") for column in heads if str(column).endswith("_source")):
        refuted = heads[heads[name + CONTRADICTION].astype(bool)] if name + CONTRADICTION in heads else heads[:0]
        if name in heads and len(refuted):
            last = refuted.iloc[-1]
            source = shown_source(str(last[f"{name}_source"]), str(last[name + CONTRADICTION]))
            yield name, f"{name} {setting(float(last[name]))} ({source})"
        elif name in ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"):
            last = heads.iloc[-1]
            word = _DOUBTFUL.get(str(last[f"{name}_source"]))
            if word and np.isfinite(float(last[name])) and float(last[name]) != 0:
                yield name, f"{name} {setting(float(last[name]))} ({word})"


@dataclass(frozen=True, eq=False)
class Chapter:
    """One optimizer over one or several runs: what each figure of a report is drawn from."""

    optimizer: str
    parameters: tuple[str, ...]
    """Names, in the order of the frames: the model's own."""
    runs: tuple[Run, ...]
    are_vectors: tuple[bool, ...]
    """Of each parameter whether it is a bias, a norm's or another vector, which moves unlike a kernel."""
    are_checkpoints: bool = False
    """Whether the runs are two checkpoints that are compared, each a run of one."""

    def kinds(self, of: NDArray[np.intp] | None = None) -> dict[str, NDArray[np.intp]]:
        """Return the positions of the parameters, or `of` some of them, by kind, kernels first; a kind without any is
        left out."""
        are_vectors = np.array(self.are_vectors)
        found = {KERNELS: np.flatnonzero(~are_vectors), VECTORS: np.flatnonzero(are_vectors)}
        if of is not None:
            found = {kind: np.intersect1d(members, of) for kind, members in found.items()}
        return {kind: members for kind, members in found.items() if members.size}

    def title_of(self, kind: str, drawn: int | None = None) -> str:
        """Return a kind with how many parameters it has, and how many of them are `drawn` if not all are."""
        whole = len(self.kinds()[kind])
        return f"{kind} ({whole if drawn in (None, whole) else f'{drawn} of {whole}'})"

    @cached_property
    def is_series(self) -> bool:
        """Return whether any run has more than one checkpoint, so that there is something to draw over the run."""
        return any(len(run.indices) > 1 for run in self.runs)

    @cached_property
    def kept(self) -> tuple[NDArray[np.intp], ...]:
        """Return by run the positions of the checkpoints that a page draws: of long runs those that tell most; of runs
        of one checkpoint the newest."""
        if not self.is_series:
            return tuple(np.array([len(run.indices) - 1]) for run in self.runs)
        most = most_checkpoints(len(self.parameters), len(self.runs))
        return tuple(run.telling_positions(most) for run in self.runs)

    @cached_property
    def drawn(self) -> tuple[NDArray[np.intp], ...]:
        """Return by run those that a picture draws, whose panels are a few hundred dots wide."""
        pairs = zip(self.runs, self.kept, strict=True)
        return tuple(
            run.telling_positions(MOST_IN_PICTURE) if len(kept) > MOST_IN_PICTURE else kept for run, kept in pairs
        )

    @cached_property
    def has_learning_rates(self) -> bool:
        """Return whether any parameter has an effective learning rate in any checkpoint."""
        return any(bool(np.isfinite(run.column("effective_lr_median")).any()) for run in self.runs)

    @cached_property
    def is_relative(self) -> bool:
        """Return whether α is not known everywhere."""
        return any(bool(run.is_relative.any()) for run in self.runs)

    @cached_property
    def has_steps(self) -> bool:
        """Return whether steps are known and rise in every run; otherwise checkpoints are drawn by their index."""
        return all(not np.isnan(run.steps).any() and bool((np.diff(run.steps) > 0).all()) for run in self.runs)

    def x(self, run: Run) -> Floats:
        """Return (K,) positions of the run's checkpoints on the horizontal axis."""
        return run.steps if self.has_steps else run.indices

    @property
    def x_word(self) -> str:
        """Return what the horizontal axis of a run counts."""
        return "step" if self.has_steps else "checkpoint"

    @property
    def x_label(self) -> str:
        """Return what the horizontal axis of a run shows, with its unit."""
        if self.has_steps:
            return "step (updates applied)"
        unknown = [np.isnan(run.steps) for run in self.runs]
        lack = "do not rise throughout" if not any(each.any() for each in unknown) else "not known in every checkpoint"
        return f"checkpoint (in training order; steps {'not known' if all(each.all() for each in unknown) else lack})"

    def effective_lr(self, run: Run, column: str) -> Floats:
        """Return (K, P) of a column of effective learning rates as E/α; NaN if it is not defined or zero (α was)."""
        values = self.over_alpha(run.column(column), run)
        positive: Floats = np.where(values > 0, values, np.nan)
        return positive

    def over_alpha(self, values: Floats, run: Run, positions: int | slice | NDArray[np.intp] = slice(None)) -> Floats:
        """Return effective learning rates (K, n) over α; `positions`: of those checkpoints alone, or of one."""
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled: Floats = values / run.divisor[positions][..., None]
        return np.where(np.isfinite(scaled), scaled, np.nan)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the parameters' names as they can be written on a page."""
        return tuple(drawable(name) for name in self.parameters)

    def labels(self, members: Sequence[int] | NDArray[np.intp], width: int = 30) -> tuple[str, ...]:
        """Return short names of these parameters."""
        return short_labels([self.names[m] for m in members], width, len(shared_prefix(self.names)))

    def groups(self, members: NDArray[np.intp], most: int, width: int = 34) -> list[Group]:
        """Return at most `most` groups of these parameters, by the model's structure; theirs are positions here."""
        found = group_by_structure([self.names[m] for m in members], most, width, len(shared_prefix(self.names)))
        return [Group(group.label, tuple(int(members[m]) for m in group.members)) for group in found]

    def telling(self, scores: Floats, most: int, of: NDArray[np.intp] | None = None) -> dict[str, NDArray[np.intp]]:
        """Return by kind at most `most` parameters of the highest scores (P,), or `of` some of them, in the model's
        order."""
        found = {}
        for kind, members in self.kinds(of).items():
            order = np.argsort(-np.nan_to_num(scores[members], nan=-np.inf), kind="stable")
            found[kind] = np.sort(members[order[:most]])
        return found

    @property
    def made_from(self) -> tuple[str, ...]:
        """Return what was analysed: run, optimizer, rule, nominal learning rate and where it comes from."""
        runs = self.runs
        several = f"{len(runs)} {'checkpoints' if self.are_checkpoints else 'runs'}"
        parts = [f"run {shorten(runs[0].name, 60)}" if len(runs) == 1 else several]
        if not self.is_series:
            steps = dict.fromkeys(run.steps[-1] for run in runs)
            known = [whole(step) for step in steps if not np.isnan(step)]
            parts.append(f"step{'s' if len(known) > 1 else ''} {', '.join(known)}" if known else "step not known")
        rules = " / ".join(dict.fromkeys(str(run.series.heads["rule"].iloc[-1]) for run in runs))
        parts += [spoken_name(shorten(drawable(self.optimizer), 60)), f"rule {rules}"]
        is_one = len({run.rate_text for run in runs}) == 1
        return (*parts, *([runs[0].rate_text] if is_one else [f"{shorten(r.name, 40)}: {r.rate_text}" for r in runs]))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return the doubtful values of all runs; of several those that not all share with the runs' names."""
        return self.doubts_of(None)

    def doubts_of(self, names: Collection[str] | None) -> tuple[str, ...]:
        """Return those among some hyperparameters; None: among all."""
        of_runs: dict[str, list[str]] = {}
        for run in self.runs:
            for text in (text for name, text in run.doubts.items() if names is None or name in names):
                of_runs.setdefault(text, []).append(run.name)
        return tuple(
            text if len(names) == len(self.runs) else f"{text} in {', '.join(shorten(name, 40) for name in names)}"
            for text, names in of_runs.items()
        )

    @property
    def subtitle(self) -> tuple[str, ...]:
        """Return what was analysed, and the values that are doubtful."""
        return (*self.made_from, *self.doubts)


def chosen_checkpoints(count: int, most: int = 4) -> tuple[int, ...]:
    """Return the positions of at most `most` of `count` checkpoints, evenly spaced, the first and the last among
    them."""
    return tuple(dict.fromkeys(round(float(p)) for p in np.linspace(0, count - 1, min(most, count)))) if count else ()


def chapters(runs: Sequence[RunFrames], *, are_checkpoints: bool = False) -> tuple[Chapter, ...]:
    """Return one chapter per optimizer name, in order of appearance; a parameter of any run has its column in each.

    `are_checkpoints`: the runs are single checkpoints that are compared, and called so.
    Raises RequestError for no runs, runs of one name, or frames without a single row.
    """
    if not runs:
        raise RequestError("there is nothing to draw: no run was given")
    if len({run.name for run in runs}) < len(runs):
        raise RequestError("two runs have the same name: give each its own name")
    optimizers = dict.fromkeys(name for run in runs for name in run.parameters["optimizer"].unique())
    if not optimizers:
        raise RequestError(f"there is nothing to draw: run {runs[0].name} holds no optimizer with moments")
    return tuple(_chapter(str(optimizer), runs, are_checkpoints) for optimizer in optimizers)


def _of(frame: DataFrame | None, optimizer: str) -> DataFrame | None:
    return None if frame is None or not len(frame) else rows_of(frame, optimizer)


def _chapter(optimizer: str, runs: Sequence[RunFrames], are_checkpoints: bool) -> Chapter:
    frames = {run.name: rows_of(run.parameters, optimizer) for run in runs}
    newest = [frame[["parameter", "shape"]].drop_duplicates("parameter") for frame in frames.values()]
    shapes = {str(name): str(shape) for rows in newest for name, shape in rows.itertuples(index=False)}
    parameters = tuple(shapes)
    if list(parameters) == sorted(parameters):  # a listing by letters, not the model's order: count its digits
        parameters = tuple(sorted(parameters, key=natural_key))
    found = tuple(
        Run(
            drawable(run.name),
            OptimizerSeries.of(run.name, optimizer, frames[run.name], parameters),
            _of(run.histogram, optimizer),
            run.segments,
        )
        for run in runs
        if len(frames[run.name])
    )
    return Chapter(optimizer, parameters, found, tuple(_is_vector(n, shapes[n]) for n in parameters), are_checkpoints)


def _is_vector(name: str, shape: str) -> bool:
    last = name.replace(":", "/").rpartition("/")[2].lower()
    return shape.count(",") == 0 or last in _VECTOR_ROLES
