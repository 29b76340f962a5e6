"""What was analysed: runs and their optimizers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ckpt_inspect.comparison.segments import BEGINNING_WORDS, MEANING_OF_A_JUMP
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.presentation.optimizer_series import OptimizerSeries, floats
from ckpt_inspect.presentation.page.contents import Contents, PageRun
from ckpt_inspect.presentation.page.markup import Html, element
from ckpt_inspect.presentation.tables.wording import bytes_text, figure, segments_text
from ckpt_inspect.sourced import SOURCE_WORDS

_KINDS = dict.fromkeys(("parameters", "elements", "checkpoints", "steps"), "number")


def overview(contents: Contents, series: Sequence[OptimizerSeries]) -> Html:
    """Return what was analysed, and a table of the optimizers."""
    return element(
        "section",
        element("h2", "What was analysed", id="analysed-heading"),
        [_run_facts(run) for run in contents.runs],
        _optimizers(series, several_runs=len(contents.runs) > 1),
        id="analysed",
        aria_labelledby="analysed-heading",
    )


def _run_facts(run: PageRun) -> Html:
    table = run.checkpoints
    count = len(table)
    facts: list[tuple[str, str | Html]] = [("run", element("strong", run.name))]
    names = [str(name) for name in table["checkpoint"]] if "checkpoint" in table else []
    between = "" if count < 2 or not names else f": {names[0]} to {names[-1]}"
    facts.append(("checkpoints", f"{count:,}{between}" if count != 1 or not names else names[0]))
    for column, what in (("format", "format"), ("layout", "layout")):
        if column in table:
            facts.append((what, ", ".join(dict.fromkeys(str(text) for text in table[column] if text)) or "unknown"))
    if "size_bytes" in table and count:
        total = float(np.nansum(np.maximum(floats(table["size_bytes"]), 0)))
        facts.append(("on disk", f"{bytes_text(int(total))}{' together' if count > 1 else ''}"))
    facts += _segments(run, names)
    items = [element("div", element("dt", name), element("dd", value)) for name, value in facts]
    return element("dl", items, class_="facts")


def _segments(run: PageRun, names: Sequence[str]) -> list[tuple[str, str | Html]]:
    """Where the run was resumed or its rate jumped, in words; nothing of a run of one segment."""
    if len(run.segments) < 2 or run.segments[-1].stop > len(names):
        return []
    found: list[tuple[str, str | Html]] = [("segments", segments_text(run.segments, names))]
    if any(segment.begins == "rate-jumped" for segment in run.segments):
        found.append((BEGINNING_WORDS["rate-jumped"], element("small", f"{MEANING_OF_A_JUMP}.")))
    return found


def _optimizers(series: Sequence[OptimizerSeries], *, several_runs: bool) -> Html:
    heads = ["optimizer", "update rule", "parameters", "elements", "checkpoints", "steps", "learning rate α"]
    if several_runs:
        heads.insert(0, "run")
    rows = []
    for s in series:
        sizes = s.newest_values("size")
        cells = [
            element("th", s.optimizer, scope="row"),
            element("td", _text(s, "rule")),
            element("td", f"{len(s.parameters):,}", class_="number"),
            element("td", f"{np.nansum(sizes):,.0f}", class_="number"),
            element("td", f"{len(s.heads):,}", class_="number"),
            element("td", _steps(s), class_="number"),
            element("td", rate_text(s)),
        ]
        rows.append(element("tr", [element("td", s.run), *cells] if several_runs else cells))
    if not rows:
        return element("p", "No optimizer with moments was found.", class_="note")
    table = element(
        "table",
        element("caption", "Optimizers", class_="visually-hidden"),
        element("thead", element("tr", [element("th", head, scope="col", class_=_KINDS.get(head)) for head in heads])),
        element("tbody", rows),
    )
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label="Optimizers")


def rate_text(s: OptimizerSeries) -> Html:
    """Return the nominal learning rate over the run, and where it comes from."""
    rates = floats(s.heads["learning_rate"])
    rates = rates[~np.isnan(rates)]
    sources = [SOURCE_WORDS.get(text, text) for text in s.distinct("learning_rate_source")]
    if any(s.distinct(f"learning_rate{CONTRADICTION}")):
        sources.append("contradicted")
    if not rates.size:
        return element("span", badge("unknown"), element("span", " E/α is shown", class_="note"))
    value = figure(float(rates[0]))
    if np.ptp(rates) > 1e-9 * abs(float(rates[0])):
        value = f"{value} → {figure(float(rates[-1]))}"
    return element("span", value, " ", element("span", "(" + ", ".join(sources) + ")", class_="note"))


def badge(source: str) -> Html:
    """Return the kind of source, in the colour of how far it can be trusted."""
    return element("span", source, class_=f"badge source-{source if source in SOURCE_WORDS else 'unknown'}")


def _steps(s: OptimizerSeries) -> str:
    steps = s.steps[~np.isnan(s.steps)]
    if not steps.size:
        return "unknown"
    return f"{steps[0]:,.0f}" if len(s.steps) == 1 else f"{steps[0]:,.0f} to {steps[-1]:,.0f}"


def _text(s: OptimizerSeries, column: str) -> str:
    return ", ".join(filter(None, s.distinct(column))) or "unknown"


def title_of(contents: Contents) -> str:
    """Return what the page is called."""
    names = [run.name for run in contents.runs]
    return names[0] if len(names) == 1 else f"{counted(len(names), 'run')}: {', '.join(names)}"


def number(value: float) -> str:
    """Return a number as it was configured: up to six digits; `unknown` for NaN."""
    return "unknown" if math.isnan(value) else f"{value:.6g}"
