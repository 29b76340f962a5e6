"""An optimizer's serialized configuration, and the update rule that its class name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.jsonable import JsonObject
from ckpt_inspect.update_rules import MAXIMUM_FLAG, normal_name, optimizer_of_class

# Wrappers keep another optimizer inside, in their configuration under one of these keys
WRAPPED_CONFIG_KEYS = ("inner_optimizer", "optimizer", "base_optimizer")
AVERAGE_SLOTS = {"slow", "average"}
"""Slots of the wrappers that overwrite the weights with an average: Addons' Lookahead; MovingAverage and SWA."""
AVERAGED_WEIGHTS = "averaged-weights"
"""Code of the Problem of a wrapper that overwrites the weights."""
AVERAGING_CLASSES = {"lookahead", "movingaverage", "swa"}


class OptimizerConfig(NamedTuple):
    """An optimizer's serialized configuration, unwrapped."""

    class_name: str
    """As written: `Adam`, `Custom>AdamW`, `Addons>LAMB`."""
    config: JsonObject
    wrappers: tuple[str, ...]
    """Class names of the wrappers around it, outermost first."""

    @property
    def rule(self) -> str:
        """Return the rule's name; for a class this package doesn't know, the class name in lower case."""
        optimizer = optimizer_of_class(self.class_name)
        if optimizer is None:
            return normal_name(self.class_name)
        return optimizer.with_maximum if optimizer.with_maximum and self.keeps_maximum else optimizer.name

    @property
    def keeps_maximum(self) -> bool:
        """Return whether it keeps a maximum of the second moment."""
        return self.config.get(MAXIMUM_FLAG) is True

    @property
    def averaging_wrapper(self) -> str:
        """Return the class name of the wrapper that overwrites the weights with an average; empty if there is none."""
        return next(iter(self.averaging_wrappers), "")

    @property
    def averaging_wrappers(self) -> tuple[str, ...]:
        """Return the class names of all such wrappers, outermost first."""
        return tuple(name for name in self.wrappers if normal_name(name) in AVERAGING_CLASSES)

    @property
    def is_addon(self) -> bool:
        """Return whether it comes from TensorFlow Addons, whose implementations differ from Keras' of the same name."""
        return self.class_name.startswith("Addons>")


def averaged_weights(who: str) -> Problem:
    """Return the remark that the saved weights may not be those that the last update left."""
    return Problem(
        AVERAGED_WEIGHTS,
        f"{who} wraps this optimizer and overwrites the weights from time to time (Lookahead, moving average)",
        "the last update is this optimizer's own, without what the wrapper did to the weights afterwards; what depends "
        "on the weights themselves (weight decay, LAMB's trust ratio) is computed from those that were saved",
        "info",
    )


def never_counted(who: str) -> Problem:
    """Return the remark that nothing counts for an optimizer inside two averaging wrappers.

    Each hands its own counter to the optimizer inside it in `apply_gradients`, and calls its `_resource_apply_dense`
    alone, so that the innermost's counter stays 0 (tensorflow_addons/optimizers/{lookahead,average_wrapper}.py).
    """
    return Problem(
        "counter-open",
        f"{who} wraps another averaging wrapper around this optimizer, whose own counter Addons never raises: its bias "
        "corrections stay those of a first update",
        "the step is left unknown; give --step 1 for what each update computes",
    )


def unwrap_config(entry: JsonObject | None) -> OptimizerConfig | None:
    """Return the innermost optimizer of `{"class_name": .., "config": ..}`; None if there is no usable entry."""
    wrappers: list[str] = []
    while entry is not None:
        name, config = entry.get("class_name"), entry.get("config")
        if not isinstance(name, str) or not isinstance(config, Mapping):
            return None
        members = (config.get(key) for key in WRAPPED_CONFIG_KEYS)
        inner = next((member for member in members if isinstance(member, Mapping)), None)
        if inner is None or "class_name" not in inner:
            return OptimizerConfig(name, config, tuple(wrappers))
        wrappers.append(name)
        entry = inner
    return None
