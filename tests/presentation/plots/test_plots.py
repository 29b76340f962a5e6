"""Figures, judged by the numbers of their artists and by the room that their texts take, not by pixels."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.frames_for_plots import make_frames, parameter_names

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.figures.answers import answer_of
from ckpt_inspect.presentation.figures.colors import MOST_COLORS, colors_of, layer_of, places_of
from ckpt_inspect.presentation.figures.questions import SHARE_LABELS
from ckpt_inspect.presentation.figures.spread import apart, distance, fan
from ckpt_inspect.presentation.figures.wording import log_ticks, number
from ckpt_inspect.presentation.plots import (
    FIGURES,
    Chapter,
    RunFrames,
    chapters,
    chosen_checkpoints,
    chosen_figures,
    plot_diff,
)
from ckpt_inspect.presentation.plots.panels import robust_range

plot_effective_lr, plot_layers_by_step, plot_distributions, plot_update_to_weight, plot_elements, plot_shares, \
    plot_gradients, plot_movement, _ = (kind.plot for kind in FIGURES)  # fmt: skip


@functools.lru_cache(maxsize=16)
def chapter_of(*arguments: Any, name: str = "digits", **options: Any) -> Chapter:
    """The chapter of one made-up run."""
    frames = make_frames(*arguments, **options)
    return chapters([RunFrames(name, **frames)])[0]


@functools.lru_cache(maxsize=4)
def two_runs(parameters: int, checkpoints: int) -> Chapter:
    """The chapter of two runs of one network."""
    return chapters([RunFrames(f"seed {s}", **make_frames(parameters, checkpoints, seed=s)) for s in (1, 2)])[0]


def artists(axes: Any, gid: str) -> list[Any]:
    """The artists of the axes that bear that group id, in the order in which they were drawn."""
    return [artist for artist in axes.get_children() if artist.get_gid() == gid]


def bands(axes: Any) -> list[Any]:
    """The corners (n, 2) of each piece of the bands, in the order in which they were drawn."""
    return [path.vertices for band in artists(axes, "band") for path in band.get_paths()]


def hills(axes: Any) -> list[Any]:
    """The areas under the densities of the axes."""
    from matplotlib.patches import Polygon

    return [patch for patch in axes.patches if type(patch) is Polygon]


def panels(figure: Any) -> list[Any]:
    """The panels that have a title, in their order."""
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def all_texts(figure: Any) -> list[Any]:
    """Every text of the figure, its header's, axes' and keys'."""
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if text.get_text().strip()]


def of_group(figure: Any, gid: str) -> list[str]:
    """The texts of the figure that bear that group id, on one line each."""
    return [text.get_text().replace("\n", " ") for text in all_texts(figure) if text.get_gid() == gid]


def legends(axes: Any) -> list[str]:
    """What the key beside a panel names."""
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def visible_texts(figure: Any) -> Iterator[Any]:
    """Every text of the figure that is drawn: of ticks those within the axes."""
    from matplotlib.axes import Axes
    from matplotlib.axis import Tick
    from matplotlib.text import Text

    of_ticks = {text for tick in figure.findobj(Tick) for text in tick.findobj(Text)}
    yield from (text for text in all_texts(figure) if text not in of_ticks)
    for axes in (each for each in figure.findobj(Axes) if each.axison):
        for axis in (axes.xaxis, axes.yaxis):
            for tick in axis._update_ticks():
                yield from (tick.label1, tick.label2)


def text_boxes(figure: Any) -> tuple[list[str], np.ndarray]:
    """The figure's texts, and their boxes as (left, bottom, right, top) in pixels."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    shown = [text for text in visible_texts(figure) if text.get_visible() and text.get_text().strip()]
    boxes = [text.get_window_extent(renderer).extents for text in shown]
    return [text.get_text() for text in shown], np.array(boxes)


def assert_legible(figure: Any) -> None:
    """No text leaves the figure, and no two overlap."""
    texts, boxes = text_boxes(figure)
    width, height = figure.bbox.width, figure.bbox.height
    outside = (boxes[:, :2] < -0.5).any(axis=1) | (boxes[:, 2] > width + 0.5) | (boxes[:, 3] > height + 0.5)
    assert not outside.any(), [texts[i] for i in np.flatnonzero(outside)]
    left, bottom, right, top = boxes.T
    beside = (left[:, None] < right - 1) & (left < right[:, None] - 1)
    overlap = beside & (bottom[:, None] < top - 1) & (bottom < top[:, None] - 1)
    np.fill_diagonal(overlap, False)
    assert not overlap.any(), [(texts[i], texts[j]) for i, j in np.argwhere(overlap) if i < j]


def test_overlap_and_overflow_would_be_seen() -> None:
    """The check that other tests rely on fails on a label put over another, and on one over the edge."""
    figure = plot_effective_lr(chapter_of(4, 10))
    assert_legible(figure)
    for _ in range(2):
        panels(figure)[0].text(0.5, 0.5, "How", transform=panels(figure)[0].transAxes)
    with pytest.raises(AssertionError, match="How"):
        assert_legible(figure)
    figure = plot_effective_lr(chapter_of(4, 10))
    panels(figure)[0].text(0.5, 0.5, "x" * 300, transform=panels(figure)[0].transAxes).set_in_layout(False)
    with pytest.raises(AssertionError, match="xxx"):
        assert_legible(figure)


SIZES = [(4, 1), (4, 10), (40, 10), (200, 1), (400, 10)]
"""Of a run and of one checkpoint: each parameter by itself, and gathered by structure; between them as many rows as
there may be."""


@pytest.mark.parametrize(("parameters", "checkpoints"), SIZES)
@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_no_text_overlaps_or_leaves_the_figure(kind: Any, parameters: int, checkpoints: int) -> None:
    """Every figure is legible at 4 parameters and at 400, of a run and of one checkpoint."""
    chapter = chapter_of(parameters, checkpoints)
    if kind.reason_to_omit(chapter):
        pytest.skip(kind.reason_to_omit(chapter))
    assert_legible(kind.plot(chapter))


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": None, "has_steps": False},
        {"is_damaged": True, "source": "default"},
        {"optimizers": ("a_very_long_name_of_an_optimizer_in_a_checkpoint/optimizer/optimizer",)},
    ],
    ids=["unknown", "damaged", "long name"],
)
def test_odd_runs_are_legible_too(kind: Any, options: dict[str, Any]) -> None:
    """Unknown rates and steps, missing values and long names leave every figure legible."""
    assert_legible(kind.plot(chapter_of(12, 10, **options)))


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
@pytest.mark.parametrize("checkpoints", [1, 10])
def test_several_runs_are_legible(kind: Any, checkpoints: int) -> None:
    """Two runs in one figure leave it legible."""
    chapter = two_runs(12, checkpoints)
    if not kind.reason_to_omit(chapter):
        assert_legible(kind.plot(chapter))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["dense $x$/kernel", "层/内核", "a\nb/kernel", "x" * 200, "a/" * 100 + "kernel"])
def test_any_name_can_be_drawn(name: str) -> None:
    """Names come from files: formulas, letters that the font lacks, line breaks and endless names do no harm."""
    frames = make_frames(2, 3)
    for frame in frames.values():
        frame["parameter"] = frame["parameter"].replace({"dense/kernel": name})
        frame["optimizer"] = name
    chapter = chapters([RunFrames(name, **frames)])[0]
    for kind in (each for each in FIGURES if each.reason_to_omit(chapter) is None):
        assert_legible(kind.plot(chapter))


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_title_is_the_question(kind: Any) -> None:
    """A figure's title is the question that the report lists it under."""
    assert of_group(kind.plot(chapter_of(4, 10)), "title") == [kind.question]


@pytest.mark.parametrize("checkpoints", [1, 10])
@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_the_answer_stands_under_the_question(kind: Any, checkpoints: int) -> None:
    """In words, one sentence or more, of any number of checkpoints and of several runs."""
    for chapter in (chapter_of(4, checkpoints), two_runs(4, checkpoints), chapter_of(4, checkpoints, is_damaged=True)):
        if not kind.reason_to_omit(chapter):
            assert of_group(kind.plot(chapter), "answer") == [kind.answer(chapter)]
            assert kind.answer(chapter).endswith(".")


def test_an_answer_says_so_if_its_values_are_older_than_the_newest_checkpoint() -> None:
    frames = make_frames()
    of_end = frames["parameters"]["checkpoint_index"] >= 8
    measured = [c for c in frames["parameters"] if c.startswith(("effective_lr_", "update_", "window_"))]
    frames["parameters"].loc[of_end, [*measured, "relative_update_rms"]] = np.nan
    (chapter,) = chapters((RunFrames("digits", frames["parameters"], frames["histogram"]),))
    step = frames["parameters"].loc[~of_end, "step"].max()
    for kind in (k for k in FIGURES if k.asks.id in ("effective-lr", "update-to-weight", "movement", "layers-by-step")):
        assert f"at step {step:,.0f}, the newest in which they are known" in kind.answer(chapter)
        assert "newest checkpoint" not in kind.answer(chapter)


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_no_title_calls_a_rate_a_step(kind: Any) -> None:
    """E is per unit of gradient: where it is drawn the axis or the note says so, and no word calls it a size."""
    figure = kind.plot(chapter_of(4, 10))
    said = " ".join(text.get_text() for text in all_texts(figure)).replace("\n", " ")
    assert "step size" not in said
    if "E/α" in said:
        assert "per unit of gradient" in said


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, "every known update is 0"), (np.nan, "the size of the updates is not known")]
)
def test_what_stands_still_is_told_from_what_is_not_known(value: float, reason: str) -> None:
    """Updates of 0 are an answer, and no figure of them is missing for want of a rate."""
    frames = make_frames(4, 3)
    frames["parameters"]["update_rms"] = value
    (chapter,) = chapters([RunFrames("digits", **frames)])
    told = {kind.id: kind.reason_to_omit(chapter) for kind in FIGURES}["movement"]
    assert told is not None and told.startswith(reason)


def test_doubtful_values_of_one_of_several_runs_are_said_of_that_one() -> None:
    """What all share is said once, without a name."""
    frames = [make_frames(2, 2)["parameters"] for _ in range(2)]
    frames[1]["beta_2_source"] = "inferred"
    (chapter,) = chapters([RunFrames(name, frame) for name, frame in zip(("left", "right"), frames, strict=True)])
    assert chapter.doubts == ("epsilon 10⁻⁷ (assumed)", "beta_2 0.999 (inferred) in right")


def test_doubtful_values_have_a_line_of_their_own() -> None:
    """What is assumed or inferred is said in every figure that is computed with it."""
    frames = make_frames(4, 3)
    frames["parameters"]["beta_2_source"] = "inferred"
    chapter = chapters([RunFrames("digits", **frames)])[0]
    for kind in FIGURES:
        doubts = "".join(of_group(kind.plot(chapter), "doubts"))
        assert ("beta_2 0.999 (inferred)" in doubts) is (kind.id != "path")
        assert ("epsilon 10⁻⁷ (assumed)" in doubts) is (kind.id not in ("path", "gradients"))


def test_kernels_are_apart_from_biases_and_norms() -> None:
    """A panel each; by their axes, and by their names where a layer gives a bias more axes."""
    frames = make_frames(4, 3)
    frames["parameters"].loc[frames["parameters"]["parameter"] == "dense/bias", "shape"] = "2,8"
    chapter = chapters([RunFrames("digits", **frames)])[0]
    assert [members.tolist() for members in chapter.kinds().values()] == [[0, 2], [1, 3]]
    titles = [axes.get_title(loc="left") for axes in panels(plot_effective_lr(chapter))]
    assert titles == ["Kernels and embeddings (2)", "Biases and norms (2)"]


@pytest.mark.parametrize("is_sorted", [True, False])
def test_parameters_stand_in_the_models_order(is_sorted: bool) -> None:
    """The order of the frames; one that is only alphabetical counts digits."""
    names = ["norm_10/gamma", "norm_2/gamma", "norm_3/gamma", "x/kernel"]
    shown = names if is_sorted else [names[2], names[0], names[1], names[3]]
    frames = make_frames(4, 2)
    for frame in frames.values():
        frame["parameter"] = frame["parameter"].replace(dict(zip(parameter_names(4), shown, strict=True)))
    found = chapters([RunFrames("digits", **frames)])[0].parameters
    assert list(found) == ([names[1], names[2], names[0], names[3]] if is_sorted else shown)


def test_figures_are_chosen_by_name() -> None:
    """Those a person acts on by default, all on request, and single ones; another name is one sentence."""
    assert [kind.id for kind in chosen_figures()] == [
        "movement", "update-to-weight", "effective-lr", "gradients", "shares",
    ]  # fmt: skip
    assert {kind.id for kind in chosen_figures(["all"])} == {kind.id for kind in FIGURES}
    assert [kind.id for kind in chosen_figures(["layers_by_step", "movement"])] == ["movement", "layers-by-step"]
    with pytest.raises(RequestError, match=r"there is no figure 'pie': there are effective-lr, .*, and all"):
        chosen_figures(["pie"])


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_figures_leave_the_callers_settings_alone(kind: Any) -> None:
    """Drawing changes no setting of matplotlib, and opens no window."""
    import matplotlib
    from matplotlib import _pylab_helpers

    before = dict(matplotlib.rcParams)
    kind.plot(chapter_of(4, 3))
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.figs


def test_subtitle_names_run_optimizer_rule_and_source() -> None:
    """What was analysed, and where the learning rate comes from, stands under the title."""
    assert chapter_of(4, 1).subtitle == (
        "run digits", "step 100", "optimizer adam", "rule adam", "learning rate α 0.001 (read from the configuration)",
        "epsilon 10⁻⁷ (assumed)",
    )  # fmt: skip


def test_subtitle_tells_an_assumed_rate() -> None:
    """A default is never passed off as read."""
    assert chapter_of(4, 3, source="default").subtitle[3] == (
        "learning rate α 0.001 → 0.0001 (assumed: the implementation's default)"
    )


# --- effective learning rate over the run


def values_by_kind(frame: pd.DataFrame, column: str, checkpoints: int = 10) -> list[np.ndarray]:
    """The frame's values of a column, (P, K): of kernels, and of biases and norms."""
    values = frame[column].to_numpy(float).reshape(-1, checkpoints)
    is_vector = np.array(["," not in shape for shape in frame["shape"].to_numpy()[::checkpoints]])
    return [values[~is_vector], values[is_vector]]


def test_median_lines_are_the_frames_medians_over_alpha() -> None:
    """Each line is its parameter's median over the nominal rate, against the steps: a schedule is divided out."""
    frame = make_frames(4, 10)["parameters"]
    frame["relative"] = frame["effective_lr_median"] / frame["learning_rate"]
    axes_of_kinds = panels(plot_effective_lr(chapter_of(4, 10)))
    for axes, expected in zip(axes_of_kinds, values_by_kind(frame, "relative"), strict=True):
        lines = artists(axes, "line")
        np.testing.assert_array_equal(lines[0].get_xdata(), frame["step"][:10])
        np.testing.assert_allclose([line.get_ydata() for line in lines], expected)


def test_keys_name_lines_with_their_newest_values() -> None:
    """The largest first, whatever the model's order."""
    for axes in panels(plot_effective_lr(chapter_of(4, 10))):
        newest = sorted((line.get_ydata()[-1] for line in artists(axes, "line")), reverse=True)
        assert [text.rpartition("  ")[2] for text in legends(axes)] == [number(value) for value in newest]


def test_many_parameters_are_a_fan_and_the_outermost() -> None:
    """Bands run from 5 to 95 % and from 25 to 75 % of the parameters, and those that lie furthest out are named."""
    frame = make_frames(40, 10)["parameters"]
    frame["relative"] = frame["effective_lr_median"] / frame["learning_rate"]
    for axes, values in zip(
        panels(plot_effective_lr(chapter_of(40, 10))), values_by_kind(frame, "relative"), strict=True
    ):
        (middle_line,) = artists(axes, "middle")
        np.testing.assert_allclose(middle_line.get_ydata(), np.exp(np.median(np.log(values), axis=0)))
        for band, levels in zip(bands(axes), ((0.05, 0.95), (0.25, 0.75)), strict=True):
            drawn = band[:, 1]
            expected = np.exp(np.quantile(np.log(values), levels, axis=0))
            np.testing.assert_allclose([drawn.min(), drawn.max()], [expected.min(), expected.max()])
        assert len(artists(axes, "line")) == len(legends(axes)) == 4


def test_an_outlier_does_not_set_everyones_axis() -> None:
    """It is marked at the edge and named with its value, and the others keep the room."""
    frames = make_frames(12, 10)
    far = frames["parameters"]["parameter"] == "conv2d_1/bias"
    frames["parameters"].loc[far, [c for c in frames["parameters"] if c.startswith("effective_lr_")]] *= 1e6
    figure = plot_effective_lr(chapters([RunFrames("digits", **frames)])[0])
    _, vectors = panels(figure)
    assert vectors.get_ylim()[1] < 1e5
    assert len(artists(vectors, "beyond")) == 1
    assert legends(vectors)[0].startswith("conv2d_1/bias") and legends(vectors)[0].endswith("↑")
    assert_legible(figure)


def test_limits_leave_out_what_lies_far_off_alone() -> None:
    """One of many parameters, or a rare spike; where there are two there is no outlier, and steady drift is none."""
    steady = np.full((300, 5), 1.0) * np.array([1.0, 2.0, 0.5, 3.0, 1e6])
    low, high = robust_range([steady])
    assert low < 0.5 and 3.0 < high < 100
    assert robust_range([steady[:, [0, 4]]])[1] > 1e6
    spiky = np.ones((300, 3))
    spiky[7, 1] = 1e9
    assert robust_range([spiky])[1] < 100
    drifting = np.logspace(0, 8, 300)[:, None] * np.ones(3)
    assert robust_range([drifting])[1] > 1e8


def test_fans_and_distances_skip_what_is_unknown() -> None:
    """Quantiles are over what is known in a checkpoint; how far each lies out is seen in its newest value."""
    values = np.array([[1.0, 10.0, 100.0], [1.0, np.nan, 1000.0], [np.nan] * 3])
    np.testing.assert_allclose(fan(values)["q50"], [10.0, np.sqrt(1000.0), np.nan])
    np.testing.assert_allclose(np.argsort(-distance(values)), [2, 0, 1])
    assert np.isnan(distance(np.full((2, 3), np.nan))).all()


def test_rates_that_are_all_zero_have_no_figure() -> None:
    """As in bfloat16, where the correction rounds to 0: no axis can show it, and a reason is given."""
    frames = make_frames(4, 3)
    frames["parameters"]["effective_lr_median"] = 0.0
    reason = FIGURES[0].reason_to_omit(chapters([RunFrames("digits", **frames)])[0])
    assert reason is not None and reason.startswith("every known effective learning rate is 0")


def test_unknown_rate_shows_relative_rates() -> None:
    """Without a nominal rate the store holds E/α, which is drawn as it is."""
    frame = make_frames(4, 10, learning_rate=None)["parameters"]
    figure = plot_effective_lr(chapter_of(4, 10, learning_rate=None))
    for axes, expected in zip(panels(figure), values_by_kind(frame, "effective_lr_median"), strict=True):
        np.testing.assert_allclose([line.get_ydata() for line in artists(axes, "line")], expected)
    assert panels(figure)[0].get_ylabel().startswith("E/α")


def test_rates_known_in_part_are_drawn_relative_throughout() -> None:
    """Where the nominal rate is missing in one checkpoint, the others are divided by theirs."""
    frames = make_frames(4, 3)
    frame = frames["parameters"]
    is_last = frame["checkpoint_index"] == 2
    frame.loc[is_last, "learning_rate"] = np.nan
    chapter = chapters([RunFrames("digits", **frames)])[0]
    drawn = chapter.effective_lr(chapter.runs[0], "effective_lr_median")
    expected = frame["effective_lr_median"] / frame["learning_rate"].fillna(1.0)
    np.testing.assert_allclose(drawn, expected.to_numpy().reshape(4, 3).T)


def test_rates_of_zero_leave_a_gap() -> None:
    """A warm-up that begins at zero is a gap in the lines, not a fall to the bottom of the axis."""
    frames = make_frames(4, 3)
    is_first = frames["parameters"]["checkpoint_index"] == 0
    lr_columns = [c for c in frames["parameters"] if c.startswith(("effective_lr", "learning_rate"))]
    frames["parameters"].loc[is_first, [c for c in lr_columns if not c.endswith("source")]] = 0.0
    axes = panels(plot_effective_lr(chapters([RunFrames("digits", **frames)])[0]))[0]
    line, *_ = artists(axes, "line")
    assert np.isnan(line.get_ydata()[0])
    assert axes.get_ylim()[0] > 1e-6


def test_unknown_steps_are_drawn_by_checkpoint() -> None:
    """Without steps the horizontal axis counts checkpoints, and says so."""
    figure = plot_effective_lr(chapter_of(4, 10, has_steps=False))
    line, *_ = artists(panels(figure)[0], "line")
    np.testing.assert_array_equal(line.get_xdata(), range(10))
    assert any("steps not known" in text.get_text() for text in all_texts(figure))


def test_steps_that_fall_are_drawn_by_checkpoint() -> None:
    """A counter that was reset doesn't make lines run backwards."""
    frames = make_frames(4, 4)
    frames["parameters"].loc[frames["parameters"]["checkpoint_index"] == 3, "step"] = 7
    chapter = chapters([RunFrames("digits", **frames)])[0]
    np.testing.assert_array_equal(chapter.x(chapter.runs[0]), range(4))
    assert "do not rise" in chapter.x_label


def test_one_checkpoint_is_drawn_as_rows() -> None:
    """With one checkpoint a dot per parameter lies at its median, in the model's order from the top."""
    frame = make_frames(24, 1)["parameters"]
    frame["relative"] = frame["effective_lr_median"] / frame["learning_rate"]
    for axes, expected in zip(
        panels(plot_effective_lr(chapter_of(24, 1))), values_by_kind(frame, "relative", 1), strict=True
    ):
        (dots,) = artists(axes, "dot")
        places = dots.get_offsets()
        np.testing.assert_allclose(places[:, 0], expected[:, 0])
        np.testing.assert_array_equal(places[:, 1], range(len(expected)))
        assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_a_row_far_from_the_others_is_written_at_the_edge() -> None:
    """The value that the axis has no room for."""
    frames = make_frames(12, 1)
    frames["parameters"].loc[1, "update_to_weight"] = 3e5
    figure = plot_update_to_weight(chapters([RunFrames("digits", **frames)])[0])
    assert [text.get_text() for axes in figure.axes for text in artists(axes, "beyond")] == ["300,000 ▸"]
    assert_legible(figure)


def test_runs_have_a_line_each() -> None:
    """Several runs share the panels, told apart by colour and by dashes."""
    found = panels(plot_effective_lr(two_runs(4, 10)))
    titles = [axes.get_title(loc="left") for axes in found]
    assert [title.rpartition("\n")[2] for title in titles] == [parameter_names(4)[at] for at in (0, 2, 1, 3)]
    assert [title.partition(" (")[0] for title in titles[::2]] == ["Kernels and embeddings", "Biases and norms"]
    for axes in found:
        first, second = artists(axes, "line")
        assert first.get_color() != second.get_color()
        assert first._dash_pattern != second._dash_pattern


def test_runs_of_different_parameters_share_a_chapter() -> None:
    """A parameter that only one run has is drawn of that run."""
    runs = [RunFrames("small", **make_frames(2, 3)), RunFrames("large", **make_frames(4, 3))]
    chapter = chapters(runs)[0]
    assert chapter.parameters == tuple(parameter_names(4))
    assert np.isnan(chapter.runs[0].column("effective_lr_median")[:, 2:]).all()
    assert np.isfinite(chapter.runs[1].column("effective_lr_median")).all()


# --- layers by step


@pytest.mark.parametrize("parameters", [4, 40, 200])
def test_heatmap_holds_every_median(parameters: int) -> None:
    """The colours are those of all parameters' medians, a row each, a column per checkpoint."""
    frame = make_frames(parameters, 10)["parameters"]
    frame["relative"] = frame["effective_lr_median"] / frame["learning_rate"]
    found = panels(plot_layers_by_step(chapter_of(parameters, 10)))
    for axes, medians in zip(found, values_by_kind(frame, "relative"), strict=True):
        drawn = np.asarray(axes.collections[0].get_array()).reshape(-1, 10)
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(medians, axis=0))
        if len(medians) <= 24:
            np.testing.assert_allclose(drawn, medians)


def test_heatmap_leaves_missing_values_out() -> None:
    """A value that is not defined has no colour."""
    found = panels(plot_layers_by_step(chapter_of(4, 10, is_damaged=True)))
    mask = np.concatenate([np.ma.getmaskarray(a.collections[0].get_array()).reshape(2, 10) for a in found])
    assert mask[2].all()  # the first of the biases
    assert mask[:, 2].all()
    assert mask.sum() == 10 + 3


def test_heatmaps_of_runs_share_their_colours() -> None:
    """Runs lie side by side on one scale."""
    first, second = plot_layers_by_step(two_runs(4, 10)).axes[:2]
    assert first.collections[0].norm is second.collections[0].norm


def test_labels_of_crowded_rows_leave_each_other_room() -> None:
    """Of groups too thin for a label each the larger have one, and none overlaps another."""
    figure = plot_layers_by_step(chapter_of(400, 10))
    labels = [text.get_text() for text in panels(figure)[0].get_yticklabels()]
    assert any("encoder" in label for label in labels)
    assert_legible(figure)


# --- distributions


def test_distributions_show_first_and_last_checkpoint() -> None:
    """The key names up to four checkpoints, the first and the newest among them."""
    figure = plot_distributions(chapter_of(4, 10))
    key = [
        text.get_text()
        for text in all_texts(figure)
        if text.get_text().startswith("step ") and "(" not in text.get_text()
    ]
    assert key == ["step 100", "step 400", "step 700", "step 1,000"]


def test_checkpoints_are_chosen_evenly() -> None:
    """At most four of any number, without repeats."""
    assert chosen_checkpoints(1) == (0,)
    assert chosen_checkpoints(3) == (0, 1, 2)
    assert chosen_checkpoints(1000) == (0, 333, 666, 999)


def test_peaks_of_densities_lie_at_the_medians() -> None:
    """The made-up distributions are symmetric in log10, so that their peak is their median."""
    frame = make_frames(4, 1)["parameters"]
    axes, *_ = panels(plot_distributions(chapter_of(4, 1)))
    hill, *_ = hills(axes)
    x, y = hill.get_xy().T
    peak = x[y.argmax()]
    assert abs(np.log10(peak * 1e-3 / frame["effective_lr_median"][0])) < 0.1


def test_a_distribution_of_one_value_is_a_line_and_none_has_no_key() -> None:
    """As of a bias of one element, and of a checkpoint in which nothing is finite."""
    frames = make_frames(4, 10)
    bins = frames["histogram"]
    is_last = bins["checkpoint_index"] == 9
    alone = bins[(bins["parameter"] == "dense_1/bias") & ~is_last].groupby("checkpoint_index").head(1)
    frames["histogram"] = pd.concat([bins[(bins["parameter"] != "dense_1/bias") & ~is_last], alone])
    figure = plot_distributions(chapters([RunFrames("digits", **frames)])[0])
    *others, axes = panels(figure)
    assert [len(hills(each)) for each in others] == [3, 3, 3]
    drawn = [line.get_xdata()[0] * rate for line, rate in zip(artists(axes, "single"), rates_of(frames), strict=True)]
    kept = alone[alone["checkpoint_index"].isin([0, 3, 6])]
    np.testing.assert_allclose(drawn, np.sqrt(kept["low"] * kept["high"]))
    assert not [text for text in all_texts(figure) if text.get_text() == "step 1,000"]


def rates_of(frames: dict[str, pd.DataFrame]) -> list[float]:
    """The learning rates at the checkpoints that a figure of distributions chooses, but the newest."""
    first = frames["parameters"].drop_duplicates("checkpoint_index").set_index("checkpoint_index")
    return [float(first["learning_rate"][index]) for index in (0, 3, 6)]


# --- update to weight


def test_kernels_and_biases_are_judged_apart() -> None:
    """A norm that hardly moves is no statement about the layers."""
    frames = make_frames(4, 3)
    is_bias = frames["parameters"]["parameter"].str.endswith("bias")
    frames["parameters"]["update_to_weight"] = np.where(is_bias, 1e-5, 1e-3)
    (kind,) = (k for k in FIGURES if k.id == "update-to-weight")
    told = kind.answer(chapters([RunFrames("digits", **frames)])[0])
    assert told.startswith("The newest update changed 2 of 2 biases and norms by less than 0.0001: hardly learning (")
    assert told.endswith(" In the usual band: all 2 kernels and embeddings.")


def test_ratio_lines_are_the_frames_ratios() -> None:
    """Each panel's line is its parameter's ratio, and a line lies at a thousandth."""
    frame = make_frames(4, 10)["parameters"]
    found = panels(plot_update_to_weight(chapter_of(4, 10)))
    for axes, expected in zip(found, values_by_kind(frame, "update_to_weight"), strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in artists(axes, "line")], expected)
        (usual,) = artists(axes, "usual")
        assert list(usual.get_ydata()) == [1e-3, 1e-3]


def test_zero_and_infinite_ratios_are_left_out() -> None:
    """Where the weights or the update are zero the line has a gap, and the axis stays finite."""
    frames = make_frames(4, 10)
    frames["parameters"].loc[[0, 1], "update_to_weight"] = [0.0, np.inf]
    axes = panels(plot_update_to_weight(chapters([RunFrames("digits", **frames)])[0]))[0]
    line, *_ = artists(axes, "line")
    assert np.isnan(line.get_ydata()[:2]).all()
    assert np.isfinite(axes.get_ylim()).all()


# --- movement and gradients


def test_movement_is_the_frames_and_is_divided_by_a_rate_that_changes() -> None:
    """RMS of Δ above, and of Δ/α below where a schedule would hide all else; without a schedule one row."""
    frame = make_frames(4, 10)["parameters"]
    found = plot_movement(chapter_of(4, 10)).axes
    expected = [*values_by_kind(frame, "update_rms"), *values_by_kind(frame, "relative_update_rms")]
    for axes, values in zip(found, expected, strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in artists(axes, "line")], values)
    frames = make_frames(4, 10)
    frames["parameters"]["learning_rate"] = 1e-3
    assert len(plot_movement(chapters([RunFrames("digits", **frames)])[0]).axes) == 2


def test_gradients_are_the_frames_with_their_bounds() -> None:
    """Each line is its parameter's; of few the bounds are shaded."""
    frame = make_frames(4, 10)["parameters"]
    found = panels(plot_gradients(chapter_of(4, 10)))
    for axes, values in zip(found, values_by_kind(frame, "window_gradient_rms"), strict=True):
        np.testing.assert_array_equal([line.get_ydata() for line in artists(axes, "line")], values)
    for axes, lows in zip(found, values_by_kind(frame, "window_gradient_rms_low"), strict=True):
        for band, low in zip(bands(axes), lows, strict=True):
            assert set(low[1:]) <= set(band[:, 1])
            assert np.isclose(band[:, 1], axes.get_ylim()[1]).any()  # one not known is open


def test_gradients_that_have_ended_are_0_in_words_and_beside_their_names() -> None:
    """A logarithmic axis shows the last above 0, which is not the newest."""
    frames = make_frames(4, 10)
    table = frames["parameters"]
    has_ended = (table["checkpoint_index"] > 5) & table["parameter"].str.startswith("dense/")
    table.loc[has_ended, "window_gradient_rms"] = 0.0
    (chapter,) = chapters([RunFrames("digits", **frames)])
    words = answer_of("gradients", chapter)
    assert words.startswith("In the newest window (RMS): kernels and embeddings 0 in 1 of 2, else ")
    named = [text.get_text() for axes in panels(plot_gradients(chapter)) for text in axes.get_legend().get_texts()]
    assert {"dense/kernel  0", "dense/bias  0"} <= set(named)


# --- elements


def test_fans_of_elements_are_the_frames_quantiles() -> None:
    """The band runs from 5 to 95 % of a parameter's elements, over α, and the line is the median."""
    frame = make_frames(4, 10)["parameters"]
    for axes in panels(plot_elements(chapter_of(4, 10))):
        of_parameter = frame[frame["parameter"] == axes.get_title(loc="left").rpartition("\n")[2]]
        for band, name in zip(bands(axes), ("q05-q95",), strict=True):
            columns = [of_parameter[f"effective_lr_{q}"] / of_parameter["learning_rate"] for q in name.split("-")]
            ends = np.unique(band[:, 1])
            np.testing.assert_allclose(ends, np.unique(np.concatenate(columns)))
        (line,) = artists(axes, "line")
        np.testing.assert_allclose(
            line.get_ydata(), of_parameter["effective_lr_median"] / of_parameter["learning_rate"]
        )


# --- shares


def test_shares_are_the_frames_shares_of_affected_parameters() -> None:
    """A row of panels for each share; only parameters with any have a line, or a place in the fan of all."""
    frame = make_frames(40, 10)["parameters"]
    found = iter(plot_shares(chapter_of(40, 10)).axes)
    for column, label in SHARE_LABELS.items():
        for values in values_by_kind(frame, column):
            axes, affected = next(found), values[values.max(axis=1) > 0]
            assert axes.get_ylabel() in ("", label.partition(" (")[0])
            assert axes.get_title(loc="left").endswith(f"({len(affected)} of {len(values)})")
            np.testing.assert_array_equal([line.get_ydata() for line in artists(axes, "line")], affected)
            assert len(legends(axes)) == len(affected)
    assert next(found, None) is None


@pytest.mark.parametrize("checkpoints", [1, 3])
def test_shares_of_one_checkpoint_or_several_runs_are_rows_of_dots(checkpoints: int) -> None:
    """A column for each share, on an axis from 0 up: dots at the newest, of parameters that are affected anywhere."""
    frame = make_frames(40, checkpoints, seed=1)["parameters"]
    chapter = chapter_of(40, 1, seed=1) if checkpoints == 1 else two_runs(40, checkpoints)
    figure, columns = plot_shares(chapter), [column for column in SHARE_LABELS if frame[column].any()]
    for axes, column in zip(figure.axes, columns, strict=False):
        (kernels, _) = values_by_kind(frame, column, checkpoints)
        dots = np.asarray(artists(axes, "dot")[0].get_offsets())
        assert set(dots[:, 0]) == {0.0, *kernels[:, -1]}
        assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
    assert len(figure.axes) == 2 * len(columns)


def test_where_nothing_is_finite_no_share_is_known() -> None:
    """Lines end before it, and the newest known values are told, instead of a fall to 0."""
    frames = make_frames(4, 10)
    rows = frames["parameters"]
    rows["untouched"] = np.where(rows["checkpoint_index"] < 6, 0.25, 0.0)
    rows["nonfinite"] = np.where(rows["checkpoint_index"] < 6, 0, rows["size"])
    figure = plot_shares(chapters([RunFrames("digits", **frames)])[0])
    (line, *_) = artists(figure.axes[0], "line")
    np.testing.assert_array_equal(np.asarray(line.get_ydata(), float), [0.25] * 6 + [np.nan] * 4)
    assert {label.rpartition("  ")[2] for label in legends(figure.axes[0])} == {"25 %"}
    (answer,) = of_group(figure, "answer")
    assert answer.startswith("At step 600, the newest in which they are known: untouched: 4 of 4 parameters")


def test_shares_say_how_many_parameters_are_not_drawn() -> None:
    """Those without an element that is untouched, ε-dominated or lost in rounding."""
    frames = make_frames(4, 10)
    rows = frames["parameters"]
    first = rows["parameter"] == rows["parameter"].iloc[0]
    for column in SHARE_LABELS:
        rows[column] = np.where(first, 0.25, 0.0)
    (note,) = of_group(plot_shares(chapters([RunFrames("digits", **frames)])[0]), "note")
    assert note.endswith("Not drawn: 3 parameters without any such element.")


def test_axes_of_small_shares_have_ticks_that_differ() -> None:
    """A tick is a place on the axis, which has a number however small."""
    frames = make_frames(4, 3)
    frames["parameters"][[*SHARE_LABELS]] = [0.0007, 0.0, 0.0]
    axes = plot_shares(chapters([RunFrames("digits", **frames)])[0]).axes[0]
    texts = [text.get_text() for text in axes.get_yticklabels()]
    assert "0.02 %" in texts and len(set(texts)) == len(texts)


def test_a_share_that_was_large_once_has_a_line_however_long_the_run() -> None:
    """A spike is neither thinned out nor hidden behind parameters with a larger newest share."""
    frames = make_frames(40, 500)
    frame = frames["parameters"]
    frame["lost_in_rounding"] = np.where(frame["checkpoint_index"] == 499, 0.001, 0.0)
    is_spike = (frame["parameter"] == "conv2d_3/kernel") & (frame["checkpoint_index"] == 123)
    frame.loc[is_spike, "lost_in_rounding"] = 0.5
    (chapter,) = chapters([RunFrames("digits", **frames)])
    axes = plot_shares(chapter).axes[-2]
    assert any(label.startswith("conv2d_3/kernel") for label in legends(axes))
    assert max(np.nanmax(line.get_ydata()) for line in artists(axes, "line")) == 0.5


def test_long_runs_are_drawn_by_the_checkpoints_that_tell_most() -> None:
    """A few hundred of them, the first, the last and extremes; what is written beside is of all."""
    frames = make_frames(4, 2000)
    frames["parameters"].loc[777, "update_rms"] = 1.0
    (chapter,) = chapters([RunFrames("digits", **frames)])
    line, *_ = artists(plot_movement(chapter).axes[0], "line")
    assert len(line.get_xdata()) <= 402
    assert {100, 77_800, 200_000} <= set(line.get_xdata())


def test_affected_parameters_keep_their_layers_names() -> None:
    """What the affected few share, others don't: it is not left out."""
    named = [label.rpartition("  ")[0] for axes in plot_shares(chapter_of(4, 10)).axes for label in legends(axes)]
    assert named == ["dense_1/bias", "dense_1/kernel"]


def test_no_share_at_all_has_no_figure() -> None:
    """A reason stands in place of empty panels; it is enough that one share was above 0 once."""
    frames = make_frames(4, 10)
    parameters = frames["parameters"]
    parameters[[*SHARE_LABELS]] = 0.0
    (kind,) = (k for k in FIGURES if k.id == "shares")
    told = kind.reason_to_omit(chapters([RunFrames("digits", **frames)])[0])
    assert told == "no element is known to be untouched, ε-dominated or lost in rounding in any checkpoint"
    parameters.loc[0, "untouched"] = 0.5
    assert kind.reason_to_omit(chapters([RunFrames("digits", **frames)])[0]) is None


def test_no_share_is_said_of_the_checkpoints_in_which_it_is_known() -> None:
    """A run that ended in NaN has no elements that don't adapt up to then."""
    frames = make_frames(4, 10)
    parameters = frames["parameters"]
    parameters[[*SHARE_LABELS]] = 0.0
    parameters.loc[0, "untouched"] = 0.5
    parameters.loc[parameters["checkpoint_index"] > 7, [*SHARE_LABELS]] = np.nan
    (answer,) = of_group(plot_shares(chapters([RunFrames("digits", **frames)])[0]), "answer")
    step = parameters.loc[parameters["checkpoint_index"] == 7, "step"].iloc[0]
    assert answer == f"Nowhere at step {step:,}, the newest in which they are known; earlier, some elements."


# --- differences


def diff_frame(count: int) -> pd.DataFrame:
    """A frame like `Diff.to_frame()`: the first was added, the second was all zeros, the last is the same."""
    rng = np.random.default_rng(3)
    before = 10 ** rng.normal(-2, 0.5, count)
    frame = pd.DataFrame(
        {
            "optimizer": "adam",
            "parameter": parameter_names(count),
            "status": "changed",
            "effective_lr_a": before,
            "effective_lr_b": before * 10 ** rng.normal(0, 0.4, count),
            "weight_change": np.sort(10 ** rng.normal(-2, 1, count))[::-1],
            "first_moment_change": 10 ** rng.normal(0, 0.2, count),
            "second_moment_change": 10 ** rng.normal(-0.5, 0.3, count),
        }
    )
    frame.loc[0, ["effective_lr_a", "weight_change"]] = np.nan
    frame.loc[0, "status"] = "added"
    frame.loc[1, "weight_change"] = np.inf
    frame.loc[count - 1, "status"] = "same"
    frame.loc[count - 1, "weight_change"] = 0.0
    return frame


@pytest.mark.parametrize("count", [2, 4, 40, 200])
def test_diff_is_legible(count: int) -> None:
    """Differences of any number of parameters are legible."""
    assert_legible(plot_diff(diff_frame(count), "runs/a-long-name-of-a-run/checkpoints/ckpt-1", "ckpt-2"))


def test_dots_are_ratios_of_rates_and_changes() -> None:
    """E in B over E in A, and the weights' change; what did not change has no dot, and what came from zero an arrow."""
    frame = diff_frame(4)
    rates, weights = plot_diff(frame).axes
    (ratios,) = artists(rates, "dot")
    np.testing.assert_allclose(ratios.get_offsets()[:, 0], (frame["effective_lr_b"] / frame["effective_lr_a"])[1:])
    (dots,) = artists(weights, "dot")
    finite = dots.get_offsets()[np.isfinite(dots.get_offsets()[:, 0])]
    assert list(finite[:, 0]) == [frame["weight_change"][2]]
    (right,) = artists(weights, "beyond")
    assert right.get_position()[1] == 1
    assert [text.get_text() for text in artists(weights, "status")] == ["added", "same"]


def test_extremes_of_a_diff_have_their_numbers() -> None:
    """The largest ratios of E, and the smallest."""
    frame = diff_frame(40)
    rates, *_ = plot_diff(frame).axes
    ratios = (frame["effective_lr_b"] / frame["effective_lr_a"]).dropna().sort_values(ascending=False)
    texts = [text.get_text() for text in artists(rates, "extreme")]
    assert texts == [number(ratios.iloc[at]) for at in (0, 1, -1)]


def test_a_value_written_at_the_edge_of_a_diff_is_written_once() -> None:
    """It is no extreme beside a dot as well."""
    frame = diff_frame(40)
    frame.loc[5, "weight_change"] = 1e12
    figure = plot_diff(frame)
    weights = figure.axes[1]
    assert "10¹² ▸" in [text.get_text() for text in artists(weights, "beyond")]
    assert "10¹²" not in [text.get_text() for text in artists(weights, "extreme")]
    assert_legible(figure)


def test_diff_of_nothing_is_refused() -> None:
    """Nothing compared: one sentence, not an empty figure."""
    with pytest.raises(RequestError, match="no parameter or tensor was compared"):
        plot_diff(diff_frame(4).iloc[:0])


# --- statistics and labels


def test_runs_are_as_far_apart_as_their_newest_values() -> None:
    """In decades; not known where a run has no value."""
    first, second = np.array([[9.0, 1.0, 1.0]]), np.array([[5.0, 5.0, 5.0], [0.9, np.nan, np.nan]])
    np.testing.assert_allclose(apart([first, second]), [1.0, np.log10(5.0), np.log10(5.0)])
    assert np.isnan(apart([first, second * np.nan])).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "0.001"), (0.00012345, "0.00012"), (3.21e-6, "3.2·10⁻⁶"), (1e-7, "10⁻⁷"), (1234.0, "1,200"), (2.0, "2"),
     (0.0, "0"), (float("nan"), "-"), (9.99e-4, "0.001"), (12345.0, "12,000"), (1e12, "10¹²")],
)  # fmt: skip
def test_numbers_are_written_as_people_do(value: float, text: str) -> None:
    """Two significant digits, powers of ten only where digits would be many."""
    assert number(value) == text


def test_two_runs_of_one_name_are_refused() -> None:
    """Runs that could not be told apart are not drawn over each other."""
    frames = make_frames(2, 2)
    with pytest.raises(RequestError, match="same name"):
        chapters([RunFrames("a", **frames), RunFrames("a", **frames)])


def test_each_optimizer_has_its_chapter() -> None:
    """A GAN's two optimizers are drawn apart."""
    frames = make_frames(4, 3, optimizers=("generator", "discriminator"))
    assert [chapter.optimizer for chapter in chapters([RunFrames("gan", **frames)])] == ["generator", "discriminator"]


SEGMENTS = (Segment(0, 4, "start"), Segment(4, 7, "state-lost"), Segment(7, 10, "rate-jumped"))
OVER_RUN = [kind for kind in FIGURES if kind.id != "distributions"]
MARKED = {"shares": 6, "elements": 11, "movement": 4, "effective-lr": 4, "path": 4}
"""Panels of a run of twelve parameters, of kernels and of biases and norms, that bear the marks; of others two."""


def cut_chapter(parameters: int, segments: tuple[Segment, ...] = SEGMENTS, **options: Any) -> Chapter:
    """The chapter of a run of ten checkpoints with these segments."""
    return chapters([RunFrames("digits", **make_frames(parameters, 10, **options), segments=segments)])[0]


def marks(figure: Any) -> list[list[float]]:
    """Where lines mark a segment's beginning, in each of the axes that have any."""
    found = [[float(line.get_xdata()[0]) for line in artists(axes, "beginning")] for axes in figure.axes]
    return [places for places in found if places]


@pytest.mark.parametrize("kind", OVER_RUN, ids=lambda kind: kind.id)
def test_where_segments_begin_is_marked(kind: Any) -> None:
    """A line at the step of the checkpoint in every panel, or at its column's edge in a heatmap; the page says why."""
    figure = kind.plot(cut_chapter(12))
    is_heatmap = kind.id == "layers-by-step"
    assert marks(figure) == [[4.0, 7.0] if is_heatmap else [500.0, 800.0]] * MARKED.get(kind.id, 2)
    texts = " ".join(text.get_text() for text in all_texts(figure))
    assert "state not carried on" in texts
    assert "rate jumped" in texts
    dashes = {str(line.get_linestyle()) + str(line._dash_pattern) for line in artists(figure.axes[0], "beginning")}
    assert len(dashes) == 2  # told apart without colour


@pytest.mark.parametrize("kind", OVER_RUN, ids=lambda kind: kind.id)
def test_a_run_of_one_segment_has_no_marks(kind: Any) -> None:
    """Nothing is marked, and nothing is said of it."""
    figure = kind.plot(cut_chapter(12, (Segment(0, 10, "start"),)))
    assert not marks(figure)
    assert not any("carried on" in text.get_text() for text in visible_texts(figure))


@pytest.mark.parametrize("parameters", [1, 4, 40, 400])
@pytest.mark.parametrize("kind", OVER_RUN, ids=lambda kind: kind.id)
def test_marks_are_legible(kind: Any, parameters: int) -> None:
    """The key that explains them overlaps nothing, at any size, whether there are few or many."""
    every = tuple(Segment(i, i + 1, "state-lost" if i else "start") for i in range(10))
    for segments in (SEGMENTS, every):
        chapter = cut_chapter(parameters, segments)
        if kind.reason_to_omit(chapter) is None:
            assert_legible(kind.plot(chapter))


def test_steps_that_fall_are_marked_by_checkpoint() -> None:
    """Where the step fell, checkpoints are drawn in their order, and so are the marks."""
    frames = make_frames(4, 10)
    for frame in frames.values():
        frame.loc[frame["checkpoint_index"] >= 4, "step"] -= 400
    chapter = chapters([RunFrames("digits", **frames, segments=SEGMENTS)])[0]
    assert marks(plot_effective_lr(chapter)) == [[4.0, 7.0]] * 4


def test_an_optimizer_that_lacks_the_checkpoint_is_marked_at_its_next() -> None:
    """A segment begins at the first checkpoint of it that the optimizer has; none before its own first."""
    frames = {kind: f[~f["checkpoint_index"].isin([4, 7, 8, 9])] for kind, f in make_frames(4, 10).items()}
    chapter = chapters([RunFrames("digits", **frames, segments=SEGMENTS)])[0]
    assert marks(plot_effective_lr(chapter)) == [[600.0]] * 4
    frames = {kind: f[f["checkpoint_index"] >= 5] for kind, f in make_frames(4, 10).items()}
    chapter = chapters([RunFrames("digits", **frames, segments=SEGMENTS)])[0]
    assert marks(plot_effective_lr(chapter)) == [[800.0]] * 4


def test_no_curve_goes_across_state_that_was_not_carried_on() -> None:
    """A line has a gap there and a fan begins anew; a rate that jumped breaks nothing."""
    frame = make_frames(12, 10)["parameters"]
    for axes, values in zip(panels(plot_movement(cut_chapter(12))), values_by_kind(frame, "update_rms"), strict=True):
        for line in artists(axes, "line"):
            drawn = np.asarray(line.get_ydata())
            assert np.flatnonzero(np.isnan(drawn)).tolist() == [4]
            assert any(np.array_equal(np.delete(drawn, 4), of_parameter) for of_parameter in values)
        spans = [(band[:, 0].min(), band[:, 0].max()) for band in bands(axes)]
        assert len(spans) == (4 if len(values) > 8 else 0)
        assert set(spans) <= {(100.0, 400.0), (500.0, 1000.0)}


def test_outliers_are_marked_beside_each_other() -> None:
    """Two that leave the axis at one step have two marks, at two places."""
    frames = make_frames(12, 10)
    far = frames["parameters"]["parameter"].isin(["conv2d_1/bias", "conv2d_2/bias"])
    frames["parameters"].loc[far, [c for c in frames["parameters"] if c.startswith("effective_lr_")]] *= 1e6
    _, vectors = panels(plot_effective_lr(chapters([RunFrames("digits", **frames)])[0]))
    marked = artists(vectors, "beyond")
    assert len(marked) == 2
    places = [mark.get_transform().transform(np.column_stack(mark.get_data()))[0, 0] for mark in marked]
    assert abs(places[0] - places[1]) > 10


def test_a_line_that_left_the_axis_early_ends_without_an_arrow() -> None:
    """Its name stands beside the newest value, which is within; the mark stands inside the panel."""
    frames = make_frames(4, 200)
    early = (frames["parameters"]["parameter"] == "dense/bias") & (frames["parameters"]["checkpoint_index"] == 1)
    frames["parameters"].loc[early, "update_rms"] *= 1e-9
    figure = plot_movement(chapters([RunFrames("digits", **frames)])[0])
    figure.draw_without_rendering()
    vectors = panels(figure)[1]
    (mark,) = artists(vectors, "beyond")
    assert not any(text.endswith(("↓", "↑")) for text in legends(vectors))
    assert vectors.get_window_extent().x0 <= mark.get_window_extent().x0


def test_rows_of_several_measures_have_their_names_once() -> None:
    """At the left of the first, kernels and vectors on one axis."""
    figure = plot_effective_lr(chapter_of(4, 1))
    figure.draw_without_rendering()
    shown = [[tick.label1.get_text() for tick in axes.yaxis.get_major_ticks() if tick.label1.get_visible()]
             for axes in figure.axes]  # fmt: skip
    assert shown == [["dense/kernel", "dense_1/kernel"], [], ["dense/bias", "dense_1/bias"], []]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "E/α, per unit of gradient", "RMS of Δ/α"]
    assert len({axes.get_position().x0 for axes in figure.axes}) == 2


def test_values_that_are_not_finite_are_marked() -> None:
    """A line at the first checkpoint that has any, called so."""
    frames = make_frames(4, 10)
    frames["parameters"].loc[frames["parameters"]["checkpoint_index"] >= 6, "nonfinite"] = 3
    figure = plot_movement(chapters([RunFrames("digits", **frames)])[0])
    assert marks(figure) == [[700.0]] * 4
    assert any(text.get_text() == "NaN or infinite values" for text in all_texts(figure))


def test_marks_of_several_runs_have_their_colours() -> None:
    """Each run's lines are drawn in its colour."""
    runs = [RunFrames(f"seed {s}", **make_frames(4, 10, seed=s), segments=cut) for s, cut in ((1, SEGMENTS), (2, ()))]
    figure = plot_effective_lr(chapters(runs)[0])
    assert marks(figure) == [[500.0, 800.0]] * 4
    assert {line.get_color() for line in artists(figure.axes[0], "beginning")} == {"#0173b2"}


def test_a_path_that_fewer_elements_tell_says_from_where_on() -> None:
    """In the answer, so that a kink there is not taken for one of the training."""
    frames = make_frames(4, 6)
    rows = frames["parameters"]
    rows["path_elements"] = np.where(rows["checkpoint_index"] < 4, 256.0, 16.0)
    told = "From step 500 on it is estimated from at most 16 elements of a parameter, before from up to 256"
    assert told in path_answer(frames)
    assert "estimated" not in path_answer(make_frames(4, 6) | {"parameters": rows.assign(path_elements=rows["size"])})


def path_answer(frames: dict[str, Any]) -> str:
    """What the figure of the weights' path answers."""
    (kind,) = (kind for kind in FIGURES if kind.id == "path")
    return kind.answer(chapters([RunFrames("digits", **frames)])[0])


@pytest.mark.parametrize(
    ("limits", "texts"),
    [
        ((0.003, 0.04), ["0.005", "0.01", "0.02"]),
        ((0.8e-5, 2.2e-4), ["10⁻⁵", "2·10⁻⁵", "5·10⁻⁵", "10⁻⁴", "2·10⁻⁴"]),
        ((0.9, 1100.0), ["1", "10", "100", "1,000"]),
        ((1e-9, 1e9), ["10⁻⁹", "10⁻⁵", "10⁻¹", "10³", "10⁷"]),
    ],
)  # fmt: skip
def test_ticks_are_few_round_and_written_alike(limits: tuple[float, float], texts: list[str]) -> None:
    """Finer than powers of ten on a short axis; plain, or all in powers."""
    ticks = log_ticks(*limits, 6)
    assert all(limits[0] <= tick <= limits[1] for tick in ticks)
    assert [*ticks.values()] == texts


@pytest.mark.parametrize("parameters", [8, 40])
def test_a_layer_has_one_colour_in_all_figures(parameters: int) -> None:
    """Whichever lines a panel has, and however many layers there are; lines of one panel are told apart."""
    frames = make_frames(parameters, 10)
    chapter = chapters([RunFrames("digits", **frames)])[0]
    colors: dict[str, set[str]] = {}
    for plot in (plot_effective_lr, plot_update_to_weight, plot_shares, plot_gradients, plot_movement):
        for axes in plot(chapter).axes:
            lines = axes.get_legend().get_lines() if axes.get_legend() else []
            for line, text in zip(lines, legends(axes), strict=True):
                colors.setdefault(text.partition("  ")[0], set()).add(line.get_color())
            assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == len(lines)
    assert len(colors) >= min(parameters, 9)
    assert all(len(each) == 1 for each in colors.values())
    places = colors_of(chapter).tolist()
    of_layers = {(layer_of(name), place) for name, place in zip(chapter.parameters, places, strict=True)}
    assert len(of_layers) == len({layer for layer, _ in of_layers})


def test_layers_have_colours_by_their_order_or_of_many_by_whom_they_stand_beside() -> None:
    """A panel's lines differ, whatever their places in the model."""
    assert places_of(["a/kernel", "b/kernel", "a/bias"], [[2]]) == [0, 1, 0]
    names = [f"layer_{at}/kernel" for at in range(40)]
    places = places_of(names, [[0, 7, 14], [21, 7, 28]])
    assert len({places[at] for at in (0, 7, 14)}) == len({places[at] for at in (21, 7, 28)}) == 3
    assert set(places) == set(range(MOST_COLORS))


def test_one_step_that_is_not_known_is_not_called_one_that_falls() -> None:
    """Its checkpoint has no place on an axis of steps."""
    frames = make_frames(4, 4)
    frames["parameters"]["step"] = frames["parameters"]["step"].astype(float)
    frames["parameters"].loc[frames["parameters"]["checkpoint_index"] == 2, "step"] = np.nan
    chapter = chapters([RunFrames("digits", **frames)])[0]
    assert chapter.x_label == "checkpoint (in training order; steps not known in every checkpoint)"


def test_a_path_of_sampled_elements_says_so() -> None:
    """How many parameters it is of, and how many elements."""
    frames = make_frames(4, 6)
    frames["parameters"]["path_elements"] = np.minimum(frames["parameters"]["size"], 256.0)
    assert path_answer(frames).endswith(" Of 2 of 4 parameters it is estimated from 256 elements at most.")
