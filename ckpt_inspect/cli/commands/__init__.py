"""The commands, each in a module of its own: parse, call, print, exit code.

A new one is a module here with a function of the module's name, and a line in `COMMANDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

COMMANDS = ("show", "diff", "check", "analyze", "explain", "report", "export")
"""In the order of the help."""


def load_command(name: str) -> Callable[..., None]:
    """Return a command's function, with its options; the modules of the others aren't imported."""
    function: Callable[..., None] = getattr(import_module(f"{__name__}.{name}"), name)
    return function
