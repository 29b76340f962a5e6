"""The loops over float32 elements in C, where they could be compiled at installation.

They compute what numpy computes in `kernels`, `distances` and `histograms`, in one pass over the cache instead of a
dozen, and without holding the interpreter's lock. Without them everything works, and takes two to three times as long.

    measure     the figures of a piece of optimizer state     `kernels.compiled`
    count       values into a fine histogram                  `histograms.count_touched`
    compare     the products of two tensors                   `distances.Distance`
    count_window  what k updates did to second moments        `distances.WindowCount`
"""

from __future__ import annotations

from types import ModuleType

try:
    from ckpt_inspect.native import loops as _loops
except ImportError:  # there was no compiler, or a checkout is used as it is
    _loops = None

loops: ModuleType | None = _loops
"""`loops.c`; None where it was not compiled."""
