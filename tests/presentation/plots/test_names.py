"""Labels: names made short enough to be read, and many parameters gathered by the model's structure."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.frames_for_plots import parameter_names

from ckpt_inspect.presentation.figures.names import group_by_structure, shared_prefix, short_labels, shorten

NAMES = st.lists(
    st.lists(st.sampled_from(["block", "block_1", "conv2d", "dense_12", "kernel", "bias", "x" * 30, ""]), min_size=1)
    .map("/".join)
    .filter(bool),
    min_size=1,
    max_size=60,
    unique=True,
)


@given(NAMES, st.integers(12, 40))
def test_labels_are_unique_and_short(names: list[str], width: int) -> None:
    """Whatever the names, no two labels are alike and none is longer than asked."""
    labels = short_labels(names, width)
    assert len(set(labels)) == len(names)
    assert max(map(len, labels)) <= width


@given(NAMES, st.integers(2, 24), st.integers(16, 40))
@example(["block", "block/block", "/block", "block_1", "conv2d"], 4, 16)  # a group of two beside a second `block`
def test_groups_hold_every_name_once(names: list[str], limit: int, width: int) -> None:
    """Groups are at most as many as asked, hold each name once, and have labels of their own."""
    groups = group_by_structure(names, limit, width)
    assert len(groups) <= limit
    assert sorted(member for group in groups for member in group.members) == list(range(len(names)))
    assert len({group.label for group in groups}) == len(groups)
    assert max(len(group.label) for group in groups) <= width


def test_names_that_differ_in_empty_components_alone_are_gathered() -> None:
    """However deep their paths are, no level tells them apart."""
    names = ["a", "a/", "a//", "b/c", "b/c/"]
    assert [group.members for group in group_by_structure(names, 2)] == [(0, 1, 2), (3, 4)]


def test_short_names_stay_as_they_are() -> None:
    """Names that fit are not touched."""
    assert short_labels(["dense/kernel", "dense_1/kernel"]) == ("dense/kernel", "dense_1/kernel")


def test_shared_prefix_is_left_out() -> None:
    """Path components that all share say nothing; the layer's name stays."""
    assert shared_prefix(["model/a/kernel", "model/a/bias"]) == "model/"
    assert short_labels(["model/a/kernel", "model/a/bias"]) == ("a/kernel", "a/bias")
    assert short_labels(["model/a/kernel"]) == ("model/a/kernel",)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("encoder/layer_3/attention/self/query/kernel", "…/layer_3/…/kernel"),
        ("a_layer_of_an_endless_name/kernel", "a_layer_…name/kernel"),
    ],
)
def test_ellipses_replace_whole_components_first(name: str, label: str) -> None:
    """The end of a path is kept in whole components; letters go only where components are too long."""
    assert shorten(name, 20) == label


def test_names_that_become_equal_keep_what_differs() -> None:
    """Of two layers' kernels the layers are kept."""
    names = [f"encoder/layer_{i}/attention/self/query/kernel" for i in (3, 4)]
    assert short_labels(["decoder/x", *names], 24)[1:] == ("…/layer_3/…/query/kernel", "…/layer_4/…/query/kernel")


def test_transformers_are_grouped_by_block() -> None:
    """Of two hundred parameters the blocks become groups, the others stand for themselves."""
    labels = [group.label for group in group_by_structure(parameter_names(200), 24)]
    assert [f"encoder/layer_{i} (16)" for i in range(12)] == [label for label in labels if label.endswith("(16)")]
    assert labels[0] == "embeddings/word_embeddings"
    assert labels[-1] == "pooler/dense (2)"


def test_numbered_layers_are_cut_into_runs() -> None:
    """A flat model of too many layers is shown in runs of neighbours."""
    names = [f"dense_{i}/{kind}" for i in range(100) for kind in ("kernel", "bias")]
    groups = group_by_structure(names, 10)
    assert [group.label for group in groups[:2]] == ["dense_0–dense_9 (20)", "dense_10–dense_19 (20)"]
    assert len(groups) == 10


def test_a_run_of_one_branch_is_that_branch() -> None:
    """Where neighbours don't divide evenly, the one that is left over is called by its own name."""
    names = [f"encoder/layer_{i}/{part}/kernel" for i in range(25) for part in ("query", "key")]
    labels = [group.label for group in group_by_structure(names, 13)]
    assert labels[0] == "layer_0–layer_1 (4)"
    assert labels[-1] == "layer_24 (2)"


def test_unnumbered_layer_is_a_layer_beside_numbered_ones() -> None:
    """Keras calls the first layer of a class `dense`, the second `dense_1`."""
    names = [f"dense{number}/{kind}" for number in ("", "_1", "_2") for kind in ("kernel", "bias")]
    assert [group.label for group in group_by_structure(names, 3)] == ["dense (2)", "dense_1 (2)", "dense_2 (2)"]
