"""What checkpoints are called where they stand beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np


def checkpoint_names(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path, or as many of the last parts as make them distinct; numbered if that fails."""
    last = [path.rpartition("/")[2] for path in paths]
    if len(set(last)) == len(last) and not {"", "."} & set(last):
        return last
    parts = [Path(path).parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name}#{i + 1}" for i, name in enumerate(names)]


def naming(paths: Sequence[str]) -> Callable[[str], str]:
    """Return what gives the name of each of these paths, as `checkpoint_names` does of all; of many it holds little."""
    hashes = np.fromiter((hash(_last_part(path)) for path in paths), np.int64, len(paths))
    hashes.sort()
    if (hashes[1:] != hashes[:-1]).all() and not np.isin([hash(""), hash(".")], hashes).any():
        return _last_part  # texts of different hashes are different
    return dict(zip(paths, checkpoint_names(paths), strict=True)).__getitem__


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]
