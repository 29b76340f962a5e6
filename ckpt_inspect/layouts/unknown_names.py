"""State by names that no optimizer's class gives: a user's own optimizer in a TF1 graph. Asked last.

`<variable>/lamb_m` and `<variable>/lamb_v`, or unnamed variables (`Variable_1`, `Variable_2`, ..) of the parameters'
shapes beside them. The arithmetic is in no file, so the rule stays unknown; what there is gets shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from ckpt_inspect.checkpoint import Checkpoint, TensorSpec
from ckpt_inspect.layouts.evidence import is_average, is_flag, is_nonnegative
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading, unique_names
from ckpt_inspect.layouts.graphs import decoded_graph
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.layouts.tf1_groups import AVERAGE, strip_to_variable
from ckpt_inspect.layouts.validation import FLOATS
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.update_rules import optimizer_of_class
from ckpt_inspect.update_rules.implementations import TF1

LAYOUT = "unknown-names"
UNKNOWN = "unknown"
NAMELESS = re.compile(r"^(?:.*/)?Variable(?:_[0-9]{1,9})?$")
NUMBER = re.compile(r"_[0-9]{1,9}(?=/|$)")
OF_AN_OPTIMIZER = re.compile(
    r"^\.?optimi[sz]er|optimi[sz]er$|^(adam|rmsprop|adagrad|momentum|momenta|velocit(y|ies)|accumulator|exp_avg)s?(_[0-9]+)?$",
    re.IGNORECASE,
)
"""Parts of keys that call something an optimizer or a slot of one."""
NUMBERED_MOMENT = re.compile(r"^(m|v|mu|nu|mom|moment|vel)_?[0-9]+$")
"""How a program may call the moments of its first, second, .. weight."""
PAIRS = (("m", "v"), ("mu", "nu"), ("exp_avg", "exp_avg_sq"), ("moment1", "moment2"), ("moment_1", "moment_2"))
"""How people name a first and a second moment, at the end of a name."""
LEAST = 2
"""Variables that must have such slots: one alone may be anything."""


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find slots under the variables' names, else unnamed variables that look like slots."""
    if checkpoint.format not in ("tensor-bundle", "tf1-v1"):
        return []
    return _find_under_variables(checkpoint) or _find_nameless(checkpoint) or _find_numbered(checkpoint)


def _find_under_variables(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    tensors = checkpoint.tensors
    slots: dict[str, dict[str, str]] = {}
    for key in sorted(tensors, key=natural_key):
        stem, _, tail = key.rpartition("/")
        if not stem or tail == AVERAGE or tensors[key].dtype not in FLOATS or tensors[key].shape == ():
            continue
        variable = strip_to_variable(stem, tensors[key].shape, tensors)
        if variable is not None:
            slots.setdefault(variable, {}).setdefault(tail, key)
    by_tails: dict[tuple[str, ...], list[str]] = {}
    for variable, own in slots.items():
        by_tails.setdefault(tuple(own), []).append(variable)
    return [
        _described(checkpoint, tails, {v: slots[v] for v in variables})
        for tails, variables in by_tails.items()
        if len(variables) >= LEAST and _are_slots(checkpoint, tails, {v: slots[v] for v in variables})
    ]


def _are_slots(checkpoint: Checkpoint, tails: Sequence[str], slots: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether the values can be an optimizer's: no averages of the weights, no masks."""
    for tail in tails:
        pairs = [(own[tail], variable) for variable, own in slots.items()]
        if is_average(checkpoint, pairs) is not False or is_flag(checkpoint, [key for key, _ in pairs]):
            return False
    return True


def _described(checkpoint: Checkpoint, tails: Sequence[str], slots: Mapping[str, Mapping[str, str]]) -> FoundOptimizer:
    roles, stem = {tail: tail for tail in tails}, ""
    if (pair := _pair_of(tails)) is not None:
        first, second, stem = pair
        if is_nonnegative(checkpoint, [own[second] for own in slots.values()]):
            roles |= {first: "first_moment", second: "second_moment"}
    is_ordered = len(tails) == 1
    if len(tails) == 2 and roles == {tail: tail for tail in tails}:
        squares = [t for t in tails if is_nonnegative(checkpoint, [own[t] for own in slots.values()])]
        is_ordered = len(squares) == 1
        tails = [*(t for t in tails if t not in squares), *squares] if is_ordered else tails
    named = optimizer_of_class(stem) if stem else None
    advice = f"; if they are {named.name}'s, give --rule {named.name}" if named is not None else ""
    names = unique_names(slots)
    return FoundOptimizer(
        name=stem or tails[0],
        layout=LAYOUT,
        implementation=TF1,
        rule=RuleReading(
            UNKNOWN, "unknown", f"slots {', '.join(tails)} for each variable, which no class names so{advice}"
        ),
        has_numbered_slots=is_ordered,
        parameters=tuple(
            FoundParameter(
                name,
                checkpoint.tensors[variable].shape,
                checkpoint.tensors[next(iter(own.values()))].dtype,
                variable,
                {roles[tail]: own[tail] for tail in tails},
            )
            for name, (variable, own) in zip(names, slots.items(), strict=True)
        ),
    )


def _pair_of(tails: Sequence[str]) -> tuple[str, str, str] | None:
    """Return the two tails that are named as a pair of moments, and what stands before; None if there are none."""
    for first, second in PAIRS:
        for tail in tails:
            stem = tail.removesuffix(first)
            if tail.endswith(first) and (not stem or stem.endswith("_")) and stem + second in tails:
                return tail, stem + second, stem.rstrip("_")
    return None


def _find_nameless(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find two unnamed variables of each named one's shape, of which one has no negative element."""
    tensors = checkpoint.tensors
    floats = {k: s for k, s in tensors.items() if s.dtype in FLOATS and not k.endswith(f"/{AVERAGE}")}
    nameless = sorted((k for k, s in floats.items() if NAMELESS.match(k) and s.shape), key=natural_key)
    named = [k for k, s in floats.items() if not NAMELESS.match(k) and s.shape]
    wanted = Counter(tensors[k].shape for k in nameless)
    has = Counter(tensors[k].shape for k in named)
    if len(named) < LEAST or any(count != 2 * has[shape] for shape, count in wanted.items()) or not wanted:
        return []
    squares = Counter(tensors[k].shape for k in nameless if is_nonnegative(checkpoint, [k]))
    if any(squares[shape] < has[shape] for shape in wanted):
        return []
    counters = [k for k, s in tensors.items() if NAMELESS.match(k) and s.shape == ()]
    counter = f", and {counters[0]}, which may count its updates" if len(counters) == 1 else ""
    what = (
        f"two unnamed variables of each parameter's shape ({nameless[0]} .. {nameless[-1]}){counter}, which look "
        f"like the state of an optimizer written by hand"
    )
    parameters = _paired_by_graph(checkpoint, nameless, named)
    is_ordered = bool(parameters) and is_nonnegative(checkpoint, [p.slots["slot_1"] for p in parameters])
    is_ordered = is_ordered and not is_nonnegative(checkpoint, [p.slots["slot"] for p in parameters])
    return [
        FoundOptimizer(
            name=nameless[0],
            layout=LAYOUT,
            implementation=TF1,
            rule=RuleReading(UNKNOWN, "unknown", what),
            parameters=parameters,
            has_numbered_slots=is_ordered,  # as moments are made, and as values bear out
            absence=None if parameters else f"{what}; nothing in the file says whose they are",
        )
    ]


def _find_numbered(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find tensors `x`, `x_1`, `x_2`, .. that have the shapes of all the others, one of each, as slots have."""
    tensors = checkpoint.tensors
    floats = {k for k, s in tensors.items() if s.dtype in FLOATS and s.shape and not k.endswith(f"/{AVERAGE}")}
    families: dict[str, list[str]] = {}
    for key in floats:
        families.setdefault(NUMBER.sub("", key), []).append(key)
    sizes = Counter(map(len, families.values()))
    for keys in families.values():
        if len(keys) < LEAST or 2 * len(keys) != len(floats):
            continue
        own = sorted(keys, key=natural_key)
        others = floats - set(own)
        shapes, wanted = (Counter(tensors[k].shape for k in some) for some in (own, others))
        is_twin = sizes[len(own)] > 1  # as of a network and its copy
        if len(shapes) < LEAST or shapes != wanted or is_twin:
            continue
        same_shape = [
            (mine, theirs) for mine in own for theirs in others if tensors[mine].shape == tensors[theirs].shape
        ]
        if is_average(checkpoint, same_shape) is not False:
            continue
        what = (
            f"{len(own)} numbered tensors ({own[0]} .. {own[-1]}) have the shapes of the {len(others)} variables, as "
            f"the slots of an optimizer written by hand have"
        )
        return [
            FoundOptimizer(
                name=own[0],
                layout=LAYOUT,
                implementation=TF1,
                rule=RuleReading(UNKNOWN, "unknown", what),
                absence="nothing in the file says what the numbered tensors are",
            )
        ]
    return []


def _paired_by_graph(
    checkpoint: Checkpoint, nameless: Sequence[str], named: Sequence[str]
) -> tuple[FoundParameter, ...]:
    """Return the variables with the unnamed ones of their shape that their updates read; none if a graph doesn't show
    two for each."""
    graph, _ = decoded_graph(checkpoint)
    if graph is None:
        return ()
    tensors: Mapping[str, TensorSpec] = checkpoint.tensors
    read = graph.read_in_updates(frozenset(nameless))
    parameters = []
    for name in sorted(named, key=natural_key):
        shape = tensors[name].shape
        own = sorted((k for k in read.get(name, ()) if tensors[k].shape == shape), key=natural_key)
        if not own:
            continue  # what is not trained has no slots
        if len(own) != 2:
            return ()
        slots = {"slot": own[0], "slot_1": own[1]}
        parameters.append(FoundParameter(name, shape, tensors[own[0]].dtype, name, slots))
    return tuple(parameters)


def suspects(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the tensors that may be an optimizer's where no layout finds one: unnamed variables of which several have
    one shape, keys with a part that is called for an optimizer or a slot, or vectors as long as all weights together;
    none where names rule that out."""
    floats = {k: s for k, s in checkpoint.tensors.items() if s.dtype in FLOATS and s.size > 1}
    shapes = Counter(s.shape for s in floats.values())
    nameless = [k for k, s in floats.items() if NAMELESS.match(k) and shapes[s.shape] > 1]
    called = [
        k
        for k, s in floats.items()
        if any(OF_AN_OPTIMIZER.search(part) for part in k.split("/"))
        or (shapes[s.shape] > 2 and NUMBERED_MOMENT.match(k.removesuffix(KEY_TAIL).rpartition("/")[2]))
    ]
    found = called or (nameless if len(nameless) >= LEAST else ()) or _flattened(floats)
    return tuple(sorted(found, key=natural_key))


def _flattened(tensors: Mapping[str, TensorSpec]) -> list[str]:
    """Return the vectors, and matrices of vectors, that are as long as all the other tensors together, if there are
    several of both: the state of an optimizer that joins all weights to one vector, as contrib's GGT does."""
    of_length: dict[int, list[str]] = {}
    for key, spec in tensors.items():
        if len(spec.shape) <= 2:
            of_length.setdefault(spec.shape[-1], []).append(key)
    total = sum(spec.size for spec in tensors.values())
    for length, flat in of_length.items():
        others = len(tensors) - len(flat)
        if min(len(flat), others) >= LEAST and total - sum(tensors[key].size for key in flat) == length:
            return flat
    return []
