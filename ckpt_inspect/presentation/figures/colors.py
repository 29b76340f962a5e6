"""Which colour each layer has, the same in every picture and chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.presentation.figures.chapter import Chapter
from ckpt_inspect.presentation.figures.measures import measures_of, named
from ckpt_inspect.presentation.figures.questions import QUESTIONS

MOST_COLORS = 7
"""Of layers: the eighth of the palette is grey, as what many parameters do together."""

_KNOWN: WeakKeyDictionary[Chapter, NDArray[np.intp]] = WeakKeyDictionary()
"""Of each chapter, which has many figures."""


def layer_of(name: str) -> str:
    """Return the layer that a parameter is of: its name without the last component."""
    return name.rpartition("/")[0] or name


def colors_of(chapter: Chapter) -> NDArray[np.intp]:
    """Return (P,) each parameter's place in the palette: its layer's."""
    if chapter not in _KNOWN:
        measures = (measure for figure in QUESTIONS for measure in measures_of(figure, chapter) or [])
        panels = (members for each in measures for lines in named(chapter, [each]) for members in lines.values())
        _KNOWN[chapter] = np.array(places_of(chapter.parameters, panels), np.intp)
    return _KNOWN[chapter]


def places_of(names: Sequence[str], panels: Iterable[Sequence[int] | NDArray[np.intp]]) -> list[int]:
    """Return the place of each name's layer: by their order if they are few.

    Of many, those that have a line of their own in any of `panels`, positions among the names, get the colour that the
    first such panel, and then all of them, have least of.
    """
    layers = [layer_of(name) for name in names]
    order = {layer: i for i, layer in enumerate(dict.fromkeys(layers))}
    places: dict[str, int] = {}
    for members in panels if len(order) > MOST_COLORS else ():
        shown = dict.fromkeys(layers[member] for member in members)
        for layer in (layer for layer in shown if layer not in places):
            here, anywhere = Counter(map(places.get, shown)), Counter(places.values())
            places[layer] = min(range(MOST_COLORS), key=lambda place: (here[place], anywhere[place]))
    return [places.get(layer, order[layer] % MOST_COLORS) for layer in layers]
