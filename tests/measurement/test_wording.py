"""Numbers, shares and counts as a person reads them."""

from __future__ import annotations

import math

import pytest

from ckpt_inspect.measurement.wording import counted, figure, percent, setting, whole


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"), (1e-6, "<0.1 %"), (0.004, "0.4 %"), (0.0249, "2.49 %"), (0.0625, "6.25 %"), (0.5, "50 %"),
        (0.9999, ">99.9 %"), (1.0, "100 %"), (math.nan, "-"),
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
    assert [counted(n, "file") for n in (0, 1, 3, 1280)] == ["0 files", "1 file", "3 files", "1,280 files"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.01234, "0.0123"), (18.8, "18.8"), (1.82e-4, "0.000182"),
        (9.9996e-5, "0.0001"), (9.994e-5, "9.99·10⁻⁵"), (1e-9, "10⁻⁹"), (-2.5e-9, "-2.5·10⁻⁹"), (123456.0, "123,000"),
        (999_999.0, "10⁶"), (4.57e7, "4.57·10⁷"), (math.nan, "-"), (math.inf, "∞"), (-math.inf, "-∞"),
    ],
)  # fmt: skip
def test_figure(value: float, text: str) -> None:
    """Three digits, whatever the magnitude; what rounds up to the next one is written as that."""
    assert figure(value) == text


def test_settings_and_counts_keep_their_digits() -> None:
    """What a person chose is not rounded to three digits, and no count is."""
    assert [setting(x) for x in (0.98765, 1e-7, 12345.0)] == ["0.98765", "10⁻⁷", "12,345"]
    assert [whole(x) for x in (0, 1280, 123456.0, math.nan)] == ["0", "1,280", "123,456", "-"]
