"""The README and the guide's pages: their examples run, and their tables name all that there is."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

import ckpt_inspect
from ckpt_inspect.cli.app import app
from ckpt_inspect.cli.usage import HELP
from ckpt_inspect.formats import FORMATS
from ckpt_inspect.presentation.guide import TOPICS
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS
from ckpt_inspect.update_rules import RULES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ckpt_inspect"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {topic.name: topic.text() for topic in TOPICS}
READING_MATTER = {"README": README, **PAGES}
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


@pytest.mark.parametrize(
    "page", [name for name, text in READING_MATTER.items() if re.search("```(console|python)", text)]
)
def test_examples_print_what_the_page_says(page: str) -> None:
    """Every command and program, run anew; scripts/refresh_readme.py puts a new outcome in."""
    assert _words(_refresh().refreshed(READING_MATTER[page])) == _words(READING_MATTER[page])


def test_every_page_is_refreshed() -> None:
    """The script that runs the examples knows the README and every page."""
    assert {path.stem for path in _refresh().PAGES} == set(READING_MATTER)


def test_the_readme_is_short() -> None:
    """What is longer goes into a page."""
    assert len(README.splitlines()) <= 250


def test_the_readme_is_whole_on_an_index() -> None:
    """A package index shows the README alone: nothing in it is linked or drawn by a relative path."""
    assert re.findall(r"\]\((?!https://)|<img|\]\(data:", README) == []
    assert "<!-- picture -->" in README


def test_the_readme_leads_to_every_page() -> None:
    """With the command that prints it, and its title."""
    rows = dict(re.findall(r"^\| `ckpt-inspect explain ([\w-]+)` \| (.+) \|$", README, re.MULTILINE))
    assert rows == {topic.name: topic.title[:1].lower() + topic.title[1:] for topic in TOPICS}


def test_the_first_page_of_help_is_in_the_guide() -> None:
    """Word for word."""
    assert HELP in PAGES["command-line"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown(name: str) -> None:
    """Each command is shown in use, in the README and on a page, and each of its options is named."""
    text = "\n".join(READING_MATTER.values())
    for shown in (README, "\n".join(PAGES.values())):
        assert re.search(rf"^\$ ckpt-inspect {name} ", shown, re.MULTILINE), f"no example of {name}"
    named = set(re.findall(r"--?[a-z][\w-]*", text))
    options = [p.opts for p in COMMANDS[name].params if p.param_type_name == "option"]
    assert [opts for opts in options if not named & {*opts}] == []


def _rows(page: str, heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this heading."""
    table = PAGES[page].split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    for line in table.splitlines()[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _first_cells(page: str, heading: str) -> str:
    return " ".join(row[0] for row in _rows(page, heading))


def test_every_format_has_a_row() -> None:
    """The table of formats names each one once, and no other."""
    assert sorted(re.findall(r"`([\w-]+)`", _first_cells("formats", "format"))) == sorted(
        {name for known in FORMATS for name in known.names}
    )


def test_every_layout_has_a_row() -> None:
    """The table of layouts names each one once, and no other."""
    folder = PACKAGE / "layouts"
    layouts = {name for file in folder.glob("*.py") for name in LAYOUT_NAMES.findall(file.read_text(encoding="utf-8"))}
    assert sorted(re.findall(r"`([\w-]+)`", _first_cells("layouts", "layout"))) == sorted(layouts)


def test_every_rule_has_a_row() -> None:
    """The table of rules names each one once, and no other."""
    assert sorted(re.findall(r"`([\w-]+)`", _first_cells("formulas", "rule"))) == sorted(rule.name for rule in RULES)


def test_every_source_is_explained() -> None:
    """So is each name under which a hyperparameter is resolved."""
    sources = {"checkpoint", "config", "graph", "inferred", "given", "default", "unknown"}
    assert set(re.findall(r"`(\w+)`", _first_cells("sources", "source"))) == sources
    assert all(f"`{name}`" in PAGES["sources"] for name in HYPERPARAMETERS)


def test_every_public_function_has_a_row() -> None:
    """The page on Python names each function of the package once, and no other."""
    functions = [n for n in ckpt_inspect.__all__ if n.islower() and callable(getattr(ckpt_inspect, n))]
    assert sorted(re.findall(r"`(\w+)\(", _first_cells("python", "call"))) == sorted(functions)


@pytest.mark.parametrize("page", READING_MATTER)
def test_what_is_named_is_there(page: str) -> None:
    """Every file and folder of the repository that a page names."""
    text = READING_MATTER[page]
    named = re.findall(r"`((?:scripts|fixtures|tests|ckpt_inspect|\.ci)/[\w./-]*)`", text)
    assert [name for name in named if not os.path.lexists(ROOT / name)] == []


def test_additions_go_where_the_page_says() -> None:
    """Its table names files and folders below the package, and tuples that are in these files."""
    rows = list(_rows("adding", "to add"))
    for _, what, where in rows:
        names = re.findall(r"`([\w/.]+/(?:\w+\.py)?)`", f"{what} {where}")
        assert [name for name in names if not (PACKAGE / name).exists()] == []
        for tuple_name in re.findall(r"`([A-Z]{4,})`", where):
            (folder,) = re.findall(r"`([\w/]+/)`", what) or [""]
            (file,) = re.findall(rf"`{tuple_name}` in `([\w/]+\.py)`", where) or [f"{folder}__init__.py"]
            assert re.search(rf"^{tuple_name}\b", (PACKAGE / file).read_text(encoding="utf-8"), re.MULTILINE), (
                tuple_name
            )
    registries = {
        "FORMATS",
        "LAYOUTS",
        "RULES",
        "SCHEDULES",
        "METRICS",
        "CHECKS",
        "KINDS",
        "QUESTIONS",
        "TARGETS",
        "TOPICS",
    }
    assert registries <= {name for row in rows for name in re.findall(r"`([A-Z]{4,})`", row[2])}
