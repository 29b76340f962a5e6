"""Figures, judged by the numbers of their artists and by the room that their texts take, not by pixels."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.frames_for_plots import make_frames, parameter_names

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.errors import RequestError
from ckpt_inspect.presentation.plots import FIGURES, Chapter, RunFrames, chapters, chosen_checkpoints, plot_diff
from ckpt_inspect.presentation.plots.chapter import KNOTS, mixture_quantiles
from ckpt_inspect.presentation.plots.distributions import density, plot_distributions
from ckpt_inspect.presentation.plots.elements import changes, plot_elements
from ckpt_inspect.presentation.plots.layers_by_step import plot_layers_by_step, spread
from ckpt_inspect.presentation.plots.over_run import plot_effective_lr
from ckpt_inspect.presentation.plots.shares import SHARES, plot_shares
from ckpt_inspect.presentation.plots.style import counts, log_ticks, number
from ckpt_inspect.presentation.plots.update_to_weight import middle, plot_update_to_weight


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


def panels(figure: Any) -> list[Any]:
    """The panels of small multiples, by their titles' order."""
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def visible_texts(figure: Any) -> Iterator[Any]:
    """Every text of the figure that is drawn."""
    yield from figure.texts
    for axes in figure.axes:
        yield from axes.texts
        yield from (axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            for tick in axis.get_major_ticks():
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
    figure.texts[0].set_y(figure.texts[1].get_position()[1])
    with pytest.raises(AssertionError, match="How does each"):
        assert_legible(figure)
    figure = plot_effective_lr(chapter_of(4, 10))
    panels(figure)[0].set_title("x" * 300, loc="left")
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
    for kind in FIGURES:
        assert_legible(kind.plot(chapter))


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.id)
def test_title_is_the_question(kind: Any) -> None:
    """A figure's title is the question that the report lists it under."""
    titles = [text.get_text() for text in kind.plot(chapter_of(4, 10)).texts if text.get_gid() == "title"]
    assert " ".join(titles) == kind.question


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
    )  # fmt: skip


def test_subtitle_tells_an_assumed_rate() -> None:
    """A default is never passed off as read."""
    assert chapter_of(4, 3, source="default").subtitle[-1] == (
        "learning rate α 0.001 → 0.0001 (assumed: the implementation's default)"
    )


# --- effective learning rate over the run


def test_median_lines_are_the_frames_medians() -> None:
    """Each panel's line is its parameter's median, against the steps."""
    frame = make_frames(4, 10)["parameters"]
    for axes in panels(plot_effective_lr(chapter_of(4, 10))):
        (line,) = artists(axes, "median")
        of_parameter = frame[frame["parameter"] == axes.get_title(loc="left")]
        np.testing.assert_array_equal(line.get_xdata(), of_parameter["step"])
        np.testing.assert_array_equal(line.get_ydata(), of_parameter["effective_lr_median"])


def test_bands_are_the_frames_quantiles() -> None:
    """The bands run from 5 to 95 % and from 25 to 75 %."""
    frame = make_frames(4, 10)["parameters"]
    axes = panels(plot_effective_lr(chapter_of(4, 10)))[0]
    of_parameter = frame[frame["parameter"] == "dense/kernel"]
    outer, inner = (c.get_paths()[0].vertices[:, 1] for c in axes.collections)
    assert set(of_parameter["effective_lr_q05"]) | set(of_parameter["effective_lr_q95"]) == set(outer)
    assert set(of_parameter["effective_lr_q25"]) | set(of_parameter["effective_lr_q75"]) == set(inner)


def test_nominal_line_is_the_nominal_rate() -> None:
    """The dashed line follows the schedule's rate."""
    frame = make_frames(4, 10)["parameters"]
    rates = frame.groupby("checkpoint_index")["learning_rate"].first()
    for axes in panels(plot_effective_lr(chapter_of(4, 10))):
        (line,) = artists(axes, "nominal")
        np.testing.assert_array_equal(line.get_ydata(), rates)


def test_unknown_rate_shows_relative_rates_and_no_nominal_line() -> None:
    """Without a nominal rate E/α is drawn, the axis says so, and no line pretends to be the rate."""
    figure = plot_effective_lr(chapter_of(4, 10, learning_rate=None))
    labels = " ".join(text.get_text() for text in figure.texts if text.get_gid() == "ylabel")
    assert labels.startswith("E/α")
    assert not any(artists(axes, "nominal") for axes in figure.axes)


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
    (line,) = artists(axes, "median")
    assert np.isnan(line.get_ydata()[0])
    assert axes.get_ylim()[0] > 1e-6


def test_unknown_steps_are_drawn_by_checkpoint() -> None:
    """Without steps the horizontal axis counts checkpoints, and says so."""
    figure = plot_effective_lr(chapter_of(4, 10, has_steps=False))
    (line,) = artists(panels(figure)[0], "median")
    np.testing.assert_array_equal(line.get_xdata(), range(10))
    assert any("steps not known" in text.get_text() for text in figure.texts)


def test_steps_that_fall_are_drawn_by_checkpoint() -> None:
    """A counter that was reset doesn't make lines run backwards."""
    frames = make_frames(4, 4)
    frames["parameters"].loc[frames["parameters"]["checkpoint_index"] == 3, "step"] = 7
    chapter = chapters([RunFrames("digits", **frames)])[0]
    np.testing.assert_array_equal(chapter.x(chapter.runs[0]), range(4))
    assert "do not rise" in chapter.x_label


def test_one_checkpoint_is_drawn_as_rows() -> None:
    """With one checkpoint a dot per parameter lies at its median, and the nominal rate is a vertical line."""
    frame = make_frames(40, 1)["parameters"]
    (axes,) = plot_effective_lr(chapter_of(40, 1)).axes
    (dots,) = artists(axes, "median")
    np.testing.assert_array_equal(dots.get_xdata(), frame["effective_lr_median"])
    (nominal,) = artists(axes, "nominal")
    assert list(nominal.get_xdata()) == [1e-3, 1e-3]


def test_runs_have_a_line_each() -> None:
    """Several runs share the panels, told apart by colour and by dashes."""
    for axes in panels(plot_effective_lr(two_runs(4, 10))):
        first, second = artists(axes, "median")
        assert first.get_color() != second.get_color()
        assert first.get_linestyle() != second.get_linestyle()


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
    mesh = plot_layers_by_step(chapter_of(parameters, 10)).axes[0].collections[0]
    medians = frame["effective_lr_median"].to_numpy().reshape(parameters, 10)
    drawn = np.asarray(mesh.get_array()).reshape(parameters, 10)
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(medians, axis=0))
    if parameters <= 48:
        np.testing.assert_array_equal(drawn, medians)


def test_heatmap_leaves_missing_values_out() -> None:
    """A value that is not defined has no colour."""
    mesh = plot_layers_by_step(chapter_of(4, 10, is_damaged=True)).axes[0].collections[0]
    mask = np.ma.getmaskarray(mesh.get_array()).reshape(4, 10)
    assert mask[1].all()
    assert mask[:, 2].all()
    assert mask.sum() == 10 + 3


def test_heatmap_states_newest_and_change() -> None:
    """Beside a row stand its newest median and its ratio to the first."""
    frame = make_frames(4, 10)["parameters"]
    texts = [text.get_text() for text in artists(plot_layers_by_step(chapter_of(4, 10)).axes[0], "row number")]
    medians = frame["effective_lr_median"].to_numpy().reshape(4, 10)
    assert texts[::2] == [number(row[-1]) for row in medians]
    assert texts[1::2] == [f"×{number(row[-1] / row[0])}" for row in medians]


def test_heatmaps_of_runs_share_their_colours() -> None:
    """Runs lie side by side on one scale."""
    first, second = plot_layers_by_step(two_runs(4, 10)).axes[:2]
    assert first.collections[0].norm is second.collections[0].norm


def test_spread_keeps_order_and_distance() -> None:
    """Labels of crowded rows move apart, stay in order, and stay on the page."""
    places = spread(np.array([0.5, 1.0, 1.5, 50.0, 99.5, 99.9]), 5.0, 100.0)
    assert (np.diff(places) >= 5.0 - 1e-9).all()
    assert places[0] >= 2.5
    assert places[-1] <= 97.5
    assert places[3] == 50.0


# --- distributions


def test_density_has_area_one_and_lies_where_the_counts_are() -> None:
    """Densities are per decade; their mean is that of the counts, to the width of a cell."""
    bins = np.array([[0.1, 0.2, 3.0], [0.2, 0.4, 5.0], [10.0, 20.0, 2.0]])
    edges = np.linspace(-3, 3, 601)
    values = density(bins, edges)
    centres = (edges[:-1] + edges[1:]) / 2
    assert np.isclose(values.sum() * 0.01, 1.0)
    middles = np.log10(np.sqrt(bins[:, 0] * bins[:, 1]))
    assert np.isclose((values * centres).sum() * 0.01, np.average(middles, weights=bins[:, 2]), atol=0.005)
    assert np.isclose(values[centres > 0.5].sum() * 0.01, 0.2, atol=1e-6)


def test_distributions_show_first_and_last_checkpoint() -> None:
    """The key names up to four checkpoints, the first and the newest among them."""
    figure = plot_distributions(chapter_of(4, 10))
    key = [text.get_text() for text in figure.texts if text.get_gid() == "key"]
    assert key[:4] == ["step 100", "step 400", "step 700", "step 1k"]


def test_checkpoints_are_chosen_evenly() -> None:
    """At most four of any number, without repeats."""
    assert chosen_checkpoints(1) == (0,)
    assert chosen_checkpoints(3) == (0, 1, 2)
    assert chosen_checkpoints(1000) == (0, 333, 666, 999)


def test_peaks_of_densities_lie_at_the_medians() -> None:
    """The made-up distributions are symmetric in log10, so that their peak is their median."""
    frame = make_frames(4, 1)["parameters"]
    (axes,) = plot_distributions(chapter_of(4, 1)).axes
    kernel, *_ = artists(axes, "density")
    heights = np.nan_to_num(np.asarray(kernel.get_ydata()), nan=9.0)
    peak = np.asarray(kernel.get_xdata())[int(heights.argmin())]
    assert abs(np.log10(peak / frame["effective_lr_median"][0])) < 0.1


# --- update to weight


def test_ratio_lines_are_the_frames_ratios() -> None:
    """Each panel's line is its parameter's ratio, and a line lies at a thousandth."""
    frame = make_frames(4, 10)["parameters"]
    for axes in panels(plot_update_to_weight(chapter_of(4, 10))):
        (line,) = artists(axes, "ratio")
        of_parameter = frame[frame["parameter"] == axes.get_title(loc="left")]
        np.testing.assert_array_equal(line.get_ydata(), of_parameter["update_to_weight"])
        (usual,) = artists(axes, "usual")
        assert list(usual.get_ydata()) == [1e-3, 1e-3]


def test_zero_and_infinite_ratios_are_left_out() -> None:
    """Where the weights or the update are zero the line has a gap, and the axis stays finite."""
    frames = make_frames(4, 10)
    frames["parameters"].loc[[0, 1], "update_to_weight"] = [0.0, np.inf]
    axes = panels(plot_update_to_weight(chapters([RunFrames("digits", **frames)])[0]))[0]
    (line,) = artists(axes, "ratio")
    assert np.isnan(line.get_ydata()[:2]).all()
    assert np.isfinite(axes.get_ylim()).all()


def test_middle_is_the_geometric_median_of_what_is_known() -> None:
    """Members without a value don't count; of an even number the two in the middle are averaged in log."""
    values = np.array([[1.0, 100.0, np.nan], [1.0, 10.0, 1000.0], [np.nan] * 3])
    np.testing.assert_allclose(middle(values), [10.0, 10.0, np.nan])


# --- elements


def test_element_curves_are_the_frames_samples() -> None:
    """Every curve of a panel is one element's, of that parameter."""
    sample = make_frames(4, 10)["sample"]
    for axes in panels(plot_elements(chapter_of(4, 10))):
        of_parameter = sample[sample["parameter"] == axes.get_title(loc="left")]
        known = of_parameter.pivot(index="element", columns="step", values="effective_lr").to_numpy()
        lines = artists(axes, "element")
        assert len(lines) == 12
        for line in lines:
            assert (np.isclose(known, line.get_ydata()).all(axis=1)).any()


def test_changes_of_curves_skip_what_is_unknown() -> None:
    """An element that was touched late is compared with when it was."""
    curves = np.array([[np.nan, 1.0], [2.0, np.nan], [6.0, np.nan]])
    np.testing.assert_array_equal(changes(curves), [3.0, np.nan])


# --- shares


def test_shares_are_the_frames_shares_of_affected_parameters() -> None:
    """Only parameters with any share have a row; colours are the shares."""
    frame = make_frames(40, 10)["parameters"]
    columns = [column for column, _ in SHARES]
    affected = frame.groupby("parameter", sort=False)[columns].max().max(axis=1) > 0
    names = list(affected.index[affected])
    for axes, column in zip(plot_shares(chapter_of(40, 10)).axes, columns, strict=False):
        expected = frame.pivot(index="parameter", columns="checkpoint_index", values=column).loc[names]
        drawn = np.asarray(axes.collections[0].get_array()).reshape(len(names), 10)
        np.testing.assert_allclose(drawn, expected)


def test_affected_parameters_keep_their_layers_names() -> None:
    """What the affected few share, others don't: it is not left out."""
    axes = plot_shares(chapter_of(4, 10)).axes[0]
    assert [text.get_text() for text in artists(axes, "row label")] == ["dense_1/kernel", "dense_1/bias"]


def test_no_share_at_all_is_said_in_words() -> None:
    """Where nothing is affected the figure says so."""
    frames = make_frames(4, 10)
    frames["parameters"][[column for column, _ in SHARES]] = 0.0
    figure = plot_shares(chapters([RunFrames("digits", **frames)])[0])
    answer = " ".join(text.get_text() for text in figure.texts if text.get_gid() == "answer")
    assert answer.startswith("Nowhere: none of the 4 parameters")
    assert_legible(figure)


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


def test_dumbbells_join_the_medians() -> None:
    """Each row's ends lie at the medians in both; what is only in one has one end."""
    frame = diff_frame(4)
    medians, weights, _ = plot_diff(frame).axes
    ends = [tuple(bell.get_xdata()) for bell in artists(medians, "dumbbell")]
    assert ends == [(a, b) for a, b in zip(frame["effective_lr_a"][1:], frame["effective_lr_b"][1:], strict=True)]
    (dots,) = artists(weights, "change")
    assert list(dots.get_xdata()) == [frame["weight_change"][2]]
    assert [text.get_text() for text in artists(weights, "status")] == ["added", "same"]


def test_diff_of_nothing_is_refused() -> None:
    """Nothing compared: one sentence, not an empty figure."""
    with pytest.raises(RequestError, match="no parameter or tensor was compared"):
        plot_diff(diff_frame(4).iloc[:0])


# --- statistics and labels


def test_mixture_of_one_has_its_own_quantiles() -> None:
    """A single distribution's mixture gives its quantiles back."""
    knots = 10.0 ** np.linspace(-3, 2, 9)[None, None, :]
    np.testing.assert_allclose(mixture_quantiles(knots, np.ones((1, 1)), KNOTS[1:]), knots[0][:, 1:], rtol=1e-6)


def test_mixture_quantiles_match_the_pooled_elements() -> None:
    """Quantiles of a group are those of its elements thrown together, weighted by their number."""
    rng = np.random.default_rng(5)
    tensors = [10 ** rng.uniform(-2, -1, 60_000), 10 ** rng.uniform(0, 1, 20_000)]
    knots = np.array([[np.quantile(tensor, KNOTS) for tensor in tensors]])
    weights = np.array([[60_000.0, 20_000.0]])
    levels = (0.05, 0.25, 0.5, 0.95)
    found = mixture_quantiles(knots, weights, levels)[0]
    np.testing.assert_allclose(np.log10(found), np.log10(np.quantile(np.concatenate(tensors), levels)), atol=0.02)


def test_mixture_ignores_members_without_values() -> None:
    """A member of NaNs, or without touched elements, doesn't count; without any the quantiles are NaN."""
    own = 10.0 ** np.linspace(-3, 2, 9)
    knots = np.array([[own, np.full(9, np.nan)], [np.full(9, np.nan)] * 2])
    found = mixture_quantiles(knots, np.ones((2, 2)), (0.5,))
    np.testing.assert_allclose(found[0], [own[4]], rtol=1e-6)
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001, "0.001"), (0.00012345, "0.00012"), (3.21e-6, "3.2·10⁻⁶"), (1e-7, "10⁻⁷"), (1234.0, "1200"), (2.0, "2"),
     (0.0, "0"), (float("nan"), "–"), (9.99e-4, "0.001"), (1e12, "10¹²")],
)  # fmt: skip
def test_numbers_are_written_as_people_do(value: float, text: str) -> None:
    """Two significant digits, powers of ten only where digits would be many."""
    assert number(value) == text


def test_steps_are_short_only_where_nothing_is_lost() -> None:
    """One axis is written in one way: thousands as k where all can be, else with all digits."""
    assert counts([0, 500, 1000, 1500]) == ["0", "500", "1k", "1.5k"]
    assert counts([285, 5700, 14250]) == ["285", "5700", "14250"]


@pytest.mark.parametrize(("low", "high"), [(1e-9, 1e9), (0.5, 30), (0.02, 0.021), (3e-5, 4e-5), (1e-4, 1e-3)])
def test_log_ticks_are_few_and_inside(low: float, high: float) -> None:
    """Between two and six ticks at any width of the range, ascending and within it."""
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert low * (1 - 1e-9) <= ticks[0]
    assert ticks[-1] <= high * (1 + 1e-9)


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
    is_heatmap = kind.id in ("layers-by-step", "shares")
    count = {"layers-by-step": 1, "shares": 3}.get(kind.id, 12)
    assert marks(figure) == [[4.0, 7.0] if is_heatmap else [500.0, 800.0]] * count
    texts = " ".join(t.get_text() for t in sorted(figure.texts, key=lambda text: -text.get_position()[1]))
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
    """Labels of lines overlap nothing, at any size; where there are many lines, few of them have one."""
    every = tuple(Segment(i, i + 1, "state-lost" if i else "start") for i in range(10))
    for segments in (SEGMENTS, every):
        chapter = cut_chapter(parameters, segments)
        if kind.reason_to_omit(chapter) is None:
            figure = kind.plot(chapter)
            assert_legible(figure)
            labels = [len(artists(axes, "beginning label")) for axes in figure.axes]
            assert sum(labels) == max(labels, default=0) <= 3


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


def test_marks_of_several_runs_have_their_colours() -> None:
    """Each run's lines are drawn in its colour, without labels."""
    runs = [RunFrames(f"seed {s}", **make_frames(4, 10, seed=s), segments=cut) for s, cut in ((1, SEGMENTS), (2, ()))]
    figure = plot_effective_lr(chapters(runs)[0])
    assert marks(figure) == [[500.0, 800.0]] * 4
    assert {line.get_color() for line in artists(figure.axes[0], "beginning")} == {"#0173b2"}
    assert not any(artists(axes, "beginning label") for axes in figure.axes)
