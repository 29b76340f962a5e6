"""Which update rules there are, and which other optimizers are known by name. A new rule is a file and a line here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from ckpt_inspect.update_rules.adabelief import AdaBelief
from ckpt_inspect.update_rules.adagrad import Adagrad
from ckpt_inspect.update_rules.adam import Adam, AdamW, AMSGrad, LazyAdam
from ckpt_inspect.update_rules.adamax import Adamax
from ckpt_inspect.update_rules.bert import BertAdamW
from ckpt_inspect.update_rules.hyperparameters import (
    BETA_1,
    BETA_2,
    COMMON,
    LEARNING_RATE,
    MOMENTUM,
    WEIGHT_DECAY,
    Hyperparameter,
)
from ckpt_inspect.update_rules.implementations import Implementation
from ckpt_inspect.update_rules.lamb import Lamb
from ckpt_inspect.update_rules.nadam import Nadam
from ckpt_inspect.update_rules.radam import RAdam
from ckpt_inspect.update_rules.rmsprop import RMSprop
from ckpt_inspect.update_rules.rule import UpdateRule
from ckpt_inspect.update_rules.traces import OPTAX_ADAM, OPTAX_MOMENTS, NamedOptimizer, Operation, OptaxState, Traces

RULES: tuple[UpdateRule, ...] = (
    Adam(),
    AMSGrad(),
    AdamW(),
    Nadam(),
    Adamax(),
    Lamb(),
    RAdam(),
    AdaBelief(),
    LazyAdam(),
    BertAdamW(),
    RMSprop(),
    Adagrad(),
)

_SGD = (LEARNING_RATE, MOMENTUM, WEIGHT_DECAY)
NAMED: tuple[NamedOptimizer, ...] = (
    NamedOptimizer(
        "sgd",
        Traces(
            class_names=("sgd", "gradientdescent"),
            squares_in_tf1=(),
            usual_slots=(frozenset({"first_moment"}), frozenset({"momentum"})),
            bare_scalars=("momentum",),
            slots_in_lists=(("momentum", "momentum"),),
            squares_in_lists=frozenset(),
            keras_rate=0.01,
            operations=(Operation("ApplyGradientDescent"),),
            optax_states=(OptaxState.of("trace", trace="trace"),),
            optax_arguments=frozenset({"learning_rate", "momentum"}),
        ),
        _SGD,
    ),
    NamedOptimizer(
        "momentum",
        Traces(
            ("momentum", "momentumw"),
            operations=(Operation("ApplyMomentum", {"variable": 0, "slot": 1, "learning_rate": 2, "momentum": 4}),),
            squares_in_tf1=(False,),
        ),
        _SGD,
    ),
    NamedOptimizer(
        "adadelta",
        Traces(
            ("adadelta",),
            slots=(
                frozenset({"accum_grad", "accum_var"}),
                frozenset({"accum", "accum_update"}),
                frozenset({"accumulated_grad"}),
            ),
            slots_by_turns=(("accumulated_grad", "whole"), ("accumulated_delta_var", "whole")),
            squares_in_lists=frozenset({"accumulated_grad", "accumulated_delta_var"}),
            operations=(Operation("ApplyAdadelta", {"variable": 0, "slot": 1, "slot_1": 2, "learning_rate": 3}),),
            squares_in_tf1=(True, True),
            optax_states=(OptaxState.of("e_g e_x", e_g="accum_grad", e_x="accum_var"),),
        ),
    ),
    NamedOptimizer(
        "ftrl",
        Traces(
            ("ftrl",),
            slots=(frozenset({"accumulator", "linear"}), frozenset({"accum", "linear"})),
            slots_by_turns=(("accumulator", "whole"), ("linear", "whole")),
            squares_in_lists=frozenset({"accumulator"}),
            operations=(Operation("ApplyFtrl", {"variable": 0, "slot": 1, "slot_1": 2, "learning_rate": 4}),),
            squares_in_tf1=(True, False),
        ),
    ),
    NamedOptimizer(
        "lion",
        Traces(
            ("lion",),
            slots_in_lists=(("momentum", ""),),
            squares_in_lists=frozenset(),
            optax_states=(OptaxState.of("count mu", mu="momentum"),),
        ),
        (LEARNING_RATE, BETA_1, BETA_2, WEIGHT_DECAY),
    ),
    NamedOptimizer(
        "adafactor",
        Traces(
            ("adafactor",),
            slots_by_turns=(("r", "rows"), ("c", "columns"), ("velocity", "whole")),
            squares_in_lists=frozenset({"r", "c", "velocity"}),
            optax_states=(OptaxState.of("count v_row v_col v", v="v"),),
        ),
    ),
    NamedOptimizer("muon", Traces(("muon",), pairs_some=True)),
    NamedOptimizer(
        "proximaladagrad",
        Traces(("proximaladagrad",), operations=(Operation("ApplyProximalAdagrad"),), squares_in_tf1=(True,)),
    ),
    NamedOptimizer(
        "adagradda", Traces(("adagradda",), operations=(Operation("ApplyAdagradDA"),), squares_in_tf1=(False, True))
    ),
    NamedOptimizer("addsign", Traces(("addsign",), operations=(Operation("ApplyAddSign"),), squares_in_tf1=(False,))),
    NamedOptimizer(
        "powersign", Traces(("powersign",), operations=(Operation("ApplyPowerSign"),), squares_in_tf1=(False,))
    ),
    NamedOptimizer("schedulefreeadamw", Traces(("schedulefreeadamw",)), COMMON, has_moment_pair=True),
    NamedOptimizer("shampoo", Traces(("shampoo",))),
    NamedOptimizer("regadagrad", Traces(("regadagrad",), squares_in_tf1=(True,))),
    NamedOptimizer(
        "lars",
        # contrib's scales the gradient by its rate, and hands it to Momentum's operation with a rate of 1
        Traces(
            ("lars",),
            operations=(Operation("ApplyMomentum", {"variable": 0, "slot": 1, "momentum": 4}),),
            squares_in_tf1=(False,),
        ),
    ),
    NamedOptimizer("novograd", Traces(("novograd",), keeps_norms=True), COMMON),
    NamedOptimizer(
        "yogi",
        Traces(("yogi",), optax_states=(OPTAX_MOMENTS,), optax_arguments=OPTAX_ADAM - {"eps_root"}),
        COMMON,
    ),
    NamedOptimizer(
        "nadamw",
        Traces(
            ("nadamw",), optax_states=(OPTAX_MOMENTS,), optax_arguments=OPTAX_ADAM | {"weight_decay"}, optax_links=2
        ),
        COMMON,
    ),
    NamedOptimizer(
        "adamaxw",
        Traces(
            ("adamaxw",),
            optax_states=(OPTAX_MOMENTS,),
            optax_arguments=OPTAX_ADAM - {"eps_root"} | {"weight_decay"},
            optax_links=2,
        ),
        COMMON,
    ),
    NamedOptimizer(
        "adopt",
        Traces(
            ("adopt",), optax_states=(OPTAX_MOMENTS,), optax_arguments=OPTAX_ADAM - {"eps_root"} | {"clip_value_fn"}
        ),
        COMMON,
    ),
)
"""Recognized, so that nobody takes their state for another's."""

Optimizer = UpdateRule | NamedOptimizer
OPTIMIZERS: tuple[Optimizer, ...] = (*RULES, *NAMED)

USUAL_RULE: UpdateRule = RULES[0]
"""The rule that is assumed for a pair of moments if nothing identifies it."""


def _merged_slots() -> dict[str, tuple[str, ...]]:
    merged: dict[str, dict[str, None]] = {}
    for rule in RULES:
        for array, names in rule.slots.items():
            merged.setdefault(array, {}).update(dict.fromkeys(names))
    return {array: tuple(names) for array, names in merged.items()}


STATE_SLOTS: Mapping[str, tuple[str, ...]] = _merged_slots()
"""Field of `State` -> every name under which a layout may have found it, by any rule's habit."""

HYPERPARAMETERS: Mapping[str, Hyperparameter] = {h.name: h for h in COMMON} | {
    h.name: h
    for optimizer in OPTIMIZERS
    for h in (*optimizer.hyperparameters, *optimizer.more_hyperparameters)
    if h.name not in {c.name for c in COMMON}
}
"""Every hyperparameter of any optimizer by name, those that most have first; defaults are in the rules."""


TELLING_SCALARS: tuple[str, ...] = tuple(dict.fromkeys(name for rule in RULES for name in rule.traces.scalars))
"""Names of scalars that some rules alone keep."""

SCALAR_NAMES: tuple[str, ...] = tuple(
    dict.fromkeys((*(name for h in HYPERPARAMETERS.values() for name in h.upstream_names), *TELLING_SCALARS))
)
"""Names of every scalar that a rule keeps, as upstream spells them."""

OPERATIONS: Mapping[str, tuple[tuple[str, Operation], ...]] = {
    name: tuple(
        sorted(
            ((o.name, op) for o in OPTIMIZERS for op in o.traces.operations if op.name == name),
            key=lambda entry: not entry[1].flag,
        )
    )
    for name in dict.fromkeys(op.name for o in OPTIMIZERS for op in o.traces.operations)
}
"""TensorFlow's operations by name: the optimizers that make them, those that a flag identifies first."""

MAXIMUM_FLAG = "amsgrad"
"""Switch in a configuration that has a maximum of the second moment kept; see `UpdateRule.with_maximum`."""


def find_rule(name: str) -> UpdateRule | None:
    """Return the rule of that name, or None."""
    return next((rule for rule in RULES if rule.name == name), None)


def find_optimizer(name: str) -> Optimizer | None:
    """Return the rule or the other known optimizer of that name, or None."""
    return next((optimizer for optimizer in OPTIMIZERS if optimizer.name == name), None)


def normal_name(name: str) -> str:
    """Return the plain name: `Custom>AdamW`, `keras.optimizers.AdamW`, `adam_w`, `AdamW_1`, `adamw_1_1`,
    `AdamWOptimizer` -> `adamw`."""
    bare = re.split(r"[>./]", name)[-1].lower()
    bare = re.sub(r"(_\d+)+$", "", bare).replace("_", "")
    return re.sub(r"(?<=.)optimizer(v[12])?$", "", bare)


def optimizer_of_class(name: str) -> Optimizer | None:
    """Return the optimizer that a class (or the default `name` that it gives its slots) is; None if unknown."""
    normal = normal_name(name)
    return next((o for o in OPTIMIZERS if normal in o.traces.class_names), None)


def has_moment_pair(name: str) -> bool:
    """Return whether the optimizer of that name keeps a first and a second moment as Adam does; False if unknown."""
    optimizer = find_optimizer(name)
    return optimizer is not None and optimizer.has_moment_pair


def squares_in_tf1(optimizer: Optimizer) -> tuple[bool, ...] | None:
    """Return whether each of the slots `X`, `X_1`, .. that TensorFlow 1 makes for a variable holds squares or sizes,
    which are nowhere negative; None if that is not known."""
    if isinstance(optimizer, UpdateRule) and optimizer.has_moment_pair:
        return tuple(slot != "first_moment" for slot in optimizer.slots_in_tf1)
    return optimizer.traces.squares_in_tf1


def second_slot(name: str) -> str:
    """Return the name of the slot that holds the second moment, or what the rule of that name keeps in its place."""
    rule = find_rule(name)
    return (USUAL_RULE if rule is None else rule).second_slot


def optimizer_of_slots(slots: Iterable[str]) -> tuple[Optimizer, bool] | None:
    """Return the optimizer behind such slots, by the most of them, and whether it alone keeps them; None for none."""
    has = frozenset(slots)
    told = [
        (is_certain, len(names), optimizer)
        for optimizer in OPTIMIZERS
        for is_certain, sets in ((True, optimizer.traces.slots), (False, optimizer.traces.usual_slots))
        for names in sets
        if names <= has
    ]
    if not told:
        return None
    is_certain, _, optimizer = max(told, key=lambda entry: entry[:2])
    return optimizer, is_certain


def can_keep(optimizer: Optimizer, slots: Iterable[str]) -> bool:
    """Return whether slots of these names can be an optimizer's: `m` and `v` are no SGD's, even if it is called so."""
    has = frozenset(slots)
    if optimizer.has_moment_pair:
        return not has or not has.isdisjoint(("m", "first_moment"))
    known = (*optimizer.traces.slots, *optimizer.traces.usual_slots)
    return not has or not known or any(names <= has for names in known)


def can_have(optimizer: Optimizer, slots: Collection[str], scalars: Collection[str]) -> bool:
    """Return whether an optimizer that keeps such slots and scalars can be of that class: Keras' OptimizerV2 has a
    variable for each number that a class takes."""
    kept = frozenset(scalars)
    rates = {n for h in HYPERPARAMETERS.values() if h.is_below_one for n in h.upstream_names} & kept
    own = {n for h in optimizer.hyperparameters if h.is_below_one for n in h.upstream_names}
    if not slots and rates and rates != own and (own or isinstance(optimizer, UpdateRule)):
        return False
    if not isinstance(optimizer, UpdateRule):
        return True
    has_decay = not kept.isdisjoint(WEIGHT_DECAY.upstream_names)
    telling = optimizer.traces.scalars
    return (has_decay or not _takes_decay(optimizer)) and (not telling or not kept.isdisjoint(telling))


def rules_like(name: str, scalars: Collection[str], *implementations: Implementation) -> tuple[str, ...]:
    """Return the other rules of these implementations whose moments look as that one's, and which keep no scalars that
    aren't there."""
    pairs = [r for r in rules_of(*implementations) if r.has_moment_pair and not r.has_maximum and not r.traces.scalars]
    has_decay = not frozenset(scalars).isdisjoint(WEIGHT_DECAY.upstream_names)
    return tuple(r.name for r in pairs if r.name != name and (has_decay or not _takes_decay(r)))


def _takes_decay(rule: UpdateRule) -> bool:
    """Return whether Addons' class of that rule always has a variable of weight decay."""
    return rule.has_own_weight_decay or rule.name == USUAL_RULE.with_decay


def optimizers_of_optax_state(fields: Iterable[str]) -> tuple[tuple[Optimizer, OptaxState], ...]:
    """Return the optimizers that keep a state of these fields in optax, with what they keep in it."""
    has = frozenset(fields)
    return tuple((o, state) for o in OPTIMIZERS for state in o.traces.optax_states if state.fields == has)


def optimizer_of_bare_scalars(scalars: Iterable[str]) -> Optimizer | None:
    """Return the optimizer that such scalars identify if there are no slots; None if they identify none."""
    has = frozenset(scalars)
    return next((optimizer for optimizer in OPTIMIZERS if has & frozenset(optimizer.traces.bare_scalars)), None)


def rules_of_scalars(scalars: Iterable[str]) -> tuple[UpdateRule, ...]:
    """Return the rules that such scalars identify; several if several keep the same."""
    has = frozenset(scalars)
    return tuple(rule for rule in RULES if has & frozenset(rule.traces.scalars))


def rules_of(*implementations: Implementation) -> tuple[UpdateRule, ...]:
    """Return the rules that any of these implementations has."""
    return tuple(rule for rule in RULES if set(implementations) & set(rule.traces.implementations))


def rules_with_slots_of(optimizer: Optimizer) -> tuple[UpdateRule, ...]:
    """Return the rules whose slots in contrib bear that optimizer's name."""
    return tuple(rule for rule in RULES if rule.traces.shares_slot_name in optimizer.traces.class_names)


def implementation_among(name: str, implementations: Sequence[Implementation]) -> Implementation:
    """Return the one of these that has the optimizer of that name; the first if none has."""
    optimizer = find_optimizer(name)
    who = () if optimizer is None else optimizer.traces.implementations
    return next((i for i in implementations if i in who), implementations[0])
