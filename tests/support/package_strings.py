"""Strings of the package's code that name a rule or an implementation outside the room that they belong to.

`PYTHONPATH=. python tests/support/package_strings.py [FOLDER]` lists and counts them, of any version of the package.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from ckpt_inspect.update_rules import IMPLEMENTATIONS, OPTIMIZERS

PACKAGE = Path(__file__).parents[2] / "ckpt_inspect"
ROOM = "update_rules"
RULE_NAMES = frozenset(o.name for o in OPTIMIZERS)
IMPLEMENTATION_IDS = frozenset(i.id for i in IMPLEMENTATIONS)


def trees(package: Path = PACKAGE) -> Iterator[tuple[Path, ast.Module]]:
    """Every module outside the rules' room: its path within the package, and its code."""
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package)
        if place.parts[0] != ROOM:
            yield place, ast.parse(file.read_text(encoding="utf-8"))


def strings_outside(names: Collection[str], package: Path = PACKAGE) -> list[tuple[str, int, str]]:
    """(file, line, string) of each string constant that is one of these names."""
    return [
        (str(file), node.lineno, node.value)
        for file, tree in trees(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    for title, names in (("rule names", RULE_NAMES), ("implementation ids", IMPLEMENTATION_IDS)):
        found = strings_outside(names, folder)
        lines = [f"{file}:{line}: {value}" for file, line, value in found]
        sys.stdout.write("\n".join([*lines, f"{len(found)} {title} outside {ROOM}/", ""]))
