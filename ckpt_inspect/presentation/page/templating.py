"""Jinja2 templates to HTML: whatever is not a template's own markup is text, and is escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from ckpt_inspect.jsonable import JsonValue, jsonable
from ckpt_inspect.measurement.wording import counted, figure, heading_name, percent, setting, spoken_name, whole
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.presentation.tables.wording import ratio_text

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = "ckpt_inspect.presentation.page"


def rendered(template: str, **context: object) -> str:
    """Return a template of `templates/` filled in. Raises jinja2's UndefinedError if it names what isn't there."""
    return environment().get_template(template).render(context)


@functools.cache
def environment() -> Environment:
    """Return what knows the templates, and the filters that they use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    made.filters.update(
        base64=lambda content: base64.b64encode(content).decode("ascii"),
        counted=counted,
        digest=_digest,
        figure=figure,
        setting=setting,
        whole=whole,
        heading_name=heading_name,
        percent=percent,
        pieces=_pieces,
        ratio=ratio_text,
        spoken_name=spoken_name,
        sentence=lambda text: text if not text or text.endswith((".", "!", "?")) else f"{text}.",
    )
    made.globals.update(asset=_asset, chart_script=_chart_script)
    made.policies["json.dumps_function"] = _json
    return made


def _shown(value: object) -> object:
    """A text so that a browser shows it as it is; what can't be shown is made visible, see `printable`."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _pieces(name: str, marks: str = "/._") -> list[str]:
    """A name in the pieces between which a line may be broken: behind any of these marks."""
    return re.split(f"(?<=[{re.escape(marks)}])", name)


def _asset(name: str) -> str:
    return (files(_PACKAGE) / "assets" / name).read_text(encoding="utf-8")


@functools.cache
def _chart_script() -> str:
    """The library and what draws charts with it, as one script that leaves no other name than the library's."""
    parts = [_asset(f"charts/{part}.js") for part in _CHART_PARTS]
    return "\n".join([_asset("d3.js"), '(() => {\n"use strict";', *parts, "})();"])


_CHART_PARTS = ("values", "choices", "elements", "lines", "frames", "rows", "tables", "charts")
"""In this order: each uses what stands above it."""


def _digest(text: str) -> str:
    """What a content security policy knows an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _json(value: object, **_: object) -> str:
    """The value as JSON in few bytes, its texts as a browser may show them; jinja2 escapes what could end a script."""
    return json.dumps(_printable(jsonable(value)), separators=(",", ":"), allow_nan=False)


def _printable(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(name): _printable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return value
