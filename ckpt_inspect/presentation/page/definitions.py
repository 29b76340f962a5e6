"""How every number in the page is defined, from the texts of `explain`."""

from __future__ import annotations

from collections.abc import Iterable

from ckpt_inspect.findings.explanations import EXPLANATIONS, NOTATION, Explanation
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.markup import Html, element


def definitions(anchors: Anchors) -> Html:
    """Return the figures first, then hyperparameters."""
    explained = [EXPLANATIONS[name] for name in anchors.definitions]
    heading = element("h2", "How the numbers are defined", id="definitions-heading")
    return element(
        "section",
        heading,
        _central(),
        element(
            "details",
            element("summary", f"All {len(explained)} definitions"),
            element("h3", "Figures"),
            _list((e for e in explained if e.sort == "metric"), anchors),
            element("h3", "Hyperparameters"),
            _list((e for e in explained if e.sort == "hyperparameter"), anchors),
        ),
        id="definitions",
        aria_labelledby="definitions-heading",
    )


def _central() -> Html:
    e = EXPLANATIONS["effective_lr"]
    return element(
        "div",
        element("h3", "What an effective learning rate is"),
        element("p", e.reading),
        element("p", element("code", e.formula), class_="formula"),
        element("p", "Notation: ", NOTATION, ".", class_="note"),
        class_="card definition",
    )


def _list(explained: Iterable[Explanation], anchors: Anchors) -> Html:
    return element("dl", [_entry(e, anchors.definitions[e.name]) for e in explained], class_="definitions")


def _entry(e: Explanation, anchor: str) -> Html:
    return element(
        "div",
        element("dt", e.title, " ", element("code", e.name, class_="note")),
        element("dd", element("code", e.formula), class_="formula") if e.formula else None,
        element("dd", e.definition),
        element("dd", e.reading),
        element("dd", f"Source: {e.source}", class_="note"),
        id=anchor,
    )
