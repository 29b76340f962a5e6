"""Values that the checkpoints of a run tell together: where they stand in for what one file leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.resolution import Resolved

InferredValues: TypeAlias = Mapping[str, Sourced[float]]
"""Of one optimizer in one checkpoint, by name: hyperparameters and `step`; the source of each is `inferred`."""

Inferred: TypeAlias = Mapping[str, InferredValues]
"""Of one checkpoint, by the optimizer's name."""


def with_inferred(resolved: Resolved, values: InferredValues) -> Resolved:
    """Return the numbers with those inferred in place of defaults and of what is unknown; the rest stays as read or
    given."""
    step, hyperparameters = resolved.step, dict(resolved.hyperparameters)
    for name, value in values.items():
        if name == "step" and step.is_assumed and value.value is not None:
            step = Sourced(int(value.value), value.source, value.where)
        elif name in hyperparameters and hyperparameters[name].is_assumed:
            hyperparameters[name] = value
    is_converged = resolved.is_converged and step.value is None
    return resolved._replace(step=step, hyperparameters=hyperparameters, is_converged=is_converged)


def overlaid(alone: Mapping[str, Sourced[float]], values: InferredValues) -> dict[str, Sourced[float]]:
    """Return what `with_inferred` makes of hyperparameters (and `step`) by name."""
    return {name: values[name] if value.is_assumed and name in values else value for name, value in alone.items()}
