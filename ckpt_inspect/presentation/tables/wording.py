"""Figures as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.comparison.segments import BEGINNING_WORDS
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.measurement.wording import figure, setting
from ckpt_inspect.presentation.tables.table import NOTHING

if TYPE_CHECKING:
    from ckpt_inspect.checkpoint import Problem
    from ckpt_inspect.comparison.segments import Segment
    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.sourced import Sourced

BLOCKS = "▁▂▃▄▅▆▇█"

SEVERITY_ORDER = ("error", "warning", "info")
"""In which problems are listed."""

_BRIEFLY = 3
"""Problems of one kind that are printed unless all are asked for."""

_SEGMENTS = 6
"""Segments of a run that are printed by their ends."""


def tensor_title(key: str) -> str:
    """Return a tensor's key without the tail that every key of an object graph's variables has."""
    return key.removesuffix(KEY_TAIL)


def thinned(places: Sequence[int], width: int = 12) -> list[int]:
    """Return `width` of these places, evenly spaced, first and last included; all if they are no more."""
    if len(places) <= width:
        return list(places)
    return [places[round(i * (len(places) - 1) / (width - 1))] for i in range(width)]


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """Draw positive values over the run on a log scale from their smallest to their largest; a blank if there is none.

    Longer series are thinned to `width` of their values, first and last included. A constant series is a flat low line.
    """
    values = [values[place] for place in thinned(range(len(values)), width)]
    logs = [math.log(v) if v > 0.0 and math.isfinite(v) else None for v in values]
    known = [x for x in logs if x is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = (len(BLOCKS) - 1) / (high - low) if high - low > 1e-6 else 0.0
    return "".join(" " if x is None else BLOCKS[round((x - low) * scale)] for x in logs)


def value_text(value: Sourced[float | str]) -> str:
    """Return a resolved value as a person would write it."""
    if value.value is None:
        return "unknown"
    return setting(value.value) if isinstance(value.value, float | int) else str(value.value)


def has_changed(values: Floats) -> bool:
    """Return whether known numbers (n,) differ by more than rounding."""
    return bool(values.size and np.ptp(values) > 1e-9 * abs(values).max())


def span_text(values: Floats, text_of: Callable[[float], str] | None = None) -> str:
    """Return the first and the last of the numbers (n,) that are finite, or the one that all are; empty without any."""
    known, text_of = values[np.isfinite(values)], text_of or figure
    if not known.size:
        return ""
    first, last = text_of(float(known[0])), text_of(float(known[-1]))
    return f"{first} → {last}" if has_changed(known) else first


def cosine_text(value: float) -> str:
    """Return four decimals; near 1 as far below it as it is, so that small turns stay distinct."""
    if math.isnan(value):
        return NOTHING
    return f"{value:.4f}" if value < 0.99995 else f"1-{figure(max(0.0, 1.0 - value), 1)}" if value < 1.0 else "1"


def ratio_text(value: float) -> str:
    """Return a factor, `×0.53`; a dash for NaN."""
    return NOTHING if math.isnan(value) else f"×{figure(value)}"


def shape_text(shape: Sequence[int]) -> str:
    """Return `12×3`; `scalar` for no dimensions."""
    return "×".join(map(str, shape)) or "scalar"


def bytes_text(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError("the loop returns")


def segments_text(segments: Sequence[Segment], names: Sequence[str] | Mapping[int, str]) -> str:
    """Return the segments of a run in one line: `ckpt-1 .. ckpt-5 | rate jumped: ckpt-6 .. ckpt-9 | ..`.

    `names`: of the run's checkpoints, by their places. Of many segments the last are counted.
    """
    texts = []
    for segment in segments[:_SEGMENTS]:
        first, last = names[segment.start], names[segment.stop - 1]
        why = "" if segment.begins == "start" else f"{BEGINNING_WORDS[segment.begins]}: "
        texts.append(f"{why}{first}" if first == last else f"{why}{first} .. {last}")
    more = len(segments) - _SEGMENTS
    return " | ".join([*texts, f"{more} more"] if more > 0 else texts)


def problem_lines(problems: Iterable[Problem], *, is_brief: bool = False) -> list[str]:
    """Return one line a problem, each once, the most severe first; if brief, without remarks and a few of each kind."""
    chosen = [p for p in dict.fromkeys(problems) if p.severity != "info" or not is_brief]
    of_kind: dict[str, list[Problem]] = {}
    for problem in sorted(chosen, key=lambda p: SEVERITY_ORDER.index(p.severity)):
        of_kind.setdefault(problem.code, []).append(problem)
    lines = []
    for kind in of_kind.values():
        most = _BRIEFLY if is_brief else len(kind)
        lines += [f"{p.severity}: {p.message}; {p.resolution}" for p in kind[:most]]
        if len(kind) > most:
            lines.append(f"{kind[0].severity}: {len(kind) - most} more of this kind; -v shows them all")
    return lines
