"""The figures of an optimizer's parameters in one checkpoint: arrays over parameters, under the store's names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ckpt_inspect.measurement.columns import Columns
from ckpt_inspect.measurement.histograms import (
    EFFECTIVE_LR_GRID,
    QUANTILE_LEVELS,
    SECOND_MOMENT_GRID,
    Counts,
    Floats,
    Grid,
)
from ckpt_inspect.measurement.summaries import SAMPLES
from ckpt_inspect.measurement.sweep import Measured
from ckpt_inspect.measurement.variables import METRICS

GRIDS: Mapping[str, Grid] = {
    "effective_lr_histogram": EFFECTIVE_LR_GRID,
    "second_moment_histogram": SECOND_MOMENT_GRID,
}
"""The grid of each histogram."""


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """Counts of the bins of a grid, from the first that isn't empty for all parameters to the last."""

    first: int
    """Number of the first bin in its grid."""
    counts: Counts
    """(P, bins), in as few bytes as hold the largest."""

    @classmethod
    def of(cls, first: int, counts: Counts) -> Histograms:
        """Return the histograms of a stretch of a grid, (P, bins), that begins with the bin of that number."""
        if not counts.size:
            return cls(0, np.zeros((len(counts), 0), np.int64))
        (filled,) = np.nonzero(counts.any(axis=0))
        if not filled.size:
            return cls(0, counts[:, :0].copy())
        own = counts[:, filled[0] : filled[-1] + 1]
        return cls(first + int(filled[0]), own.astype(np.min_scalar_type(own.max())))

    @classmethod
    def joined(cls, parts: Sequence[Histograms]) -> Histograms:
        """Return the histograms of several groups of parameters, one group after another."""
        filled = [part for part in parts if part.counts.shape[1]]
        first = min((part.first for part in filled), default=0)
        last = max((part.first + part.counts.shape[1] for part in filled), default=0)
        counts = np.zeros((sum(len(part.counts) for part in parts), last - first), np.int64)
        row = 0
        for part in parts:
            start = part.first - first if part.counts.shape[1] else 0
            counts[row : row + len(part.counts), start : start + part.counts.shape[1]] = part.counts
            row += len(part.counts)
        return cls.of(first, counts)


@dataclass(frozen=True, slots=True, eq=False)
class ParameterFigures:
    """P parameters of one optimizer in one checkpoint."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    are_relative: tuple[bool, ...]
    """Whether α is not known, so that every effective learning rate is E/α."""
    absences: tuple[str, ...]
    """Why there is no effective learning rate; empty if there is."""
    columns: Columns
    """(P, ..) each: `variables.METRICS`, quantiles and samples."""
    histograms: Mapping[str, Histograms]
    """By the names of `GRIDS`."""

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, measured: Sequence[Measured]) -> ParameterFigures:
        """Return what was measured."""
        parameters, formulas = [m.parameter for m in measured], [m.formula for m in measured]
        summaries = [m.summary for m in measured]
        metrics = _array(map(_metrics, measured), len(METRICS))
        return cls(
            tuple(p.name for p in parameters),
            tuple(p.shape for p in parameters),
            tuple(p.dtype for p in parameters),
            tuple(formula.is_relative for formula in formulas),
            tuple(formula.reason for formula in formulas),
            {
                **{variable.name: column for variable, column in zip(METRICS, metrics.T.copy(), strict=True)},
                "effective_lr": _array((s.effective_lr for s in summaries), len(QUANTILE_LEVELS)),
                "effective_lr_sample": _array((m.samples for m in measured), SAMPLES),
                "second_moment": _array((s.second_moment for s in summaries), len(QUANTILE_LEVELS)),
                "second_moment_sample": _array((m.second_moment_samples for m in measured), SAMPLES),
                "value_sample": _array((m.value_samples for m in measured), SAMPLES),
            },
            {
                "effective_lr_histogram": Histograms.of(0, np.array([s.effective_lr_histogram for s in summaries])),
                "second_moment_histogram": Histograms.of(0, np.array([s.second_moment_histogram for s in summaries])),
            },
        )

    @classmethod
    def joined(cls, parts: Sequence[ParameterFigures]) -> ParameterFigures:
        """Return the figures of several groups of an optimizer's parameters, one group after another."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            tuple(name for part in parts for name in part.names),
            tuple(shape for part in parts for shape in part.shapes),
            tuple(dtype for part in parts for dtype in part.dtypes),
            tuple(is_relative for part in parts for is_relative in part.are_relative),
            tuple(absence for part in parts for absence in part.absences),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
            {name: Histograms.joined([part.histograms[name] for part in parts]) for name in GRIDS},
        )


def _array(rows: Iterable[Sequence[float] | Floats], length: int) -> Floats:
    """(P, length)"""
    return np.array(list(rows), np.float64).reshape(-1, length)


def _metrics(measured: Measured) -> list[float]:
    """Return the values of METRICS, in their order."""
    formula, s = measured.formula, measured.summary
    is_absolute = not formula.is_relative
    update_rms = s.update_rms if is_absolute else math.nan
    rate = formula.settings.learning_rate if is_absolute else 1.0
    decay = float(formula.coefficients.decay) if formula.coefficients is not None and is_absolute else 0.0
    values = {
        "effective_lr_mean": s.effective_lr_mean,
        "update_rms": update_rms,
        "update_max": s.update_max if is_absolute else math.nan,
        "relative_update_rms": _ratio(s.update_rms, rate),
        "update_to_weight": _ratio(update_rms, s.weight_rms),
        "weight_rms": s.weight_rms,
        "first_moment_rms": s.first_moment_rms,
        "second_moment_mean": s.second_moment_mean,
        "signal_to_noise": s.ratio_rms * formula.noise_scale,
        "epsilon_dominated": s.epsilon_dominated if formula.coefficients is not None else math.nan,
        "untouched": s.untouched,
        "untouched_rows": measured.untouched_rows,
        "lost_in_rounding": s.lost_in_rounding if is_absolute else math.nan,
        "nonfinite": float(s.nonfinite),
        "negative_second_moment": float(s.negative_second_moment),
        "moment_ratio_max": s.ratio_max,
        "moment_bound": formula.moment_bound,
        "bias_correction": formula.bias_correction,
        "decay_balance": _ratio(decay * s.weight_rms, update_rms) if decay else math.nan,
    }
    return [values[variable.name] for variable in METRICS]


def _ratio(numerator: float, denominator: float | None) -> float:
    return numerator / denominator if denominator else math.nan
