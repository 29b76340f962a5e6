"""Charts in a real browser: headless Chromium, where it is installed."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from support import chromium
from support.frames_for_plots import make_frames
from support.page_contents import make_run

from ckpt_inspect.presentation.figures.questions import MOVEMENT
from ckpt_inspect.presentation.page import Chart, Contents, PageFigure, page_html
from ckpt_inspect.presentation.page.charts import ChartMaker, drawing_of
from ckpt_inspect.presentation.plots import RunFrames, chapters
from ckpt_inspect.presentation.plots.panels import robust_range

pytestmark = pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed")

HOSTILE = "dense/<img src=x onerror=\"document.title='broken'\">"
STEPS = [100 * (k + 1) for k in range(40)]


def charts_page(folder: Path, *runs: RunFrames, figures: tuple[str, ...] = ("movement", "effective-lr")) -> Path:
    """A page with the charts of these figures alone."""
    (chapter,) = chapters(runs)
    drawings = [drawing for name in figures if (drawing := drawing_of(name, ChartMaker(chapter)))]
    made = [Chart(drawing.form, drawing.title, drawing.data(), "Words.") for drawing in drawings]
    shown = [PageFigure("adam", chart.title, "How to read it.", "", "1.png", (), chart=chart) for chart in made]
    pages = [make_run(run.name, run.parameters) for run in runs]
    path = folder / "index.html"
    path.write_text(page_html(Contents(pages, shown, [], [], "0.0")), encoding="utf-8")
    return path


def made_run(name: str = "digits", parameters: int = 4, checkpoints: int = 40, **options: Any) -> RunFrames:
    """A run of frames that never were."""
    frames = make_frames(parameters, checkpoints, **options)
    return RunFrames(name, frames["parameters"], frames["histogram"])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines of four parameters over forty checkpoints, twice, and their distributions."""
    figures = ("movement", "effective-lr", "distributions")
    return charts_page(tmp_path_factory.mktemp("report"), made_run(), figures=figures)


@pytest.fixture
def tab(browser: chromium.Tab, page: Path) -> chromium.Tab:
    """The page, freshly opened, all charts drawn."""
    open_charts(browser, page)
    return browser


def open_charts(tab: chromium.Tab, page: Path) -> None:
    """Open a page and have all of its charts drawn."""
    tab.open(page)
    draw_all(tab)


def draw_all(tab: chromium.Tab) -> None:
    """Have charts drawn that are out of sight, as for printing."""
    tab.value("dispatchEvent(new Event('beforeprint')), dispatchEvent(new Event('afterprint'))")


def mouse(tab: chromium.Tab, kind: str, x: float, y: float, **more: Any) -> None:
    """What the mouse does, at a place in the window."""
    tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def click_at(tab: chromium.Tab, x: float, y: float, count: int = 1) -> None:
    """Press and release the left button."""
    for kind in ("mousePressed", "mouseReleased"):
        mouse(tab, kind, x, y, button="left", clickCount=count)


def end_of(tab: chromium.Tab, line: int = 0, panel: int = 0) -> tuple[float, float]:
    """Where a strong line of a panel ends in the window, scrolled into it."""
    place = tab.value(
        f"""(() => {{
      const svg = document.querySelectorAll(".stage > svg")[{panel}];
      svg.scrollIntoView({{ block: "center" }});
      const path = svg.querySelectorAll(".line.strong")[{line}];
      const point = path.getPointAtLength(path.getTotalLength());
      const matrix = path.getScreenCTM();
      return [point.x * matrix.a + matrix.e, point.y * matrix.d + matrix.f];
    }})()"""
    )
    return place[0], place[1]


PANELS = "[...document.querySelectorAll('.chart[data-kind=lines] .panel')]"


def strong_lines(tab: chromium.Tab) -> list[int]:
    """How many lines stand out in each panel of lines."""
    draw_all(tab)
    found: list[int] = tab.value(f"{PANELS}.map((panel) => panel.querySelectorAll('.line.strong').length)")
    return found


def last_tick(tab: chromium.Tab) -> list[str]:
    """The horizontal axis' last label in each panel of lines."""
    draw_all(tab)
    found: list[str] = tab.value(
        f"{PANELS}.map((panel) => [...panel.querySelector('.axis').querySelectorAll('text')].pop().textContent)"
    )
    return found


def tip(tab: chromium.Tab) -> list[str]:
    """The lines of the tip that is shown; empty if none is."""
    found: list[str] = tab.value(
        "[...(document.querySelector('.tip:not([hidden])')?.children ?? [])].map((line) => line.textContent)"
    )
    return found


def test_pointing_shows_parameter_step_and_value(tab: chromium.Tab) -> None:
    """Of the line that is nearest, at the nearest checkpoint."""
    x, y = end_of(tab)
    mouse(tab, "mouseMoved", x - 1, y)
    newest = make_frames(4, 40)["parameters"].query("parameter == 'dense/kernel' and checkpoint_index == 39")
    assert tip(tab)[:2] == ["dense/kernel", "step 4,000"]
    label, value = tip(tab)[2].split(": ")
    assert label == MOVEMENT.label
    digits, _, exponent = value.partition("·10⁻")
    assert float(digits) * 10.0 ** -"⁰¹²³⁴⁵⁶⁷⁸⁹".index(exponent) == pytest.approx(newest["update_rms"].item(), rel=5e-3)
    assert tab.complaints() == []


def test_clicking_a_line_shows_its_layer_alone_in_all_charts(tab: chromium.Tab) -> None:
    """And again, or Escape, brings all back."""
    assert strong_lines(tab) == [2] * 6
    click_at(tab, *end_of(tab))
    assert strong_lines(tab) == [1] * 6
    assert tab.value("document.querySelector('.chosen').textContent").startswith("Shown: layer dense")
    click_at(tab, *end_of(tab))
    assert strong_lines(tab) == [2] * 6
    click_at(tab, *end_of(tab))
    tab.press("Escape", 27)
    assert strong_lines(tab) == [2] * 6
    assert tab.value("document.querySelector('.chosen').hidden")


def test_an_entry_of_the_key_shows_its_layer_alone(tab: chromium.Tab) -> None:
    """A button, for the keyboard too, that says whether it is in use."""
    tab.value("document.querySelector('.key button').click()")
    assert strong_lines(tab) == [1] * 6
    assert tab.value("document.querySelector('.key button').getAttribute('aria-pressed')") == "true"


def test_dragging_zooms_all_charts_and_a_double_click_resets(tab: chromium.Tab) -> None:
    """Along the steps, from where the button was pressed to where it was released."""
    x, y = end_of(tab)
    assert last_tick(tab) == ["4,000"] * 6
    mouse(tab, "mousePressed", x - 400, y - 20, button="left", clickCount=1)
    mouse(tab, "mouseMoved", x - 200, y - 20, button="left", buttons=1)
    mouse(tab, "mouseReleased", x - 200, y - 20, button="left", clickCount=1)
    zoomed = last_tick(tab)
    assert len(set(zoomed)) == 1 and zoomed[0] != "4,000"
    for count in (1, 2):
        click_at(tab, x, y - 20, count)
    assert last_tick(tab) == ["4,000"] * 6


def test_keys_move_choose_and_zoom(tab: chromium.Tab) -> None:
    """What a pointer can do: the same for who has none; moves are announced."""
    tab.value("document.querySelector('.stage').focus()")
    tab.press("ArrowLeft", 37)
    first = tip(tab)
    tab.press("ArrowLeft", 37)
    assert [first[1], tip(tab)[1]] == ["step 4,000", "step 3,900"]
    assert tab.value("document.querySelector('p[role=status]').textContent") == ", ".join(tip(tab))
    tab.press("+", 187, "+")
    assert tab.value("document.querySelector('.chosen span').textContent") == "Shown: 2,925 to 4,000"
    tab.press("0", 48, "0")
    assert tab.value("document.querySelector('.chosen').hidden")
    tab.press("ArrowLeft", 37)
    tab.press("Enter", 13, "\r")
    assert strong_lines(tab) == [1] * 6


def test_the_slider_goes_through_the_distributions(tab: chromium.Tab) -> None:
    """One slider: its label, its text and the ridges follow, by the keyboard too."""
    ridge = "document.querySelector('.chart[data-kind=ridges] .ridge').getAttribute('d')"
    before = tab.value(ridge)
    tab.value("document.querySelector('.slider input').focus()")
    tab.press("ArrowLeft", 37)
    draw_all(tab)
    assert tab.value("document.querySelector('.slider output').textContent") == "3,900"
    assert tab.value("document.querySelector('.slider input').getAttribute('aria-valuetext')") == "step 3,900"
    assert tab.value(ridge) != before


def test_what_is_chosen_lives_in_the_address(tab: chromium.Tab) -> None:
    """Layer, steps and the slider's place: whoever opens the address sees the same."""
    tab.value("document.querySelector('.key button').click()")
    tab.value("document.querySelector('.slider input').focus()")
    tab.press("ArrowLeft", 37)
    address = tab.value("location.href")
    tab.call("Page.navigate", url="about:blank")
    tab.events.clear()
    tab.call("Page.navigate", url=address)
    tab.value("new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))")
    assert strong_lines(tab) == [1] * 6
    assert tab.value("document.querySelector('.slider output').textContent") == "3,900"


def test_charts_obey_the_filter(tab: chromium.Tab) -> None:
    """Of the table of parameters: a panel without any of what is left is not shown."""
    tab.value("document.getElementById('name-filter').value = '*kernel'")
    tab.value("document.getElementById('name-filter').dispatchEvent(new Event('input'))")
    draw_all(tab)
    titles = "[...document.querySelectorAll('.panel:not([hidden]) h5')].map((title) => title.textContent)"
    assert tab.value(titles) == ["Kernels and embeddings (2)"] * 4


def test_a_table_holds_the_values(tab: chromium.Tab) -> None:
    """Made when it is opened, with headings and a caption."""
    assert tab.value("document.querySelectorAll('.chart-table table').length") == 0
    tab.value("document.querySelector('.chart-table summary').click()")
    tab.value("new Promise((done) => setTimeout(done, 100))")
    cells = "[...row.cells].map((cell) => cell.textContent)"
    rows = tab.value(f"[...document.querySelector('.chart-table table').rows].map((row) => {cells})")
    assert rows[0] == ["parameter", "step 100", "step 1,100", "step 2,100", "step 3,000", "step 4,000"]
    assert [row[0] for row in rows[1:]] == ["dense/kernel", "dense_1/kernel"]


def test_a_chart_says_what_it_shows(tab: chromium.Tab) -> None:
    """To a screen reader: each drawing has a role and words of its own."""
    tree: list[dict[str, Any]] = tab.call("Accessibility.getFullAXTree")["nodes"]
    told = [node["name"]["value"] for node in tree if node["role"]["value"] in ("image", "img") and "name" in node]
    words = [text for text in told if text.startswith(f"Kernels and embeddings (2). {MOVEMENT.label} of 2 over step")]
    assert words and "Newest values from" in words[0] and "(dense/kernel)" in words[0]


def test_names_from_files_do_nothing(browser: chromium.Tab, tmp_path: Path) -> None:
    """A parameter called like markup is shown, in key, tip and table, and that is all."""
    run = made_run(parameters=2)
    frame = run.parameters.replace({"parameter": {"dense/kernel": HOSTILE}})
    open_charts(browser, charts_page(tmp_path, RunFrames("digits", frame)))
    browser.value("document.querySelector('.chart-table summary').click()")
    browser.value("new Promise((done) => setTimeout(done, 100))")
    mouse(browser, "mouseMoved", *end_of(browser))
    assert tip(browser)[0] == HOSTILE
    assert browser.value("document.querySelector('.chart-table tbody th').textContent") == HOSTILE
    assert browser.value("document.title") != "broken" and browser.complaints() == []
    assert browser.value("document.querySelectorAll('.chart img').length") == 0


def test_values_that_are_not_finite_are_gaps(browser: chromium.Tab, tmp_path: Path) -> None:
    """A run that ended in NaN is drawn as far as it goes, and says that the newest known value is no later."""
    run = made_run()
    frame = run.parameters.copy()
    frame.loc[frame["checkpoint_index"] >= 20, ["update_rms", "relative_update_rms"]] = np.nan
    frame.loc[frame["checkpoint_index"] >= 20, "nonfinite"] = 3
    open_charts(browser, charts_page(tmp_path, RunFrames("digits", frame)))
    x, y = end_of(browser)
    mouse(browser, "mouseMoved", x, y)
    assert tip(browser)[1] == "step 2,000"
    assert browser.value("document.querySelector('.mark-word').textContent") == "NaN or infinite values"
    assert browser.complaints() == []


def test_an_outlier_does_not_set_the_axis(browser: chromium.Tab, tmp_path: Path) -> None:
    """It is marked at the edge with its name and value, and told in the key."""
    run = made_run(parameters=20)
    frame = run.parameters.copy()
    is_one = frame["parameter"] == "conv2d/kernel"
    frame.loc[is_one, "update_rms"] *= 1e8
    open_charts(browser, charts_page(tmp_path, RunFrames("digits", frame), figures=("movement",)))
    assert browser.value("document.querySelectorAll('.stage > svg')[0].querySelectorAll('.beyond').length") == 1
    edge = browser.value("document.querySelector('.stage > svg .beyond + .halo').textContent")
    key = browser.value("document.querySelector('.key button').textContent")
    assert key.startswith("conv2d/kernel") and key.endswith(f"↑ {edge} beyond the axis")


def test_many_parameters_are_a_fan_and_its_outermost(browser: chromium.Tab, tmp_path: Path) -> None:
    """400 lines: their median and quantiles, four by name, and the others faint."""
    open_charts(browser, charts_page(tmp_path, made_run(parameters=400, checkpoints=5), figures=("movement",)))
    panel = "document.querySelector('.panel')"
    assert browser.value(f"{panel}.querySelectorAll('.line.strong').length") == 4
    assert browser.value(f"{panel}.querySelectorAll('.band').length") == 2
    assert "median of all 152" in browser.value(f"{panel}.textContent")


@pytest.mark.parametrize(("parameters", "colours"), [(4, 2), (400, 4)])
def test_a_layer_has_one_colour_in_all_charts(
    browser: chromium.Tab, tmp_path: Path, parameters: int, colours: int
) -> None:
    """Whatever it is drawn beside; those that share a panel differ, also if there are more layers than colours."""
    run = made_run(parameters=parameters, checkpoints=5)
    open_charts(browser, charts_page(tmp_path, run, figures=("movement", "update-to-weight", "effective-lr")))
    panels = browser.value(
        "[...document.querySelectorAll('.panel')].map((panel) => [...panel.querySelectorAll('.key button')].map("
        "(each) => [each.title.replace(/\\/[^/]*$/, ''), each.querySelector('.swatch path').getAttribute('stroke'),"
        " each.querySelector('.swatch path').getAttribute('stroke-dasharray')]))"
    )
    assert len(panels) >= 6
    for panel in panels:
        assert len({(colour, dashes) for _, colour, dashes in panel}) == len(panel)
    by_layer: dict[str, set[str]] = {}
    for layer, colour, _ in (entry for panel in panels for entry in panel):
        by_layer.setdefault(layer, set()).add(colour)
    assert all(len(each) == 1 for each in by_layer.values())
    assert len({colour for _, colour, _ in panels[0]}) == colours


def test_runs_are_laid_over_each_other(browser: chromium.Tab, tmp_path: Path) -> None:
    """A panel per layer, a line per run, and their names in one key."""
    open_charts(browser, charts_page(tmp_path, made_run("one"), made_run("two", seed=1), figures=("movement",)))
    assert strong_lines(browser) == [2] * 4
    names = browser.value("[...document.querySelectorAll('.key.runs > *')].map((entry) => entry.textContent)")
    assert names == ["one", "two"]


def test_one_checkpoint_is_dots(browser: chromium.Tab, tmp_path: Path) -> None:
    """A row per parameter; pointing at one tells its value."""
    open_charts(browser, charts_page(tmp_path, made_run(checkpoints=1), figures=("update-to-weight", "distributions")))
    assert browser.value("document.querySelectorAll('.chart[data-kind=dots] .dot').length") == 4
    assert browser.value("document.querySelector('.slider').hidden")
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_charts_never_scroll_sideways(tab: chromium.Tab, width: int) -> None:
    """They are drawn anew for the width that there is."""
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    try:
        tab.value("new Promise((done) => setTimeout(done, 300))")
        assert tab.value("document.documentElement.scrollWidth") <= width
        edges = "[...document.querySelectorAll('.stage > svg')].map((svg) => svg.getBoundingClientRect().right)"
        assert max(tab.value(edges)) <= width
    finally:
        tab.call("Emulation.clearDeviceMetricsOverride")


def test_data_is_no_markup(page: Path) -> None:
    """The page's JSON can't end the script that holds it."""
    text = page.read_text(encoding="utf-8")
    data = text.partition('id="chart-data">')[2].partition("</script>")[0]
    assert "<" not in data and set(json.loads(data)) == {"chart-figure-1", "chart-figure-2", "chart-figure-3"}


@given(
    values=arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 6)),
        elements=st.floats(-9, 9).map(lambda exponent: 10**exponent)
        | st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e9]),
    ),
    usual=st.sampled_from([(), (1e-4, 1e-2)]),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_script_and_pictures_range_an_axis_alike(
    browser: chromium.Tab, values: NDArray[np.float64], usual: tuple[float, ...]
) -> None:
    """Whatever the outliers, spikes and gaps: the rule stands in Python and in JavaScript, and is one."""
    source = (files("ckpt_inspect.presentation.page") / "assets" / "charts" / "values.js").read_text("utf-8")
    series = [[float(value) for value in line if np.isfinite(value) and value > 0] for line in values.T]
    found = browser.value(f"(() => {{ {source}\n return robustRange({series}, {list(usual)}); }})()")
    np.testing.assert_allclose(np.log10(found), np.log10(robust_range([values], *usual)), atol=1e-9)
