"""The page's HTML: its structure, what it refers to, and that nothing from a file becomes markup."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import jinja2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.frames_for_plots import make_frames
from support.page_contents import make_contents, make_figure, make_finding, make_run

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.findings.checks import KINDS
from ckpt_inspect.findings.explanations import EXPLANATIONS
from ckpt_inspect.presentation.page import Contents, PageRun, page_html
from ckpt_inspect.presentation.page.contents import Chart
from ckpt_inspect.presentation.page.sparklines import MOST_POINTS, sparkline
from ckpt_inspect.presentation.page.templating import environment
from ckpt_inspect.presentation.shown_names import printable

VOID = {"br", "col", "img", "input", "link", "meta", "wbr"}
HOSTILE = "</script><img src=x onerror=1>\"'&amp;"


class Document(HTMLParser):
    """A parsed page: every element with its attributes and the text inside it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {[tag for tag, _ in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice: {names}"
        text: list[str] = []
        self.elements.append((tag, {name: value or "" for name, value in attrs}, text))
        if tag not in VOID:
            self._open.append((tag, text))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        opened, _ = self._open.pop()
        assert opened == tag, f"</{tag}> where </{opened}> should be"

    def handle_data(self, data: str) -> None:
        if data.isspace() and "\n" in data:  # the layout of the templates' source
            return
        for _, text in self._open:
            text.append(data)

    def all(self, *tags: str) -> Iterator[tuple[dict[str, str], str]]:
        """Attributes and text of all elements of these names."""
        for tag, attributes, text in self.elements:
            if not tags or tag in tags:
                yield attributes, "".join(text)

    def texts(self, *tags: str) -> list[str]:
        """Texts of all elements of these names."""
        return [text for _, text in self.all(*tags)]

    def of_class(self, name: str) -> list[str]:
        """Texts of all elements of that class."""
        return [text for attributes, text in self.all() if name in attributes.get("class", "").split()]

    def headings(self) -> list[str]:
        """The headings of the table of parameters."""
        return [text for attributes, text in self.all("th") if "aria-sort" in attributes]

    def rows(self) -> list[tuple[dict[str, str], str]]:
        """The rows of the table of parameters."""
        return [row for row in self.all("tr") if row[0].get("id", "").startswith("parameter-")]


def page(*runs: PageRun, problems: tuple[Problem, ...] = ()) -> Document:
    """The parsed page of these runs."""
    return Document(page_html(make_contents(*runs, problems=problems)))


def full_run(name: str = "digits") -> PageRun:
    """A run with findings of all severities and with problems."""
    findings = [
        make_finding("nonfinite-state", ["dense/kernel"]),
        make_finding("updates-too-large", ["dense/kernel", "dense_1/kernel"]),
        make_finding("untouched-elements", ["dense/bias"]),
    ]
    return make_run(name, findings=findings, problems=2)


@pytest.fixture(scope="module")
def document() -> Document:
    """A page with something in every section."""
    return page(full_run())


def test_headings_make_an_outline(document: Document) -> None:
    """One first heading, and no level is left out below it."""
    levels = [int(tag[1]) for tag, _, _ in document.elements if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_ids_are_unique_and_references_resolve(document: Document) -> None:
    """Every link inside the page, and every label, names something that is there."""
    ids = [attributes["id"] for attributes, _ in document.all() if "id" in attributes]
    assert len(set(ids)) == len(ids)
    inside = {a["href"][1:] for a, _ in document.all("a") if a["href"].startswith("#")}
    labels = {a[name] for a, _ in document.all() for name in ("aria-labelledby", "for") if name in a}
    finding = {a["data-finding"] for a, _ in document.all() if "data-finding" in a}
    assert inside | labels | finding <= set(ids)
    assert inside


def test_tables_say_what_they_are(document: Document) -> None:
    """Every table has a caption, every heading cell a scope, and what scrolls can be reached by keyboard."""
    tables = document.texts("table")
    assert tables and len(document.texts("caption")) == len(tables)
    assert all(attributes.get("scope") in ("col", "row") for attributes, _ in document.all("th"))
    scrolling = [a for a, _ in document.all("div") if "scroll" in a.get("class", "").split()]
    assert len(scrolling) == len(tables) and all(a["tabindex"] == "0" for a in scrolling)


def test_pictures_have_texts(document: Document) -> None:
    """Figures and sparklines say what they show to those who can't see them."""
    assert all(attributes["alt"] for attributes, _ in document.all("img"))
    assert all(attributes["aria-label"] for attributes, _ in document.all("svg"))


def test_nothing_is_fetched(document: Document) -> None:
    """Pictures are inside; what is linked is the page itself or a figure's file beside it."""
    assert all(a["src"].startswith("data:image/png;base64,") for a, _ in document.all("img", "script") if "src" in a)
    assert [a["href"] for a, _ in document.all("link")] == ["data:,"]
    outside = {a["href"] for a, _ in document.all("a") if not a["href"].startswith("#")}
    assert outside == {"adam-0.png", "adam-1.png"}


def test_policy_allows_this_style_and_script_alone() -> None:
    """The policy stands before what it governs, and knows the one style and the one script by their hashes."""
    text = page_html(make_contents())
    document = Document(text)
    policy = next(a["content"] for a, _ in document.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        (content,) = document.texts(tag)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert text.index("Content-Security-Policy") < text.index("<style>")
    inline = [name for a, _ in document.all() for name in a if name == "style" or name.startswith("on")]
    assert not inline


def test_names_never_become_markup() -> None:
    """Whatever a file calls its things, it is shown as text, in full, and nothing else appears in the page."""
    frame = make_frames(2, 3)["parameters"]
    frame = frame.replace({"parameter": {"dense/kernel": HOSTILE}, "optimizer": {"adam": HOSTILE}})
    frame = frame.assign(checkpoint=HOSTILE, rule=HOSTILE, learning_rate_where=HOSTILE, learning_rate_source=HOSTILE)
    finding = make_finding("untouched-elements", [HOSTILE], optimizer=HOSTILE)
    run = make_run(HOSTILE, frame, [finding])
    run.problems.loc[0] = [HOSTILE] * 6
    problem = Problem(HOSTILE, HOSTILE, HOSTILE, "info")
    figure = make_figure(HOSTILE, ("untouched",), HOSTILE)
    hostile = Document(page_html(Contents([run], [figure], [], [problem], "0.0")))
    plain = page(full_run())
    assert len(hostile.texts("script")) == 1
    assert all(attributes["src"].startswith("data:") for attributes, _ in hostile.all("img"))
    known = {name for attributes, _ in plain.all() for name in attributes}
    assert {name for attributes, _ in hostile.all() for name in attributes} <= known
    assert HOSTILE in hostile.rows()[0][1]
    assert sum(HOSTILE in text for text in hostile.texts("h1", "h3", "td", "li", "dd")) > 8


def filled(template: str, **context: object) -> str:
    """A template of a test's own, filled in as the page's are."""
    return environment().from_string(template).render(context)


@given(st.text())
def test_any_text_is_shown_as_it_is(text: str) -> None:
    """Printable text comes back from a parser as it went in; the rest is made visible, and can be written."""
    made = filled('<p title="{{ text }}">{{ text }}</p>', text=text)
    made.encode("utf-8")
    ((attributes, shown),) = Document(made).all()
    assert shown == attributes["title"]
    assert shown.isprintable() and len(shown) >= len(text)
    assert shown == printable(text)
    if text.isprintable():
        assert shown == text


def test_writing_direction_is_not_changed_by_names() -> None:
    """Control characters, overrides of the writing direction and halves of surrogate pairs are escaped."""
    assert filled("<b>{{ text }}</b>", text="a\u202eb\x00c\ud800d\ne") == r"<b>a\u202eb\x00c\ud800d\ne</b>"


@given(st.text())
def test_a_name_that_may_be_broken_is_the_same_name(text: str) -> None:
    """Where a line may be broken, and nothing else, is added to what is shown."""
    document = Document(filled('{% import "macros.html" as m %}{{ m.tensor(text) }}', text=text))
    assert {tag for tag, _, _ in document.elements} <= {"code", "wbr"}
    assert document.texts("code") == [printable(text)]


def test_a_template_that_names_what_is_not_there_is_an_error() -> None:
    """Rather than an empty place in the page."""
    with pytest.raises(jinja2.UndefinedError):
        filled("{{ finding.titel }}", finding=make_finding("untouched-elements", []))


def test_a_chart_stands_in_its_card_and_its_data_once_in_the_page() -> None:
    """With the words that say the same, and a link to the file; a picture is not needed then."""
    chart = Chart("movement", HOSTILE, {"names": [HOSTILE], HOSTILE: [1.5, float("nan")]}, f"Words. {HOSTILE}")
    figures = [replace(make_figure(), picture=None, chart=chart), make_figure(file="2.png")]
    document = Document(page_html(Contents([make_run()], figures, [], [], "0.0")))
    ((place, words),) = [each for each in document.all("div") if "data-kind" in each[0]]
    assert (place["data-kind"], place["aria-label"], words.strip()) == ("movement", HOSTILE, f"Words. {HOSTILE}")
    ((_, data),) = [each for each in document.all("script") if each[0].get("type") == "application/json"]
    assert json.loads(data) == {place["id"]: {"names": [HOSTILE], HOSTILE: [1.5, None]}}
    assert len(document.texts("script")) == 3 and len(document.texts("img")) == 1


def test_a_figure_of_nothing_is_a_sentence() -> None:
    """Its answer under its question, where links to it lead; no empty chart, and no picture of it."""
    chart = Chart("lines", "Where?", {"panels": []}, "Nothing is drawn.")
    figure = replace(make_figure(), picture=None, chart=chart, answer="Nowhere: none of the 4 parameters.")
    text = page_html(Contents([make_run()], [figure], [], [], "0.0"))
    (section,) = re.findall(r'<section id="figures".*?</section>', text, re.S)
    assert 'id="figure-1"' in section and "Nowhere: none of the 4 parameters." in section
    assert "data-kind" not in section and figure.file not in section and figure.caption not in section


def test_figures_that_are_missing_name_their_cause() -> None:
    """An optimizer that moves nothing leaves little to draw."""
    run = make_run(findings=[make_finding("inert-state", ["dense/kernel"])])
    section = page(run).texts("section")[2]
    assert "An optimizer that can't move its weights: the other figures would be empty." in section
    assert "Not drawn, because there is one checkpoint." in section
    assert "would be empty" not in page(make_run()).texts("section")[2]


def test_findings_have_short_headings() -> None:
    """What kind it is; the sentence with the figures stands below."""
    finding = make_finding("untouched-elements", ["dense/bias"])
    document = page(make_run(findings=[finding]))
    (heading,) = [text for text in document.texts("h3") if finding.kind.title in text]
    assert finding.title not in heading
    assert f"{finding.title}." in document.texts("article")[0]
    assert all(len(kind.title) <= 54 for kind in KINDS)  # two lines of a telephone


def test_findings_come_with_the_most_severe_first() -> None:
    """Of several runs too; each says why it matters and what to do."""
    document = page(
        make_run("a", findings=[make_finding("untouched-elements", ["dense/bias"], severity="info")]), full_run("b")
    )
    cards = [a["class"] for a, _ in document.all("article")]
    assert [each.split("-")[-1] for each in cards] == ["critical", "warning", "warning", "info"]
    first = document.texts("article")[0]
    assert "Why it matters. " in first and "What to do. " in first and "run: b" in first


def test_findings_link_to_their_figures_and_rows() -> None:
    """To the figures of their metrics and of their optimizer alone, and to the rows of the parameters they name."""
    text = page_html(make_contents(make_run(findings=[make_finding("untouched-elements", ["dense/bias"])])))
    card = text[text.index("<article") : text.index("</article>")]
    assert re.findall(r'href="#(figure-\d|parameter-\d)"', card) == ["parameter-2", "figure-2"]
    (row,) = [text for attributes, text in Document(text).rows() if attributes.get("data-findings") == "finding-1"]
    assert row.startswith("dense/bias") and "untouched-elements" in row


def test_the_verdict_says_how_fast_weight_matrices_change() -> None:
    """Not biases, whose ratio says little; with a warning if its checkpoints refute a value that it rests on."""
    frame = make_frames(4, 3)["parameters"]
    frame["update_to_weight"] = np.where(frame["shape"] == "16", 0.5, 0.002)
    (verdict,) = page(make_run(frame=frame)).of_class("card")[:1]
    assert "The last update is 0.2 % of the weights' norm (median of 2 tensors" in verdict
    refuted = frame.assign(beta_2_contradiction="at most 0.98")
    assert "Can't tell. A value that this rests on is contradicted" in page(make_run(frame=refuted)).of_class("card")[0]


def test_answers_lead_to_the_figures_that_show_them() -> None:
    """Of those that the page has."""
    text = page_html(make_contents())
    told = text[text.index('<dl class="answers">') : text.index("</dl>", text.index('<dl class="answers">'))]
    assert re.findall(r'href="#(figure-\d)"', told) == ["figure-2", "figure-2", "figure-1"]


def test_several_runs_stand_beside_each_other() -> None:
    """A row each, with the verdict in two words and the figures that a person compares; a single run needs none."""
    other = make_run("b", findings=[make_finding("updates-too-large", ["dense/kernel"])])
    text = page_html(make_contents(make_run("a"), other))
    table = text[text.index("<caption", text.index("Which of the runs?")) :].partition("</table>")[0]
    found = re.findall(r'<th scope="row">(.*?)</th>\s*<td>(.*?)</td>', table)
    assert found == [("a", "healthy"), ("b", "to look at")]
    assert "Which of the runs?" not in page_html(make_contents(make_run("a")))


def test_runs_are_told_apart_in_words() -> None:
    """Which takes the larger steps, and by how much; the one in most trouble is told first."""
    fast = make_frames(4, 3)["parameters"].assign(update_to_weight=0.02)
    slow = fast.assign(update_to_weight=0.001)
    runs = (make_run("slow", slow), make_run("fast", fast, [make_finding("weights-jumped", ["dense/kernel"])]))
    text = page_html(make_contents(*runs))
    assert "The last update of fast is the largest beside its weights: 2 % of their norm, 20 times that of slow" in text
    assert re.findall(r'<div class="card verdict-(\w+)">', text) == ["trouble", "healthy"]
    alike = page_html(make_contents(make_run("a", slow), make_run("b", slow)))
    assert "Their last updates are about as large beside the weights." in alike


def test_addresses_of_files_lead_to_files() -> None:
    """Whatever a file is called, its address is a path beside the page and no command."""
    figures = [make_figure(file='javascript:alert(1)//"x')]
    document = Document(page_html(Contents([make_run()], figures, [], [], "0.0")))
    assert [a["href"] for a, _ in document.all("a") if not a["href"].startswith("#")] == [
        "javascript%3Aalert%281%29//%22x"
    ]


def test_nothing_found_is_said() -> None:
    """A healthy run's page says that nothing was found, and that nothing was odd."""
    document = page()
    assert "Nothing that deserves attention was found." in document.texts("p")
    assert "Nothing in the files was odd to read." in document.texts("p")


def test_definitions_are_those_of_explain(document: Document) -> None:
    """Every figure and hyperparameter is defined, in the words of the one place that explains them."""
    for explanation in EXPLANATIONS.values():
        if explanation.sort in ("metric", "hyperparameter"):
            assert f"{explanation.title} {explanation.name}" in document.texts("dt")
            assert explanation.definition in document.texts("dd")


def test_rows_are_of_the_newest_checkpoint() -> None:
    """A row has its parameter's newest figures, and how many times the first the newest median is."""
    frame = make_frames(2, 3)["parameters"]
    at = (frame["parameter"] == "dense/bias").to_numpy()
    frame.loc[at, "effective_lr_median"] = [1e-3, 4e-3, 2e-3]
    frame.loc[at, "update_to_weight"] = [0.5, 0.5, 0.125]
    row = page(make_run(frame=frame)).rows()[1][1]
    assert row.startswith("dense/bias")
    assert "0.002" in row and "×2" in row and "0.125" in row


def test_rows_of_any_order_of_the_frame_are_the_same() -> None:
    """Which checkpoint is the newest is told by its index, not by the frame's order."""
    frame = make_frames(2, 3)["parameters"]
    shuffled = pd.concat([frame[frame["parameter"] == name][::-1] for name in ("dense/kernel", "dense/bias")])
    rows = {text for _, text in page(make_run(frame=frame)).rows()}
    assert {text for _, text in page(make_run(frame=shuffled)).rows()} == rows


def test_parameter_that_vanished_says_until_when() -> None:
    """Its last figures are kept, with the step they are of."""
    frame = make_frames(2, 3)["parameters"]
    frame = frame[(frame["parameter"] != "dense/bias") | (frame["checkpoint_index"] < 2)]
    assert page(make_run(frame=frame)).rows()[1][1].startswith("dense/bias until step 200")


def test_segments_are_in_words() -> None:
    """Where a run was resumed and where its rate jumped, and what a jump is; nothing of one segment."""
    cut = (Segment(0, 1, "start"), Segment(1, 2, "state-lost"), Segment(2, 3, "rate-jumped"))
    found = page(replace(make_run(), segments=cut))
    facts = dict(zip(found.texts("dt"), found.texts("dd"), strict=False))
    assert facts["segments"] == "ckpt-1 | state not carried on: ckpt-2 | rate jumped: ckpt-3"
    assert "by a factor of 2 or more" in facts["rate jumped"]
    assert "segments" not in page(replace(make_run(), segments=(Segment(0, 3, "start"),))).texts("dt")


def test_one_checkpoint_has_no_change(document: Document) -> None:
    """No sparkline and no ratio where there is nothing to compare."""
    single = page(make_run(frame=make_frames(2, 1)["parameters"]))
    assert "over the run" not in single.headings() and "over the run" in document.headings()
    assert not single.texts("svg") and document.texts("svg")


def test_runs_and_optimizers_are_columns_where_there_are_several() -> None:
    """Rows of several runs and optimizers say whose they are; where there is one, nobody needs to be told."""
    assert page().headings()[0] == "parameter"
    frame = make_frames(2, 2, optimizers=("generator", "discriminator"))["parameters"]
    assert page(make_run(frame=frame)).headings()[:2] == ["parameter", "optimizer"]
    assert page(make_run("a", frame), make_run("b", frame)).headings()[:3] == ["parameter", "run", "optimizer"]
    assert len(page(make_run("a", frame), make_run("b", frame)).rows()) == 8


def test_unknown_rate_is_said_and_its_learning_rates_are_relative() -> None:
    """The heading says E/α, and the ratio to a rate that is not known is left out."""
    document = page(make_run(frame=make_frames(2, 2, learning_rate=None)["parameters"]))
    assert "median E/α" in document.headings() and "of α" not in document.headings()
    assert "unknown E/α is shown" in document.texts("td")


def test_sources_stand_beside_hyperparameters(document: Document) -> None:
    """An assumed value is marked as such, and a value that changed shows both ends."""
    rows = document.texts("tr")
    assert "epsilon10⁻⁷constantdefault" in rows
    assert any(row.startswith("learning rate0.00010.001 → 0.0001") for row in rows)


def test_problem_of_many_checkpoints_is_told_once() -> None:
    """With the number of places where it occurred."""
    document = page(make_run(problems=9))
    (told,) = [text for text in document.of_class("card") if "something was odd" in text]
    assert told.endswith("ckpt-0, optimizer adam; ckpt-1, optimizer adam; ckpt-2, optimizer adam and 6 more places")


def test_same_contents_same_page() -> None:
    """A page made twice is the same text."""
    assert page_html(make_contents(full_run())) == page_html(make_contents(full_run()))


def test_page_of_many_parameters_is_small() -> None:
    """400 parameters in more checkpoints than a sparkline has points take less than a megabyte, pictures apart."""
    frame = make_frames(400, 1)["parameters"]
    steps = range(MOST_POINTS + 20)
    rng = np.random.default_rng(0)
    many = [
        frame.assign(checkpoint_index=i, step=i, effective_lr_median=rng.uniform(1e-4, 1e-2, len(frame))) for i in steps
    ]
    text = page_html(make_contents(make_run(frame=pd.concat(many))))
    assert len(Document(text).rows()) == 400
    assert len(text.encode()) < 1e6


def drawn(values: Sequence[float]) -> Document:
    """A sparkline as the page draws it."""
    line = sparkline(np.asarray(values), "x")
    return Document(filled('{% import "macros.html" as m %}{{ m.sparkline(line) if line }}', line=line))


def test_sparkline_is_thinned_and_broken_at_gaps() -> None:
    """Long series keep their ends; what is missing leaves a gap; a lone value is a dot."""
    (attributes, _), *_ = drawn(np.geomspace(1, 10, 1000)).all("polyline")
    points = attributes["points"].split()
    assert len(points) == MOST_POINTS
    assert (points[0], points[-1]) == ("2,18", "94,2")
    broken = drawn([1.0, 2.0, np.nan, 3.0, np.nan, 1.0, 4.0])
    assert len(broken.texts("polyline")) == 2
    assert [a["class"] for a, _ in broken.all("circle")] == ["lone", "last"]
    assert not drawn([np.nan, np.nan]).elements


def test_constant_sparkline_is_flat() -> None:
    """Rounding is not drawn as change."""
    (attributes, _), *_ = drawn([1.0, 1.0 + 1e-9, 1.0]).all("polyline")
    assert {point.split(",")[1] for point in attributes["points"].split()} == {"10"}


def test_picture_loses_its_title_and_nothing_else() -> None:
    """The title stands above the picture in the page; what is cut off ends between it and the key."""
    from PIL import Image

    from ckpt_inspect.presentation.plots import FIGURES, RunFrames, chapters
    from ckpt_inspect.presentation.plots.sheet import header_height, page_picture
    from ckpt_inspect.presentation.report import rendered

    figure = FIGURES[0].plot(chapters([RunFrames("digits", **make_frames(2, 3))])[0])
    png = rendered(figure)
    top = header_height(figure)
    small, width, height = page_picture(png, top)
    with Image.open(io.BytesIO(png)) as before, Image.open(io.BytesIO(small)) as after:
        whole, cut = np.asarray(before.convert("L")), np.asarray(after.convert("L"))
    assert (height, width) == cut.shape == (whole.shape[0] - round(top), whole.shape[1])
    difference = np.abs(whole[-height:].astype(int) - cut)
    assert difference.mean() < 0.5 and len(small) < len(png)
    assert (cut[0] > 250).all() and (whole[: round(top)] < 128).any()
