"""What of two checkpoints is compared with what: optimizers, parameters and tensors, by their names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec, numpy_dtype
from ckpt_inspect.comparison.differences import ParameterDiff, Status, is_integer
from ckpt_inspect.comparison.distances import Window
from ckpt_inspect.comparison.together import Told, states_together
from ckpt_inspect.layouts import weight_names
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.measurement.wording import spoken_name
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState, Parameter, optimizer_states
from ckpt_inspect.state.renaming import have_same_shapes, pair_parameters

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""A serialized description of the objects that were saved, not a part of their state."""

_MOST_NAMED = 3
"""Names that a remark lists."""

_SCALAR_NAMES = re.compile(
    r"(?:.*/)?_?(?:(?:current_|dynamic_)?loss_scale|dynamic_scale|learning_rate|lr|decay|momentum|rho|epsilon|beta_?[12]"
    r"|beta[12]_power|(?:global_|good_)?steps?|step_counter|iterations?|epoch|examples|save_counter|count(?:er)?)",
)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two checkpoints, and what is known of its optimizers."""

    checkpoint: Checkpoint
    states: tuple[OptimizerState, ...]
    told: Told = field(default_factory=lambda: Told(()))


def sides_of(checkpoints: tuple[Checkpoint, Checkpoint], given: Given | None, *, infer: bool) -> list[Side]:
    """Return both, with what they tell together if `infer`."""
    if not infer:
        return [Side(checkpoint, optimizer_states(checkpoint, given)) for checkpoint in checkpoints]
    together = states_together(checkpoints, given)
    return [Side(checkpoint, told.states, told) for checkpoint, told in zip(checkpoints, together, strict=True)]


@dataclass(frozen=True, slots=True)
class OptimizerPair:
    """An optimizer of both; None for the side that has none of that name."""

    a: OptimizerState | None
    b: OptimizerState | None

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names in b -> names in a of parameters that are paired although their names differ."""
    decays: int | None = None
    """How often the moments decayed from a to b, if the two tell; else `steps` counts it."""
    inferred: frozenset[str] = frozenset()
    """Names of what the two together tell."""
    contradictions: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    """Why values of a and of b can't be right, by name."""

    @property
    def name(self) -> str:
        """Return the name that it has in b, if it is there."""
        return (self.b or self.a).name  # type: ignore[union-attr]  # one of the two is always there

    @property
    def steps(self) -> int | None:
        """Return by how many updates the counters differ; None if one isn't known."""
        if self.a is None or self.b is None or self.a.step.value is None or self.b.step.value is None:
            return None
        return int(self.b.step.value) - int(self.a.step.value)


@dataclass(frozen=True, slots=True)
class Job:
    """A row to be filled, and the keys of its tensors in both checkpoints."""

    row: ParameterDiff
    a: Checkpoint
    b: Checkpoint
    tensors: Mapping[str, tuple[str, str]]
    """Keys in a and b of `value` and of each slot variable that both have."""
    parameters: tuple[Parameter, Parameter] | None = None
    window: Window | None = None
    is_refuted: bool = False
    """Whether the two show that the window's beta_2 is not the one that was used, or not in all of its updates."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes there are to read of both."""
        return sum(self.a.tensors[x].nbytes + self.b.tensors[y].nbytes for x, y in self.tensors.values())


def paired_optimizers(a: Side, b: Side) -> tuple[tuple[OptimizerPair, ...], tuple[Problem, ...]]:
    """Return the optimizers in pairs, by name; if each side has a single one, that one with that one."""
    if len(a.states) == len(b.states) == 1 and a.states[0].name != b.states[0].name:
        names = a.states[0].name, b.states[0].name
        problem = Problem(
            "optimizer-renamed",
            f"{a.checkpoint.path} has the one optimizer {names[0]!r}, {b.checkpoint.path} has {names[1]!r}",
            "they are compared with each other",
            "info",
        )
        return (_pair(a, b, a.states[0], b.states[0]),), (problem,)
    of_a, of_b = ({s.name: s for s in side.states} for side in (a, b))
    return tuple(_pair(a, b, of_a.get(n), of_b.get(n)) for n in dict.fromkeys((*of_a, *of_b))), ()


def _pair(a: Side, b: Side, one: OptimizerState | None, two: OptimizerState | None) -> OptimizerPair:
    if one is None or two is None:
        return OptimizerPair(one, two)
    windows = b.told.windows.get(two.name, ())
    decays = windows[0].decays if len(windows) == 1 and windows[0].is_continuous else None
    against = a.told.contradictions.get(one.name, {}), b.told.contradictions.get(two.name, {})
    inferred = frozenset(a.told.inferred.get(one.name, {})) | frozenset(b.told.inferred.get(two.name, {}))
    return OptimizerPair(one, two, decays=decays, contradictions=against, inferred=inferred)


def with_renamed(pairs: tuple[OptimizerPair, ...]) -> tuple[tuple[OptimizerPair, ...], tuple[Problem, ...]]:
    """Return the pairs, with the parameters that go by other names in b."""
    found, problems = [], []
    for pair in pairs:
        renamed = {}
        if pair.a is not None and pair.b is not None:
            of_a, of_b = ({n: p.shape for n, p in state.parameters.items()} for state in (pair.a, pair.b))
            renamed = pair_parameters(of_a, of_b)
        if renamed:
            name, before = next(iter(renamed.items()))
            problems.append(
                Problem(
                    "parameters-renamed",
                    f"{spoken_name(pair.name)}: {len(renamed)} parameters are named differently in the two "
                    f"checkpoints, such as {before} and {name}",
                    "they are assumed to be the same and compared, because their shapes and the structure of their "
                    "names correspond",
                )
            )
        found.append(replace(pair, renamed=renamed))
    return tuple(found), tuple(problems)


def renaming_hint(rows: list[ParameterDiff]) -> Problem | None:
    """Return the remark that what was added and what was removed may differ by their names only, or by the optimizer
    that has them; None if they can't."""
    of_a = {f"{r.optimizer}:{r.parameter}": r.shape_a for r in rows if r.status == "removed" and r.shape_a is not None}
    of_b = {f"{r.optimizer}:{r.parameter}": r.shape_b for r in rows if r.status == "added" and r.shape_b is not None}
    if not have_same_shapes(of_a, of_b):
        return None
    names = sorted({each.partition(":")[2] for each in of_a})
    if names == sorted({each.partition(":")[2] for each in of_b}):
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        return Problem(
            "trained-in-one-only",
            f"in both checkpoints, but not in the same optimizer: {', '.join(names[:_MOST_NAMED])}{more}",
            "listed as added and as removed; a layer that was frozen, or made trainable, is in an optimizer in one "
            "checkpoint only",
            "info",
        )
    return Problem(
        "names-differ",
        f"the {len(of_a)} tensors that were removed and those that were added have the same shapes, so that they may "
        "differ by their names only",
        "they are not compared, because nothing says which corresponds to which: save both checkpoints in one format, "
        "or from models whose layers have names of their own",
        "info",
    )


def is_bookkeeping(row: ParameterDiff, *, has_optimizers: bool) -> bool:
    """Return whether it is a counter, a rate, a loss scale: one number that no optimizer trains, and no parameter."""
    shapes = {row.shape_a, row.shape_b} - {None}
    if row.optimizer or not shapes <= {(), (1,)}:
        return False
    dtype = row.dtype_b or row.dtype_a or ""
    is_named = _SCALAR_NAMES.fullmatch(row.parameter) is not None
    return is_integer(dtype) or is_named or (shapes == {()} and has_optimizers)


def jobs_of(a: Side, b: Side, optimizers: tuple[OptimizerPair, ...]) -> Iterator[Job]:
    """Yield a job for each parameter of the optimizers that both have, then one for each tensor that no such pair
    covers."""
    covered_a: set[str] = {OBJECT_GRAPH, *_opaque_keys(a)}
    covered_b: set[str] = {OBJECT_GRAPH, *_opaque_keys(b)}
    for pair in optimizers:
        for state, covered in ((pair.a, covered_a), (pair.b, covered_b)):
            if state is not None:
                covered |= _own_keys(state, with_weights=pair.a is not None and pair.b is not None)
        if pair.a is None or pair.b is None:
            continue
        taken = set(pair.renamed.values())
        only_a = [name for name in pair.a.parameters if name not in taken and name not in pair.b.parameters]
        for name in (*pair.b.parameters, *only_a):
            yield _parameter_job(a, b, pair, name)
    names_a, names_b = _names(a), _names(b)
    shown = names_a | names_b
    specs_a = {key: spec for key, spec in a.checkpoint.tensors.items() if key not in covered_a}
    specs_b = {key: spec for key, spec in b.checkpoint.tensors.items() if key not in covered_b}
    for key_a, key_b in bare_pairs(specs_a, specs_b, names_a, names_b):
        key = key_b or key_a or ""
        in_a, in_b = specs_a[key_a] if key_a else None, specs_b[key_b] if key_b else None
        name = (names_b if key_b else names_a).get(key) or shown.get(key, key.removesuffix(KEY_TAIL))
        row = _bare_row("", name, in_a, in_b)
        tensors = {"value": (key_a, key_b)} if key_a and key_b and row.status == "same" else {}
        yield Job(row, a.checkpoint, b.checkpoint, tensors)


def _names(side: Side) -> dict[str, str]:
    """Return the names of the side's weights by key, where they differ from it: of those that an optimizer trains, and
    of those that it doesn't."""
    trained = {
        p.found.value: p.name for state in side.states for p in state.parameters.values() if p.found.value is not None
    }
    return weight_names(side.checkpoint) | trained


def bare_pairs(
    a: Mapping[str, TensorSpec], b: Mapping[str, TensorSpec], names_a: Mapping[str, str], names_b: Mapping[str, str]
) -> Iterator[tuple[str | None, str | None]]:
    """Yield the keys of the same tensor: by the names that both sides have for it, else by the key; None for a side
    that has no such tensor."""
    named_a = {name: key for key, name in names_a.items() if key in a}
    left = dict.fromkeys(a)
    for key in b:
        name = names_b.get(key)
        found = named_a.get(name) if name is not None else None
        if found is None and (name is None or key not in names_a):
            found = key
        if found not in left:
            yield None, key
            continue
        del left[found]
        yield found, key
    for key in left:
        yield key, None


def _opaque_keys(side: Side) -> list[str]:
    """Keys of what is not an array of numbers, such as the state of a dataset's iterator."""
    return [key for key, spec in side.checkpoint.tensors.items() if not spec.is_readable]


def opaque_problems(sides: Sequence[Side]) -> tuple[Problem, ...]:
    """Return the remark on tensors that are not arrays of numbers, if there are any."""
    keys = dict.fromkeys(key for side in sides for key in _opaque_keys(side))
    tensors = [side.checkpoint.tensors[key] for key in keys for side in sides if key in side.checkpoint.tensors]
    if not keys:
        return ()
    types = " and ".join(sorted({spec.dtype for spec in tensors if not spec.is_readable}))
    names = ", ".join(key.removesuffix(KEY_TAIL) for key in keys)
    what = f"of type {types}, which is not an array of numbers: {names}"
    return (Problem("not-comparable", what, "what is of that type is not compared; everything else is", "info"),)


def _own_keys(state: OptimizerState, *, with_weights: bool) -> set[str]:
    """Keys that the optimizer's own diff speaks for; weights only if parameters are paired."""
    keys: set[str] = set(state.keys)
    for parameter in state.parameters.values():
        keys |= set(parameter.found.slots.values())
        if with_weights and parameter.found.value:
            keys.add(parameter.found.value)
    return keys


def _parameter_job(a: Side, b: Side, pair: OptimizerPair, name: str) -> Job:
    assert pair.a is not None and pair.b is not None
    one, two = pair.a.parameters.get(pair.renamed.get(name, name)), pair.b.parameters.get(name)
    row = _bare_row(pair.name, name, one, two)
    if one is None or two is None or row.status != "same":
        return Job(row, a.checkpoint, b.checkpoint, {})
    tensors = {s: (one.found.slots[s], two.found.slots[s]) for s in one.found.slots if s in two.found.slots}
    if one.found.value and two.found.value:
        tensors = {"value": (one.found.value, two.found.value)} | tensors
    if set(one.found.slots) != set(two.found.slots) or bool(one.found.value) != bool(two.found.value):
        row = replace(row, status="changed")
    window = None
    is_refuted = "beta_2" in pair.contradictions[1]
    rule = pair.b.update_rule
    is_lazy = rule is None or rule.is_lazy or pair.b.settings.implementation.is_lazy
    has_window = rule is not None and rule.has_squared_gradients and rule.decays_by_beta_2 and not is_lazy
    if has_window and "second_moment" in tensors:
        beta_2 = pair.b.hyperparameters.get("beta_2")
        dtype = b.checkpoint.tensors[tensors["second_moment"][1]].dtype
        if beta_2 is not None and beta_2.value is not None and pair.steps and pair.steps > 0:
            least = min(beta_2.value, _told_beta_2(pair.a, beta_2.value))
            is_refuted |= least < beta_2.value  # it changed somewhere in between
            window = Window.between(pair.decays or pair.steps, least, numpy_dtype(dtype))
    return Job(row, a.checkpoint, b.checkpoint, tensors, (one, two), window, is_refuted=is_refuted)


def _told_beta_2(state: OptimizerState, otherwise: float) -> float:
    """The β2 of a state; `otherwise` if it is assumed, unknown or the same to float32."""
    told = state.hyperparameters.get("beta_2")
    if told is None or told.is_assumed or told.value is None or math.isclose(told.value, otherwise, rel_tol=1e-6):
        return otherwise
    return told.value


def _bare_row(
    optimizer: str, name: str, a: TensorSpec | Parameter | None, b: TensorSpec | Parameter | None
) -> ParameterDiff:
    """Return what names and shapes show; `same` until the elements say otherwise."""
    status: Status = "same"
    if a is None:
        status = "added"
    elif b is None:
        status = "removed"
    elif a.shape != b.shape:
        status = "reshaped"
    return ParameterDiff(
        optimizer, name, status,
        a.shape if a else None, b.shape if b else None, a.dtype if a else None, b.dtype if b else None,
    )  # fmt: skip
