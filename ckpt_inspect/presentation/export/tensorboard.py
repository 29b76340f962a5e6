"""TensorBoard: curves, histograms and findings of every optimizer, to lie beside the training's own curves.

A folder a run and optimizer, `<run>/<optimizer>`, which TensorBoard shows as a run; in it one event file. Tags are
`<figure>/<parameter>`, the figure called as in the frames and the store: TensorBoard groups charts by what stands
before the first `/`, so that each figure is a group, and the parameters are its charts. If α is not known, E/α
stands under figures of their own, `relative_effective_lr_median` and so on: the two are never in one chart. The tag
`findings` is a text.

`step` is what `axis` says: the optimizer's own, or epochs. `wall_time` is when the checkpoint was last modified.
Histograms are the store's bins: nothing is sampled anew. A file that is replaced while TensorBoard runs is seen when
TensorBoard is started again.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.variables import QUANTILE_NAMES, group_names
from ckpt_inspect.measurement.wording import counted, spoken_name
from ckpt_inspect.presentation.export.axis import Axis, horizontal_axis
from ckpt_inspect.presentation.export.charts import (
    EFFECTIVE_LR,
    LEARNING_RATE,
    LOG10,
    MEAN,
    OTHER_METRICS,
    QUANTILES,
    RELATIVE,
    VALUES,
    chosen_charts,
    description,
)
from ckpt_inspect.presentation.export.events import HISTOGRAMS, SCALARS, TEXT, Tag, first_event, record, summary_event
from ckpt_inspect.presentation.export.findings_text import findings_text
from ckpt_inspect.presentation.export.target import Exported, Order, Target
from ckpt_inspect.presentation.shown_names import distinct
from ckpt_inspect.presentation.written_files import cause_of, written_whole
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from ckpt_inspect.findings.finding import Finding
    from ckpt_inspect.measurement.columns import Column, OptimizerColumns, RunColumns
    from ckpt_inspect.state.selection import Selection

_SUFFIX = ".ckpt-inspect"
_SMALLEST = 2.0**-149
"""float32's smallest positive number: the left edge of the lowest bin, 0, has no logarithm."""


def write_tensorboard(order: Order, path: Path) -> Exported:
    """Write an event file for each run and optimizer that has effective learning rates, into folders below `path`.

    A file of an earlier export is replaced; other event files beside it are refused, for TensorBoard would take them
    for the same run. Raises StoreError, and RequestError for a figure that there isn't.
    """
    jobs = list(_jobs(order, chosen_charts(order.figures)))
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
    "tensorboard",
    "event files: curves and histograms of each parameter, and findings",
    "tensorboard",
    False,
    write_tensorboard,
)


def _jobs(order: Order, figures: frozenset[str]) -> Iterator[_Job]:
    from ckpt_inspect.runs.remembered import findings_of

    run_names = _folder_names(order.names)
    for run, run_name in zip(order.runs, run_names, strict=True):
        found = {name: o for name, o in run.optimizers.items() if o.present.any()}
        findings = findings_of(run)
        for group, optimizer in zip(_folder_names(list(group_names(found).values())), found.values(), strict=True):
            own = tuple(f for f in findings if f.optimizer in ("", optimizer.name))
            yield _Job(run, optimizer, own, order.selection, figures, order.steps_per_epoch, Path(run_name, group))


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
    findings: tuple[Finding, ...]
    """Of this optimizer, and of the run as a whole."""
    selection: Selection
    figures: frozenset[str]
    steps_per_epoch: int | None
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
    def axis(self) -> Axis:
        """Where these checkpoints stand."""
        return horizontal_axis(self.optimizer.variables["step"][list(self.rows)].tolist(), self.steps_per_epoch)

    @property
    def first_time(self) -> float:
        """Of the first checkpoint; seconds since 1970."""
        return self._time(self.rows[0])

    def _time(self, row: int) -> float:
        modified = float(self.run.checkpoints["modified"][row])
        return modified if math.isfinite(modified) and modified >= 0 else 0.0

    def problems(self) -> Iterator[Problem]:
        """What is not on the horizontal axis as it was asked for."""
        if self.axis.lack:
            yield Problem(
                "steps-not-exported",
                f"{self.run.run}: the steps of {spoken_name(self.optimizer.name)} {self.axis.lack}",
                "its checkpoints stand at their index in training order, 0, 1, ..",
                "info",
            )
        if self.axis.left_out:
            yield Problem(
                "checkpoints-not-exported",
                f"{self.run.run}: {counted(self.axis.left_out, 'checkpoint')} of {spoken_name(self.optimizer.name)} "
                "left out: a later one is of the same epoch",
                "by step, all are exported",
                "info",
            )

    def records(self) -> Iterator[bytes]:
        """The event file, piece by piece."""
        yield record(first_event(self.first_time))
        tags = _Tags(self.axis.words)
        for i, place in zip(self.axis.rows, self.axis.places, strict=True):
            row = self.rows[i]
            values = [*self._learning_rate(row, tags), *self._scalars(row, tags), *self._histograms(row, tags)]
            if row == self.rows[-1]:
                values.append(self._findings())
            yield record(summary_event(self._time(row), place, values))

    def _findings(self) -> bytes:
        unread = {r.checkpoint for r in self.run.failures if r.problem.severity == "error"}
        tag = Tag("findings", TEXT, f"What deserves attention in the run. {self.axis.words}")
        return tag.text(findings_text(self.findings, len(self.run), len(unread)))

    def _learning_rate(self, row: int, tags: _Tags) -> Iterator[bytes]:
        rate = float(self.optimizer.variables["learning_rate"][row])
        if LEARNING_RATE in self.figures and not math.isnan(rate):
            yield tags.of(LEARNING_RATE, "", SCALARS).scalar(rate)

    def _is_relative(self, row: int) -> bool:
        return bool(self.optimizer.variables["effective_lr_is_relative"][row] == 1)

    def _scalars(self, row: int, tags: _Tags) -> Iterator[bytes]:
        variables = self.optimizer.variables
        names, prefix = variables["parameter"], RELATIVE if self._is_relative(row) else ""
        figures: list[tuple[str, str, Column]] = [
            (prefix, f"{EFFECTIVE_LR}_{q}", variables[EFFECTIVE_LR][row, :, QUANTILE_NAMES.index(q)]) for q in QUANTILES
        ]
        figures.append((prefix, MEAN, variables[MEAN][row]))
        figures += [("", name, variables[name][row]) for name in OTHER_METRICS]
        for beginning, figure, column in figures:
            if figure not in self.figures:
                continue
            values = column.tolist()
            for i in self.parameters:
                if not math.isnan(values[i]):
                    yield tags.of(f"{beginning}{figure}", names[i], SCALARS).scalar(values[i])

    def _histograms(self, row: int, tags: _Tags) -> Iterator[bytes]:
        """E, and its common logarithm: E spans decades, of which an even axis shows the uppermost alone."""
        if not self.figures & {LOG10, VALUES}:
            return
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
            if VALUES in self.figures:
                yield tags.of(f"{prefix}{VALUES}", name, HISTOGRAMS).histogram(own, counts, low, high, total)
            if LOG10 in self.figures and high > 0.0:
                own = logarithms[first : last + 1]
                low, high = math.log10(max(low, _SMALLEST)), math.log10(high)
                total = float(((own[:-1] + own[1:]) / 2 * counts).sum())
                tag = tags.of(f"{prefix}{LOG10}", name, HISTOGRAMS)
                yield tag.histogram(own, counts, low, high, total)


def _clipped(extremes: Column, low: float, high: float) -> tuple[float, float]:
    """The extremes, within the bins: what isn't finite is counted in the outermost."""
    smallest, largest = (float(x) for x in extremes)
    return max(smallest, low) if not math.isnan(smallest) else low, min(largest, high) if not math.isnan(
        largest
    ) else high


class _Tags:
    """The tags of one file, each made when it is first used."""

    def __init__(self, axis: str) -> None:
        """`axis`: what is on the horizontal axis, in one sentence."""
        self._axis = axis
        self._tags: dict[tuple[str, str], Tag] = {}

    def of(self, figure: str, parameter: str, plugin: str) -> Tag:
        """`<figure>/<parameter>`, or the figure alone if it isn't a parameter's."""
        tag = self._tags.get((figure, parameter))
        if tag is None:
            name = f"{figure}/{parameter}" if parameter else figure
            tag = self._tags[figure, parameter] = Tag(name, plugin, description(figure, self._axis))
        return tag
