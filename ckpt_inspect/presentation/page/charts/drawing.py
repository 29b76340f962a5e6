"""What a chart is made of, and its JSON; the page's own script draws it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.jsonable import JsonObject, JsonValue
from ckpt_inspect.measurement.wording import counted, figure, percent
from ckpt_inspect.presentation.figures.measures import Measure
from ckpt_inspect.presentation.figures.questions import Usual
from ckpt_inspect.presentation.figures.spread import newest
from ckpt_inspect.presentation.optimizer_series import Floats
from ckpt_inspect.records import dataclass

DIGITS = 4
"""Significant digits that a chart holds; its script shows three."""


@dataclass(frozen=True, slots=True, eq=False)
class RunAxis:
    """A run's checkpoints as the chart's horizontal axis has them."""

    name: str
    x: Floats
    """(K,) ascending: steps, or the checkpoints' places."""
    marks: tuple[tuple[float, str], ...] = ()
    """Where something happened to the run, and what: state that was not carried on, a rate that jumped, NaN."""
    further_marks: int = 0
    """How many more there are, which are not drawn."""
    breaks: tuple[float, ...] = ()
    """Among `x`, where another line of training begins: nothing is drawn across it."""

    def data(self) -> dict[str, JsonValue]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "x": [_plain(x) for x in self.x],
            "marks": [[_plain(x), text] for x, text in self.marks],
            "furtherMarks": self.further_marks,
            "breaks": [_plain(x) for x in self.breaks],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Histograms of every parameter at some checkpoints: S of them by P parameters by C cells of equal width."""

    label: str
    start: float
    """log10 of the first cell's lower edge."""
    width: float
    """Of a cell, in decades."""
    x: tuple[Floats, ...]
    """By run (S,): where these checkpoints lie on the horizontal axis of other charts."""
    densities: tuple[NDArray[np.float32], ...]
    """By run (S, P, C): share of the elements in each cell; 0 throughout if there are none."""
    weights: tuple[Floats, ...]
    """By run (S, P): how many elements that is."""

    def data(self) -> dict[str, JsonValue]:
        """Return it for JSON: shares in 255ths of each histogram's largest."""
        peaks = [d.max(axis=2, initial=0.0) for d in self.densities]
        cells = [
            np.round(255 * d / np.where(p > 0, p, 1)[:, :, None]).astype(np.uint8)
            for d, p in zip(self.densities, peaks, strict=True)
        ]
        return {
            "label": self.label,
            "start": self.start,
            "width": self.width,
            "cells": self.densities[0].shape[2],
            "x": [[_plain(x) for x in of_run] for of_run in self.x],
            "densities": [base64.b64encode(c.tobytes()).decode("ascii") for c in cells],
            "peaks": [_floats(p) for p in peaks],
            "weights": [_floats(w) for w in self.weights],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a panel: a parameter, or a branch of the model."""

    label: str
    members: tuple[int, ...]

    def data(self) -> list[JsonValue]:
        """Return it for JSON."""
        return [self.label, list(self.members)]


@dataclass(frozen=True, slots=True)
class Panel:
    """Parameters that are drawn together, in one frame with one vertical axis."""

    title: str
    members: tuple[int, ...]
    """Positions among the chart's parameters, in the model's order."""
    measure: int = 0
    """Position among the chart's measures."""
    rows: tuple[Row, ...] = ()
    """Of dots and ridges."""

    def data(self) -> dict[str, JsonValue]:
        """Return it for JSON."""
        rows = [row.data() for row in self.rows]
        return {"title": self.title, "members": list(self.members), "measure": self.measure, "rows": rows}


Form = Literal["lines", "dots", "ridges"]
"""How values are drawn: over the run, at one checkpoint, or as distributions at the checkpoint that is chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A figure that the page's script draws."""

    title: str
    """A question."""
    form: Form
    x_label: str
    parameters: tuple[str, ...]
    """Names, in the model's order."""
    layers: tuple[str, ...]
    """Of each parameter its layer: choosing one chooses the whole layer, in all charts."""
    runs: tuple[RunAxis, ...]
    panels: tuple[Panel, ...]
    measures: tuple[Measure, ...] = ()
    """At the checkpoints that the runs' axes have."""
    distribution: Distribution | None = None
    usual: Usual | None = None
    doubts: tuple[str, ...] = ()
    """Values that the chart rests on although nobody read them, or others contradict them."""
    colors: tuple[int, ...] = ()
    """Of each parameter its layer's place in the palette; empty if only runs have colours."""
    is_of_parameters: bool = True
    """Whether filters and chosen layers apply; not so for hyperparameters."""

    def data(self) -> JsonObject:
        """Return all of it as JSON's types."""
        return {
            "title": self.title,
            "form": self.form,
            "xLabel": self.x_label,
            "parameters": list(self.parameters),
            "layers": list(self.layers),
            "colors": list(self.colors),
            "runs": [run.data() for run in self.runs],
            "panels": [panel.data() for panel in self.panels],
            "measures": [_measure_data(measure) for measure in self.measures],
            "distribution": self.distribution.data() if self.distribution else None,
            "usual": asdict(self.usual) if self.usual else None,
            "doubts": list(self.doubts),
            "isOfParameters": self.is_of_parameters,
        }

    def alternative(self) -> str:
        """Return in words what it shows: of each panel and run the ends of the newest values."""
        return " ".join(self._words()) or "Nothing is drawn."

    def _words(self) -> Iterator[str]:
        for panel in self.panels if self.measures else ():
            measure = self.measures[panel.measure]
            for run, values in zip(self.runs, measure.values, strict=True):
                own = newest(values[:, list(panel.members)])
                known = np.flatnonzero(np.isfinite(own))
                of_run = f", run {run.name}" if len(self.runs) > 1 else ""
                title = f"{panel.title}{of_run}: {measure.label}"
                if not known.size:
                    yield f"{title} not known."
                    continue
                least, most = known[own[known].argmin()], known[own[known].argmax()]
                text = percent if measure.is_share else figure
                ends = [f"{text(float(own[i]))} ({self.parameters[panel.members[i]]})" for i in (least, most)]
                yield f"{title} {' to '.join(dict.fromkeys(ends))}."
        if self.distribution:
            x = sorted({float(each) for of_run in self.distribution.x for each in of_run})
            yield f"Distributions of {self.distribution.label} at {counted(len(x), 'checkpoint')}."


def _measure_data(measure: Measure) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {"label": measure.label, "isShare": measure.is_share}
    found["values"] = [packed(values) for values in measure.values]
    if measure.bounds:
        found["low"] = [packed(low) for low, _ in measure.bounds]
        found["high"] = [packed(high) for _, high in measure.bounds]
        found["boundsLabel"] = measure.bounds_label
    return found


def packed(values: Floats) -> str:
    """Return (K, P) values parameter by parameter as little-endian float32 in base64, rounded to `DIGITS` digits.

    What is not finite becomes NaN.
    """
    return _floats(rounded(values).T)


def rounded(values: Floats) -> Floats:
    """Return values in `DIGITS` significant digits; what is not finite, or overflows float32, becomes NaN."""
    values = np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        exponent = np.where(size > 0, np.floor(np.log10(np.where(size > 0, size, 1.0))), 0.0)
    unit = 10.0 ** (exponent - (DIGITS - 1))
    result: Floats = np.where(size > 1e-300, np.round(values / unit) * unit, values)
    return result


def _floats(values: Sequence[float] | Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")


def _plain(x: float) -> int | float:
    return int(x) if float(x).is_integer() else float(x)
