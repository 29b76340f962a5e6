"""The figures of a diff beyond the first: change by rate, and both distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from support.adam_bundles import save_series
from support.adam_runs import AdamRun

from ckpt_inspect import diff
from ckpt_inspect.comparison.differences import Differences, HyperparameterDiff, OptimizerDiff
from ckpt_inspect.errors import RequestError, StoreError
from ckpt_inspect.presentation import diff_figures
from ckpt_inspect.presentation.diff_figures import diff_doubts, write_diff_figures
from ckpt_inspect.presentation.plots import plot_change_by_rate
from ckpt_inspect.presentation.plots.differences import MOST_NAMED, distance_from_trend
from ckpt_inspect.presentation.report import file_slugs
from ckpt_inspect.sourced import Sourced

DIGITS = Path(__file__).parents[2] / "fixtures" / "digits"


def _frame(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(count)
    return pd.DataFrame(
        {
            "parameter": [f"model/block_{i}/attention/kernel" for i in range(count)],
            "effective_lr_a": 10 ** rng.uniform(-5, -2, count),
            "effective_lr_b": 10 ** rng.uniform(-5, -2, count),
            "weight_change": 10 ** rng.uniform(-4, 0, count),
        }
    )


@pytest.mark.parametrize("count", [1, 4, 40, 400])
def test_every_parameter_is_a_dot_and_names_neither_overlap_nor_leave_the_page(count: int) -> None:
    """The dots are the frame's numbers, once each; at most six are named, each in a place of its own."""
    frame = _frame(count)
    figure = plot_change_by_rate(frame)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    places = [dots.get_offsets() for dots in axes.collections if dots.get_gid() == "parameters"]
    places += [line.get_xydata() for line in axes.lines if line.get_gid() == "name"]
    drawn, given = np.concatenate(places), frame[["effective_lr_b", "weight_change"]].to_numpy()
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 0])], given[np.argsort(given[:, 0])])
    names = axes.get_legend().get_texts()
    boxes = [text.get_window_extent() for text in names]
    assert 0 < len(names) <= MOST_NAMED
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_dots_of_a_layer_have_its_colour_and_different_markers() -> None:
    """Whatever the order of the rows, which is that of their changes."""
    names = ["b/kernel", "a/bias", "b/bias", "a/kernel"]
    frame = _frame(4).assign(parameter=names)
    axes = plot_change_by_rate(frame).axes[0]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    looks = {t: (h.get_color(), h.get_marker()) for t, h in zip(texts, axes.get_legend().legend_handles, strict=True)}
    assert set(looks) == set(names)
    assert looks["a/kernel"][0] == looks["a/bias"][0] != looks["b/kernel"][0] == looks["b/bias"][0]
    assert len(set(looks.values())) == 4


def test_the_parameter_off_the_trend_is_the_furthest() -> None:
    """Distances are from the line through all, in decades."""
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1])
    changes = rates * np.array([1, 1, 30, 1])
    assert distance_from_trend(rates, changes).argmax() == 2
    assert distance_from_trend(rates, rates * 7).max() < 1e-12


def test_without_a_rate_there_is_nothing_to_draw() -> None:
    """A clear error rather than empty axes."""
    frame = _frame(3).assign(effective_lr_b=np.nan)
    with pytest.raises(RequestError, match="no parameter has an effective learning rate and moved"):
        plot_change_by_rate(frame)


def test_values_that_nobody_read_are_marked_in_every_figure_of_a_diff(tmp_path: Path) -> None:
    """TF1's layout holds no epsilon, which is assumed; powers of the betas tell these."""
    found = diff(*save_series(tmp_path / "run", 2))
    assert any(text.startswith("epsilon 1e-08, assumed") for text in diff_doubts(found))
    for name in ("changes", "change-by-rate"):
        drawn = [text.get_text() for text in found.plot(name).findobj(Text) if text.get_gid() == "doubts"]
        assert len(drawn) == 1
        assert "epsilon 1e-08, assumed" in drawn[0].replace("\n", " ")


def test_a_value_that_one_checkpoint_leaves_open_is_said_of_that_one() -> None:
    """Where both do, it is said once."""
    read, assumed = Sourced(1e-7, "config", ""), Sourced(1e-7, "default", "")
    both, one = (
        Differences("a", "b", (OptimizerDiff("adam", "same", (HyperparameterDiff("epsilon", a, assumed),)),), ())
        for a in (assumed, read)
    )
    assert diff_doubts(both) == ("epsilon 1e-07, assumed",)
    assert diff_doubts(one) == ("epsilon 1e-07, assumed in B",)


def test_a_diff_of_two_checkpoints_of_a_run_is_drawn_in_three_files(tmp_path: Path) -> None:
    """What changed, the change by rate, and the distributions laid over each other, in the format of the name."""
    found = diff(DIGITS / "epoch-01.keras", DIGITS / "epoch-10.keras")
    files = write_diff_figures(found, tmp_path / "d.svg")
    assert [file.name for file in files] == ["d.svg", "d-by-rate.svg", "d-distributions.svg"]
    assert all(file.read_bytes().startswith(b"<?xml") for file in files)


def test_checkpoints_without_rates_have_one_figure(tmp_path: Path) -> None:
    """Nothing more can be said of a checkpoint compared with itself, which did not move."""
    found = diff(DIGITS / "epoch-01.keras", DIGITS / "epoch-01.keras")
    assert [f.name for f in write_diff_figures(found, tmp_path / "d.png")] == ["d.png"]


def test_a_folder_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    """The file is named, and the cause."""
    found = diff(DIGITS / "epoch-01.keras", DIGITS / "epoch-01.keras")
    with pytest.raises(StoreError, match=r"d\.png: there is no folder .*absent; make it, or write elsewhere"):
        write_diff_figures(found, tmp_path / "absent" / "d.png")


def test_optimizers_of_like_names_get_files_of_their_own() -> None:
    """Names that differ only in what a file name can't hold don't overwrite each other."""
    assert file_slugs(["a/opt", "a opt", "\u00e9"]) == ["a-opt", "a-opt-2", "optimizer"]


@pytest.mark.parametrize("name", ["changes", "change-by-rate"])
@pytest.mark.parametrize("rate", [None, 1e-3])
def test_rates_relative_to_the_nominal_one_are_called_so(tmp_path: Path, name: str, rate: float | None) -> None:
    """Where the learning rate isn't known each figure says E/α, and none does where it is."""
    a, b = save_series(tmp_path, 2)
    figure = diff(a, b, given=None if rate is None else {"learning_rate": rate}).plot(name)
    said = " | ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert ("E/α" in said) == (rate is None), said


def test_two_checkpoints_are_no_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The distributions' heading counts what is compared; a parameter of two names is one row, as in the table."""
    one, two = (AdamRun({f"dense_{n}/kernel": (4, 5), f"dense_{n + 1}/kernel": (5, 5)}) for n in (1, 4))
    paths = one.train(20).save(tmp_path / "a.h5"), two.train(40).save(tmp_path / "b.h5")
    drawn: list[Figure] = []
    monkeypatch.setattr(diff_figures, "_write", lambda figures: drawn.extend(figures.values()) or tuple(figures))
    write_diff_figures(diff(*paths), tmp_path / "d.png")
    said = [text.get_text() for text in drawn[-1].findobj(Text)]
    assert any(text.startswith("2 checkpoints") for text in said)
    assert not any("2 runs" in text for text in said)
    assert {line for text in said for line in text.split("\n") if line.startswith("dense")} == {
        "dense_4/kernel",
        "dense_5/kernel",
    }
