"""Does a checkpoint continue the one before? Counters, names, moments and weights of both, judged by what no update can
do; what can't be decided is reported as such, never taken for a loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median

from ckpt_inspect.checkpoint import Checkpoint, numpy_dtype
from ckpt_inspect.comparison.continuity import SPARE_UPDATES, Floor, StateCounts
from ckpt_inspect.comparison.inference.evidence import WindowEvidence
from ckpt_inspect.comparison.moment_limits import MomentCounts, limit_of
from ckpt_inspect.errors import CkptInspectError, NotDetermined
from ckpt_inspect.measurement.wording import counted, percent
from ckpt_inspect.records import dataclass
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.complete import has_all_moments_zero, moments_of, optimizer_keys
from ckpt_inspect.soundness.reading import Pair, Reading
from ckpt_inspect.soundness.verdicts import Reason
from ckpt_inspect.soundness.whole import named
from ckpt_inspect.sourced import Sourced, quoted
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter
from ckpt_inspect.state.renaming import have_same_shapes, pair_parameters
from ckpt_inspect.update_rules import State


@dataclass(frozen=True, slots=True)
class Stage:
    """One checkpoint of a run, read: what the next one is compared with."""

    checkpoint: Checkpoint
    states: tuple[OptimizerState, ...]
    reading: Reading | None = None
    """None for the one that is about to be read."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One optimizer in the checkpoint before, A, and in this one, B."""

    before: OptimizerState
    after: OptimizerState
    parameters: Mapping[str, tuple[Parameter, Parameter]]
    """Those of one shape that both have, by the name in B."""
    gone: tuple[str, ...]
    """Parameters of A that B hasn't, or has in another shape."""
    added: tuple[str, ...]
    updates: int | None
    """Counted between the two: the difference of the exponents, else of what the counters count, which is no less;
    None if either is unknown. Negative if the counter fell."""
    trained_by_others: frozenset[str | None] = frozenset()
    """Keys of weights in B that other optimizers of it train as well."""
    is_unclear: bool = False
    """Whether their names differ throughout, so that nothing says which is which."""

    @property
    def name(self) -> str:
        """Return the optimizer's name."""
        return self.after.name


def passages_between(before: Stage, after: Stage) -> tuple[Passage, ...]:
    """Return the optimizers that both have: by name, or the only one of each."""
    if len(before.states) == len(after.states) == 1:
        couples = [(before.states[0], after.states[0])]
    else:
        named_before = {state.name: state for state in before.states}
        couples = [(named_before[s.name], s) for s in after.states if s.name in named_before]
    found = []
    for a, b in couples:
        others = (p.found.value for s in after.states if s is not b for p in s.parameters.values())
        found.append(replace(_passage(a, b), trained_by_others=frozenset(others)))
    return tuple(found)


def _passage(a: OptimizerState, b: OptimizerState) -> Passage:
    shapes_a, shapes_b = ({name: p.shape for name, p in state.parameters.items()} for state in (a, b))
    renamed = pair_parameters(shapes_a, shapes_b)
    both = {
        name: (a.parameters[renamed.get(name, name)], p)
        for name, p in b.parameters.items()
        if renamed.get(name, name) in a.parameters
    }
    paired = {one.name for one, _ in both.values()}
    same = {name: (x, y) for name, (x, y) in both.items() if x.shape == y.shape}
    reshaped = [name for name in both if name not in same]
    gone = tuple(name for name in shapes_a if name not in paired)
    added = tuple(name for name in shapes_b if name not in both)
    is_unclear = not both and have_same_shapes(shapes_a, shapes_b)
    return Passage(a, b, same, (*gone, *reshaped), added, _updates(a, b), is_unclear=is_unclear)


def _updates(a: OptimizerState, b: OptimizerState) -> int | None:
    steps = [state.step.value for state in (a, b)]
    if None in steps:
        steps = [_raw_count(state) for state in (a, b)]
    one, two = steps
    return None if one is None or two is None else int(two) - int(one)


def _raw_count(state: OptimizerState) -> int | None:
    """Return what the counter counts where that is not the exponent (accumulated gradients); None if it is no
    counter."""
    if len(state.counters) != 1 or not state.parameters:
        return None
    checkpoint = next(iter(state.parameters.values())).checkpoint
    try:
        if checkpoint.spec(state.counters[0]).dtype.startswith(("int", "uint")):
            return int(checkpoint.read(state.counters[0]).item())
    except (CkptInspectError, ValueError):
        pass
    return None


def pairs_of(passage: Passage) -> Iterator[Pair]:
    """Yield the parameters to compare, with the floors under their second moments."""
    for before, after in passage.parameters.values():
        yield Pair(passage.name, before, after, StateCounts(*_floors(passage, before, after)))


def _floors(passage: Passage, before: Parameter, after: Parameter) -> tuple[Floor | None, Floor | None]:
    """Return the floor that proves, and the one that holds if what is assumed is right; None if there is none."""
    rule, key = passage.after.update_rule, after.key("second_moment")
    other = before.key("second_moment")
    if rule is None or key is None or other is None or passage.before.rule != passage.after.rule:
        return None, None
    dtype = numpy_dtype(after.checkpoint.spec(key).dtype)
    if dtype.kind not in "fV" or dtype != numpy_dtype(before.checkpoint.spec(other).dtype):
        return None, None
    if not rule.retained_by:
        return Floor.after(0, 1.0, dtype), None
    if passage.updates is None or passage.updates < 0 or passage.after.step.value == 0:
        return None, None  # a counter that stayed at 0 counts nothing
    updates = passage.updates + SPARE_UPDATES
    rates = [state.hyperparameters.get(rule.retained_by) for state in (passage.before, passage.after)]
    known = [float(r.value) for r in rates if r is not None and r.value is not None]
    if len(known) < 2:
        return Floor.after(updates, rule.least_retained, dtype), None
    rate = min(known)
    if not any(r is not None and r.is_assumed for r in rates):
        return Floor.after(updates, rate, dtype), None
    least = min(rate, rule.least_retained)
    return Floor.after(updates, least, dtype), Floor.after(updates, rate, dtype)


def judge_continues(before: Stage, after: Stage, passages: Sequence[Passage], reading: Reading) -> Iterator[Reason]:
    """Yield what speaks against B's state having grown out of A's, and what differs."""
    if not passages:
        names = ", ".join(state.name for state in before.states)
        what = f"{before.checkpoint.path} has {names}, and this one has {', '.join(s.name for s in after.states)}"
        yield Reason(kinds.OTHER_PARAMETERS, "", f"no optimizer is in both: {what}")
    for passage in passages:
        yield from _judge(before, passage, reading)
    lost = [s.name for s in before.states if s.name not in {p.before.name for p in passages}]
    if passages and lost:
        yield Reason(kinds.OTHER_PARAMETERS, lost[0], f"the optimizers {named(lost)} are gone")


def _judge(before: Stage, passage: Passage, reading: Reading) -> Iterator[Reason]:
    who, steps = passage.name, (passage.before.step.value, passage.after.step.value)
    if passage.is_unclear:
        what = f"{who}: all parameters have other names than before, so that nothing says which is which"
        yield Reason(kinds.CANNOT_TELL, who, what)
    elif passage.gone:
        more = f"; {named(passage.added)} are new" if passage.added else ""
        share = f"{len(passage.gone)} of {counted(len(passage.before.parameters), 'parameter')}"
        what = f"{who}: {share} are not here, or in another shape: {named(passage.gone)}{more}"
        yield Reason(kinds.OTHER_PARAMETERS, passage.gone[0], what)
    if passage.updates is not None and passage.updates < 0:
        what = f"{who}: the counter fell from {steps[0]} to {steps[1]}" if None not in steps else f"{who}: it fell"
        yield Reason(kinds.STEP_FELL, who, f"{what}{_weights_told(passage, reading)}")
        return
    lost = _lost(before, passage, reading)
    replaced, elsewhere = _replaced(passage, reading), _elsewhere(passage, reading)
    kept = _kept_scalars(passage) if lost else ""
    if lost and kept:
        rest = f"; {replaced or elsewhere}" if replaced or elsewhere else ""
        yield Reason(kinds.PARTLY_RESTORED, who, f"{who}: {kept}, but {lost}{rest}")
    elif lost:
        yield Reason(kinds.MOMENTS_RESET, who, f"{who}: {lost}")
    elif replaced:
        yield Reason(kinds.WEIGHTS_REPLACED, who, f"{who}: {replaced}")
    elif elsewhere:
        yield Reason(kinds.WEIGHTS_ELSEWHERE, who, f"{who}: {elsewhere}")
    if not lost and (doubt := _doubt(passage, reading)):
        yield Reason(kinds.RATE_CONTRADICTED, who, f"{who}: {doubt}")
    yield from _remarks(passage, reading, is_lost=bool(lost))


def _lost(before: Stage, passage: Passage, reading: Reading) -> str:
    """Say how the moments show that they were set back; empty if they don't."""
    a, b = passage.before, passage.after
    had = (
        before.reading is not None
        and not has_all_moments_zero(a, before.reading)
        and any(moments_of(p) for p in a.parameters.values())
    )
    if had and has_all_moments_zero(b, reading):
        return f"all moments of {counted(len(b.parameters), 'parameter')} are 0, and before they were not"
    zeroed = [
        name
        for name, (one, two) in passage.parameters.items()
        if before.reading is not None
        and moments_of(one)
        and not before.reading.is_zero(moments_of(one))
        and reading.is_zero(moments_of(two))
    ]
    if none := _no_moments_any_more(passage):
        return none
    lacking = [n for n, (one, two) in passage.parameters.items() if moments_of(one) and not moments_of(two)]
    if lacking:
        return f"{len(lacking)} parameters have lost their slots: {named(lacking)}"
    if left := _left_as_it_was(passage, reading) or _first_moments_gone(passage, reading):
        return left
    counts = _counts_of(passage, reading)
    fallen = {name: c for name, c in counts.items() if c.fallen}
    if not fallen:
        return ""
    worst = max(fallen, key=lambda name: fallen[name].fallen / fallen[name].elements)
    share = percent(fallen[worst].fallen / fallen[worst].elements)
    window = f" in {counted(passage.updates, 'update')}" if passage.updates is not None else ""
    also = f"; all moments of {named(zeroed)} are 0" if zeroed else ""
    return (
        f"the second moments of {len(fallen)} of {counted(len(counts), 'parameter')} fell further{window} than updates "
        f"can make them fall{_by_which(passage)} ({worst}: {share} of its elements){also}"
    )


def _by_which(passage: Passage) -> str:
    """Name the smallest decay rate that is thought possible, where none is known: a smaller one explains any fall."""
    rule = passage.after.update_rule
    if rule is None or not rule.retained_by:
        return ""
    rates = [state.hyperparameters.get(rule.retained_by) for state in (passage.before, passage.after)]
    if all(rate is not None and rate.value is not None and not rate.is_assumed for rate in rates):
        return ""
    known = [float(rate.value) for rate in rates if rate is not None and rate.value is not None]
    return f" by a {rule.retained_by} of {min([*known, rule.least_retained]):g} or more"


def _no_moments_any_more(passage: Passage) -> str:
    """Say that what were moments before can't be any, where that is why the rule is no longer known; else empty.

    Files without names for their slots are read by what these hold.
    """
    a, b = passage.before, passage.after
    if a.update_rule is None or b.update_rule is not None or set(optimizer_keys(a)) != set(optimizer_keys(b)):
        return ""
    found: dict[str, MomentCounts] = {}
    for name, (one, two) in passage.parameters.items():
        limit = limit_of(a, one)
        found[name] = MomentCounts(limit if limit is not None and limit.is_certain else None)
        with suppress(CkptInspectError):
            keys = [one.key(array) or "" for array in ("first_moment", "second_moment")]
            pieces = [two.checkpoint.stream(key) for key in keys]
            for first, second in zip(*pieces, strict=True):
                found[name].add(State(first_moment=first, second_moment=second))
    negative, beyond = (sum(getattr(c, what) for c in found.values()) for what in ("negative", "beyond"))
    if not negative and not beyond:
        return ""
    worst = sorted((n for n, c in found.items() if c.negative or c.beyond), key=lambda n: -found[n].negative)
    what = (
        f"{negative:,} of the second are negative"
        if negative
        else f"{beyond:,} of the first are larger than any gradients make them beside the second"
    )
    return f"its slots can't be moments of {a.rule} any more: {what} ({named(worst)})"


def _left_as_it_was(passage: Passage, reading: Reading) -> str:
    """Say that moments are those of before, bit for bit, although updates were counted and weights moved; or that they
    are others, although none was counted. Empty if neither is so.

    Every update makes both moments decay. Halves are left out: in them less than their rounding may be lost.
    """
    counts = {
        n: c
        for n, c in _counts_of(passage, reading).items()
        if passage.parameters[n][1].found.value not in passage.trained_by_others
    }
    if sum(c.elements for c in counts.values()) < _MANY or passage.updates is None:
        return ""
    if passage.updates == 0:
        others = [
            n for n, c in counts.items() if not (c.same.get("first_moment", True) or c.same.get("second_moment", True))
        ]
        is_counted = passage.after.step.value and counts_each_update(passage.after)
        what = f"the counter is {passage.after.step.value} in both, and the moments of"
        return f"{what} {counted(len(others), 'parameter')} are others" if others and is_counted else ""
    for array, word in (("first_moment", "first"), ("second_moment", "second")):
        own = []
        for name, c in counts.items():
            key = passage.parameters[name][1].key(array)
            is_wide = (
                key is not None and numpy_dtype(passage.parameters[name][1].checkpoint.spec(key).dtype).itemsize >= 4
            )
            if is_wide and array in c.same:
                own.append(c)
        moved = sum(c.same.get("value") is False and c.same[array] for c in own)
        if moved and all(c.same[array] for c in own) and sum(c.elements for c in own) >= _MANY:
            return (
                f"the {word} moments of {counted(len(own), 'parameter')} are those of before, bit for bit, while the "
                f"weights of {moved} of them moved: each of the {counted(passage.updates, 'update')} makes them decay"
            )
    return ""


def counts_each_update(state: OptimizerState) -> bool:
    """Return whether the optimizer's own counter rises with every update."""
    implementation = state.settings.implementation
    is_own = bool(state.counters) and not any(key.endswith("global_step") for key in state.counters)
    return is_own and not implementation.counts_decayed_rates_alone


_VISIBLE_MOMENT = 1e-30
"""What is left of a first moment above this can't have been flushed to 0."""


def _first_moments_gone(passage: Passage, reading: Reading) -> str:
    """Say that all first moments are 0, although β1 leaves more of those before; empty if it isn't so."""
    counts, beta_1 = _counts_of(passage, reading), passage.after.hyperparameters.get("beta_1")
    keys = [key for _, two in passage.parameters.values() if (key := two.key("first_moment")) is not None]
    if beta_1 is None or beta_1.is_assumed or not beta_1.value or not passage.updates or not reading.is_zero(keys):
        return ""
    largest = max((c.vanished for c in counts.values()), default=0.0)
    if not largest * beta_1.value ** (passage.updates + SPARE_UPDATES) > _VISIBLE_MOMENT:
        return ""
    return f"all first moments are 0, and {counted(passage.updates, 'update')} leave more of those before"


def _kept_scalars(passage: Passage) -> str:
    """Say which scalars go on from the checkpoint before; empty if they don't, or don't show it."""
    if not passage.updates or passage.before.step.value in (None, 0) or passage.after.step.value is None:
        return ""
    return f"the counter rose from {passage.before.step.value} to {passage.after.step.value}"


def _counts_of(passage: Passage, reading: Reading) -> dict[str, StateCounts]:
    return {n: c for n in passage.parameters if (c := reading.compared.get((passage.name, n))) is not None}


_FEWEST = 3
"""Elements that must agree before weights are called another's."""

_MANY, _FAR, _ELSEWHERE = 64, 3.0, 0.5
"""Of a parameter whose weights are called another's by where they point: its elements; how many times farther than both
learning rates allow it moved, because the rate may have been larger in between; and the cosine with those before."""


def _witnesses(passage: Passage, reading: Reading) -> dict[str, StateCounts]:
    """Return the counts of parameters whose elements without a gradient nothing but decay moves.

    One that another optimizer of the checkpoint trains as well, or that has no gradient at all, isn't among them.
    """
    trained = passage.trained_by_others
    counts = _counts_of(passage, reading)
    return {n: c for n, c in counts.items() if c.has_witnesses and passage.parameters[n][1].found.value not in trained}


def _replaced(passage: Passage, reading: Reading) -> str:
    """Say how the weights show that they are others; empty if they don't."""
    gone = [n for n, c in _counts_of(passage, reading).items() if c.elements >= _MANY and c.dot_aa > 0 == c.dot_bb]
    if gone:
        return f"all weights of {named(gone)} are 0, and before they were not"
    witnesses = _witnesses(passage, reading)
    if flipped := {n: c for n, c in witnesses.items() if c.flipped >= max(_FEWEST, c.untouched / 10)}:
        elements = sum(c.flipped for c in flipped.values())
        return f"{elements} weights that no gradient ever reached changed their sign: {named(tuple(flipped))}"
    return ""


def _elsewhere(passage: Passage, reading: Reading) -> str:
    """Say that the weights point elsewhere, farther than the rates in both files allow; empty if they don't."""
    counts = _counts_of(passage, reading)
    large = {n: c for n, c in counts.items() if c.elements >= _MANY and c.cosine == c.cosine}
    farthest = _farthest(passage)
    away = [n for n, c in large.items() if c.farthest > _FAR * farthest and c.cosine < _ELSEWHERE]
    if not away or len(away) * 2 <= len(large):
        return ""
    worst = max(away, key=lambda name: large[name].farthest)
    return (
        f"the weights of {len(away)} of {counted(len(large), 'parameter')} of {_MANY} elements or more point "
        f"elsewhere, and moved farther than the learning rate allows ({worst}: by {large[worst].farthest:.3g}, of "
        f"{farthest:.3g} at most)"
    )


_SAME = 0.9
"""Cosine of the weights of two checkpoints above which they are the same training's."""


def _weights_told(passage: Passage, reading: Reading) -> str:
    """Say whether the weights go on where the counter fell; empty if neither is clear."""
    matrices = {n for n, (_, after) in passage.parameters.items() if len(after.shape) > 1}
    counts = [c for n, c in _counts_of(passage, reading).items() if n in matrices and c.elements >= _MANY]
    cosines = [c.cosine for c in counts if c.cosine == c.cosine]
    if not cosines:
        return ""
    middle = median(cosines)
    angle = f"cosine {middle:.2g}" + (f", median of {counted(len(cosines), 'parameter')}" if len(cosines) > 1 else "")
    if min(cosines) >= _SAME:
        return f", and the weights are nearly those of before ({angle}): as when only the optimizer's state is lost"
    if max(cosines) < _ELSEWHERE:
        return f", and the weights are others as well ({angle}): as in a folder of two trainings"
    return ""


def _farthest(passage: Passage) -> float:
    """Return how far the updates can move a weight at the larger of the two learning rates; infinite if not known.

    |Δ| ≤ α·|m̂|/√v̂, and that is at most (1-β1)/√((1-β2)(1-β1²/β2)): Cauchy and Schwarz.
    """
    rule, rates = (
        passage.after.update_rule,
        [s.hyperparameters.get("learning_rate") for s in (passage.before, passage.after)],
    )
    if rule is None or not (rule.has_moment_pair and rule.has_root and rule.is_linear_in_rate) or rule.needs_norms:
        return math.inf
    if passage.after.has_scheduled_rate or any(r is None or r.is_assumed or r.value is None for r in rates):
        return math.inf
    try:
        bound = rule.moment_bound(replace(passage.after.settings, step=None, is_converged=True))
    except NotDetermined:
        return math.inf
    most = max(float(r.value or 0.0) for r in rates if r is not None)
    return most * bound * ((passage.updates or 0) + SPARE_UPDATES) if passage.updates is not None else math.inf


def _largest_rate(ratio: float, updates: int) -> float:
    """Return the largest decay rate by which `updates` leave this ratio."""
    return float(ratio ** (1 / updates))


@dataclass(frozen=True, slots=True)
class Bound:
    """A window in which v fell faster than the assumed decay rate lets it."""

    optimizer: str
    most: float
    """The largest rate that explains it."""


def bounds_of(passages: Sequence[Passage], reading: Reading) -> Iterator[Bound]:
    """Yield the largest decay rates of the optimizers whose assumed one can't be right, unless state was lost."""
    for passage in passages:
        below = [c.least_ratio for c in _counts_of(passage, reading).values() if c.doubtful]
        if below and passage.updates and passage.updates > 0:
            yield Bound(passage.name, _largest_rate(min(below), passage.updates))


_AGREEMENT = 1e-2
"""Relative difference of 1 - β2 up to which two windows agree on the largest one."""


def agrees(bound: Bound, other: Bound) -> bool:
    """Return whether two windows are explained by one decay rate: a loss of state leaves no such agreement."""
    one, two = 1 - bound.most, 1 - other.most
    return bound.optimizer == other.optimizer and abs(one - two) <= _AGREEMENT * max(one, two)


def _doubt(passage: Passage, reading: Reading) -> str:
    """Say that the assumed decay rate can't be right, or the state was lost; empty if nothing speaks against it."""
    below = {n: c for n, c in _counts_of(passage, reading).items() if c.doubtful}
    rule = passage.after.update_rule
    if not below or rule is None or not passage.updates:
        return ""
    ratio = min(c.least_ratio for c in below.values())
    most = _largest_rate(ratio, passage.updates)
    assumed = passage.after.hyperparameters[rule.retained_by].value
    return (
        f"v fell faster in {counted(len(below), 'parameter')} than {rule.retained_by} = {assumed:g}, which is assumed, "
        f"lets it fall: it was {most:.5g} at most, unless the state was lost"
    )


def _remarks(passage: Passage, reading: Reading, *, is_lost: bool) -> Iterator[Reason]:
    """Yield what is worth knowing and decides nothing."""
    who, counts = passage.name, _counts_of(passage, reading)
    if passage.updates == 0:
        is_same = all(c.is_same for c in counts.values())
        state = "all its parameters and moments are the same, bit for bit" if is_same else "its state is another"
        yield Reason(kinds.SAME_STEP, who, f"{who}: the counter is {passage.after.step.value} in both, and {state}")
    moved = {n: c for n, c in _witnesses(passage, reading).items() if c.moved}
    if moved and not is_lost and not _replaced(passage, reading):
        elements = sum(c.moved for c in moved.values())
        low, high = (
            f(getattr(c, name) for c in moved.values()) for f, name in ((min, "factor_low"), (max, "factor_high"))
        )
        how = (
            f"by a factor of {low:.6g}"
            if high - low <= 1e-4 * abs(high)
            else f"by factors from {low:.4g} to {high:.4g}"
        )
        what = f"{who}: {elements} weights in {len(moved)} parameters that no gradient ever reached moved {how}"
        yield Reason(kinds.WEIGHTS_MOVED, next(iter(moved)), what)
    changed = [
        f"{name} {_shown(a)} -> {_shown(b)}"
        for name, b in passage.after.hyperparameters.items()
        if (a := passage.before.hyperparameters.get(name)) is not None
        and not a.is_assumed
        and not b.is_assumed
        and a.value != b.value
    ]
    if passage.before.rule != passage.after.rule:
        what = f"the rule was {passage.before.rule}, and is {passage.after.rule}: their moments can't be compared"
        yield Reason(kinds.RULE_CHANGED, who, f"{who}: {what}")
    if changed:
        yield Reason(kinds.HYPERPARAMETERS_CHANGED, who, f"{who}: {', '.join(changed)}")
    if passage.updates is None and not any(c.judged for c in counts.values()):
        yield Reason(
            kinds.CANNOT_TELL, who, f"{who}: the updates between the two are not counted: {passage.after.step.where}"
        )


def judge_decays(passage: Passage, window: WindowEvidence | None) -> Iterator[Reason]:
    """Yield that the moments decayed less often than the counter counts, if silent elements show it."""
    if window is None or not window.is_continuous or window.decays is None or window.counted is None:
        return
    if 0 < window.decays < window.counted:
        fewer = window.counted - window.decays
        what = (
            f"{passage.name}: the moments of {window.silent} elements without a gradient decayed "
            f"{counted(window.decays, 'time')} while the counter rose by {window.counted}: {fewer} fewer, as where "
            f"loss scaling skips updates, or gradients are accumulated"
        )
        yield Reason(kinds.UPDATES_SKIPPED, passage.name, what)


@dataclass(frozen=True, slots=True)
class Drift:
    """What elements without a gradient did between two checkpoints, in one optimizer."""

    optimizer: str
    rate: float
    """The learning rate, the same in both files."""
    updates: int
    moved: int
    still: int
    exponent: float
    """Largest |ln(θ_B/θ_A)| of those that moved; 0 if none did."""


def drifts_of(passages: Sequence[Passage], reading: Reading) -> Iterator[Drift]:
    """Yield what untouched elements did, for the optimizers with one learning rate that both files hold."""
    for passage in passages:
        rates = [s.hyperparameters.get("learning_rate") for s in (passage.before, passage.after)]
        values = {r.value for r in rates if r is not None and not r.is_assumed}
        rate = values.pop() if len(values) == 1 else None
        if rate is None or not passage.updates or passage.updates < 0 or passage.after.has_scheduled_rate:
            continue
        counts = _witnesses(passage, reading).values()
        factors = [f for c in counts if c.moved for f in (c.factor_low, c.factor_high) if 0 < f < math.inf]
        exponent = max((abs(math.log(f)) for f in factors), default=0.0)
        moved, still = sum(c.moved for c in counts), sum(c.still for c in counts)
        yield Drift(passage.name, float(rate), passage.updates, moved, still, exponent)


_VISIBLE = 1e-4
"""Relative change of a weight that no rounding hides."""


def contradicts(drift: Drift, other: Drift) -> bool:
    """Return whether untouched elements moved in one window, and would have had to move in the other as well.

    Decoupled weight decay shrinks them by (1 - wd·α)^k in every window, and both have the same α.
    """
    is_same = drift.optimizer == other.optimizer and drift.rate == other.rate > 0
    due = drift.exponent / drift.updates * other.updates
    return is_same and drift.moved >= _FEWEST and _is_still(other) and due > _VISIBLE


def _is_still(window: Drift) -> bool:
    return window.moved == 0 and window.still >= _FEWEST


class StillWindows:
    """The windows of a run in which no untouched element moved."""

    def __init__(self, windows: Iterable[Drift]) -> None:
        """Take the windows of the whole run, in its order: of the still ones, by optimizer and rate, those that are
        longer than all before; the first that a drift is contradicted by is one of them."""
        self._longer: dict[tuple[str, float], list[Drift]] = {}
        for window in filter(_is_still, windows):
            known = self._longer.setdefault((window.optimizer, window.rate), [])
            if not known or window.updates > known[-1].updates:
                known.append(window)

    def that_contradicts(self, drift: Drift) -> Drift | None:
        """Return the first window that `contradicts` the drift; None if none does."""
        found = self._longer.get((drift.optimizer, drift.rate), ())
        return next((window for window in found if contradicts(drift, window)), None)


def _shown(value: Sourced[float]) -> str:
    return "unknown" if value.value is None else quoted(value.value, value.source)
