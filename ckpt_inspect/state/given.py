"""What a caller may say about an optimizer, in place of what the file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ckpt_inspect.errors import RequestError
from ckpt_inspect.state.hyperparameters import FURTHER, HYPERPARAMETERS
from ckpt_inspect.state.rate_tables import decode_rate_table
from ckpt_inspect.update_rules import HYPERPARAMETERS as KNOWN
from ckpt_inspect.update_rules import RULES, find_rule

Given: TypeAlias = Mapping[str, float | int | str]
"""Values by name: a hyperparameter's, `step`, `rule`, `epsilon_placement`; those of one of several optimizers as
`OPTIMIZER.NAME`. A `learning_rate` may be the text of a table: see `rate_tables`."""

GIVEN_NAMES = (*HYPERPARAMETERS, "step", "rule", "epsilon_placement", *FURTHER)
EPSILON_PLACEMENTS = ("implementation", "textbook")
"""The places that epsilon may be given: the implementation's own, or as in Kingma & Ba's Algorithm 1."""
MOST_UPDATES = 1 << 53
"""No counter is believed beyond: floats are no longer whole numbers there."""


def check_given(given: Given, path: str) -> None:
    """Raise RequestError for a name or a value that can't be given; `path` is the checkpoint's."""
    for name, value in given.items():
        if name not in GIVEN_NAMES:
            meant = similar_name(name, GIVEN_NAMES)
            hint = "" if meant is None else f"; did you mean {meant}?"
            raise RequestError(f"{path}: {name!r} can't be given; one of {', '.join(GIVEN_NAMES)} can{hint}")
        if name == "rule":
            if find_rule(str(value)) is None:
                raise RequestError(
                    f"{path}: there is no rule {value!r}; the rules are {', '.join(r.name for r in RULES)}"
                )
        elif name == "epsilon_placement":
            if value not in EPSILON_PLACEMENTS:
                raise RequestError(f"{path}: {name} must be one of {', '.join(EPSILON_PLACEMENTS)}, not {value!r}")
        elif name == "learning_rate" and isinstance(value, str) and "," in value:
            decode_rate_table(value, path)
        else:
            _check_number(name, value, path)


_OTHER_NAMES = {
    "lr": "learning_rate", "rate": "learning_rate", "alpha": "learning_rate",
    "b1": "beta_1", "b2": "beta_2", "betas": "beta_1", "eps": "epsilon",
    "wd": "weight_decay", "decay": "weight_decay",
    "iterations": "step", "iteration": "step", "steps": "step", "optimizer": "rule",
}  # fmt: skip
"""What other programs call them."""


def similar_name(name: str, names: Sequence[str]) -> str | None:
    """Return the one of the names that is probably meant; None if none is near."""
    import difflib  # for what is mistyped

    plain = name.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, names, 1, 0.7)
    return _OTHER_NAMES.get(plain, next(iter(near), None))


def _check_number(name: str, value: float | str, path: str) -> None:
    number = _finite(value)
    if number is None:
        raise RequestError(f"{path}: {name} must be a number, not {value!r}")
    if name == "step":
        if not (0 <= number <= MOST_UPDATES and number == int(number)):
            raise RequestError(f"{path}: step must be a whole number from 0 on, not {value!r}")
    elif (fault := KNOWN[name].fault(number)) is not None:
        raise RequestError(f"{path}: {name} {fault}, not {value!r}")


def _finite(value: float | str) -> float | None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if np.isfinite(number) else None
