"""The one thing that HDF5's own library is asked for: to undo the filters that Keras never writes.

It sees no file of anybody's: a chunk's bytes are put into a dataset in memory that is sound, and read out of it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import DType
from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.formats.hdf5_messages import Filter

_SCALE_OFFSET = 6
_numbers = count()


def unpack_chunk(
    raw: bytes, filters: Sequence[Filter], dtype: DType, chunk: tuple[int, ...], fill: bytes
) -> NDArray[np.uint8]:
    """Return the bytes of a chunk of that shape, whose elements are of `dtype`, byte order included.

    `filters` are those that it went through, in this order; `fill` is the dataset's own element for what was never
    written, which a filter may write in a way of its own; empty for zeros. Raises OSError or ValueError for bytes that
    can't be unpacked, UnsupportedError for a filter that this machine's HDF5 doesn't have.
    """
    import h5py

    for step in filters:
        if not h5py.h5z.filter_avail(step.number):
            raise UnsupportedError(f"filter {step.number} of HDF5, by which its values are stored, is not available")
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    file = h5py.h5f.create(b"chunk-%d" % next(_numbers), h5py.h5f.ACC_TRUNC, fapl=access)  # in memory alone
    try:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(chunk)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        if fill:
            plan.set_fill_value(np.frombuffer(fill, dtype))
        for step in filters:
            if step.number == _SCALE_OFFSET and len(step.values) > 1:  # the library works out the rest
                plan.set_scaleoffset(step.values[0], step.values[1])
            else:
                plan.set_filter(step.number, h5py.h5z.FLAG_OPTIONAL, step.values)
        kind = h5py.h5t.py_create(dtype)
        dataset = h5py.h5d.create(file, b"values", kind, h5py.h5s.create_simple(chunk), plan)
        dataset.write_direct_chunk((0,) * len(chunk), raw)
        values = np.empty(chunk, dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, kind)
        return values.reshape(-1).view(np.uint8)
    finally:
        file.close()
