"""From windows to values: what is claimed for which checkpoint, and the evidence in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ckpt_inspect.comparison.inference.evidence import Interval
from ckpt_inspect.comparison.inference.motion import Motion, read_rate
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.usual import decays_by
from ckpt_inspect.comparison.inference.windows import Window
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.update_rules import Norms, Settings

Claim = tuple[int, str, Sourced[float]]
"""Place of the checkpoint, name, value."""
Motions = Mapping[tuple[int, int], Motion]

_WIDEST_TO_A_POWER = 1.9
"""Width of an interval of epsilon, above which it isn't taken for the power of ten inside."""
_NEAR_A_POWER = 1.25
"""Factor by which the best value may differ from that power."""
_WIDEST = 1.5
"""The same for other values."""
_SLACK = 1.02
"""By how much intervals of different windows are widened before they must meet."""
_LIKE_TOLD = 0.03
"""Relative difference from a weight decay that is assumed, or seen elsewhere: a schedule changes rates in between."""
_EXACT_RATE = 1e-4
"""Relative difference of a fitted rate from the file's that proves that nothing else moved the weights."""
_BLUR = 10
"""Tolerances within which second moments that agree may be what a beta_2 leaves, raised by small gradients."""
_SAME_DECAY = 1e-3
"""Relative difference of shares in different windows that are one weight decay."""


def claim_betas(
    chain: Sequence[int], links: Sequence[Window], observations: Sequence[Observation], is_alone: bool
) -> Iterator[Claim]:
    """Yield beta_1 and beta_2 for the checkpoints of a chain that its windows speak for.

    All of them, if two windows or more agree and none is odd; else those that a window that shows them ends with, or
    that the chain starts with. `is_alone`: the folder holds no other chain.
    """
    odd = [w for w in links if w.is_odd]
    for name in ("beta_1", "beta_2"):
        told = [w for w in links if w.is_proof and getattr(w, name) is not None]
        is_even = is_alone and len(told) > 1 and not odd
        if not told:
            told, is_even = _agreed(links), is_alone
        if not told:
            continue
        values = [float(getattr(w, name)) for w in told]
        if any(_decays_otherwise(w, told) for w in links):
            is_even = False
        if max(values) - min(values) <= 1e-7:
            value = values[0] if told[0].is_proof else sum(values) / len(values)
            where = _beta_evidence(name, told, observations)
            for place in chain if is_even else _spoken_for(chain, told, odd):
                yield place, name, Sourced(value, "inferred", where)
            continue
        windows = {w.places[0]: w for w in told} | {w.places[1]: w for w in told}
        for place in _spoken_for(chain, told, odd):
            window = windows[place]
            where = f"{_beta_evidence(name, [window], observations)}; other windows of the run show another value"
            yield place, name, Sourced(float(getattr(window, name)), "inferred", where)


def _spoken_for(chain: Sequence[int], told: Sequence[Window], others: Iterable[Window]) -> list[int]:
    """Return the checkpoints of a chain that windows speak for: those they end with, the one the chain starts with, and
    those they start with where one of the `others` shows that it is before them that something changed.

    Else, what a window starts with may have been made with other values: a training that is resumed from a checkpoint
    may be given them.
    """
    ends = {w.places[1] for w in told}
    starts = {w.places[0] for w in told} & {chain[0], *(w.places[1] for w in others)}
    return [p for p in chain if p in ends or p in starts]


def _decays_otherwise(window: Window, told: Sequence[Window]) -> bool:
    """Whether second moments agree on a decay in a window that the others' beta_2, in whole decays, doesn't explain:
    they are too few or too blurred to tell their own, and beta_2 may be another there."""
    silence = window.silence
    if window in told or silence is None or not silence.is_by_one or window.is_broken:
        return False
    tolerance = _BLUR * silence.tolerance
    betas = [w.beta_2 for w in told if w.beta_2 is not None]
    return silence.log_2 < -tolerance and any(decays_by(silence.log_2, tolerance, beta) is None for beta in betas)


def _agreed(links: Sequence[Window]) -> list[Window]:
    """Windows whose betas are no usual values, if two or more of them agree on both to rounding; else none."""
    loose = [w for w in links if not w.is_usual]
    if len(loose) < 2 or len(loose) < len([w for w in links if w.beta_2 is not None]):
        return []
    first = loose[0]
    same = all(_agree(first, other, name) for other in loose[1:] for name in ("beta_1", "beta_2"))
    return loose if same else []


def _agree(one: Window, two: Window, name: str) -> bool:
    """Whether both windows show the same beta to rounding."""
    values: list[float] = [getattr(w, name) or 0.0 for w in (one, two)]
    allowed = sum(w.silence.tolerance / (w.decays or 1) for w in (one, two) if w.silence is not None)
    return min(values) > 0 and abs(math.log(values[0]) - math.log(values[1])) <= allowed


def _beta_evidence(name: str, told: Sequence[Window], observations: Sequence[Observation]) -> str:
    sizes = [w.silence.different if w.silence.is_by_both else w.silence.agreeing for w in told if w.silence is not None]
    by = "both moments" if all(w.silence is not None and w.silence.is_by_both for w in told) else "the second moment"
    fewest = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    moment = {"beta_1": "first", "beta_2": "second"}[name]
    written = "" if told[0].is_usual else "; no value that people usually write, but the windows agree on it"
    fewer = [w for w in told if w.decays is not None and w.counted is not None and w.decays < w.counted]
    counts = f"; {fewer[0].decays} decays where the counter rose by {fewer[0].counted}" if fewer else ""
    return (
        f"the {moment} moments of {fewest} elements that no gradient reached, by {by}, decayed by it to rounding "
        f"{_pairs(told, observations)}{counts}{written}"
    )


def _pairs(told: Sequence[Window], observations: Sequence[Observation]) -> str:
    """`from A to B`, the first few of several."""
    names = [f"from {observations[w.places[0]].checkpoint} to {observations[w.places[1]].checkpoint}" for w in told]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def claim_steps(
    chain: Sequence[int], links: Sequence[Window], observations: Sequence[Observation], accumulated: int | None
) -> Iterator[Claim]:
    """Yield the exponents of checkpoints that have a raw count of gradients only."""
    if accumulated is None:
        return
    told = [w for w in links if w.is_proof and w.decays is not None]
    for place in chain:
        own = observations[place]
        exponent = own.exponent(accumulated)
        if own.step.value is None and exponent is not None:
            counts = ", ".join(f"{w.decays} decays of {w.counted}" for w in told[:3])
            where = (
                f"the counter is {own.raw_step}, and an update took {accumulated} gradient{'s' * (accumulated > 1)}: "
                f"the moments show {counts} counted {_pairs(told, observations)}"
            )
            yield place, "step", Sourced(exponent, "inferred", where)


def claim_epsilon(
    chain: Sequence[int],
    links: Sequence[Window],
    motions: Motions,
    observations: Sequence[Observation],
    is_alone: bool,
) -> Iterator[Claim]:
    """Yield epsilon for the checkpoints of a chain, if the intervals of all windows meet and are narrow enough.

    For all checkpoints, unless weights of silent elements moved in a window as no model describes: epsilon may have
    changed there. `is_alone`: the folder holds no other chain.
    """
    told = [(w, motions[w.places].movement) for w in links if w.places in motions]
    fits = [(w, m) for w, m in told if m is not None and _is_decay_confirmed(w, links, motions, observations)]
    common = common_interval([m.epsilon for _, m in fits])
    if common is None or (value := written_epsilon(common)) is None:
        return
    if not all(m.epsilon.low / _SLACK <= value <= m.epsilon.high * _SLACK for _, m in fits):
        return
    used = [(w, m) for w, m in fits if m.epsilon.best is not None]
    elements = max(m.elements for _, m in used)
    where = (
        f"from how far up to {elements} elements moved that no gradient reached, "
        f"{_pairs([w for w, _ in used], observations)}: between {common.low:.3g} and {common.high:.3g}"
    )
    odd = [w for w in links if w.is_odd or (w.places in motions and motions[w.places].is_refuted)]
    is_even = is_alone and len(used) > 1 and not odd
    for place in chain if is_even else _spoken_for(chain, [w for w, _ in fits], odd):
        yield place, "epsilon", Sourced(value, "inferred", where)


def _is_decay_confirmed(
    window: Window, links: Sequence[Window], motions: Motions, observations: Sequence[Observation]
) -> bool:
    """Whether the decay in a window's model is more than a change by hand: the decay that is known or assumed, or that
    of another window too, or one beside which the fitted rate is the file's."""
    own = motions[window.places]
    if not own.share or own.movement is None or own.movement.learning_rate.best is None:
        return True
    after, rate = observations[window.places[1]], own.movement.learning_rate.best
    told = after.hyperparameters.get("weight_decay")
    if told is not None and told.value:
        expected = told.value * share_of_decay(after, rate)
        if expected and abs(own.share / expected - 1) < _LIKE_TOLD:
            return True
    read = read_rate(after)
    if read and abs(rate / read - 1) < _EXACT_RATE:
        return True
    others = [motions[w.places] for w in links if w.places in motions and w is not window]
    for other in others:
        if other.share and other.movement is not None and other.movement.learning_rate.best:
            ratio = other.share / own.share * share_of_decay(after, rate)
            ratio /= share_of_decay(after, other.movement.learning_rate.best) or math.inf
            if abs(ratio - 1) < _LIKE_TOLD:
                return True
    return False


def share_of_decay(observation: Observation, rate: float) -> float:
    """Return the share of a weight that one update takes for a weight decay of 1; 0 if the rule has none."""
    rule = observation.update_rule
    if rule is None:
        return 0.0
    settings = Settings(observation.implementation, 1, rate, 0.9, 0.999, 1e-7, 1.0, others=observation.others)
    try:
        return float(rule.coefficients(settings, np.dtype(np.float64), Norms(1.0, 1.0)).decay)
    except NotDetermined:
        return 0.0


def common_interval(intervals: Sequence[Interval]) -> Interval | None:
    """Return the narrowest of the intervals if all others meet in it; None if they don't, or there are none.

    What only the overlap of several wide ones leaves is not taken for known: `best` is that of one window.
    """
    if not intervals:
        return None
    low = max(i.low for i in intervals)
    high = min(i.high for i in intervals)
    if low > high * _SLACK**2:
        return None
    best = [i for i in intervals if i.best is not None and i.low > 0 and math.isfinite(i.high)]
    if not best:
        return Interval(None, min(low, high), max(low, high))
    narrowest = min(best, key=lambda i: i.high / i.low)
    return narrowest if narrowest.low / _SLACK <= high and low <= narrowest.high * _SLACK else None


def written_epsilon(interval: Interval) -> float | None:
    """Return the epsilon that an interval leaves: the one power of ten in it, else the best value, rounded as far as
    the interval allows; None if the interval is too wide."""
    if interval.best is None or not interval.low > 0 or not math.isfinite(interval.high):
        return None
    width = interval.high / interval.low
    if width > _WIDEST_TO_A_POWER:
        return None
    power = float(f"1e{math.floor(math.log10(interval.high))}")
    if interval.low <= power <= interval.high and 1 / _NEAR_A_POWER < interval.best / power < _NEAR_A_POWER:
        return power
    if width > _WIDEST:
        return None
    for digits in range(5):
        rounded = float(f"{interval.best:.{digits}e}")
        if interval.low <= rounded <= interval.high:
            return rounded
    return interval.best


def claim_decay(
    chain: Sequence[int], links: Sequence[Window], motions: Motions, observations: Sequence[Observation]
) -> Iterator[Claim]:
    """Yield the weight decay, if untouched weights shrank alike in two windows or more, at a rate that the files and
    the other weights' movement agree on."""
    shares = []
    for window in links:
        motion = motions.get(window.places)
        if motion is None or motion.shrinkage is None:
            continue
        if motion.movement is None or motion.movement.learning_rate.best is None or motion.shrinkage.share == 0:
            return
        unit = share_of_decay(observations[window.places[1]], motion.movement.learning_rate.best)
        if not unit:
            return
        if motion.shrinkage.uncertainty > _SAME_DECAY * motion.shrinkage.share:
            continue
        shares.append((motion.shrinkage.share / unit, motion.shrinkage.uncertainty / unit, motion.shrinkage.elements))
    if len(shares) < 2:
        return
    decay = min(shares, key=lambda s: s[1])[0]
    if any(abs(share - decay) > _SAME_DECAY * decay + uncertainty for share, uncertainty, _ in shares):
        return
    rounded = float(f"{decay:.1e}")
    value = rounded if abs(rounded - decay) <= 1e-4 * decay else decay
    where = (
        f"{min(s[2] for s in shares)} weights or more that no gradient ever reached shrank alike at each update, as a "
        f"weight decay of {value:.6g} shrinks them, in {len(shares)} windows"
    )
    for place in chain:
        yield place, "weight_decay", Sourced(value, "inferred", where)
