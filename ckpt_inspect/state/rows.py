"""Which variables have a sparse gradient, so that an update may have changed some rows alone.

`tf.gather` and embedding layers give one. Of the files only a graph shows that; else a table goes by the name that
Keras (`embeddings`), Sonnet (`embeddings`), tf.contrib (`embedding_weights`) and most programs give it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.layouts.found import FoundParameter
from ckpt_inspect.update_rules import UpdateRule
from ckpt_inspect.update_rules.rule import Settings

_TABLE = re.compile(r"embed|(?:^|_)(?:emb|table|lookup)(?:_|\d|:|$)", re.IGNORECASE)
_MOST_NAMED = 3


def has_sparse_gradient(parameter: FoundParameter) -> bool:
    """Return whether a variable's gradient is that of some rows: by the graph, else by the name of a table."""
    if parameter.has_sparse_gradient is not None:
        return parameter.has_sparse_gradient
    own = (parameter.value or "").partition("/.ATTRIBUTES/")[0]
    return len(parameter.shape) > 1 and any(_TABLE.search(n.rpartition("/")[2]) for n in (parameter.name, own))


def with_rows(settings: Settings, rule: UpdateRule, parameter: FoundParameter) -> Settings:
    """Return the settings of that parameter, which say whether rows alone of it changed."""
    if rule.done_by_rows(settings) and has_sparse_gradient(parameter):
        return replace(settings, has_sparse_gradient=True)
    return settings


def open_rows(rule: UpdateRule, settings: Mapping[str, Settings], name: str) -> Iterable[Problem]:
    """Yield the remark that some variables' last updates aren't told; `settings` are each parameter's, `name` the
    optimizer's."""
    found = [p for p, own in settings.items() if own.has_sparse_gradient]
    if found:
        named = ", ".join(found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        verb = rule.done_by_rows(settings[found[0]])
        yield Problem(
            "rows-not-saved",
            f"{name}: {rule.title} {verb} only the rows that a sparse gradient (an embedding's) touches, and which the "
            f"last one touched is not in the file: {named}{more}",
            "the last update of these is left out; all others are taken to have been updated as a whole",
            "info",
        )
