"""Pairing by recorded order, held against trying every order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ckpt_inspect.layouts import trainable_order
from ckpt_inspect.layouts.trainable_order import Block, Weight, frozen_since, pair

Shape = tuple[int, ...]
SHAPES = ((1,), (2,), (3,))


def _weights(name: str, shapes: Sequence[Shape], is_trained: bool = True) -> tuple[Weight, ...]:
    return tuple(Weight(f"{name}/{i}", f"{name}/{i}", shape, is_trained) for i, shape in enumerate(shapes))


@st.composite
def layers(draw: st.DrawFn, most: int = 6) -> list[Block]:
    """Layers of up to three kinds, with up to three weights each, of few shapes: much is ambiguous."""
    found = []
    for i in range(draw(st.integers(1, most))):
        shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
        found.append(Block(draw(st.sampled_from("abc")), _weights(f"layer{i}", shapes)))
    return found


def _orders(parts: Sequence[Block]) -> Iterator[list[Block]]:
    """Every order of the parts in which those of one kind keep theirs."""
    for order in permutations(range(len(parts))):
        kinds = {parts[i].kind for i in order}
        own = {k: [i for i in order if parts[i].kind == k] for k in kinds}
        if all(places == sorted(places) for places in own.values()):
            yield [parts[i] for i in order]


def _common(choices: Sequence[Sequence[Weight]]) -> list[Weight | None]:
    return [column[0] if len({w.key for w in column}) == 1 else None for column in zip(*choices, strict=True)]


@given(layers())
def test_an_ordered_model_is_paired_in_its_order(parts: list[Block]) -> None:
    """Where the order of all layers is recorded, every slot is paired, whatever shapes repeat."""
    weights = [w for part in parts for w in part.weights]
    pairing = pair(Block("", (), tuple(parts)), [w.shape for w in weights])
    assert pairing is not None
    assert pairing.is_certain
    assert list(pairing.weights) == weights


@given(layers())
def test_an_ordered_model_of_other_shapes_is_not_paired(parts: list[Block]) -> None:
    """A list of other shapes than the model's, in its order, is refused as a whole."""
    shapes = [w.shape for part in parts for w in part.weights]
    other = [*shapes[1:], shapes[0]]
    assume(other != shapes)
    assert pair(Block("", (), tuple(parts)), other) is None


@given(layers(), st.data())
@settings(max_examples=200)
def test_unordered_layers_are_paired_where_all_orders_agree(parts: list[Block], data: st.DataObject) -> None:
    """A slot gets a weight just where all orders that fit give its layer one place; a true order never contradicts."""
    orders = list(_orders(parts))
    truth = data.draw(st.sampled_from(orders))
    flat = [w for part in truth for w in part.weights]
    shapes = [w.shape for w in flat]
    pairing = pair(Block("", (), tuple(parts), is_ordered=False), shapes)
    assert pairing is not None
    all_weights = [[w for part in order for w in part.weights] for order in orders]
    want = _common([weights for weights in all_weights if [w.shape for w in weights] == shapes])
    assert list(pairing.weights) == want
    assert all(w is None or w is t for w, t in zip(pairing.weights, flat, strict=True))


@given(layers(), st.data())
@settings(max_examples=200)
def test_frozen_layers_leave_what_every_choice_agrees_on(parts: list[Block], data: st.DataObject) -> None:
    """With fewer slots than weights only what all choices of frozen layers have in common is paired, and truly."""
    trained = data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)).filter(any))
    assume(not all(trained))
    flat = [w for part, is_trained in zip(parts, trained, strict=True) if is_trained for w in part.weights]
    shapes = [w.shape for w in flat]
    pairing = pair(Block("", (), tuple(parts)), shapes)
    assert pairing is not None
    choices = []
    for count in range(1, len(parts) + 1):
        for chosen in combinations(parts, count):
            weights = [w for part in chosen for w in part.weights]
            if [w.shape for w in weights] == shapes:
                choices.append(weights)
    want = _common(choices)
    for got, common, true in zip(pairing.weights, want, flat, strict=True):
        assert got is None or got is true
        assert got is None or got is common


@given(layers(most=4))
def test_what_is_known_not_to_be_trained_is_left_out(parts: list[Block]) -> None:
    """Moving statistics stand in the tree and take no slot."""
    mixed = [Block(p.kind, (*p.weights, *_weights(f"stats{i}", [(1,)], False))) for i, p in enumerate(parts)]
    weights = [w for part in parts for w in part.weights]
    pairing = pair(Block("", (), tuple(mixed)), [w.shape for w in weights])
    assert pairing is not None
    assert list(pairing.weights) == weights


def test_more_slots_than_weights_are_not_paired() -> None:
    """A list of more slots than the model has weights belongs to another model."""
    assert pair(Block("", _weights("layer", [(1,), (2,)])), [(1,), (2,), (3,)]) is None


def test_parts_inside_parts_are_paired_through() -> None:
    """An unordered layer inside an ordered model: its own weights first, then its parts where one order fits."""
    cell = Block("", (), (Block("a", _weights("k", [(3,)])), Block("b", _weights("b", [(2,)]))), is_ordered=False)
    model = Block("", (), (Block("", _weights("first", [(1,)])), cell))
    pairing = pair(model, [(1,), (2,), (3,)])
    assert pairing is not None
    assert [w.key if w else None for w in pairing.weights] == ["first/0", "b/0", "k/0"]


def test_two_thousand_layers_of_two_kinds_are_paired_without_recursion() -> None:
    """A deep network without recorded order is read, and in time: convolutions and normalizations in turn."""
    parts = []
    for i in range(1000):
        parts += [Block("conv", _weights(f"conv{i}", [(3, 3), (3,)])), Block("norm", _weights(f"norm{i}", [(5,)]))]
    shapes = [w.shape for part in parts for w in part.weights]
    pairing = pair(Block("", (), tuple(parts), is_ordered=False), shapes)
    assert pairing is not None
    assert pairing.is_certain


def test_too_many_orders_are_left_open() -> None:
    """Where shapes allow more orders than can be looked at, nothing is paired rather than something guessed."""
    parts = [Block(str(i), _weights(f"layer{i}", [(1,)])) for i in range(40)]
    pairing = pair(Block("", (), tuple(parts), is_ordered=False), [(1,)] * 40)
    assert pairing is not None
    assert set(pairing.weights) == {None}


def test_thousands_of_layers_are_paired() -> None:
    """Some of them frozen: which, is certain where shapes tell, and open where they don't."""
    parts = [Block("a", _weights(f"layer{i}", [(1 + i,)])) for i in range(4000)]
    paired = trainable_order._pair_frozen(parts, [(1 + i,) for i in range(4000) if i % 3])
    assert paired is not None
    assert paired.weights == tuple(part.weights[0] for i, part in enumerate(parts) if i % 3)
    alike = [Block("a", _weights(f"layer{i}", [(1,)])) for i in range(4000)]
    paired = trainable_order._pair_frozen(alike, [(1,)] * 3999)
    assert paired is not None
    assert set(paired.weights) == {None}


def test_layers_that_were_frozen_after_they_were_trained_keep_their_slots() -> None:
    """The configuration freezes the second of three layers, and the list has slots of all three; a remark says so."""
    cold = tuple(w._replace(is_frozen=True) for w in _weights("cold", [(2,), (3,)], is_trained=False))
    statistics = _weights("statistics", [(1,)], is_trained=False)
    first, last = Block("a", _weights("first", [(1,), (2,)])), Block("a", _weights("last", [(2,)]))
    model = Block("", (), (first, Block("b", (*cold, *statistics)), last))
    pairing = pair(model, [(1,), (2,), (2,), (3,), (2,)])
    assert pairing is not None and pairing.is_certain
    assert [w.name for w in pairing.weights if w] == ["first/0", "first/1", "cold/0", "cold/1", "last/0"]
    assert "freezes 2 weights" in frozen_since(pairing).message
    assert "cold/0 .. cold/1" in frozen_since(pairing).message


def test_the_configuration_s_frozen_layers_are_believed_where_they_fit() -> None:
    """Without slots they are left out, though their shapes would fit as well."""
    cold = tuple(w._replace(is_frozen=True) for w in _weights("cold", [(2,)], is_trained=False))
    model = Block("", (), (Block("a", cold), Block("a", _weights("warm", [(2,)]))))
    pairing = pair(model, [(2,)])
    assert pairing is not None
    assert ([w.name for w in pairing.weights if w], pairing.frozen_since) == (["warm/0"], [])
