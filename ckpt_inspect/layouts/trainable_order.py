"""Pairing by recorded order: a list of slots and a tree of weights, if no name says what belongs to what.

Keras builds its slots in the order of the model's trainable weights: a layer's own, then its parts', one after the
other. Weights that aren't trained (moving statistics, frozen layers, seeds) stand in the tree and have no slots.
Shapes never choose: they check an order that the file records, and show where another one would have been possible.
Such weights stay unpaired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckpt_inspect.checkpoint import Problem

Shape = tuple[int, ...]

STATISTICS = ("running_mean", "running_std")
NOT_TRAINED = (
    "moving_mean",
    "moving_variance",
    *STATISTICS,
    "running_variance",
    "seed_generator_state",
    "seed_state",
)
"""Roles of weights that no optimizer trains (batch normalization, seeds), by Keras' own names."""
MOST_STATES = 20_000
"""How many partial orders of a layer's parts are looked at before its weights are left unpaired."""


def is_untrained(role: str) -> bool:
    """Return whether a weight of that role is never trained; `batchnormalization_1_running_std` is Keras 1's name."""
    return role.endswith(tuple(f"_{name}" for name in STATISTICS)) or role in NOT_TRAINED


class Weight(NamedTuple):
    """One of the model's weights."""

    name: str
    key: str
    """Empty for what is trained and not saved by itself (adapters that are merged into a kernel)."""
    shape: Shape
    is_trained: bool
    """False for what the configuration freezes and for moving statistics."""
    is_frozen: bool = False
    """Whether the configuration alone says that it isn't trained: it can have been, before it was frozen."""


class Block(NamedTuple):
    """A layer or model: its own weights, in order, and its parts'."""

    kind: str
    """Siblings of one kind stand in their true order among each other, whatever is known of the others (layers of one
    class are counted)."""
    weights: tuple[Weight, ...]
    parts: tuple[Block, ...] = ()
    is_ordered: bool = True
    """Whether the parts stand in the order in which they are trained."""

    def trained(self) -> list[Weight]:
        """Return all trained weights, its own first, then the parts'."""
        return [w for w in self.weights if w.is_trained] + [w for part in self.parts for w in part.trained()]

    def layers(self) -> Iterator[Block]:
        """Yield it and all blocks inside, as blocks without parts."""
        if self.weights:
            yield Block(self.kind, self.weights)
        for part in self.parts:
            yield from part.layers()


class Pairing(NamedTuple):
    """Which weight each slot belongs to."""

    weights: tuple[Weight | None, ...]
    """In the order of the slots; None if it is open."""

    @property
    def frozen_since(self) -> list[Weight]:
        """Return the weights that have slots though the configuration freezes them."""
        return [w for w in self.weights if w is not None and w.is_frozen]

    @property
    def is_certain(self) -> bool:
        """Return whether no slot is left open."""
        return None not in self.weights


def pair(model: Block, shapes: Sequence[Shape]) -> Pairing | None:
    """Return the weights that slots of these shapes belong to; None if no permitted order of the weights has them.

    Weights that are known not to be trained are skipped. If more weights than slots remain, whole layers may be frozen:
    then a slot is paired if every possible choice of frozen layers gives it the same weight. If nothing fits, layers
    may have been frozen after they were trained: then those that the configuration freezes count as trained.
    """
    found = _pair_trained(model, shapes)
    if found is not None or len(model.trained()) >= len(shapes):
        return found
    return _pair_trained(_thawed(model), shapes)


def _thawed(block: Block) -> Block:
    """Return the block as it was before the configuration's layers were frozen."""
    weights = tuple(w._replace(is_trained=w.is_trained or w.is_frozen) for w in block.weights)
    return block._replace(weights=weights, parts=tuple(map(_thawed, block.parts)))


def _pair_trained(model: Block, shapes: Sequence[Shape]) -> Pairing | None:
    trained = model.trained()
    if len(trained) == len(shapes):
        chosen = _pair_block(model, shapes)
        return Pairing(tuple(chosen)) if chosen is not None else None
    if len(trained) > len(shapes) and _is_ordered_throughout(model):
        return _pair_frozen([b for b in model.layers() if b.trained()], shapes)
    return None


def frozen_since(pairing: Pairing) -> Problem:
    """Return the remark that weights have slots though the configuration freezes them."""
    names = [w.name for w in pairing.frozen_since]
    shown = f"{names[0]} .. {names[-1]}" if len(names) > 1 else names[0]
    return Problem(
        "frozen-since",
        f"the configuration freezes {len(names)} weight{'s' * (len(names) != 1)} that the optimizer keeps slots of: "
        f"{shown}",
        "they are read as trained before they were frozen; the last update did not move those that were frozen by then",
        "info",
    )


def _is_ordered_throughout(block: Block) -> bool:
    return (block.is_ordered or len(block.parts) <= 1) and all(_is_ordered_throughout(p) for p in block.parts)


def _pair_block(block: Block, shapes: Sequence[Shape]) -> list[Weight | None] | None:
    """Pair the block's weights with exactly as many slots; None if they don't fit."""
    own: list[Weight | None] = [w for w in block.weights if w.is_trained]
    if [w.shape for w in own if w is not None] != list(shapes[: len(own)]):
        return None
    parts = [p for p in block.parts if p.trained()]
    rest = shapes[len(own) :]
    in_order = block.is_ordered or len(parts) <= 1
    paired = _pair_sequence(parts, rest) if in_order else _pair_any_order(parts, rest)
    return None if paired is None else own + paired


def _pair_sequence(parts: Sequence[Block], shapes: Sequence[Shape]) -> list[Weight | None] | None:
    chosen: list[Weight | None] = []
    for part in parts:
        paired = _pair_block(part, shapes[len(chosen) : len(chosen) + len(part.trained())])
        if paired is None:
            return None
        chosen += paired
    return chosen


def _pair_any_order(parts: Sequence[Block], shapes: Sequence[Shape]) -> list[Weight | None] | None:
    """Pair the parts that have only one place in all orders that fit; the others stay open."""
    starts = _possible_starts(parts, shapes)
    chosen: list[Weight | None] = [None] * len(shapes)
    if starts is None:
        return chosen
    if any(not s for s in starts):
        return None
    for part, places in zip(parts, starts, strict=True):
        if len(places) == 1:
            start = next(iter(places))
            paired = _pair_block(part, shapes[start : start + len(part.trained())])
            if paired is not None:
                chosen[start : start + len(paired)] = paired
    return chosen


def _possible_starts(parts: Sequence[Block], shapes: Sequence[Shape]) -> list[set[int]] | None:
    """Return, for each part, every place at which it starts in some order that fits; None if there are too many orders.

    An order is a merge of queues, one per kind. What may follow depends only on how many of each queue are placed. So
    the merges are paths through such states, and are never listed one by one.
    """
    kinds: dict[str, list[int]] = {}
    for i, part in enumerate(parts):
        kinds.setdefault(part.kind, []).append(i)
    queues = list(kinds.values())
    sizes = [len(p.trained()) for p in parts]
    known: dict[tuple[int, int], bool] = {}

    def fits(i: int, at: int) -> bool:
        if (i, at) not in known:
            known[i, at] = _pair_block(parts[i], shapes[at : at + sizes[i]]) is not None
        return known[i, at]

    # Forward: the states that n parts in a row can reach, each with its place and the steps that lead there
    levels: list[dict[tuple[int, ...], int]] = [{(0,) * len(queues): 0}]
    steps: list[list[tuple[tuple[int, ...], tuple[int, ...], int, int]]] = []
    states = 0
    for _ in parts:
        reached: dict[tuple[int, ...], int] = {}
        steps.append([])
        for state, at in levels[-1].items():
            for q, queue in enumerate(queues):
                if state[q] < len(queue) and fits(queue[state[q]], at):
                    after = (*state[:q], state[q] + 1, *state[q + 1 :])
                    reached[after] = at + sizes[queue[state[q]]]
                    steps[-1].append((state, after, queue[state[q]], at))
            if states + len(reached) > MOST_STATES:
                return None
        levels.append(reached)
        states += len(reached)
    # Backward: of those steps the ones from which all parts can still be placed
    starts: list[set[int]] = [set() for _ in parts]
    alive = set(levels[-1])
    for level in reversed(steps):
        kept = [step for step in level if step[1] in alive]
        for _, _, placed, at in kept:
            starts[placed].add(at)
        alive = {step[0] for step in kept}
    return starts


def _pair_frozen(layers: Sequence[Block], shapes: Sequence[Shape]) -> Pairing | None:
    """Pair layers in order, each trained as a whole or not at all, as far as all choices that fit agree.

    Sets of slots are whole numbers, a bit each: a model of thousands of layers takes a moment.
    """
    parts = [layer.trained() for layer in layers]
    slots: dict[Shape, int] = {}
    for place, shape in enumerate(shapes):
        slots[shape] = slots.get(shape, 0) | 1 << place
    matching = [_places_of(part, slots, len(shapes)) for part in parts]
    # Backward: the slots from which layer i and those after it can fill the rest
    fits = [0] * len(parts) + [1 << len(shapes)]
    for i in range(len(parts) - 1, -1, -1):
        fits[i] = fits[i + 1] | (fits[i + 1] >> len(parts[i]) & matching[i])
    if not fits[0] & 1:
        return None
    # Forward: the slots that any choice reaches before layer i; a place is certain if all choices give it one layer
    reached, once, more = 1, 0, 0
    covered = []
    for i, part in enumerate(parts):
        starts = reached & matching[i] & fits[i + 1] >> len(part)
        reached = (reached & fits[i + 1]) | starts << len(part)
        covered.append(0)
        for k in range(len(part)):
            covered[i] |= starts << k
        once, more = once | covered[i], more | (once & covered[i])
    chosen: list[Weight | None] = [None] * len(shapes)
    for part, own, places in zip(parts, covered, matching, strict=True):
        for j in _bits(own & ~more):
            begins = [s for s in range(max(0, j - len(part) + 1), j + 1) if places & own & 1 << s]
            if len(begins) == 1:
                chosen[j] = part[j - begins[0]]
    return Pairing(tuple(chosen))


def _places_of(part: Sequence[Weight], slots: Mapping[Shape, int], count: int) -> int:
    """Return the slots from which on the part's weights have the shapes of the slots; with none, all of them."""
    places = (1 << count + 1) - 1
    for k, weight in enumerate(part):
        places &= slots.get(weight.shape, 0) >> k
    return places


def _bits(number: int) -> Iterator[int]:
    """Yield the places of the bits that are set."""
    text = bin(number)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)
