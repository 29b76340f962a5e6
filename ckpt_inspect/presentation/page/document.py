"""A report's contents to one HTML document that needs no other file and no network."""

from __future__ import annotations

from ckpt_inspect.comparison.segments import BEGINNING_WORDS, MEANING_OF_A_JUMP
from ckpt_inspect.findings.explanations import EXPLANATIONS, NOTATION
from ckpt_inspect.presentation.optimizer_series import optimizer_series
from ckpt_inspect.presentation.page.analysed import optimizer_facts, run_facts
from ckpt_inspect.presentation.page.anchors import Anchors
from ckpt_inspect.presentation.page.beside import HEADINGS, runs_beside, steps_beside
from ckpt_inspect.presentation.page.contents import Contents
from ckpt_inspect.presentation.page.figures import figure_sets
from ckpt_inspect.presentation.page.findings import finding_cards
from ckpt_inspect.presentation.page.hyperparameters import hyperparameter_table
from ckpt_inspect.presentation.page.parameters import parameter_table
from ckpt_inspect.presentation.page.problems import shown_problems
from ckpt_inspect.presentation.page.templating import rendered
from ckpt_inspect.presentation.page.verdict import run_verdict
from ckpt_inspect.presentation.verdict import STATES
from ckpt_inspect.sourced import SOURCE_WORDS

RELOADING, RELOADED = "<!-- the training goes on -->", "<!-- so far -->"
"""What stands around all that has a page load itself anew."""


def page_html(contents: Contents) -> str:
    """Return the document's text, to be written as UTF-8; the same contents give the same text."""
    series = [s for run in contents.runs for s in optimizer_series(run.name, run.parameters)]
    anchors = Anchors.of(contents, series)
    figures = zip(anchors.figures, contents.figures, strict=True)
    verdicts = [run_verdict(contents, run, [s for s in series if s.run == run.name], anchors) for run in contents.runs]
    return rendered(
        "page.html",
        contents=contents,
        has_several_runs=len(contents.runs) > 1,
        verdicts=sorted(verdicts, key=lambda each: STATES.index(each.verdict.state)),
        beside=runs_beside(verdicts, series),
        steps_beside=steps_beside(series),
        beside_headings=[(heading, "number") for heading in HEADINGS],
        findings=finding_cards(contents, anchors),
        figures=figure_sets(contents, anchors),
        chart_data={f"chart-{anchor}": figure.chart.data for anchor, figure in figures if figure.chart},
        runs=[run_facts(run) for run in contents.runs],
        optimizers=[optimizer_facts(s) for s in series],
        parameters=parameter_table(contents, series, anchors),
        hyperparameters=[hyperparameter_table(s, anchors) for s in series],
        explanations=EXPLANATIONS,
        definitions=anchors.definitions,
        notation=NOTATION,
        source_words=SOURCE_WORDS,
        jump=(BEGINNING_WORDS["rate-jumped"], MEANING_OF_A_JUMP),
        problems=shown_problems(contents),
        marks=(RELOADING, RELOADED),
    )


def without_reloading(page: str) -> str:
    """Return a page's text without what has it load itself anew."""
    before, begins, rest = page.partition(RELOADING)
    _, ends, after = rest.partition(RELOADED)
    return before + after if begins and ends else page
