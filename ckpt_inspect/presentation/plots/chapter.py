"""One optimizer's results, of one run or several, as arrays that are ready to be drawn.

All statistics that figures show are done here, so that a plot function only places what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.comparison.segments import BEGINNING_WORDS
from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS
from ckpt_inspect.measurement.variables import CONTRADICTION, QUANTILE_NAMES
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats
from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.names import Group, group_by_structure, shorten
from ckpt_inspect.presentation.plots.questions import KERNELS, NOT_FINITE, RATE, VECTORS
from ckpt_inspect.sourced import SOURCE_WORDS, shown_source

if TYPE_CHECKING:
    from pandas import DataFrame

    from ckpt_inspect.comparison.segments import Beginning, Segment

KNOTS = QUANTILE_LEVELS
"""Levels of the quantiles that a store holds of each parameter's effective learning rate."""
KNOT_COLUMNS = tuple(f"effective_lr_{name}" for name in QUANTILE_NAMES)
"""Their columns in a frame of kind `parameters`, in the same order."""

COLUMNS = (
    *KNOT_COLUMNS, "size", "untouched", "epsilon_dominated", "lost_in_rounding", "update_to_weight",
    "window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high", "update_rms", "relative_update_rms",
    "nonfinite",
)  # fmt: skip
"""Columns of such a frame that figures are drawn from."""


_VECTOR_ROLES = frozenset({"bias", "gamma", "beta", "scale", "offset"})
"""Last words of the names of variables that are vectors by their meaning, although some layers give them more axes."""


@dataclass(frozen=True, slots=True)
class RunFrames:
    """The tidy frames of one run, as `Analyses.to_frame(kind)` gives them."""

    name: str
    """The run's name, for people; unique among the runs drawn together."""
    parameters: DataFrame
    """Kind `parameters`: one row per checkpoint, optimizer and parameter."""
    histogram: DataFrame | None = None
    """Kind `histogram`: non-empty bins; of a few checkpoints is enough (`chosen_checkpoints`)."""
    sample: DataFrame | None = None
    """Kind `sample`: the same elements in every checkpoint; of some hundreds of checkpoints is enough."""
    segments: tuple[Segment, ...] = ()
    """Of the run; nothing is marked if they aren't given."""


@dataclass(frozen=True)
class Run:
    """One run's results of one optimizer: K checkpoints in training order by P parameters of the chapter."""

    name: str
    rule: str
    checkpoints: tuple[str, ...]
    indices: Floats
    """(K,) `checkpoint_index`."""
    steps: Floats
    """(K,) updates applied; NaN if not known."""
    learning_rate: Floats
    """(K,) nominal rate of the last update; NaN if not known."""
    is_relative: NDArray[np.bool_]
    """(K,) whether the frame holds E/α, because α is not known there."""
    learning_rate_sources: tuple[str, ...]
    """Distinct sources over the run, in order of appearance."""
    columns: Mapping[str, Floats]
    """Column -> (K, P), NaN if the frame has no row."""
    histogram: DataFrame | None
    sample: DataFrame | None
    beta_2_sources: tuple[str, ...] = ()
    """Where beta_2 is from in its checkpoints."""
    beginnings: Mapping[int, Beginning] = field(default_factory=dict)
    """Where segments of the run begin after its start, by position among the checkpoints, and why."""
    doubts: tuple[str, ...] = ()
    """Hyperparameters on which figures rest although they are assumed, inferred, or refuted by other checkpoints of the
    run, each with its value and source."""

    def column(self, name: str) -> Floats:
        """Return (K, P) values of a column of the frame; all NaN if the frame lacks it."""
        if name in self.columns:
            return self.columns[name]
        return np.full(next(iter(self.columns.values())).shape, np.nan)

    @cached_property
    def marks(self) -> Mapping[int, str]:
        """Return where something happened to the run, by position among the checkpoints, and what."""
        found = {k: BEGINNING_WORDS[begins] for k, begins in self.beginnings.items()}
        damaged = np.flatnonzero((self.column("nonfinite") > 0).any(axis=1))
        if damaged.size and int(damaged[0]) not in found:
            found[int(damaged[0])] = NOT_FINITE
        return dict(sorted(found.items()))

    @cached_property
    def sampled(self) -> NDArray[np.intp]:
        """Return the positions of the checkpoints that `sample` covers, ascending."""
        if self.sample is None:
            return np.empty(0, dtype=np.intp)
        return np.flatnonzero(np.isin(self.indices, self.sample["checkpoint_index"].unique()))

    @cached_property
    def sample_rows(self) -> Mapping[str, NDArray[np.intp]]:
        """Return parameter -> its rows in `sample`."""
        if self.sample is None:
            return {}
        rows = self.sample.groupby("parameter", observed=True).indices
        return {str(name): np.asarray(of_name) for name, of_name in rows.items()}


@dataclass(frozen=True)
class Chapter:
    """One optimizer over one or several runs: what each figure of a report is drawn from."""

    optimizer: str
    parameters: tuple[str, ...]
    """Names, in the order of the frames: the model's own."""
    runs: tuple[Run, ...]
    are_checkpoints: bool = False
    """Whether the runs are two checkpoints that are compared, each a run of one."""
    are_vectors: tuple[bool, ...] = ()
    """Of each parameter whether it is a bias, a norm's or another vector, which moves unlike a kernel."""

    def kinds(self) -> dict[str, NDArray[np.intp]]:
        """Return the parameters' positions by kind, kernels first; a kind without a parameter is left out."""
        are_vectors = np.array(self.are_vectors or [False] * len(self.parameters))
        found = {KERNELS: np.flatnonzero(~are_vectors), VECTORS: np.flatnonzero(are_vectors)}
        return {kind: members for kind, members in found.items() if members.size}

    @cached_property
    def is_series(self) -> bool:
        """Return whether any run has more than one checkpoint, so that there is something to draw over the run."""
        return any(len(run.checkpoints) > 1 for run in self.runs)

    @cached_property
    def has_learning_rates(self) -> bool:
        """Return whether any parameter has an effective learning rate in any checkpoint."""
        return any(bool(np.isfinite(run.column("effective_lr_median")).any()) for run in self.runs)

    @cached_property
    def is_relative(self) -> bool:
        """Return whether E/α is drawn in place of E, because α is not known everywhere."""
        return any(bool(run.is_relative.any()) for run in self.runs)

    @cached_property
    def has_steps(self) -> bool:
        """Return whether steps are known and rise in every run; otherwise checkpoints are drawn by their index."""
        return all(
            not np.isnan(run.steps).any() and (len(run.steps) < 2 or bool((np.diff(run.steps) > 0).all()))
            for run in self.runs
        )

    def x(self, run: Run) -> Floats:
        """Return (K,) positions of the run's checkpoints on the horizontal axis."""
        return run.steps if self.has_steps else run.indices

    @property
    def x_label(self) -> str:
        """Return what the horizontal axis of a run shows, with its unit."""
        if self.has_steps:
            return "step (updates applied)"
        known = any(not np.isnan(run.steps).all() for run in self.runs)
        return f"checkpoint (in training order; steps {'do not rise throughout' if known else 'not known'})"

    lr_label = RATE
    """Axis label of effective learning rates: α, and with it any schedule, is divided out."""

    def effective_lr(self, run: Run, column: str) -> Floats:
        """Return (K, P) of a column of effective learning rates as E/α; NaN if it is not defined or zero (α was)."""
        values = self.over_alpha(run.column(column), run)
        positive: Floats = np.where(values > 0, values, np.nan)
        return positive

    def over_alpha(self, values: Floats, run: Run, positions: int | slice | NDArray[np.intp] = slice(None)) -> Floats:
        """Return effective learning rates (K, n) over α; `positions`: of those checkpoints alone, or of one."""
        divisor = np.where(run.is_relative, 1.0, run.learning_rate)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled: Floats = values / divisor[positions][..., None]
        return np.where(np.isfinite(scaled), scaled, np.nan)

    def groups(self, limit: int, width: int = 34) -> tuple[Group, ...]:
        """Return the parameters in at most `limit` groups by the model's structure."""
        return group_by_structure(self.names, limit, width)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the parameters' names as they can be written on a page."""
        return tuple(style.drawable(name) for name in self.parameters)

    def quantiles(self, run: Run, group: Group, levels: Sequence[float], positions: slice = slice(None)) -> Floats:
        """Return (K, len(levels)) quantiles of E/α over all touched elements of the group's parameters.

        One parameter: its own, as stored. Several: of the mixture of their distributions, each taken as log-linear
        between its stored quantiles and weighted by its touched elements. `positions`: of those checkpoints alone.
        """
        members = list(group.members)
        if len(members) == 1 and all(level in KNOTS for level in levels):
            own = [KNOT_COLUMNS[KNOTS.index(level)] for level in levels]
            return np.stack([self.effective_lr(run, column)[positions, members[0]] for column in own], axis=1)
        knots = np.stack([self.effective_lr(run, column)[positions][:, members] for column in KNOT_COLUMNS], axis=2)
        untouched = np.nan_to_num(run.column("untouched")[positions][:, members])
        weights = np.nan_to_num(run.column("size")[positions][:, members]) * (1 - untouched)
        return mixture_quantiles(knots, weights, levels)

    @property
    def subtitle(self) -> tuple[str, ...]:
        """Return what was analysed: run, optimizer, rule, nominal learning rate and where it comes from."""
        runs = self.runs
        several = f"{len(runs)} {'checkpoints' if self.are_checkpoints else 'runs'}"
        names = f"run {shorten(runs[0].name, 60)}" if len(runs) == 1 else several
        rules = " / ".join(dict.fromkeys(run.rule for run in runs))
        parts = [names, spoken_name(shorten(style.drawable(self.optimizer), 60)), f"rule {rules}"]
        if len({_rate_text(run) for run in runs}) == 1:
            parts.append(_rate_text(runs[0]))
        else:
            parts.extend(f"{shorten(run.name, 40)}: {_rate_text(run)}" for run in runs)
        parts.extend(dict.fromkeys(text for run in runs for text in run.doubts))
        if not self.is_series:
            steps = dict.fromkeys(run.steps[-1] if run.steps.size else np.nan for run in runs)
            known = [f"{step:.0f}" for step in steps if not np.isnan(step)]
            parts.insert(1, f"step{'s' if len(known) > 1 else ''} {', '.join(known)}" if known else "step not known")
        return tuple(parts)


def _rate_text(run: Run) -> str:
    sources = ", ".join(SOURCE_WORDS.get(source, source) for source in run.learning_rate_sources)
    rates = run.learning_rate[~np.isnan(run.learning_rate)]
    if not rates.size:
        return "learning rate α not known"
    first, last = style.number(rates[0]), style.number(rates[-1])
    value = first if np.ptp(rates) <= 1e-9 * abs(rates[0]) else f"{first} → {last}"
    return f"learning rate α {value} ({sources})"


def mixture_quantiles(knots: Floats, weights: Floats, levels: Sequence[float]) -> Floats:
    """Return (K, L) quantiles of the mixture of G distributions in each of K checkpoints.

    `knots` (K, G, 9): positive values at the levels `KNOTS`, ascending, NaN if a member has none; `weights` (K, G).
    Found by bisection of the mixture's distribution function in log space, to 2⁻³⁰ of the range.
    """
    valid = np.isfinite(knots).all(axis=2) & (knots > 0).all(axis=2) & (weights > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(valid[:, :, None], np.log(knots), 0.0)
    weights = np.where(valid, weights, 0.0)
    total = weights.sum(axis=1)
    share = weights / np.where(total > 0, total, 1.0)[:, None]
    count, quantiles = logs.shape[0], len(levels)
    wanted = np.broadcast_to(np.asarray(levels, dtype=float), (count, quantiles))
    low = np.repeat(np.where(valid, logs[:, :, 0], np.inf).min(axis=1, initial=np.inf)[:, None], quantiles, axis=1)
    high = np.repeat(np.where(valid, logs[:, :, -1], -np.inf).max(axis=1, initial=-np.inf)[:, None], quantiles, axis=1)
    empty = total <= 0
    low[empty], high[empty] = 0.0, 0.0
    for _ in range(30):
        middle = (low + high) / 2
        below = _mixture_share(logs, share, middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    result: Floats = np.exp(high)
    result[empty] = np.nan
    return result


def _mixture_share(logs: Floats, share: Floats, at: Floats) -> Floats:
    """(K, L) share of the mixture that is at most `at` (K, L)."""
    below = np.zeros(at.shape)
    for piece in range(len(KNOTS) - 1):
        start, width = logs[:, None, :, piece], np.diff(logs[:, :, piece : piece + 2], axis=2)[:, None, :, 0]
        position = at[:, :, None] - start
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(width > 0, np.clip(position / width, 0.0, 1.0), position >= 0)
        below += (KNOTS[piece + 1] - KNOTS[piece]) * np.einsum("klg,kg->kl", part, share)
    return below


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
    return tuple(replace(_chapter(str(o), runs), are_checkpoints=are_checkpoints) for o in optimizers)


def _of(frame: DataFrame | None, optimizer: str) -> DataFrame | None:
    return None if frame is None or not len(frame) else frame[frame["optimizer"] == optimizer]


def _chapter(optimizer: str, runs: Sequence[RunFrames]) -> Chapter:
    frames = {run.name: run.parameters[run.parameters["optimizer"] == optimizer] for run in runs}
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    newest = {run: frame[["parameter", "shape"]].drop_duplicates("parameter") for run, frame in frames.items()}
    shapes = {str(name): str(shape) for rows in newest.values() for name, shape in rows.itertuples(index=False)}
    parameters = tuple(shapes)
    if list(parameters) == sorted(parameters):  # a listing by letters, not the model's order: count its digits
        parameters = tuple(sorted(parameters, key=natural_key))
    return Chapter(
        optimizer,
        parameters,
        are_vectors=tuple(_is_vector(name, shapes[name]) for name in parameters),
        runs=tuple(
            _run(
                OptimizerSeries.of(run.name, optimizer, frames[run.name], parameters),
                _of(run.histogram, optimizer),
                _of(run.sample, optimizer),
                run.segments,
            )
            for run in runs
            if run.name in frames
        ),
    )


def _is_vector(name: str, shape: str) -> bool:
    last = name.replace(":", "/").rpartition("/")[2].lower()
    return shape.count(",") == 0 or last in _VECTOR_ROLES


def _run(
    series: OptimizerSeries, histogram: DataFrame | None, sample: DataFrame | None, segments: Sequence[Segment]
) -> Run:
    heads = series.heads
    return Run(
        name=style.drawable(series.run),
        rule=str(heads["rule"].iloc[-1]),
        checkpoints=tuple(str(checkpoint) for checkpoint in heads["checkpoint"]),
        indices=series.indices,
        steps=series.steps,
        learning_rate=floats(heads["learning_rate"]),
        is_relative=series.is_relative,
        learning_rate_sources=tuple(series.distinct("learning_rate_source")),
        columns={name: series.values(name) for name in COLUMNS if name in series.frame},
        histogram=histogram,
        sample=sample,
        beta_2_sources=tuple(series.distinct("beta_2_source")),
        beginnings=_beginnings(series.indices, segments),
        doubts=tuple(_doubts(heads)),
    )


def _beginnings(indices: Floats, segments: Sequence[Segment]) -> dict[int, Beginning]:
    """Return where segments begin among the checkpoints of these indices, each in the first that is of it."""
    places = [(int(np.searchsorted(indices, segment.start)), segment) for segment in segments[1:]]
    return {k: s.begins for k, s in places if 0 < k < len(indices) and indices[k] < s.stop}


def _doubts(heads: DataFrame) -> Iterator[str]:
    """What stands in a figure's subtitle of values that are not simply read."""
    for name in (str(column).removesuffix("_source") for column in heads if str(column).endswith("_source")):
        refuted = heads[heads[name + CONTRADICTION].astype(bool)] if name + CONTRADICTION in heads else heads[:0]
        if name in heads and len(refuted):
            last = refuted.iloc[-1]
            source = shown_source(str(last[f"{name}_source"]), str(last[name + CONTRADICTION]))
            yield f"{name} {last[name]:.6g} ({source})"
        elif name in ("beta_1", "beta_2", "epsilon", "weight_decay"):
            last = heads.iloc[-1]
            word = {"default": "assumed", "inferred": "inferred"}.get(str(last[f"{name}_source"]))
            if word and np.isfinite(float(last[name])) and float(last[name]) != 0:
                yield f"{name} {float(last[name]):.6g} ({word})"
