"""optax' states in the tree of an Orbax folder: `<state>.{count, mu.<path>, nu.<path>}` and their kin, anywhere in it.

A state is a node whose children are named as a NamedTuple of optax names its fields; fields as large as the parameters
repeat the parameters' tree, which is how the parameters are found. `chain` adds a level of indices,
`inject_hyperparams` (`hyperparams.*`, `inner_state`), `multi_transform` (`inner_states.<label>.inner_state`),
`MultiSteps` (`inner_opt_state`) and other wrappers one of names. The class's name is not saved, so that several rules
leave the same names behind; what follows a state in its chain and what is injected narrow it down. Betas, epsilon and
rate are in no file unless they are injected.

Sources: optax/_src/{transform,alias,combine,wrappers}.py, optax/schedules/_inject.py, optax/transforms/_masking.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import accumulate, pairwise
from math import prod
from typing import NamedTuple

from ckpt_inspect.checkpoint import Checkpoint, Problem, SavedTree
from ckpt_inspect.layouts.evidence import tell_adamax
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading, unique_names
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import USUAL_RULE, OptaxState, Optimizer, UpdateRule, optimizers_of_optax_state
from ckpt_inspect.update_rules.hyperparameters import MOMENTUM
from ckpt_inspect.update_rules.implementations import OPTAX

LAYOUT = "optax"
UNKNOWN = "unknown"

Path = tuple[str, ...]


COUNTERS = ("count", "t")
OTHERS = (
    OptaxState.of("m v n g t", m="m", v="v", n="n", g="g"),
    OptaxState.of("count nu", nu="nu"),
    OptaxState.of("count ema", ema="ema"),
    OptaxState.of("count mu ns_coeffs", mu="mu"),
    OptaxState.of("count mu nu hessian_fn_state", mu="mu", nu="nu"),
    OptaxState.of("count count_m2 m1 m2 nu", m1="m1", m2="m2", nu="nu"),
    OptaxState.of("t m n", m="m", n="n"),
    OptaxState.of("count grad_sum_sq s x0", grad_sum_sq="grad_sum_sq", s="s", x0="x0"),
    OptaxState.of(
        "exp_avg exp_avg_sq grad_sum estim_lr numerator_weighted count",
        exp_avg="exp_avg", exp_avg_sq="exp_avg_sq", grad_sum="grad_sum",
    ),
    OptaxState.of(
        "exp_avg exp_avg_sq grad_sum params0 estim_lr numerator_weighted count",
        exp_avg="exp_avg", exp_avg_sq="exp_avg_sq", grad_sum="grad_sum", params0="params0",
    ),
    OptaxState.of("exp_avg exp_avg_sq barf gamma lb count", exp_avg="exp_avg", exp_avg_sq="exp_avg_sq"),
    OptaxState.of("exp_avg barf gamma lb count", exp_avg="exp_avg"),
    OptaxState.of("step_sizes prev_updates", step_sizes="step_sizes", prev_updates="prev_updates"),
)  # fmt: skip
"""States for which no optimizer has a name here: of Adan, RMSprop with a count, a moving average, Muon, Sophia,
AdEMAMix and its simple kind, MADGRAD, D-Adaptation, Prodigy, both of MoMo, Rprop."""

INDEX = re.compile(r"[0-9]+")
SCALARS = "scalars"
"""What a link is that holds numbers alone, as reduce_on_plateau's does."""
REPLACED = "base_optimizer_state"
"""The key of a state whose updates its wrapper replaces by its own: of schedule_free, mechanic, galore."""
WRAPPED = frozenset({"inner_state", "inner_states", "inner_opt_state", "base_optimizer_state"})
"""Fields of a wrapper's state that hold the states it wraps; its other fields are the optimizer's own as well."""
STRUCTURE = WRAPPED | {"opt_state", "tx"}
"""Keys between a program's own name of an optimizer and its states."""
BESIDE_STATES = frozenset({"model", "module", "network", "params", "parameters", "target", "variables", "weights"})
"""Keys of the weights in what holds them with their optimizer's states, as flax.nnx' ModelAndOptimizer does."""
OPTIMIZER_KEYS = re.compile(r"opt|tx|optim|optimi[sz]er")
NOT_THE_WEIGHTS = re.compile(r"ema|avg|average|target|shadow|slow|best|old|previous|grad|init", re.IGNORECASE)
CUT = "what follows it in the chain is unknown, because this tree holds no links without a state"
HYPERPARAMS, INNER, LABELLED = "hyperparams", "inner_state", "inner_states"
INJECTED = {
    "learning_rate": "learning_rate", "b1": "beta_1", "b2": "beta_2", "eps": "epsilon", "eps_root": "epsilon_root",
    "weight_decay": "weight_decay", "threshold": "threshold", "decay": "rho", MOMENTUM.name: MOMENTUM.name,
}  # fmt: skip
"""Our name of each argument of optax' functions that may be injected."""
LIKE_A_HYPERPARAMETER = re.compile(r"lr|rate|b(eta)?_?[12]|eps|decay|wd|mom|thres|accum|scale", re.IGNORECASE)
"""A program's own name of what may be a rule's: what is injected under any other, a norm to clip to, tells nothing."""
MOST_LOOKED_INTO = 1 << 20
"""Elements of all first moments that are looked into."""
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


class State(NamedTuple):
    """A node that is a state of optax', with what it repeats of the parameters."""

    node: Node
    fields: Mapping[str, Mapping[Path, str]]
    """The fields that repeat the parameters' tree: by name, each parameter's path and the tensor there."""
    candidates: tuple[tuple[Optimizer, OptaxState], ...]
    """The optimizers that keep such a state; none if nothing here is known to."""

    @property
    def counter(self) -> str | None:
        """Return the tensor that counts its updates."""
        node = next((self.node.children[c] for c in COUNTERS if c in self.node.children), None)
        return node.tensor if node is not None else None

    def slots_of(self, path: Path, names: Mapping[str, str]) -> dict[str, str]:
        """Return a parameter's slots, under these names of the fields."""
        return {names.get(name, name): own[path] for name, own in self.fields.items() if path in own}


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find every optimizer whose states are in the tree."""
    tree = checkpoint.saved_tree()
    if tree is None:
        return []
    if not tree.paths and tree.unread:
        return _unread(tree)
    root = _grown(tree)
    chains: dict[Path, list[State]] = {}
    states = tuple(_states(checkpoint, root))
    for state in states:
        chains.setdefault(_chain_of(state.node.path), []).append(state)
    if not chains:
        return _unknown(checkpoint, root)
    names = [_name_of(path) for path in chains]
    return [
        _read_optimizer(checkpoint, root, name, own, states, keeps_empty=bool(tree.empty))
        for name, own in zip(unique_names(names), chains.values(), strict=True)
    ]


def _unread(tree: SavedTree) -> list[FoundOptimizer]:
    """Return an optimizer without anything for a state whose values are not read."""
    top = next((_top_of_states(path) for path in tree.unread if any(map(_names_optimizer, path))), None)
    if top is None:
        return []
    what = "its values lie in a msgpack file, as nothing that is read"
    rule = RuleReading(UNKNOWN, "unknown", what)
    return [FoundOptimizer(_name_of(top), LAYOUT, OPTAX, rule, absence=what)]


def _unknown(checkpoint: Checkpoint, root: Node) -> list[FoundOptimizer]:
    """Return an optimizer without parameters for whatever lies under an optimizer's name, but in no known state."""
    own: dict[Path, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += reversed(node.children.values())
        named = next((i for i, key in enumerate(node.path) if _is_name_of_optimizer(key)), None)
        if named is None or node.children or BESIDE_STATES.intersection(node.path[:-1]):
            continue
        top = node.path[: named + 1]
        if node.path == top and node.tensor is None:
            continue
        is_array = node.tensor is not None and bool(checkpoint.tensors[node.tensor].shape)
        own[top] = own.get(top, 0) + is_array
    return [_without_states(path, count, _global_step(checkpoint, root, path)) for path, count in own.items()]


def _without_states(path: Path, count: int, counter: str | None) -> FoundOptimizer:
    what, why = "no arrays lie", "as plain SGD keeps none"
    if count:
        what, why = "an array lies" if count == 1 else f"{count} arrays lie", "in no state that is known here"
    told = f"{what} under {'/'.join(path)}, {why}"
    rule = RuleReading(UNKNOWN, "unknown", told)
    return FoundOptimizer(_name_of(path), LAYOUT, OPTAX, rule, counter=counter, counted="global-step", absence=told)


def _is_name_of_optimizer(key: str) -> bool:
    return key in STRUCTURE or bool(OPTIMIZER_KEYS.fullmatch(re.split("[^a-z]", key.lower())[0]))


def _grown(tree: SavedTree) -> Node:
    """Return the tree's root; of flax.nnx' variables the arrays stand for the variables."""
    paths = dict(tree.paths)
    if any(path[-2:] in (("count", VARIABLE), ("step", VARIABLE)) for path in paths.values()):
        paths = {name: path[:-1] if path[-1] == VARIABLE and len(path) > 1 else path for name, path in paths.items()}
    root = Node(())
    for path in tree.empty:
        _node_at(root, path)
    for name, path in paths.items():
        node = _node_at(root, path)
        node.tensor = node.tensor or name
    if not tree.empty:
        _fill(root)
    return root


def _fill(root: Node) -> None:
    """Put an empty node wherever a list has a gap: flax.nnx leaves out what holds no array, such as a chain's links
    without a state. What it leaves out at a list's end can't be told."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.children.values()
        if node.children and all(INDEX.fullmatch(key) for key in node.children):
            for i in range(max(map(int, node.children))):
                node.children.setdefault(str(i), Node((*node.path, str(i))))


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
    candidates = optimizers_of_optax_state(node.children)
    shape = candidates[0][1] if candidates else next((s for s in OTHERS if s.fields == node.children.keys()), None)
    if shape is None or not _is_among_states(node.path, has_counter=bool(shape.fields.intersection(COUNTERS))):
        return None
    if any(not _is_count(checkpoint, node.children[c]) for c in COUNTERS if c in shape.fields):
        return None
    fields = {name: dict(node.children[name].leaves()) for name in shape.slots}
    first = next(iter(fields.values()))
    if not first:
        return None
    shapes = {path: checkpoint.tensors[name].shape for path, name in first.items()}
    alike = {name: own for name, own in fields.items() if _repeats(checkpoint, own, shapes)}
    return State(node, alike, candidates if len(alike) == len(fields) else ())


def _repeats(checkpoint: Checkpoint, leaves: Mapping[Path, str], shapes: Mapping[Path, tuple[int, ...]]) -> bool:
    return {path: checkpoint.tensors[name].shape for path, name in leaves.items()} == shapes


def _is_count(checkpoint: Checkpoint, node: Node) -> bool:
    if node.tensor is None:
        return False
    spec = checkpoint.tensors[node.tensor]
    return prod(spec.shape) == 1 and "int" in spec.dtype


def _is_among_states(path: Path, has_counter: bool) -> bool:
    """Return whether a path can lead to a state: it is a chain's link, or lies under what is named for one; of a state
    that has no counter, whose fields' names a layer could have, without keys of another kind between."""
    if not path or (has_counter and INDEX.fullmatch(path[-1])):
        return True
    top = next((i for i, key in enumerate(path) if _names_optimizer(key)), None)
    if top is None or has_counter:
        return top is not None
    below = path[top:]
    return all(INDEX.fullmatch(key) or _names_optimizer(key) or above == LABELLED for above, key in pairwise(below))


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


def _read_optimizer(
    checkpoint: Checkpoint, root: Node, name: str, states: Sequence[State], every: Sequence[State], keeps_empty: bool
) -> FoundOptimizer:
    """Read what one chain's `states` are, of `every` state in the tree."""
    main = max(states, key=lambda state: (bool(state.candidates), len(state.fields)))
    known = (*states, *(state for state in every if state not in states and not _has_common(state, main)))
    injected, scalars = _injected(root, main.node.path, known)
    after, outer = _links_after(root, main.node.path, known), _links_around(root, main.node.path, known)
    links = [link for link in after if link != SCALARS]
    problems = list(_scaled(name, (len(after) - len(links)) + len(outer)))
    problems += _rounded(checkpoint, name, main)
    is_cut = not (keeps_empty or links) and bool(INDEX.fullmatch(main.node.path[-1]))
    rule = _read_rule(checkpoint, main, states, injected, None if is_cut else links, outer)
    if "masked" in links and "weight_decay" in scalars:
        del scalars["weight_decay"]
        problems.append(
            Problem(
                "decay-masked",
                f"{name}: a mask says which variables are decayed, and no file holds it",
                "the weight decay is left unknown; give it to have it applied to all",
                "info",
            )
        )
    return FoundOptimizer(
        name=name,
        layout=LAYOUT,
        implementation=OPTAX,
        rule=rule,
        parameters=tuple(_parameters(checkpoint, root, name, main, states, rule, problems)),
        counter=main.counter or _global_step(checkpoint, root, main.node.path),
        counted="updates" if main.counter else "global-step",
        scalars=scalars,
        has_scheduled_rate="learning_rate" not in scalars and "schedule" in links,
        problems=tuple(problems),
    )


def _global_step(checkpoint: Checkpoint, root: Node, path: Path) -> str | None:
    """Return the program's own count of its steps that is nearest to a state, as flax' TrainState and flax.nnx'
    Optimizer keep it; None if there is none."""
    steps = (root.at((*path[:depth], "step")) for depth in reversed(range(len(path))))
    return next((node.tensor for node in steps if node is not None and _is_count(checkpoint, node)), None)


def _injected(root: Node, path: Path, known: Sequence[State]) -> tuple[frozenset[str], dict[str, str]]:
    """Return the names that `inject_hyperparams` injected around a state, and the keys of those that this package
    has a name for; without a rate that what follows in an outer chain may scale, and with none if the program's own
    names stand beside them and several optimizers share them."""
    for depth in range(len(path), -1, -1):
        node = root.at(path[:depth])
        if node is None or HYPERPARAMS not in node.children or path[depth : depth + 1] != (INNER,):
            continue
        own = {key: leaf for key, leaf in node.children[HYPERPARAMS].children.items() if leaf.tensor is not None}
        scalars = {INJECTED[key]: leaf.tensor for key, leaf in own.items() if key in INJECTED and leaf.tensor}
        if _links_after(root, path[:depth], known):
            scalars.pop("learning_rate", None)
        if LABELLED in path[depth:] and not INJECTED.keys() >= own.keys():
            scalars.clear()
        return frozenset(own), scalars
    return frozenset(), {}


def _scaled(name: str, count: int) -> Iterator[Problem]:
    """Yield a Problem if something follows in the chain, or in one around it, that no function of optax has there."""
    if count:
        many = "a link of a chain follows" if count == 1 else f"{count} links of chains follow"
        yield Problem(
            "updates-changed-later",
            f"{name}: {many} its state that can scale its updates, which is not followed here",
            "effective learning rates leave that out; give the learning rate as it is behind them",
            "info",
        )


def _rounded(checkpoint: Checkpoint, name: str, main: State) -> Iterator[Problem]:
    """Yield a Problem if first moments are kept in a type of fewer digits than they are computed in, as optax'
    `mu_dtype` has it: an update is made of them before they are rounded."""
    first, *others = ([checkpoint.tensors[key].dtype for key in own.values()] for own in main.fields.values())
    rounded = {kept for other in others for kept, full in zip(first, other, strict=False) if _is_half(kept, full)}
    if rounded:
        yield Problem(
            "moments-rounded",
            f"{name}: first moments are kept as {' and '.join(sorted(rounded))}, rounded after the update was made",
            "last updates are right to that rounding, some 0.4 % of each element at most",
            "info",
        )


def _is_half(kept: str, full: str) -> bool:
    return kept in ("bfloat16", "float16") and full == "float32"


def _links_after(root: Node, path: Path, states: Sequence[State] = ()) -> list[str]:
    """Return what follows a link in its chain: `empty` (stateless), `masked` (stateless under a mask), `schedule` (a
    count alone), `scalars` (numbers alone) or `state`; without `states`, which are known, and links that hold them."""
    chain = root.at(path[:-1]) if path and INDEX.fullmatch(path[-1]) else None
    if chain is None:
        return []
    after = sorted((int(k), n) for k, n in chain.children.items() if INDEX.fullmatch(k) and int(k) > int(path[-1]))
    known = [state.node.path for state in states]
    return [_link(node) for _, node in after if not any(at[: len(node.path)] == node.path for at in known)]


def _has_common(one: State, other: State) -> bool:
    """Return whether two states are of one parameter at least: masks give each optimizer its own."""
    mine, others = (next(iter(state.fields.values())) for state in (one, other))
    return not mine.keys().isdisjoint(others)


def _links_around(root: Node, path: Path, states: Sequence[State]) -> list[str]:
    """Return what follows the chain of a link in the chains that this lies in, the innermost first."""
    return [
        link
        for stop in range(len(path) - 1, 0, -1)
        if not _is_own_list(root, path[: stop - 1], states)
        for link in _links_after(root, path[:stop], states)
    ]


def _is_own_list(root: Node, path: Path, states: Sequence[State]) -> bool:
    """Return whether a list around a chain is the program's own, `[weights, state, step]`: nothing calls it an
    optimizer's, and a bare number is in it, or what has the parameters' own tree."""
    node = root.at(path)
    if node is None or any(map(_names_optimizer, path)):
        return False
    members = [child for key, child in node.children.items() if INDEX.fullmatch(key)]
    trees = [set(own) for state in states for own in state.fields.values()]
    return any(m.tensor is not None or {at for at, _ in m.leaves()} in trees for m in members)


def _link(node: Node) -> str:
    if node.is_empty:
        return "masked" if INNER in node.children else "empty"
    if list(node.children) == ["count"]:
        return "schedule"
    return SCALARS if node.children and all(child.tensor is not None for child in node.children.values()) else "state"


def _read_rule(
    checkpoint: Checkpoint,
    main: State,
    states: Sequence[State],
    injected: frozenset[str],
    links: Sequence[str] | None,
    outer: Sequence[str],
) -> RuleReading:
    """Read the rule from the fields, what is injected, and how many links follow (None: those that follow aren't
    saved); a chain is put together freely, so that what the last tells is no more than usual."""
    kept = f"a state of {', '.join(main.node.children)}"
    others = [s for s in states if s is not main]
    if REPLACED in main.node.path:
        return RuleReading(UNKNOWN, "unknown", f"{kept} in a {REPLACED}, around which another rule makes the updates")
    if "state" in (*(links or ()), *outer):
        return RuleReading(UNKNOWN, "unknown", f"{kept}, which a state follows that changes its updates")
    if not main.candidates or not all(_is_momentum(s) and _can_have_momentum(main) for s in others):
        chained = f", in one chain with {len(others)} more states" if others else ""
        return RuleReading(UNKNOWN, "unknown", f"{kept}{chained}, which no rule here is known to keep so")
    candidates = [optimizer for optimizer, _ in main.candidates]
    if len(candidates) == 1:
        return _only(candidates[0], kept, main, links)
    is_optax_own = False
    if injected:
        taken = frozenset[str]().union(*(o.traces.optax_arguments for o in candidates))
        told = frozenset(name for name in injected if name in taken or LIKE_A_HYPERPARAMETER.search(name))
        is_optax_own = told == injected  # else the program's own function, which may take some of another's arguments
        fit = [o for o in candidates if is_optax_own and o.traces.optax_arguments == told]
        candidates = fit or [o for o in candidates if told <= o.traces.optax_arguments]
        kept = f"{kept}, with {', '.join(sorted(injected))} injected"
    if links is None:
        if len(candidates) == 1 and is_optax_own:
            return RuleReading(
                candidates[0].name, "inferred", f"{kept}, as for optax.{candidates[0].name} alone; {CUT}"
            )
        return _usual(checkpoint, main, f"{kept}; {CUT}", candidates, ())
    count = links.index("schedule") + 1 if "schedule" in links else max(len(links), 1)
    fit = [o for o in candidates if o.traces.optax_links == count]
    kept = f"{kept}, and {count} link{'s' if count > 1 else ''} after it in the chain"
    if len(fit) == 1 and is_optax_own:
        return RuleReading(fit[0].name, "inferred", f"{kept}, as for optax.{fit[0].name} alone")
    others_of_them = [o for o in candidates if o not in fit and o.traces.optax_links <= count]
    return _usual(checkpoint, main, kept, fit, others_of_them)


def _only(optimizer: Optimizer, kept: str, main: State, links: Sequence[str] | None) -> RuleReading:
    """Return the reading of a state that one optimizer alone keeps: a chain can have other links than its."""
    name, count = optimizer.name, optimizer.traces.optax_links
    if links is None:
        return RuleReading(name, "default", f"{kept}, as {name} alone keeps it in optax; {CUT}")
    if not links and INDEX.fullmatch(main.node.path[-1]):
        return RuleReading(UNKNOWN, "unknown", f"{kept}, the last of its chain, where {name} has its rate after it")
    if isinstance(optimizer, UpdateRule) and len(links) > count and "schedule" not in links[:count]:
        where = f"{kept}, as {name} alone keeps it in optax, and {len(links)} links after it, where optax has {count}"
        return RuleReading(name, "default", where)
    return RuleReading(name, "checkpoint", f"{kept}, as {name} alone keeps it in optax")


def _usual(
    checkpoint: Checkpoint, main: State, kept: str, fit: Sequence[Optimizer], others: Sequence[Optimizer]
) -> RuleReading:
    """Return the usual reading of a state that several rules keep alike; unknown if none is usual."""
    names = [o.name for o in (*fit, *others)]
    usual = next((o for o in fit if o is USUAL_RULE or o.name == USUAL_RULE.with_decay), None)
    if usual is not None:
        reading = RuleReading(usual.name, "default", kept, tuple(n for n in names if n != usual.name))
        return tell_adamax(checkpoint, reading, _pairs(checkpoint, main))
    where = f"{kept}, as for {', '.join(names) or 'no function of optax known here'}"
    reading = RuleReading(USUAL_RULE.name, "default", where, tuple(names))
    told = tell_adamax(checkpoint, reading, _pairs(checkpoint, main))
    if told.source == "inferred":
        return told
    if len(told.alternatives) == 1 and len(names) > 1:
        return RuleReading(told.alternatives[0], "inferred", f"{where}; the moments are not as the others' can be")
    return RuleReading(UNKNOWN, "unknown", f"{where}: give --rule", told.alternatives)


def _pairs(checkpoint: Checkpoint, main: State) -> list[tuple[str, str]]:
    """Return some pairs of moments to look into, the smallest: a chunk is as large as Orbax wrote it."""
    first, second = (main.fields[name] for name in list(main.fields)[:2])
    pairs = sorted(((name, second[path]) for path, name in first.items()), key=lambda p: checkpoint.tensors[p[0]].size)
    sizes = accumulate(checkpoint.tensors[name].size for name, _ in pairs)
    return [pair for pair, size in zip(pairs, sizes, strict=True) if size <= MOST_LOOKED_INTO]


def _is_momentum(state: State) -> bool:
    return [optimizer.has_moment_pair for optimizer, _ in state.candidates] == [False] and len(state.fields) == 1


def _can_have_momentum(state: State) -> bool:
    return all(any(h.name == MOMENTUM.name for h in o.hyperparameters) for o, _ in state.candidates)


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
    base = _find_parameters(checkpoint, root, name, main, states, problems)
    names = next((state.slots for optimizer, state in main.candidates if optimizer.name == rule.name), None)
    names = names if names is not None else next((state.slots for _, state in main.candidates), {})
    paths = list(next(iter(main.fields.values())))
    labels = unique_names("/".join(path) or (base.path[-1] if base and base.path else name) for path in paths)
    parameters = []
    for label, path in zip(labels, paths, strict=True):
        slots = main.slots_of(path, names)
        for other in states:
            if other is not main:
                more = other.slots_of(path, {})
                slots |= {slot: key for slot, key in more.items() if slot not in slots}
        spec = checkpoint.tensors[next(iter(slots.values()))]
        found = base.at(path) if base is not None else None
        parameters.append(FoundParameter(label, spec.shape, spec.dtype, found.tensor if found else None, slots))
    return parameters


def _find_parameters(
    checkpoint: Checkpoint, root: Node, name: str, main: State, states: Sequence[State], problems: list[Problem]
) -> Node | None:
    """Return the node whose tree the state repeats: same paths, same shapes, outside of the optimizer's states; None
    if there is none, or none that is likelier than others."""
    own, top = main.node.path, _top_of_states(main.node.path)
    for stop in range(len(top), len(own)):
        if _is_own_list(root, own[:stop], states):
            top = own[: stop + 1]
    wanted = {path: checkpoint.tensors[name].shape for path, name in next(iter(main.fields.values())).items()}
    probe = max(wanted, key=len)
    bases = []
    for path, tensor in root.leaves():
        base = path[: len(path) - len(probe)]
        is_outside = base[: len(top)] != top or _is_beside(base, own, top)
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


def _is_beside(base: Path, own: Path, top: Path) -> bool:
    """Return whether a tree under an optimizer's own name is called its weights, and no state holds it."""
    shared = _shared(base, own)
    return base[: len(top)] == top and base[shared : shared + 1] != () and base[shared] in BESIDE_STATES


def _shared(one: Path, other: Path) -> int:
    """Return how many keys two paths have in common from the root on."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _rank(base: Path, top: Path) -> tuple[int, int, int]:
    """Return what is least for the likeliest tree of parameters: nearest to the states, named for them, shallowest."""
    is_other = any(NOT_THE_WEIGHTS.search(key) for key in base)
    return (-_shared(base, top), 2 if is_other else 0 if "params" in base else 1, len(base))


def _top_of_states(path: Path) -> Path:
    """Return the node under which all of an optimizer's states lie: named for it, or the outermost wrapper's state."""
    named = next((i for i, key in enumerate(path) if _names_optimizer(key)), None)
    if named is not None:
        return path[:named] if path[named] in WRAPPED else path[: named + 1]
    while len(path) > 1 and INDEX.fullmatch(path[-1]):
        path = path[:-1]
    return path
