"""From windows to values: what is claimed for which checkpoint, and the evidence in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ckpt_inspect.comparison.inference.evidence import Interval
from ckpt_inspect.comparison.inference.motion import Motion
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.windows import Window
from ckpt_inspect.sourced import Sourced

Claim = tuple[int, str, Sourced[float]]
"""Place of the checkpoint, name, value."""
Motions = Mapping[tuple[int, int], Motion]

_WIDEST_TO_A_POWER = 3.0
"""Width of an interval of epsilon, above which it isn't taken for the power of ten inside."""
_WIDEST = 1.5
"""The same for other values."""
_SLACK = 1.02
"""By how much intervals of different windows are widened before they must meet."""
_SAME_DECAY = 1e-3
"""Relative difference of shares in different windows that are one weight decay."""


def claim_betas(chain: Sequence[int], links: Sequence[Window], observations: Sequence[Observation]) -> Iterator[Claim]:
    """Yield beta_1 and beta_2 for the checkpoints of a chain: for all if its windows agree, else for those at whose
    window's end they are seen."""
    for name in ("beta_1", "beta_2"):
        told = [w for w in links if w.is_proof and getattr(w, name) is not None] or _agreed(links)
        if not told:
            continue
        values = [float(getattr(w, name)) for w in told]
        if max(values) - min(values) <= 1e-7:
            value = values[0] if told[0].is_proof else sum(values) / len(values)
            where = _beta_evidence(name, told, observations)
            for place in chain:
                yield place, name, Sourced(value, "inferred", where)
            continue
        for window, value in zip(told, values, strict=True):
            where = f"{_beta_evidence(name, [window], observations)}; other windows of the run show another value"
            yield window.places[1], name, Sourced(value, "inferred", where)


def _agreed(links: Sequence[Window]) -> list[Window]:
    """Windows whose betas are no usual values, if two or more of them agree on both to rounding; else none."""
    loose = [w for w in links if not w.is_usual and w.silence is not None and w.decays is not None]
    if len(loose) < 2 or len(loose) < len([w for w in links if w.beta_2 is not None]):
        return []
    first = loose[0]
    for other in loose[1:]:
        for name, log in (("beta_1", "log_1"), ("beta_2", "log_2")):
            one, two = getattr(first, name), getattr(other, name)
            allowed = sum(w.silence.tolerance / w.decays for w in (first, other))  # type: ignore[union-attr,operator]
            if abs(math.log(one) - math.log(two)) > allowed or not math.isfinite(getattr(first.silence, log)):
                return []
    return loose


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
    chain: Sequence[int], links: Sequence[Window], motions: Motions, observations: Sequence[Observation]
) -> Iterator[Claim]:
    """Yield epsilon for the checkpoints of a chain, if the intervals of all windows meet and are narrow enough."""
    told = [(w, motions[w.places].movement) for w in links if w.places in motions]
    fits = [(w, m) for w, m in told if m is not None]
    common = common_interval([m.epsilon for _, m in fits])
    if common is None or (value := written_epsilon(common)) is None:
        return
    used = [(w, m) for w, m in fits if m.epsilon.best is not None]
    elements = max(m.elements for _, m in used)
    where = (
        f"from how far up to {elements} elements moved that no gradient reached, "
        f"{_pairs([w for w, _ in used], observations)}: between {common.low:.3g} and {common.high:.3g}"
    )
    for place in chain:
        yield place, "epsilon", Sourced(value, "inferred", where)


def common_interval(intervals: Sequence[Interval]) -> Interval | None:
    """Return what is in all of the intervals; None if nothing is, or there are none."""
    if not intervals:
        return None
    low = max(i.low / _SLACK for i in intervals)
    high = min(i.high * _SLACK for i in intervals)
    if low > high:
        return None
    best = [i for i in intervals if i.best is not None]
    narrowest = min(best, key=lambda i: i.high / i.low if i.low > 0 else math.inf, default=None)
    return Interval(None if narrowest is None else narrowest.best, low, high)


def written_epsilon(interval: Interval) -> float | None:
    """Return the epsilon that an interval leaves: the one power of ten in it, else the best value; None if the
    interval is too wide."""
    if interval.best is None or not interval.low > 0 or not math.isfinite(interval.high):
        return None
    width = interval.high / interval.low
    if width > _WIDEST_TO_A_POWER:
        return None
    power = float(f"1e{math.floor(math.log10(interval.high))}")
    if interval.low <= power <= interval.high:
        return power
    if width > _WIDEST:
        return None
    for digits in (0, 1, 2):
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
        takes = observations[window.places[1]].implementation.takes_weight_decay
        rate = motion.movement.learning_rate.best if takes else 1.0
        shares.append((motion.shrinkage.share / rate, motion.shrinkage.uncertainty / rate, motion.shrinkage.elements))
    if len(shares) < 2:
        return
    decay = min(shares, key=lambda s: s[1])[0]
    if any(abs(share - decay) > _SAME_DECAY * decay + uncertainty for share, uncertainty, _ in shares):
        return
    rounded = float(f"{decay:.1e}")
    value = rounded if abs(rounded - decay) <= 1e-4 * decay else decay
    where = (
        f"{min(s[2] for s in shares)} weights or more that no gradient ever reached shrank alike, by {value:.6g} times "
        f"the rate at each update, in {len(shares)} windows"
    )
    for place in chain:
        yield place, "weight_decay", Sourced(value, "inferred", where)
