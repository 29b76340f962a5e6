"""Parameters of which a batch may repeat rows, where an implementation squares the parts of a row's gradient apart."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.update_rules import Implementation

_KERNEL = re.compile(r"(.*_)?kernel(_?\d+|#\d+)?", re.IGNORECASE)


def is_kernel(name: str) -> bool:
    """Return whether a tensor's name says that it is a kernel, and so no embedding."""
    return _KERNEL.fullmatch(name.rpartition("/")[2]) is not None


def may_repeat_rows(
    implementation: Implementation | None, names: Iterable[str], shapes: Iterable[str]
) -> NDArray[np.bool_]:
    """Return, for each parameter, whether it may be an embedding whose gradient's parts are squared one by one.

    `shapes`: lengths of the axes with commas.
    """
    squares = implementation is not None and implementation.squares_slices != "never"
    pairs = zip(names, shapes, strict=True)
    return np.array([squares and shape.count(",") == 1 and not is_kernel(name) for name, shape in pairs], np.bool_)
