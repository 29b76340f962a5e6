"""Reports: which files are written, under which names, and what is said where they can't be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.frames_for_plots import make_frames

import ckpt_inspect
from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.errors import RequestError, StoreError
from ckpt_inspect.findings.finding import Finding
from ckpt_inspect.presentation.plots import FIGURES, chosen_figures
from ckpt_inspect.presentation.report import Report, check_folder, file_slugs, rendered, write_report


class MadeUpRun:
    """Stands for Analyses: a run's name, its length and its frames."""

    def __init__(self, parameters: int = 2, checkpoints: int = 3, run: str = "digits", **options: object) -> None:
        self.run = run
        self.checkpoints = checkpoints
        self.frames = make_frames(parameters, checkpoints, **options)  # type: ignore[arg-type]
        self.frames["parameters"].loc[0, "untouched"] = 0.5  # so that there is a figure of shares

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (Segment(0, self.checkpoints, "start"),)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return ()

    def __len__(self) -> int:
        return self.checkpoints

    def to_frame(self, kind: str = "parameters", checkpoints: Sequence[int] | None = None) -> pd.DataFrame:
        if kind == "checkpoints":
            return pd.DataFrame({"checkpoint": [f"ckpt-{i + 1}" for i in range(self.checkpoints)]})
        if kind == "problems":
            return pd.DataFrame(columns=["checkpoint", "optimizer", "code", "severity", "message", "resolution"])
        frame = self.frames[kind]
        return frame if checkpoints is None else frame[frame["checkpoint_index"].isin(checkpoints)]


@dataclasses.dataclass
class Single:
    """A report of one checkpoint, and what was told while it was made."""

    report: Report
    told: list[tuple[int, int]]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Single:
    """A report that several tests look at, for drawing one takes a while."""
    told: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("report")
    run = MadeUpRun(checkpoints=1)
    return Single(write_report([run], folder, figures=["all"], progress=lambda d, total: told.append((d, total))), told)


def listing(folder: Path) -> list[str]:
    """Names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def names(report: Report) -> list[str]:
    """Names of the files written."""
    return [file.name for file in report.files]


def test_every_figure_is_a_file_of_constant_name(tmp_path: Path) -> None:
    """Files are numbered by the figure's place in the registry, and nothing but the page is written beside them."""
    report = write_report([MadeUpRun()], tmp_path / "new" / "folder", figures=["all"])
    expected = [f"adam-{number}-{kind.id}.png" for number, kind in enumerate(FIGURES, start=1)]
    assert sorted(names(report)) == sorted(expected)
    assert listing(report.folder) == sorted([*names(report), "index.html"])
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in report.files)


def test_the_few_figures_that_a_person_acts_on_are_the_default(tmp_path: Path) -> None:
    """Others are drawn if they are named; a name that there isn't is refused before anything is written."""
    assert [f.id for f in write_report([MadeUpRun()], tmp_path / "few").figures] == [k.id for k in chosen_figures()]
    report = write_report([MadeUpRun()], tmp_path / "two", figures=["elements", "movement"])
    assert [figure.id for figure in report.figures] == ["movement", "elements"]
    assert all(figure.answer in report.page.read_text(encoding="utf-8") for figure in report.figures)
    with pytest.raises(RequestError, match="there is no figure 'pie'"):
        write_report([MadeUpRun()], tmp_path / "none", figures=["pie"])
    assert not (tmp_path / "none").exists()


def test_one_checkpoint_omits_what_needs_a_run(single: Single) -> None:
    """What can't be drawn is told with its reason, and the others keep their numbers."""
    report = single.report
    assert [(omitted.id, omitted.reason) for omitted in report.omitted] == [
        ("gradients", "it shows a run, and there is one checkpoint"),
        ("path", "it shows a run, and there is one checkpoint"),
        ("layers-by-step", "it shows a run, and there is one checkpoint"),
        ("elements", "it shows a run, and there is one checkpoint"),
    ]
    assert "adam-3-distributions.png" in names(report)


def test_each_optimizer_has_a_set(tmp_path: Path) -> None:
    """A GAN's optimizers get figures of their own; names that fall together as files are told apart."""
    report = write_report([MadeUpRun(checkpoints=1, optimizers=("gen/Adam", "gen.adam"))], tmp_path)
    assert [name for name in names(report) if "effective" in name] == [
        "gen-adam-1-effective-lr.png", "gen-adam-2-1-effective-lr.png",
    ]  # fmt: skip
    assert len(set(names(report))) == len(report.files)


def test_entries_say_what_a_page_needs(single: Single) -> None:
    """Each entry has its question, caption, subtitle and file."""
    entry = single.report.figures[2]
    assert (entry.id, entry.optimizer, entry.question) == ("effective-lr", "adam", FIGURES[0].question)
    assert entry.caption == FIGURES[0].asks.caption
    assert entry.subtitle.startswith("run digits · step 100 · optimizer adam · rule adam · learning rate α 0.001")
    assert entry.file == single.report.folder / "adam-1-effective-lr.png"


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
def test_same_figure_same_bytes(file_format: str) -> None:
    """A report made twice is the same file, in every format."""
    from ckpt_inspect.presentation.plots import RunFrames, chapters

    chapter = chapters([RunFrames("digits", **make_frames(2, 3))])[0]
    first, second = (rendered(FIGURES[0].plot(chapter), file_format) for _ in range(2))
    assert first == second


def test_figures_do_not_depend_on_the_callers_settings() -> None:
    """A caller's own matplotlib settings change nothing."""
    import matplotlib

    from ckpt_inspect.presentation.plots import RunFrames, chapters

    chapter = chapters([RunFrames("digits", **make_frames(2, 3))])[0]
    plain = rendered(FIGURES[0].plot(chapter))
    with matplotlib.rc_context({"font.size": 20, "font.family": "serif", "axes.grid": True, "xtick.color": "red"}):
        assert rendered(FIGURES[0].plot(chapter)) == plain


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two stores of folders of the same name are drawn over each other all the same."""
    report = write_report([MadeUpRun(checkpoints=1, seed=1), MadeUpRun(checkpoints=1, seed=2)], tmp_path)
    assert report.figures[0].subtitle.startswith("2 runs")


def test_progress_counts_figures(single: Single) -> None:
    """Progress is told before each figure and at the end."""
    assert single.told == [(done, len(FIGURES)) for done in range(len(FIGURES) + 1)]


def test_unknown_rate_and_steps_are_problems(tmp_path: Path) -> None:
    """What figures show in another way, for want of a value, is reported."""
    report = write_report([MadeUpRun(1, 2, learning_rate=None, has_steps=False)], tmp_path)
    assert [problem.code for problem in report.problems] == ["steps-not-drawn", "learning-rate-not-drawn"]


def test_optimizer_without_learning_rates_is_omitted(tmp_path: Path) -> None:
    """A fresh optimizer has no figures, and each says why."""
    run = MadeUpRun()
    run.frames["parameters"].loc[:, [c for c in run.frames["parameters"] if c.startswith("effective_lr")]] = np.nan
    report = write_report([run], tmp_path)
    assert not report.files
    assert {omitted.reason for omitted in report.omitted} == {
        "no effective learning rate is defined: no update has been applied, or the rule has none"
    }


def test_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """A file where the folder should be is left alone."""
    (tmp_path / "report").write_text("mine")
    with pytest.raises(StoreError, match=r"report: the report can't be written there \(file exists\): give another"):
        write_report([MadeUpRun()], tmp_path / "report")
    assert (tmp_path / "report").read_text() == "mine"


def test_folder_is_checked_before_work(tmp_path: Path) -> None:
    """What can't be a folder is refused at once; what can be is not made yet."""
    check_folder(tmp_path / "new" / "report")
    assert not listing(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: the report can't be written there"):
        check_folder(tmp_path / "file")
    with pytest.raises(StoreError, match="not a directory"):
        check_folder(tmp_path / "file" / "report")


def test_disk_that_is_full_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier figure stays whole, and no partial file remains."""
    (tmp_path / "adam-1-effective-lr.png").write_bytes(b"earlier")

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="no space left on device"):
        write_report([MadeUpRun()], tmp_path)
    assert listing(tmp_path) == ["adam-1-effective-lr.png"]
    assert (tmp_path / "adam-1-effective-lr.png").read_bytes() == b"earlier"


def test_unknown_file_format_is_refused(tmp_path: Path) -> None:
    """The formats that there are are named, and nothing is written."""
    with pytest.raises(RequestError, match="'bmp': choose one of png, svg, pdf"):
        write_report([MadeUpRun()], tmp_path, file_format="bmp")
    assert not listing(tmp_path)


def test_no_runs_are_refused(tmp_path: Path) -> None:
    """Nothing to draw is a request at fault."""
    with pytest.raises(RequestError, match="no run was given"):
        write_report([], tmp_path)


def test_results_are_frozen(single: Single) -> None:
    """A report is data."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        single.report.folder = Path()  # type: ignore[misc]


def test_updates_of_unknown_size_are_omitted(tmp_path: Path) -> None:
    """Where no update's size is known there are no empty panels, but the reason."""
    run = MadeUpRun(checkpoints=1)
    run.frames["parameters"]["update_to_weight"] = np.nan
    report = write_report([run], tmp_path)
    assert ("update-to-weight", "adam") in [(omitted.id, omitted.optimizer) for omitted in report.omitted]
    assert "the size of the updates is not known" in report.page.read_text(encoding="utf-8")


def test_page_shows_every_figure(tmp_path: Path) -> None:
    """As a chart, or as a picture if it has none, with a link to its file; it says why others are missing."""
    report = write_report([MadeUpRun(checkpoints=3)], tmp_path / "all", figures=["all"], file_format="svg")
    page = report.page.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len({"layers-by-step", "elements"})
    assert page.count('class="chart"') == len(report.figures) - 2 + len({"rates"})
    assert all(f'href="{file.name}"' in page for file in report.files)
    report = write_report([MadeUpRun(checkpoints=1)], tmp_path / "one", file_format="svg")
    page = report.page.read_text(encoding="utf-8")
    assert page.count('class="chart"') == len(report.figures) + len({"distributions"})
    assert all(f'href="{file.name}"' in page for file in report.files)
    assert page.count("Not drawn, because it shows a run, and there is one checkpoint.") == len(report.omitted)


def test_names_of_files_are_short_whatever_the_optimizer_is_called() -> None:
    """Their ends tell them apart; those that are alike still get a number."""
    slugs = file_slugs(["o" * 3000 + "1", "o" * 3000 + "2", "o" * 3000 + "1"])
    assert len(set(slugs)) == 3
    assert max(map(len, slugs)) < 100


def test_a_report_changes_nothing_of_the_run(tmp_path: Path) -> None:
    """Frames that are drawn hold the run's own arrays; after all figures those have the same values as before."""
    run = ckpt_inspect.analyze(sorted((Path(__file__).parents[2] / "fixtures" / "digits").glob("*.keras")))
    (optimizer,) = run.optimizers.values()
    before = {name: values.copy() for name, values in optimizer.variables.items()}
    ckpt_inspect.write_report(run, tmp_path, figures=["all"])
    for name, values in before.items():
        np.testing.assert_array_equal(optimizer.variables[name], values, err_msg=name)
