"""Every hyperparameter with where it comes from, and how it changed over the run."""

from __future__ import annotations

import math
from collections.abc import Callable

from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import setting, whole
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, floats, known
from ckpt_inspect.presentation.page.anchors import Anchors, Link
from ckpt_inspect.presentation.page.sparklines import Sparkline, sparkline
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class HyperparameterRow:
    """A hyperparameter over the run."""

    name: Link
    value: str
    """The newest."""
    change: str
    """How it changed; empty if that is not known."""
    line: Sparkline | None
    source: str
    """Of the newest value; may be empty."""
    earlier: tuple[str, ...]
    """Other sources that it had."""
    where: str
    contradiction: str
    """What speaks against it."""


@dataclass(frozen=True, slots=True)
class HyperparameterTable:
    """The hyperparameters of an optimizer of a run."""

    run: str
    optimizer: str
    rows: tuple[HyperparameterRow, ...]


def hyperparameter_table(s: OptimizerSeries, anchors: Anchors) -> HyperparameterTable:
    """Return the rule, the step and every hyperparameter that the frame has."""
    rules = s.distinct("rule")
    rows = [
        _row(s, "rule", _last(s, "rule"), f"first {rules[0]}" if len(rules) > 1 else "", None, anchors),
        _row(s, "step", _whole(s.steps[-1]), *_change(s.steps, _whole), anchors),
    ]
    for name in s.hyperparameters:
        values = floats(s.heads[name])
        rows.append(_row(s, name, _number(float(values[-1])), *_change(values, _number), anchors))
    return HyperparameterTable(s.run, s.optimizer, tuple(rows))


def _row(
    s: OptimizerSeries, name: str, value: str, change: str, line: Sparkline | None, anchors: Anchors
) -> HyperparameterRow:
    source, where, against = (_last(s, f"{name}{end}") for end in ("_source", "_where", CONTRADICTION))
    earlier = tuple(each for each in s.distinct(f"{name}_source") if each != source)
    return HyperparameterRow(anchors.definition(name), value, change, line, source, earlier, where, against)


def _change(values: Floats, text_of: Callable[[float], str]) -> tuple[str, Sparkline | None]:
    """How values (K,) changed: in words, and drawn."""
    path = known(values)
    if len(path) < 2 or text_of(float(path.min())) == text_of(float(path.max())):
        return "constant" if len(path) == len(values) > 1 else "", None
    first, last = text_of(float(path[0])), text_of(float(path[-1]))
    return f"{first} → {last}", sparkline(values, f"from {first} to {last}")


def _whole(value: float) -> str:
    return "unknown" if math.isnan(value) else whole(value)


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else setting(value)


def _last(s: OptimizerSeries, column: str) -> str:
    return str(s.heads[column].iloc[-1]) if column in s.heads else ""
