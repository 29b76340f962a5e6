"""`ckpt-inspect explain`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.answering import answering, print_json


def explain(
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="[NAME]",
            autocompletion=completions.explained,
            help="A topic, figure or finding. Without a name, all of them are listed.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Explain a figure, a finding or a table's heading (definition, formula, how to read it, thresholds, source), or
    print the page on a topic.

    In a pipe a page is Markdown. Without a name, all topics, figures and findings are listed.
    """
    with answering(trouble=1, verbose=False, as_json=json):
        from ckpt_inspect.cli.terminal import print_page, print_tables
        from ckpt_inspect.findings.explanations import NOTATION
        from ckpt_inspect.findings.explanations import explain as explanations_of
        from ckpt_inspect.presentation.guide import TOPICS, find_topic
        from ckpt_inspect.presentation.tables.explained import explanation_tables, index_tables
        from ckpt_inspect.presentation.tables.headings import explained_headings
        from ckpt_inspect.soundness.explanations import EXPLANATIONS

        topic = None if name is None else find_topic(name)
        topics = TOPICS if name is None else (topic,) if topic else ()
        found = every = tuple(EXPLANATIONS.values())
        if name is not None:
            found = () if topic else explained_headings(name)
            if not topic and not found:
                found = explanations_of(name, others=[t.name for t in TOPICS], among=every)
        if json:
            pages = [asdict(t) | {"text": t.text()} for t in topics]
            print_json({"notation": NOTATION, "topics": pages, "explanations": [asdict(e) for e in found]})
        elif topic:
            print_page(topic.text())
        elif name is None:
            print_tables(index_tables(topics, found))
        else:
            print_tables(explanation_tables(found))
            print_page(f"{NOTATION}\n")
