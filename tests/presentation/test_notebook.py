"""Notebooks: what results look like there, and the example that ships."""

from __future__ import annotations

import base64
import dataclasses
import html
import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.keras_files import SHAPES, Run

from ckpt_inspect import Analyses, Diff, analyze, diff, open_checkpoint
from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.plots import FIGURES
from ckpt_inspect.presentation.verdict import verdict_of

EXAMPLE = Path(__file__).parents[2] / "fixtures" / "notebook" / "example.ipynb"
HOSTILE = '<script>alert("1")</script>&amp;'
ELEMENTS = {
    "style", "div", "p", "b", "ol", "li", "img", "table", "caption", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
VOID = {"br", "hr", "img", "meta", "link", "input"}


class Page(HTMLParser):
    """Elements and text of a piece of HTML; every element must be closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture
def run(tmp_path: Path) -> Analyses:
    """Three checkpoints."""
    folder = tmp_path / "run"
    folder.mkdir()
    state = Run()
    for number in range(3):
        state.train(10).save(folder / f"model-{number}.h5")
    return analyze(folder)


@pytest.fixture
def one(tmp_path: Path) -> Analyses:
    """One checkpoint."""
    with open_checkpoint(Run().train(10).save(tmp_path / "model.h5")) as checkpoint:
        return analyze([checkpoint])


@pytest.fixture
def change(tmp_path: Path) -> Diff:
    """Two checkpoints of a run."""
    state = Run()
    return diff(state.train(10).save(tmp_path / "a.h5"), state.train(10).save(tmp_path / "b.h5"))


# --- tables


def test_a_run_shows_its_parameters(run: Analyses) -> None:
    """A row for each, with what it is called and its figures."""
    page = Page(run._repr_html_())
    rows = {row[0]: row for row in page.rows}
    assert set(SHAPES) <= set(rows)
    assert rows["run"] == ["run", "run"]
    assert rows["step"][1:2] == ["30"]
    assert rows["learning_rate"][1:2] == ["0.01"]


def test_a_run_shows_its_verdict_and_one_figure_first(run: Analyses) -> None:
    """What a person needs who reads no further: the verdict, what to look at with what to do, and a picture."""
    head = run._repr_html_().partition("<table>")[0]
    texts = html.unescape(re.sub("<[^>]+>", " ", head.partition("</style>")[2]))
    verdict = verdict_of(run.findings, len(run))
    assert verdict.sentence in texts
    for finding in verdict.first:
        assert finding.kind.title in texts and finding.action in texts
    picture, answer = re.search(r'<img src="data:image/png;base64,([^"]+)"[^>]* alt="([^"]+)">', head).groups()  # type: ignore[union-attr]
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    assert answer


def test_tables_say_what_their_rows_and_columns_are(run: Analyses) -> None:
    """Every heading has a scope and a text, and what scrolls is reached by keyboard."""
    text = run._repr_html_()
    assert len(re.findall("<th ", text)) == len(re.findall(r'<th scope="(?:col|row)"[^>]*>[^<]', text)) > len(SHAPES)
    assert '<div class="ckpt-inspect" tabindex="0" role="group"' in text


def test_a_checkpoint_shows_itself_as_a_run_of_one(one: Analyses) -> None:
    """The same tables, without what takes a run."""
    rows = {row[0]: row for row in Page(one._repr_html_()).rows}
    assert rows["checkpoints"] == ["checkpoints", "1"]
    assert set(SHAPES) <= set(rows)


def test_a_diff_shows_what_changed(change: Diff) -> None:
    """A row for each parameter, in its order."""
    names = [row[0] for row in Page(change._repr_html_()).rows]
    assert [name for name in names if name in SHAPES] == [p.parameter for p in change.parameters if p.optimizer]


def test_names_out_of_files_are_text(tmp_path: Path) -> None:
    """A parameter or a folder whose name is markup is shown as it is, and is no markup."""
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    state = Run(shapes={f"{HOSTILE.replace('/', '')}/kernel": (4, 3), "line\u2028\u202eback/kernel": (3, 2)})
    first = state.train(5).save(folder / "a.h5")
    second = state.train(5).save(folder / "b.h5")
    for text in (analyze(folder)._repr_html_(), diff(first, second)._repr_html_()):
        assert "<script" not in text
        page = Page(text)
        assert set(page.elements) <= ELEMENTS
        names = [row[0] for row in page.rows]
        assert f"{HOSTILE.replace('/', '')}/kernel" in names
        assert "line\\u2028\\u202eback/kernel" in names


def test_many_parameters_are_cut_short(tmp_path: Path) -> None:
    """The rest is counted, and the frame that has them all is named."""
    folder = tmp_path / "run"
    folder.mkdir()
    Run(shapes={f"layer_{i}/kernel": (2, 2) for i in range(70)}).train(5).save(folder / "m.h5")
    run = analyze(folder)
    text = run._repr_html_()
    assert sum(row[0].endswith("/kernel") for row in Page(text).rows) == 30
    assert "40 more rows: .to_frame() has them all" in text
    assert len(run.to_frame()) == 70


# --- figures


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_every_figure_of_a_report_can_be_plotted(run: Analyses, kind: Any) -> None:
    """By its name, which may be written as Python's are; one that would be empty is refused with the reason."""
    if kind.id == "shares":
        with pytest.raises(RequestError, match="there is no figure shares of optimizer: no element is known to be"):
            run.plot(kind.id)
    else:
        assert type(run.plot(kind.id.replace("-", "_"))).__name__ == "Figure"


def test_figures_show_themselves_without_pyplot(run: Analyses) -> None:
    """As PNG, which is what a notebook asks for."""
    figure: Any = run.plot(include=["dense/*"])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_checkpoint_and_a_diff_can_be_plotted(one: Analyses, change: Diff) -> None:
    """Each has figures of its own."""
    assert type(one.plot("distributions")).__name__ == "Figure"
    assert type(change.plot("changes")).__name__ == "Figure"


def messages(run: Analyses, one: Analyses, change: Diff) -> Iterator[tuple[str, Any]]:
    """What is said, and of what."""
    names = ", ".join(kind.id for kind in FIGURES)
    yield f"there is no figure 'pie': there are {names}", lambda: run.plot("pie")
    yield "there is no figure 'pie': there are changes, change-by-rate", lambda: change.plot("pie")
    yield "there is no optimizer 'sgd' with moments: there are optimizer", lambda: run.plot(optimizer="sgd")
    yield (
        "there is nothing to draw: no parameter with moments, or none of a name that was included",
        lambda: run.plot(include=["nothing"]),
    )
    yield (
        "there is no figure elements of optimizer: it shows a run, and there is one checkpoint",
        lambda: one.plot("elements"),
    )


def test_what_cannot_be_plotted_says_what_can(run: Analyses, one: Analyses, change: Diff) -> None:
    """One sentence, with the names that there are."""
    for message, plot in messages(run, one, change):
        with pytest.raises(RequestError) as error:
            plot()
        assert str(error.value) == message


def test_of_several_optimizers_one_must_be_said(run: Analyses) -> None:
    """The sentence names them."""
    of = {name: dataclasses.replace(run.optimizers["optimizer"], name=name) for name in ("generator", "critic")}
    two = dataclasses.replace(run, optimizers=of)
    with pytest.raises(RequestError, match=r"^the run has 2 optimizers, say which: optimizer='generator' or 'critic'$"):
        two.plot()


# --- frames and xarray


def test_one_checkpoint_has_the_frames_of_a_run(one: Analyses) -> None:
    """A row a parameter, and the tree with labelled dimensions."""
    assert list(one.to_frame()["parameter"]) == list(SHAPES)
    pytest.importorskip("xarray")
    assert one.to_xarray()["optimizer"]["effective_lr"].dims == ("checkpoint", "parameter", "quantile")


def test_a_diff_as_xarray_has_names_for_coordinates(change: Diff) -> None:
    """The frame's columns along one dimension."""
    pytest.importorskip("xarray")
    dataset = change.to_xarray()
    assert list(dataset.coords["parameter"].values) == [p.parameter for p in change.parameters]
    assert list(dataset["weight_change"].values) == [p.weight_change for p in change.parameters]


def test_xarray_that_is_not_installed_is_named(change: Diff, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(RequestError, match=r"^xarray is not installed: pip install 'ckpt-inspect\[xarray\]'$"):
        change.to_xarray()


# --- the example


def test_the_example_is_stored_without_outputs() -> None:
    """So that it stays small, and a diff of it shows what was changed."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    assert all(
        cell.outputs == [] and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code"
    )


def test_the_example_runs_from_a_clean_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, and each result is shown as what it is."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "TMPDIR"):
        folder = tmp_path / variable
        folder.mkdir()
        monkeypatch.setenv(variable, os.fspath(folder))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")  # this interpreter's kernel before one that the user installed
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(EXAMPLE, as_version=4)
    resources = {"metadata": {"path": os.fspath(EXAMPLE.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    shown = {cell.id: [set(o.get("data", {})) for o in cell.outputs] for cell in notebook.cells if "outputs" in cell}
    assert {name for name, outputs in shown.items() if any("image/png" in o for o in outputs)} == {
        "ribbons", "distributions", "diff-figure",
    }  # fmt: skip
    assert {name for name, outputs in shown.items() if any("text/html" in o for o in outputs)} >= {
        "analyze", "diff", "frame", "findings",
    }  # fmt: skip
    progress = notebook.cells[1].outputs.pop(0)
    assert progress.data["text/plain"].startswith("reading: done in ")
    assert {len(cell.outputs) for cell in notebook.cells if "outputs" in cell} == {1}, "a warning, or nothing shown"
