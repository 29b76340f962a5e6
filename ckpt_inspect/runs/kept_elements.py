"""Chosen elements that a store keeps of a run's newest checkpoints, so that later ones can be compared with them when
their files are gone (`max_to_keep`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import get_args

import numpy as np

from ckpt_inspect.checkpoint import Array, numpy_dtype
from ckpt_inspect.comparison.element_choice import choose
from ckpt_inspect.comparison.inference.observations import Moments, Observation
from ckpt_inspect.comparison.observing import ARRAYS, arrays_of
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.layouts.found import Counted
from ckpt_inspect.measurement.columns import Column, Columns
from ckpt_inspect.records import dataclass
from ckpt_inspect.sourced import Source, Sourced
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS, hyperparameters_in
from ckpt_inspect.update_rules import find_implementation, find_rule

KEPT_CHECKPOINTS = 8
"""Newest checkpoints of a run whose elements are kept: a later one is compared with the last before it."""

KEPT_ELEMENTS = 1 << 14
"""Elements of each that are kept, about, the first of those that were looked at; half a megabyte in all."""

_COUNTED: tuple[Counted, ...] = get_args(Counted)


@dataclass(frozen=True, slots=True)
class KeptState:
    """What is kept of one optimizer in one checkpoint, besides its row."""

    place: str
    """Fingerprint of the checkpoint, or its absolute path: whatever names it where this is used."""
    raw_step: int | None
    counted: Counted
    moves_by_itself: bool
    replaced: tuple[str, ...]
    """Names of numbers that were inferred in place of what its file left open."""
    elements: Mapping[str, Moments]
    """The first of the chosen elements of each parameter."""
    sizes: Mapping[str, int]
    """All elements of each."""


def keep(place: str, observation: Observation, replaced: Iterable[str], sizes: Mapping[str, int]) -> KeptState:
    """Return what a store keeps of an observation; `sizes` of the run's parameters."""
    counts = choose(sizes, KEPT_ELEMENTS)
    elements = {}
    for name, choice in counts.items():
        if choice.count and name in observation.elements:
            arrays = arrays_of(observation.elements[name])
            elements[name] = Moments(**{k: None if a is None else a[: choice.count].copy() for k, a in arrays.items()})
    return KeptState(
        place,
        observation.raw_step,
        observation.counted,
        observation.moves_by_itself,
        tuple(replaced),
        elements,
        {name: sizes[name] for name in elements},
    )


# --- to columns and back


def kept_columns(states: Sequence[KeptState]) -> dict[str, Column]:
    """Return the variables of `KEPT`; empty if there is nothing to keep."""
    names = list(dict.fromkeys(name for state in states for name in state.elements))
    if not names:
        return {}
    counts = [max(_count(state.elements[name]) for state in states if name in state.elements) for name in names]
    bounds = list(pairwise(accumulate(counts, initial=0)))
    columns: dict[str, Column] = {
        "kept_checkpoint": _texts(state.place for state in states),
        "kept_raw_step": np.array([-1 if s.raw_step is None else s.raw_step for s in states], np.int64),
        "kept_counted": _texts(state.counted for state in states),
        "kept_moves_by_itself": np.array([int(state.moves_by_itself) for state in states], np.int64),
        "kept_replaced": _texts(",".join(state.replaced) for state in states),
        "kept_parameter": _texts(names),
        "kept_parameter_size": np.array(
            [next(state.sizes[name] for state in states if name in state.sizes) for name in names], np.int64
        ),
        "kept_parameter_count": np.array(counts, np.int64),
        "kept_parameter_dtype": _texts(_dtypes(name, states) for name in names),
    }
    for own, array in ARRAYS.items():
        values = np.full((len(states), sum(counts)), np.nan)
        for row, state in enumerate(states):
            for name, (start, _) in zip(names, bounds, strict=True):
                found = arrays_of(state.elements[name])[own] if name in state.elements else None
                if found is not None:
                    values[row, start : start + len(found)] = found.astype(np.float64)
        columns[f"kept_{array}"] = values
    return columns


def kept_states(columns: Columns) -> dict[str, KeptState]:
    """Return what an optimizer's columns keep, by what names its checkpoint there: its fingerprint."""
    if "kept_checkpoint" not in columns:
        return {}
    names = [str(name) for name in columns["kept_parameter"]]
    counts = columns["kept_parameter_count"].tolist()
    bounds = list(pairwise(accumulate(counts, initial=0)))
    sizes = dict(zip(names, columns["kept_parameter_size"].tolist(), strict=True))
    dtypes = [str(text).split(",") for text in columns["kept_parameter_dtype"]]
    found: dict[str, KeptState] = {}
    for row, place in enumerate(columns["kept_checkpoint"]):
        elements = {}
        for name, (start, stop), own in zip(names, bounds, dtypes, strict=True):
            (known,) = np.nonzero(~np.isnan(columns["kept_second_moment"][row, start:stop]))
            stop = start + int(known[-1]) + 1 if len(known) else start  # fewer were kept at another time
            arrays = {
                field: _restored(columns[f"kept_{array}"][row, start:stop], dtype)
                for (field, array), dtype in zip(ARRAYS.items(), own, strict=False)
            }
            if arrays.get("second") is not None:
                elements[name] = Moments(**arrays)
        raw = int(columns["kept_raw_step"][row])
        counted = str(columns["kept_counted"][row])
        found[str(place)] = KeptState(
            str(place),
            None if raw < 0 else raw,
            next((each for each in _COUNTED if each == counted), "updates"),
            bool(columns["kept_moves_by_itself"][row]),
            tuple(filter(None, str(columns["kept_replaced"][row]).split(","))),
            elements,
            {name: sizes[name] for name in elements},
        )
    return found


def _restored(values: Array, dtype: str) -> Array | None:
    """The values in the file's type; None if there were none."""
    if not dtype or np.isnan(values).all():
        return None
    try:
        return values.astype(numpy_dtype(dtype))
    except (CkptInspectError, TypeError, ValueError):
        return None


def _count(moments: Moments) -> int:
    return max((len(a) for a in arrays_of(moments).values() if a is not None), default=0)


def _dtypes(name: str, states: Sequence[KeptState]) -> str:
    found: dict[str, str] = {}
    for state in states:
        if name in state.elements:
            found |= {own: str(a.dtype) for own, a in arrays_of(state.elements[name]).items() if a is not None}
    return ",".join(found.get(own, "") for own in ARRAYS)


def _texts(values: Iterable[str]) -> Column:
    listed = list(values)
    texts = np.empty(len(listed), object)
    texts[:] = listed
    return texts


# --- as if its file were there


def observation_of(state: KeptState, columns: Columns, row: int, name: str) -> Observation | None:
    """Return an optimizer in a checkpoint whose file is gone, as its own file told it; None for a rule that is not
    known any more. `name` is the checkpoint's."""
    rule = find_rule(str(columns["rule"][row]))
    implementation = find_implementation(str(columns["family"][row]))
    if rule is None or implementation is None:
        return None
    defaults = rule.defaults(implementation)

    def alone(name: str, value: float | None) -> Sourced[float]:
        source: Source = str(columns[f"{name}_source"][row])  # type: ignore[assignment]  # as it was stored
        if name not in state.replaced:
            return Sourced(value, source, str(columns[f"{name}_where"][row]))
        default = defaults.get(name)
        return Sourced(default, "unknown" if default is None else "default", "not in the file, which is gone")

    numbers = {n: float(columns[n][row]) for n in hyperparameters_in(columns)}
    hyperparameters = {
        n: alone(n, None if np.isnan(value) else value)
        for n, value in numbers.items()
        if str(columns[f"{n}_source"][row])
    }
    step = int(columns["step"][row])
    told = alone("step", None if step < 0 else step)
    return Observation(
        checkpoint=name,
        rule=Sourced(rule.name, str(columns["rule_source"][row]), str(columns["rule_where"][row])),  # type: ignore[arg-type]  # as it was stored
        update_rule=rule,
        implementation=implementation,
        layout=str(columns["layout"][row]),
        step=Sourced(None if told.value is None else int(told.value), told.source, told.where),
        raw_step=state.raw_step,
        counted=state.counted,
        hyperparameters=hyperparameters,
        moves_by_itself=state.moves_by_itself,
        elements=state.elements,
        others={
            n: float(h.value) for n, h in hyperparameters.items() if n not in HYPERPARAMETERS and h.value is not None
        },
    )
