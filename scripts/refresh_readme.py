#!/usr/bin/env python3
"""Run the examples of the README and of the guide's pages, and put what they print into them; tests/test_readme.py
compares them with the same.

    python scripts/refresh_readme.py        writes README.md and ckpt_inspect/presentation/guide/*.md

In a ```console block the lines after `$ ` are commands, and the lines below each are what it prints, with `...` for
a part left out. A ```python block runs as a program; a ```text block right behind it is what it prints. All of one page
run in one scratch folder, in which `fixtures` is the repository's. The ```text block below `<!-- picture -->` is drawn
here: neither a relative path nor an embedded image reaches a reader on a package index, characters do.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "ckpt_inspect" / "presentation" / "guide").glob("*.md")))
_EXAMPLE = re.compile(
    r"^```console\n(?P<console>.*?)^```$|^```python\n(?P<python>.*?)^```$(?P<result>\n\n```text\n.*?^```$)?",
    re.M | re.S,
)
_ELIDED = re.compile(r"^\.\.\.\n", re.M)
_PICTURE = re.compile(r"(?<=^<!-- picture -->\n\n```text\n).*?(?=^```$)", re.M | re.S)


def refreshed(text: str) -> str:
    """Return a page with what its examples print today."""
    text = _PICTURE.sub(lambda _: picture(), text)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "fixtures").symlink_to(ROOT / "fixtures")
        return _EXAMPLE.sub(lambda found: _refreshed_block(found, folder), text)


def picture() -> str:
    """Draw how E is spread within each parameter of the last checkpoint of fixtures/digits, a row for each."""
    import ckpt_inspect

    frame = ckpt_inspect.analyze(ROOT / "fixtures" / "digits").to_frame()
    newest = frame[frame["checkpoint_index"] == frame["checkpoint_index"].max()]
    lowest, width, name_width = -3.5, 9, 14  # the axis' left end as a power of ten, columns for each, columns of names

    def column(value: float) -> int:
        return round((math.log10(value) - lowest) * width)

    lines = [" " * name_width]
    for power in range(-3, 4):
        lines[0] = lines[0].ljust(name_width + column(10.0**power)) + f"{10.0**power:g}"
    for row in newest.to_dict("records"):
        q = {level: column(row[f"effective_lr_{level}"]) for level in ("q05", "q25", "median", "q75", "q95")}
        cells = [" "] * (1 + max(q["q95"], column(row["learning_rate"])))
        cells[q["q05"] : q["q95"] + 1] = "─" * (q["q95"] + 1 - q["q05"])
        cells[q["q25"] : q["q75"] + 1] = "━" * (q["q75"] + 1 - q["q25"])
        cells[q["median"]] = "●"
        cells[column(row["learning_rate"])] = "α"
        lines.append(row["parameter"].ljust(name_width) + "".join(cells))
    return "\n".join(lines) + "\n"


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
    """Return what a command prints without the part that the page leaves out: as many lines at both ends as there."""
    elided = _ELIDED.search(before)
    if elided is None:
        return printed
    head, tail = before.count("\n", 0, elided.start()), before.count("\n", elided.end())
    lines = printed.splitlines(keepends=True)
    return "".join([*lines[:head], elided[0], *lines[len(lines) - tail :]])


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
