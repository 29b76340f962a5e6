"""The README's examples run, and its tables name all that there is."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from ckpt_inspect.cli.commands import app
from ckpt_inspect.cli.usage import HELP
from ckpt_inspect.formats import FORMATS
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS
from ckpt_inspect.update_rules import RULES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
LAYOUT_NAMES = re.compile(r'^LAYOUT\w* = "([\w-]+)"', re.MULTILINE)

_NUMBER = re.compile(r"[<×+-]?\d[\d.,]*(?:e[+-]?\d+)?")
_SPARKS = re.compile("[▁▂▃▄▅▆▇█]+")


def _refresh() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh_readme", ROOT / "scripts" / "refresh_readme.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _words(text: str) -> list[str]:
    """Its lines, without what may differ by a digit from machine to machine."""
    return [" ".join(_SPARKS.sub("~", _NUMBER.sub("#", line)).split()) for line in text.splitlines()]


def test_examples_print_what_the_readme_says() -> None:
    """Every command and program of the README, run anew; scripts/refresh_readme.py puts a new outcome in."""
    assert _words(_refresh().refreshed(README)) == _words(README)


def test_the_first_page_of_help_is_in_the_readme() -> None:
    """Word for word."""
    assert HELP in README


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    """Each command is shown in use, and each of its options is named."""
    assert re.search(rf"^\$ ckpt-inspect {name} ", README, re.MULTILINE), f"no example of {name}"
    told = set(re.findall(r"--?[a-z][\w-]*", README))
    options = [p.opts for p in COMMANDS[name].params if p.param_type_name == "option"]
    assert [opts for opts in options if not told & {*opts}] == []


def _rows(heading: str) -> Iterator[str]:
    """The first cells of the table that begins with this heading."""
    table = README.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[2:]:
        yield line.split("|")[1]


def test_every_format_has_a_row() -> None:
    """The table of formats names each one once, and no other."""
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(_rows("format")))) == sorted(
        {name for known in FORMATS for name in known.names}
    )


def test_every_layout_has_a_row() -> None:
    """The table of layouts names each one once, and no other."""
    folder = ROOT / "ckpt_inspect" / "layouts"
    layouts = {name for file in folder.glob("*.py") for name in LAYOUT_NAMES.findall(file.read_text(encoding="utf-8"))}
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(_rows("layout")))) == sorted(layouts)


def test_every_rule_has_a_row() -> None:
    """The table of rules names each one once, and no other."""
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(_rows("rule")))) == sorted(rule.name for rule in RULES)


def test_every_source_is_explained() -> None:
    """So is each name under which a hyperparameter is resolved."""
    sources = {"checkpoint", "config", "graph", "inferred", "given", "default", "unknown"}
    assert set(re.findall(r"`(\w+)`", " ".join(_rows("source")))) == sources
    assert all(f"`{name}`" in README for name in HYPERPARAMETERS)


def test_links_lead_somewhere() -> None:
    """Every file that the README names is there."""
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(
        r"`((?:scripts|fixtures|tests|ckpt_inspect|\.ci)/[\w./-]*)`", README
    )
    assert named
    assert [name for name in named if not os.path.lexists(ROOT / name)] == []
