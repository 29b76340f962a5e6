"""Where a number may come from: the caller, a tensor, the configuration, the implementation's default.

Each is one function here; which of them counts is what the modules beside this one decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ckpt_inspect.checkpoint import Checkpoint, DType, numpy_dtype
from ckpt_inspect.jsonable import JsonValue, shortened
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.given import MOST_UPDATES, Given
from ckpt_inspect.update_rules import Hyperparameter

IMPOSSIBLE = ("value-impossible", "beta-power-impossible", "step-malformed", "scalar-malformed")
"""Codes of the Problems about a number in the file that no training can have used."""
SERIALIZED_NUMBERS = ("__tensor__", "__numpy__")
"""Classes under which Keras serializes a number that is an array of no dimensions."""


class ImpossibleError(Exception):
    """A number in the file that no training can have used; the message names it, and says what it must be."""


def given_value(name: str, given: Given) -> Sourced[float] | None:
    """Return what the caller gave for a hyperparameter; None if nothing."""
    return Sourced(float(given[name]), "given", "given by the caller") if name in given else None


class Scalars:
    """Scalars of the checkpoint, as Python floats."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.rounded: dict[str, str] = {}
        """By name, the remark on a hyperparameter that its type rounded to 1."""

    def has(self, key: str) -> bool:
        """Return whether the checkpoint holds one number of that name."""
        return key in self._checkpoint.tensors and self._checkpoint.tensors[key].shape == ()

    def dtype(self, key: str) -> DType:
        """Return numpy's type of a tensor."""
        return numpy_dtype(self._checkpoint.tensors[key].dtype)

    def is_integer(self, key: str) -> bool:
        """Return whether a tensor is of whole numbers, as most counters are."""
        return np.dtype(self.dtype(key)).kind in "iu"

    def read(self, key: str) -> float:
        """Return a number; NaN if it is none, which a damaged file can have in its place."""
        return float(self._checkpoint.read_range(key, 0, 1)[0]) if self._is_number(key) else math.nan

    def count(self, key: str) -> int | None:
        """Return a whole number from 0 on; None for anything else."""
        value = self._checkpoint.read_range(key, 0, 1)[0].item() if self._is_number(key) else math.nan
        return int(value) if 0 <= value <= MOST_UPDATES and value == int(value) else None

    def _is_number(self, key: str) -> bool:
        return np.dtype(self.dtype(key)).kind not in "Oc"


def check_form(name: str, found: FoundOptimizer) -> None:
    """Raise ImpossibleError if the tensor of that hyperparameter is not one number."""
    if name in found.malformed:
        raise ImpossibleError(found.malformed[name])


def saved_number(found: FoundOptimizer, *names: str) -> float | None:
    """Return the number that the configuration has under the first of these names that is there; None for a null, and
    if there is none.

    Raises ImpossibleError if it is not a number.
    """
    config = found.config or {}
    name = next((n for n in names if n in config), None)
    value = None if name is None else config[name]
    if isinstance(value, Mapping) and value.get("class_name") in SERIALIZED_NUMBERS:
        inner = value.get("config")
        value = inner.get("value") if isinstance(inner, Mapping) else None
    if value is None:
        return None
    number = number_of(value)
    if number is None:
        raise ImpossibleError(f"{name} is {shortened(value)} ({found.config_where}: {name}), and it must be a number")
    return number


def number_of(value: JsonValue) -> float | None:
    """Return a number of JSON as a float, infinite if it is too large for one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def assumed_default(h: Hyperparameter, found: FoundOptimizer, is_assumed: bool = True) -> Sourced[float]:
    """Return the implementation's default; unknown if it has none, or without `is_assumed`: if no formula is known."""
    implementation = found.implementation
    value = h.default_in(implementation) if is_assumed else None
    if value is None:
        return Sourced(None, "unknown", "not in the file")
    kept = next((s for p in found.parameters for s in h.kept_as if s in p.slots), None)
    if kept is not None and not implementation.always_keeps_momentum:
        return Sourced(None, "unknown", f"not in the file; not {value:g}, the default, because there are slots {kept}")
    where = f"assumed: the default of this implementation ({implementation.id}); not in the file"
    return Sourced(bool(value) if h.is_flag else value, "default", where)
