#!/usr/bin/env python3
"""Run the README's examples and put what comes out into it; tests/test_readme.py holds it against the same.

    python scripts/refresh_readme.py        writes README.md

In a ```console block the lines after `$ ` are commands, and the lines below each are what it prints, with `...` for
a part left out. A ```python block runs as a program; a ```text block right behind it is what it prints. All
run in one scratch folder, in which `fixtures` is the repository's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_EXAMPLE = re.compile(
    r"^```console\n(?P<console>.*?)^```$|^```python\n(?P<python>.*?)^```$(?P<result>\n\n```text\n.*?^```$)?",
    re.M | re.S,
)
_ELIDED = re.compile(r"^\.\.\.\n", re.M)


def refreshed(text: str) -> str:
    """The README with what its examples print today."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "fixtures").symlink_to(ROOT / "fixtures")
        return _EXAMPLE.sub(lambda found: _refreshed_block(found, folder), text)


def _refreshed_block(found: re.Match[str], folder: Path) -> str:
    if found["python"] is not None:
        printed = _output([sys.executable, "-c", found["python"]], folder)
        result = f"\n\n```text\n{printed}```" if found["result"] else ""
        return f"```python\n{found['python']}```{result}"
    lines = []
    for command, before in re.findall(r"^\$ (.*\n)((?:(?!\$ ).*\n)*)", found["console"], re.M):
        printed = _output(["sh", "-c", command], folder)
        lines.append(f"$ {command}{_shortened(printed, before)}")
    return f"```console\n{''.join(lines)}```"


def _output(command: list[str], folder: Path) -> str:
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if "Traceback" in done.stdout:
        raise RuntimeError(f"{command}: {done.stdout}")
    text = re.sub(r"[ \t]+$", "", done.stdout, flags=re.M).strip("\n")
    return f"{text}\n" if text else ""


def _shortened(printed: str, before: str) -> str:
    """What a command prints, without the part that the README leaves out: all but as many lines at both ends."""
    elided = _ELIDED.search(before)
    if elided is None:
        return printed
    head, tail = before.count("\n", 0, elided.start()), before.count("\n", elided.end())
    lines = printed.splitlines(keepends=True)
    return "".join([*lines[:head], elided[0], *lines[len(lines) - tail :]])


if __name__ == "__main__":
    README.write_text(refreshed(README.read_text(encoding="utf-8")), encoding="utf-8")
