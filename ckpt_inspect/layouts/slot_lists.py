"""How to read a Keras optimizer's nameless list of variables: every order of slots that its shapes allow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ckpt_inspect.checkpoint import TensorSpec
from ckpt_inspect.layouts.optimizer_classes import OptimizerConfig
from ckpt_inspect.update_rules import Implementation, Optimizer, UpdateRule

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
        maxima = [has_maximum]
    elif has_maximum:
        maxima = [True, False]
    if not implementation.has_listed_rate:
        rates, accumulation = [False], [False]
    if rule is not None and not has_product:
        products = [None]
    for choice in product(rates, averages, accumulation, maxima, products):
        if (reading := _lay_out(specs, *choice)) is not None:
            yield reading


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
