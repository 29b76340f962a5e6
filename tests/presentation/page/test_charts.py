"""What charts hold: the same checkpoints, questions and order as the figures, small enough for a page."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames_for_plots import make_frames

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.jsonable import jsonable
from ckpt_inspect.presentation.figures import questions
from ckpt_inspect.presentation.figures.colors import layer_of
from ckpt_inspect.presentation.figures.thinning import FEWEST, MOST_VALUES, most_checkpoints, telling_positions
from ckpt_inspect.presentation.optimizer_series import optimizer_series
from ckpt_inspect.presentation.page.charts import ChartMaker, Drawing, drawing_of, rates, slider_checkpoints
from ckpt_inspect.presentation.page.charts.drawing import packed, rounded
from ckpt_inspect.presentation.page.charts.maker import MOST_MARKS
from ckpt_inspect.presentation.plots import FIGURES, Chapter, RunFrames, chapters

DRAWN = ("movement", "update-to-weight", "effective-lr", "gradients", "shares", "distributions")


def made_chapter(parameters: int = 4, checkpoints: int = 10, *, runs: int = 1, **options: Any) -> Chapter:
    """A chapter of runs that never were."""
    frames = [make_frames(parameters, checkpoints, seed=seed, **options) for seed in range(runs)]
    (chapter,) = chapters([RunFrames(f"run {i}", f["parameters"], f["histogram"]) for i, f in enumerate(frames)])
    return chapter


def drawn(figure: str, chapter: Chapter) -> Drawing:
    """The drawing of a figure that has one."""
    drawing = drawing_of(figure, ChartMaker(chapter))
    assert drawing is not None
    return drawing


def unpacked(text: str, checkpoints: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The values (P, K) that a script reads."""
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, checkpoints)


# --- which checkpoints are kept


def test_a_short_run_is_kept_whole() -> None:
    """No more checkpoints than the budget: all of them."""
    assert telling_positions([np.ones((10, 3))], 10).tolist() == list(range(10))


def test_thinning_keeps_extremes_ends_and_what_is_asked_for() -> None:
    """Spikes up and down of any parameter, where values are missing, and marked checkpoints."""
    values = np.ones((1000, 5))
    values[333, 2], values[334, 4], values[501, 1] = 50.0, 0.02, np.nan
    kept = telling_positions([values], 100, also=[777])
    assert {0, 333, 334, 501, 777, 999} <= set(kept.tolist())
    assert len(kept) <= 103 and (np.diff(kept) > 0).all()


@given(st.integers(1, 300), st.integers(1, 4), st.integers(4, 80), st.integers(0, 2**32 - 1))
def test_thinning_never_loses_the_ends_or_exceeds_its_budget(count: int, width: int, most: int, seed: int) -> None:
    """Whatever the values: zeros, infinities, or nothing at all."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 1.0, 1e-300, np.nan, np.inf, -1.0], (count, width))
    kept = telling_positions([values], most)
    assert kept[0] == 0 and kept[-1] == count - 1
    assert len(kept) <= max(most, 4) + 2


def test_many_parameters_leave_room_for_fewer_checkpoints() -> None:
    """Of 400 parameters 300 checkpoints; of one run of few all that a screen shows; never too few to see a run."""
    assert most_checkpoints(400, 1) == MOST_VALUES // 400 == 300
    assert most_checkpoints(4, 1) == 1000
    assert most_checkpoints(100_000, 3) == FEWEST
    assert len(slider_checkpoints(1000, 400)) == 25 and len(slider_checkpoints(1000, 4)) == 40
    assert slider_checkpoints(1, 4) == (0,)


# --- how values are packed


@given(st.floats(1e-30, 1e30))
def test_values_are_rounded_to_four_digits(value: float) -> None:
    """As writing them in four digits would."""
    assert rounded(np.array([value]))[0] == pytest.approx(float(f"{value:.3e}"), rel=1e-12)


def test_what_is_not_finite_is_not_a_number() -> None:
    """Infinity, and what a float32 can't hold: a gap in a line rather than an end of an axis."""
    values = unpacked(packed(np.array([[np.nan, np.inf, -np.inf, 1e300, 0.0, 1.0]])), 1)
    assert np.isnan(values[:4]).all() and values[4:].ravel().tolist() == [0.0, 1.0]


def test_values_lie_parameter_by_parameter() -> None:
    """So that a script takes a line as one piece."""
    assert unpacked(packed(np.array([[1.0, 2.0], [3.0, 4.0]])), 2).tolist() == [[1.0, 3.0], [2.0, 4.0]]


# --- what the figures' charts hold


@pytest.mark.parametrize("figure", DRAWN)
@pytest.mark.parametrize("checkpoints", [1, 10])
@pytest.mark.parametrize("runs", [1, 2])
def test_a_chart_asks_what_its_figure_asks(figure: str, checkpoints: int, runs: int) -> None:
    """One source of words; its data are JSON, NaN and all."""
    chapter = made_chapter(checkpoints=checkpoints, runs=runs, is_damaged=True)
    kind = next(kind for kind in FIGURES if kind.id == figure)
    drawing = drawn(figure, chapter)
    assert drawing.title == kind.question
    assert drawing.form == ("ridges" if figure == "distributions" else "lines" if checkpoints > 1 else "dots")
    text = json.dumps(jsonable(drawing.data()), allow_nan=False)
    assert drawing.alternative() and kind.question in text


def test_a_figure_without_a_chart_stays_a_picture() -> None:
    """Heatmaps, and single elements."""
    assert drawing_of("layers-by-step", ChartMaker(made_chapter())) is None


def test_panels_hold_kernels_apart_from_vectors_in_the_models_order() -> None:
    """Each parameter once; a measure more where a schedule would hide all else."""
    drawing = drawn("movement", made_chapter(20))
    kernels, vectors = drawing.panels[:2]
    names = [drawing.parameters[m] for m in kernels.members]
    assert names == ["conv2d/kernel", *(f"conv2d_{i}/kernel" for i in range(1, 5))]
    assert sorted(kernels.members + vectors.members) == list(range(20))
    assert [measure.label for measure in drawing.measures] == [questions.MOVEMENT.label, questions.RELATIVE_MOVEMENT]
    assert [panel.measure for panel in drawing.panels] == [0, 0, 1, 1]


def test_several_runs_have_a_panel_per_layer() -> None:
    """Over steps of their own each; of one checkpoint each, a row per parameter as for one run."""
    drawing = drawn("movement", made_chapter(runs=2))
    assert [panel.title for panel in drawing.panels] == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert len(drawing.runs) == 2 and len(drawing.measures) == 1
    rows = drawn("movement", made_chapter(checkpoints=1, runs=2)).panels[0].rows
    assert [row.label for row in rows] == ["dense/kernel", "dense_1/kernel"]


def test_values_are_those_of_the_frame() -> None:
    """In four digits, at the same steps."""
    chapter = made_chapter(4, 10)
    drawing = drawn("update-to-weight", chapter)
    held = unpacked(drawing.data()["measures"][0]["values"][0], 10)  # type: ignore[index,call-overload]
    assert drawing.runs[0].x.tolist() == [100 * (k + 1) for k in range(10)]
    np.testing.assert_allclose(held.T, chapter.runs[0].column("update_to_weight"), rtol=1e-3)


def test_doubts_and_marks_are_in_every_chart() -> None:
    """Assumed values by name, if the figure is computed with them; where the state was not carried on, and where it was
    no longer finite."""
    frames = make_frames(4, 10)
    frames["parameters"].loc[frames["parameters"]["checkpoint_index"] >= 7, "nonfinite"] = 1
    segments = (Segment(0, 4, "run"), Segment(4, 10, "state-lost"))
    (chapter,) = chapters([RunFrames("run", frames["parameters"], frames["histogram"], segments=segments)])
    for figure in (*DRAWN, "path"):
        drawing = drawn(figure, chapter)
        rests_on_all = figure not in ("gradients", "path")  # of second moments and β2, and of the weights alone
        assert drawing.doubts == (("epsilon 10⁻⁷ (assumed)",) if rests_on_all else ())
        assert drawing.runs[0].marks == ((500, "state not carried on"), (800, "NaN or infinite values"))
        assert drawing.runs[0].breaks == (500,)


def test_a_run_that_was_reset_at_every_checkpoint_stays_small() -> None:
    """The first places are marked, and how many more there are is told; it is thinned all the same."""
    frame = make_frames(130, 1)["parameters"]
    frame = pd.concat([frame.assign(checkpoint_index=k, step=10 * k) for k in range(1000)], ignore_index=True)
    segments = [Segment(0, 1, "run"), *(Segment(k, k + 1, "state-lost") for k in range(1, 1000))]
    (chapter,) = chapters([RunFrames("run", frame, segments=tuple(segments))])
    (axis,) = drawn("movement", chapter).runs
    assert len(axis.marks) + axis.further_marks == 999 and len(axis.marks) == MOST_MARKS
    assert len(axis.x) < 1000


def test_shares_show_what_they_concern() -> None:
    """A panel for each share that anything has; none, and the answer alone, if nothing has any."""
    drawing = drawn("shares", made_chapter(20))
    assert [panel.title.partition(":")[0] for panel in drawing.panels] == [
        "untouched (v = 0)",
        "ε-dominated (√v < ε)",
        "lost in rounding (|Δ| < ½ ulp θ)",
    ]
    assert len(drawing.panels[0].members) == 3 and drawing.measures[0].is_share
    assert drawn("shares", made_chapter(1)).panels == ()


def test_bounds_are_left_out_of_many_parameters() -> None:
    """They are shown of one or two lines, and would make the page large."""
    assert drawn("gradients", made_chapter(4)).measures[0].bounds
    assert not drawn("gradients", made_chapter(100, 3)).measures[0].bounds


def test_a_layer_is_a_name_without_its_last_part() -> None:
    """What is chosen together; a name of one part is its own layer."""
    assert [layer_of(name) for name in ("a/b/kernel", "w", "/w")] == ["a/b", "w", "/w"]


def test_names_are_made_visible() -> None:
    """What would change how the rest is shown is escaped, as everywhere on the page."""
    frames = make_frames(2, 3)
    frame = frames["parameters"].replace({"parameter": {"dense/kernel": "a\u202eb/\x00kernel"}})
    (chapter,) = chapters([RunFrames("run", frame)])
    assert drawn("movement", chapter).parameters[0] == r"a\u202eb/\x00kernel"


# --- distributions


def test_a_distribution_holds_every_count_once() -> None:
    """Over α, in cells that cover all bins; a parameter without any has none."""
    frames = make_frames(4, 5)
    frame = frames["histogram"][frames["histogram"]["parameter"] != "dense/bias"]
    (chapter,) = chapters([RunFrames("run", frames["parameters"], frame)])
    found = drawn("distributions", chapter).distribution
    assert found is not None
    counts = frame.groupby(["checkpoint_index", "parameter"], observed=True)["count"].sum().unstack(fill_value=0)
    expected = counts.reindex(columns=list(chapter.parameters), fill_value=0).to_numpy()
    np.testing.assert_allclose(found.weights[0], expected)
    np.testing.assert_allclose(found.densities[0].sum(axis=2), expected > 0, rtol=1e-5)
    edges = found.start + found.width * np.arange(found.densities[0].shape[2] + 1)
    last = frame[(frame["checkpoint_index"] == 4) & (frame["parameter"] == "dense/kernel")]
    middle = np.average(np.log10(last[["low", "high"]].mean(axis=1) / 1e-4), weights=last["count"])
    held = np.average((edges[:-1] + edges[1:]) / 2, weights=found.densities[0][4, 0])
    assert held == pytest.approx(middle, abs=0.02)


def test_a_distribution_of_a_run_without_bins_is_none() -> None:
    """As of a store that was read without them."""
    (chapter,) = chapters([RunFrames("run", make_frames()["parameters"])])
    assert drawing_of("distributions", ChartMaker(chapter)) is None


# --- hyperparameters


def test_rates_show_what_changed_and_where_it_is_from() -> None:
    """A panel per hyperparameter that changed; all of them, with their sources, in words."""
    chapter = made_chapter(4, 10)
    series = list(optimizer_series("run", make_frames(4, 10)["parameters"]))
    drawing = rates.rates_drawing(ChartMaker(chapter))
    assert drawing is not None and not drawing.is_of_parameters
    assert [panel.title for panel in drawing.panels] == ["learning rate: read from the configuration"]
    assert "learning rate 0.001 → 0.0001 (read from the configuration); beta 1 0.9" in rates.answer(series)
    assert "epsilon 10⁻⁷ (assumed: the implementation's default)" in rates.answer(series)


def test_constant_hyperparameters_need_no_chart() -> None:
    """Nor does a single checkpoint."""
    frame = make_frames(4, 10)["parameters"]
    frame["learning_rate"] = 1e-3
    (chapter,) = chapters([RunFrames("run", frame)])
    assert rates.rates_drawing(ChartMaker(chapter)) is None
    one = make_frames(4, 1)["parameters"]
    (chapter,) = chapters([RunFrames("run", one)])
    assert rates.rates_drawing(ChartMaker(chapter)) is None


# --- the library


def test_the_library_says_what_it_is_and_under_which_licence() -> None:
    """Versions and licence stand at its head; it makes no functions out of text, and stays small."""
    text = (files("ckpt_inspect.presentation.page") / "assets" / "d3.js").read_text(encoding="utf-8")
    assert "d3-scale 4." in text and "Permission to use, copy, modify, and/or distribute" in text
    assert "eval(" not in text and "new Function" not in text and "</script" not in text
    assert len(text) < 100_000
