"""What one pair of checkpoints shows of the decays between them: betas, and how many there were."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.comparison.inference.observations import Moments, Observation, in_common
from ckpt_inspect.comparison.inference.silence import UNCOUNTED, Pair, Rounding, Silence, find_silence
from ckpt_inspect.comparison.inference.usual import CLASSIC, Match, decays_by, find_pairs, rounded_beta, usual_beta
from ckpt_inspect.records import dataclass

_SHARP = 4e-8
"""Uncertainty of a beta_2 from second moments alone: 0.999, had half of the updates been skipped, lies 1.2e-7 from
0.9995."""
_NEAR = 10
"""Tolerances within which a decay may be a usual one's that small gradients blur."""
_SMALLEST = 0.3
"""Smallest beta_2 that is thought possible: what falls faster is no decay."""
_TELLING = 100
"""How many times its tolerance a decay must be, for the second moments alone to tell beta_2."""


@dataclass(frozen=True, slots=True)
class Elements:
    """All chosen elements of the parameters that both checkpoints hold, one after the other."""

    pair: Pair
    max_second_a: Array | None
    max_second_b: Array | None
    value_a: Array | None
    value_b: Array | None
    sizes: tuple[int, ...]
    """Elements of each parameter."""
    names: tuple[str, ...]

    @property
    def owner(self) -> Array:
        """Return the place of each element's parameter in `names`."""
        return np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)


@dataclass(frozen=True, slots=True)
class Window:
    """One pair of checkpoints, the first before the second."""

    places: tuple[int, int]
    counted: int | None
    """Updates (or accumulated gradients) by the counter; None if there is none."""
    silence: Silence | None
    """None if there is nothing to compare."""
    decays: int | None = None
    beta_1: float | None = None
    beta_2: float | None = None
    is_usual: bool = True
    """Whether the betas are values that people write, to rounding; else other windows must confirm them."""
    bound: float | None = None
    """No larger beta_2 can have been used."""
    is_broken: bool = False
    """Whether the second can't have followed from the first by updates alone."""
    refusal: str = ""
    is_odd: bool = False
    """Whether elements agree on a decay that the betas don't explain: they may have changed in this window."""

    @property
    def is_proof(self) -> bool:
        """Return whether this window shows by itself that the second followed from the first."""
        return self.beta_2 is not None and self.is_usual

    @property
    def is_link(self) -> bool:
        """Return whether elements decayed together as they do only from one state of a run to a later one."""
        return not self.is_broken and (self.is_proof or self.silence_by_both)

    @property
    def silence_by_both(self) -> bool:
        """Return whether both moments show elements to be silent."""
        return self.silence is not None and self.silence.is_by_both


def elements_of(a: Observation, b: Observation, places: tuple[int, int], sides: Sides) -> Elements | None:
    """Return the elements of both that have a first and a second moment, in the commonest dtype; None if none have.

    `places`: of the two in the run.
    """
    groups: dict[np.dtype[np.generic], list[_Row]] = {}
    for name, one, two in in_common(a, b):
        if one.first is None or two.first is None or one.second is None or two.second is None:
            continue
        row = _Row(name, Pair(one.first, two.first, one.second, two.second), one, two)
        if row.is_even:
            groups.setdefault(row.pair.second_a.dtype, []).append(row)
    if not groups:
        return None
    told = {dtype: sum(row.pair.second_a.size for row in rows) for dtype, rows in groups.items()}
    rows = groups[max(told, key=lambda dtype: (Rounding.of(dtype) is not None, told[dtype]))]
    names = tuple(row.name for row in rows)
    sizes = tuple(row.pair.second_a.size for row in rows)
    before = sides.get((places[0], names, sizes), lambda: _side([row.before for row in rows], sizes))
    after = sides.get((places[1], names, sizes), lambda: _side([row.after for row in rows], sizes))
    pair = Pair(before.first, after.first, before.second, after.second)
    return Elements(pair, before.max_second, after.max_second, before.value, after.value, sizes, names)


@dataclass(frozen=True, slots=True)
class _Side:
    """The elements of one checkpoint, of all parameters in a row."""

    first: Array
    second: Array
    max_second: Array | None
    value: Array | None


def _side(moments: Sequence[Moments], sizes: Sequence[int]) -> _Side:
    first, second = _joined([m.first for m in moments]), _joined([m.second for m in moments])
    assert first is not None and second is not None
    return _Side(first, second, _joined([m.max_second for m in moments]), _weights([m.value for m in moments], sizes))


class Sides:
    """Elements that were joined last: a checkpoint is mostly compared with the one before it and the one after."""

    def __init__(self) -> None:
        self._held: OrderedDict[object, _Side] = OrderedDict()

    def get(self, key: tuple[int, tuple[str, ...], tuple[int, ...]], join: Callable[[], _Side]) -> _Side:
        """Return the elements of a place, of those parameters and sizes."""
        if key not in self._held:
            self._held[key] = join()
            while len(self._held) > 2:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]


@dataclass(frozen=True, slots=True)
class _Row:
    """One parameter's arrays in both checkpoints."""

    name: str
    pair: Pair
    before: Moments
    after: Moments

    @property
    def is_even(self) -> bool:
        """Whether all arrays are of one length, and pairs of one dtype."""
        pair = self.pair
        more = (self.before.max_second, self.after.max_second, self.before.value, self.after.value)
        arrays = (pair.first_a, pair.first_b, pair.second_b, *(array for array in more if array is not None))
        if any(array.shape != pair.second_a.shape for array in arrays):
            return False
        return {array.dtype for array in arrays[:3]} == {pair.second_a.dtype}


def _joined(arrays: Sequence[Array | None]) -> Array | None:
    """All of them in a row; None if one is missing."""
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None


def _weights(arrays: Sequence[Array | None], sizes: Sequence[int]) -> Array | None:
    """All weights in a row, NaN for a parameter whose weights are missing; None if all are."""
    dtype = next((array.dtype for array in arrays if array is not None), None)
    if dtype is None:
        return None
    filled = [np.full(n, np.nan, dtype) if w is None else w for w, n in zip(arrays, sizes, strict=True)]
    return np.concatenate(filled)


def known(observation: Observation, name: str) -> float | None:
    """Return a hyperparameter that the file itself tells, or the caller; None if it is assumed or unknown."""
    value = observation.hyperparameters.get(name)
    return None if value is None or value.is_assumed or value.value is None else float(value.value)


def falls_faster(window: Window, beta_2: float) -> bool:
    """Return whether second moments fell faster than that beta_2 lets them."""
    if window.silence is None or window.counted is None or not math.isfinite(window.silence.log_2):
        return False
    return window.silence.log_2 < window.counted * (math.log(beta_2) - 1e-7) - 2 * window.silence.tolerance


def counted(a: Observation, b: Observation) -> int | None:
    """Return by how much the counter rose; None if one has none."""
    if a.raw_step is not None and b.raw_step is not None:
        return b.raw_step - a.raw_step
    if a.step.value is not None and b.step.value is not None:
        return b.step.value - a.step.value
    return None


def examine(a: Observation, b: Observation, places: tuple[int, int], elements: Elements | None) -> Window:
    """Return what the moments tell of the updates between two checkpoints."""
    updates = counted(a, b)
    rule = b.update_rule
    window = Window(places, updates, None)
    if rule is None or not rule.decays_when_silent:
        return replace(window, refusal="the rule's moments don't decay by the betas alone")
    if a.rule.value != b.rule.value:
        what = f"the rule was {a.rule.value} before, and is {b.rule.value} after"
        return replace(window, is_broken=True, refusal=what)
    if updates is not None and updates < 0:
        return replace(window, is_broken=True, refusal="the counter fell")
    if elements is None:
        return replace(window, refusal="they have no moments in common")
    if updates == 0:
        pair = elements.pair
        is_same = np.array_equal(pair.second_a, pair.second_b) and np.array_equal(pair.first_a, pair.first_b)
        if not is_same and b.counted == "updates":
            return replace(window, is_broken=True, refusal="the counter is the same, but not the moments: another run")
        return replace(window, refusal="no update between them")
    assumed = b.hyperparameters.get("beta_2")
    silence = find_silence(elements.pair, updates, None if assumed is None else assumed.value)
    if silence is None:
        return replace(window, refusal="16-bit moments: their rounding hides the decay")
    window = replace(window, silence=silence)
    if silence.vanished:
        what = f"the second moment of {silence.vanished} elements fell to 0: a reset, or another run"
        return replace(window, is_broken=True, refusal=what)
    if not math.isfinite(silence.log_2):
        return replace(window, refusal="no element was touched before")
    if silence.log_2 > -silence.tolerance:
        return replace(window, refusal="no second moment fell")
    if updates is not None:
        window = replace(window, bound=min(math.exp((silence.log_2 + silence.tolerance) / updates), 1.0))
    return _with_betas(window, silence, known(b, "beta_1"), known(b, "beta_2"), b.counted == "updates")


def _with_betas(
    window: Window, silence: Silence, beta_1: float | None, beta_2: float | None, counts_updates: bool
) -> Window:
    """The window with its decays and betas, as far as it tells them."""
    if falls_faster(window, beta_2 if beta_2 else _SMALLEST):
        what = "second moments fell faster than beta_2 lets them: a reset, or another run"
        return replace(window, is_broken=True, refusal=what)
    if silence.is_by_both:
        return _by_both(window, silence, beta_1, beta_2, counts_updates)
    if not silence.is_by_one:
        return replace(window, refusal="too few elements agree on a decay: a gradient reached the others")
    if window.counted is None or not counts_updates or silence.log_2 > -_TELLING * silence.tolerance:
        return replace(window, refusal="no first moment tells which elements were silent")
    if silence.tolerance > _SHARP * window.counted:
        return replace(window, refusal="too few updates for the second moments alone to tell beta_2")
    # small gradients raise most of them a little: silence lies between the smallest and the middle one
    middle, allowed = (silence.least + silence.log_2) / 2, silence.tolerance + (silence.log_2 - silence.least) / 2
    found = usual_beta(middle, allowed, window.counted)
    if found not in CLASSIC:
        what = "the agreed decay is that of no usual beta_2, and no first moment confirms it"
        near = usual_beta(silence.log_2, _NEAR * silence.tolerance, window.counted)
        return replace(window, is_odd=near not in CLASSIC, refusal=what)
    return replace(window, beta_2=found)


def _by_both(
    window: Window, silence: Silence, beta_1: float | None, beta_2: float | None, counts_updates: bool
) -> Window:
    """As `_with_betas`, from elements that both moments show to be silent."""
    if beta_1 is not None and beta_2 is not None:
        decays = decays_by(silence.log_2, silence.tolerance, beta_2)
        if decays is None or decays != decays_by(silence.log_1, silence.tolerance, beta_1):
            return replace(window, is_odd=True, refusal="elements agree on a decay, but of no whole number of updates")
        return replace(window, decays=decays, beta_1=beta_1, beta_2=beta_2)
    most = window.counted if window.counted is not None else UNCOUNTED
    found = [
        match
        for match in find_pairs(silence.log_1, silence.tolerance, silence.log_2, silence.tolerance, most)
        if _agrees(match.beta_1, beta_1) and _agrees(match.beta_2, beta_2)
    ]
    chosen = _chosen(found, window.counted)
    if chosen is not None:
        return replace(window, decays=chosen.decays, beta_1=chosen.beta_1, beta_2=chosen.beta_2)
    refused = replace(window, is_odd=True, refusal="the agreed decays are those of no usual pair of betas")
    if found:
        return replace(window, refusal=f"{len(found)} pairs of usual betas explain the decay equally well")
    # the first moments of gradients that fade in proportion fall slower than the second
    if window.counted is None or not counts_updates or silence.log_1 > silence.log_2:
        return refused
    first, second = (rounded_beta(log, silence.tolerance, window.counted) for log in (silence.log_1, silence.log_2))
    if first is not None and second is not None and _agrees(first, beta_1) and _agrees(second, beta_2):
        return replace(window, decays=window.counted, beta_1=first, beta_2=second)
    measured = (math.exp(log / window.counted) for log in (silence.log_1, silence.log_2))
    return replace(refused, decays=window.counted, beta_1=next(measured), beta_2=next(measured), is_usual=False)


def _agrees(found: float, told: float | None) -> bool:
    return told is None or abs(found - told) <= 1e-7


def _chosen(found: list[Match], updates: int | None) -> Match | None:
    """The one with as many decays as counted updates; else the only one."""
    by_counter = [match for match in found if match.decays == updates]
    if len(by_counter) == 1:
        return by_counter[0]
    return found[0] if len(found) == 1 else None
