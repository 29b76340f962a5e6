"""The whole page by axe-core's rules, as a telephone, a tablet and a desk show it, in both colour schemes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support import chromium

import ckpt_inspect

DIGITS = Path(__file__).parents[3] / "fixtures" / "digits"
AXE = "axe_playwright_python"
"""The package that brings axe-core's script; nothing of it is imported, and so neither is Playwright."""

pytestmark = [
    pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed"),
    pytest.mark.skipif(find_spec(AXE) is None, reason=f"{AXE.replace('_', '-')} is not installed"),
]

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs laid over each other, the second of which has warnings, with every figure."""
    folder = tmp_path_factory.mktemp("report")
    runs = [ckpt_inspect.analyze(DIGITS, thresholds=limits) for limits in ({}, {"update_to_weight_max": 1e-6})]
    return ckpt_inspect.write_report(runs, folder, figures=["all"], names=["calm", "odd"]).page


@pytest.fixture(params=[390, 768, 1440])
def tab(request: pytest.FixtureRequest, browser: chromium.Tab) -> Iterator[chromium.Tab]:
    """The browser, that many pixels wide."""
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=request.param, height=900, deviceScaleFactor=1, mobile=False
    )
    yield browser
    browser.call("Emulation.clearDeviceMetricsOverride")


def violations(tab: chromium.Tab) -> list[tuple[str, list[str]]]:
    """What axe-core finds wrong in the page that is open: the rule, and the elements."""
    spec = find_spec(AXE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    tab.value((Path(folder) / "axe.min.js").read_text("utf-8") + "\n;0")
    found: list[dict[str, Any]] = tab.value(
        f"axe.run({{runOnly: {list(RULES)}, resultTypes: ['violations']}}).then((done) => done.violations)"
    )
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(tab: chromium.Tab, page: Path, scheme: str) -> None:
    """With all charts drawn, and all that is folded away unfolded."""
    tab.prefer(scheme)
    tab.open(page)
    tab.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tab.value("dispatchEvent(new Event('beforeprint'))")  # draws the charts that are out of sight, too
    assert tab.value("[...document.querySelectorAll('.panel:not([hidden]) svg')].every((svg) => svg.childElementCount)")
    assert violations(tab) == []


def test_axe_finds_what_is_wrong(browser: chromium.Tab, page: Path) -> None:
    """A picture without words."""
    browser.open(page)
    browser.value("document.querySelector('main').append(document.createElement('img'))")
    assert "image-alt" in {rule for rule, _ in violations(browser)}
