"""Texts of the command line need no library to stay texts, and options that aren't given need none either.

Typer turns every word into its parameter's type by pydantic, whose import takes longer than all of ours; nearly all
our parameters are texts. Other types, numbers, still go that way when they are given.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

_TEXTS = (str, str | None, list[str], list[str] | None)

_OTHER_NAMES = {
    "--lr": "--learning-rate",
    "--rate": "--learning-rate",
    "--beta1": "--beta-1",
    "--b1": "--beta-1",
    "--beta2": "--beta-2",
    "--b2": "--beta-2",
    "--eps": "--epsilon",
    "--wd": "--weight-decay",
    "--decay": "--weight-decay",
    "--iterations": "--step",
    "--steps": "--step",
    "--optimizer": "--rule",
    "--out": "--output",
}
"""Options by the names that other programs give them, and what they are called here."""


class Command(TyperCommand):
    """A command that takes its texts as they are."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, as typer does."""
        return _lightened(super().get_params(ctx), self.callback)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse, as typer does; an option that other programs have is answered with the name that it has here."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # click's NoSuchOption, which typer may bring along under a name of its own
            meant = _OTHER_NAMES.get(getattr(error, "option_name", ""))
            if meant is not None and any(meant in parameter.opts for parameter in self.get_params(ctx)):
                error.possibilities = [meant]  # type: ignore[attr-defined]  # that exception has them
            raise


class Group(TyperGroup):
    """The same for what stands before the command."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, as typer does."""
        return _lightened(super().get_params(ctx), self.callback)


def _lightened(parameters: Any, command: Any) -> Any:
    for parameter in parameters:
        if not isinstance(parameter.process_value, _Processing):
            parameter.process_value = _Processing(parameter, command)
    return parameters


class _Processing:
    """Stands before `process_value` of one parameter, click's hook between a word and the value that a command gets."""

    def __init__(self, parameter: Any, command: Any) -> None:
        self._parameter = parameter
        self._command = command
        self._process = parameter.process_value

    def __call__(self, ctx: Any, value: Any) -> Any:
        """Return the value as the command gets it; what is missing, or given and not a text, is left to typer."""
        parameter = self._parameter
        if parameter.required and parameter.value_is_missing(value):
            return self._process(ctx, value)
        is_list = parameter.multiple or parameter.nargs == -1
        if value is None:
            value = () if is_list else None
        elif self._is_text() and isinstance(value, str) is not is_list:
            value = list(value) if is_list else value
        else:
            return self._process(ctx, value)
        return value if parameter.callback is None else parameter.callback(ctx, parameter, value)

    def _is_text(self) -> bool:
        """Whether the command's own signature says so."""
        signed = inspect.signature(self._command).parameters.get(self._parameter.name)
        annotation = None if signed is None else signed.annotation
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        return annotation in _TEXTS
