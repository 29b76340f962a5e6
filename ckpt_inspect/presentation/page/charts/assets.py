"""The script and the style that draw charts, as the page holds them."""

from __future__ import annotations

from importlib.resources import files

_PARTS = ("values", "choices", "elements", "lines", "frames", "rows", "tables", "charts")
"""In this order: each uses what stands above it."""


def chart_script() -> str:
    """Return the library and the script, as one script without a name of its own but the library's."""
    folder = files("ckpt_inspect.presentation.page") / "assets"
    parts = [(folder / "charts" / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS]
    library = (folder / "d3.js").read_text(encoding="utf-8")
    return "\n".join([library, '(() => {\n"use strict";', *parts, "})();"])


def chart_style() -> str:
    """Return the charts' rules, which use the page's colours."""
    return (files("ckpt_inspect.presentation.page") / "assets" / "charts.css").read_text(encoding="utf-8")
