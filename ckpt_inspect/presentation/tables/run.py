"""A run's newest checkpoint and how its parameters changed during training, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.segments import BEGINNING_WORDS, MEANING_OF_A_JUMP
from ckpt_inspect.findings.restarts import run_segments
from ckpt_inspect.measurement.variables import CONTRADICTION, QUANTILE_NAMES
from ckpt_inspect.measurement.wording import heading_name, percent
from ckpt_inspect.presentation.tables.table import NOTHING, Column, Table, fact_table, without_empty
from ckpt_inspect.presentation.tables.wording import figure, ratio_text, segments_text, sparkline
from ckpt_inspect.sourced import quoted, shown_source
from ckpt_inspect.state.hyperparameters import hyperparameters_in

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import Columns, OptimizerColumns, RunColumns

# Places of the quantiles shown among histograms.QUANTILE_LEVELS
_LOW, _MEDIAN, _HIGH = QUANTILE_NAMES.index("q05"), QUANTILE_NAMES.index("median"), QUANTILE_NAMES.index("q95")


def run_tables(analyses: RunColumns, store: str | None = None) -> tuple[Table, ...]:
    """Return a run's tables: what it is, and for each optimizer its parameters in the newest checkpoint that holds
    them."""
    count = len(analyses)
    facts = [("run", analyses.run), ("checkpoints", str(count))]
    if count:
        facts.append(("newest", str(analyses.checkpoints["checkpoint"][-1])))
    if len(cut := run_segments(analyses)) > 1:
        facts.append(("segments", segments_text(cut, analyses.checkpoints["checkpoint"].tolist())))
        if any(segment.begins == "rate-jumped" for segment in cut):
            facts.append((BEGINNING_WORDS["rate-jumped"], MEANING_OF_A_JUMP))
    if store is not None:
        facts.append(("store", store))
    optimizers = [o for o in analyses.optimizers.values() if o.present.any()]
    names = analyses.checkpoints["checkpoint"].tolist()
    return (fact_table(*facts), *(table for o in optimizers for table in _optimizer_tables(o, names)))


def _optimizer_tables(optimizer: OptimizerColumns, checkpoints: Sequence[str]) -> tuple[Table, ...]:
    v, count = optimizer.variables, len(checkpoints)
    row = int(max(optimizer.present.any(axis=1).nonzero()[0]))
    # a run may end in checkpoints of the weights alone
    holder = "the newest checkpoint" if row == count - 1 else f"{checkpoints[row]}, the last that holds its state"
    step = v["step"][row]
    rows = [("rule", v["rule"][row], v["rule_source"][row], v["rule_where"][row], "")]
    rows.append(
        (
            "step",
            "unknown" if step < 0 else str(step),
            v["step_source"][row],
            v["step_where"][row],
            _series(v["step"].tolist()),
        )
    )
    for name in hyperparameters_in(v):
        against = str(v[f"{name}{CONTRADICTION}"][row])
        value, source = v[name][row], shown_source(str(v[f"{name}_source"][row]), against)
        where = "; but ".join(filter(None, (str(v[f"{name}_where"][row]), against)))
        rows.append(
            (name, "unknown" if math.isnan(value) else f"{value:.6g}", source, where, _series(v[name].tolist()))
        )
    rows += _window_rate(v, row, checkpoints)
    columns = [Column("", "left"), Column("value", "left"), Column("source", "left"), Column("where", "left")]
    if any(r[4] for r in rows):
        columns.insert(2, Column("over the run", "left", keep=8))
    with_series = len(columns) == 5
    values = [(n, value, *([over] if with_series else []), *rest) for n, value, *rest, over in rows]
    return Table(heading_name(optimizer.name), tuple(columns), tuple(values)), _parameter_table(
        optimizer, row, count, holder
    )


def _window_rate(v: Columns, row: int, checkpoints: Sequence[str]) -> list[tuple[str, str, str, str, str]]:
    """The rate that a window tells where no file does: that of its first updates, and no checkpoint's."""
    rates = v["window_learning_rate"]
    known = [i for i in range(row + 1) if not math.isnan(rates[i])]
    if not known or not math.isnan(v["learning_rate"][row]):
        return []
    last = known[-1]
    where = f"of the first updates in the window up to {checkpoints[last]}, by weights that moved without a gradient"
    return [("rate in between", f"{rates[last]:.6g}", "inferred", where, _series([float(rates[i]) for i in known]))]


def _series(values: Sequence[float]) -> str:
    """How a number changed over the run, if it did."""
    known = [x for x in values if x >= 0]
    return f"{known[0]:.6g} {sparkline(known)} {known[-1]:.6g}" if len(set(known)) > 1 else ""


def _parameter_table(optimizer: OptimizerColumns, row: int, count: int, holder: str) -> Table:
    v = optimizer.variables
    is_relative = v["effective_lr_is_relative"][row] == 1
    e = "E/α" if is_relative else "E"
    columns = [
        Column("parameter", "left"), Column(f"median {e}"), Column("5 % .. 95 %", keep=4),
        Column("of nominal", keep=5), Column("update/weight", keep=8), Column("untouched", keep=7),
        Column("ε-dominated", keep=6), Column("lost in rounding", keep=1), Column("not finite", keep=3),
        Column("v < 0", keep=3), Column("over the run", "left", keep=8), Column("last/first", keep=2),
    ]  # fmt: skip
    rate = math.nan if is_relative else float(v["learning_rate"][row])
    # How E changed can't be seen from E/α
    is_alike = v["effective_lr_is_relative"] == v["effective_lr_is_relative"][row]
    rows = [
        _parameter_row(v, row, i, rate, v["effective_lr"][is_alike, i, _MEDIAN].tolist())
        for i in optimizer.present[row].nonzero()[0]
    ]
    unknown = " over the learning rate, which is not known" if is_relative else ""
    note = f"{e}: effective learning rate{unknown}, of touched elements"
    if count > 1:
        note += "; over the run: its median in each checkpoint, each line on its own log scale"
    refuted = [
        f"{name} = {quoted(float(v[name][row]), str(v[f'{name}_source'][row]), against)}"
        for name in hyperparameters_in(v)
        if (against := str(v[f"{name}{CONTRADICTION}"][row]))
    ]
    if refuted:
        note += f"; by {' and '.join(refuted)}"
    return Table(f"Parameters of {optimizer.name} in {holder}", *without_empty(tuple(columns), tuple(rows)), note)


def _parameter_row(v: Columns, row: int, i: int, rate: float, medians: Sequence[float]) -> tuple[str, ...]:
    low, median, high = (float(v["effective_lr"][row, i, q]) for q in (_LOW, _MEDIAN, _HIGH))
    known = [x for x in medians if x > 0.0]

    def metric(name: str) -> float:
        return float(v[name][row, i])

    return (
        str(v["parameter"][i]),
        figure(median),
        NOTHING if math.isnan(low) else f"{figure(low)} .. {figure(high)}",
        ratio_text(median / rate if rate > 0.0 else math.nan),
        figure(metric("update_to_weight")),
        percent(metric("untouched")),
        percent(metric("epsilon_dominated")),
        _share_if_any(metric("lost_in_rounding")),
        _count_if_any(metric("nonfinite")),
        _count_if_any(metric("negative_second_moment")),
        sparkline(medians) if len(medians) > 1 else NOTHING,
        ratio_text(known[-1] / known[0]) if len(known) > 1 else NOTHING,
    )


def _share_if_any(value: float) -> str:
    return percent(value) if value > 0.0 else NOTHING


def _count_if_any(value: float) -> str:
    return f"{value:,.0f}" if value > 0.0 else NOTHING
