"""Which rule names leave open, by elements that stayed exactly as they were while their neighbours were updated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.silence import WITNESSES
from ckpt_inspect.comparison.inference.usual import distinct
from ckpt_inspect.comparison.inference.windows import Elements
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.update_rules import UpdateRule, rules_with_slots_of


def lazy_alternative(observation: Observation) -> UpdateRule | None:
    """Return the one other rule that the file may be of and that leaves moments alone; None if there is none."""
    rule = observation.update_rule
    if rule is None or observation.rule.source != "default" or rule.leaves_moments:
        return None
    lazy = [other for other in rules_with_slots_of(rule) if other.leaves_moments]
    return lazy[0] if len(lazy) == 1 else None


def count_left_alone(elements: Elements) -> int:
    """Return how many elements with moments stayed the same bit for bit in parameters in which others changed.

    Under a rule that is not lazy every update changes every first moment that is not 0.
    """
    if elements.value_a is None or elements.value_b is None:
        return 0
    pair = elements.pair
    with np.errstate(all="ignore"):
        is_same = (pair.first_a == pair.first_b) & (pair.second_a == pair.second_b)
        is_same &= elements.value_a == elements.value_b
        is_updated = ~is_same & (pair.second_b > 0)
        tiny = 100 * np.finfo(pair.second_a.dtype).tiny
        is_left = is_same & (np.abs(pair.first_a) > 1e4 * tiny) & (pair.second_a > 1e4 * tiny)
    updated = np.bincount(elements.owner[is_updated], minlength=len(elements.names)) > 0
    return distinct(pair.second_a[is_left & updated[elements.owner]])


def read_rule(left_alone: Mapping[tuple[int, int], int], observations: Sequence[Observation]) -> Sourced[str] | None:
    """Return the lazy rule, if elements were left alone in any window; else None."""
    for (a, b), count in left_alone.items():
        rule = lazy_alternative(observations[b])
        if rule is not None and count >= WITNESSES:
            where = (
                f"{count} elements stayed as they were from {observations[a].checkpoint} to "
                f"{observations[b].checkpoint}, moments included, while others of the same variables were updated"
            )
            return Sourced(rule.name, "inferred", where)
    return None
