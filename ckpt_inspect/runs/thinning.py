"""Which checkpoints of a long run are drawn: no more than can be seen, and of each stretch the extremes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ckpt_inspect.measurement.columns import RunColumns

MOST_DRAWN = 2000
"""Checkpoints of a run that are drawn at most, about: a figure has fewer pixels across."""

_TELLING = ("effective_lr_mean", "relative_update_rms")
"""Figures whose largest and smallest value in a stretch is drawn, of whichever parameter."""


def telling_rows(run: RunColumns, more: Iterable[int] = (), most: int = MOST_DRAWN) -> list[int]:
    """Return the places of the checkpoints that are drawn, ascending: all of a run of at most `most`.

    Of a longer one the first and the last, those that are asked for, and of each of many stretches of equal length the
    first and those with the largest and the smallest effective learning rate and update.
    """
    count = len(run)
    if count <= most:
        return list(range(count))
    stretches = np.array_split(np.arange(count), most // (1 + 2 * len(_TELLING)))
    chosen = {0, count - 1, *more, *(int(stretch[0]) for stretch in stretches)}
    for optimizer in run.optimizers.values():
        for name in _TELLING:
            values = optimizer.variables[name]
            for sign in (1, -1):
                extreme = np.fmax.reduce(sign * values, axis=1) if values.shape[1] else np.full(count, np.nan)
                for stretch in stretches:
                    own = extreme[stretch]
                    if not np.isnan(own).all():
                        chosen.add(int(stretch[np.nanargmax(own)]))
    return sorted(chosen)
