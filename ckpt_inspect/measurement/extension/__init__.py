"""The loops over elements in C, if they were compiled at installation.

They compute what numpy computes in `kernels`, `distances` and `histograms`, in one pass over the cache instead of a
dozen, and without holding the interpreter's lock. Without them everything works, and takes two to three times as long.

    measure       the figures of a piece of optimizer state    `kernels.compiled_kernel`
    sweep         the same, read from files and checksummed    `stored.StoredState`
    norms         the sums that LAMB needs, read as well       `stored.StoredState`
    count         values into a fine histogram                 `histograms.count_touched`
    compare       the products of two tensors                  `distances.Distance`
    count_window  what k updates did to second moments         `distances.WindowCount`

Why C: the figures of an element of Adam's state take 1.2 ns, and 3.7 by numpy. Numba was weighed (0.68, on the same
machine): 3.8 ns, since it adds one after another; 0.1 s for its import and 0.14 s for its cache at every start; 208 MB.
"""

from __future__ import annotations

from types import ModuleType

try:
    from ckpt_inspect.measurement.extension import loops as _loops
except ImportError:  # there was no compiler, or a checkout is used as it is
    _loops = None

_VERSION = 3
"""Of `module.c`: what an older checkout has compiled is not called in another way than it was made for."""

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""numpy's names of the types of elements that the loops take; to them, a type is its place here."""

loops: ModuleType | None = _loops if getattr(_loops, "VERSION", None) == _VERSION else None
"""`loops.c`, bound by `module.c`; None if they were not compiled."""
