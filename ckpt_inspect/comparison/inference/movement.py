"""What silent elements moved: the rate of the first updates of a window, epsilon, and whether the model fits at all.

After A, a silent element's moments are β1^j·m_A and β2^j·v_A, so that all of its movement is known but for two numbers:

    θ_B - θ_A = -Σ_j α·N_j/F_j·β1^j·m_A / (√(β2^j·v_A/D_j) + ε)

N, F, D: the rule's own coefficients at exponent t_A + j (`Coefficients.numerator`, `.first_correction`, `.divisor`)
for a rate of 1. α and ε are fitted to many elements with different v_A; with them a slope of the rate, so that a
schedule doesn't pass for an epsilon. What the weights' own rounding loses is computed by making
the updates in the weights' dtype, and residuals are compared with it: a model that doesn't describe what happened
(weights moved by something else, gradients after all) refuses itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.comparison.inference.evidence import Interval
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.measurement.order import distinct
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import Settings, UpdateRule

_SAMPLE = 480
"""Elements that a fit takes at most."""
_WITNESSES = 3
"""Elements at least, all of which must have moved so far that it can be seen."""
_SEEN = 20
"""Units in the last place of a weight that it must have moved by."""
_VANISHED = 1e-8
"""Share of the first update below which later ones are left out."""
_LONGEST = 4000
"""Updates that are followed at most."""
_ARITHMETIC = 3e-7
"""Relative rounding of an update of float32, by its handful of operations; of the sums computed here in float64."""
WORST_FIT = 1.6
"""Residuals, in units of what rounding explains, above which a fit is refused."""
_GOOD_FIT = 0.2
"""Residuals below which no other start is tried."""
_SAME_RATE = 1e-4
"""Relative difference from the expected rate above which that itself is tried, with usual epsilons."""
_SLOPE = 0.02
"""By which share of itself a schedule may change the rate from one update to the next (standard deviation)."""
_CONFIDENCE = 9.0
"""By how much χ² may rise within an interval: three standard deviations."""


@dataclass(frozen=True, slots=True)
class Still:
    """Silent elements: 1-d arrays of one length."""

    first: Array
    """m at A."""
    second: Array
    """What the rule divides by the root of, at A: v, or its maximum."""
    value_a: Array
    value_b: Array


@dataclass(frozen=True, slots=True)
class Movement:
    """What a fit gives."""

    learning_rate: Interval
    epsilon: Interval
    chi: float
    """Root mean square of the residuals, in units of what rounding explains."""
    elements: int

    @property
    def is_accepted(self) -> bool:
        """Return whether the model describes what happened."""
        return self.chi <= WORST_FIT


@dataclass(frozen=True, slots=True)
class Terms:
    """The scalars of each update after A, for a rate of 1; float64 arrays over j = 1, 2, .."""

    factor: Array
    """N_j/F_j·β1^j."""
    root: Array
    """√(β2^j/D_j), or what stands in its place."""
    has_root: bool


def terms_of(rule: UpdateRule, settings: Settings, exponents: Array, dtype: DType, keeps_second: bool) -> Terms | None:
    """Return the scalars of updates with these exponents; None if silent elements' updates don't follow from them.

    `settings`: with both betas; rate, epsilon and decay are not used. `keeps_second`: the second array doesn't decay
    (AMSGrad's maximum).
    """
    beta_1, beta_2 = settings.beta_1, settings.beta_2
    if beta_1 is None or beta_2 is None or rule.needs_norms or not rule.is_linear_in_rate:
        return None
    count = exponents.size
    factor, root = np.empty(count), np.empty(count)
    plain = replace(settings, learning_rate=1.0, epsilon=0.0, weight_decay=0.0)
    has_root = True
    for j in range(count):
        own = replace(plain, step=int(exponents[j]))
        try:
            c = rule.coefficients(own, dtype)
            factor[j] = float(c.numerator) * rule.silent_factor(own, c) * beta_1 ** (j + 1)
        except NotDetermined:
            return None
        if not c.is_adaptive or c.inner_epsilon:
            return None
        has_root = c.has_root
        second = (1.0 if keeps_second else beta_2 ** (j + 1)) / float(c.divisor)
        root[j] = math.sqrt(second) if has_root else second
    return Terms(factor, root, has_root) if np.all(np.isfinite(factor)) and np.all(root > 0) else None


def followed(beta_1: float, beta_2: float, keeps_second: bool) -> int:
    """Return after how many updates a silent element has stopped."""
    ratio = beta_1 if keeps_second else beta_1 / math.sqrt(beta_2)
    if not 0 < ratio < 1:
        return _LONGEST + 1
    return math.ceil(math.log(_VANISHED) / math.log(ratio))


def longest_followed() -> int:
    """Return how many updates are followed at most."""
    return _LONGEST


def fit_movement(
    still: Still, terms: Terms, decays: int, share: float = 0.0, expected: float | None = None
) -> Movement | None:
    """Return rate and epsilon with their intervals; None if the elements tell nothing.

    `share`: what decoupled weight decay takes of a weight at each of the `decays` updates. `expected`: a rate to start
    from as well; the fit is free all the same.
    """
    chosen = _sample(still)
    if chosen.first.size < _WITNESSES:
        return None
    with np.errstate(all="ignore"):
        unit = np.spacing(np.maximum(np.abs(chosen.value_a), np.abs(chosen.value_b)))
        if np.count_nonzero(np.abs(chosen.value_b - chosen.value_a) >= _SEEN * unit) < _WITNESSES:
            return None
    fit = _Fit(chosen, terms, decays, share)
    return fit.run(expected)


def _sample(still: Still) -> Still:
    """Elements whose movement can be seen, spread evenly over the sizes of their second moments."""
    with np.errstate(all="ignore"):
        unit = np.spacing(np.maximum(np.abs(still.value_a), np.abs(still.value_b)))
        moved = np.abs(still.value_b.astype(np.float64) - still.value_a) / unit
        usable = np.isfinite(moved) & (still.second > 0) & (still.first != 0)
    places = np.flatnonzero(usable)
    if places.size > _SAMPLE:
        order = places[np.argsort(still.second[places], kind="stable")]
        groups = np.array_split(order, 60)
        each = _SAMPLE // 60
        places = np.concatenate([g[np.argsort(-moved[g], kind="stable")[:each]] for g in groups])
    return Still(still.first[places], still.second[places], still.value_a[places], still.value_b[places])


class _Profile:
    """f(z) = Σ_j a_j/(b_j + z), of which every element's movement is one value; a and b are not negative.

    Hermite interpolation of ln f over ln z, within 1e-8 of f.
    """

    def __init__(self, factor: Array, root: Array) -> None:
        low, high, count = math.log(float(root.min())) - 28, math.log(float(root.max())) + 28, 2400
        self._start, self._step, self._count = low, (high - low) / (count - 1), count
        z = np.exp(low + self._step * np.arange(count))[:, None]
        total, change = np.zeros(count), np.zeros(count)
        for part in np.array_split(np.arange(factor.size), max(factor.size // 64, 1)):
            terms = factor[part] / (root[part] + z)
            total += terms.sum(1)
            change -= (terms / (root[part] + z)).sum(1)
        with np.errstate(all="ignore"):
            self._logs = np.log(total)
            self._slopes = np.where(total > 0, change * z[:, 0] / total, 0.0) * self._step

    def __call__(self, z: Array) -> Array:
        with np.errstate(all="ignore"):
            place = np.clip((np.log(z) - self._start) / self._step, 0, self._count - 1.000001)
        left = place.astype(np.intp)
        x = place - left
        y0, y1, d0, d1 = self._logs[left], self._logs[left + 1], self._slopes[left], self._slopes[left + 1]
        rise = y1 - y0
        return np.asarray(np.exp(y0 + x * (d0 + x * (3 * rise - 2 * d0 - d1 + x * (d0 + d1 - 2 * rise)))))


class _Fit:
    """One fit; see the module."""

    def __init__(self, still: Still, terms: Terms, decays: int, share: float) -> None:
        self._terms, self._decays, self._share = terms, decays, share
        self._dtype = still.value_a.dtype.type
        self._first = still.first.astype(np.float64)
        second = still.second.astype(np.float64)
        self._root = np.sqrt(second) if terms.has_root else second
        self._still = still
        with np.errstate(all="ignore"):
            largest = np.maximum(np.abs(still.value_a), np.abs(still.value_b))
            self._unit = np.spacing(largest).astype(np.float64)
        kept = (1 - share) ** decays
        self._moved = still.value_a.astype(np.float64) * kept - still.value_b.astype(np.float64)
        """Minus the movement that updates made."""
        self._slopes = np.arange(terms.factor.size, dtype=np.float64)
        if share:  # what an update adds shrinks by the decays after it
            left = np.maximum(decays - 1 - self._slopes, 0)
            self._terms = replace(terms, factor=terms.factor * (1 - share) ** left)
        self._profile = _Profile(self._terms.factor, self._terms.root)
        self._slope_profile = _Profile(self._terms.factor * self._slopes, self._terms.root)
        self._scale = self._first / self._root
        self._lost = np.zeros_like(self._moved)
        self._sigma = self._noise(np.full(self._moved.shape, min(terms.factor.size, 20.0)))

    def _noise(self, roundings: Array) -> Array:
        noise: Array = np.sqrt(
            self._unit**2 * (1 + roundings + (self._decays if self._share else 0)) / 12
            + (_ARITHMETIC * self._moved) ** 2
        )
        return noise

    def _sums(self, epsilons: Array, with_slope: bool) -> tuple[Array, Array]:
        """What a rate of 1, and a rate that rises by 1 with each update, move: (epsilons, elements) each."""
        ratio = epsilons[:, None] / self._root
        return self._profile(ratio) * self._scale, self._slope_profile(ratio) * self._scale if with_slope else ratio

    def _solved(self, epsilons: Array, slope_of: float) -> tuple[Array, Array, Array]:
        """(χ², rate, slope) of the best rate for each epsilon. `slope_of`: the slope's standard deviation; 0: none."""
        s, t = self._sums(epsilons, bool(slope_of))
        y = (self._moved - self._lost) / self._sigma
        s = s / self._sigma
        ss, sy = (s * s).sum(1), (s * y).sum(1)
        if not slope_of:
            rate = sy / ss
            residual = y - rate[:, None] * s
            return (residual * residual).sum(1), rate, np.zeros_like(rate)
        t = t / self._sigma
        st, tt, ty = (s * t).sum(1), (t * t).sum(1) + 1 / slope_of**2, (t * y).sum(1)
        determinant = ss * tt - st * st
        rate, slope = (sy * tt - ty * st) / determinant, (ty * ss - sy * st) / determinant
        residual = y - rate[:, None] * s - slope[:, None] * t
        return (residual * residual).sum(1) + (slope / slope_of) ** 2, rate, slope

    def _simulated(self, rate: float, slope: float, epsilon: float) -> tuple[Array, Array]:
        """(what the updates lose by rounding, how many of them changed each weight)."""
        number = self._dtype
        value = self._still.value_a.copy()
        changes = np.zeros(value.size)
        exact = np.zeros(value.size)
        taken = number(self._share)
        with np.errstate(all="ignore"):
            for j, factor, root in zip(self._slopes, self._terms.factor, self._terms.root, strict=True):
                size = (rate + slope * j) * factor
                if self._share:
                    size /= (1 - self._share) ** max(self._decays - 1 - j, 0)
                    value = value - value * taken
                update = size * self._first / (self._root * root + epsilon)
                after = value - update.astype(number)
                changes += after != value
                value = after
                exact += update * (1 - self._share) ** max(self._decays - 1 - j, 0)
        rest = (1 - self._share) ** max(self._decays - self._terms.factor.size, 0)
        kept = (1 - self._share) ** self._decays
        done = self._still.value_a.astype(np.float64) * kept - value.astype(np.float64) * rest
        return done - exact, changes

    def run(self, expected: float | None) -> Movement | None:
        """Return the fit's result, from the best of several starts. `expected`: the rate, if it is probably known."""
        low, high = float(self._root.min()), float(self._root.max())
        coarse = np.concatenate([[0.0], np.geomspace(max(low * 1e-5, 1e-30), high * 1e4, 70)])
        sigma = self._sigma
        best: tuple[float, float, float, Array, Array] | None = None
        with np.errstate(all="ignore"):
            for start, rate in self._starts(coarse, expected):
                self._lost, self._sigma = np.zeros_like(self._moved), sigma
                if rate is not None:
                    self._follow(rate, start)
                epsilon, found, chi = self._settled(start)
                if math.isfinite(chi) and (best is None or chi < best[2]):
                    best = epsilon, found, chi, self._lost, self._sigma
                if chi <= _GOOD_FIT:
                    break
            if expected and (best is None or best[2] > _GOOD_FIT or abs(best[1] / expected - 1) > _SAME_RATE):
                for epsilon in (0.0, *(10.0**power for power in range(-12, -2))):
                    self._follow(expected, epsilon)
                    residuals = self._moved - self._lost - expected * self._sums(np.array([epsilon]), False)[0][0]
                    chi = math.sqrt(float(np.mean((residuals / self._sigma) ** 2)))
                    if math.isfinite(chi) and (best is None or chi < best[2]):
                        best = epsilon, expected, chi, self._lost, self._sigma
            if best is None:
                return None
            self._lost, self._sigma = best[3], best[4]
            return self._judged(best[0], best[1], best[2], coarse)

    def _starts(self, coarse: Array, expected: float | None) -> Iterator[tuple[float, float | None]]:
        """Epsilons from which a fit may reach the best one, each with a rate that is known before."""
        chis, _, _ = self._solved(coarse, 0.0)
        if not np.any(np.isfinite(chis)):
            return
        wide = np.concatenate([[np.inf], np.where(np.isfinite(chis), chis, np.inf), [np.inf]])
        lowest = np.flatnonzero((wide[1:-1] <= wide[:-2]) & (wide[1:-1] <= wide[2:]) & np.isfinite(wide[1:-1]))
        ordered = lowest[np.argsort(wide[1:-1][lowest], kind="stable")]
        yield float(coarse[ordered[0]]), None
        if expected is not None:
            residuals = self._moved / self._sigma - expected * self._sums(coarse, False)[0] / self._sigma
            yield float(coarse[int(np.nanargmin((residuals * residuals).sum(1)))]), expected
        for place in ordered[1:3]:
            yield float(coarse[place]), None

    def _settled(self, epsilon: float) -> tuple[float, float, float]:
        """(epsilon, rate, χ) to which a start leads."""
        wide, rate = 2.0, math.nan
        for _ in range(4):
            if epsilon > 0:
                epsilon = self._nearest(epsilon, wide)
            rate = float(self._solved(np.array([epsilon]), 0.0)[1][0])
            self._follow(rate, epsilon)
            wide = max(math.sqrt(wide), 1.01)
        epsilon, rate = self._rounded(epsilon, rate)
        own, _, _ = self._solved(np.array([epsilon]), 0.0)
        return epsilon, rate, math.sqrt(float(own[0]) / max(self._moved.size - 2, 1))

    def _nearest(self, epsilon: float, wide: float) -> float:
        """The best epsilon within that factor, by looking closer and closer."""
        while wide > 1 + 1e-7:
            points = np.geomspace(epsilon / wide, epsilon * wide, 13)
            chis, _, _ = self._solved(points, 0.0)
            epsilon = float(points[int(np.nanargmin(chis))])
            wide **= 0.25
        return epsilon

    def _follow(self, rate: float, epsilon: float) -> None:
        """Take in what rounding loses with these."""
        self._lost, changes = self._simulated(rate, 0.0, epsilon)
        self._sigma = self._noise(changes)

    def _rounded(self, epsilon: float, rate: float) -> tuple[float, float]:
        """The power of ten close by, with its rate, if it explains the movement as well or better."""
        if epsilon <= 0:
            return epsilon, rate
        power = 10.0 ** round(math.log10(epsilon))
        if not 1 / 1.5 < power / epsilon < 1.5:
            return epsilon, rate
        own, _, _ = self._solved(np.array([epsilon]), 0.0)
        lost, sigma = self._lost, self._sigma
        for _ in range(3):
            its = float(self._solved(np.array([power]), 0.0)[1][0])
            self._follow(its, power)
        chis, rates, _ = self._solved(np.array([power]), 0.0)
        if float(chis[0]) <= float(own[0]) + 1:
            return power, float(rates[0])
        self._lost, self._sigma = lost, sigma
        return epsilon, rate

    def _judged(self, epsilon: float, rate: float, chi: float, coarse: Array) -> Movement:
        """The fit with its intervals, for a rate that may have changed steadily."""
        steps = 1 + np.geomspace(1e-6, 30, 60)
        around = np.concatenate([epsilon / steps[::-1], [epsilon], epsilon * steps]) if epsilon > 0 else np.zeros(1)
        grid = distinct(np.concatenate([coarse, around]))
        place = int(np.searchsorted(grid, epsilon))
        plain, plain_rates, _ = self._solved(grid, 0.0)
        inside = self._inside(plain, place)
        if self._terms.factor.size > 1:
            bent, _, _ = self._solved(grid, _SLOPE * abs(rate))
            inside |= self._inside(bent, int(np.nanargmin(bent)))
        places = np.flatnonzero(inside)
        first, last = int(places[0]), int(places[-1])
        is_open_below, is_open_above = first == 0, last == grid.size - 1
        interval = Interval(
            None if is_open_below or is_open_above else epsilon,
            0.0 if is_open_below else float(grid[first - 1]) or float(grid[first]),
            math.inf if is_open_above else float(grid[last + 1]),
        )
        rates = plain_rates[inside]
        return Movement(
            Interval(rate, float(np.nanmin(rates)), float(np.nanmax(rates))), interval, chi, int(self._moved.size)
        )

    def _inside(self, chis: Array, place: int) -> Array:
        """Which of the epsilons are as good as the one at that place, within the confidence."""
        least = float(chis[place])
        free = max(self._moved.size - 2, 1)
        inside = chis <= least + _CONFIDENCE * max(1.0, least / free)
        inside[place] = True
        return np.asarray(inside)
