"""The words that a shell offers for an option's value; typed paths are the shell's own matter.

Each takes what is typed so far, as typer calls it, and returns the words that begin so. What they need is imported when
a shell asks.
"""

from __future__ import annotations

from collections.abc import Iterable


def rules(incomplete: str) -> list[str]:
    """Return names of update rules."""
    from ckpt_inspect.update_rules import RULES

    return _beginning(incomplete, [rule.name for rule in RULES])


def severities(incomplete: str) -> list[str]:
    """Return severities of findings, and their ids."""
    from ckpt_inspect.findings.checks import KINDS
    from ckpt_inspect.findings.finding import SEVERITIES

    return _beginning(incomplete, (*SEVERITIES, *(kind.id for kind in KINDS)))


def thresholds(incomplete: str) -> list[str]:
    """Return thresholds of findings, each with the sign that its value follows."""
    from dataclasses import fields

    from ckpt_inspect.findings.thresholds import Thresholds

    return _beginning(incomplete, [f"{field.name}=" for field in fields(Thresholds)])


def targets(incomplete: str) -> list[str]:
    """Return what runs can be exported to."""
    from ckpt_inspect.presentation.export import TARGETS

    return _beginning(incomplete, [target.name for target in TARGETS])


def charts(incomplete: str) -> list[str]:
    """Return figures that TensorBoard gets, after those that are already typed with commas."""
    from ckpt_inspect.presentation.export.charts import FIGURES

    return _listed(incomplete, (*FIGURES, "all"))


def frames(incomplete: str) -> list[str]:
    """Return kinds of tables."""
    from ckpt_inspect.runs.frames import KINDS

    return _beginning(incomplete, KINDS)


def file_formats(incomplete: str) -> list[str]:
    """Return file formats of figures."""
    from ckpt_inspect.presentation.report import FILE_FORMATS

    return _beginning(incomplete, FILE_FORMATS)


def explained(incomplete: str) -> list[str]:
    """Return what can be explained: topics, figures, findings, reasons of `check`."""
    from ckpt_inspect.presentation.guide import TOPICS
    from ckpt_inspect.soundness.explanations import EXPLANATIONS

    return _beginning(incomplete, [*(topic.name for topic in TOPICS), *EXPLANATIONS])


def placements(incomplete: str) -> list[str]:
    """Return where epsilon can stand."""
    return _beginning(incomplete, ("implementation", "textbook"))


def readers(incomplete: str) -> list[str]:
    """Return the second readers that `check` can compare with."""
    return _beginning(incomplete, ("tensorflow",))


def answer_first_tab_of_zsh() -> None:
    """Have the script that typer installs for zsh also answer the Tab that loads it; typer's own answers later ones."""
    from typer import _completion_shared as shared

    scripts: dict[str, str] = getattr(shared, "_completion_scripts", {})
    if "zsh" in scripts:
        scripts["zsh"] += '\n\n[[ "$funcstack[1]" = "_%(prog_name)s" ]] && %(complete_func)s "$@"'


def _listed(incomplete: str, words: Iterable[str]) -> list[str]:
    typed, comma, last = incomplete.rpartition(",")
    return [f"{typed}{comma}{word}" for word in _beginning(last, words)]


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
