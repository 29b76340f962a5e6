"""A frame's rows as arrays over checkpoints and parameters, for one optimizer of one run: what is drawn and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import SOURCE_WORDS
from ckpt_inspect.state.hyperparameters import hyperparameters_in

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from ckpt_inspect.comparison.segments import Segment

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OptimizerSeries:
    """One optimizer over a run: K checkpoints in training order by P parameters."""

    run: str
    optimizer: str
    parameters: tuple[str, ...]
    """Names, in the order of the frame, or of those that were asked for."""
    frame: DataFrame
    """The optimizer's rows of the frame of kind `parameters`, by checkpoint."""
    row: NDArray[np.intp]
    """(rows of the frame,) place of each row's checkpoint among the K."""
    column: NDArray[np.intp]
    """(rows of the frame,) place of each row's parameter among the P."""

    @classmethod
    def of(cls, run: str, optimizer: str, rows: DataFrame, parameters: Sequence[str] | None = None) -> OptimizerSeries:
        """Return the series of an optimizer's rows of a frame of kind `parameters`; K is at least 1.

        `parameters`: the P names, those of all rows and perhaps more; by default those of the rows.
        """
        import pandas as pd

        index = rows["checkpoint_index"]
        ordered = rows if index.is_monotonic_increasing else rows.sort_values("checkpoint_index", kind="stable")
        row = np.unique(ordered["checkpoint_index"].to_numpy(), return_inverse=True)[1]
        codes, found = pd.factorize(ordered["parameter"])
        names = [str(name) for name in found]
        own = tuple(names if parameters is None else map(str, parameters))
        return cls(run, optimizer, own, ordered, np.asarray(row), pd.Index(list(own)).get_indexer(names)[codes])

    @cached_property
    def heads(self) -> DataFrame:
        """Return a row of the frame for each of the K checkpoints: what all its parameters share."""
        heads = self.frame.iloc[np.unique(self.row, return_index=True)[1]]
        texts: DataFrame = heads.astype(dict.fromkeys(heads.columns[heads.dtypes == "category"], str))
        return texts

    @cached_property
    def newest(self) -> NDArray[np.intp]:
        """Return (P,) the frame's row of each parameter's newest checkpoint."""
        last = np.zeros(len(self.parameters), np.intp)
        np.maximum.at(last, self.column, np.arange(len(self.column)))
        return last

    @cached_property
    def _is_grid(self) -> bool:
        """Whether the frame has a row for each parameter in each checkpoint, in their order, as nearly all have."""
        place = self.row * len(self.parameters) + self.column
        return len(place) == len(self.heads) * len(self.parameters) and bool((place == np.arange(len(place))).all())

    def values(self, name: str) -> Floats:
        """Return (K, P) values of a column, which may be the frame's own; NaN if the frame has no row, or no such
        column."""
        shape = len(self.heads), len(self.parameters)
        if name in self.frame and self._is_grid:
            return floats(self.frame[name]).reshape(shape)
        values = np.full(shape, np.nan)
        if name in self.frame:
            values[self.row, self.column] = floats(self.frame[name])
        return values

    def newest_values(self, name: str) -> Floats:
        """Return (P,) values of a column in each parameter's newest checkpoint; NaN if there is no such column."""
        if name not in self.frame:
            return np.full(len(self.parameters), np.nan)
        return floats(self.frame[name])[self.newest]

    def newest_texts(self, name: str) -> list[str]:
        """Return (P,) newest texts of a column; empty if there is no such column."""
        if name not in self.frame:
            return [""] * len(self.parameters)
        return [str(text) for text in self.frame[name].iloc[self.newest]]

    def distinct(self, name: str) -> list[str]:
        """Return different texts of a column over the run, in order of appearance; none if there is no such column."""
        return list(dict.fromkeys(str(text) for text in self.heads[name])) if name in self.heads else []

    @cached_property
    def hyperparameters(self) -> tuple[str, ...]:
        """Return the names of those that the optimizer has in any checkpoint, those that most rules have first."""
        return hyperparameters_in({str(column): self.heads[column].to_numpy() for column in self.heads})

    def source_words(self, name: str) -> list[str]:
        """Return where a hyperparameter's values are from, in words, and whether other checkpoints contradict any."""
        words = [SOURCE_WORDS.get(source, source) for source in self.distinct(f"{name}_source") if source]
        return [*words, "contradicted"] if any(self.distinct(f"{name}{CONTRADICTION}")) else words

    @cached_property
    def indices(self) -> Floats:
        """Return (K,) `checkpoint_index`."""
        return floats(self.heads["checkpoint_index"])

    def parts(self, segments: Sequence[Segment]) -> NDArray[np.intp]:
        """Return (K,) which of the run's lines of training each checkpoint lies on, from 0."""
        starts = np.array([segment.start for segment in breaks(segments)], float)
        return np.searchsorted(starts, self.indices, side="right")

    def values_of_line(self, name: str, segments: Sequence[Segment]) -> Floats:
        """Return (K, P) values of a column, NaN in checkpoints of other lines of training than the newest's."""
        parts = self.parts(segments)
        return np.where((parts == parts[-1])[:, None], self.values(name), np.nan)

    @cached_property
    def is_relative(self) -> NDArray[np.bool_]:
        """Return (K,) whether effective learning rates are E/α there."""
        if "effective_lr_is_relative" in self.heads:
            return np.asarray(self.heads["effective_lr_is_relative"].to_numpy(dtype=bool))
        return np.isnan(floats(self.heads["learning_rate"]))

    @cached_property
    def steps(self) -> Floats:
        """Return (K,) updates applied; NaN if not known."""
        return floats(self.heads["step"])


def breaks(segments: Sequence[Segment]) -> list[Segment]:
    """Return those that don't go on with the training before: what came before is no course of theirs."""
    return [segment for segment in segments[1:] if segment.begins in ("state-lost", "another-line")]


def optimizer_series(run: str, frame: DataFrame) -> Iterator[OptimizerSeries]:
    """Yield each optimizer of a run, in the order of the frame."""
    for optimizer in frame["optimizer"].unique():
        yield OptimizerSeries.of(run, str(optimizer), rows_of(frame, str(optimizer)))


def rows_of(frame: DataFrame, optimizer: str) -> DataFrame:
    """Return an optimizer's rows of a frame; nothing is copied if they are all."""
    is_own = frame["optimizer"] == optimizer
    rows: DataFrame = frame if is_own.all() else frame[is_own]
    return rows


def floats(column: Series[float]) -> Floats:
    """Return a column as numbers, what is missing as NaN; not a copy if it is of such numbers."""
    if column.dtype == np.float64:
        return np.asarray(column)
    return np.asarray(column.to_numpy(dtype=float, na_value=np.nan), dtype=float)


def known(values: Sequence[float] | Floats) -> Floats:
    """Return those that can stand on a logarithmic axis."""
    array = np.asarray(values, dtype=float)
    positive: Floats = array[np.isfinite(array) & (array > 0)]
    return positive
