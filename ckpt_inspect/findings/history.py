"""One optimizer over a run, as the checks see it: the checkpoints that hold its state, in training order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, Problem
from ckpt_inspect.findings.finding import MOST_EVIDENCE, MOST_NAMED, Evidence, Finding, Kind, Severity
from ckpt_inspect.findings.looks import Looks
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.columns import column_rows, row_of, slabs
from ckpt_inspect.measurement.variables import CHECKPOINT, CONTRADICTION, OPTIMIZER_VARIABLES, QUANTILE_NAMES
from ckpt_inspect.measurement.wording import counted, setting, whole
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import quoted
from ckpt_inspect.state.hyperparameters import hyperparameters_in

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import OptimizerColumns, Remark, RunColumns

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


_OF_PARAMETERS = frozenset(v.name for v in OPTIMIZER_VARIABLES if v.dimensions[0] != CHECKPOINT)


@dataclass(frozen=True, slots=True)
class History:
    """R checkpoints by P parameters."""

    name: str
    """Of the optimizer."""
    rows: NDArray[np.intp]
    """(R,) the run's checkpoints that hold its state after at least one update."""
    checkpoints: Names
    """(R,) their names."""
    run: OptimizerColumns
    count: int
    """All checkpoints of the run."""
    remarks: tuple[Remark, ...] = ()
    """What was odd about this optimizer, in training order."""
    looks: Looks = field(default_factory=Looks)
    """What an earlier look at the run saw, and this one sees."""
    _held: dict[str, Array] = field(default_factory=dict)
    """Columns that were asked for."""

    @classmethod
    def of(cls, analyses: RunColumns, run: OptimizerColumns, looks: Looks | None = None) -> History:
        """Return an optimizer's history; it may be of no checkpoint at all. `looks`: at this run when it was shorter,
        or at none; they take in what is looked at now."""
        looks = Looks() if looks is None else looks
        looks.are_of(tuple((str(run.variables["parameter"][i]), str(dtype))
                           for i, dtype in enumerate(run.variables["dtype"])))  # fmt: skip
        count = len(analyses)
        whole = cls(run.name, np.arange(count), Names(analyses, np.empty(0, np.intp)), run, count, looks=looks)
        held = whole.where("present", ("nonfinite",), lambda counts: ~np.isnan(counts))
        rows = held[whole["step"][held] != 0]
        own = Names(analyses, rows)
        remarks = tuple(r for r in analyses.remarks if r.optimizer == run.name)
        return cls(run.name, rows, own, run, count, remarks, looks)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, variable: str) -> Array:
        """A variable; of one along checkpoints the R rows."""
        if variable in _OF_PARAMETERS:
            return self.run.variables[variable]
        column = self.of_all(variable)
        return column if len(self.rows) == len(column) else column[self.rows]

    def of_all(self, variable: str) -> Array:
        """Return a variable along checkpoints, and nothing else, in all checkpoints of the run."""
        if variable not in self._held:
            variables = self.run.variables
            self._held[variable] = self.looks.column(
                variable, self.count, lambda a, b: column_rows(variables, variable, slice(a, b))
            )
        return self._held[variable]

    def row(self, variable: str, row: int) -> Array:
        """Return one row of a variable along checkpoints; of a long run no other is read."""
        return row_of(self.run.variables, variable, int(self.rows[row]))

    def newest(self, variable: str) -> Array:
        """Return a variable's last row."""
        return self.row(variable, -1)

    def quantile(self, variable: str, name: str, row: int = -1) -> Floats:
        """Return (P,), one of the quantiles in a row, by its name among QUANTILE_NAMES."""
        values: Floats = self.row(variable, row)[:, QUANTILE_NAMES.index(name)]
        return values

    def present(self, row: int) -> Bools:
        """Return (P,) whether the parameter is in the checkpoint."""
        present: Bools = ~np.isnan(self.row("nonfinite", row))
        return present

    def where(self, sought: str, variables: Sequence[str], holds: Callable[..., Bools]) -> NDArray[np.intp]:
        """Return the rows in which something holds of any parameter, ascending.

        `holds` is given rows of each of the variables that follow each other, and returns (rows, P, ..). Of a long run
        it is given some at a time, and of what was looked at before none. `sought` is another for whatever else holds.
        """
        width = max((self.width(name) for name in variables), default=1)

        def look(first: int, last: int) -> Iterator[int]:
            for start, stop in slabs(last - first, 8 * width, first):
                each = holds(*self.between(variables, start, stop))
                yield from (start + np.flatnonzero(each.reshape(stop - start, -1).any(axis=1))).tolist()

        return self.rows_where(sought, look)

    def rows_where(self, sought: str, look: Callable[[int, int], Iterator[int]]) -> NDArray[np.intp]:
        """Return the rows in which something is so, ascending. `look` yields those from a row to before another, by
        nothing but these and rows before; it isn't asked for what was looked at before."""

        def look_in_run(start: int, stop: int) -> NDArray[np.intp]:
            first, last = np.searchsorted(self.rows, (start, stop)).tolist()
            return self.rows[np.fromiter(look(first, last), np.intp)]

        return np.searchsorted(self.rows, self.looks.rows(sought, self.count, look_in_run))

    def problems(self, codes: Collection[str]) -> list[tuple[int, Problem]]:
        """Return what was odd of these kinds, each with its row, in training order; the names of a long run's
        checkpoints are read only if there is any."""
        found = [r for r in self.remarks if r.problem.code in codes]
        place = {name: i for i, name in enumerate(self.checkpoints)} if found else {}
        return [(place[r.checkpoint], r.problem) for r in found if r.checkpoint in place]

    def width(self, variable: str) -> int:
        """Return how many values a row has of a variable along checkpoints; nothing is read for it."""
        return int(np.prod(column_rows(self.run.variables, variable, slice(0, 0)).shape[1:]))

    def between(self, variables: Sequence[str], start: int, stop: int) -> list[Array]:
        """Return the rows of variables along checkpoints from `start` to before `stop`."""
        places = self.rows[start:stop]
        first, last = int(places[0]), int(places[-1]) + 1
        own = slice(None) if last - first == stop - start else places - first
        return [column_rows(self.run.variables, name, slice(first, last))[own] for name in variables]

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """Return the names of those that the optimizer has."""
        nothing = np.empty(0)
        return hyperparameters_in(
            {name: self.of_all(name) if name.endswith("_source") else nothing for name in self.run.variables}
        )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return (P,) names."""
        return tuple(map(str, self.run.variables["parameter"]))

    @property
    def steps(self) -> tuple[int | None, ...]:
        """Return the (R,) steps of the checkpoints; None if not known."""
        return tuple(None if step < 0 else step for step in self["step"].tolist())

    def step(self, row: int) -> int | None:
        """Return the step of a checkpoint; None if not known."""
        step = int(self.row("step", row))
        return None if step < 0 else step

    def at(self, row: int) -> str:
        """Return a checkpoint for a person: `model.ckpt-20 (step 20)`."""
        step = self.step(row)
        return self.checkpoints[row] if step is None else f"{self.checkpoints[row]} (step {whole(step)})"

    def quoted(self, name: str, row: int = -1) -> str:
        """Return a hyperparameter's value with where it comes from, if it wasn't simply read: `0.98, inferred`."""
        against = self.row(f"{name}{CONTRADICTION}", row) if f"{name}{CONTRADICTION}" in self.run.variables else ""
        return quoted(float(self.row(name, row)), str(self.row(f"{name}_source", row)), str(against), setting)

    # --- making findings

    def finding(
        self,
        kind: Kind,
        title: str,
        thresholds: Thresholds,
        *,
        rows: Iterable[int] = (-1,),
        evidence: Iterable[Evidence] = (),
        parameters: Iterable[int] = (),
        severity: Severity | None = None,
        action: str = "",
        is_between: bool = False,
    ) -> Finding:
        """Return a finding about these rows and parameters, by their places."""
        places = sorted({row % len(self) for row in rows})
        names = self.parameters
        return Finding(
            kind=kind,
            severity=kind.severity if severity is None else severity,
            title=title,
            optimizer=self.name,
            parameters=tuple(names[i] for i in parameters),
            checkpoints=self.checkpoints.some(places),
            steps=tuple(None if step < 0 else step for step in self["step"][places].tolist()),
            evidence=tuple(evidence),
            limits=thresholds.limits(kind.thresholds),
            action=action or kind.action,
            is_between=is_between,
        )

    def evidence(self, row: int, parameter: int | None = None, /, **figures: float | str | None) -> Evidence:
        """Return the figures of one tensor (None: the optimizer) in one checkpoint; those that are None are left
        out."""
        known = {name: value for name, value in figures.items() if value is not None}
        plain = {name: value if isinstance(value, str) else float(value) for name, value in known.items()}
        name = "" if parameter is None else self.parameters[parameter]
        return Evidence(name, self.checkpoints[row], self.step(row), plain)

    def tensor_evidence(self, row: int, places: Sequence[int], *variables: str) -> list[Evidence]:
        """Return the variables of the first of these tensors in one checkpoint."""
        figures = {name: self.row(name, row) for name in variables}
        return [
            self.evidence(row, i, **{name: float(values[i]) for name, values in figures.items()})
            for i in places[:MOST_EVIDENCE]
        ]

    def named(self, places: Sequence[int], figures: Sequence[str] = ()) -> str:
        """Return the first of these tensors, each with its figure, and how many more there are."""
        every = self.parameters
        texts = [every[i] for i in places[:MOST_NAMED]]
        if figures:
            texts = [f"{name} ({figure})" for name, figure in zip(texts, figures, strict=False)]
        more = len(places) - len(texts)
        return ", ".join(texts) + (f" and {more} more" if more else "")

    def counted(self, places: Sequence[int], row: int = -1) -> str:
        """Return a count in words: `3 of 26 tensors`."""
        total = int(np.count_nonzero(self.present(row)))
        return f"{len(places)} of {counted(total, 'tensor')}"


class Names(Sequence[str]):
    """Names of some checkpoints of a run; those of a long one are read when they are asked for."""

    def __init__(self, run: RunColumns, rows: NDArray[np.intp]) -> None:
        """`rows`: their places in the run."""
        self._run, self._rows = run, rows
        self._all: list[str] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return self.all()[place]
        if self._all is not None:
            return self._all[place]
        row = int(self._rows[place])
        return str(column_rows(self._run.checkpoints, "checkpoint", slice(row, row + 1))[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def all(self) -> list[str]:
        """Return them all."""
        if self._all is None:
            self._all = self._run.checkpoints["checkpoint"][self._rows].tolist()
        return self._all

    def some(self, places: Sequence[int]) -> tuple[str, ...]:
        """Return those at these places."""
        return tuple(map((self if len(places) <= _FEW else self.all()).__getitem__, places))


_FEW = 16
"""Names that are read one by one."""


def worst_first(mask: Bools, badness: Floats) -> list[int]:
    """Return places where the mask is true, those with the greatest badness first; equals in their order."""
    (places,) = np.nonzero(mask)
    return [int(i) for i in places[np.argsort(-badness[places], kind="stable")]]
