"""A run's newest checkpoint and how its parameters changed during training, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.comparison.segments import BEGINNING_WORDS, MEANING_OF_A_JUMP
from ckpt_inspect.measurement.columns import column_rows, read_ahead
from ckpt_inspect.measurement.variables import CONTRADICTION, QUANTILE_NAMES
from ckpt_inspect.measurement.wording import figure, heading_name, percent, setting, whole
from ckpt_inspect.presentation.optimizer_series import breaks
from ckpt_inspect.presentation.tables.table import NOTHING, Column, Table, fact_table, without_empty
from ckpt_inspect.presentation.tables.wording import ratio_text, segments_text, sparkline, thinned
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.remembered import segments_of
from ckpt_inspect.runs.stored_runs import taken_rows
from ckpt_inspect.sourced import quoted, shown_source
from ckpt_inspect.state.hyperparameters import hyperparameters_in

if TYPE_CHECKING:
    from ckpt_inspect.checkpoint import Array
    from ckpt_inspect.measurement.columns import Columns, OptimizerColumns, RunColumns

# Places of the quantiles shown among histograms.QUANTILE_LEVELS
_LOW, _MEDIAN, _HIGH = QUANTILE_NAMES.index("q05"), QUANTILE_NAMES.index("median"), QUANTILE_NAMES.index("q95")


def run_tables(analyses: RunColumns, store: str | None = None) -> tuple[Table, ...]:
    """Return a run's tables: what it is, and for each optimizer its parameters in the newest checkpoint that holds
    them. Of a long run little is read."""
    count = len(analyses)
    facts = [("run", analyses.run), ("checkpoints", whole(count))]
    newest = taken_rows(analyses, [count - 1]) if count else analyses
    if count:
        facts.append(("newest", str(newest.checkpoints["checkpoint"][0])))
    if len(cut := segments_of(analyses)) > 1:
        ends = sorted({place for segment in cut for place in (segment.start, segment.stop - 1)})
        names = column_rows(analyses.checkpoints, "checkpoint", ends).tolist()
        facts.append(("segments", segments_text(cut, dict(zip(ends, names, strict=True)))))
        if any(segment.begins == "rate-jumped" for segment in cut):
            facts.append((BEGINNING_WORDS["rate-jumped"], MEANING_OF_A_JUMP))
    if store is not None:
        facts.append(("store", store))
    tables = [fact_table(*facts)]
    since = max((segment.start for segment in breaks(cut)), default=0)
    for name, optimizer in analyses.optimizers.items() if count else ():
        row, held, holder = count - 1, newest, "the newest checkpoint"
        if not newest.optimizers[name].present.any():  # a run may end in checkpoints of the weights alone
            rows = optimizer.present.any(axis=1).nonzero()[0]
            if not rows.size:
                continue
            row = int(rows[-1])
            held = taken_rows(analyses, [row])
            holder = f"{held.checkpoints['checkpoint'][0]}, the last that holds its state"
        tables += _optimizer_tables(optimizer, held.optimizers[name], row, holder, analyses.checkpoints, since)
    return tuple(tables)


def _optimizer_tables(
    optimizer: OptimizerColumns, held: OptimizerColumns, row: int, holder: str, checkpoints: Columns, since: int
) -> tuple[Table, ...]:
    """The tables of an optimizer; `held`: the one `row` in which it is looked at; `since`: the first row of its line of
    training."""
    v, own = optimizer.variables, held.variables
    hyperparameters = hyperparameters_in(own)
    is_without_rate = math.isnan(own["learning_rate"][0])
    of_windows = ("window_learning_rate",) if is_without_rate else ()
    read_ahead(v, ("step", *hyperparameters, "effective_lr_is_relative", *of_windows))
    step = own["step"][0]
    rows = [("rule", own["rule"][0], own["rule_source"][0], own["rule_where"][0], "")]
    rows.append(
        (
            "step",
            "unknown" if step < 0 else whole(step),
            own["step_source"][0],
            own["step_where"][0],
            _series(v["step"]),
        )
    )
    for name in hyperparameters:
        against = str(own[f"{name}{CONTRADICTION}"][0])
        value, source = own[name][0], shown_source(str(own[f"{name}_source"][0]), against)
        where = "; but ".join(filter(None, (str(own[f"{name}_where"][0]), against)))
        rows.append((name, "unknown" if math.isnan(value) else setting(value), source, where, _series(v[name])))
    if is_without_rate:
        rows += _window_rate(v, row, checkpoints)
    columns = [Column("", "left"), Column("value", "left"), Column("source", "left"), Column("where", "left")]
    if any(r[4] for r in rows):
        columns.insert(2, Column("over the run", "left", keep=8))
    with_series = len(columns) == 5
    values = [(n, value, *([over] if with_series else []), *rest) for n, value, *rest, over in rows]
    parameters = _parameter_table(optimizer, held, holder, min(since, row))
    return Table(heading_name(optimizer.name), tuple(columns), tuple(values)), parameters


def _window_rate(v: Columns, row: int, checkpoints: Columns) -> list[tuple[str, str, str, str, str]]:
    """The rate that a window tells where no file does: that of its first updates, and no checkpoint's."""
    rates = v["window_learning_rate"][: row + 1]
    (known,) = np.nonzero(~np.isnan(rates))
    if not known.size:
        return []
    last = int(known[-1])
    name = column_rows(checkpoints, "checkpoint", [last])[0]
    where = f"of the first updates in the window up to {name}, by weights that moved without a gradient"
    return [("rate in between", setting(rates[last]), "inferred", where, _series(rates[known]))]


def _series(values: Array) -> str:
    """How a number (C,) changed over the run, if it did."""
    known = values[values >= 0]
    if not (known != known[:1]).any():
        return ""
    shown = known[thinned(range(len(known)))].tolist()
    return f"{setting(shown[0])} {sparkline(shown)} {setting(shown[-1])}"


def _parameter_table(optimizer: OptimizerColumns, held: OptimizerColumns, holder: str, since: int) -> Table:
    v, own = optimizer.variables, held.variables
    relative = v["effective_lr_is_relative"]
    is_relative = own["effective_lr_is_relative"][0] == 1
    e = "E/α" if is_relative else "E"
    columns = [
        Column("parameter", "left"), Column(f"median {e}"), Column("5 % .. 95 %", keep=4),
        Column("of nominal", keep=5), Column("update/weight", keep=8), Column("untouched", keep=7),
        Column("ε-dominated", keep=6), Column("lost in rounding", keep=1), Column("not finite", keep=3),
        Column("v < 0", keep=3), Column("over the run", "left", keep=8), Column("last/first", keep=2),
    ]  # fmt: skip
    rate = math.nan if is_relative else float(own["learning_rate"][0])
    # How E changed can't be seen from E/α
    medians = _Medians.of(v, since + np.flatnonzero(relative[since:] == own["effective_lr_is_relative"][0]))
    rows = [_parameter_row(own, i, rate, medians) for i in held.present[0].nonzero()[0]]
    unknown = " over the learning rate, which is not known" if is_relative else ""
    note = f"{e}: effective learning rate{unknown}, of touched elements"
    if len(medians.drawn) > 1:
        note += "; over the run: its median in each checkpoint, each line on its own log scale"
        note += ", since state was last not carried on" if since else ""
    refuted = [
        f"{name} = {quoted(float(own[name][0]), str(own[f'{name}_source'][0]), against, setting)}"
        for name in hyperparameters_in(own)
        if (against := str(own[f"{name}{CONTRADICTION}"][0]))
    ]
    if refuted:
        note += f"; by {' and '.join(refuted)}"
    return Table(f"Parameters of {optimizer.name} in {holder}", *without_empty(tuple(columns), tuple(rows)), note)


@dataclass(frozen=True, slots=True)
class _Medians:
    """What the medians of E over a run are drawn and compared by, of P parameters."""

    drawn: Array
    """(n, P) those that a sparkline shows."""
    ratio: Array
    """(P,) the last one above 0 over the first; NaN if there are no two."""

    @classmethod
    def of(cls, columns: Columns, rows: Array) -> _Medians:
        """Return those of some checkpoints, ascending; of a long run the ends are read, and more if they don't tell."""

        def read(places: Sequence[int]) -> Array:
            return column_rows(columns, "effective_lr", rows[places].tolist())[:, :, _MEDIAN]

        count = len(rows)
        head, tail = list(range(min(_ENDS, count))), list(range(max(count - _ENDS, 0), count))
        shown = thinned(range(count))
        places = sorted({*head, *tail, *shown})
        values = read(places)
        drawn = values[np.searchsorted(places, shown)]
        first, last = values[: len(head)], values[len(values) - len(tail) :]
        if not ((first > 0).any(axis=0) & (last > 0).any(axis=0)).all():
            first = last = read(range(count))
            head = tail = list(range(count))
        return cls(drawn, _ratio(first, head, last, tail))


_ENDS = 64
"""Checkpoints at the ends of a run among which the first and the last median are sought before all are looked at."""


def _ratio(first: Array, head: Sequence[int], last: Array, tail: Sequence[int]) -> Array:
    """(P,) the last value above 0 over the first; `head` and `tail`: which checkpoints their rows are."""
    every = np.arange(first.shape[1])
    start = (first > 0).argmax(axis=0)
    stop = len(tail) - 1 - (last[::-1] > 0).argmax(axis=0)
    before, after = first[start, every], last[stop, every]
    are_two = (before > 0) & (after > 0) & (np.asarray(head)[start] < np.asarray(tail)[stop])
    ratio: Array = np.where(are_two, after, np.nan) / before
    return ratio


def _parameter_row(v: Columns, i: int, rate: float, medians: _Medians) -> tuple[str, ...]:
    """`v`: of one checkpoint."""
    low, median, high = (float(v["effective_lr"][0, i, q]) for q in (_LOW, _MEDIAN, _HIGH))

    def metric(name: str) -> float:
        return float(v[name][0, i])

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
        sparkline(medians.drawn[:, i].tolist()) if len(medians.drawn) > 1 else NOTHING,
        ratio_text(float(medians.ratio[i])),
    )


def _share_if_any(value: float) -> str:
    return percent(value) if value > 0.0 else NOTHING


def _count_if_any(value: float) -> str:
    return whole(value) if value > 0.0 else NOTHING
