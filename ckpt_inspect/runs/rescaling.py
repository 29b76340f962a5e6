"""The effective learning rates of a run for another nominal rate, without its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.columns import Column, OptimizerColumns, RunColumns
from ckpt_inspect.measurement.histograms import EFFECTIVE_LR_GRID, Counts, Floats
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.update_rules import find_implementation, find_rule


def with_learning_rate(analyses: RunColumns, rate: float) -> RunColumns:
    """Return the same run, had every last update been made with this learning rate; what stood there before is
    replaced.

    E is proportional to α, so quantiles, means and samples are exact. Histograms are exact to a bin: each bin's counts
    move to the bin that its middle comes to lie in. What summaries can't tell becomes NaN: the share lost in rounding,
    the largest update if α was not known, and all sizes of updates if weight decay is not scaled by α. Raises
    RequestError for a rate that isn't positive, and for LAMB.
    """
    if not rate > 0:
        raise RequestError(f"a learning rate of {rate} makes no update: give a positive one")
    for optimizer in analyses.optimizers.values():
        rules = {name for name in set(optimizer.variables["rule"]) if not _is_linear(str(name))}
        if rules:
            raise RequestError(
                f"{spoken_name(optimizer.name)} ({', '.join(rules)}): its effective learning rate is not proportional "
                "to the learning rate: analyse the checkpoints again with the rate given"
            )
    rescaled = {name: OptimizerColumns(name, _rescaled(o.variables, rate)) for name, o in analyses.optimizers.items()}
    return replace(analyses, optimizers=rescaled)


def _is_linear(name: str) -> bool:
    """Whether E is proportional to α under the rule of that name, as it is under most."""
    rule = find_rule(name)
    return rule is None or rule.is_linear_in_rate


def _rescaled(before: Mapping[str, Column], rate: float) -> dict[str, Column]:
    columns = dict(before)
    is_relative = before["effective_lr_is_relative"] == 1
    with np.errstate(divide="ignore", invalid="ignore"):
        factor: Floats = rate / np.where(is_relative, 1.0, before["learning_rate"])
    factor[~np.isfinite(factor)] = np.nan
    is_fixed = _decays_regardless(before)
    columns["effective_lr"] = before["effective_lr"] * factor[:, None, None]
    columns["effective_lr_sample"] = before["effective_lr_sample"] * factor[:, None, None]
    columns["effective_lr_mean"] = before["effective_lr_mean"] * factor[:, None]
    shrinkage = _shrinkage(before, rate)
    columns["relative_update_rms"] = np.where(is_fixed, np.nan, before["relative_update_rms"] * shrinkage)
    columns["update_rms"] = columns["relative_update_rms"] * rate
    columns["update_max"] = np.where(is_fixed, np.nan, before["update_max"] * factor[:, None] * shrinkage)
    columns["decay_balance"] = np.where(is_fixed, np.nan, before["decay_balance"] / shrinkage)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["update_to_weight"] = columns["update_rms"] / np.where(
            before["weight_rms"] > 0, before["weight_rms"], np.nan
        )
    columns["lost_in_rounding"] = np.full_like(before["lost_in_rounding"], np.nan)
    columns["effective_lr_histogram"], columns["bin_edges"] = _moved(
        before["effective_lr_histogram"], before["bin_edges"], factor
    )
    count = len(factor)
    columns["learning_rate"] = np.full(count, float(rate))
    columns["learning_rate_source"] = np.full(count, "given", object)
    columns["learning_rate_where"] = np.full(count, "given afterwards, in place of what the analysis found", object)
    columns["effective_lr_is_relative"] = np.zeros(count, np.int64)
    return columns


def _decays_regardless(before: Mapping[str, Column]) -> NDArray[np.bool_]:
    """(R, 1) whether an update has a part that isn't proportional to α, by checkpoint: weight decay by wd, not α·wd.

    How much of an update it is can't be had from summaries. Where the implementation is not known, no decay is trusted.
    """
    found = []
    for family, decay in zip(before["family"], before["weight_decay"], strict=True):
        implementation = find_implementation(str(family))
        scales = implementation is not None and implementation.scales_decay
        found.append(not scales and decay != 0 and bool(family))  # NaN, not known, differs from 0
    return np.array(found, np.bool_).reshape(-1, 1)


def _shrinkage(before: Mapping[str, Column], rate: float) -> Floats:
    """(R, P) (1 - α·wd)/(1 - rate·wd) of tensors that decay, else 1.

    The weights in the file are those after the update, so that Δ = -α·(wd·θ + u)/(1 - α·wd), u being the rest of the
    update over α.
    """
    decay = np.nan_to_num(before["weight_decay"])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        shrinkage: Floats = (1 - before["learning_rate"][:, None] * decay) / (1 - rate * decay)
    return np.where((before["decay_balance"] > 0) & np.isfinite(shrinkage), shrinkage, 1.0)


def _moved(counts: Counts, edges: Floats, factor: Floats) -> tuple[Counts, Floats]:
    """The histogram with each checkpoint's values multiplied by its factor, and the edges of its bins."""
    grid = EFFECTIVE_LR_GRID
    middles = (edges[:-1] + edges[1:]) / 2
    moved = np.clip(middles * np.nan_to_num(factor, nan=1.0)[:, None], 0, grid.edges[-2])
    bins: NDArray[np.intp] = np.searchsorted(grid.edges, moved, side="right") - 1
    filled: NDArray[np.bool_] = np.asarray(counts.any(axis=1))
    if not filled.any():
        return counts, edges
    first, last = int(bins[filled].min()), int(bins[filled].max()) + 1
    result = np.zeros((*counts.shape[:2], last - first), counts.dtype)
    for row, of_row in enumerate(bins):
        used = np.flatnonzero(filled[row])
        np.add.at(result[row].T, of_row[used] - first, counts[row][:, used].T)
    return result, grid.edges[first : last + 1].copy()
