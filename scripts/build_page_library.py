#!/usr/bin/env python3
"""Bundle the parts of D3 that the page's charts use into one script: needs node and npm, and the network.

    scripts/build_page_library.py          # writes ckpt_inspect/presentation/page/assets/d3.js

Every package is pinned below, so that the same versions give the same bytes. After a change of a version or of what is
exported, run it and commit the result; the header of the script that it writes says what is inside.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "ckpt_inspect/presentation/page/assets/d3.js"
ESBUILD = "0.28.2"
PACKAGES = {
    "d3-array": "3.2.5",
    "d3-axis": "3.0.1",
    "d3-color": "3.1.1",
    "d3-format": "3.1.3",
    "d3-interpolate": "3.0.2",
    "d3-path": "3.1.1",
    "d3-scale": "4.0.3",
    "d3-selection": "3.0.1",
    "d3-shape": "3.2.1",
    "d3-time": "3.1.1",
    "d3-time-format": "4.1.1",
    "internmap": "2.0.3",
}
ENTRY = """
export { scaleLinear, scaleLog } from "d3-scale";
export { area, curveMonotoneX, line } from "d3-shape";
export { axisBottom, axisLeft } from "d3-axis";
export { create, pointer, select } from "d3-selection";
"""


def main() -> None:
    """Install the packages into a temporary folder, bundle them there, and write the script with its licences."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package = {"private": True, "dependencies": PACKAGES, "devDependencies": {"esbuild": ESBUILD}}
        (folder / "package.json").write_text(json.dumps(package), encoding="utf-8")
        (folder / "entry.js").write_text(ENTRY, encoding="utf-8")
        subprocess.run(["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts"], cwd=folder, check=True)
        subprocess.run(
            [
                "node_modules/.bin/esbuild", "entry.js", "--bundle", "--minify", "--format=iife", "--global-name=d3",
                "--target=es2020", "--legal-comments=none", "--line-limit=120", "--charset=ascii", "--outfile=d3.js",
            ],
            cwd=folder, check=True,
        )  # fmt: skip
        TARGET.write_text(_header(folder) + (folder / "d3.js").read_text(encoding="utf-8"), encoding="utf-8")


def _header(folder: Path) -> str:
    """A comment with every package's version and licence, as they lie in the packages themselves."""
    holders: dict[str, list[str]] = {}
    licences: dict[str, None] = {}
    for package, version in PACKAGES.items():
        text = (folder / "node_modules" / package / "LICENSE").read_text(encoding="utf-8").strip()
        holder, _, licence = text.partition("\n")
        holders.setdefault(holder, []).append(f"{package} {version}")
        licences[licence.strip()] = None
    parts = [f"{', '.join(names)}\n{holder}" for holder, names in holders.items()]
    title = "Parts of D3 (https://d3js.org), bundled by scripts/build_page_library.py."
    return "/*\n" + "\n\n".join([title, *parts, *licences]) + "\n*/\n"


if __name__ == "__main__":
    main()
