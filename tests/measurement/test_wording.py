"""Shares and counts as a person reads them."""

from __future__ import annotations

import math

import pytest

from ckpt_inspect.measurement.wording import counted, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"), (1e-6, "<0.1 %"), (0.004, "0.4 %"), (0.0249, "2.49 %"),
        (0.0625, "6.25 %"), (0.5, "50 %"), (0.9999, ">99.9 %"), (1.0, "100 %"),
        (math.nan, "-"),
    ],
)  # fmt: skip
def test_share(share: float, text: str) -> None:
    """Almost none is not none, and almost all is not all."""
    assert percent(share) == text


def test_unknown_share_is_what_the_place_says() -> None:
    """A page and a table have different dashes."""
    assert percent(math.nan, nothing="\N{EN DASH}") == "\N{EN DASH}"


def test_one_is_no_plural() -> None:
    """Of one thing the noun stands alone."""
    assert [counted(n, "file") for n in (0, 1, 3)] == ["0 files", "1 file", "3 files"]
