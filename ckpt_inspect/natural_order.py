"""The order in which a person counts: `vars/2` before `vars/10`."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(\d+)")


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Return a sort key that compares path components one by one, and digits in them by value."""
    return tuple(tuple(_part_key(part) for part in _NUMBER.split(component) if part) for component in name.split("/"))


def _part_key(part: str) -> tuple[int, int, str]:
    """Return a key of digits, however many, or of what stands between them, which comes after any digits."""
    if not part.isdecimal():
        return (1, 0, part)
    ascii_digits = part if part.isascii() else "".join(str(int(digit)) for digit in part)  # of any script
    digits = ascii_digits.lstrip("0")
    return (0, len(digits), digits)
