"""Results as tables of text, and their way to a screen or a pipe."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import pytest
from support.adam_bundles import save_series
from support.bundle_writer import write_bundle
from support.keras_files import Run

from ckpt_inspect import analyze, describe
from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.cli.terminal import print_tables
from ckpt_inspect.presentation.shown_names import printable
from ckpt_inspect.presentation.tables.overview import show_tables
from ckpt_inspect.presentation.tables.run import run_tables
from ckpt_inspect.presentation.tables.table import Column, Table
from ckpt_inspect.presentation.tables.wording import cosine_text, problem_lines, ratio_text, sparkline

TABLE = Table(
    "Title",
    (Column("name", "left"), Column("figure"), Column("little", keep=1)),
    (("encoder/layer_0/kernel", "0.5", "x" * 50), ("b", "12", "y")),
    "a note",
)


class Screen(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1.0, 10.0, 100.0], "▁▅█"),
        ([5.0, 5.0], "▁▁"),
        ([1.0, math.nan, 2.0], "▁ █"),
        ([math.nan, 0.0], ""),
        ([], ""),
    ],
)
def test_sparkline(values: list[float], line: str) -> None:
    """Positive values stand on a log scale; others leave a blank."""
    assert sparkline(values) == line


def test_sparkline_is_thinned() -> None:
    """A long series keeps its ends, and at most the width asked for."""
    line = sparkline([2.0**i for i in range(1000)], 8)
    assert line == "▁▂▃▄▅▆▇█"


def test_cosine_tells_small_turns_apart() -> None:
    """Near 1 the distance from 1 is shown."""
    assert [cosine_text(x) for x in (1.0, 1 - 2e-7, 0.5, math.nan)] == ["1", "1-2·10⁻⁷", "0.5000", "-"]


def test_ratio() -> None:
    """A factor says so."""
    assert ratio_text(0.5) == "×0.5"


def test_worst_problems_first() -> None:
    """Errors come before warnings before remarks, which can be left out."""
    problems = [Problem("a", "A", "x", "info"), Problem("b", "B", "y", "error"), Problem("c", "C", "z")]
    assert problem_lines(problems) == ["error: B; y", "warning: C; z", "info: A; x"]
    assert problem_lines(problems, is_brief=True) == ["error: B; y", "warning: C; z"]


def test_many_problems_of_a_kind_are_counted() -> None:
    """Briefly told, the fourth of a kind and all after it are a number; the same one twice is one."""
    problems = [Problem("a", f"A{i // 2}", "x") for i in range(20)]
    lines = ["warning: A0; x", "warning: A1; x", "warning: A2; x", "warning: 7 more of this kind; -v shows them all"]
    assert problem_lines(problems, is_brief=True) == lines
    assert len(problem_lines(problems)) == 10


def test_piped_table_is_plain_and_whole() -> None:
    """In a pipe there are neither colours nor boxes, and nothing is cut off."""
    pipe = io.StringIO()
    print_tables([TABLE], pipe)
    assert pipe.getvalue() == (
        "Title\n"
        "name                    figure                                              little\n"
        f"encoder/layer_0/kernel     0.5  {'x' * 50}\n"
        f"b                           12  {' ' * 49}y\n"
        "a note\n\n"
    )


def test_narrow_screen_drops_what_matters_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the columns don't fit, the least important go, and a line says which."""
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    print_tables([TABLE], screen)
    text = re.sub("\x1b\\[[0-9;]*m", "", screen.getvalue())
    assert "encoder/layer_0/kernel" in text
    assert "xxx" not in text
    assert "too narrow for: little" in text
    assert all(len(line) <= 40 for line in text.splitlines())


@pytest.mark.parametrize(("width", "shown"), [(80, 2), (66, 2), (60, 1), (44, 0)])
def test_no_word_of_a_source_is_broken(monkeypatch: pytest.MonkeyPatch, width: int, shown: int) -> None:
    """It is wrapped between words, and goes where its longest word doesn't fit."""
    monkeypatch.setenv("COLUMNS", str(width))
    source = Column("source", "left", keep=1, is_text=True)
    columns = (Column("", "left"), Column("a"), source, Column("b"), source)
    row = ("learning_rate", "0.000482513", "inferred, contradicted", "0.000500757", "checkpoint")
    screen = Screen()
    print_tables([Table("", columns, (row,))], screen)
    text = re.sub("\x1b\\[[0-9;]*m", "", screen.getvalue())
    assert len({"contradicted", "checkpoint"} & set(text.split())) == shown
    assert all(len(line) <= width for line in text.splitlines())


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set no colour is written, not even to a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    print_tables([TABLE], screen)
    assert "\x1b[36m" not in screen.getvalue()
    monkeypatch.delenv("NO_COLOR")
    screen = Screen()
    print_tables([TABLE], screen)
    assert "\x1b[36m" in screen.getvalue()


def test_names_cannot_drive_the_terminal() -> None:
    """Control characters in a name that came from a file are shown, not sent."""
    assert printable("a\x1b[31mb\r\u202ec") == "a\\x1b[31mb\\r\\u202ec"
    pipe = io.StringIO()
    print_tables([Table("", (Column("name", "left"),), (("\x1b]0;x\x07",),))], pipe)
    assert "\x1b" not in pipe.getvalue()


def test_ascii_output_is_legible() -> None:
    """An encoding without our symbols gets others in their place."""
    raw = io.BytesIO()
    pipe = io.TextIOWrapper(raw, encoding="ascii")
    print_tables([Table("Δ ×", (Column("", "left"),), (("▁█é 2·10⁻⁷",),))], pipe)
    pipe.flush()
    assert raw.getvalue() == b"d x\n_@\\xe9 2*10^-7\n\n"


def test_figures_are_told_of_the_checkpoint_that_they_are_of(tmp_path: Path) -> None:
    """A run that ends in weights alone shows the state before, and says so."""
    save_series(tmp_path / "run", 2)
    assert run_tables(analyze(tmp_path / "run"))[-1].title == "Parameters of Adam in the newest checkpoint"
    write_bundle(tmp_path / "run" / "model.ckpt-30", dict(Run().weights))
    assert run_tables(analyze(tmp_path / "run"))[-1].title == (
        "Parameters of Adam in model.ckpt-20, the last that holds its state"
    )


def test_what_a_cut_file_lacks_is_an_amount_above_zero(tmp_path: Path) -> None:
    """Not a negative size; and no share is above 100 %."""
    (path,) = save_series(tmp_path / "run", 1)
    data = next((tmp_path / "run").glob("*.data-*"))
    whole = dict(_size_rows(path))
    assert "of these missing, at least" not in whole
    data.write_bytes(data.read_bytes()[:16])
    rows = dict(_size_rows(path))
    assert "of these missing, at least" in rows
    assert not any(text.startswith("-") for cells in rows.values() for text in cells)
    shares = [float(share.removesuffix(" %")) for _, share in rows.values() if share.endswith("%")]
    assert shares and all(0 < share <= 100 for share in shares)


def _size_rows(path: Path) -> list[tuple[str, tuple[str, str]]]:
    (table,) = [table for table in show_tables(describe(path)) if table.title == "Size"]
    return [(name, (size, share)) for name, size, share in table.rows]
