"""What every update rule offers: the effective learning rate and the last update, from the state that it left.

A rule is a pure function of arrays and numbers; it knows nothing of files, and nothing of where the numbers came from.
All of it is elementwise, but for what `UpdateRule.needs_norms` announces: a tensor may be given whole or in pieces, and
the pieces' results are those of the whole, bit for bit.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field, replace
from typing import ClassVar

import numpy as np

from ckpt_inspect.checkpoint import Array, DType
from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import arithmetic
from ckpt_inspect.update_rules.arithmetic import Scalar
from ckpt_inspect.update_rules.hyperparameters import COMMON, Hyperparameter
from ckpt_inspect.update_rules.implementations import Implementation
from ckpt_inspect.update_rules.traces import Traces

_BLOCK = 1 << 13
"""Elements of which norms are taken at a time; BLAS starts no threads for products of so few."""


@dataclass(frozen=True, slots=True)
class State:
    """One variable's arrays after the last update: whole tensors, or the same piece of each, in the file's dtype."""

    value: Array | None = None
    """θ after the update."""
    first_moment: Array | None = None
    """m, uncorrected."""
    second_moment: Array | None = None
    """v, uncorrected; Adamax: the infinity norm u; RMSprop, Adagrad: the accumulator."""
    max_second_moment: Array | None = None
    """AMSGrad's running maximum of the uncorrected v."""
    mean_gradient: Array | None = None
    """Centered RMSprop's EMA of the gradient."""

    def arrays(self) -> tuple[Array | None, ...]:
        """Return all arrays, in the order of the fields."""
        return self.value, self.first_moment, self.second_moment, self.max_second_moment, self.mean_gradient

    @property
    def size(self) -> int:
        """Return the number of elements of each array."""
        return next((a.size for a in self.arrays() if a is not None), 0)

    def at(self, places: Array | slice) -> State:
        """Return some elements of each array, by a mask, by indices or from one place to another."""
        return State(*(None if a is None else a[places] for a in self.arrays()))


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers that the formula needs, and whose formula it is."""

    implementation: Implementation
    step: int | None
    """t, the exponent of the bias correction in the last update. None: unknown."""
    learning_rate: float | None
    """α of the last update, after schedules and OptimizerV2's `decay`."""
    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float | None = None
    weight_decay: float | None = None
    """Decoupled weight decay; None and 0: none."""
    is_converged: bool = False
    """step is None, but so large that both bias corrections are 1 to rounding."""
    has_textbook_epsilon: bool = False
    """Whether E and Δ are asked for in the form of Kingma & Ba's Algorithm 1, α/(√(v/c2) + ε), which no TensorFlow
    and no Keras applies: for comparison with other frameworks. Only rules that have `has_textbook_form` heed it."""
    others: Mapping[str, float] = field(default_factory=dict)
    """The rule's other hyperparameters that are known (`sma_threshold`, `momentum`, `centered`, ..), by name."""
    has_sparse_gradient: bool = False
    """Whether the gradient is that of some rows, as an embedding's is; which rows those were is in no file."""

    @property
    def is_textbook(self) -> bool:
        """Return whether E and Δ are those of Algorithm 1: as asked for, or as the implementation applies it."""
        return self.has_textbook_epsilon or self.implementation.has_textbook_epsilon

    def other(self, name: str, default: float) -> float:
        """Return one of `others`; the default if it is not known."""
        return self.others.get(name, default)


@dataclass(frozen=True, slots=True)
class Norms:
    """Three sums over a whole tensor, for the rules that need them (LAMB); float64. Sums of pieces add up."""

    value: float = 0.0
    """Sum of θ², θ after the update."""
    direction: float = 0.0
    """Sum of r², r being the update's direction before weight decay, learning rate and trust ratio."""
    product: float = 0.0
    """Sum of θ·r."""

    def __add__(self, other: Norms) -> Norms:
        return Norms(self.value + other.value, self.direction + other.direction, self.product + other.product)


@dataclass(frozen=True, slots=True)
class StepOrder:
    """In which order an implementation applies the scalars of an update. Its halves round every operation's result, so
    that another order leaves other numbers.

    It subtracts outer · ((factor·(m / divisor)) / (denominator_factor·(root + epsilon))), and without the denominator
    if E is not adaptive. A scalar that isn't there is 1, which changes nothing.
    """

    divisor: Scalar = 1
    factor: Scalar = 1
    denominator_factor: Scalar = 1
    outer: Scalar = 1
    is_stored: bool = False
    """Whether it subtracts m as it is: RMSprop's momentum."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The scalars of one tensor's last update, in its dtype: with them, everything left is elementwise.

    E = numerator / (root(s / divisor + inner_epsilon) + epsilon), s being `UpdateRule.second_moment(state)` and root
    the square root, or the identity if `has_root` is false; E = numerator if `is_adaptive` is false.
    Δ = -(E·m/first_correction + decay·θ_before), up to rounding, if the rule's `last_update` is determined.
    """

    numerator: Scalar
    """Factor of E, learning rate included."""
    divisor: Scalar
    """What s is divided by first: c2, or 1."""
    epsilon: Scalar
    """Added to the root."""
    first_correction: Scalar
    """c1 = 1 - beta_1**t, or 1 if the rule has none."""
    decay: Scalar
    """Share of θ before the update that weight decay removes: lr·wd, or wd; 0 without decay."""
    inner_epsilon: Scalar = 0
    """Added under the root (Keras' RMSprop and Adagrad, whose `epsilon` is 0 then; optax' `eps_root`)."""
    has_root: bool = True
    is_adaptive: bool = True
    order: StepOrder | None = None
    """Of `UpdateRule.decrement`; None if there is none, or if it is of another form."""


class UpdateRule(ABC):
    """One optimizer's update, in each implementation of it, and every fact about that optimizer. Stateless.

    Each method works in the arrays' dtype: float32 stays float32, float16 and bfloat16 are rounded after every
    operation, as their kernels do. Overflow and division by zero give inf and nan, as they did in training, and warn of
    nothing.
    """

    # --- what it is, and by what it is known

    name: ClassVar[str]
    """As in `optimizer_states().rule`."""
    title: ClassVar[str]
    """As a person writes it."""
    traces: ClassVar[Traces]
    """What identifies it in a file."""
    hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = COMMON
    """All that it has, in the order in which they are shown."""
    more_hyperparameters: ClassVar[tuple[Hyperparameter, ...]] = ()
    """Those that one implementation adds."""
    slots: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "first_moment": ("first_moment",),
        "second_moment": ("second_moment",),
    }
    """Fields of `State` that it keeps -> names under which layouts find them. Of a pair of moments, the first name is
    the one that the slots `m` and `v` get."""
    slots_by_rule: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The same under names that mean such an array in this rule alone: `momentum`, which others have as well."""
    with_maximum: ClassVar[str] = ""
    """Name of the rule that this one is with a maximum of the second moment beside it; empty: it stays what it is."""
    with_decay: ClassVar[str] = ""
    """Name of the rule that this one is with decoupled weight decay; empty: it stays what it is."""

    # --- what it keeps
    has_moment_pair: ClassVar[bool] = True
    """Whether its state is a first and a second moment for each element, as Adam's (Adamax: an infinity norm)."""
    has_maximum: ClassVar[bool] = False
    """Whether a maximum of the second moment always stands beside it."""
    has_root: ClassVar[bool] = True
    """Whether it divides by the root of the second moment (Adamax: by an infinity norm itself)."""
    has_average: ClassVar[bool] = True
    """Whether the second moment is a moving average, which takes time to fill (Adamax: a maximum; Adagrad: a sum)."""
    has_squared_gradients: ClassVar[bool] = True
    """Whether the second moment gathers squared gradients, so that their mean square follows from it."""
    decays_by_beta_2: ClassVar[bool] = True
    """Whether an update leaves at least beta_2 of each element of the second moment."""
    decays_when_silent: ClassVar[bool] = True
    """Whether an update without a gradient leaves beta_1 times the first and beta_2 times the second moment, exactly
    but for rounding."""
    retained_by: ClassVar[str] = "beta_2"
    """Hyperparameter whose k-th power of each element of the second moment k updates leave at least; empty if they
    leave all of it (Adagrad: a sum)."""
    least_retained: ClassVar[float] = 0.9
    """The smallest value of that hyperparameter in use."""
    is_lazy: ClassVar[bool] = False
    """Whether some implementation leaves elements alone that the gradient doesn't touch (rows of an embedding): then
    not every element decays, or moves, at every update."""
    leaves_moments: ClassVar[bool] = False
    """Whether the moments of such elements stay as they are too, bit for bit, in every implementation that is lazy."""

    # --- how it is computed
    has_textbook_form: ClassVar[bool] = False
    """Whether Algorithm 1 of Kingma & Ba has it with epsilon in another place."""
    is_linear_in_rate: ClassVar[bool] = True
    """Whether E and Δ are proportional to the learning rate."""
    has_own_decay: ClassVar[bool] = False
    """Whether a `decay` in its configuration is a number of its own formula, and no decay of the learning rate."""
    has_own_weight_decay: ClassVar[bool] = False
    """Whether Addons' class itself takes a weight decay, as a part of the step, without the extension that adds one."""
    needs_norms: ClassVar[bool] = False
    """Whether E and Δ depend on norms of the whole tensor: then pieces need `norms`, the sum of `norms_of` all
    pieces."""

    # --- what differs by rule

    @abstractmethod
    def coefficients(self, settings: Settings, dtype: DType, norms: Norms | None = None) -> Coefficients:
        """Return the scalars of the last update of a variable of that dtype. Raises NotDetermined with the reason."""

    def second_moment(self, state: State) -> Array:
        """Return the array under the root of E: v, the maximum of it (AMSGrad), or u (Adamax)."""
        return _required(state.second_moment, "second moment")

    def untouched_value(self, settings: Settings, dtype: DType) -> float:
        """Return what the second accumulator holds where no gradient ever came."""
        return 0.0

    def decrement(self, state: State, settings: Settings, norms: Norms | None, c: Coefficients) -> Array:
        """Return what the last update subtracted from θ, but for weight decay, in upstream's order of operations."""
        raise NotDetermined(f"{self.title}'s state does not determine the last update")

    def silent_factor(self, settings: Settings, c: Coefficients) -> float:
        """Return the factor on E·m of what an update without a gradient subtracts: 1/c1. E and m are those after it.

        Raises NotDetermined if such an update does not follow from the moments.
        """
        one = np.ones(1, np.float32)
        with np.errstate(all="ignore"):
            self.decrement(State(one, one, one, one), settings, None, c)
        return 1 / float(c.first_correction) if c.first_correction else math.nan

    def done_by_rows(self, settings: Settings) -> str:
        """Return what of an update a sparse gradient does only to the rows that it touches, as a verb: `moves`,
        `decays`; empty if all rows change alike."""
        implementation = settings.implementation
        is_by_rows = implementation.is_lazy or (self.is_lazy and implementation.moves_rows_alone)
        return "moves" if is_by_rows else ""

    def is_decayed(self, parameter: str, implementation: Implementation) -> bool:
        """Return whether the implementation's customary set-up applies weight decay to a variable of that name."""
        return True

    # --- what follows from it

    def slots_in(self, implementation: Implementation) -> Mapping[str, tuple[str, ...]]:
        """Return `slots_by_rule`, as far as they hold in that implementation."""
        return self.slots_by_rule

    @property
    def second_slot(self) -> str:
        """Name of the slot that holds its second accumulator."""
        return self.slots["second_moment"][0]

    @property
    def slots_in_tf1(self) -> tuple[str, ...]:
        """Return our names of the slots `X`, `X_1`, .. that TensorFlow 1 keeps under a variable's name."""
        if not self.has_moment_pair:
            return self.traces.slots_in_tf1
        return ("first_moment", self.second_slot, *(("max_second_moment",) if self.has_maximum else ()))

    def slots_in_order(self, count: int) -> tuple[str, ...]:
        """Return our names of that many slots of one variable, in the order in which TensorFlow 1 makes them; none if
        it keeps another number of them."""
        ways = (self.slots_in_tf1, self.traces.more_slots_in_tf1, self.slots_in_tf1[:2], self.slots_in_tf1[:1])
        return next((way for way in ways if len(way) == count), ())

    def hyperparameters_in(self, implementation: Implementation) -> tuple[Hyperparameter, ...]:
        """Return those that the rule has in that implementation."""
        return tuple(h for h in (*self.hyperparameters, *self.more_hyperparameters) if h.is_in(implementation))

    def defaults(self, implementation: Implementation) -> Mapping[str, float]:
        """Return the implementation's default of every hyperparameter that has one (never the learning rate)."""
        found = {h.name: h.default_in(implementation) for h in self.hyperparameters_in(implementation)}
        return {name: value for name, value in found.items() if value is not None}

    def effective_lr(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """Return E: the factor on the bias-corrected first moment in the last update, elementwise, in the state's
        dtype.

        Raises NotDetermined with the reason.
        """
        with np.errstate(all="ignore"):
            second = self.second_moment(state)
            c = self.coefficients(settings, second.dtype, self._norms(state, settings, norms))
            return _quotient(c.numerator, second, c)

    def relative_effective_lr(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """Return E/α: E for a learning rate of 1. float32 for 16-bit variables, whose range E/α exceeds where v = 0.

        The scalars are still those of the variable's dtype. LAMB: NotDetermined without the learning rate, on which the
        norm of the weights before the update depends.
        """
        with np.errstate(all="ignore"):
            second = self.second_moment(state)
            dtype = second.dtype
            if self.needs_norms:
                e = self.effective_lr(state, settings, norms)
                wide = np.dtype(np.float32) if arithmetic.is_half(dtype) else dtype
                rate = arithmetic.learning_rate(settings.learning_rate, settings.implementation, dtype)
                if not rate:
                    raise NotDetermined(f"{self.title}'s E/α is not defined for a learning rate of 0")
                return np.asarray(e.astype(wide, copy=False) / wide.type(rate))
            c = self.coefficients(replace(settings, learning_rate=1.0), dtype)
            if not c.is_adaptive or not arithmetic.is_half(dtype):
                return _quotient(c.numerator, second, c)
            return np.asarray(np.float32(c.numerator) / _denominator(second, c).astype(np.float32))

    def last_update(self, state: State, settings: Settings, norms: Norms | None = None) -> Array:
        """Return Δ = θ_after - θ_before of the last update, elementwise, before θ's own rounding, in the state's dtype.

        It is the change of a variable that the last update reached: one without a gradient doesn't move. Raises
        NotDetermined with the reason, as where rows alone moved.
        """
        if settings.has_sparse_gradient and (verb := self.done_by_rows(settings)):
            raise NotDetermined(
                f"{self.title}, as it is implemented here, {verb} only the rows that a sparse gradient (an "
                "embedding's) touches, and nothing in the file says which rows the last one touched"
            )
        with np.errstate(all="ignore"):
            second = self.second_moment(state)
            norms = self._norms(state, settings, norms)
            c = self.coefficients(settings, second.dtype, norms)
            step = self.decrement(state, settings, norms, c)
            if not c.decay:
                return np.asarray(-step)
            # θ_after = (1 - d)·θ_before - u, solved for θ_before; subtracting two weights would lose the digits of Δ
            if c.decay == 1:
                raise NotDetermined("a weight decay of 1 leaves nothing of the weights before the update")
            if state.value is None:
                raise NotDetermined("weight decay needs the weights, and none in the file are known to be this one's")
            before = (state.value + step) / (type(c.decay)(1) - c.decay)
            return np.asarray(-(step + c.decay * before))

    def bias_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return (c1, c2) = (1 - beta_1**t, 1 - beta_2**t) in `dtype`, rounded as the implementation rounds them."""
        one = dtype.type(1)
        step = self.step(settings)
        if step is None:
            return one, one
        first = arithmetic.beta_correction(settings.beta_1, "beta_1", step, settings.implementation, dtype)
        second = arithmetic.beta_correction(settings.beta_2, "beta_2", step, settings.implementation, dtype)
        return first, second

    def step(self, settings: Settings) -> int | None:
        """Return t; None if the corrections have converged. Raises NotDetermined before the first update, or if it is
        unknown."""
        check_stepped(settings)
        if settings.step is None and not settings.is_converged:
            raise NotDetermined("the number of updates is not known: give the step")
        return settings.step

    def is_epsilon_dominated(self, state: State, settings: Settings) -> Array:
        """Return whether the root in E's denominator is below epsilon, at this rule's place of epsilon; bool,
        elementwise."""
        with np.errstate(all="ignore"):
            second = self.second_moment(state)
            c = self.coefficients(replace(settings, learning_rate=0.0), second.dtype, Norms(1.0, 1.0))
            if not c.is_adaptive:
                return np.zeros(second.shape, bool)
            if c.inner_epsilon:
                return np.asarray(_corrected(second, c) < c.inner_epsilon)
            return np.asarray(_root(_corrected(second, c), c) < c.epsilon)

    def signal_to_noise(self, state: State, settings: Settings) -> Array:
        """Return (m/c1)/√(v/c2), elementwise, at least float32; nan if v = 0. Pure noise gives about √((1-β1)/(1+β1)).

        AMSGrad: with v, not its maximum, so that it stays a statistic of the gradients.
        """
        with np.errstate(all="ignore"):
            m = _required(state.first_moment, "first moment")
            v = _required(state.second_moment, "second moment")
            dtype = np.dtype(np.float32) if arithmetic.is_half(v.dtype) else v.dtype
            c1, c2 = self.statistical_corrections(settings, dtype)
            result = (m.astype(dtype, copy=False) / c1) / np.sqrt(v.astype(dtype, copy=False) / c2)
            return np.asarray(np.where(np.isinf(result), dtype.type(np.nan), result))

    def statistical_corrections(self, settings: Settings, dtype: DType) -> tuple[Scalar, Scalar]:
        """Return (c1, c2) that make m/c1 and v/c2 unbiased, whether or not the rule itself corrects."""
        return self.bias_corrections(settings, dtype)

    def moment_bound(self, settings: Settings) -> float:
        """Return the largest |m|/√v that t gradients can leave behind, by Cauchy and Schwarz; exact arithmetic, no
        slack for rounding.

        |m|² ≤ (1-β1)²/(1-β2) · Σ_{j<t} (β1²/β2)^j · v; t → ∞ if the corrections have converged.
        """
        b1, b2 = arithmetic.known(settings.beta_1, "beta_1"), arithmetic.known(settings.beta_2, "beta_2")
        if not (0 <= b1 < 1 and 0 < b2 < 1):
            return math.inf
        return math.sqrt(geometric_sum(b1 * b1 / b2, self.step(settings)) * (1 - b1) ** 2 / (1 - b2))

    def norms_of(self, state: State, settings: Settings) -> Norms:
        """Return the sums over this piece that `needs_norms` asks for; zeros for all other rules."""
        return Norms()

    def norms_by_blocks(self, state: State, settings: Settings) -> Norms:
        """Return `norms_of` 1-D arrays of any length, a block at a time: what it makes meanwhile stays in the cache."""
        starts = range(0, state.size, _BLOCK)
        return sum((self.norms_of(state.at(slice(s, s + _BLOCK)), settings) for s in starts), Norms())

    def _norms(self, state: State, settings: Settings, norms: Norms | None) -> Norms | None:
        return self.norms_of(state, settings) if self.needs_norms and norms is None else norms


def check_stepped(settings: Settings) -> None:
    """Raise NotDetermined if no update has been made yet."""
    if settings.step is not None and settings.step < 1:
        raise NotDetermined("no update yet: the step is 0" if settings.step == 0 else f"the step is {settings.step}")


def decoupled_decay(settings: Settings, rate: Scalar, dtype: DType) -> Scalar:
    """Return the share of θ that decoupled weight decay removes before the update proper.

    Keras 2.11+ and 3: `var -= var·wd·lr` (`BaseOptimizer._apply_weight_decay`); optax the same, up to rounding
    (`add_decayed_weights`); TensorFlow Addons and tf.contrib: `var
    -= wd·var`, not times the learning rate (`DecoupledWeightDecayExtension._decay_weights_op`). Others have no such
    decay.
    """
    decay = settings.weight_decay
    if not decay:
        return dtype.type(0)
    wd = arithmetic.weight_decay(decay, settings.implementation, dtype)
    return rate * wd if settings.implementation.scales_decay else wd


def required_first_moment(state: State) -> Array:
    """Return m; raises NotDetermined if there is none."""
    return _required(state.first_moment, "first moment")


def _required(array: Array | None, what: str) -> Array:
    if array is None:
        raise NotDetermined(f"the {what} is not in the file")
    return array


def _corrected(second: Array, c: Coefficients) -> Array:
    return np.asarray(second if c.divisor == 1 else second / c.divisor)


def _root(corrected: Array, c: Coefficients) -> Array:
    if c.inner_epsilon:
        return np.asarray(np.sqrt(corrected + c.inner_epsilon))
    return np.asarray(np.sqrt(corrected) if c.has_root else corrected)


def _denominator(second: Array, c: Coefficients) -> Array:
    root = _root(_corrected(second, c), c)
    return np.asarray(root + c.epsilon)


def _quotient(numerator: Scalar, second: Array, c: Coefficients) -> Array:
    if not c.is_adaptive:
        return np.full(second.shape, numerator, second.dtype)
    return np.asarray(numerator / _denominator(second, c))


def geometric_sum(ratio: float, terms: int | None) -> float:
    """Return the sum of ratio**j for j below `terms` (None: without end)."""
    if terms is None:
        return 1 / (1 - ratio) if ratio < 1 else math.inf
    if ratio == 1:
        return float(terms)
    try:
        return (1 - ratio**terms) / (1 - ratio)
    except OverflowError:
        return math.inf
