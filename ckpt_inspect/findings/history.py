"""One optimizer over a run, as the checks see it: the checkpoints that hold its state, in training order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Array, Problem
from ckpt_inspect.findings.finding import MOST_EVIDENCE, MOST_NAMED, Evidence, Finding, Kind, Severity
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.variables import CHECKPOINT, CONTRADICTION, OPTIMIZER_VARIABLES, QUANTILE_NAMES
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.sourced import quoted
from ckpt_inspect.state.hyperparameters import hyperparameters_in

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns

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
    checkpoints: tuple[str, ...]
    """(R,) their names."""
    run: OptimizerColumns
    remarks: tuple[tuple[int, Problem], ...] = ()
    """What was odd about this optimizer: (row, problem), in training order."""

    @classmethod
    def of(cls, analyses: RunColumns, run: OptimizerColumns) -> History:
        """Return an optimizer's history; it may be of no checkpoint at all."""
        (rows,) = np.nonzero(run.present.any(axis=1) & (run.variables["step"] != 0))
        names = analyses.checkpoints["checkpoint"]
        own = tuple(str(names[row]) for row in rows)
        place = {name: i for i, name in enumerate(own)}
        remarks = (r for r in analyses.remarks if r.optimizer == run.name and r.checkpoint in place)
        return cls(run.name, rows, own, run, tuple((place[r.checkpoint], r.problem) for r in remarks))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, variable: str) -> Array:
        """A variable; of one along checkpoints the R rows."""
        column = self.run.variables[variable]
        return column if variable in _OF_PARAMETERS else column[self.rows]

    def newest(self, variable: str) -> Array:
        """Return a variable's last row."""
        newest: Array = self.run.variables[variable][self.rows[-1]]
        return newest

    def quantile(self, variable: str, name: str) -> Floats:
        """Return (R, P), one of the quantiles, by its name among QUANTILE_NAMES."""
        values: Floats = self[variable][:, :, QUANTILE_NAMES.index(name)]
        return values

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """Return the names of those that the optimizer has."""
        return hyperparameters_in(self.run.variables)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Return (P,) names."""
        return tuple(map(str, self.run.variables["parameter"]))

    @property
    def steps(self) -> tuple[int | None, ...]:
        """Return the (R,) steps of the checkpoints; None if not known."""
        return tuple(None if step < 0 else int(step) for step in self["step"])

    def at(self, row: int) -> str:
        """Return a checkpoint for a person: `model.ckpt-20 (step 20)`."""
        step = self.steps[row]
        return self.checkpoints[row] if step is None else f"{self.checkpoints[row]} (step {step})"

    def quoted(self, name: str, row: int = -1) -> str:
        """Return a hyperparameter's value with where it comes from, if it wasn't simply read: `0.98, inferred`."""
        against = self[f"{name}{CONTRADICTION}"][row] if f"{name}{CONTRADICTION}" in self.run.variables else ""
        return quoted(float(self[name][row]), str(self[f"{name}_source"][row]), str(against))

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
    ) -> Finding:
        """Return a finding about these rows and parameters, by their places."""
        places = sorted({row % len(self) for row in rows})
        steps = self.steps
        return Finding(
            kind=kind,
            severity=kind.severity if severity is None else severity,
            title=title,
            optimizer=self.name,
            parameters=tuple(self.parameters[i] for i in parameters),
            checkpoints=tuple(self.checkpoints[row] for row in places),
            steps=tuple(steps[row] for row in places),
            evidence=tuple(evidence),
            limits=thresholds.limits(kind.thresholds),
            action=action or kind.action,
        )

    def evidence(self, row: int, parameter: int | None = None, /, **figures: float | str | None) -> Evidence:
        """Return the figures of one tensor (None: the optimizer) in one checkpoint; those that are None are left
        out."""
        known = {name: value for name, value in figures.items() if value is not None}
        plain = {name: value if isinstance(value, str) else float(value) for name, value in known.items()}
        name = "" if parameter is None else self.parameters[parameter]
        return Evidence(name, self.checkpoints[row], self.steps[row], plain)

    def tensor_evidence(self, row: int, places: Sequence[int], *variables: str) -> list[Evidence]:
        """Return the variables of the first of these tensors in one checkpoint."""
        return [
            self.evidence(row, i, **{name: float(self[name][row, i]) for name in variables})
            for i in places[:MOST_EVIDENCE]
        ]

    def named(self, places: Sequence[int], figures: Sequence[str] = ()) -> str:
        """Return the first of these tensors, each with its figure, and how many more there are."""
        texts = [self.parameters[i] for i in places[:MOST_NAMED]]
        if figures:
            texts = [f"{name} ({figure})" for name, figure in zip(texts, figures, strict=False)]
        more = len(places) - len(texts)
        return ", ".join(texts) + (f" and {more} more" if more else "")

    def counted(self, places: Sequence[int], row: int = -1) -> str:
        """Return a count in words: `3 of 26 tensors`."""
        total = int(np.count_nonzero(self.run.present[self.rows[row]]))
        return f"{len(places)} of {counted(total, 'tensor')}"


def worst_first(mask: Bools, badness: Floats) -> list[int]:
    """Return places where the mask is true, those with the greatest badness first; equals in their order."""
    (places,) = np.nonzero(mask)
    return [int(i) for i in places[np.argsort(-badness[places], kind="stable")]]
