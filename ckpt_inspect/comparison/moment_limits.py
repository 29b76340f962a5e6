"""Whether one state's moments can be what gradients left behind: elementwise, in pieces.

A mean of squares is not negative, and |m| is at most √v times a number that the betas give, by Cauchy and Schwarz
(`UpdateRule.moment_bound`): in an update both see the same gradient.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ckpt_inspect.checkpoint import Array, DType, numpy_dtype
from ckpt_inspect.comparison.repeated_rows import may_repeat_rows
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter
from ckpt_inspect.update_rules import Settings, State

_SPARE = 3.0
"""How many times its bound |m|/√v must be: betas may have been others before, and rounding adds up."""
_LARGEST_BETA_2 = 0.99999
"""The largest beta_2 that is in use, if the file leaves open which it was."""
_ANY_BETAS = tuple(
    (beta_1, beta_2)
    for beta_1 in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
    for beta_2 in (0.9, 0.95, 0.98, 0.99, 0.999, _LARGEST_BETA_2)
)
"""Betas between which any lie, those included with which m outlives √v, so that nothing bounds |m|/√v in the end."""
_REPEATED = 100.0
"""The same where slices of a sparse gradient are squared one by one: a row that a batch repeats r times exceeds the
bound by √r."""
_LEAST = {"float32": 1e-15, "float64": 1e-140}
"""First moments below it may be of gradients whose squares underflow. Halves round too coarsely to judge."""


@dataclass(frozen=True, slots=True)
class MomentLimit:
    """How large |m|/√v can be."""

    most: float
    least: float
    """First moments below it prove nothing."""
    is_certain: bool
    """Whether it holds for any betas that the file leaves open, those with β1 > √β2 included."""


def limit_of(state: OptimizerState, parameter: Parameter) -> MomentLimit | None:
    """Return the limit of a parameter's moments; None if the rule, or its dtype, has none."""
    rule, keys = state.update_rule, [parameter.key(array) for array in ("first_moment", "second_moment")]
    if rule is None or not (rule.has_moment_pair and rule.has_squared_gradients and rule.has_root):
        return None
    dtypes = {_dtype(parameter, key) for key in keys if key is not None}
    dtype = dtypes.pop() if len(dtypes) == 1 and None not in keys else None
    if dtype is None or dtype.name not in _LEAST:
        return None
    bound, is_certain = _bound(state)
    shape = ",".join(map(str, parameter.shape))
    repeats = may_repeat_rows(state.settings.implementation, [parameter.name], [shape])[0]
    most = bound * _SPARE * (_REPEATED if repeats else 1.0)
    return MomentLimit(most, _LEAST[dtype.name], is_certain) if math.isfinite(most) else None


def _bound(state: OptimizerState) -> tuple[float, bool]:
    """Return the largest |m|/√v, and whether it holds for all betas that are possible; infinite if there is none."""
    betas = [state.hyperparameters.get(name) for name in ("beta_1", "beta_2")]
    converged = replace(state.settings, step=None, is_converged=True)
    if not any(beta is None or beta.is_assumed or beta.value is None for beta in betas):
        return _bound_by(state, converged), True
    usual = _bound_by(state, replace(converged, beta_1=0.0, beta_2=_LARGEST_BETA_2))
    if state.step.value is not None:
        at = [replace(state.settings, beta_1=beta_1, beta_2=beta_2) for beta_1, beta_2 in _ANY_BETAS]
        if (largest := max(_bound_by(state, settings) for settings in at)) <= usual:
            return largest, True
    return usual, False


def _bound_by(state: OptimizerState, settings: Settings) -> float:
    if state.update_rule is None:
        return math.inf
    try:
        return state.update_rule.moment_bound(settings)
    except (NotDetermined, OverflowError):
        return math.inf


def _dtype(parameter: Parameter, key: str) -> DType | None:
    spec = parameter.checkpoint.tensors.get(key)
    return numpy_dtype(spec.dtype) if spec is not None and spec.is_readable else None


class MomentCounts:
    """Counts over the elements of one parameter in one checkpoint, fed piece by piece."""

    __slots__ = ("beyond", "elements", "limit", "negative", "worst")

    def __init__(self, limit: MomentLimit | None) -> None:
        self.limit = limit
        self.elements = 0
        self.negative = 0
        """Second moments below 0."""
        self.beyond = 0
        """Elements whose first moment is too large for their second."""
        self.worst = 0.0
        """Largest |m|/√v of these; infinite where v is 0."""

    def add(self, state: State) -> None:
        """Take in a piece."""
        second, first = state.second_moment, state.first_moment
        if second is None or second.dtype.kind not in "fV":
            return
        self.elements += second.size
        with np.errstate(invalid="ignore", over="ignore", under="ignore", divide="ignore"):
            self.negative += int(np.count_nonzero(second < 0))
            if self.limit is None or first is None:
                return
            size = np.abs(first)
            beyond = size > self.limit.least
            beyond &= size > np.sqrt(second) * self.limit.most
            count = int(np.count_nonzero(beyond))
            if count:
                self.beyond += count
                self.worst = max(self.worst, _largest(size[beyond], second[beyond]))


def _largest(first: Array, second: Array) -> float:
    return float(np.max(first.astype(np.float64) / np.sqrt(second.astype(np.float64))))
