"""The update rules: what the numbers in an optimizer's state mean, as pure functions of arrays. A file a family."""

from __future__ import annotations

from ckpt_inspect.update_rules.adagrad import Adagrad
from ckpt_inspect.update_rules.adam import Adam, AdamW, AMSGrad, LazyAdam
from ckpt_inspect.update_rules.adamax import Adamax
from ckpt_inspect.update_rules.bert import BertAdamW
from ckpt_inspect.update_rules.lamb import Lamb
from ckpt_inspect.update_rules.nadam import Nadam
from ckpt_inspect.update_rules.radam import RAdam
from ckpt_inspect.update_rules.rmsprop import RMSprop
from ckpt_inspect.update_rules.rule import Coefficients, Norms, Settings, State, UpdateRule

RULES: tuple[UpdateRule, ...] = (
    Adam(),
    AMSGrad(),
    AdamW(),
    Nadam(),
    Adamax(),
    Lamb(),
    RAdam(),
    LazyAdam(),
    BertAdamW(),
    RMSprop(),
    Adagrad(),
)


def find_rule(name: str) -> UpdateRule | None:
    """The rule of that name, or None."""
    return next((rule for rule in RULES if rule.name == name), None)


__all__ = ["RULES", "Coefficients", "Norms", "Settings", "State", "UpdateRule", "find_rule"]
