"""What the values of slots show if no name decides. Reads a few thousand elements, and only when called.

Each function returns None if the values leave room for doubt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.layouts.found import RuleReading
from ckpt_inspect.layouts.validation import FLOATS
from ckpt_inspect.update_rules import USUAL_RULE, find_rule

SAMPLED_SLOTS, SAMPLED_ELEMENTS = 32, 4096
"""Number of slots, and of elements per slot, that are read."""
ADAMAX_BOUND = 10.0
"""Largest |m|/u under Adamax where the betas aren't known: (1-beta_1)/(1-beta_1/beta_2), 1.009 at the defaults, 1.9 at
(0.9, 0.95), with some room."""
BOUND_SLACK = 0.01
"""Rounding by which moments may exceed their bound."""
LEAST_SPREAD = 4.0
"""Ratio of the larger thirds' median of second accumulators to the smaller thirds' that is needed to see how first
moments grow with them."""
LEAST_SHARE = 0.01
"""Median |m|/u below which gradients may have ceased."""
LEAST_MOVED = 32
"""Elements other than 0 that are needed to say that none is negative by more than chance."""
ORDINALS = ("first", "second", "third", "fourth")
USUAL_BETA_1 = 0.9
MOST_MOMENTA = 2000
"""Factors after which the product of momenta is 0 in any precision."""
NEAR, FAR = 0.25, 0.75
"""Squared distance from the weights, relative to their square, of a moving average, and of anything else."""


def is_adamax(
    checkpoint: Checkpoint, moments: Sequence[tuple[str, str]], betas: tuple[float, float] | None = None
) -> bool | None:
    """Return whether pairs (m, second accumulator) are Adamax's, whose second is the infinity norm u of the gradients,
    not their mean square; `betas` as the file has them.

    Adamax: |m| is bounded by a little more than u in every element; one larger m excludes it. Adam is excluded where
    |m| exceeds its own bound in √v, or where |m| grows as the second accumulator does: Adam's, as its root. If neither
    is excluded: under Adam too m falls below v once gradients have ceased.
    """
    some = [pair for pair in moments[:SAMPLED_SLOTS] if _has_one_shape(checkpoint, pair)]
    some.sort(key=lambda pair: checkpoint.tensors[pair[0]].size)  # one may do, and chunks of small ones are small
    adam_bound, adamax_bound = _adam_bound(betas) * (1 + BOUND_SLACK), _adamax_bound(betas) * (1 + BOUND_SLACK)
    exceeds_adam = False
    read: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for i, (first, second) in enumerate(some):
        if i == 1:
            checkpoint.expect((key, 0, _sampled(checkpoint, key)) for pair in some[1:] for key in pair)
        m, v = _sample(checkpoint, first), _sample(checkpoint, second)
        if m is None or v is None:
            continue
        told = np.isfinite(m) & np.isfinite(v) & (v > 0) & (m != 0)
        m, v = np.abs(m[told]), v[told]
        if np.any(m > adamax_bound * v):
            return False
        exceeds_adam = exceeds_adam or bool(np.any(m > adam_bound * np.sqrt(v)))
        read.append((m, v))
    return True if exceeds_adam or _grows_as_norm(read) else None


def _grows_as_norm(read: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> bool:
    """Return whether |m| is the same share of the second accumulator where that is small and where it is large."""
    m, v = (np.concatenate(arrays) for arrays in zip(*read, strict=True)) if read else (np.empty(0), np.empty(0))
    if v.size < 3 * LEAST_MOVED:
        return False
    small, large = np.quantile(v, [1 / 3, 2 / 3])
    shares = [m[part] / v[part] for part in (v <= small, v >= large)]
    spread = float(np.median(v[v >= large]) / np.median(v[v <= small]))
    is_live = all(float(np.median(share)) >= LEAST_SHARE for share in shares)
    below, above = (float(np.quantile(share, 0.9)) for share in shares)
    return spread >= LEAST_SPREAD and is_live and below / above < spread**0.25  # Adam's: spread**0.5


def _has_one_shape(checkpoint: Checkpoint, pair: tuple[str, str]) -> bool:
    return checkpoint.tensors[pair[0]].shape == checkpoint.tensors[pair[1]].shape


def tell_adamax(
    checkpoint: Checkpoint,
    rule: RuleReading,
    moments: Sequence[tuple[str, str]],
    betas: tuple[float, float] | None = None,
    others: Sequence[str] = (),
) -> RuleReading:
    """Return the rule of pairs of moments after a look at them: what they are called proves nothing. `betas` as the
    file has them, `others` the rules that it could be if it isn't what its name says."""
    open_to = (rule.name, *rule.alternatives, *others)
    norm = next((name for name in open_to if _divides_by_norm(name)), None)
    if norm is None or not (rule.name in (USUAL_RULE.name, norm) or rule.is_read):
        return rule
    told = is_adamax(checkpoint, moments, betas)
    if told and rule.name != norm:
        return RuleReading(
            norm,
            "inferred",
            "first moments are nowhere much larger than what would be their second, and in proportion to it: an "
            "infinity norm of the gradients, not their mean square",
        )
    if told is False and rule.name == norm:
        where = f"{rule.where}, but some first moments are larger than an infinity norm of the gradients lets them be"
        return RuleReading(USUAL_RULE.name, "default", where, tuple(o for o in others if o not in open_to[:1]))
    if told is False:
        return rule._replace(alternatives=tuple(a for a in rule.alternatives if a != norm))
    return rule


def tell_maximum(checkpoint: Checkpoint, rule: RuleReading, slots: Sequence[tuple[str, str]]) -> RuleReading:
    """Return the rule of a file with a third slot beside each pair of moments, after a look at (second, third).

    A maximum of the second moment is nowhere below it, and is equal to it, to the last bit, where the second moment is
    at its largest: right after a start, or wherever gradients still grow. A sum of squares is never equal to it.
    """
    maximum = find_rule(USUAL_RULE.with_maximum)
    assert maximum is not None
    pairs = [(_sample(checkpoint, v), _sample(checkpoint, w)) for v, w in slots[:SAMPLED_SLOTS]]
    some = [(v, w) for v, w in pairs if v is not None and w is not None and v.shape == w.shape]
    is_below = any(bool((w < v).any()) for v, w in some)
    is_equal = any(bool(((w == v) & (v > 0)).any()) for v, w in some)
    if rule.name == maximum.name and some and not is_below:
        return rule
    if some and not is_below and is_equal:
        where = "a third slot for each variable that is nowhere below the second, and here and there equal to it"
        return RuleReading(maximum.name, "inferred", f"{where}: the maximum of the second moment")
    where = "three slots for each variable, of which the third is not known to be a maximum of the second"
    return RuleReading("unknown", "unknown", where, tuple(dict.fromkeys((rule.name, maximum.name))))


def read_betas(checkpoint: Checkpoint, scalars: Mapping[str, str]) -> tuple[float, float] | None:
    """Return beta_1 and beta_2 from the keys of their tensors by name; None if the file doesn't hold both."""
    found = [_sample(checkpoint, scalars[name]) for name in ("beta_1", "beta_2") if name in scalars]
    values = [float(f[0]) for f in found if f is not None and f.size == 1]
    return (values[0], values[1]) if len(values) == 2 else None


def _adam_bound(betas: tuple[float, float] | None) -> float:
    """Return the largest |m|/√v after any number of updates: (1-β1)/√((1-β2)·(1-β1²/β2)); infinite where it depends on
    betas that aren't known."""
    if betas is None or not (0 <= betas[0] < 1 and 0 < betas[1] < 1) or betas[0] ** 2 >= betas[1]:
        return math.inf
    return (1 - betas[0]) / math.sqrt((1 - betas[1]) * (1 - betas[0] ** 2 / betas[1]))


def _adamax_bound(betas: tuple[float, float] | None) -> float:
    """Return the largest |m|/u after any number of updates: (1-β1)/(1-β1/β2); infinite where there is none."""
    if betas is None:
        return ADAMAX_BOUND
    return (1 - betas[0]) / (1 - betas[0] / betas[1]) if 0 <= betas[0] < betas[1] < 1 else math.inf


def _divides_by_norm(name: str) -> bool:
    rule = find_rule(name)
    return rule is not None and rule.has_moment_pair and not rule.has_root


def is_average(checkpoint: Checkpoint, slots: Sequence[tuple[str, str | None]]) -> bool | None:
    """Return whether (slot, its weight's key) are moving averages of the weights, rather than accumulated gradients."""
    distance = scale = 0.0
    is_zero = True
    for slot, weight in slots[:SAMPLED_SLOTS]:
        a = _sample(checkpoint, slot)
        if a is None:
            continue
        is_zero = is_zero and not a.any()
        w = _sample(checkpoint, weight) if weight is not None else None
        if w is not None and w.shape == a.shape:
            distance += float(np.sum((a - w) ** 2))
            scale += float(np.sum(w**2))
    if scale > 0 and math.isfinite(distance / scale):
        return True if distance <= NEAR * scale else False if distance >= FAR * scale or is_zero else None
    return False if is_zero else None


def is_nonnegative(checkpoint: Checkpoint, slots: Sequence[str]) -> bool:
    """Return whether the slots hold no negative element, and something other than zeros, as means of squares do."""
    some = [a for key in slots[:SAMPLED_SLOTS] if (a := _sample(checkpoint, key)) is not None]
    return all(bool((a >= 0).all()) for a in some) and any(bool(a.any()) for a in some)


def has_moved(checkpoint: Checkpoint, slots: Sequence[str]) -> bool:
    """Return whether any slot holds anything but zeros, as it does before a first update where it starts from 0."""
    return any(bool(a.any()) for key in slots[:SAMPLED_SLOTS] if (a := _sample(checkpoint, key)) is not None)


def contradicts_moments(checkpoint: Checkpoint, pairs: Sequence[tuple[str, str]]) -> str:
    """Return why pairs are not first and second moments; empty if they can be."""
    return contradicts_squares(checkpoint, pairs, (False, True))


def contradicts_squares(checkpoint: Checkpoint, slots: Sequence[Sequence[str]], are_squares: Sequence[bool]) -> str:
    """Return why the slots of variables, of each the same kinds in the same order, don't hold squares where
    `are_squares` says so, and gradients elsewhere; empty if they can.

    A mean of squares has no negative element, and gradients of one sign everywhere are no training's. If variables have
    more slots than that, they are several optimizers', one after the other.
    """
    count = max(map(len, slots), default=0)
    expected = [are_squares[i % len(are_squares)] for i in range(count)]
    for i in sorted(range(count), key=lambda i: not expected[i]):
        keys = [own[i] for own in slots[:SAMPLED_SLOTS] if i < len(own)]
        some = [a for key in keys if (a := _sample(checkpoint, key)) is not None]
        place = ORDINALS[i] if i < len(ORDINALS) else f"{i + 1}th"
        which = f"of which the {place} has" if count > 1 else "which has"
        if expected[i] and any(bool((a < 0).any()) for a in some):
            return f"{which} negative elements, as no mean of squares has"
        moved = [a[a != 0] for a in some]
        is_positive = sum(a.size for a in moved) >= LEAST_MOVED and all(bool((a > 0).all()) for a in moved)
        if not expected[i] and is_positive:
            return f"{which} no negative element, as means of gradients have"
    return ""


def is_momentum_product(value: float, updates: int) -> bool:
    """Return whether a scalar is the running product of Nadam's momenta after that many updates, at its default beta_1.

    Π β1·(1 - 0.5·0.96^i), i = 1 .. t (keras/src/optimizers/nadam.py); after some thousand updates it is 0, as no rate
    is.
    """
    product = 1.0
    for i in range(1, min(updates, MOST_MOMENTA) + 1):
        product *= USUAL_BETA_1 * (1 - 0.5 * 0.96**i)
    return updates > 0 and math.isclose(value, product, rel_tol=1e-4, abs_tol=1e-44)


def exceeds_root(checkpoint: Checkpoint, slots: Sequence[tuple[str, str]]) -> bool:
    """Return whether |a| > √s somewhere, for (a, s): then a is not an average of what s averages the squares of."""
    for first, second in slots[:SAMPLED_SLOTS]:
        a, s = _sample(checkpoint, first), _sample(checkpoint, second)
        if a is not None and s is not None and a.shape == s.shape and bool((a**2 > s * (1 + BOUND_SLACK)).any()):
            return True
    return False


def is_flag(checkpoint: Checkpoint, slots: Sequence[str]) -> bool:
    """Return whether the slots hold nothing but 0 and 1, as masks do, with some 1."""
    some = [a for key in slots[:SAMPLED_SLOTS] if (a := _sample(checkpoint, key)) is not None]
    return all(bool(((a == 0) | (a == 1)).all()) for a in some) and any(bool(a.any()) for a in some)


def _sample(checkpoint: Checkpoint, key: str) -> NDArray[np.float64] | None:
    """Return the tensor's first elements; None if they can't be read."""
    spec = checkpoint.tensors[key]
    if spec.dtype not in FLOATS:
        return None
    try:
        found = checkpoint.read_range(key, 0, _sampled(checkpoint, key))
    except CkptInspectError:
        return None
    return found.astype(np.float64)


def _sampled(checkpoint: Checkpoint, key: str) -> int:
    """Return how many elements of a tensor are looked at."""
    return min(checkpoint.tensors[key].size, SAMPLED_ELEMENTS)
