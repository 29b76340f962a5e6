"""Running float32 products, as TF1 keeps beta's powers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_inspect.update_rules.running_products import RunningProducts


def _in_turn(base: float, highest: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Powers 1 to `highest`, one multiplication after another."""
    products = [np.float32(base)]
    while len(products) < highest:
        products.append(np.float32(products[-1] * np.float32(base)))
    return np.array(products, np.float32)


_EXPECTED = {base: _in_turn(base, 140_000) for base in (0.9, 0.999, 0.99999)}


@settings(max_examples=60)
@given(st.sampled_from(sorted(_EXPECTED)), st.lists(st.integers(1, 140_000), min_size=1, max_size=6))
def test_powers_are_products_in_turn(base: float, exponents: list[int]) -> None:
    """Whichever exponents are asked for in whichever order, each power is that of one multiplication after another."""
    products = RunningProducts(base)
    assert [products.power(e) for e in exponents] == [float(_EXPECTED[base][e - 1]) for e in exponents]


@settings(max_examples=60)
@given(st.sampled_from(sorted(_EXPECTED)), st.integers(1, 139_000), st.integers(0, 999))
def test_ranges_hold_the_powers_from_the_lowest_to_the_highest(base: float, lowest: int, more: int) -> None:
    """A range has both its ends, wherever it begins."""
    found = RunningProducts(base).between(lowest, lowest + more)
    np.testing.assert_array_equal(found, _EXPECTED[base][lowest - 1 : lowest + more])


def test_a_running_product_is_no_rounded_power() -> None:
    """Each multiplication rounds."""
    base = np.float32(0.999)
    assert RunningProducts(float(base)).power(5001) != np.float32(float(base) ** 5001)


def test_the_power_of_nothing_is_one() -> None:
    """Before any multiplication."""
    assert RunningProducts(0.9).power(0) == 1.0


@pytest.mark.parametrize(("base", "power"), [(1.0, 1.0), (0.0, 0.0), (2.0, np.inf), (np.nan, np.nan)])
def test_exponents_beyond_all_counting_end(base: float, power: float) -> None:
    """A product that multiplication no longer changes is not multiplied on."""
    with np.errstate(over="ignore"):
        np.testing.assert_equal(RunningProducts(base).power(1 << 60), power)
