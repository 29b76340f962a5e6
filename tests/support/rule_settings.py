"""What every update rule can be computed with."""

from __future__ import annotations

from ckpt_inspect.update_rules import RULES

FLAGS = {h.name: 1.0 for rule in RULES for h in rule.hyperparameters if h.is_flag and not h.array}
"""Switches that a rule may need to be known, on."""
