"""How many gradients one update took, where the counter counts gradients and the moments tell the updates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.windows import Window

_LEAST, _MOST = 2, 1 << 20
"""Gradients of an update, where several are accumulated."""


def find_accumulated(links: Sequence[Window], observations: Sequence[Observation]) -> int | None:
    """Return the n with raw_B // n - raw_A // n = decays in every window; None if none or several are possible."""
    told = []
    for window in links:
        one, two = (observations[place] for place in window.places)
        if not two.counts_gradients or one.raw_step is None or two.raw_step is None:
            return None
        if window.is_proof and window.decays is not None:
            told.append((one.raw_step, two.raw_step, window.decays))
    if not told:
        return None
    # one update can be the last of any number of gradients up to the count itself
    most = min(after if decays == 1 else (after - before) // (decays - 1) for before, after, decays in told)
    multiples = np.arange(_LEAST, min(most, _MOST) + 1)
    is_possible = np.ones(multiples.size, bool)
    for before, after, decays in told:
        is_possible &= after // multiples - before // multiples == decays
    possible = multiples[is_possible].tolist()
    return int(possible[0]) if len(possible) == 1 else None
