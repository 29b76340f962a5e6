"""The page in a real browser: headless Chromium, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import chromium
from support.frames_for_plots import make_frames
from support.page_contents import make_contents, make_finding, make_run

from ckpt_inspect.presentation.page import page_html

pytestmark = pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed")

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\">"
NAMES = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of four parameters with known figures, one of them undefined, one concerned by findings."""
    frame = make_frames(4, 3)["parameters"]
    medians = dict(zip(NAMES, (3e-3, 2e-2, float("nan"), 1e-4), strict=True))
    frame["effective_lr_median"] = frame["parameter"].map(medians) * (frame["checkpoint_index"] + 1)
    findings = [
        make_finding("updates-too-large", [NAMES[1]]),
        make_finding("untouched-elements", [NAMES[1], NAMES[3]], severity="info"),
    ]
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(page_html(make_contents(make_run(frame=frame, findings=findings))), encoding="utf-8")
    return path


@pytest.fixture
def tab(browser: chromium.Tab, page: Path) -> chromium.Tab:
    """The page, freshly opened in light colours and with no memory of an earlier visit."""
    browser.prefer("light")
    browser.open(page)
    browser.value("localStorage.clear()")
    browser.open(page)
    return browser


def shown(tab: chromium.Tab) -> list[str]:
    """Names of the parameters whose rows can be seen, in their order."""
    found: list[str] = tab.value(
        "[...document.querySelectorAll('#parameter-table tbody tr')].filter((row) => row.offsetParent !== null)"
        ".map((row) => row.querySelector('th code').textContent)"
    )
    return found


def click(tab: chromium.Tab, selector: str) -> None:
    """Click what a CSS selector finds."""
    tab.value(f"document.querySelector({selector!r}).click()")


def heading(title: str) -> str:
    """An expression for the heading of that title."""
    return f"[...document.querySelectorAll('#parameter-table thead th')].find((head) => head.textContent === {title!r})"


def sort_by(tab: chromium.Tab, title: str) -> str:
    """Use the heading of that title; what `aria-sort` says then."""
    said: str = tab.value(f"{heading(title)}.querySelector('button').click(), {heading(title)}.ariaSort")
    return said


def type_name(tab: chromium.Tab, text: str) -> None:
    """Type into the filter."""
    tab.value("document.getElementById('name-filter').focus()")
    tab.value("document.getElementById('name-filter').select()")
    tab.call("Input.insertText", text=text)


def test_nothing_is_fetched_and_nothing_goes_wrong(tab: chromium.Tab, page: Path) -> None:
    """The page asks for itself and for what it holds, and neither script, style nor policy complains."""
    assert [url for url in tab.requests() if not url.startswith("data:")] == [page.as_uri()]
    assert tab.complaints() == []
    assert tab.value("[...document.images].every((image) => image.naturalWidth > 0)")


def test_policy_stops_what_the_page_does_not_bring(tab: chromium.Tab) -> None:
    """A script that got into the page all the same would not run, and reach no network."""
    tab.value(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    assert tab.value("document.title") == "Effective learning rates of digits"
    assert tab.value("fetch('https://example.com/').then(() => 'fetched', (error) => error.name)") == "TypeError"
    refused = [e for e in tab.complaints() if "Content Security Policy" in str(e)]
    assert len(refused) >= 2


def test_headings_sort_both_ways_and_back(tab: chromium.Tab) -> None:
    """Numbers begin with the largest; what is not defined comes last; a third use restores the model's order."""
    assert sort_by(tab, "median E") == "descending"
    assert shown(tab) == ["dense/bias", "dense/kernel", "dense_1/bias", "dense_1/kernel"]
    assert sort_by(tab, "median E") == "ascending"
    assert shown(tab) == ["dense_1/bias", "dense/kernel", "dense/bias", "dense_1/kernel"]
    assert sort_by(tab, "median E") == "none"
    assert shown(tab) == list(NAMES)


def test_one_heading_is_sorted_at_a_time(tab: chromium.Tab) -> None:
    """Names sort from the first on, and another heading takes over."""
    sort_by(tab, "shape")
    assert sort_by(tab, "parameter") == "ascending"
    assert shown(tab) == sorted(NAMES)
    assert tab.value("document.querySelectorAll('[aria-sort=ascending], [aria-sort=descending]').length") == 1


def test_keyboard_sorts(tab: chromium.Tab) -> None:
    """A heading is reached by Tab and used by Enter."""
    tab.value("document.getElementById('finding-filter').focus()")
    for _ in range(3):  # the table's frame, which scrolls, then its first two headings
        tab.press("Tab", 9)
    assert tab.value("document.activeElement.textContent") == "shape"
    tab.press("Enter", 13, "\r")
    assert tab.value(f"{heading('shape')}.ariaSort") == "descending"


def test_filter_takes_words_in_any_order(tab: chromium.Tab) -> None:
    """Every word must occur, in a name or a finding; how many rows are left is told."""
    type_name(tab, "BIAS dense_1")
    assert shown(tab) == ["dense_1/bias"]
    assert tab.value("document.getElementById('filter-count').textContent") == "1 of 4 parameters"
    type_name(tab, "too-large")
    assert shown(tab) == ["dense/bias"]
    type_name(tab, "nothing like it")
    assert shown(tab) == []
    type_name(tab, " ")
    assert shown(tab) == list(NAMES)
    assert tab.value("document.getElementById('filter-count').textContent") == "4 parameters"


def test_filtered_rows_stay_sorted(tab: chromium.Tab) -> None:
    """Sorting and filtering do not undo each other."""
    type_name(tab, "bias")
    sort_by(tab, "median E")
    assert shown(tab) == ["dense/bias", "dense_1/bias"]
    type_name(tab, "dense")
    assert shown(tab)[-1] == "dense_1/kernel"


def test_finding_shows_its_parameters(tab: chromium.Tab) -> None:
    """A finding's link leads to the table, with no other rows than those it concerns."""
    click(tab, "#finding-2 a[data-finding]")
    assert shown(tab) == ["dense/bias", "dense_1/bias"]
    assert tab.value("location.hash") == "#parameters"


def test_link_to_a_hidden_row_shows_it(tab: chromium.Tab) -> None:
    """What a link leads to is never filtered away."""
    type_name(tab, "kernel")
    click(tab, "#finding-1 tbody a")
    tab.value("new Promise(requestAnimationFrame)")
    assert "dense/bias" in shown(tab)
    box = tab.value("document.querySelector('tr:target').getBoundingClientRect().toJSON()")
    assert 0 <= box["top"] < 1000


def test_colours_follow_the_system_until_chosen(tab: chromium.Tab, page: Path) -> None:
    """Dark where the system is; the button turns it round, and that is remembered."""
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.value(ground)
    tab.prefer("dark")
    # The system's change is told to scripts some time after it is drawn: ask until it is, for three seconds at most
    asked = """new Promise((done) => {
      const end = Date.now() + 3000;
      const look = () => {
        const text = document.getElementById("theme").textContent;
        if (text === "Light colours" || Date.now() > end) done(text); else setTimeout(look, 20);
      };
      look();
    })"""
    assert tab.value(asked) == "Light colours"
    dark = tab.value(ground)
    assert dark != light
    click(tab, "#theme")
    assert tab.value(ground) == light
    tab.open(page)
    assert tab.value(ground) == light


def contrast(tab: chromium.Tab, selector: str) -> float:
    """Contrast of a text with what it stands on, by WCAG 2.1; what is transparent shows what lies behind it."""
    script = """((selector) => {
      const parse = (color) => color.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const element = document.querySelector(selector);
      let ground = element;
      while (parse(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
      const colors = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
      const two = colors.map((color) => light(parse(color)));
      return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
    })"""
    found: float = tab.value(f"{script}({selector!r})")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(tab: chromium.Tab, scheme: str) -> None:
    """Every kind of text stands out from its ground as WCAG AA wants, in both schemes."""
    tab.prefer(scheme)
    kinds = ("h1", ".note", "main a", "nav a", ".badge.severity-warning", ".badge.severity-info", "thead button",
             ".badge.source-config", ".badge.source-default", ".meta", "figcaption")  # fmt: skip
    assert {kind: contrast(tab, kind) >= 4.5 for kind in kinds} == dict.fromkeys(kinds, True)
    assert tab.value("getComputedStyle(document.querySelector('.paper')).backgroundColor") == "rgb(255, 255, 255)"


def test_print_shows_everything(tab: chromium.Tab) -> None:
    """On paper there are no controls, dark colours or folded texts, and the table isn't cut off."""
    tab.prefer("dark", "print")
    tab.value("dispatchEvent(new Event('beforeprint'))")
    assert tab.value("[...document.querySelectorAll('details')].every((each) => each.open)")
    assert tab.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.value("getComputedStyle(document.querySelector('.tall')).maxHeight") == "none"
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.value("dispatchEvent(new Event('afterprint'))")
    assert not tab.value("[...document.querySelectorAll('details')].some((each) => each.open)")


@pytest.mark.parametrize("width", [1400, 700, 360])
def test_page_never_scrolls_sideways(tab: chromium.Tab, width: int) -> None:
    """Wide tables scroll in their own frames, on a telephone too."""
    tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    try:
        assert tab.value("document.documentElement.scrollWidth") <= width
    finally:
        tab.call("Emulation.clearDeviceMetricsOverride")


def test_accessibility_tree_names_the_table(tab: chromium.Tab) -> None:
    """What a screen reader is told: the table's name, its sortable headings, its rows' headings."""
    tree: list[dict[str, Any]] = tab.call("Accessibility.getFullAXTree")["nodes"]
    told = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node.get("ignored")}
    assert ("table", "Each parameter in its newest checkpoint, and over the run") in told
    assert ("button", "median E") in told
    assert ("rowheader", "dense/ kernel") in told  # the blank is where the name may be broken
    assert ("navigation", "Sections") in told


def test_names_from_files_do_nothing(browser: chromium.Tab, tmp_path: Path) -> None:
    """A parameter called like a script is shown, and that is all."""
    frame = make_frames(2, 2)["parameters"].replace({"parameter": {"dense/kernel": HOSTILE}})
    path = tmp_path / "index.html"
    finding = make_finding("untouched-elements", [HOSTILE])
    path.write_text(page_html(make_contents(make_run(HOSTILE, frame, [finding]))), encoding="utf-8")
    browser.open(path)
    assert shown(browser)[0] == HOSTILE
    assert browser.value("document.title") == f"Effective learning rates of {HOSTILE}"
    assert browser.complaints() == []


def test_many_parameters_are_quick_to_sort(browser: chromium.Tab, tmp_path: Path) -> None:
    """400 rows sort right and stay inside the page's frame."""
    path = tmp_path / "index.html"
    frame = make_frames(400, 2)["parameters"]
    path.write_text(page_html(make_contents(make_run(frame=frame))), encoding="utf-8")
    browser.open(path)
    newest = frame[frame["checkpoint_index"] == 1].sort_values("effective_lr_median", ascending=False)
    sort_by(browser, "median E")
    assert shown(browser) == newest["parameter"].tolist()
    assert browser.value("document.documentElement.scrollWidth") <= 1400


def test_the_filter_takes_globs(tab: chromium.Tab) -> None:
    """A word with * or ? is a pattern for the whole name; others may occur anywhere."""
    type_name(tab, "*/kernel")
    assert shown(tab) == [name for name in NAMES if name.endswith("/kernel")]
    type_name(tab, "dense/k*")
    assert shown(tab) == ["dense/kernel"]
    type_name(tab, "kern?")
    assert shown(tab) == []


def test_what_is_chosen_lives_in_the_address(tab: chromium.Tab, page: Path) -> None:
    """Filter, order and colours: whoever opens the address sees the same."""
    type_name(tab, "*bias")
    sort_by(tab, "median E")
    click(tab, "#theme")
    address = tab.value("location.href")
    tab.value("localStorage.clear()")
    tab.call("Page.navigate", url="about:blank")
    tab.call("Page.navigate", url=address)
    tab.value("new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))")
    assert shown(tab) == ["dense/bias", "dense_1/bias"]
    assert tab.value(f"{heading('median E')}.ariaSort") == "descending"
    assert tab.value("document.documentElement.dataset.theme") == "dark"


def test_a_link_opens_what_is_folded(tab: chromium.Tab) -> None:
    """A definition, which lies among the folded ones."""
    click(tab, "#hyperparameters th a")
    tab.value("new Promise((done) => setTimeout(done, 100))")
    assert tab.value("document.querySelector('#definitions details').open") is True


def test_a_table_that_is_too_wide_says_so(tab: chromium.Tab) -> None:
    """Above it, where it scrolls; names of rows stay in sight, and the page itself is never wider than the window."""
    said = (
        "[...document.querySelectorAll('.scroll')].filter((each) => each.offsetParent)"
        ".every((each) => each.previousElementSibling.hidden === (each.scrollWidth <= each.clientWidth + 1))"
    )
    is_cut = "document.querySelector('.scroll.tall').previousElementSibling.hidden"
    for width, hidden in ((390, False), (2400, True)):
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        tab.value(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))"
        )
        assert tab.value(said)
        assert tab.value(is_cut) is hidden
        assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    tab.call("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=False)
    left = "document.querySelector('#parameter-table tbody th').getBoundingClientRect().left"
    before = tab.value(left)
    tab.value("document.querySelector('.scroll.tall').scrollLeft = 200")
    assert tab.value(left) == before
    tab.call("Emulation.clearDeviceMetricsOverride")
