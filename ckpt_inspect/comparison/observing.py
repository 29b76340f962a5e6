"""Open checkpoints -> observations for the inference: numbers at once, chosen elements when they are asked for.

Elements are read by range, and those of a few checkpoints are held at a time.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect import storage
from ckpt_inspect.checkpoint import STRING, Array, Checkpoint, StoredElements, numpy_dtype
from ckpt_inspect.comparison.element_choice import BLOCK, BUDGET, Choice, choose
from ckpt_inspect.comparison.inference.observations import Moments, Observation
from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

TELLABLE = ("beta_1", "beta_2", "epsilon", "learning_rate", "step")
"""Numbers that several checkpoints may tell; if a run's files hold all of them, no element is looked at."""

HELD_BYTES = 26 << 20
"""Elements that are held at a time, of all optimizers and checkpoints together."""

_AT_LEAST = 2
"""Checkpoints whose elements are held, whatever their size: two are compared."""

_FEW_BYTES = 1 << 20
"""So many are read at once, while the checkpoint is open, lest opening it again takes longer."""

_UNPACKED_BYTES = 1 << 26
"""Bytes of compressed arrays, or of arrays in chunks, that are unpacked for the sake of some of their elements."""

FAR_BUDGET = 1 << 15
"""Elements that are chosen in a checkpoint that lies in an object store: there each block is a request."""

_FAR_BYTES, _FAR_SHARE = 1 << 24, 10
"""Bytes that are fetched twice at most, for the sake of some elements in large chunks; and the least ratio of all bytes
to these, where that is more."""

_FAR_BLOCKS, _LARGE_CHUNK = 4, 1 << 18
"""Blocks of a tensor that are chosen there, each of which may lie in a chunk of its own, if these have more bytes."""

_REQUESTS = 8
"""Requests at a time."""

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


def _tensors(parameter: Parameter) -> Tensors | None:
    """None if it has no second moment, or none of numbers."""
    keys = {own: key for own, array in ARRAYS.items() if (key := parameter.key(array)) is not None}
    specs = {own: parameter.checkpoint.tensors.get(key) for own, key in keys.items()}
    size = math.prod(parameter.shape)
    is_sound = all(s is not None and s.size == size and s.is_readable and s.dtype != STRING for s in specs.values())
    return Tensors(size, keys) if "second" in keys and is_sound else None


def _affordable(tensors: Mapping[str, Tensors], checkpoint: Checkpoint) -> dict[str, Tensors]:
    """Those that can be read by range; of those that have to be unpacked for it, a quarter at most, and a tenth if they
    have to be fetched for it as well: one large tensor, which may be an embedding, and the smallest."""
    is_far = _is_far(checkpoint)
    sizes = {name: sum(checkpoint.spec(key).nbytes for key in t.keys.values()) for name, t in tensors.items()}
    least, share = (_FAR_BYTES, _FAR_SHARE) if is_far else (_UNPACKED_BYTES, 4)
    limit = max(least, sum(sizes.values()) // share)
    if is_far:
        sizes = {name: min(size, _far_bytes(tensors[name], checkpoint)) for name, size in sizes.items()}
    if sum(sizes.values()) <= limit:
        return dict(tensors)
    packed = {n for n, t in tensors.items() if not all(checkpoint.is_plain(key) for key in t.keys.values())}
    ascending = sorted(packed, key=lambda name: (sizes[name], name))
    largest = [name for name in ascending if sizes[name] <= limit // 2][-1:]
    taken, nbytes = set(largest), sum(sizes[name] for name in largest)
    for name in ascending:
        if name not in taken and nbytes + sizes[name] <= limit:
            taken.add(name)
            nbytes += sizes[name]
    return {name: t for name, t in tensors.items() if name not in packed or name in taken}


def _far_bytes(tensors: Tensors, checkpoint: Checkpoint) -> int:
    """Return about how many bytes have to be fetched for the elements that are chosen."""
    return sum(_FAR_BLOCKS * checkpoint.chunk_bytes(key) for key in tensors.keys.values())


def _within_chunks(choice: Choice, tensors: Tensors, checkpoint: Checkpoint) -> Choice:
    """Return a choice whose blocks lie in few chunks, where these are large and far away."""
    largest = max(checkpoint.chunk_bytes(key) for key in tensors.keys.values())
    return Choice(choice.size, min(choice.count, _FAR_BLOCKS * BLOCK)) if largest > _LARGE_CHUNK else choice


def _is_far(checkpoint: Checkpoint) -> bool:
    """Whether each range is a request to somewhere else."""
    return any(map(storage.is_far, checkpoint.files[:1]))


def _requests() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # takes a while, and few checkpoints lie far away

    return ThreadPoolExecutor(_REQUESTS)


@dataclass(slots=True)
class HeldElements:
    """The elements that were asked for last, up to a number of bytes; older ones are read again when they are asked
    for."""

    limit: int = HELD_BYTES
    _held: OrderedDict[object, tuple[int, Mapping[str, Moments]]] = field(default_factory=OrderedDict)
    _nbytes: int = 0

    def has_room(self, nbytes: int) -> bool:
        """Return whether so many more bytes push nothing out: what is read ahead would else be read twice."""
        return self._nbytes + nbytes <= self.limit

    def find(self, owner: object) -> Mapping[str, Moments] | None:
        """Return the owner's elements if they are held."""
        return self._held[owner][1] if owner in self._held else None

    def get(self, owner: object, read: Callable[[], Mapping[str, Moments]]) -> Mapping[str, Moments]:
        """Return the owner's elements, as `read` gives them."""
        if owner in self._held:
            self._held.move_to_end(owner)
            return self._held[owner][1]
        found = read()
        self._held[owner] = _nbytes(found), found
        self._nbytes += self._held[owner][0]
        while len(self._held) > _AT_LEAST and self._nbytes > self.limit:
            self._nbytes -= self._held.popitem(last=False)[1][0]
        return found


def joined_values(elements: Mapping[str, Moments], sizes: Mapping[str, int]) -> Array:
    """Return the weights of parameters one after another, so many of each; NaN for those that are not known."""
    found = elements.values_only() if isinstance(elements, ReadElements) else None
    if found is None:
        found = {name: m.value for name, m in elements.items() if m.value is not None}
    found = {name: a for name, a in found.items() if name in sizes and a.dtype.kind in "fV"}
    is_wide = any(a.dtype.itemsize > 4 for a in found.values())
    joined = np.full(sum(sizes.values()), np.nan, np.float64 if is_wide else np.float32)
    start = 0
    for name, size in sizes.items():
        if name in found:
            own = found[name][:size]
            joined[start : start + own.size] = own
        start += size
    return joined


def _nbytes(elements: Mapping[str, Moments]) -> int:
    return sum(a.nbytes for m in elements.values() for a in arrays_of(m).values() if a is not None)


def arrays_of(moments: Moments) -> dict[str, Array | None]:
    """Return the arrays by field."""
    return {name: getattr(moments, name) for name in ARRAYS}


class ReadElements(Mapping[str, Moments]):
    """The chosen elements of one optimizer in one checkpoint, read when one is first looked at.

    What can't be read is as if there were none of it: whoever analyses the checkpoint meets the error again.
    """

    def __init__(self, chosen: ChosenTensors, reopened: OpenAgain, held: HeldElements) -> None:
        self._chosen, self._reopened = chosen, reopened
        self._held, self._token = held, object()
        self._hidden: frozenset[str] = frozenset()
        self._expecting: Checkpoint | None = None

    def __getitem__(self, name: str) -> Moments:
        if name in self._hidden or name not in self._chosen.choices:
            raise KeyError(name)
        return self.read().get(name, Moments())

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._chosen.choices if name not in self._hidden)

    def __len__(self) -> int:
        return len(self._chosen.choices) - len(self._hidden)

    def hide(self, names: Collection[str]) -> None:
        """Leave parameters out that are of another size elsewhere in the run: their elements are not the same ones."""
        self._hidden = frozenset(names)

    def has_room(self, nbytes: int) -> bool:
        """Return whether so many bytes can be held besides what is held."""
        return self._held.has_room(nbytes)

    def read(self) -> Mapping[str, Moments]:
        """Return all that are chosen; at the first time, and when they were let go of, out of the file."""
        return self._held.get(self._token, self._read)

    def values_only(self) -> dict[str, Array]:
        """Return the weights of all that are chosen, and read nothing else."""
        held = self._held.find(self._token)
        found = self._read(("value",)) if held is None else held
        return {n: m.value for n, m in found.items() if m.value is not None and n not in self._hidden}

    def expect(self) -> None:
        """Ask for all that are chosen, and don't wait for them, if they have to come from another machine."""
        with suppress(CkptInspectError):
            self._expect(self._reopened(), self._wanted(tuple(ARRAYS)))

    def _expect(self, checkpoint: Checkpoint, wanted: Iterable[tuple[str, str, str]]) -> None:
        if self._expecting is not checkpoint and _is_far(checkpoint):
            self._expecting = checkpoint
            choices = self._chosen.choices
            ahead = ((key, choices[name]) for _, name, key in wanted if checkpoint.is_fetched_ahead(key))
            checkpoint.expect((key, start, stop) for key, choice in ahead for start, stop, _ in choice.ranges())

    def _wanted(self, arrays: Collection[str]) -> list[tuple[str, str, str]]:
        """Return array, parameter and key of each tensor that some elements are chosen of."""
        tensors = self._chosen.tensors
        # all first moments, then all second ones: so they lie in most files
        return [(own, n, t.keys[own]) for own in arrays for n in self._chosen.choices if own in (t := tensors[n]).keys]

    def _read(self, arrays_wanted: Collection[str] = tuple(ARRAYS)) -> dict[str, Moments]:
        choices, wanted = self._chosen.choices, self._wanted(arrays_wanted)
        try:
            checkpoint = self._reopened()
            self._expect(checkpoint, wanted)
            arrays: dict[str, dict[str, Array]] = {}
            is_far = _is_far(checkpoint)  # there, what is wanted has been asked for by the ranges of its choices
            whole = [] if is_far else [w for w in wanted if choices[w[1]].is_whole]
            for (own, name, _), array in zip(whole, checkpoint.read_many([key for *_, key in whole]), strict=True):
                arrays.setdefault(name, {})[own] = choices[name].in_order(array)
            rest = wanted if is_far else [w for w in wanted if not choices[w[1]].is_whole]

            def read(several: list[tuple[str, str, str]]) -> list[Array]:
                return [read_chosen(checkpoint, key, choices[name]) for _, name, key in several]

            with _requests() if is_far else nullcontext() as pool:
                groups = [rest] if pool is None else _side_by_side(checkpoint, rest)
                results = map(read, groups) if pool is None else pool.map(read, groups)
                for group, found in zip(groups, results, strict=True):
                    for (own, name, _), array in zip(group, found, strict=True):
                        arrays.setdefault(name, {})[own] = array
        except CkptInspectError:
            return {}
        return {name: Moments(**own) for name, own in arrays.items()}


@dataclass(frozen=True, slots=True)
class ChosenTensors:
    """What is looked at in a checkpoint; those of one run mostly share it."""

    tensors: Mapping[str, Tensors]
    """By the parameter's name."""
    choices: Mapping[str, Choice]

    @property
    def nbytes(self) -> int:
        """Return about how many bytes there are to read."""
        return sum(4 * c.count * len(self.tensors[name].keys) for name, c in self.choices.items())

    def values(self) -> dict[str, int]:
        """Return of how many elements of each parameter there are weights."""
        return {name: c.count for name, c in self.choices.items() if "value" in self.tensors[name].keys}


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One optimizer in one checkpoint, before most elements are read."""

    observation: Observation
    is_open: bool
    """Whether other checkpoints could tell something that this one leaves to a default, or unknown."""
    chosen: ChosenTensors
    elements: ReadElements
    """Those of the observation."""

    @classmethod
    def of(
        cls,
        name: str,
        state: OptimizerState,
        reopened: OpenAgain,
        held: HeldElements,
        *,
        like: Glimpse | None = None,
        budget: int = BUDGET,
    ) -> Glimpse:
        """Return what there is to see of a state in the checkpoint of that short name, which is open at present.

        Reads no elements. `like`: of another checkpoint of the run.
        """
        found = ((p, _tensors(p)) for p in state.parameters.values())
        tensors = {p.name: tensors for p, tensors in found if tensors is not None}
        checkpoint = next((p.checkpoint for p in state.parameters.values()), None)
        if checkpoint is not None:
            tensors = _affordable(tensors, checkpoint)
            budget = min(budget, FAR_BUDGET) if _is_far(checkpoint) else budget
        if like is not None and like.chosen.tensors == tensors:
            chosen = like.chosen
        else:
            choices = choose({name: t.size for name, t in tensors.items()}, budget)
            if checkpoint is not None and _is_far(checkpoint):
                choices = {name: _within_chunks(own, tensors[name], checkpoint) for name, own in choices.items()}
            chosen = ChosenTensors(tensors, choices)
        elements = ReadElements(chosen, reopened, held)
        glimpse = cls(_observation(name, state, elements), is_open(state), chosen, elements)
        if glimpse._is_to_be_read:
            elements.expect()
        return glimpse

    @property
    def _is_to_be_read(self) -> bool:
        return self.is_open and self.chosen.nbytes <= _FEW_BYTES and self.elements.has_room(self.chosen.nbytes)

    def read_few(self) -> None:
        """Read the elements if they are few, lest the checkpoint has to be opened again for them."""
        if self._is_to_be_read:
            self.elements.read()


@contextmanager
def reading_behind() -> Iterator[Callable[[Glimpse], Glimpse]]:
    """Give a function that returns a glimpse, and reads the few elements of the one that it was given before: what the
    new one has asked another machine for is under way meanwhile. The last one's are read at the end."""
    before: list[Glimpse] = []

    def take(glimpse: Glimpse) -> Glimpse:
        while before:
            before.pop().read_few()
        before.append(glimpse)
        return glimpse

    yield take
    while before:
        before.pop().read_few()


def _side_by_side(checkpoint: Checkpoint, wanted: Sequence[tuple[str, str, str]]) -> list[list[tuple[str, str, str]]]:
    """Return what is to be read by one thread each. What is in chunks that are fetched ahead is read in their order:
    those who read them side by side would be so far apart that some of what was fetched had to be let go of."""
    chunked: list[tuple[str, str, str]] = []
    alone: list[list[tuple[str, str, str]]] = []
    for each in wanted:
        if checkpoint.is_fetched_ahead(each[2]) and not checkpoint.is_plain(each[2]):
            chunked.append(each)
        else:
            alone.append([each])
    return [chunked, *alone] if chunked else alone


def read_chosen(checkpoint: Checkpoint, key: str, choice: Choice) -> Array:
    """Return (choice.count,) the chosen elements of a tensor, in the choice's order and the file's dtype."""
    if choice.is_whole:
        return choice.in_order(checkpoint.read_range(key, 0, choice.size))
    found = np.empty(choice.count, numpy_dtype(checkpoint.spec(key).dtype))
    if _read_stored(checkpoint.stored_elements(key), choice, found):
        return found
    for start, stop, place in choice.ranges():
        found[place : place + stop - start] = checkpoint.read_range(key, start, stop)
    return found


def _read_stored(stored: StoredElements | None, choice: Choice, out: Array) -> bool:
    """Read the chosen elements out of a file of this machine, and don't checksum them: whoever looks at the whole
    tensor reads them again, and would have to pass over what is checksummed piece by piece. Return whether it could."""
    if stored is None or stored.borrow is not None:
        return False
    width, offset = out.itemsize, stored.offset
    pieces = ((offset + start * width, to * width, (stop - start) * width) for start, stop, to in choice.ranges())
    return storage.read_pieces(stored.descriptor, out.view(np.uint8), pieces)


def observe(glimpses: Sequence[Glimpse]) -> tuple[Observation, ...]:
    """Return the observations of one optimizer over a run, with the same elements in each."""
    sizes: dict[str, int] = {}
    for glimpse in glimpses:
        for name, tensors in glimpse.chosen.tensors.items():
            sizes.setdefault(name, tensors.size)
    for glimpse in glimpses:
        odd = [name for name, tensors in glimpse.chosen.tensors.items() if tensors.size != sizes[name]]
        elements = glimpse.observation.elements
        if odd and isinstance(elements, ReadElements):
            elements.hide(odd)
    return tuple(glimpse.observation for glimpse in glimpses)


def _observation(name: str, state: OptimizerState, elements: Mapping[str, Moments]) -> Observation:
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
        elements=elements,
        others=state.settings.others,
    )
