"""Every hyperparameter with where it comes from, and how it changed over the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import heading_name
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.page.overview import badge, number
from ckpt_inspect.presentation.page.sparklines import sparkline
from ckpt_inspect.sourced import SOURCE_WORDS
from ckpt_inspect.state.hyperparameters import hyperparameters_in


def hyperparameter_tables(series: Sequence[OptimizerSeries], anchors: Anchors, *, several_runs: bool) -> Html:
    """Return a table for each optimizer of each run."""
    parts: list[Html] = []
    for s in series:
        title = heading_name(s.optimizer) + (f", run {s.run}" if several_runs else "")
        parts += [element("h3", title), _table(s, title, anchors)]
    legend = [element("li", badge(source), f" {text}") for source, text in SOURCE_WORDS.items()]
    heading = element("h2", "Hyperparameters and their sources", id="hyperparameters-heading")
    return element(
        "section", heading, parts,
        element("details", element("summary", "What the sources are"), element("ul", legend, class_="plain")),
        id="hyperparameters", aria_labelledby="hyperparameters-heading",
    )  # fmt: skip


def _table(s: OptimizerSeries, title: str, anchors: Anchors) -> Html:
    rows = [_row(s, "rule", _last(s, "rule"), None, anchors)]
    rows.append(_row(s, "step", _whole(s.steps[-1]), s.steps, anchors))
    for name in hyperparameters_in({str(column): s.heads[column].to_numpy() for column in s.heads}):
        values = floats(s.heads[name])
        rows.append(_row(s, name, number(float(values[-1])), values, anchors))
    heads = ["", "newest value", "over the run", "source", "where it was found"]
    head = element("thead", element("tr", [element("th", text, scope="col") for text in heads]))
    caption = element("caption", f"Hyperparameters: {title}", class_="visually-hidden")
    table = element("table", caption, head, element("tbody", rows), class_="sources")
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"Hyperparameters: {title}")


def _row(s: OptimizerSeries, name: str, value: str, values: Floats | None, anchors: Anchors) -> Html:
    sources = s.distinct(f"{name}_source")
    newest = _last(s, f"{name}_source")
    earlier = [source for source in sources if source != newest]
    against = _last(s, f"{name}{CONTRADICTION}")
    shown = [badge(newest) if newest else "", element("strong", " contradicted") if against else ""]
    return element(
        "tr",
        element("th", anchors.definition(name), scope="row"),
        element("td", element("b", value)),
        element("td", _over_run(values, is_step=name == "step") if values is not None else _rules(s)),
        element("td", shown, [[" earlier: ", badge(source)] for source in earlier]),
        element("td", "; but ".join(filter(None, (_last(s, f"{name}_where"), against))), class_="where"),
    )


def _over_run(values: Floats, *, is_step: bool) -> Html | str:
    path = known(values)
    if len(path) < 2 or float(np.ptp(path)) <= 1e-9 * float(path.max()):
        return "constant" if len(values) > 1 and len(path) == len(values) else ""
    first, last = (_whole(float(end)) if is_step else number(float(end)) for end in (path[0], path[-1]))
    text = f"{first} → {last}"
    return element("span", text, " ", sparkline(values, f"from {first} to {last}"))


def _rules(s: OptimizerSeries) -> str:
    rules = s.distinct("rule")
    return f"first {rules[0]}" if len(rules) > 1 else ""


def _whole(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:,.0f}"


def _last(s: OptimizerSeries, column: str) -> str:
    return str(s.heads[column].iloc[-1]) if column in s.heads else ""
