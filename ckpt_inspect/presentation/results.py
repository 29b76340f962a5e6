"""Results as people meet them: the methods by which they print, draw and tabulate themselves.

What computes results (`runs`, `comparison`) knows them as plain data, `RunColumns` and `Differences`; the public
functions give the same data with these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from ckpt_inspect.comparison.differences import Differences
from ckpt_inspect.errors import NoStateError, RequestError
from ckpt_inspect.measurement.columns import RunColumns, row_of
from ckpt_inspect.presentation.arguments import indices_if_any, text_if_any, text_in, texts_if_any
from ckpt_inspect.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import Dataset, DataTree

    from ckpt_inspect.checkpoint import Problem
    from ckpt_inspect.comparison.segments import Segment
    from ckpt_inspect.errors import CkptInspectError
    from ckpt_inspect.findings.finding import Finding
    from ckpt_inspect.series.run import Run


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Analyses(RunColumns):
    """All that is known of a run, with what shows it. Equal if all of it is."""

    @classmethod
    def of(cls, columns: RunColumns) -> Analyses:
        """Return the same run with these methods; nothing is copied."""
        return cls(**{field.name: getattr(columns, field.name) for field in fields(RunColumns)})

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what deserves a person's attention, by `thresholds`, the most severe first; found anew at every call,
        but for what a long run's store remembers."""
        from ckpt_inspect.runs.remembered import findings_of

        return findings_of(self)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Return the run's segments, in order: cut where state was not carried on, or where a constant learning rate
        jumped; found anew at every call, but for what a long run's store remembers."""
        from ckpt_inspect.runs.remembered import segments_of

        return segments_of(self)

    def to_frame(self, kind: str = "parameters", checkpoints: Sequence[int] | None = None) -> DataFrame:
        """Return a tidy pandas frame of a kind: `parameters`, `histogram`, `sample`, `checkpoints`, `problems` or
        `findings`.

        `parameters`: a row per checkpoint, optimizer and parameter, every figure a column; `histogram`: a row per bin
        that isn't empty; `sample`: a row per sampled element. `checkpoints`: of these two kinds the rows of
        those alone, by their `checkpoint_index`. Raises RequestError for another kind.
        """
        from ckpt_inspect.runs.frames import frame

        return frame(self, text_in(kind, "kind"), indices_if_any(checkpoints, "checkpoints"))

    def to_xarray(self) -> DataTree:
        """Return an xarray tree like the store's groups; raises RequestError if xarray is not installed."""
        from ckpt_inspect.runs.frames import tree

        return tree(self)

    def plot(
        self,
        name: str = "effective-lr",
        *,
        optimizer: str | None = None,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
    ) -> Figure:
        """Draw a report's figure (`plots.FIGURES` by `id`) of one optimizer.

        `optimizer` must be named if there are several; `include` and `exclude` are glob patterns on parameters'
        names. Raises RequestError, which lists what there is, for another name, and if there is nothing to draw.
        """
        from ckpt_inspect.presentation.notebook import run_figure

        patterns = texts_if_any(include, "include"), texts_if_any(exclude, "exclude")
        return run_figure(self, text_in(name, "name"), text_if_any(optimizer, "optimizer"), *patterns)

    def _repr_html_(self) -> str:
        from ckpt_inspect.presentation.notebook import run_html

        return run_html(self)

    def __repr__(self) -> str:
        from ckpt_inspect.presentation.reprs import run_repr

        return run_repr(self)


@dataclass(frozen=True, slots=True, repr=False)
class RunResult:
    """The outcome for one run of several that were analysed."""

    _run: Run | Callable[[], Run]
    """Or what makes it when somebody asks: a long run has many paths."""
    store: Path | None
    """Where it is kept; None if nowhere."""
    analyses: Analyses | None
    """None if the run could not be analysed."""
    error: CkptInspectError | None = None
    """Why not."""

    @property
    def run(self) -> Run:
        """Return the run's checkpoints, as they were found."""
        return self._run() if callable(self._run) else self._run

    @property
    def is_without_state(self) -> bool:
        """Return whether its checkpoints are sound and merely hold nothing to analyse, such as weights alone."""
        return isinstance(self.error, NoStateError)

    def __repr__(self) -> str:
        from ckpt_inspect.presentation.reprs import run_result_repr

        return run_result_repr(self.run, self.store, self.error)


@dataclass(frozen=True, slots=True, repr=False)
class Followed:
    """A checkpoint of a training that is going on, or what can't be read."""

    run: str
    """Name; empty if it is the folder that can't be looked at."""
    store: Path | None
    analyses: Analyses | None
    """The whole run as far as it has come; None if nothing of it could be analysed yet."""
    row: int | None
    """Which checkpoint of `analyses` is new; None if it is a problem that is reported."""
    problem: Problem | None = None
    """What can't be read."""
    fails_on: tuple[str, ...] = ()
    """Ids of the findings that end the following, in the last that is yielded."""
    findings: tuple[Finding, ...] = ()
    """Of the whole run as far as it has come, the most severe first."""

    @property
    def checkpoint(self) -> str:
        """Return the new checkpoint's name; empty if it is a problem."""
        return (
            ""
            if self.analyses is None or self.row is None
            else str(row_of(self.analyses.checkpoints, "checkpoint", self.row))
        )

    @property
    def step(self) -> int | None:
        """Return the largest step of its optimizers; None if none is known."""
        if self.analyses is None or self.row is None:
            return None
        steps = [int(row_of(o.variables, "step", self.row)) for o in self.analyses.optimizers.values()]
        return max((step for step in steps if step >= 0), default=None)

    def __repr__(self) -> str:
        told = self.problem.message if self.problem is not None else f"{self.checkpoint!r}, step {self.step}"
        return f"<ckpt_inspect.Followed {self.run!r}: {told}>"


@dataclass(frozen=True, slots=True, repr=False)
class Diff(Differences):
    """What differs between two checkpoints, with what shows it."""

    @classmethod
    def of(cls, differences: Differences) -> Diff:
        """Return the same differences with these methods; nothing is copied."""
        return cls(**{field.name: getattr(differences, field.name) for field in fields(Differences)})

    def to_frame(self) -> DataFrame:
        """Return a frame with one row a parameter, in the order of `parameters`; a column for every field and derived
        figure."""
        from ckpt_inspect.runs.frames import diff_frame

        return diff_frame(self)

    def to_xarray(self) -> Dataset:
        """Return the same as an xarray Dataset along `row`, with `optimizer` and `parameter` as its coordinates.

        Raises RequestError if xarray is not installed.
        """
        try:
            import xarray  # noqa: F401 - pandas imports it; this is to say what to do if it can't
        except ImportError as error:
            raise RequestError("xarray is not installed: pip install 'ckpt-inspect[xarray]'") from error
        dataset: Dataset = self.to_frame().rename_axis("row").to_xarray().set_coords(["optimizer", "parameter"])
        return dataset

    def plot(self, name: str = "changes") -> Figure:
        """Return a figure of what changed, as a matplotlib Figure: `changes`, a row for each of those that changed
        most.

        Raises RequestError, which lists what there is, for another name, and if there is nothing to draw.
        """
        from ckpt_inspect.presentation.notebook import diff_figure
        from ckpt_inspect.series.names import checkpoint_names

        return diff_figure(self, text_in(name, "name"), *checkpoint_names([self.path_a, self.path_b]))

    def _repr_html_(self) -> str:
        from ckpt_inspect.presentation.notebook import diff_html

        return diff_html(self)

    def __repr__(self) -> str:
        from ckpt_inspect.presentation.reprs import diff_repr

        return diff_repr(self)
