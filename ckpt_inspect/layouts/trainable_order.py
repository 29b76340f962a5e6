"""Pairing by recorded order: a list of slots against a list of weights, where no name says what belongs to what.

Keras builds its slots in the order of the model's trainable weights. Weights that aren't trained (moving statistics, frozen
layers, seeds) stand in the model's list and not in the optimizer's, so the slots are a subsequence. Shapes never choose: they
check the order, and tell whether another choice would have been possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]

NOT_TRAINED = ("moving_mean", "moving_variance", "running_mean", "running_std", "running_variance", "seed_generator_state", "seed_state")
"""Roles of weights that no optimizer trains (batch normalization, seeds), by Keras' own names."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One of the model's weights."""

    name: str
    key: str
    shape: Shape
    is_trained: bool
    """False for what the configuration freezes and for moving statistics."""


@dataclass(frozen=True, slots=True)
class Block:
    """Weights whose order among themselves is known: a layer's."""

    kind: str
    """Blocks of one kind stand in their true order (the layers of one class, which are counted); empty names are kinds too."""
    weights: tuple[Weight, ...]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which weight each slot belongs to."""

    weights: tuple[Weight | None, ...]
    """In the order of the slots; None where it is open."""
    is_certain: bool
    """Whether no other choice of weights in the same order has these shapes."""


def pair_in_order(weights: Sequence[Weight], shapes: Sequence[Shape]) -> Pairing | None:
    """The weights that slots of these shapes belong to, in order; None where no choice of weights has these shapes.

    What is known not to be trained is left out if that fits, and else considered as well (a configuration can be changed after
    the optimizer was built).
    """
    trained = [w for w in weights if w.is_trained]
    if [w.shape for w in trained] == list(shapes):
        return Pairing(tuple(trained), True)
    for candidates in (trained, list(weights)):
        ways = _count_ways(candidates, shapes)
        if ways[0][0]:
            return Pairing(_first_choice(candidates, shapes, ways), ways[0][0] == 1)
    return None


def _count_ways(weights: Sequence[Weight], shapes: Sequence[Shape]) -> list[list[int]]:
    """ways[i][j]: in how many ways (2 stands for several) shapes[j:] can be chosen in order from weights[i:]."""
    ways = [[0] * (len(shapes) + 1) for _ in range(len(weights) + 1)]
    for i in range(len(weights), -1, -1):
        ways[i][len(shapes)] = 1
        for j in range(len(shapes) - 1, -1, -1):
            if i < len(weights):
                taken = ways[i + 1][j + 1] if weights[i].shape == shapes[j] else 0
                ways[i][j] = min(2, ways[i + 1][j] + taken)
    return ways


def _first_choice(weights: Sequence[Weight], shapes: Sequence[Shape], ways: Sequence[Sequence[int]]) -> tuple[Weight, ...]:
    chosen: list[Weight] = []
    for i, weight in enumerate(weights):
        j = len(chosen)
        if j < len(shapes) and weight.shape == shapes[j] and ways[i + 1][j + 1]:
            chosen.append(weight)
    return tuple(chosen)


def pair_blocks(blocks: Sequence[Block], shapes: Sequence[Shape], budget: int = 20_000) -> Pairing | None:
    """Like `pair_in_order` where only the order inside each block is known, and that of the blocks of one kind.

    Weights whose block could stand elsewhere just as well are left None, and the pairing is not certain.
    """
    chains: dict[str, list[tuple[Weight, ...]]] = {}
    for block in blocks:
        trained = tuple(w for w in block.weights if w.is_trained)
        if trained:
            chains.setdefault(block.kind, []).append(trained)
    if sum(len(part) for chain in chains.values() for part in chain) != len(shapes):
        return None
    orders = list(chains.values())
    solutions: list[tuple[Weight, ...]] = []
    steps = 0

    def extend(used: tuple[int, ...], chosen: tuple[Weight, ...]) -> None:
        nonlocal steps
        steps += 1
        if steps > budget or len(solutions) > 50:
            return
        if len(chosen) == len(shapes):
            solutions.append(chosen)
            return
        for i, chain in enumerate(orders):
            if used[i] < len(chain):
                part = chain[used[i]]
                if [w.shape for w in part] == list(shapes[len(chosen) : len(chosen) + len(part)]):
                    extend((*used[:i], used[i] + 1, *used[i + 1 :]), chosen + part)

    extend((0,) * len(orders), ())
    if not solutions:
        return None
    agreed = tuple(w if all(s[i] is w for s in solutions) else None for i, w in enumerate(solutions[0]))
    is_complete = steps <= budget and len(solutions) <= 50
    return Pairing(agreed if is_complete else tuple(None for _ in shapes), is_complete and None not in agreed)
