"""Figures of the windows of updates between a run's checkpoints, from the checkpoints' own figures.

S = v2 - β2^k·v1 = (1 - β2)·Σ_j β2^(k-j)·g_j² (Kingma & Ba, arXiv 1412.6980, Algorithm 1) is a weighted sum of the
window's k squared gradients. The weights add up to 1 - β2^k, so that S/(1 - β2^k) is their weighted mean; they lie
between (1 - β2)·β2^(k-1) and 1 - β2, which bounds the plain mean of the k squares from both sides, whatever the
gradients were. The longer the window, the wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field

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
    rows = {str(fingerprint): row for row, fingerprint in enumerate(fingerprints)}
    present = ~np.isnan(columns["nonfinite"])
    same = known.same_rows(columns, fingerprints)
    windows = {row: _window(columns, row, rows, present) for row in range(same, len(fingerprints))}
    if any(w is not None and w.before < same and w.before not in known.heads for w in windows.values()):
        same, windows = 0, {row: _window(columns, row, rows, present) for row in range(len(fingerprints))}
    for name, figures in known.found.items() if same else ():
        found[name][:same] = figures[:same]
    broken: dict[int, NDArray[np.bool_]] = {}
    refuted, kinds = _refuted(columns), _Kinds(columns)
    for row, window in windows.items():
        if window is None:
            continue
        beta_2 = float(columns["beta_2"][row])
        is_open = columns["beta_2_source"][row] == "default"
        is_refuted = columns[f"beta_2{CONTRADICTION}"][row] or (is_open and beta_2 in refuted)
        if _gathers(columns, row) and 0 < beta_2 < 1 and not is_refuted:
            sample = columns["second_moment_sample"]
            least = min(beta_2, _told_beta_2(columns, window.before, beta_2))
            broken[row] = is_broken = _broken(sample[window.before], sample[row], least, window.updates)
            if least < beta_2 or (is_broken.any() and is_open):
                continue  # a β2 that changed in between, or that can't be the one that is assumed
            is_frozen = _frozen(columns, window, row)
            earlier = _window(columns, window.before, rows, present)
            was_frozen = is_frozen if earlier is None else is_frozen | _frozen(columns, earlier, window.before)
            for name, figures in _gradients(columns, window, row, beta_2, kinds).items():
                # beside a window without updates, it may have been frozen, or set free, in the middle
                found[name][row] = np.where(is_broken | was_frozen, np.nan, figures)
                found[name][window.before, is_frozen] = np.nan
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


def _gradients(columns: Columns, window: _Window, row: int, beta_2: float, kinds: _Kinds) -> Mapping[str, Floats]:
    """(P,) the three figures of the gradients' size."""
    means = columns["second_moment_mean"]
    before, after = means[window.before], means[row]
    low, high = plain_bounds(beta_2, window.updates)
    figures = np.full((3, len(after)), np.nan)
    for dtype, which in kinds.dtypes.items():
        rms = window_gradient_rms(before[which], after[which], beta_2, window.updates, dtype)
        figures[:, which] = rms.values, rms.lows * low, rms.highs * high
    figures[:, ~((after == 0) | (after > _SMALLEST))] = np.nan
    # gradients that vanish in v's rounding are none only if m shows none either
    figures[0, (figures[0] == 0) & _are_moving(columns, window, row)] = np.nan
    figures[1:, kinds.repeat_rows(str(columns["family"][row]))] = np.nan  # v holds the parts' squares, not their sum's
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

    def repeat_rows(self, family: str) -> NDArray[np.bool_]:
        """Return (P,) what `may_repeat_rows` says of them."""
        if family not in self._repeated:
            self._repeated[family] = may_repeat_rows(find_implementation(family), self._names, self._shapes)
        return self._repeated[family]


def _window(columns: Columns, row: int, rows: dict[str, int], present: NDArray[np.bool_]) -> _Window | None:
    """The checkpoint from which the row's training went on: as the inference found it, else the one before it."""
    updates, named = int(columns["window_updates"][row]), str(columns["window_from"][row])
    if updates >= 0:
        return _Window(rows[named], updates) if updates > 0 and named in rows else None
    for before in range(row - 1, -1, -1):
        if (present[before] & present[row]).any():
            k = int(columns["step"][row]) - int(columns["step"][before])
            return _Window(before, k) if columns["step"][before] >= 0 and k > 0 else None
    return None


def _gathers(columns: Columns, row: int) -> bool:
    """Whether v is an average of squares that each update makes fall by beta_2 alone, in every element."""
    rule = find_rule(str(columns["rule"][row]))
    implementation = find_implementation(str(columns["family"][row]))
    if rule is None or implementation is None or rule.is_lazy or implementation.is_lazy:
        return False
    return rule.has_squared_gradients and rule.decays_by_beta_2


def _are_moving(columns: Columns, window: _Window, row: int) -> NDArray[np.bool_]:
    """Return (P,) whether first moments are larger than the window leaves of them without a gradient."""
    before, after = (columns["first_moment_rms"][at] for at in (window.before, row))
    left = float(np.nan_to_num(columns["beta_1"][row])) ** window.updates * before
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


def _frozen(columns: Columns, window: _Window, row: int) -> NDArray[np.bool_]:
    """Return (P,) whether no update was made of a parameter in a window: each makes both moments decay."""
    is_same = columns["second_moment_mean"][row] > 0
    for name in ("second_moment_mean", "first_moment_rms"):
        is_same &= columns[name][window.before] == columns[name][row]
    before, after = (columns["second_moment_sample"][at] for at in (window.before, row))
    is_same &= ((before == after) | (np.isnan(before) & np.isnan(after))).all(axis=1)
    return np.asarray(is_same)


def _broken(before: Floats, after: Floats, beta_2: float, updates: int) -> NDArray[np.bool_]:
    """Return (P,) whether a sampled second moment fell faster than the updates can make it fall."""
    with np.errstate(invalid="ignore"):
        floor = before * beta_2**updates
        tolerance = 1e-6 + 3e-7 * updates
        return np.asarray(((floor > _SMALLEST) & (after < floor * (1 - tolerance))).any(axis=1))
