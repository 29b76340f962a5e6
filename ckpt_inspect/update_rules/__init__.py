"""The update rules: what the numbers in an optimizer's state mean, as pure functions of arrays. A file a rule."""

from __future__ import annotations

from ckpt_inspect.update_rules.hyperparameters import Hyperparameter
from ckpt_inspect.update_rules.implementations import IMPLEMENTATIONS, Implementation, find_implementation
from ckpt_inspect.update_rules.registry import (
    HYPERPARAMETERS,
    MAXIMUM_FLAG,
    OPERATIONS,
    OPTIMIZERS,
    RULES,
    SCALAR_NAMES,
    STATE_SLOTS,
    TELLING_SCALARS,
    USUAL_RULE,
    Optimizer,
    find_optimizer,
    find_rule,
    has_moment_pair,
    implementation_among,
    normal_name,
    optimizer_of_bare_scalars,
    optimizer_of_class,
    optimizer_of_slots,
    rules_of,
    rules_of_scalars,
    rules_with_slots_of,
    second_slot,
)
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, UpdateRule
from ckpt_inspect.update_rules.traces import NamedOptimizer, Operation, Traces

__all__ = [
    "HYPERPARAMETERS",
    "IMPLEMENTATIONS",
    "MAXIMUM_FLAG",
    "OPERATIONS",
    "OPTIMIZERS",
    "RULES",
    "SCALAR_NAMES",
    "STATE_SLOTS",
    "TELLING_SCALARS",
    "USUAL_RULE",
    "Coefficients",
    "Hyperparameter",
    "Implementation",
    "NamedOptimizer",
    "Norms",
    "Operation",
    "Optimizer",
    "Settings",
    "State",
    "Traces",
    "UpdateRule",
    "find_implementation",
    "find_optimizer",
    "find_rule",
    "has_moment_pair",
    "implementation_among",
    "normal_name",
    "optimizer_of_bare_scalars",
    "optimizer_of_class",
    "optimizer_of_slots",
    "rules_of",
    "rules_of_scalars",
    "rules_with_slots_of",
    "second_slot",
]
