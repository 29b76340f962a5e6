"""The command line: what stands before the command. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.coercion import Group, LateCommands
from ckpt_inspect.cli.commands import COMMANDS, load_command


class _Group(Group):
    """Prints the hand-written first page, which `__main__` prints as well without coming here."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LateCommands({name: partial(load_command, name) for name in COMMANDS})  # type: ignore[assignment]  # nothing is put into it

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from ckpt_inspect.cli.usage import HELP

        formatter.write(HELP)


app = typer.Typer(
    cls=_Group, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


def _print_version(wanted: bool) -> None:
    if wanted:
        from ckpt_inspect._version import __version__

        typer.echo(f"ckpt-inspect {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option("-V", "--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Effective learning rates, reconstructed from TensorFlow and Keras checkpoints."""


def main() -> None:
    """Run the command line and exit."""
    if any(word.endswith("-completion") for word in sys.argv[1:2]):
        completions.answer_first_tab_of_zsh()
    app(prog_name="ckpt-inspect")
