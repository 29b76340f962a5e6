"""How to read a Keras optimizer's nameless list of variables: every order of slots that its shapes allow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import product

from ckpt_inspect.checkpoint import TensorSpec
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import Implementation, Optimizer, SlotShape, UpdateRule

ONLY_SLOT = "slot"
"""Name of the one slot that an optimizer keeps for each variable, if nothing tells which it is."""
U_PRODUCT = "u_product"
"""Name of the running product of momenta that some rules keep among their slots."""


@dataclass(frozen=True, slots=True)
class SlotReading:
    """One way to read the list; members are indices into it."""

    has_learning_rate: bool
    """Whether the second variable is the learning rate (Keras 3 without a schedule)."""
    u_product: int | None
    """Nadam's running product of momenta."""
    averages: tuple[int, ...]
    """Moving averages of the weights, in the order of the weights, as all that follow."""
    accumulators: tuple[int, ...]
    """Accumulated gradients."""
    first: tuple[int, ...]
    second: tuple[int, ...]
    maxima: tuple[int, ...]
    slots: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """Where there is no pair for every weight: slots by name, in the order of the weights, None for a weight that has
    none."""
    of_the_weight_s_shape: str = ""
    """Which of these has its weight's shape, if not the first."""
    only_of: str = ""
    """Name of the optimizer that alone keeps slots of such shapes."""

    @property
    def leading(self) -> tuple[int, ...]:
        """Return the places of one slot of each weight, which has its weight's shape."""
        own = self.slots.get(self.of_the_weight_s_shape) or next(iter(self.slots.values()), ())
        return self.first or tuple(i for i in own if i is not None)


def slot_readings(
    specs: Sequence[TensorSpec], implementation: Implementation, config: OptimizerConfig | None, rule: Optimizer | None
) -> Iterator[SlotReading]:
    """Return every way to read the list that is consistent in itself, likelier ones first."""
    settings = config.config if config else {}
    is_scheduled = isinstance(settings.get("learning_rate"), Mapping)
    rates = [True, False]
    averages = accumulation = maxima = [False, True]
    has_product = rule is not None and U_PRODUCT in rule.traces.scalars
    has_maximum = isinstance(rule, UpdateRule) and rule.has_maximum
    products = ["before", "after", None] if has_product else [None, "before", "after"]
    if config is not None:
        rates = [not is_scheduled]
        averages = [bool(settings.get("use_ema"))]
        accumulation = [bool(settings.get("gradient_accumulation_steps"))]
        maxima = [has_maximum or (rule is None and config.keeps_maximum)]
    elif has_maximum:
        maxima = [True, False]
    if not implementation.has_listed_rate:
        rates, accumulation = [False], [False]
    if rule is not None and not has_product:
        products = [None]
    for choice in product(rates, averages, accumulation, maxima, products):
        if (reading := _lay_out(specs, *choice)) is not None:
            yield reading


def block_readings(
    specs: Sequence[TensorSpec], implementation: Implementation, config: OptimizerConfig | None, rule: Optimizer | None
) -> Iterator[SlotReading]:
    """Return every way to read the list as slots of which each stands for all weights in a row, likelier ones first.

    If the rule or its configuration is not known: one slot for each weight.
    """
    settings = config.config if config else {}
    listed = rule.traces.slots_in_lists if rule is not None else ()
    kept = tuple(name for name, switch in listed if not switch or settings.get(switch))
    # Keras 2's SGD keeps momentum where it is 0 as well
    kinds = [kept or tuple(name for name, _ in listed[:1])] if listed or kept else []
    if config is None or rule is None:
        # Without the settings a second slot can be an average as well, and so can the only one if it may be left out:
        # values must tell
        names = tuple(name for name, _ in listed)
        kinds = [kept[:1] or (ONLY_SLOT,)]
        kinds += [names[:n] for n in range(2, len(names) + 1)] if kept else []
    for names in kinds:
        for start in _starts(specs, implementation, config):
            averages = 1 if settings.get("use_ema") else 0
            accumulators = 1 if settings.get("gradient_accumulation_steps") else 0
            places = range(start, len(specs))
            count, rest = divmod(len(places), len(names) + averages + accumulators)
            if rest or count < 1:
                continue
            blocks = [tuple(places[i : i + count]) for i in range(0, len(places), count)]
            shapes = [[specs[i].shape for i in block] for block in blocks]
            if all(block == shapes[0] for block in shapes):
                first = averages + accumulators
                yield SlotReading(
                    has_learning_rate=start == 2,
                    u_product=None,
                    averages=blocks[0] if averages else (),
                    accumulators=blocks[averages] if accumulators else (),
                    first=(),
                    second=(),
                    maxima=(),
                    slots=dict(zip(names, blocks[first:], strict=True)),
                )


def turn_readings(
    specs: Sequence[TensorSpec],
    implementation: Implementation,
    config: OptimizerConfig | None,
    turns: Sequence[tuple[str, SlotShape]],
) -> Iterator[SlotReading]:
    """Return every way to read the list as slots that stand together for each weight, behind its averages and
    accumulated gradients, if the configuration has these."""
    settings = config.config if config else {}
    kinds = [kind for kind in ("use_ema", "gradient_accumulation_steps") if settings.get(kind)]
    whole = next(name for name, shape in turns if shape == "whole")
    for start in _starts(specs, implementation, config):
        for count in range(len(specs) - start) if kinds else [0]:
            at = start + count * len(kinds)
            blocks = _in_turns(specs, at, turns, implementation.lists_placeholders)
            if not blocks or (kinds and len(blocks[whole]) != count):
                continue
            shapes = [specs[i].shape for i in blocks[whole] if i is not None]
            extras = {kind: tuple(range(start + n * count, start + (n + 1) * count)) for n, kind in enumerate(kinds)}
            if any([specs[i].shape for i in block] != shapes for block in extras.values()):
                continue
            averages, accumulators = (extras.get(k, ()) for k in ("use_ema", "gradient_accumulation_steps"))
            yield SlotReading(start == 2, None, averages, accumulators, (), (), (), blocks, whole)


def _in_turns(
    specs: Sequence[TensorSpec], at: int, turns: Sequence[tuple[str, SlotShape]], has_placeholders: bool
) -> Mapping[str, tuple[int | None, ...]]:
    """Return the slots from that place on, weight after weight; none if the shapes don't fit."""
    found: dict[str, list[int | None]] = {name: [] for name, _ in turns}
    place = next(i for i, (_, shape) in enumerate(turns) if shape == "whole")
    only_whole = [turns[place]] if not has_placeholders and len({shape for _, shape in turns}) > 1 else []
    while at < len(specs):
        for own, index in ((turns, place), (only_whole, 0)):
            shapes = [spec.shape for spec in specs[at : at + len(own)]]
            if not own or len(shapes) < len(own) or (own is only_whole and len(shapes[0]) > 1):
                continue
            if shapes != [_part(shapes[index], part) for _, part in own]:
                continue
            held = {name: at + i for i, (name, _) in enumerate(own)}
            break
        else:
            return {}
        for name, block in found.items():
            i = held.get(name)
            block.append(None if i is None or (specs[i].shape == () and shapes[index] != ()) else i)
        at += len(own)
    return {name: tuple(block) for name, block in found.items()} if any(found.values()) else {}


def _part(shape: tuple[int, ...], part: SlotShape) -> tuple[int, ...]:
    if part == "whole":
        return shape
    if len(shape) < 2:
        return ()
    return shape[:-1] if part == "rows" else (*shape[:-2], shape[-1])


def mixed_readings(
    specs: Sequence[TensorSpec],
    implementation: Implementation,
    config: OptimizerConfig | None,
    weights: Sequence[tuple[int, ...]],
) -> Iterator[SlotReading]:
    """Return the ways to read the list as a first moment of each weight, of these shapes, with a second moment behind
    it for some: for all that are no matrices, and for as many matrices as it takes. None if more than one fits."""
    for start in _starts(specs, implementation, config):
        shapes = [spec.shape for spec in specs[start:]]
        ways: dict[int, list[tuple[bool, ...]]] = {
            0: [()]
        }  # place in the list -> the choices that lead there: whether each weight has a second moment
        for shape in weights:
            after: dict[int, list[tuple[bool, ...]]] = {}
            for at, choices in ways.items():
                if shapes[at : at + 1] != [shape]:
                    continue
                if len(shape) > 1:
                    after.setdefault(at + 1, []).extend((*c, False) for c in choices[:2])
                if shapes[at + 1 : at + 2] == [shape]:
                    after.setdefault(at + 2, []).extend((*c, True) for c in choices[:2])
            ways = after
        choices = ways.get(len(shapes), [])
        if len(choices) == 1 and weights:
            first: list[int] = []
            second: list[int | None] = []
            at = start
            for has_second in choices[0]:
                first.append(at)
                second.append(at + 1 if has_second else None)
                at += 1 + has_second
            slots = {"first_moment": tuple(first), "second_moment": tuple(second)}
            yield SlotReading(start == 2, None, (), (), (), (), (), slots)


def _starts(
    specs: Sequence[TensorSpec], implementation: Implementation, config: OptimizerConfig | None
) -> tuple[int, ...]:
    """Return where the slots can start: behind the counter, and behind the learning rate if one is listed."""
    can_have = has_listed_rate(specs, implementation)
    if config is not None:
        is_scheduled = isinstance(config.config.get("learning_rate"), Mapping)
        return (2,) if can_have and not is_scheduled else (1,)
    return (1,) if not can_have else (2,) if len(specs) == 2 else (2, 1)


def slots_in_blocks(optimizer: Optimizer | None, shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """Return the slots that an optimizer without moments kept before OptimizerV2, each of which stands for all weights
    in a row; none if there are others, or the shapes don't fit."""
    if optimizer is None or optimizer.has_moment_pair:
        return ()
    listed = tuple(name for name, _ in optimizer.traces.slots_in_lists[:1])
    names = listed or tuple(name for name, shape in optimizer.traces.slots_by_turns if shape == "whole")
    count, rest = divmod(len(shapes), max(len(names), 1))
    fits = all(shapes[i * count : (i + 1) * count] == shapes[:count] for i in range(len(names)))
    return names if names and count and not rest and fits else ()


def has_listed_rate(specs: Sequence[TensorSpec], implementation: Implementation) -> bool:
    """Return whether the second variable can be the learning rate."""
    is_scalar = len(specs) > 1 and specs[1].shape == () and "float" in specs[1].dtype
    return implementation.has_listed_rate and is_scalar


def _lay_out(
    specs: Sequence[TensorSpec],
    has_rate: bool,
    has_ema: bool,
    has_accumulators: bool,
    has_maxima: bool,
    u_product_place: str | None,
) -> SlotReading | None:
    """[iteration][rate][averages][accumulators][product][m0 v0 m1 v1 ..][maxima][product], if the shapes allow
    it."""
    start = 1 + has_rate
    if has_rate and (len(specs) < 2 or specs[1].shape != () or "float" not in specs[1].dtype):
        return None
    per_weight = 2 + has_ema + has_accumulators + has_maxima
    count, rest = divmod(len(specs) - start - (u_product_place is not None), per_weight)
    if rest or count < 1:
        return None
    indices = iter(range(start, len(specs)))

    def take(n: int) -> tuple[int, ...]:
        return tuple(next(indices) for _ in range(n))

    extras = take(count * (has_ema + has_accumulators))
    u_product = take(1)[0] if u_product_place == "before" else None
    pairs = take(2 * count)
    maxima = take(count if has_maxima else 0)
    u_product = take(1)[0] if u_product_place == "after" else u_product
    first, second = pairs[::2], pairs[1::2]
    shapes = [specs[i].shape for i in first]
    averages, accumulators = extras[: count * has_ema], extras[count * has_ema :]
    if has_ema and has_accumulators and [specs[i].shape for i in averages] != shapes:
        averages, accumulators = extras[::2], extras[1::2]  # earlier releases of Keras 3 took turns
    blocks = (second, averages, accumulators, maxima)
    if any(block and [specs[i].shape for i in block] != shapes for block in blocks):
        return None
    if u_product is not None and specs[u_product].shape != ():
        return None
    return SlotReading(has_rate, u_product, averages, accumulators, first, second, maxima)
