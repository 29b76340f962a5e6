"""Turn words of the command line into values, or into one-sentence errors.

Texts need no library to stay texts, and options that aren't given need none either.
Typer turns every word into its parameter's type by pydantic, whose import takes longer than all of ours; nearly all
our parameters are texts. Other types, numbers, still go that way when they are given.
"""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

from typer import Abort, Typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from ckpt_inspect.cli.answering import failed

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

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line: arguments as they are called in the sentences below it."""
        return ["[OPTIONS]", *(p.metavar for p in self.get_params(ctx) if p.param_type_name == "argument")]

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse, as typer does; an option that other programs have is answered with the name that it has here."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # click's NoSuchOption, which typer may bring along under a name of its own
            option = getattr(error, "option_name", "")
            meant = _OTHER_NAMES.get(option)
            if meant is not None and any(meant in parameter.opts for parameter in self.get_params(ctx)):
                error.possibilities = [meant]  # type: ignore[attr-defined]  # that exception has them
            elif takers := _commands_with(option, ctx):
                error.possibilities = ()  # type: ignore[attr-defined]
                error.message = f"{option} can't be given to {ctx.info_name}; give it to {_either(takers)}"  # type: ignore[attr-defined]
            raise


class LateCommands(Mapping[str, Command]):
    """The commands of a group by name, each made when it is looked up: of a run all but one would be made in vain."""

    def __init__(self, functions: Mapping[str, Callable[[], Callable[..., None]]]) -> None:
        """`functions`: return a command's function, with all its parameters, when they are called."""
        self._functions = functions
        self._made: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._made:
            alone = Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            alone.command(name, cls=Command)(self._functions[name]())
            made = get_command(alone)
            assert isinstance(made, Command)
            self._made[name] = made
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


class Group(TyperGroup):
    """The same for what stands before the command; wrong usage is one sentence, like every other error."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters, as typer does."""
        return _lightened(super().get_params(ctx), self.callback)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, as typer does; a path in its place is answered with the command that it needs."""
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            if os.path.lexists(args[0]) or "://" in args[0]:
                from ckpt_inspect.runs.store import SUFFIX

                command = "report" if args[0].endswith(SUFFIX) else "analyze"
                error.message = f"{args[0]}: which command? `ckpt-inspect {command} {shlex.quote(args[0])}`, perhaps"
            elif os.sep in args[0] or "." in args[0]:  # a path, mistyped
                error.message = f"{args[0]}: there is no such file or folder, and no command of that name"
            raise

    def main(self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any) -> Any:  # type: ignore[override]  # further ones by name
        """Run the command line; in standalone mode exit with its code, whatever goes wrong in its words included."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            code = super().main(args, standalone_mode=False, **extra)
        except TyperException as error:
            context = getattr(error, "ctx", None)
            place = "ckpt-inspect" if context is None else context.command_path
            message = f"{error.format_message().rstrip('.')}; `{place} --help` describes all"
            words = sys.argv[1:] if args is None else args
            raise failed(message, error.exit_code, "usage", as_json="--json" in words) from error
        except Abort:
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _commands_with(option: str, ctx: Any) -> list[str]:
    """Return the names of the other commands that have an option."""
    others = {} if ctx.parent is None else ctx.parent.command.commands
    found = [name for name, command in others.items() if any(option in p.opts for p in command.params)]
    return sorted(found, key=lambda name: name != "analyze")


def _either(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _lightened(parameters: Any, command: Any) -> Any:
    for parameter in parameters:
        if not isinstance(parameter.process_value, _Processing):
            parameter.process_value = _Processing(parameter, command)
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = _no_type
    return parameters


def _no_type(ctx: Any) -> str:
    """The type of an argument in a help page: its name says what it is, and Python's name for it nothing."""
    return ""


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
