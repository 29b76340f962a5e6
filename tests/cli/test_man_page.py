"""The manual page is built from the texts of the command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

import ckpt_inspect
from ckpt_inspect.cli.app import app
from ckpt_inspect.cli.man_page import man_page

PAGE = Path(ckpt_inspect.__file__).parent / "cli" / "ckpt-inspect.1"


def test_the_page_is_up_to_date() -> None:
    """Written by `scripts/write_man_page.py`; an installed package has it below share/man instead."""
    if not PAGE.exists():
        pytest.skip("not in a checkout")
    assert PAGE.read_text("utf-8") == man_page()


def test_every_command_and_option_is_in_it() -> None:
    """Each by its own words."""
    page = man_page().replace("\\-", "-")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f".SS {name} " in page
        assert all(option in page for p in command.params for option in p.opts if option.startswith("--"))


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_a_formatter_takes_it_without_a_warning() -> None:
    """And sets our signs as they are."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-Kutf8"], input=man_page(), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "√(v/c2)" in done.stdout
