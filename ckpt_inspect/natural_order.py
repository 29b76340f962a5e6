"""The order in which a person counts: `vars/2` before `vars/10`."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(\d{1,4000})")
"""Longer ones are cut: Python refuses to make a number of more than 4,300 digits."""


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], ...]:
    """Return a sort key that compares path components one by one, and digits in them by value."""
    return tuple(
        tuple((0, int(part)) if part.isdecimal() else (1, part) for part in _NUMBER.split(component) if part)
        for component in name.split("/")
    )
