"""One name for a parameter in all checkpoints of a run, although a model that is built anew names its layers anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ckpt_inspect.checkpoint import Array, Problem
from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.runs.analysis import Analysis, OptimizerAnalysis
from ckpt_inspect.state.renaming import pair_parameters

Shapes = dict[str, tuple[int, ...]]


def with_first_names(
    order: Sequence[str], previous: RunColumns | None, fresh: Mapping[str, Analysis]
) -> dict[str, Analysis]:
    """Return what was read with the names that the checkpoints before have for the same parameters.

    `order` names checkpoints by fingerprint, in training order. The first checkpoint of other names has a remark that
    says so. Only where shapes and structure of all names leave no doubt: else each name stays.
    """
    if not fresh:
        return {}
    names = FirstNames()
    stored = {} if previous is None else {f: i for i, f in enumerate(previous.checkpoints["fingerprint"])}
    found: dict[str, Analysis] = {}
    before: list[int] = []
    for fingerprint in order:
        if fingerprint in fresh:
            if previous is not None:
                names.take_newest(previous, before)
            found[fingerprint] = names.named(fresh[fingerprint])
            before = []
        else:
            before.append(stored[fingerprint])
    return found


class FirstNames:
    """The names of a run's parameters so far; it is asked in training order."""

    def __init__(self) -> None:
        self._before: dict[str, Shapes] = {}
        self._told: dict[str, dict[str, str]] = {}

    def named(self, analysis: Analysis) -> Analysis:
        """Return what was read of the next checkpoint, with the names of those before."""
        named = tuple(_renamed(o, self._before.get(o.name, {}), self._told) for o in analysis.optimizers)
        self._before |= {o.name: _shapes(o) for o in named if o.parameters}
        return analysis if named == analysis.optimizers else replace(analysis, optimizers=named)

    def take_newest(self, previous: RunColumns, rows: Sequence[int]) -> None:
        """Take the next checkpoints' names from rows of a store, in training order."""
        for name, optimizer in previous.optimizers.items():
            present = optimizer.present
            row = next((row for row in reversed(rows) if present[row].any()), None)
            if row is not None:
                self._before[name] = _stored_shapes(optimizer, present[row])


def _stored_shapes(optimizer: OptimizerColumns, present: Array) -> Shapes:
    columns = optimizer.variables
    return {
        str(parameter): tuple(int(length) for length in str(shape).split(",") if length)
        for parameter, shape, is_here in zip(columns["parameter"], columns["shape"], present, strict=True)
        if is_here
    }


def _shapes(optimizer: OptimizerAnalysis) -> Shapes:
    return dict(zip(optimizer.parameters.names, optimizer.parameters.shapes, strict=True))


def _renamed(optimizer: OptimizerAnalysis, before: Shapes, told: dict[str, dict[str, str]]) -> OptimizerAnalysis:
    shapes = _shapes(optimizer)
    if not before or not shapes or before.keys() == shapes.keys():
        return optimizer
    names = pair_parameters(before, shapes)
    if not names:
        return optimizer
    first_names = tuple(names.get(name, name) for name in optimizer.parameters.names)
    named = replace(optimizer, parameters=replace(optimizer.parameters, names=first_names))
    if told.get(optimizer.name) == names:
        return named
    told[optimizer.name] = names
    own, first = next(iter(names.items()))
    remark = Problem(
        "parameters-renamed",
        f"{spoken_name(optimizer.name)}: from this checkpoint on {len(names)} parameters have other names than before, "
        f"such as {own} for {first}",
        "they are shown under the first names and assumed to be the same, because their shapes and the "
        "structure of their names correspond",
    )
    return replace(named, state_problems=(*named.state_problems, remark))
