"""How many gradients one update took, where the counter counts gradients and the moments tell the updates."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.windows import Window


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
    most = min((after - before) // max(decays - 1, 1) + 1 for before, after, decays in told)
    possible = [n for n in range(1, most + 1) if all(b // n - a // n == decays for a, b, decays in told)]
    return possible[0] if len(possible) == 1 else None
