"""optax' states in the tree of an Orbax folder: `<state>.{count, mu.<path>, nu.<path>}` and their kin, wherever they lie.

A state is a node whose children are named as a NamedTuple of optax names its fields; those that are as large as the
parameters repeat the parameters' tree, which is how the parameters are found. `chain` adds a level of indices,
`inject_hyperparams` (`hyperparams.*`, `inner_state`), `multi_transform` (`inner_states.<label>.inner_state`),
`MultiSteps` (`inner_opt_state`) and other wrappers one of names. The class's name is not saved, so that several rules
leave the same names behind; what follows a state in its chain and what is injected narrows it down. Betas, epsilon and
rate are in no file unless they are injected.

Sources: optax/_src/{transform,alias,combine,wrappers}.py, optax/schedules/_inject.py, optax/transforms/_masking.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ckpt_inspect.checkpoint import Checkpoint, Problem, SavedTree
from ckpt_inspect.layouts.evidence import tell_adamax
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading, unique_names
from ckpt_inspect.update_rules import USUAL_RULE, rules_of
from ckpt_inspect.update_rules.implementations import OPTAX

LAYOUT = "optax"
UNKNOWN = "unknown"

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A NamedTuple of optax' that holds something for each parameter."""

    fields: frozenset[str]
    """All of its fields."""
    slots: Mapping[str, str]
    """Our name of each field that repeats the parameters' tree."""
    rule: str
    """What it is read as if nothing says more; `unknown` if there is no name for it here."""
    counter: str = ""


def _kind(fields: str, rule: str, **slots: str) -> Kind:
    names = frozenset(fields.split())
    return Kind(names, slots, rule, next((c for c in ("count", "t") if c in names), ""))


KINDS = (
    _kind("count mu nu", USUAL_RULE.name, mu="first_moment", nu="second_moment"),
    _kind("count mu nu nu_max", "amsgrad", mu="first_moment", nu="second_moment", nu_max="max_second_moment"),
    _kind("count mu", "lion", mu="momentum"),
    _kind("trace", "sgd", trace="trace"),
    _kind("nu", "rmsprop", nu="mean_square"),
    _kind("mu nu", "rmsprop", mu="mean_gradient", nu="mean_square"),
    _kind("sum_of_squares", "adagrad", sum_of_squares="accumulator"),
    _kind("e_g e_x", "adadelta", e_g="e_g", e_x="e_x"),
    _kind("count v_row v_col v", "adafactor", v="v"),
    _kind("m v n g t", UNKNOWN, m="m", v="v", n="n", g="g"),
    _kind("count nu", UNKNOWN, nu="nu"),
)
"""optax/_src/transform.py: ScaleByAdamState, ..AmsgradState, ..LionState, TraceState, ScaleByRmsState,
..RStdDevState, ..RssState, ..AdaDeltaState, FactoredState, ScaleByAdanState, ScaleByRmsWithCountState."""

INDEX = re.compile(r"[0-9]+")
STRUCTURE = frozenset({"inner_state", "inner_states", "inner_opt_state", "base_optimizer_state", "opt_state", "tx"})
"""Keys between a program's own name of an optimizer and its states."""
OPTIMIZER_KEYS = re.compile(r"opt|tx|optim|optimi[sz]er")
NOT_THE_WEIGHTS = re.compile(r"ema|avg|average|target|shadow|slow|best|old|previous|grad|init", re.IGNORECASE)
HYPERPARAMS, INNER = "hyperparams", "inner_state"
INJECTED = {
    "learning_rate": "learning_rate", "b1": "beta_1", "b2": "beta_2", "eps": "epsilon", "eps_root": "epsilon_root",
    "weight_decay": "weight_decay", "threshold": "threshold", "decay": "rho", "momentum": "momentum",
}  # fmt: skip
"""Our name of each argument of optax' functions that may be injected."""
BELIEF_EPSILONS = 1e-16
"""Both of `optax.adabelief`'s defaults; no other function has them."""
VARIABLE = "value"
"""The key under which flax.nnx keeps a variable's array."""


@dataclass(slots=True)
class Node:
    """A node of the saved tree."""

    path: Path
    children: dict[str, Node] = field(default_factory=dict)
    tensor: str | None = None
    """Name of its tensor, of a leaf."""

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is in it."""
        return self.tensor is None and all(child.is_empty for child in self.children.values())

    def leaves(self) -> Iterator[tuple[Path, str]]:
        """Yield the path from here and the tensor of every leaf."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if node.tensor is not None:
                yield node.path[len(self.path) :], node.tensor
            waiting += reversed(node.children.values())

    def at(self, path: Path) -> Node | None:
        """Return the node at a path from here; None if there is none."""
        node: Node | None = self
        for key in path:
            node = node.children.get(key) if node is not None else None
        return node


@dataclass(frozen=True, slots=True)
class State:
    """A node that is a state of optax', with what it repeats of the parameters."""

    node: Node
    kind: Kind
    slots: Mapping[Path, Mapping[str, str]]
    """Parameter's path in the tree that the state repeats -> our name of the slot -> its tensor."""
    odd: tuple[str, ...] = ()
    """Fields that are not shaped as the others are."""


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find every optimizer whose states are in the tree."""
    tree = checkpoint.saved_tree()
    if tree is None:
        return []
    root = _grown(tree)
    chains: dict[Path, list[State]] = {}
    for state in _states(checkpoint, root):
        chains.setdefault(_chain_of(state.node.path), []).append(state)
    names = [_name_of(path) for path in chains]
    return [
        _read_optimizer(checkpoint, root, name, states)
        for name, states in zip(unique_names(names), chains.values(), strict=True)
    ]


def _grown(tree: SavedTree) -> Node:
    """Return the tree's root; of flax.nnx' variables the arrays stand for the variables."""
    paths = dict(tree.paths)
    if any(path[-2:] == ("count", VARIABLE) for path in paths.values()):
        paths = {name: path[:-1] if path[-1] == VARIABLE and len(path) > 1 else path for name, path in paths.items()}
    root = Node(())
    for path in tree.empty:
        _node_at(root, path)
    for name, path in paths.items():
        node = _node_at(root, path)
        node.tensor = node.tensor or name
    return root


def _node_at(root: Node, path: Path) -> Node:
    node = root
    for i, key in enumerate(path):
        if key not in node.children:
            node.children[key] = Node(path[: i + 1])
        node = node.children[key]
    return node


# --- which nodes are states


def _states(checkpoint: Checkpoint, root: Node) -> Iterator[State]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        state = _state(checkpoint, node)
        if state is not None:
            yield state
        else:
            waiting += reversed(node.children.values())


def _state(checkpoint: Checkpoint, node: Node) -> State | None:
    """Return the state that a node is; None for any other node, a layer named `mu` among them."""
    kind = next((k for k in KINDS if k.fields == node.children.keys()), None)
    if kind is None or not _is_among_states(node.path):
        return None
    if kind.counter and not _is_count(checkpoint, node.children[kind.counter]):
        return None
    fields = {name: dict(node.children[name].leaves()) for name in kind.slots}
    first = fields[next(iter(kind.slots))]
    if not first:
        return None
    shapes = {path: checkpoint.tensors[name].shape for path, name in first.items()}
    odd = tuple(name for name, own in fields.items() if not _repeats(checkpoint, own, shapes))
    slots = {
        path: {
            kind.slots[name]: own[path] for name, own in fields.items() if path in own and (name not in odd)
        }
        for path in first
    }
    return State(node, kind, slots, odd)


def _repeats(checkpoint: Checkpoint, leaves: Mapping[Path, str], shapes: Mapping[Path, tuple[int, ...]]) -> bool:
    return {path: checkpoint.tensors[name].shape for path, name in leaves.items()} == shapes


def _is_count(checkpoint: Checkpoint, node: Node) -> bool:
    if node.tensor is None:
        return False
    spec = checkpoint.tensors[node.tensor]
    return prod(spec.shape) == 1 and "int" in spec.dtype


def _is_among_states(path: Path) -> bool:
    """Return whether a path can lead to a state: it is a chain's link, or lies under what is named for one."""
    return not path or bool(INDEX.fullmatch(path[-1])) or any(_names_optimizer(key) for key in path)


def _names_optimizer(key: str) -> bool:
    return key in STRUCTURE or bool(OPTIMIZER_KEYS.search(key.lower()))


def _chain_of(path: Path) -> Path:
    return path[:-1] if path and INDEX.fullmatch(path[-1]) else path


def _name_of(path: Path) -> str:
    """Return the keys that are the program's own; the structure's name if there are none."""
    own = [key for key in path if not INDEX.fullmatch(key) and key not in STRUCTURE]
    if own:
        return "/".join(own)
    return next((key for key in path if key in STRUCTURE), "optimizer")


# --- what a chain of states is


def _read_optimizer(checkpoint: Checkpoint, root: Node, name: str, states: Sequence[State]) -> FoundOptimizer:
    main = next((s for s in states if s.kind.rule not in (UNKNOWN, "sgd")), states[0])
    injected, scalars = _injected(checkpoint, root, main.node.path)
    links = _links_after(root, main.node.path)
    problems: list[Problem] = []
    rule = _read_rule(checkpoint, main, states, injected, links)
    if any(link == "masked" for link in links) and "weight_decay" in scalars:
        del scalars["weight_decay"]
        problems.append(
            Problem(
                "decay-masked",
                f"{name}: a mask says which variables are decayed, and no file holds it",
                "the weight decay is left unknown; give it to have it applied to all",
                "info",
            )
        )
    parameters = _parameters(checkpoint, root, name, main, states, rule, problems)
    counter = main.node.children.get(main.kind.counter) if main.kind.counter else None
    return FoundOptimizer(
        name=name,
        layout=LAYOUT,
        implementation=OPTAX,
        rule=rule,
        parameters=tuple(parameters),
        counter=counter.tensor if counter is not None else None,
        scalars=scalars,
        has_scheduled_rate="learning_rate" not in scalars and "schedule" in links,
        problems=tuple(problems),
    )


def _injected(checkpoint: Checkpoint, root: Node, path: Path) -> tuple[frozenset[str], dict[str, str]]:
    """Return the names that `inject_hyperparams` injected around a state, and the keys of those that this package
    has a name for; without a rate that what follows in an outer chain may scale."""
    for depth in range(len(path), -1, -1):
        node = root.at(path[:depth])
        if node is None or HYPERPARAMS not in node.children or path[depth : depth + 1] != (INNER,):
            continue
        own = {key: leaf for key, leaf in node.children[HYPERPARAMS].children.items() if leaf.tensor is not None}
        scalars = {INJECTED[key]: leaf.tensor for key, leaf in own.items() if key in INJECTED and leaf.tensor}
        if _links_after(root, path[:depth]):
            scalars.pop("learning_rate", None)
        return frozenset(own), scalars
    return frozenset(), {}


def _links_after(root: Node, path: Path) -> list[str]:
    """Return what follows a link in its chain: `empty` (stateless), `masked` (stateless under a mask), `schedule` (a
    count alone) or `state`."""
    chain = root.at(path[:-1]) if path and INDEX.fullmatch(path[-1]) else None
    if chain is None:
        return []
    after = sorted((int(k), n) for k, n in chain.children.items() if INDEX.fullmatch(k) and int(k) > int(path[-1]))
    return [_link(node) for _, node in after]


def _link(node: Node) -> str:
    if node.is_empty:
        return "masked" if INNER in node.children else "empty"
    return "schedule" if list(node.children) == ["count"] else "state"


def _read_rule(
    checkpoint: Checkpoint, main: State, states: Sequence[State], injected: frozenset[str], links: Sequence[str]
) -> RuleReading:
    fields = ", ".join(sorted(main.kind.fields))
    others = [s for s in states if s is not main]
    is_momentum = main.kind.rule == "rmsprop" and all(s.kind.rule == "sgd" for s in others)
    if main.odd or main.kind.rule == UNKNOWN or (others and not is_momentum):
        chained = f", in a chain with {len(others)} more states" if others else ""
        return RuleReading(UNKNOWN, "unknown", f"a state of {fields}{chained}, which no rule here is known to keep so")
    if main.kind.rule != USUAL_RULE.name:
        source = "default" if main.kind.rule == "lion" else "checkpoint"
        where = f"a state of {fields}"
        return RuleReading(main.kind.rule, source, where)  # type: ignore[arg-type]
    return _read_adam(checkpoint, main, injected, links)


def _read_adam(checkpoint: Checkpoint, main: State, injected: frozenset[str], links: Sequence[str]) -> RuleReading:
    """Read the rule of a count and a pair of moments, which many of optax' rules keep alike."""
    where = "a count, mu and nu, as several of optax' rules keep them"
    pairs = [(own["first_moment"], own["second_moment"]) for own in main.slots.values()]
    between = [link for link in links[:-1] if link in ("empty", "masked")] if links else []
    if "threshold" in injected:
        return RuleReading("radam", "checkpoint", "the threshold that is injected is that of optax.radam alone")
    if "weight_decay" in injected:
        name = "lamb" if len(links) == 3 else "adamw"
        return RuleReading(name, "inferred", f"{where}; weight_decay is injected, and {len(links)} links follow")
    if len(between) >= 2 and "schedule" not in links[:-1]:
        told = f"{where}; {len(links)} more links follow in the chain, as after LAMB's and some AdamW's: give the rule"
        return RuleReading(UNKNOWN, "unknown", told, ("lamb", "adamw"))
    if between:
        told = f"{where}; a stateless link follows before the rate, as the weight decay of AdamW does"
        return RuleReading("adamw", "default", told, (USUAL_RULE.name, *_alike()))
    if injected and "eps_root" not in injected and {"b1", "b2", "eps"} <= injected:
        told_adamax = tell_adamax(checkpoint, RuleReading(USUAL_RULE.name, "default", where, ("adamax",)), pairs)
        if told_adamax.name == "adamax":
            return told_adamax
        rest = (*told_adamax.alternatives, "yogi")
        return RuleReading(UNKNOWN, "unknown", f"{where}; what is injected is what {' and '.join(rest)} take", rest)
    if _has_belief_epsilons(checkpoint, main, injected):
        return RuleReading("adabelief", "inferred", "eps and eps_root are both 1e-16, as optax.adabelief alone has them")
    return tell_adamax(checkpoint, RuleReading(USUAL_RULE.name, "default", where, _alike()), pairs)


def _alike() -> tuple[str, ...]:
    """Return the rules whose states look as Adam's do."""
    pairs = [r.name for r in rules_of(OPTAX) if r.has_moment_pair and not r.has_maximum and not r.needs_norms]
    return tuple(name for name in (*pairs, "yogi") if name not in (USUAL_RULE.name, USUAL_RULE.with_decay))


def _has_belief_epsilons(checkpoint: Checkpoint, main: State, injected: frozenset[str]) -> bool:
    return False


# --- whose they are


def _parameters(
    checkpoint: Checkpoint,
    root: Node,
    name: str,
    main: State,
    states: Sequence[State],
    rule: RuleReading,
    problems: list[Problem],
) -> list[FoundParameter]:
    base = _find_parameters(checkpoint, root, name, main, problems)
    labels = unique_names("/".join(path) or (base.path[-1] if base and base.path else name) for path in main.slots)
    parameters = []
    for label, (path, own) in zip(labels, main.slots.items(), strict=True):
        slots = dict(own)
        for other in states:
            if other is not main:
                slots |= {slot: key for slot, key in other.slots.get(path, {}).items() if slot not in slots}
        spec = checkpoint.tensors[next(iter(own.values()))]
        found = base.at(path) if base is not None else None
        parameters.append(FoundParameter(label, spec.shape, spec.dtype, found.tensor if found else None, slots))
    return parameters


def _find_parameters(
    checkpoint: Checkpoint, root: Node, name: str, main: State, problems: list[Problem]
) -> Node | None:
    """Return the node whose tree the state repeats: same paths, same shapes, outside of the optimizer's states; None
    if there is none, or none that is likelier than others."""
    top = _top_of_states(main.node.path)
    wanted = {path: checkpoint.tensors[next(iter(own.values()))].shape for path, own in main.slots.items()}
    probe = max(wanted, key=len)
    bases = []
    for path, tensor in root.leaves():
        base = path[: len(path) - len(probe)]
        is_outside = base[: len(top)] != top
        if is_outside and path[len(base) :] == probe and checkpoint.tensors[tensor].shape == wanted[probe]:
            node = root.at(base)
            if node is not None and all(_holds(checkpoint, node, p, shape) for p, shape in wanted.items()):
                bases.append(node)
    ranked = sorted((_rank(node.path, top), node.path) for node in bases)
    if not ranked:
        return None
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
        shown = " and ".join("/".join(path) for _, path in ranked[:2])
        problems.append(
            Problem(
                "association-open",
                f"{name}: {len(ranked)} trees have the paths and shapes of its moments, {shown} among them",
                "the moments are reported without weights",
            )
        )
        return None
    return root.at(ranked[0][1])


def _holds(checkpoint: Checkpoint, base: Node, path: Path, shape: tuple[int, ...]) -> bool:
    node = base.at(path)
    return node is not None and node.tensor is not None and checkpoint.tensors[node.tensor].shape == shape


def _rank(base: Path, top: Path) -> tuple[int, int, int]:
    """Return what is least for the likeliest tree of parameters: nearest to the states, named for them, shallowest."""
    shared = next((i for i, (a, b) in enumerate(zip(base, top, strict=False)) if a != b), min(len(base), len(top)))
    is_other = any(NOT_THE_WEIGHTS.search(key) for key in base)
    return (-shared, 2 if is_other else 0 if "params" in base else 1, len(base))


def _top_of_states(path: Path) -> Path:
    """Return the node under which all of an optimizer's states lie."""
    named = next((i for i, key in enumerate(path) if _names_optimizer(key)), None)
    if named is not None:
        return path[: named + 1]
    while len(path) > 1 and INDEX.fullmatch(path[-1]):
        path = path[:-1]
    return path


