"""The order in which a person counts."""

from __future__ import annotations

from ckpt_inspect.natural_order import natural_key


def test_digits_count_by_value_however_many() -> None:
    """Also more than Python makes a number of."""
    names = ["vars/2", "vars/10", "vars/a", "w" + "1" * 5000, "w" + "2" * 5000, "w" + "1" * 5001]
    assert sorted(set(names), key=natural_key) == names
    assert natural_key("a/007") == natural_key("a/7")
