"""The manual page, out of the texts that `--help` prints; `scripts/write_man_page.py` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from ckpt_inspect._version import __version__
from ckpt_inspect.cli.app import app
from ckpt_inspect.cli.usage import HELP


def man_page() -> str:
    """Return the page in the macros of man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    sections = _sections(HELP)
    group: Any = get_command(app)
    yield f'.TH CKPT-INSPECT 1 "" "ckpt-inspect {__version__}" "User Commands"'
    yield from (".SH NAME", r"ckpt\-inspect \- effective learning rates out of TensorFlow and Keras checkpoints")
    yield from (".SH SYNOPSIS", r".B ckpt\-inspect", r".I COMMAND \fR[\fIOPTIONS\fR] \fIPATH\fR...")
    yield ".SH DESCRIPTION"
    yield from map(_escaped, sections[""])
    yield ".SH COMMANDS"
    for name, command in group.commands.items():
        yield from _command(name, command, command.make_context(name, [], resilient_parsing=True, parent=None))
    yield ".SH EXIT STATUS"
    yield from _verbatim(sections["Exit status"])
    yield from (".SH ENVIRONMENT", ".TP", ".B NO_COLOR", "Set to anything: no colours on a terminal.")
    yield ".SH EXAMPLES"
    yield from _verbatim(sections["Examples"])
    yield from (
        ".SH SEE ALSO",
        r"\fBckpt\-inspect explain\fR lists every figure and finding, and the pages of the guide.",
    )


def _sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each section by its heading; of the one that stands first, below the usage, by none."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in text.splitlines()[1:]:
        if line and not line.startswith(" "):
            heading = line.rstrip(":").partition(" (")[0]
            found[heading] = []
        elif line.strip():
            found[heading].append(line[2:])
    return found


def _command(name: str, command: Any, context: Any) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS] ", "")
    yield f".SS {_escaped(name)} {_escaped(pieces)}"
    for paragraph in re.split(r"\n\s*\n", command.help):
        yield from (".PP", _escaped(" ".join(paragraph.split())))
    for parameter in command.get_params(context):
        if parameter.name == "help":
            continue
        heading, text = parameter.get_help_record(context)
        yield from (".TP", f".B {_escaped(heading)}", _escaped(text))


def _verbatim(lines: list[str]) -> Iterator[str]:
    yield ".nf"
    yield from map(_escaped, lines)
    yield ".fi"


def _escaped(text: str) -> str:
    """Return text that roff sets as it is: no hyphen that becomes another dash, no line that is a request."""
    plain = (
        text.replace("\\", r"\e").replace("-", r"\-").replace("√", r"\[sr]").replace("·", r"\(pc").replace("×", r"\(mu")
    )
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain
