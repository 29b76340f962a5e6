"""The figures of an optimizer's parameters in one checkpoint: arrays over parameters, under the store's names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ckpt_inspect.measurement.columns import Columns
from ckpt_inspect.measurement.histograms import (
    EFFECTIVE_LR_GRID,
    SECOND_MOMENT_GRID,
    Counts,
    Grid,
)
from ckpt_inspect.measurement.summaries import Figure
from ckpt_inspect.measurement.sweep import Measured
from ckpt_inspect.measurement.variables import METRICS
from ckpt_inspect.records import dataclass

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
    def of(cls, measured: Measured) -> ParameterFigures:
        """Return what was measured."""
        parameters, formulas, summary = measured.parameters, measured.formulas, measured.summary
        return cls(
            tuple(p.name for p in parameters),
            tuple(p.shape for p in parameters),
            tuple(p.dtype for p in parameters),
            tuple(formula.is_relative for formula in formulas),
            tuple(formula.reason for formula in formulas),
            {
                **_metrics(measured),
                "effective_lr": summary.effective_lr,
                "effective_lr_sample": measured.samples,
                "second_moment": summary.second_moment,
                "second_moment_sample": measured.second_moment_samples,
                "value_sample": measured.value_samples,
            },
            {
                "effective_lr_histogram": Histograms.of(0, summary.effective_lr_histogram),
                "second_moment_histogram": Histograms.of(0, summary.second_moment_histogram),
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


def _metrics(measured: Measured) -> Columns:
    """Return the columns of METRICS, (P,) each."""
    formulas, s = measured.formulas, measured.summary
    has_rate = np.array([not formula.is_relative for formula in formulas], np.bool_)
    has_coefficients = np.array([formula.coefficients is not None for formula in formulas], np.bool_)
    own = [
        (
            math.nan if f.settings.learning_rate is None else f.settings.learning_rate,
            0.0 if f.coefficients is None or f.is_relative else float(f.coefficients.decay),
            f.noise_scale,
            f.moment_bound,
            f.bias_correction,
        )
        for f in formulas
    ]
    rate, decay, noise_scale, moment_bound, bias_correction = np.array(own, np.float64).reshape(-1, 5).T.copy()

    def absolute(figure: Figure) -> Figure:
        return np.where(has_rate, figure, np.nan)

    update_rms = absolute(s.update_rms)
    values = {
        "effective_lr_mean": s.effective_lr_mean,
        "update_rms": update_rms,
        "update_max": absolute(s.update_max),
        "relative_update_rms": _ratio(s.update_rms, np.where(has_rate, rate, 1.0)),
        "update_to_weight": _ratio(update_rms, s.weight_rms),
        "weight_rms": s.weight_rms,
        "first_moment_rms": s.first_moment_rms,
        "second_moment_mean": s.second_moment_mean,
        "signal_to_noise": s.ratio_rms * noise_scale,
        "epsilon_dominated": np.where(has_coefficients, s.epsilon_dominated, np.nan),
        "untouched": s.untouched,
        "untouched_rows": measured.untouched_rows,
        "lost_in_rounding": absolute(s.lost_in_rounding),
        "nonfinite": s.nonfinite.astype(np.float64),
        "negative_second_moment": s.negative_second_moment.astype(np.float64),
        "moment_ratio_max": s.ratio_max,
        "moment_bound": moment_bound,
        "bias_correction": bias_correction,
        "decay_balance": np.where(decay != 0, _ratio(decay * s.weight_rms, update_rms), np.nan),
    }
    return {variable.name: values[variable.name] for variable in METRICS}


def _ratio(numerator: Figure, denominator: Figure) -> Figure:
    with np.errstate(all="ignore"):
        return np.where(denominator != 0, numerator / denominator, np.nan)
