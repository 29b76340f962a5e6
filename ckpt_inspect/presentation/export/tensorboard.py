"""TensorBoard: scalars and histograms of every parameter at each step, to lie beside the training's own curves.

A folder a run and optimizer, `<run>/<optimizer>`, which TensorBoard shows as a run; in it one event file. Tags are
`<figure>/<parameter>`, the figure called as in the frames and the store: TensorBoard groups charts by what stands
before the first `/`, so that each figure is a group, and the parameters are its charts. If α is not known, E/α
stands under figures of their own, `relative_effective_lr_median` and so on: the two are never in one chart.

Of the two histograms, `effective_lr_log10` is the one to look at: E spans decades, and TensorBoard's axes are even;
`effective_lr_values` sorts last.

`step` is the optimizer's own, the same that training curves are drawn over; `wall_time` is when the checkpoint was
last modified. Histograms are the store's bins: nothing is sampled anew. A file that is replaced while TensorBoard runs
is seen when TensorBoard is started again.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.variables import METRICS, QUANTILE_NAMES, WINDOW_METRICS, group_names
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.presentation.export.events import HISTOGRAMS, SCALARS, Tag, first_event, record, summary_event
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.shown_names import distinct
from ckpt_inspect.presentation.written_files import cause_of, written_whole
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import Column, OptimizerColumns, RunColumns
    from ckpt_inspect.state.selection import Selection

EFFECTIVE_LR = "effective_lr"
RELATIVE = "relative_"
"""What figures of E/α begin with."""

QUANTILES = ("q05", "median", "q95")
FIGURES = (
    "update_to_weight",
    "update_rms",
    "relative_update_rms",
    "weight_rms",
    "signal_to_noise",
    "epsilon_dominated",
    "untouched",
    "lost_in_rounding",
    "window_gradient_rms",
)
"""Metrics that are drawn over the run; the rest is in the store and the other targets."""

_SUFFIX = ".ckpt-inspect"
_DESCRIPTIONS = {
    v.name: f"{v.long_name[:1].upper()}{v.long_name[1:]}. {v.description}" for v in (*METRICS, *WINDOW_METRICS)
}
_SMALLEST = 2.0**-149
"""float32's smallest positive number: the left edge of the lowest bin, 0, has no logarithm."""


def write_tensorboard(order: Order, path: Path) -> Exported:
    """Write an event file for each run and optimizer that has effective learning rates, into folders below `path`.

    A file of an earlier export is replaced; other event files beside it are refused, for TensorBoard would take them
    for the same run. Raises StoreError.
    """
    jobs = list(_jobs(order))
    for job in jobs:
        _check_folder(path / job.folder)
    files: list[Path] = []
    problems: list[Problem] = []
    for job in jobs:
        folder = path / job.folder
        file = folder / f"events.out.tfevents.{int(job.first_time):010d}{_SUFFIX}"
        with _folder_made(folder), written_whole(file) as temporary, temporary.open("wb") as stream:
            stream.writelines(job.records())
        for old in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
            if old != file:
                old.unlink()
        files.append(file)
        problems += job.problems()
    return Exported(tuple(files), tuple(problems))


@contextlib.contextmanager
def _folder_made(folder: Path) -> Iterator[None]:
    """Make a folder, and those above it; if what is inside fails, those that were made go again."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for each in missing:
            with contextlib.suppress(OSError):  # it was not made, or holds something
                each.rmdir()
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(f"{folder}: the folder can't be made ({cause_of(error)}); give another one") from error
        raise


TENSORBOARD = Target(
    "tensorboard", "event files: scalars and histograms of each parameter", "tensorboard", False, write_tensorboard
)


def _jobs(order: Order) -> Iterator[_Job]:
    run_names = _folder_names(order.names)
    for run, run_name in zip(order.runs, run_names, strict=True):
        found = {name: o for name, o in run.optimizers.items() if o.present.any()}
        for group, optimizer in zip(_folder_names(list(group_names(found).values())), found.values(), strict=True):
            yield _Job(run, optimizer, order.selection, Path(run_name, group))


def _folder_names(names: list[str] | tuple[str, ...]) -> list[str]:
    """Names that are safe as a folder's, and distinct even if case doesn't count: they come out of untrusted files."""
    safe = [re.sub(r"[^\w.+#=() -]+", "_", name).strip(". ")[:100] or "run" for name in names]
    return distinct(safe, "{}-{}".format, str.casefold)


def _check_folder(folder: Path) -> None:
    """Raise StoreError if the folder holds another program's event files."""
    try:
        foreign = sorted(f.name for f in folder.glob("*tfevents*") if not f.name.endswith(_SUFFIX))
    except OSError as error:
        raise StoreError(f"{folder}: can't be read ({cause_of(error)}); give another folder") from error
    if foreign:
        raise StoreError(
            f"{folder}: holds event files of another program ({foreign[0]}), with which TensorBoard would mix these; "
            "give another folder"
        )


@dataclass(frozen=True)
class _Job:
    """One optimizer of one run."""

    run: RunColumns
    optimizer: OptimizerColumns
    selection: Selection
    folder: Path
    """Below the log folder."""

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Checkpoints that have this optimizer."""
        return tuple(np.flatnonzero(self.optimizer.present.any(axis=1)).tolist())

    @cached_property
    def parameters(self) -> tuple[int, ...]:
        """Columns of the chosen parameters."""
        names = self.optimizer.variables["parameter"]
        return tuple(i for i, name in enumerate(names) if self.selection.has(name))

    @cached_property
    def has_steps(self) -> bool:
        """Whether steps are known and rise; TensorBoard would draw a line back and forth otherwise."""
        steps = self.optimizer.variables["step"][list(self.rows)]
        return bool((steps >= 0).all() and (np.diff(steps) > 0).all())

    @property
    def first_time(self) -> float:
        """Of the first checkpoint; seconds since 1970."""
        return self._time(self.rows[0])

    def _time(self, row: int) -> float:
        modified = float(self.run.checkpoints["modified"][row])
        return modified if math.isfinite(modified) and modified >= 0 else 0.0

    def problems(self) -> Iterator[Problem]:
        """Where steps are not what stands on the horizontal axis."""
        if not self.has_steps:
            known = (self.optimizer.variables["step"][list(self.rows)] >= 0).all()
            yield Problem(
                "steps-not-exported",
                f"{self.run.run}: the steps of {spoken_name(self.optimizer.name)} "
                f"{'do not rise throughout' if known else 'are not known in every checkpoint'}",
                "its checkpoints stand at their index in training order, 0, 1, ..",
                "info",
            )

    def records(self) -> Iterator[bytes]:
        """The event file, piece by piece."""
        yield record(first_event(self.first_time))
        tags = _Tags()
        steps = self.optimizer.variables["step"]
        for row in self.rows:
            values = [*self._learning_rate(row, tags), *self._scalars(row, tags), *self._histograms(row, tags)]
            yield record(summary_event(self._time(row), int(steps[row]) if self.has_steps else row, values))

    def _learning_rate(self, row: int, tags: _Tags) -> Iterator[bytes]:
        rate = float(self.optimizer.variables["learning_rate"][row])
        if not math.isnan(rate):
            yield tags.of("learning_rate", "", SCALARS).scalar(rate)

    def _is_relative(self, row: int) -> bool:
        return bool(self.optimizer.variables["effective_lr_is_relative"][row] == 1)

    def _scalars(self, row: int, tags: _Tags) -> Iterator[bytes]:
        variables = self.optimizer.variables
        names, prefix = variables["parameter"], RELATIVE if self._is_relative(row) else ""
        figures: list[tuple[str, Column]] = [
            (f"{prefix}effective_lr_{q}", variables[EFFECTIVE_LR][row, :, QUANTILE_NAMES.index(q)]) for q in QUANTILES
        ]
        figures.append((f"{prefix}effective_lr_mean", variables["effective_lr_mean"][row]))
        figures += [(name, variables[name][row]) for name in FIGURES]
        for figure, column in figures:
            values = column.tolist()
            for i in self.parameters:
                if not math.isnan(values[i]):
                    yield tags.of(figure, names[i], SCALARS).scalar(values[i])

    def _histograms(self, row: int, tags: _Tags) -> Iterator[bytes]:
        """E, and its common logarithm: E spans decades, of which an even axis shows the uppermost alone."""
        variables = self.optimizer.variables
        prefix = RELATIVE if self._is_relative(row) else ""
        edges = variables["bin_edges"]
        logarithms = np.log10(np.maximum(edges, _SMALLEST))
        for i in self.parameters:
            counts = variables["effective_lr_histogram"][row, i]
            (filled,) = np.nonzero(counts)
            if not filled.size:
                continue
            first, last = int(filled[0]), int(filled[-1]) + 1
            counts = counts[first:last]
            low, high = _clipped(variables[EFFECTIVE_LR][row, i, [0, -1]], edges[first], edges[last])
            own = edges[first : last + 1]
            total = float(variables["effective_lr_mean"][row, i]) * float(counts.sum())
            name = variables["parameter"][i]
            yield tags.of(f"{prefix}{EFFECTIVE_LR}_values", name, HISTOGRAMS).histogram(own, counts, low, high, total)
            if high > 0.0:
                own = logarithms[first : last + 1]
                low, high = math.log10(max(low, _SMALLEST)), math.log10(high)
                total = float(((own[:-1] + own[1:]) / 2 * counts).sum())
                tag = tags.of(f"{prefix}{EFFECTIVE_LR}_log10", name, HISTOGRAMS)
                yield tag.histogram(own, counts, low, high, total)


def _clipped(extremes: Column, low: float, high: float) -> tuple[float, float]:
    """The extremes, within the bins: what isn't finite is counted in the outermost."""
    smallest, largest = (float(x) for x in extremes)
    return max(smallest, low) if not math.isnan(smallest) else low, min(largest, high) if not math.isnan(
        largest
    ) else high


class _Tags:
    """The tags of one file, each made when it is first used."""

    def __init__(self) -> None:
        self._tags: dict[tuple[str, str], Tag] = {}

    def of(self, figure: str, parameter: str, plugin: str) -> Tag:
        """`<figure>/<parameter>`, or the figure alone if it isn't a parameter's."""
        tag = self._tags.get((figure, parameter))
        if tag is None:
            name = f"{figure}/{parameter}" if parameter else figure
            tag = self._tags[figure, parameter] = Tag(name, plugin, description(figure))
        return tag


def description(figure: str) -> str:
    """Return what a figure is, as the chart's remark."""
    if figure in _DESCRIPTIONS and not figure.startswith("effective_lr"):
        return _DESCRIPTIONS[figure]
    if figure == "learning_rate":
        return "Nominal learning rate α of the last update before the checkpoint."
    is_relative = figure.startswith(RELATIVE)
    of = figure.removeprefix(RELATIVE).removeprefix(EFFECTIVE_LR).lstrip("_")
    what = (
        "effective learning rate over the nominal one, E/α (α is not known)"
        if is_relative
        else "effective learning rate E"
    )
    return f"{_STATISTICS[of]} {what} over touched elements (v > 0), from the optimizer's state in the checkpoint."


_STATISTICS: Mapping[str, str] = {
    "values": "Distribution of the",
    "log10": "Distribution of the common logarithm of the",
    "q05": "5 % quantile of the",
    "median": "Median of the",
    "q95": "95 % quantile of the",
    "mean": "Mean of the",
}
