"""Names under which hyperparameters are stored and shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ckpt_inspect.checkpoint import Array
from ckpt_inspect.update_rules import HYPERPARAMETERS as KNOWN
from ckpt_inspect.update_rules.hyperparameters import COMMON

HYPERPARAMETERS = tuple(h.name for h in COMMON)
"""Those that every store has a place for, in the order in which they are shown."""


FURTHER = tuple(name for name in KNOWN if name not in HYPERPARAMETERS)
"""Those that some rules alone have: a store has a place for those that its optimizers have."""


def hyperparameters_in(columns: Mapping[str, Array]) -> tuple[str, ...]:
    """Return the hyperparameters that an optimizer has in any checkpoint of a run, those that most rules have first.

    `columns` are its variables by the store's names: it has those with a source.
    """
    return tuple(
        name
        for name in KNOWN
        if name in columns and (f"{name}_source" not in columns or np.any(columns[f"{name}_source"] != ""))
    )
