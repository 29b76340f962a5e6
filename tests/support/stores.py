"""What a store holds, to be compared with another: all but the times at which HDF5 made its groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def contents(path: Path) -> dict[str, Any]:
    """Return every dataset's type, shape and bytes, and every attribute, by path."""
    found: dict[str, Any] = {}

    def take(name: str, thing: h5py.HLObject) -> None:
        for attribute, value in thing.attrs.items():
            if attribute not in ("REFERENCE_LIST", "DIMENSION_LIST"):  # places in the file
                found[f"{name}@{attribute}"] = np.asarray(value).tolist()
        if isinstance(thing, h5py.Dataset):
            values = thing[...]
            raw = values.tolist() if values.dtype == object else values.tobytes()
            found[name] = (str(thing.dtype), thing.shape, raw)

    with h5py.File(path, "r") as file:
        take("", file)
        file.visititems(take)
    return found
