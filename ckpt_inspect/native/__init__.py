"""The loops over elements in C, if they were compiled at installation.

They compute what numpy computes in the rooms that call them, in one pass over the cache instead of a dozen, and
without holding the interpreter's lock. Without them everything works, and takes two to three times as long; of rules
and types of floats other than Adam's in float32, ten times as long.

    measure          the figures of a piece of optimizer state    `measurement.kernels.compiled_kernel`
    sweep            the same, read from files and checksummed    `measurement.stored`
    norms            the sums that LAMB needs, read as well       `measurement.stored`
    small            many small tensors in one call               `measurement.small`
    count            values into a fine histogram                 `measurement.histograms`
    compare          the products of two tensors                  `comparison.distances`
    count_window     what k updates did to second moments         `comparison.distances`
    compare_stored   both, read from two files and checksummed    `comparison.stored_pairs`
    list_folder      the sizes and times of a folder's files      `storage.local`
    fletcher32       the checksums of an HDF5 file's chunks       `formats.hdf5_chunks`
    unshuffle        a chunk's bytes, element by element          `formats.hdf5_chunks`

A rule needs no C of its own: its scalars are `update_rules.Coefficients`, the order of its operations `StepOrder`. An
element of float32 Adam, 12 bytes in the page cache, takes 1.3 ns of one core (AMD EPYC, family 26), 0.8 of them for its
figures and both histograms; the rest is CRC-32C.

What the kernel has of a file in memory already is mapped rather than copied (`mapping.c`; Linux), whole large pages at
a time: one thread reads and checksums so at 21 GB/s, and at 8 if it copies. A file that shrinks meanwhile is read again
in the ordinary way, which tells why it can't be read; one that is written to is told by its time, as ever.

Each loop is compiled for several widths of registers, and the widest that the processor has is chosen when the module
is loaded (`processor.h`; x86-64 with SSE4.2, AVX2, AVX-512, and anything else as its compiler knows it). On arm64 they
were tried in an emulator alone. What calls share is written when the module is loaded, so that it needs no
interpreter's lock, and a free-threaded Python (3.13) goes on without one when it is loaded.

Numba was weighed (0.68): 3.8 ns for the figures, since it adds one after another; 0.1 s for its import and 0.14 s for
its cache at every start; 208 MB.
"""

from __future__ import annotations

from types import ModuleType

try:
    from ckpt_inspect.native import loops as _loops
except ImportError:  # there was no compiler, or a checkout is used as it is
    _loops = None

_VERSION = 8
"""Of `module.c`: what an older checkout has compiled is not called in another way than it was made for."""

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""numpy's names of the types of elements that the loops take; to them, a type is its place here."""

loops: ModuleType | None = _loops if getattr(_loops, "VERSION", None) == _VERSION else None
"""`loops.c`, bound by `module.c`; None if they were not compiled."""
