"""What the names of optimizer classes, in configurations and in slot variables, say about the update rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ckpt_inspect.jsonable import JsonObject

ADAM_FAMILY = ("adam", "amsgrad", "adamw", "nadam", "adamax", "lamb", "radam", "lazyadam", "bert-adamw")
"""Rules whose state is a first and a second moment (Adamax: an infinity norm)."""

# class name, lower case, without `_` and a trailing `optimizer` -> rule, or the plain name of another optimizer
RULE_OF_CLASS = {
    "adam": "adam",
    "adamw": "adamw",
    "adamweightdecay": "adamw",
    "adamax": "adamax",
    "nadam": "nadam",
    "lamb": "lamb",
    "lazyadam": "lazyadam",
    "rectifiedadam": "radam",
    "rmsprop": "rmsprop",
    "sgd": "sgd",
    "gradientdescent": "sgd",
    "momentum": "momentum",
    "adagrad": "adagrad",
    "adadelta": "adadelta",
    "ftrl": "ftrl",
    "lion": "lion",
    "adafactor": "adafactor",
    "muon": "muon",
    "novograd": "novograd",
    "yogi": "yogi",
    "adabelief": "adabelief",
}

# Wrappers keep another optimizer inside, in their configuration under one of these keys
WRAPPED_CONFIG_KEYS = ("inner_optimizer", "optimizer", "base_optimizer")


def normal_name(name: str) -> str:
    """`Custom>AdamW`, `keras.optimizers.AdamW`, `adam_w`, `AdamW_1`, `AdamWOptimizer` -> `adamw`."""
    bare = re.split(r"[>./]", name)[-1].lower()
    bare = re.sub(r"_\d+$", "", bare).replace("_", "")
    return re.sub(r"(?<=.)optimizer(v[12])?$", "", bare)


def rule_of_class(name: str) -> str | None:
    """The rule of an optimizer class (or of the default `name` that a class gives its slots); None where unknown."""
    return RULE_OF_CLASS.get(normal_name(name))


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """An optimizer's serialized configuration, unwrapped."""

    class_name: str
    """As written: `Adam`, `Custom>AdamW`, `Addons>LAMB`."""
    config: JsonObject
    wrappers: tuple[str, ...]
    """Class names of the wrappers around it, outermost first."""

    @property
    def rule(self) -> str:
        """The rule's name; for a class this package doesn't know, the class name in lower case."""
        rule = rule_of_class(self.class_name) or normal_name(self.class_name)
        return "amsgrad" if rule in ("adam", "adamw") and self.config.get("amsgrad") is True else rule

    @property
    def is_addon(self) -> bool:
        """Whether it comes from TensorFlow Addons, whose implementations differ from Keras' of the same name."""
        return self.class_name.startswith("Addons>")


def unwrap_config(entry: JsonObject | None) -> OptimizerConfig | None:
    """`{"class_name": .., "config": ..}` -> the innermost optimizer; None where there is no usable entry."""
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
