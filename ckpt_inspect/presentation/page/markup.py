"""HTML by construction: whatever is not made here is text, and is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from ckpt_inspect.presentation.shown_names import printable

_VOID = frozenset({"br", "col", "img", "input", "link", "meta", "wbr"})
"""Elements that have no end."""


class Html(str):
    """Markup, as `element` made it; any other string is text."""

    __slots__ = ()


Content = str | Html | None | Iterable["Content"]
"""What may stand inside an element; None is nothing."""


def element(name: str, /, *content: Content, **attributes: str | int | bool | None) -> Html:
    """Return `<name attributes>content</name>`.

    Of attributes' names a trailing `_` is dropped (`class_`), others become `-`; of their values True is no value at
    all, None and False leave the attribute out.
    """
    start = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{start}>")
    return Html(f"<{start}>{joined(content)}</{name}>")


def joined(content: Content) -> Html:
    """Return pieces one after the other, texts escaped."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escaped(content))
    return Html("".join(joined(piece) for piece in content))


def escaped(text: str) -> str:
    """Return the text so that a browser shows it as it is; what can't be shown is made visible, see `printable`."""
    return html.escape(printable(text))


def _attribute(name: str, value: str | int | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(str(value))}"'
