"""A report's contents to one HTML document that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from ckpt_inspect.presentation.optimizer_series import optimizer_series
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.presentation.page.definitions import definitions
from ckpt_inspect.presentation.page.figure_cards import figure_cards
from ckpt_inspect.presentation.page.finding_cards import finding_cards
from ckpt_inspect.presentation.page.hyperparameter_tables import hyperparameter_tables
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.page.overview import overview, title_of
from ckpt_inspect.presentation.page.parameter_table import parameter_table
from ckpt_inspect.presentation.page.problem_list import problem_list
from ckpt_inspect.presentation.page.verdict import verdict_section

_SECTIONS = (
    ("verdict", "Verdict"),
    ("findings", "Findings"),
    ("figures", "Figures"),
    ("analysed", "What was analysed"),
    ("parameters", "Parameters"),
    ("hyperparameters", "Hyperparameters"),
    ("definitions", "Definitions"),
    ("problems", "Problems"),
)


def page_html(contents: Contents) -> str:
    """Return the document's text, to be written as UTF-8; the same contents give the same text."""
    series = [s for run in contents.runs for s in optimizer_series(run.name, run.parameters)]
    anchors = Anchors.of(contents, series)
    several_runs = len(contents.runs) > 1
    main = element(
        "main",
        verdict_section(contents, series, anchors),
        finding_cards(contents, anchors),
        figure_cards(contents, anchors),
        overview(contents, series),
        parameter_table(contents, series, anchors) if series else _no_parameters(),
        hyperparameter_tables(series, anchors, several_runs=several_runs),
        definitions(anchors),
        problem_list(contents),
        id="main",
    )
    title = f"Effective learning rates of {title_of(contents)}"
    # The script comes first in the body's end: what it needs stands above it
    body = element("body", _header(contents), element("div", _navigation(), main, class_="columns"), _footer(contents),
                   element("script", Html(_asset("page.js"))),
                   _reloading(contents))  # fmt: skip
    head = _head(title, reloads=contents.reload is not None)
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"


def _head(title: str, *, reloads: bool) -> Html:
    style = _asset("page.css")
    scripts = " ".join(_hash(_asset(name)) for name in ("page.js", *(["reload.js"] if reloads else [])))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        # A browser asks for /favicon.ico if the page names no icon
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Html(style)),
    )


def _header(contents: Contents) -> Html:
    toggle = element("button", "Dark", type="button", id="theme", hidden=True, aria_pressed="false")
    return element(
        "header",
        element("a", "Skip to the contents", href="#main", class_="skip"),
        element("div", element("p", "ckpt-inspect report", class_="kicker"),
                element("h1", "Effective learning rates of ", element("span", title_of(contents)))),
        toggle,
        class_="top",
    )  # fmt: skip


def _reloading(contents: Contents) -> Html:
    """What has a page of a training that goes on load itself anew."""
    if contents.reload is None:
        return Html("")
    script = element("script", Html(_asset("reload.js")), id="reload", data_seconds=f"{contents.reload:g}")
    note = f"The training goes on: this page loads itself anew every {contents.reload:g} s."
    return Html(f"{_RELOADING}{element('p', note, class_='kicker')}{script}{_RELOADED}")


def without_reloading(page: str) -> str:
    """Return a page's text without what has it load itself anew."""
    before, begins, rest = page.partition(_RELOADING)
    _, ends, after = rest.partition(_RELOADED)
    return before + after if begins and ends else page


_RELOADING, _RELOADED = "<!-- the training goes on -->", "<!-- so far -->"
"""What stands around that script."""


def _navigation() -> Html:
    links = [element("li", element("a", text, href=f"#{anchor}")) for anchor, text in _SECTIONS]
    return element("nav", element("ul", links), aria_label="Sections")


def _footer(contents: Contents) -> Html:
    return element("footer", element("p", f"Made by ckpt-inspect {contents.version}. This page needs no network."))


def _no_parameters() -> Html:
    heading = element("h2", "Parameters", id="parameters-heading")
    return element("section", heading, element("p", "There are none."), id="parameters")


def _asset(name: str) -> str:
    return (files("ckpt_inspect.presentation.page") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy knows an inline style or script by."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"
