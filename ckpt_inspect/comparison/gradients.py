"""Figures of the windows of updates between a run's checkpoints, from the checkpoints' own figures.

S = v2 - β2^k·v1 = (1 - β2)·Σ_j β2^(k-j)·g_j² (Kingma & Ba, arXiv 1412.6980, Algorithm 1) is a weighted sum of the
window's k squared gradients. The weights add up to 1 - β2^k, so that S/(1 - β2^k) is their weighted mean; they lie
between (1 - β2)·β2^(k-1) and 1 - β2, which bounds the plain mean of the k squares from both sides, whatever the
gradients were. The longer the window, the wider.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import DType, numpy_dtype
from ckpt_inspect.comparison.inference.gradients import window_gradient_rms
from ckpt_inspect.comparison.paths import Heads, PathFigures, continue_paths
from ckpt_inspect.comparison.repeated_rows import may_repeat_rows
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.measurement.columns import Column, Columns
from ckpt_inspect.measurement.order import distinct
from ckpt_inspect.measurement.variables import CONTRADICTION, PATHS, WINDOW_METRICS
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import find_implementation, find_rule

Floats = NDArray[np.float64]

_SMALLEST = 1e-30
"""Moments below it have few digits left."""

_LEFT = 1.01
"""How many times what β1^k leaves of it a first moment is that gradients made."""


def plain_bounds(beta_2: float, updates: int) -> tuple[float, float]:
    """Return by which factors the root of the plain mean of `updates` squares can differ from that of the weighted
    one: at least, and at most; NaN for a window so long that there is no bound."""
    total = -math.expm1(updates * math.log(beta_2))
    middle = math.sqrt(total / (updates * (1 - beta_2)))
    oldest = beta_2 ** (updates - 1)
    slack = 2.0**-24 / (1 - beta_2)  # 1 - beta_2, where beta_2 passed through float32
    return middle * (1 - slack), middle * (1 + slack) / math.sqrt(oldest) if oldest > 1e-300 else math.nan


_NAMES = ("window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high")


@dataclass(frozen=True, slots=True)
class _Window:
    """From one row of an optimizer's columns to a later one."""

    before: int
    updates: int


@dataclass(slots=True)
class KnownWindows:
    """Figures of the windows of a run that grows: those of rows that are as they were are not computed again."""

    fingerprints: Column | None = None
    inputs: dict[str, Column] = field(default_factory=dict)
    """What the figures follow from, beside what is read of each checkpoint."""
    found: dict[str, Floats] = field(default_factory=dict)
    is_set_back: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    """(checkpoint, parameter) whether the state was set back there, or earlier on the path."""
    heads: Heads = field(default_factory=dict)
    """Paths up to the newest rows."""
    refuted: frozenset[float] = frozenset()
    """Assumed β2 that the run contradicts."""

    def same_rows(self, columns: Columns, fingerprints: Column) -> int:
        """Return how many of the first rows are as they were."""
        if self.fingerprints is None or not np.array_equal(self.inputs["parameter"], columns["parameter"]):
            return 0
        count = min(len(self.fingerprints), len(fingerprints))
        if self.refuted != _refuted(columns):
            return 0
        is_same = self.fingerprints[:count] == fingerprints[:count]
        for name in _ROW_INPUTS:
            is_same = is_same & _equal(self.inputs[name][:count], columns[name][:count])
        for name in PATHS:
            is_same = is_same & _equal(self.found[name][:count], columns[name][:count]).all(axis=1)
        (different,) = np.nonzero(~is_same)
        return int(different[0]) if different.size else count

    def take(self, columns: Columns, fingerprints: Column, found: Mapping[str, Floats]) -> None:
        """Take in what was found of all rows."""
        self.fingerprints, self.refuted = fingerprints, _refuted(columns)
        self.inputs = {name: columns[name].copy() for name in ("parameter", *_ROW_INPUTS)}
        self.found = dict(found)


_ROW_INPUTS = (
    *("window_updates", "window_from", "beta_2", "beta_2_source", f"beta_2{CONTRADICTION}", "step", "rule"),
    *("family", "beta_1"),
)

_HEADS = 16
"""Newest rows of which the path is held: a checkpoint is compared with few before it."""


def _equal(a: Column, b: Column) -> NDArray[np.bool_]:
    is_equal = np.asarray(a == b, bool)
    return is_equal | (np.isnan(a) & np.isnan(b)) if a.dtype.kind == "f" else is_equal


def window_columns(columns: Columns, fingerprints: Column, known: KnownWindows | None = None) -> dict[str, Column]:
    """Return the variables of `WINDOW_METRICS`, from an optimizer's other columns.

    `fingerprints` of the checkpoints, which `window_from` names. Figures of the path of the weights that stand in the
    columns already, from more elements than are sampled, are kept. `known`: what an earlier call found of the same run.
    """
    known = known or KnownWindows()
    found = {variable.name: np.full(columns["nonfinite"].shape, np.nan) for variable in WINDOW_METRICS}
    leading = _Windows(columns, fingerprints)
    same = known.same_rows(columns, fingerprints)
    windows = {row: leading.to(row) for row in range(same, len(fingerprints))}
    if any(w is not None and w.before < same and w.before not in known.heads for w in windows.values()):
        same, windows = 0, {row: leading.to(row) for row in range(len(fingerprints))}
    for name, figures in known.found.items() if same else ():
        found[name][:same] = figures[:same]
    broken = _write_gradients(found, columns, windows, leading)
    _write_paths(found, columns, windows, broken, known)
    known.take(columns, fingerprints, found)
    return found


def path_columns(figures: PathFigures, updates: int) -> dict[str, Floats]:
    """Return (P,) each of `PATHS` of one checkpoint, so many updates after the one before; none if that is unknown."""
    return {
        "window_displacement": figures.displacement / (updates if updates > 0 else np.nan),
        "window_cosine": figures.cosine,
        "path_distance": figures.from_first,
        "path_straightness": figures.straightness,
        "path_elements": np.where(figures.elements > 0, figures.elements, np.nan),
    }


def _write_paths(
    found: Mapping[str, Floats],
    columns: Columns,
    windows: Mapping[int, _Window | None],
    broken: Mapping[int, NDArray[np.bool_]],
    known: KnownWindows,
) -> None:
    """Write the figures of `PATHS` in the last rows, those of `windows`: by the sampled elements, where no others were
    looked at."""
    sample = columns["value_sample"]
    same, count = len(sample) - len(windows), len(sample)
    before = {row: None if window is None else window.before for row, window in windows.items()}
    sizes = [sample.shape[2]] * sample.shape[1]
    is_set_back = np.zeros(sample.shape[:2], bool)
    if same:
        is_set_back[:same] = known.is_set_back[:same]
    heads = {row: head for row, head in known.heads.items() if row < same}
    kept = range(max(count - _HEADS, 0), count)
    paths = continue_paths(before, lambda row: sample[row].reshape(-1), sizes, broken, heads, kept)
    for (row, window), path in zip(windows.items(), paths, strict=True):
        if window is None:
            continue
        is_set_back[row] = is_set_back[window.before] | broken.get(row, False)
        is_better = (columns["path_elements"][row] > path.elements) & ~is_set_back[row]
        for name, figures in path_columns(path, window.updates).items():
            found[name][row] = np.where(is_better, columns[name][row], figures)
    known.is_set_back, known.heads = is_set_back, heads


def _write_gradients(
    found: Mapping[str, Floats], columns: Columns, windows: Mapping[int, _Window | None], leading: _Windows
) -> dict[int, NDArray[np.bool_]]:
    """Write the figures of the gradients' size; return, of a row, (P,) whose state was set back in its window."""
    broken: dict[int, NDArray[np.bool_]] = {}
    frozen: dict[int, NDArray[np.bool_]] = {}
    led: list[tuple[int, int]] = []
    kinds = _Kinds(columns)
    for alike in _alike(columns, windows):
        is_broken = _broken(columns, alike)
        broken.update(zip(alike.rows, is_broken, strict=True))
        # a β2 that changed in between, or that can't be the one that is assumed
        is_open = columns["beta_2_source"][alike.rows] == "default"
        is_told = (alike.least == alike.beta_2) & ~(is_broken.any(axis=1) & is_open)
        rows = np.array(alike.rows)[is_told].tolist()
        before = np.array(alike.before)[is_told].tolist()
        frozen.update(_frozen(columns, leading, {*rows, *before} - frozen.keys()))
        figures = _gradients(columns, replace(alike, rows=rows, before=before), kinds)
        led += zip(rows, before, strict=True)
        for at, (row, origin) in enumerate(zip(rows, before, strict=True)):
            # beside a window without updates, it may have been frozen, or set free, in the middle
            is_void = broken[row] | frozen[row] | frozen[origin]
            for name, values in figures.items():
                found[name][row] = np.where(is_void, np.nan, values[at])
    for row, origin in led:
        for name in _NAMES:
            found[name][origin, frozen[row]] = np.nan
    return broken


@dataclass(frozen=True, slots=True)
class _Alike:
    """Windows that one β2 and as many updates lead through."""

    beta_2: float
    least: float
    """The β2 of the checkpoint before, if that is known to be smaller."""
    updates: int
    rows: list[int]
    before: list[int]


_TOGETHER = 256
"""Windows at most that are computed at a time."""


def _alike(columns: Columns, windows: Mapping[int, _Window | None]) -> Iterator[_Alike]:
    """Yield the windows in which v is an average of squares that each update makes fall by a known β2."""
    refuted = _refuted(columns)
    gathering = _Gathering(columns)
    groups: dict[tuple[float, float, int], _Alike] = {}
    betas, sources = columns["beta_2"].tolist(), columns["beta_2_source"].tolist()
    for row, window in windows.items():
        beta_2 = betas[row]
        if window is None or not 0 < beta_2 < 1 or not gathering.of(row):
            continue
        if columns[f"beta_2{CONTRADICTION}"][row] or (sources[row] == "default" and beta_2 in refuted):
            continue
        key = beta_2, min(beta_2, _told_beta_2(columns, window.before, beta_2)), window.updates
        alike = groups.setdefault(key, _Alike(*key, [], []))
        alike.rows.append(row)
        alike.before.append(window.before)
        if len(alike.rows) == _TOGETHER:
            yield groups.pop(key)
    yield from groups.values()


def _gradients(columns: Columns, alike: _Alike, kinds: _Kinds) -> Mapping[str, Floats]:
    """(n, P) the three figures of the gradients' size in n windows."""
    means = columns["second_moment_mean"]
    before, after = means[alike.before], means[alike.rows]
    low, high = plain_bounds(alike.beta_2, alike.updates)
    figures = np.full((3, *after.shape), np.nan)
    for dtype, which in kinds.dtypes.items():
        rms = window_gradient_rms(before[:, which], after[:, which], alike.beta_2, alike.updates, dtype)
        figures[..., which] = rms.values, rms.lows * low, rms.highs * high
    figures[:, ~((after == 0) | (after > _SMALLEST))] = np.nan
    # gradients that vanish in v's rounding are none only if m shows none either
    figures[0, (figures[0] == 0) & _are_moving(columns, alike)] = np.nan
    for at, row in enumerate(alike.rows):  # v holds the parts' squares, not their sum's
        figures[1:, at, kinds.repeat_rows(str(columns["family"][row]))] = np.nan
    return dict(zip(_NAMES, figures, strict=True))


class _Kinds:
    """What the parameters are, in all rows."""

    def __init__(self, columns: Columns) -> None:
        self._names, self._shapes = ([str(text) for text in columns[name].tolist()] for name in ("parameter", "shape"))
        self._repeated: dict[str, NDArray[np.bool_]] = {}
        places: dict[DType, list[int]] = {}
        for place, name in enumerate(columns["dtype"].tolist()):
            with suppress(CkptInspectError):  # none that numpy knows
                places.setdefault(numpy_dtype(str(name)), []).append(place)
        self.dtypes: Mapping[DType, NDArray[np.intp]] = {key: np.array(each, np.intp) for key, each in places.items()}
        """Which are of which."""

    def repeat_rows(self, kept_as: str) -> NDArray[np.bool_]:
        """Return (P,) what `may_repeat_rows` says of them where the store keeps the implementation as `kept_as`."""
        if kept_as not in self._repeated:
            self._repeated[kept_as] = may_repeat_rows(find_implementation(kept_as), self._names, self._shapes)
        return self._repeated[kept_as]


class _Windows:
    """The windows that lead to the rows of an optimizer's columns."""

    def __init__(self, columns: Columns, fingerprints: Column) -> None:
        self._rows = {str(fingerprint): row for row, fingerprint in enumerate(fingerprints)}
        self._updates, self._named = (columns[name].tolist() for name in ("window_updates", "window_from"))
        self._steps = columns["step"].tolist()
        self._present = ~np.isnan(columns["nonfinite"])

    def to(self, row: int) -> _Window | None:
        """Return the one from the checkpoint from which the row's training went on: as the inference found it, else the
        one before it."""
        updates, named = self._updates[row], str(self._named[row])
        if updates >= 0:
            return _Window(self._rows[named], updates) if updates > 0 and named in self._rows else None
        for before in range(row - 1, -1, -1):
            if (self._present[before] & self._present[row]).any():
                k = self._steps[row] - self._steps[before]
                return _Window(before, k) if self._steps[before] >= 0 and k > 0 else None
        return None


class _Gathering:
    """Whether v is an average of squares that each update makes fall by beta_2 alone, in every element."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._known: dict[tuple[str, str], bool] = {}

    def of(self, row: int) -> bool:
        """Return it of a row."""
        key = str(self._columns["rule"][row]), str(self._columns["family"][row])
        if key not in self._known:
            rule, implementation = find_rule(key[0]), find_implementation(key[1])
            is_whole = rule is not None and rule.has_squared_gradients and rule.decays_by_beta_2 and not rule.is_lazy
            self._known[key] = is_whole and implementation is not None and not implementation.is_lazy
        return self._known[key]


def _are_moving(columns: Columns, alike: _Alike) -> NDArray[np.bool_]:
    """Return (n, P) whether first moments are larger than the windows leave of them without a gradient."""
    before, after = (columns["first_moment_rms"][at] for at in (alike.before, alike.rows))
    betas = np.nan_to_num(columns["beta_1"][alike.rows]).tolist()
    left = np.array([[beta**alike.updates] for beta in betas]).reshape(-1, 1) * before
    return np.asarray(after > np.maximum(_LEFT * left, _SMALLEST))


def _refuted(columns: Columns) -> frozenset[float]:
    """The assumed β2 that some checkpoint of the run contradicts, or tells otherwise: they are no better known of its
    others."""
    values, sources = columns["beta_2"], columns["beta_2_source"]
    is_assumed = sources == "default"
    told = distinct(values[(sources != "default") & (values > 0)])
    found = set(values[is_assumed & (columns[f"beta_2{CONTRADICTION}"] != "")].tolist())
    assumed = distinct(values[is_assumed & (values > 0)]).tolist()
    return frozenset(found | {v for v in assumed if not np.isclose(told, v, rtol=1e-6, atol=0).all()})


def _told_beta_2(columns: Columns, row: int, otherwise: float) -> float:
    """The β2 of a row's checkpoint; `otherwise` if it is assumed, unknown or the same to float32."""
    value = float(columns["beta_2"][row])
    is_told = columns["beta_2_source"][row] not in ("default", "unknown") and 0 < value < 1
    return value if is_told and not math.isclose(value, otherwise, rel_tol=1e-6) else otherwise


def _frozen(columns: Columns, leading: _Windows, rows: Collection[int]) -> dict[int, NDArray[np.bool_]]:
    """Return, of each row, (P,) whether no update was made of a parameter in the window to it: each makes both moments
    decay. False where none leads to it."""
    blank = np.zeros(columns["second_moment_mean"].shape[1], bool)
    found = dict.fromkeys(rows, blank)
    led = {row: window.before for row in rows if (window := leading.to(row)) is not None}
    after, before = np.array([*led], np.intp), np.array([*led.values()], np.intp)
    is_same = columns["second_moment_mean"][after] > 0
    for name in ("second_moment_mean", "first_moment_rms"):
        is_same &= columns[name][before] == columns[name][after]
    place, parameter = np.nonzero(is_same)
    sample = columns["second_moment_sample"]
    one, other = sample[before[place], parameter], sample[after[place], parameter]
    is_same[place, parameter] = ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    return {**found, **dict(zip(led, is_same, strict=True))}


def _broken(columns: Columns, alike: _Alike) -> NDArray[np.bool_]:
    """Return (n, P) whether a sampled second moment fell faster than the updates can make it fall."""
    before, after = (columns["second_moment_sample"][at] for at in (alike.before, alike.rows))
    with np.errstate(invalid="ignore"):
        floor = before * alike.least**alike.updates
        tolerance = 1e-6 + 3e-7 * alike.updates
        return np.asarray(((floor > _SMALLEST) & (after < floor * (1 - tolerance))).any(axis=2))
