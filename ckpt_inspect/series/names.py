"""What checkpoints are called where they stand beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


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
