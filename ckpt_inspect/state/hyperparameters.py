"""Names under which hyperparameters are stored and shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.update_rules import HYPERPARAMETERS as KNOWN
from ckpt_inspect.update_rules.hyperparameters import COMMON

HYPERPARAMETERS = tuple(h.name for h in COMMON)
"""Those that every store has a place for, in the order in which they are shown."""


def hyperparameters_in(columns: Mapping[str, Array]) -> tuple[str, ...]:
    """Return the hyperparameters that a run's columns hold: those with a source in any checkpoint.

    `columns` are a store's variables of one optimizer by name. A rule's further hyperparameters follow those that most
    rules have.
    """
    return tuple(name for name in KNOWN if f"{name}_source" in columns and np.any(columns[f"{name}_source"] != ""))
