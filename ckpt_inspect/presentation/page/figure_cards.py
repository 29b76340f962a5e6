"""The figures, each under the question that it answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote

from ckpt_inspect.measurement.wording import heading_name
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.contents import Contents, MissingFigure, PageFigure
from ckpt_inspect.presentation.page.markup import Html, element

_DENSITY = 1.7
"""Pixels of a picture for each of the page's: the same for all, so that their texts are of one size."""


def figure_cards(contents: Contents, anchors: Anchors) -> Html:
    """Return the figures by optimizer; those that could not be drawn are listed with the reason."""
    optimizers = list(dict.fromkeys([f.optimizer for f in contents.figures] + [m.optimizer for m in contents.missing]))
    placed = list(enumerate(contents.figures))
    parts: list[Html] = []
    for optimizer in optimizers:
        own = [(place, figure) for place, figure in placed if figure.optimizer == optimizer]
        missing = [each for each in contents.missing if each.optimizer == optimizer]
        parts.append(element("h3", heading_name(optimizer)))
        if own:
            parts.append(element("p", own[0][1].subtitle, class_="note"))
        parts += [_card(figure, anchors.figures[place]) for place, figure in own]
        parts += _missing(missing)
    if not parts:
        parts.append(element("p", "Nothing could be drawn.", class_="note"))
    heading = element("h2", "Figures", id="figures-heading")
    return element("section", heading, parts, id="figures", aria_labelledby="figures-heading")


def _card(figure: PageFigure, anchor: str) -> Html:
    picture = figure.picture
    image = element(
        "img",
        src="data:image/png;base64," + base64.b64encode(picture.png).decode("ascii"),
        width=round(picture.width / _DENSITY),
        height=round(picture.height / _DENSITY),
        alt=f"Figure: {figure.question} {figure.subtitle}",
    )
    link = element("a", image, href=quote(figure.file), title="Open the file")
    return element(
        "figure",
        element("h4", figure.question),
        element("figcaption", figure.caption),
        element("div", link, class_="paper"),
        class_="card",
        id=anchor,
    )


def _missing(missing: Sequence[MissingFigure]) -> list[Html]:
    if not missing:
        return []
    items = [element("li", element("b", each.question), f" Not drawn: {each.reason}.") for each in missing]
    return [element("ul", items, class_="note")]
