"""Open checkpoints -> observations for the inference: numbers at once, chosen elements when they are asked for.

Elements are read by range, and those of a few checkpoints are held at a time.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, numpy_dtype
from ckpt_inspect.comparison.element_choice import BUDGET, Choice, choose
from ckpt_inspect.comparison.inference import Moments, Observation
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter

TELLABLE = ("beta_1", "beta_2", "epsilon", "learning_rate", "step")
"""Numbers that several checkpoints may tell; if a run's files hold all of them, no element is looked at."""

HELD_BYTES = 192 << 20
"""Elements that are held at a time, of all optimizers and checkpoints together; of at least two checkpoints."""

ARRAYS = {"first": "first_moment", "second": "second_moment", "max_second": "max_second_moment", "value": "value"}
"""Fields of `Moments` -> fields of `State`."""

OpenAgain = Callable[[], Checkpoint]
"""Returns the checkpoint, open, whenever elements of it are wanted; whoever gave it closes it."""


def is_open(state: OptimizerState) -> bool:
    """Return whether other checkpoints could tell something that this one leaves to a default, or unknown."""
    if state.update_rule is None or not state.is_adam or not state.parameters:
        return False
    numbers = {"step": state.step, **state.hyperparameters}
    return any(numbers[name].is_assumed for name in TELLABLE if name in numbers)


@dataclass(frozen=True, slots=True)
class Tensors:
    """Where a parameter's arrays lie in one checkpoint."""

    size: int
    keys: Mapping[str, str]
    """Key of each field of `Moments` that the file has."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One optimizer in one checkpoint, before its elements are read."""

    observation: Observation
    """Without elements."""
    is_open: bool
    """Whether other checkpoints could tell something that this one leaves to a default, or unknown."""
    tensors: Mapping[str, Tensors]
    """By the parameter's name."""
    reopened: OpenAgain

    @classmethod
    def of(cls, name: str, state: OptimizerState, reopened: OpenAgain) -> Glimpse:
        """Return what there is to see of a state in the checkpoint of that short name; reads nothing."""
        found = ((p, _tensors(p)) for p in state.parameters.values())
        tensors = {p.name: tensors for p, tensors in found if tensors is not None}
        return cls(_observation(name, state), is_open(state), tensors, reopened)

    def like(self, other: Glimpse) -> Glimpse:
        """Return the same, with the other's list of tensors if it says the same: checkpoints of a run share one."""
        return replace(self, tensors=other.tensors) if self.tensors == other.tensors else self


def _tensors(parameter: Parameter) -> Tensors | None:
    """None if it has no second moment, or none of numbers."""
    keys = {own: key for own, array in ARRAYS.items() if (key := parameter.key(array)) is not None}
    specs = {own: parameter.checkpoint.tensors.get(key) for own, key in keys.items()}
    size = math.prod(parameter.shape)
    is_sound = all(s is not None and s.size == size and s.is_readable and s.dtype != STRING for s in specs.values())
    return Tensors(size, keys) if "second" in keys and is_sound else None


@dataclass(slots=True)
class HeldElements:
    """The elements that were asked for last, up to a number of bytes; older ones are read again when they are asked
    for."""

    limit: int = HELD_BYTES
    _held: OrderedDict[object, Mapping[str, Moments]] = field(default_factory=OrderedDict)

    def get(self, owner: object, read: Callable[[], Mapping[str, Moments]]) -> Mapping[str, Moments]:
        """Return the owner's elements, as `read` gives them."""
        if owner in self._held:
            self._held.move_to_end(owner)
            return self._held[owner]
        self._held[owner] = found = read()
        while len(self._held) > 2 and sum(map(_nbytes, self._held.values())) > self.limit:
            self._held.popitem(last=False)
        return found


def _nbytes(elements: Mapping[str, Moments]) -> int:
    return sum(a.nbytes for m in elements.values() for a in arrays_of(m).values() if a is not None)


def arrays_of(moments: Moments) -> dict[str, Array | None]:
    """Return the arrays by field."""
    return {name: getattr(moments, name) for name in ARRAYS}


class ReadElements(Mapping[str, Moments]):
    """The chosen elements of one optimizer in one checkpoint, read when one is first looked at.

    What can't be read is as if there were none of it: whoever analyses the checkpoint meets the error again.
    """

    def __init__(self, glimpse: Glimpse, choices: Mapping[str, Choice], held: HeldElements) -> None:
        """`choices` of the run; a tensor of another size than the run's has none in common with it."""
        self._glimpse = glimpse
        sizes = {name: tensors.size for name, tensors in glimpse.tensors.items()}
        self._choices = {name: choice for name, choice in choices.items() if sizes.get(name) == choice.size}
        self._held, self._token = held, object()

    def __getitem__(self, name: str) -> Moments:
        if name not in self._choices:
            raise KeyError(name)
        return self._held.get(self._token, self._read).get(name, Moments())

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def _read(self) -> dict[str, Moments]:
        try:
            checkpoint = self._glimpse.reopened()
            tensors = self._glimpse.tensors
            # all first moments, then all second ones: so they lie in most files
            wanted = [(own, n, tensors[n].keys[own]) for own in ARRAYS for n in self._choices if own in tensors[n].keys]
            arrays: dict[str, dict[str, Array]] = {}
            for own, name, key in wanted:
                arrays.setdefault(name, {})[own] = read_chosen(checkpoint, key, self._choices[name])
        except CkptInspectError:
            return {}
        return {name: Moments(**own) for name, own in arrays.items()}


def read_chosen(checkpoint: Checkpoint, key: str, choice: Choice) -> Array:
    """Return (choice.count,) the chosen elements of a tensor, in the choice's order and the file's dtype."""
    if choice.count == choice.size:
        whole = checkpoint.read_range(key, 0, choice.size)
        return whole if len(choice.ranges()) == 1 else whole[choice.indices()]
    found = np.empty(choice.count, numpy_dtype(checkpoint.spec(key).dtype))
    for start, stop, place in choice.ranges():
        found[place : place + stop - start] = checkpoint.read_range(key, start, stop)
    return found


def observe(
    glimpses: Sequence[Glimpse], held: HeldElements | None = None, budget: int = BUDGET
) -> tuple[Observation, ...]:
    """Return the observations of one optimizer over a run, with the same elements in each; reads nothing yet."""
    sizes: dict[str, int] = {}
    for glimpse in glimpses:
        for name, tensors in glimpse.tensors.items():
            sizes.setdefault(name, tensors.size)
    choices = choose(sizes, budget)
    held = held or HeldElements()
    return tuple(replace(g.observation, elements=ReadElements(g, choices, held)) for g in glimpses)


def _observation(name: str, state: OptimizerState) -> Observation:
    return Observation(
        checkpoint=name,
        rule=state.rule_source,
        update_rule=state.update_rule,
        implementation=state.settings.implementation,
        layout=state.layout,
        step=state.step,
        raw_step=state.raw_step,
        counted=state.counted,
        hyperparameters=state.hyperparameters,
        moves_by_itself=state.moves_by_itself,
        elements={},
        others=state.settings.others,
    )
