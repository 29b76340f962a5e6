"""Fit one window: which elements, which exponents, with or without weight decay, until one model describes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.comparison.inference.evidence import Interval
from ckpt_inspect.comparison.inference.movement import (
    Movement,
    Still,
    fit_movement,
    followed,
    longest_followed,
    terms_of,
)
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.shrinkage import Shrinkage, find_shrinkage, find_untouched
from ckpt_inspect.comparison.inference.windows import Elements, Window
from ckpt_inspect.measurement.order import distinct
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import Settings

_MOST_WAYS = 20
"""Ways in which updates may have been skipped that are all tried; of more the two extremes."""
_RATE_AGREES = 1e-3
"""By how much the fitted rate may differ from what the files say, relative."""
_RATE_PROVES = 1e-4
"""The same where weights may be moved by something else: only then nothing else moved them."""


@dataclass(frozen=True, slots=True)
class Motion:
    """What the weights of one window tell."""

    movement: Movement | None = None
    """The fit that describes them; None if none does."""
    shrinkage: Shrinkage | None = None
    refusal: str = ""
    is_refuted: bool = False
    """Whether weights moved, and as no model describes: then a number of the update may have changed in between."""
    share: float = 0.0
    """What decoupled decay took of each weight at an update, in the model that describes them."""


def find_motion(a: Observation, b: Observation, window: Window, elements: Elements, exponent: int | None) -> Motion:
    """Return what the silent elements of a window moved. `exponent`: of the last update before the window."""
    silence, rule = window.silence, b.update_rule
    if silence is None or rule is None or not window.is_proof or window.decays is None or not silence.is_by_both:
        return Motion(refusal="no element is known to be silent")
    if elements.value_a is None or elements.value_b is None:
        return Motion(refusal="the weights are not in the files")
    if elements.value_a.dtype != elements.pair.second_a.dtype:
        return Motion(refusal="the weights are of another dtype than the moments")
    shrinkage, owners = _shrinkage(elements, window.decays)
    if exponent is None:
        return Motion(None, shrinkage, "the exponent of the bias correction is not known")
    keeps = elements.max_second_a is not None and elements.max_second_b is not None
    refusal = "no model of the weights' movement fits to rounding: something else moved them, or gradients did"
    settings = Settings(b.implementation, exponent, 1.0, window.beta_1, window.beta_2, others=b.others)
    is_refuted = False
    for places, share, possible in _attempts(window, elements, shrinkage, owners, exponent, keeps, b):
        still = _still(elements, places, keeps)
        accepted = []
        for exponents in possible:
            terms = terms_of(rule, settings, exponents, elements.value_a.dtype, keeps)
            if terms is None:
                return Motion(None, shrinkage, "the rule moves silent elements in a way that is not followed here")
            movement = fit_movement(still, terms, window.decays, share, read_rate(b))
            if movement is None:
                refusal = "silent elements hardly moved: epsilon has no effect that could be seen"
                continue
            is_refuted = True
            if not movement.is_accepted:
                continue
            if (fault := _rate_fault(movement, a, b)) is None:
                accepted.append(movement)
            else:
                refusal = fault
        if accepted:
            return Motion(_joined(accepted), shrinkage, share=share)
    return Motion(None, shrinkage, refusal, is_refuted)


def _joined(movements: Sequence[Movement]) -> Movement:
    """What several models leave open together, each of which describes the movement; the best one's best values."""
    first = min(movements, key=lambda m: m.chi)
    if len(movements) == 1:
        return first

    def together(name: str) -> Interval:
        each = [getattr(m, name) for m in movements]
        best = getattr(first, name).best
        low, high = min(i.low for i in each), max(i.high for i in each)
        return Interval(best if low > 0 and math.isfinite(high) else None, low, high)

    return replace(first, learning_rate=together("learning_rate"), epsilon=together("epsilon"))


def _shrinkage(elements: Elements, decays: int) -> tuple[Shrinkage | None, Array]:
    """What untouched weights shrank by, and of which parameters they are."""
    pair = elements.pair
    none = np.empty(0, np.int32)
    if elements.value_a is None or elements.value_b is None:
        return None, none
    places = find_untouched(pair.first_a, pair.first_b, pair.second_a, pair.second_b, elements.value_a)
    if not places.size:
        return None, none
    return find_shrinkage(elements.value_a[places], elements.value_b[places], decays), distinct(elements.owner[places])


def _attempts(
    window: Window,
    elements: Elements,
    shrinkage: Shrinkage | None,
    owners: Array,
    exponent: int,
    keeps_second: bool,
    b: Observation,
) -> Iterator[tuple[Array, float, list[Array]]]:
    """Models in the order in which they are tried: places, share that decay takes, all possible exponents."""
    silence = window.silence
    if silence is None or window.decays is None or window.beta_1 is None or window.beta_2 is None:
        return
    last = min(window.decays, followed(window.beta_1, window.beta_2, keeps_second))
    if last > longest_followed():
        return
    silent = silence.silent
    if keeps_second and elements.max_second_a is not None and elements.max_second_b is not None:
        silent = silent[elements.max_second_a[silent] == elements.max_second_b[silent]]
    exponents = _exponents(window, exponent, last, b.counted == "updates")
    share = 0.0 if shrinkage is None else shrinkage.share
    yield silent, share, exponents
    if not share:
        return
    is_owned = np.isin(elements.owner[silent], owners)
    if not is_owned.all():
        yield silent[is_owned], share, exponents
        yield silent[~is_owned], 0.0, exponents


def _exponents(window: Window, exponent: int, last: int, counts_skipped: bool) -> list[Array]:
    """Exponents of the first `last` updates, in each way in which the counted ones may have been skipped."""
    decays, counted = window.decays or 0, window.counted or 0
    plain = exponent + 1 + np.arange(last)
    if counted <= decays or not counts_skipped:
        return [plain]
    if math.comb(counted, decays) <= _MOST_WAYS:
        ways = [np.array(made[:last]) for made in combinations(range(exponent + 1, exponent + 1 + counted), decays)]
        return [*{tuple(way): way for way in ways}.values()]
    return [plain, plain + counted - decays]  # all after, or all before: the extremes


def _still(elements: Elements, places: Array, keeps_second: bool) -> Still:
    second = elements.max_second_a if keeps_second else elements.pair.second_a
    if second is None or elements.value_a is None or elements.value_b is None:
        raise AssertionError("asked for with weights only")
    return Still(elements.pair.first_a[places], second[places], elements.value_a[places], elements.value_b[places])


def read_rate(observation: Observation) -> float | None:
    """The rate that the file itself tells; None if it tells none."""
    rate = observation.hyperparameters.get("learning_rate")
    if rate is None or rate.value is None or rate.source not in ("checkpoint", "config", "graph"):
        return None
    return float(rate.value)


def _rate_fault(movement: Movement, a: Observation, b: Observation) -> str | None:
    """Why the fitted rate can't be true; None if nothing speaks against it."""
    rate = movement.learning_rate.best
    if rate is None or not rate > 0:
        return "the fitted rate is not positive"
    read = [r for r in (read_rate(a), read_rate(b)) if r is not None]
    moves = a.moves_by_itself or b.moves_by_itself
    allowed = _RATE_PROVES if moves else _RATE_AGREES
    if any(r > 0 and abs(rate / r - 1) <= allowed for r in read):
        return None
    if moves:
        return "an average or another optimizer may have moved the weights too"
    if len(read) < 2 or min(read) < rate < max(read):  # a schedule: its mean over the first updates
        return None
    own = movement.learning_rate
    if movement.epsilon.best is None and any(own.low * (1 - allowed) <= r <= own.high * (1 + allowed) for r in read):
        return None  # rate and epsilon can't be told apart here
    told = " and ".join(f"{r:.9g}" for r in dict.fromkeys(read))
    return f"the movement fits a rate of {rate:.6g}, and the files say {told}: something else moved the weights"
