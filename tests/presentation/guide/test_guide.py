"""The guide's pages: found, listed and printed by `explain`."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from support.command_line import Answer

import ckpt_inspect.presentation.guide as guide
from ckpt_inspect.cli.terminal import print_page
from ckpt_inspect.presentation.guide import TOPICS, Topic, find_topic
from ckpt_inspect.presentation.guide.markdown import Block, Code, Heading, Paragraph, blocks, plain
from ckpt_inspect.soundness.explanations import EXPLANATIONS

topics = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_every_page_is_a_topic() -> None:
    """A page that is not registered, or a topic without a page, is noticed."""
    folder = Path(str(guide.__file__)).parent
    assert {file.stem for file in folder.glob("*.md")} == {topic.name for topic in TOPICS}


@topics
def test_a_page_begins_with_its_title(topic: Topic) -> None:
    """The index and the page call it the same."""
    assert topic.text().startswith(f"# {topic.title}\n\n")


@topics
def test_no_topic_hides_a_figure_or_finding(topic: Topic) -> None:
    """`explain NAME` looks for topics first."""
    assert all(topic.name != name.replace("_", "-") for name in EXPLANATIONS)


@topics
def test_a_pipe_gets_the_page_as_it_is(topic: Topic) -> None:
    """Markdown, so that it can be kept or rendered."""
    answer = Answer("explain", topic.name)
    assert (answer.code, answer.out, answer.remarks) == (0, topic.text(), "")


def _letters(text: str) -> Counter[str]:
    """How often each letter occurs, whatever layout and folding put between them."""
    return Counter(re.sub(r"[\s─]+", "", text))


def _texts(block: Block) -> list[str]:
    if isinstance(block, Heading):
        return [block.text]
    if isinstance(block, Paragraph):
        return [block.marker + plain(block.text)]
    if isinstance(block, Code):
        return list(block.lines)
    return [*(column.title for column in block.columns), *(cell for row in block.rows for cell in row)]


@topics
@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_it_laid_out(topic: Topic, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off, no mark is left over, and only examples are wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    print_page(topic.text(), stream)
    printed = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())
    found = blocks(topic.text())
    examples = {f"  {line}".rstrip() for block in found if isinstance(block, Code) for line in block.lines}
    lines = [line.rstrip() for line in printed.splitlines()]
    assert examples <= set(lines)
    assert max(len(line) for line in lines if line not in examples) <= min(width, 110)
    assert _letters(printed) == _letters("".join(text for block in found for text in _texts(block)))
    assert "…" not in printed and "```" not in printed and "**" not in printed


def test_topics_are_listed_first() -> None:
    """`explain` alone lists them with their titles, before figures and findings."""
    out = Answer("explain").out
    heading, *lines = out.splitlines()[: len(TOPICS) + 1]
    assert heading == "Topics, a page each"
    assert [re.split("  +", line) for line in lines] == [[topic.name, topic.title] for topic in TOPICS]


@pytest.mark.parametrize("name", ["command-line", "Command Line", " command_line"])
def test_names_may_be_written_in_several_ways(name: str) -> None:
    """Hyphens, underscores, blanks and capitals."""
    topic = find_topic(name)
    assert topic is not None and topic.name == "command-line"


def test_a_topic_that_is_nearly_right_is_named() -> None:
    """As figures and findings are."""
    answer = Answer("explain", "layout")
    assert answer.code == 1
    assert answer.sentence == "there is nothing called 'layout' to explain: did you mean layouts?"


def test_a_page_as_a_document() -> None:
    """--json gives its text; the list of everything has all pages."""
    document = json.loads(Answer("explain", "sources", "--json").out)
    assert document["explanations"] == []
    assert document["topics"] == [{"name": "sources", "title": "Where a value comes from", "text": TOPICS[1].text()}]
    everything = json.loads(Answer("explain", "--json").out)
    assert [t["name"] for t in everything["topics"]] == [topic.name for topic in TOPICS]
    assert [e["name"] for e in everything["explanations"]] == list(EXPLANATIONS)
