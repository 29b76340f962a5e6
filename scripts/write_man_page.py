#!/usr/bin/env python3
"""Write the manual page anew, ckpt_inspect/cli/ckpt-inspect.1, after a change of the command line or the version.

usage: scripts/write_man_page.py

Run it with a Python that has ckpt-inspect's dependencies; a test holds that the page is the one that this writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package beside this script, whatever is installed

from ckpt_inspect.cli.man_page import man_page  # noqa: E402 - behind the path that it needs

if __name__ == "__main__":
    (ROOT / "ckpt_inspect" / "cli" / "ckpt-inspect.1").write_text(man_page(), "utf-8")
