"""Names under which hyperparameters are resolved, shown, stored and given."""

from __future__ import annotations

HYPERPARAMETERS = ("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay")
"""In the order in which they are shown."""
