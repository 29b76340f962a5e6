"""Parameters that have other names in the second checkpoint."""

from __future__ import annotations

from ckpt_inspect.state.renaming import have_same_shapes, pair_parameters, pair_renamed

A = {"dense_3/kernel": (4, 3), "dense_3/bias": (3,), "dense_4/kernel": (4, 3), "dense_4/bias": (3,)}


def test_a_path_before_all_names_is_no_other_name() -> None:
    """`sequential/dense_3/kernel` is `dense_3/kernel`."""
    b = {f"sequential_2/{name}": shape for name, shape in A.items()}
    assert pair_renamed(A, b) == {f"sequential_2/{name}": name for name in A}
    assert pair_renamed(b, A) == {name: f"sequential_2/{name}" for name in A}


def test_numbers_of_layers_pair_by_rank() -> None:
    """Keras counts layers of a kind in a process: 9 and 10 are the third and fourth of another."""
    b = {"dense_10/kernel": (4, 3), "dense_10/bias": (3,), "dense_9/kernel": (4, 3), "dense_9/bias": (3,)}
    pairs = pair_renamed(A, b)
    assert (pairs["dense_9/kernel"], pairs["dense_10/bias"]) == ("dense_3/kernel", "dense_4/bias")


def test_a_first_layer_has_no_number() -> None:
    """`dense` comes before `dense_1`."""
    b = {"dense_1/kernel": (4, 3), "dense/kernel": (4, 3)}
    a = {"dense_7/kernel": (4, 3), "dense_8/kernel": (4, 3)}
    assert pair_renamed(a, b) == {"dense/kernel": "dense_7/kernel", "dense_1/kernel": "dense_8/kernel"}


def test_doubt_pairs_nothing() -> None:
    """Other words, another shape at a place, one parameter more."""
    assert pair_renamed(A, {name.replace("dense", "layer"): shape for name, shape in A.items()}) == {}
    swapped = {"dense_5/kernel": (4, 3), "dense_5/bias": (5,), "dense_6/kernel": (4, 3), "dense_6/bias": (3,)}
    assert pair_renamed(A, swapped) == {}
    crossed = {"dense_3/kernel": (2, 2), "dense_4/kernel": (3, 3)}
    assert pair_renamed(crossed, {"dense_7/kernel": (3, 3), "dense_8/kernel": (2, 2)}) == {}
    assert pair_renamed({}, {}) == {}


def test_same_shapes() -> None:
    """As many of each, in any order."""
    assert have_same_shapes(A, dict(reversed(A.items())))
    assert not have_same_shapes(A, {"x": (4, 3)})
    assert not have_same_shapes({}, {})


def test_names_that_both_have_may_be_of_different_layers() -> None:
    """Keras' counter went on by one: the second's `dense_1` is what the first calls `dense`."""
    a = {"dense/kernel": (3, 3), "dense_1/kernel": (3, 3), "dense_2/kernel": (3, 2)}
    b = {"dense_1/kernel": (3, 3), "dense_2/kernel": (3, 3), "dense_3/kernel": (3, 2)}
    assert pair_parameters(a, b) == {
        "dense_1/kernel": "dense/kernel", "dense_2/kernel": "dense_1/kernel", "dense_3/kernel": "dense_2/kernel",
    }  # fmt: skip
    assert pair_parameters(a, dict(a)) == {}


def test_a_new_head_is_the_only_one_renamed() -> None:
    """What both have under one name stays itself, where the names' ranks say so too."""
    a = {"dense/kernel": (3, 3), "dense_1/kernel": (3, 2)}
    assert pair_parameters(a, {"dense/kernel": (3, 3), "dense_4/kernel": (3, 2)}) == {
        "dense_4/kernel": "dense_1/kernel"
    }
    assert pair_parameters(a, {"dense/kernel": (3, 3), "dense_4/kernel": (3, 7)}) == {}
