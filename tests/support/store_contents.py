"""All that a store holds, to be compared bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def contents(store: Path) -> dict[str, Any]:
    """Every dataset's bytes, and every attribute, in a store."""
    found: dict[str, Any] = {}

    def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
        attributes = {k: repr(v) for k, v in item.attrs.items() if k not in ("DIMENSION_LIST", "REFERENCE_LIST")}
        values = item[...] if isinstance(item, h5py.Dataset) else np.empty(0)
        found[name] = attributes, values.dtype, values.tolist() if values.dtype == object else values.tobytes()

    with h5py.File(store) as file:
        file.visititems(take)
    return found
