"""Which elements of a run's tensors are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from ckpt_inspect.comparison.element_choice import BLOCK, Choice, choose


@pytest.mark.parametrize("size", [0, 1, 5, BLOCK, BLOCK + 1, 3 * BLOCK + 7, 40 * BLOCK, 1_000_003])
def test_every_element_is_chosen_once_if_all_are(size: int) -> None:
    """Whatever the size, the order is one of all elements."""
    assert sorted(Choice(size, size).indices().tolist()) == list(range(size))


@pytest.mark.parametrize("size", [BLOCK + 1, 40 * BLOCK, 1_000_003])
def test_a_smaller_choice_is_the_beginning_of_a_larger_one(size: int) -> None:
    """So that stores that kept fewer can be compared with files."""
    whole = Choice(size, size).indices()
    for count in (0, 1, 700, BLOCK, BLOCK + 1):
        np.testing.assert_array_equal(Choice(size, count).indices(), whole[:count])


def test_a_few_blocks_are_spread_over_the_tensor() -> None:
    """Ten blocks of a tensor of a thousand leave no tenth of it far from one."""
    blocks = np.sort(Choice(1000 * BLOCK, 10 * BLOCK).indices()[::BLOCK] // BLOCK)
    assert np.diff(np.concatenate([[0], blocks, [1000]])).max() < 250


def test_small_tensors_are_whole_and_large_ones_share_the_rest() -> None:
    """The largest tensor gets the most, and all together about the budget."""
    sizes = {"bias": 100, "kernel": 1_000_000, "embedding": 30_000_000, **{f"k{i}": 600_000 for i in range(50)}}
    chosen = choose(sizes, 1 << 20)
    assert chosen["bias"].count == 100
    assert max(chosen.values(), key=lambda choice: choice.count) == chosen["embedding"]
    assert (1 << 20) * 0.9 < sum(choice.count for choice in chosen.values()) <= 1 << 20
    assert choose({"a": 5, "b": 2000}) == {"a": Choice(5, 5), "b": Choice(2000, 2000)}
