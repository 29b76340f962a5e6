"""Room for further bins in a store that grows: a value outside of those that hold anything then costs its own row.

The store's histograms are some bins wider on both sides, and an attribute of the edges says which of the bins count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.measurement.columns import Column, Columns, OptimizerColumns
from ckpt_inspect.measurement.variables import BINS
from ckpt_inspect.runs.figures import GRIDS

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

FILLED = "filled"
"""Attribute of a histogram's edges in a store: the first of the bins that count, and that after the last one."""

_MARGIN = 16
"""Bins on each side: more than a decade of effective learning rates, and of gradients."""

Spans = Mapping[str, tuple[int, int]]
"""Of each histogram, bins of its grid, half-open."""

EDGES = {f"{bins}_edges": histogram for histogram, bins in BINS.items()}
"""Histogram of each variable of edges."""


def with_room(optimizer: OptimizerColumns) -> OptimizerColumns:
    """Return the columns with empty bins on both sides of those that there are."""
    columns = dict(optimizer.variables)
    for name, grid in GRIDS.items():
        first, stop = span_of(columns, name)
        if stop > first:
            below, above = min(first, _MARGIN), min(grid.bins - stop, _MARGIN)
            columns[name] = np.pad(columns[name], ((0, 0), (0, 0), (below, above)))
            columns[f"{BINS[name]}_edges"] = grid.edges[first - below : stop + above + 1].copy()
    return OptimizerColumns(optimizer.name, columns)


def span_of(columns: Columns, histogram: str) -> tuple[int, int]:
    """Return which of the grid's bins the columns have, half-open; (0, 0) for none."""
    edges = columns[f"{BINS[histogram]}_edges"]
    first = int(np.searchsorted(GRIDS[histogram].edges, edges[0]))
    return (first, first + len(edges) - 1) if len(edges) > 1 else (0, 0)


def have_room(group: h5py.Group, spans: Spans) -> bool:
    """Return whether an optimizer's group in a store has all of these bins."""
    for name, (first, stop) in spans.items():
        edges = f"{BINS[name]}_edges"
        if edges not in group:
            return False
        start, end = span_of({edges: group[edges][...]}, name)
        if stop > first and not start <= first < stop <= end:
            return False
    return True


def mark_filled(group: h5py.Group, columns: Columns) -> None:
    """Write which bins of a group that has room count: those that the columns have."""
    for edges, name in EDGES.items():
        start, _ = span_of({edges: group[edges][...]}, name)
        first, stop = span_of(columns, name)
        if stop > first:
            group[edges].attrs[FILLED] = np.array([first - start, stop - start])


def places_in(group: h5py.Group, columns: Columns) -> Iterator[tuple[str, slice]]:
    """Yield each histogram, and where the bins that the columns have of it are in the group."""
    for edges, name in EDGES.items():
        if edges in group and edges in columns:
            start, _ = span_of({edges: group[edges][...]}, name)
            first, stop = span_of(columns, name)
            yield name, slice(first - start, stop - start)


def filled_in(edges: h5py.Dataset) -> slice:
    """Return which bins of a histogram count, by its edges in a store; raises ValueError if that can't be."""
    count = max(len(edges) - 1, 0)
    if FILLED not in edges.attrs:
        return slice(0, count)
    if edges.attrs.get_id(FILLED).shape != (2,):
        raise ValueError(f"{FILLED} are not two places")
    first, stop = (int(place) for place in edges.attrs[FILLED])
    if not 0 <= first < stop <= count:
        raise ValueError(f"there are no bins {first} to {stop}")
    return slice(first, stop)


def only_filled(column: Column, filled: slice) -> Column:
    """Return a histogram without the bins that don't count."""
    return column[:, :, filled]
