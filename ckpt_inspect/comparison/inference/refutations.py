"""Assumed and read values that the checkpoints of a run refute."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ckpt_inspect.comparison.inference.claims import Motions, common_interval, share_of_decay
from ckpt_inspect.comparison.inference.evidence import Contradiction
from ckpt_inspect.comparison.inference.lineage import Lineage
from ckpt_inspect.comparison.inference.motion import read_rate
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.windows import Elements, Window
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.order import distinct
from ckpt_inspect.measurement.wording import figure, setting
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.update_rules import Settings

_WITNESSES = 3
"""Elements that must contradict a value."""
_PLAUSIBLE = 0.8
"""Bound of beta_2 below which a reset, or another run, is likelier than such a beta_2."""
_CLOSE = 1e-6
"""Relative difference from an inferred beta below which an assumed one isn't refuted."""
_SLACK = 1.01
"""By how much a weight may move further than the bound, for what rounding adds."""
_CLEARLY = 1.5
"""How many times the rate in the files the least possible one must be; by which factor an epsilon must lie outside."""
_REPEATED = 3.0
"""The same where slices of a sparse gradient may be squared one by one: then |m|/√v may exceed its bound."""
_COUNTED_OUT = 512
"""Updates whose bounds are added up one by one; of more, each counts as the largest."""


def least_rate(a: Observation, b: Observation, window: Window, elements: Elements) -> float | None:
    """Return the smallest rate, at some update of the window, with which the weights can have moved so far.

    None if nothing is known: the rule has no such bound, the exponent, a beta or a file's rate is not known, or
    something else may have moved the weights. No element can move more in an update than α·N/F·√D times the largest
    |m|/√v that gradients leave behind (`UpdateRule.moment_bound`), and what decoupled decay takes.
    """
    rule, after = b.update_rule, b.step.value
    if rule is None or after is None or not window.counted or a.moves_by_itself or b.moves_by_itself:
        return None
    if read_rate(a) is None or read_rate(b) is None:
        return None
    if elements.value_a is None or elements.value_b is None or not rule.is_linear_in_rate or rule.needs_norms:
        return None
    betas = [value(b, name, window) for name in ("beta_1", "beta_2")]
    if betas[0] is None or betas[1] is None or a.step.value is None:
        return None
    reach = _reach(b, betas[0], betas[1], a.step.value, after)
    decay = b.hyperparameters.get("weight_decay")
    if reach is None or (decay is not None and decay.value is None):
        return None
    count = (after - a.step.value) * (decay.value or 0.0 if decay is not None else 0.0)
    fixed = share_of_decay(b, 0.0) * count  # Addons' decay does not depend on the rate
    taken = share_of_decay(b, 1.0) * count - fixed
    with np.errstate(all="ignore"):
        rates = np.abs(elements.value_b - elements.value_a)
        if fixed or taken:
            largest = np.maximum(np.abs(elements.value_a), np.abs(elements.value_b))
            rates = (rates - fixed * largest) / (reach + taken * largest)
        else:
            rates = rates / reach
        rates = rates[np.isfinite(rates)]
    if rates.size < _WITNESSES:
        return None
    slack = _SLACK if b.implementation.squares_slices == "never" else _REPEATED
    return float(np.partition(rates, rates.size - _WITNESSES)[rates.size - _WITNESSES]) / slack


def value(observation: Observation, name: str, window: Window) -> float | None:
    """Return a beta as the window shows it, or as the file tells it; None if it is merely assumed."""
    shown = getattr(window, name)
    if shown is not None and window.is_proof:
        return float(shown)
    told = observation.hyperparameters.get(name)
    return None if told is None or told.is_assumed else told.value


def _reach(b: Observation, beta_1: float, beta_2: float, first: int, last: int) -> float | None:
    """How far a rate of 1 can move a weight by the updates with exponents above `first` up to `last`."""
    rule = b.update_rule
    if rule is None or last <= first:
        return None
    exponents = distinct(np.linspace(first + 1, last, min(last - first, _COUNTED_OUT)).astype(np.int64))
    settings = Settings(b.implementation, 1, 1.0, beta_1, beta_2, 0.0, 0.0, others=b.others)
    each = []
    for exponent in exponents:
        own = replace(settings, step=int(exponent))
        try:
            c = rule.coefficients(own, np.dtype(np.float64))
            bound = rule.moment_bound(own)
        except NotDetermined:
            return None
        if not c.is_adaptive or not c.has_root or not c.first_correction:
            return None
        each.append(float(c.numerator) / float(c.first_correction) * math.sqrt(float(c.divisor)) * bound)
    is_complete = len(each) == last - first
    exact = float(np.sum(each)) if is_complete else float(np.max(each)) * (last - first)
    return exact if math.isfinite(exact) else None


def find_contradictions(
    lineage: Lineage,
    motions: Motions,
    rates: Mapping[tuple[int, int], float],
    values: Sequence[Mapping[str, Sourced[float]]],
    observations: Sequence[Observation],
) -> tuple[Contradiction, ...]:
    """Return every value of a file, read or assumed, that windows of its chain refute."""
    found: list[Contradiction] = []
    is_alone = len(lineage.chains) == 1
    for chain in lineage.chains:
        links = [w for w in lineage.links(chain) if not w.is_broken]
        found += _refuted_betas(chain, links, values, observations, is_alone)
        found += _refuted_epsilon(chain, links, motions, values, observations)
        found += _refuted_rates([w for w in links if is_alone or w.is_link], rates, observations)
    return tuple(found)


def _names(window: Window, observations: Sequence[Observation]) -> tuple[str, str]:
    before, after = window.places
    return observations[before].checkpoint, observations[after].checkpoint


def _length(window: Window, observations: Sequence[Observation]) -> str:
    """By what the counter rose: `40 updates`."""
    is_raw = observations[window.places[1]].counts_gradients
    return f"{window.counted} {'counted gradients' if is_raw else 'updates'}"


def _refuted_betas(
    chain: Sequence[int],
    links: Sequence[Window],
    values: Sequence[Mapping[str, Sourced[float]]],
    observations: Sequence[Observation],
    is_alone: bool,
) -> Iterator[Contradiction]:
    """Assumed betas, by those that are inferred, and an assumed beta_2 by the bound, if the folder holds one run."""
    for name in ("beta_1", "beta_2"):
        wrong: dict[tuple[float, float], list[int]] = {}
        for place in chain:
            own, inferred = observations[place].hyperparameters.get(name), values[place].get(name)
            if own is None or own.value is None or inferred is None or inferred.value is None:
                continue
            if abs(own.value - inferred.value) > _CLOSE:
                wrong.setdefault((own.value, inferred.value), []).append(place)
        for (assumed, inferred_value), places in wrong.items():
            window = next(w for w in links if getattr(w, name) == inferred_value or not w.is_usual)
            silence = window.silence
            elements = 0 if silence is None else max(silence.different, silence.agreeing if name == "beta_2" else 0)
            before, after = _names(window, observations)
            sentence = (
                f"{name} is not {assumed:.9g}, as was assumed: from {before} to {after} the moments of {elements} "
                f"elements that no gradient reached decayed by {inferred_value:.9g}"
            )
            yield Contradiction(name, assumed, inferred_value, True, tuple(places), (before, after), elements, sentence)
    bounded: dict[float, list[Window]] = {}
    for window in links:
        place = window.places[1]
        own = observations[place].hyperparameters.get("beta_2")
        silence = window.silence
        if own is None or own.value is None or not own.is_assumed or "beta_2" in values[place] or silence is None:
            continue
        is_refuted = silence.faster >= _WITNESSES and _PLAUSIBLE <= (window.bound or 1.0) < own.value
        if is_refuted and (is_alone or window.is_link):
            bounded.setdefault(own.value, []).append(window)
    for assumed, windows in bounded.items():
        window = min(windows, key=lambda w: w.bound or 1.0)
        before, after = _names(window, observations)
        bound, elements = window.bound or 1.0, window.silence.faster if window.silence is not None else 0
        sentence = (
            f"beta_2 is at most {bound:.6g}, not {assumed:.9g}, as was assumed: from {before} to {after}, "
            f"{_length(window, observations)}, the second moments of {elements} elements fell faster, unless the state "
            "was reset in between"
        )
        # what a window starts with was made in the window before: the value may have changed since
        ends = {w.places[1] for w in links}
        at = tuple(dict.fromkeys(p for w in windows for p in w.places if p == w.places[1] or p not in ends))
        yield Contradiction("beta_2", assumed, bound, True, at, (before, after), elements, sentence)


def _refuted_epsilon(
    chain: Sequence[int],
    links: Sequence[Window],
    motions: Motions,
    values: Sequence[Mapping[str, Sourced[float]]],
    observations: Sequence[Observation],
) -> Iterator[Contradiction]:
    """An assumed epsilon, by the one inferred, or by an interval that it is outside of."""
    told = [(w, motions[w.places].movement) for w in links if w.places in motions]
    fits = [(w, m) for w, m in told if m is not None]
    common = common_interval([m.epsilon for _, m in fits])
    if common is None:
        return
    wrong: dict[float, list[int]] = {}
    for place in chain:
        own = observations[place].hyperparameters.get("epsilon")
        if own is None or own.value is None or not own.is_assumed:
            continue
        if common.low / _CLEARLY <= own.value <= common.high * _CLEARLY:
            continue
        if "epsilon" in values[place] or any(place in w.places for w, _ in fits):
            wrong.setdefault(own.value, []).append(place)
    for assumed, places in wrong.items():
        is_at_most = assumed > common.high
        window, movement = min(fits, key=lambda f: f[1].epsilon.high if is_at_most else -f[1].epsilon.low)
        before, after = _names(window, observations)
        inferred = values[places[0]].get("epsilon")
        is_known = inferred is not None and inferred.value is not None
        what = (
            f"is {figure(inferred.value or 0.0)}"
            if is_known and inferred is not None
            else (f"is at most {figure(common.high)}" if is_at_most else f"is at least {figure(common.low)}")
        )
        sentence = (
            f"epsilon {what}, not {figure(assumed)}, as was assumed: from {before} to {after}, {movement.elements} "
            "elements that no gradient reached moved as only that explains"
        )
        bound = common.high if is_at_most else common.low
        yield Contradiction(
            "epsilon", assumed, bound, is_at_most, tuple(places), (before, after), movement.elements, sentence
        )


def _refuted_rates(
    links: Sequence[Window], rates: Mapping[tuple[int, int], float], observations: Sequence[Observation]
) -> Iterator[Contradiction]:
    """Rates in both files of a window under which no weight can have moved as far as weights did."""
    for window in links:
        least = rates.get(window.places)
        a, b = (observations[place] for place in window.places)
        read = [rate for rate in (read_rate(a), read_rate(b)) if rate is not None]
        if least is None or len(read) < 2 or max(read) * _CLEARLY >= least:
            continue
        before, after = _names(window, observations)
        sentence = (
            f"from {before} to {after}, weights moved further than {_length(window, observations)} at "
            f"{setting(max(read))}, the rate in these files, can move any: some update used {figure(least)} or "
            "more, or something else moved them"
        )
        yield Contradiction(
            "learning_rate", max(read), least, False, (window.places[1],), (before, after), _WITNESSES, sentence
        )
