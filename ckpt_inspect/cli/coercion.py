"""What the command line's words need no library for: options that aren't given, and texts that stay texts.

Typer turns every word into its parameter's type by pydantic, whose import takes longer than all of ours; nearly all
of our parameters are texts. Other types, numbers, still go that way when they are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

_TEXTS = (str, list[str])


class Command(TyperCommand):
    """A command whose texts are taken as they are."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's."""
        _coerce_lightly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """The same for what stands before the command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's."""
        _coerce_lightly(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _coerce_lightly(params: Iterable[Any]) -> None:
    """Set our coercion before typer builds its own; where a typer has no such place, that is idle."""
    for param in params:
        param._runtime_param = _Coercion(param)


class _Coercion:
    """Stands in for typer's `RuntimeParam` of one parameter."""

    def __init__(self, param: Any) -> None:
        self._annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as the command gets it."""
        is_list = param.multiple or param.nargs == -1
        if value is None:
            return () if is_list else None
        if self._annotation in _TEXTS and not (is_list and isinstance(value, str)):
            return list(value) if is_list else value
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)
