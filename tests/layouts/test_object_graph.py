"""Optimizers in object graphs, sound ones and damaged ones, made node by node."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bundle_writer import field
from support.memory_checkpoints import MemoryCheckpoint, moments, node, object_graph

from ckpt_inspect import CkptInspectError, OptimizerState, optimizer_states
from ckpt_inspect.errors import DamagedFileError, RequestError
from ckpt_inspect.layouts.object_graph import OBJECT_GRAPH_KEY, Node, ObjectGraph


class Builder:
    """Nodes by name, linked afterwards."""

    def __init__(self) -> None:
        self.children: dict[str, dict[str, str]] = {"root": {}}
        self.variables: dict[str, tuple[str, str]] = {}
        self.slots: dict[str, list[tuple[str, str, str]]] = {}
        self.arrays: dict[str, Any] = {}

    def variable(self, name: str, full_name: str, array: Any) -> str:
        self.children[name] = {}
        self.variables[name] = (full_name, name)
        self.arrays[name] = np.asarray(array)
        return name

    def object(self, name: str, **children: str) -> str:
        self.children[name] = children
        return name

    def list(self, name: str, members: list[str]) -> str:
        self.children[name] = {str(i): m for i, m in enumerate(members)}
        return name

    def checkpoint(self, **options: Any) -> MemoryCheckpoint:
        order = list(self.children)
        nodes = [
            node(
                {child: order.index(target) for child, target in self.children[name].items()},
                self.variables.get(name),
                [(order.index(v), slot, order.index(s)) for v, slot, s in self.slots.get(name, [])],
            )
            for name in order
        ]
        return MemoryCheckpoint({**self.arrays, **object_graph(nodes)}, **options)


def _norms(shape: tuple[int, ...], seed: int) -> tuple[Any, Any, Any]:
    """(weights, m, u) of Adamax after five updates, the gradients' sizes over two decades."""
    rng = np.random.default_rng(seed)
    sizes = 0.05 * 10 ** rng.uniform(-1, 1, shape)
    m, u = np.zeros(shape), np.zeros(shape)
    for _ in range(5):
        g = rng.normal(0, sizes)
        m, u = m + 0.1 * (g - m), np.maximum(0.999 * u, abs(g))
    return tuple(a.astype(np.float32) for a in (rng.normal(size=shape), m, u))


def _v2(
    b: Builder,
    name: str,
    variables: list[str],
    seed: int,
    step: int = 5,
    prefix: str = "Adam",
    is_norm: bool = False,
    **more: float,
) -> None:
    """An OptimizerV2 over these variable nodes, its second accumulator an infinity norm if asked for, with more
    hyperparameters."""
    b.slots[name] = []
    for i, variable in enumerate(variables):
        _, m, v = (
            _norms(b.arrays[variable].shape, seed + i) if is_norm else moments(b.arrays[variable].shape, seed=seed + i)
        )
        for slot, array in (("m", m), ("v", v)):
            key = b.variable(
                f"{variable}/.OPTIMIZER_SLOT/{name}/{slot}", f"{prefix}/{b.variables[variable][0]}/{slot}", array
            )
            b.slots[name].append((variable, slot, key))
    hyper = {"iter": np.int64(step), "beta_1": np.float32(0.9), "beta_2": np.float32(0.999), "decay": np.float32(0)}
    hyper |= {"learning_rate": np.float32(0.01)}  # type: ignore[dict-item]
    hyper |= {key: np.float32(value) for key, value in more.items()}  # type: ignore[misc]
    b.object(name, **{k: b.variable(f"{name}/{k}", f"{prefix}/{k}", a) for k, a in hyper.items()})


def _keras3(
    b: Builder,
    name: str,
    variables: list[str],
    seed: int,
    step: int = 5,
    kinds: tuple[str, ...] = (),
    prefix: str = "adam",
) -> None:
    """A Keras 3 optimizer: full names of slots, and the trained variables in the slots' order."""
    members = [b.variable(f"{name}/it", f"{name}/iteration", np.int64(step))]
    members.append(b.variable(f"{name}/lr", f"{name}/learning_rate", np.float32(0.01)))
    for i, variable in enumerate(variables):
        _, m, v = moments(b.arrays[variable].shape, seed=seed + i)
        spelled = b.variables[variable][0].replace("/", "_")
        for kind, array in zip(kinds or ("momentum", "velocity"), (m, v), strict=False):
            members.append(b.variable(f"{name}/{i}{kind}", f"{prefix}/{spelled}_{kind}", array))
    b.list(f"{name}/_variables", members)
    b.list(f"{name}/_trainable", variables)
    b.object(
        name,
        _variables=f"{name}/_variables",
        _trainable_variables=f"{name}/_trainable",
        _iterations=members[0],
        _learning_rate=members[1],
    )


def _keras3_list(names_and_arrays: list[tuple[str, Any]], shapes: list[tuple[int, ...]]) -> Any:
    """The only optimizer of a checkpoint, its list as it is given, over weights of these shapes."""
    b = Builder()
    weights = [b.variable(f"w{i}", f"layer_{i}/kernel", moments(s, seed=i)[0]) for i, s in enumerate(shapes)]
    listed = [("own/iteration", np.int64(5)), ("own/learning_rate", np.float32(0.5)), *names_and_arrays]
    members = [b.variable(f"v{i}", name, array) for i, (name, array) in enumerate(listed)]
    b.list("list", members)
    b.list("trained", weights)
    b.object("opt", _variables="list", _trainable_variables="trained", iterations=members[0], _learning_rate=members[1])
    b.children["root"]["optimizer"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    return state


def test_slots_of_earlier_keras_3_that_name_no_variable() -> None:
    """Adagrad's are all called `adagrad/accumulator`: the order of the trained variables says whose they are."""
    shapes: list[tuple[int, ...]] = [(3, 2), (2,)]
    state = _keras3_list([("adagrad/accumulator", np.full(s, 4.0, np.float32)) for s in shapes], shapes)
    assert (state.rule, list(state.parameters)) == ("adagrad", ["layer_0/kernel", "layer_1/kernel"])
    assert all(np.allclose(p.effective_lr(), 0.25) for p in state.parameters.values())


def test_rows_and_columns_without_a_name_of_their_own() -> None:
    """Adafactor's means over rows and columns bear the weight's short name: their place says which they are."""
    kernel, bias = np.full((3, 2), 4.0, np.float32), np.full(2, 4.0, np.float32)
    listed = [
        ("adafactor/kernel", kernel[:, 0]), ("adafactor/kernel", kernel[0]),
        ("adafactor/layer_0_kernel_velocity", kernel),
        ("adafactor/bias", np.int32(0)), ("adafactor/bias", np.int32(0)), ("adafactor/layer_1_kernel_velocity", bias),
    ]  # fmt: skip
    state = _keras3_list(listed, [(3, 2), (2,)])
    assert [tuple(p.found.slots) for p in state.parameters.values()] == [("r", "c", "velocity"), ("velocity",)]


@pytest.mark.parametrize(("has_counter", "family"), [(True, "keras2"), (False, "keras2-experimental")])
def test_experimental_optimizers_list_no_counter(has_counter: bool, family: str) -> None:
    """TF 2.10's experimental RMSprop adds ε to the root and multiplies momentum by α; since 2.11, whose list of
    variables begins with the counter, it adds ε under the root and subtracts momentum itself."""
    b, v = Builder(), np.full((3, 2), 1e-14, np.float32)
    b.variable("kernel", "dense/kernel", np.ones((3, 2), np.float32))
    counter = b.variable("it", "iteration", np.int64(5))
    rate = b.variable("lr", "learning_rate", np.float32(0.5))
    slots = [b.variable(k, f"RMSprop/{k}/dense/kernel", a) for k, a in (("velocity", v), ("momentum", 2 * v))]
    b.list("list", [counter, *slots] if has_counter else slots)
    b.object("opt", _variables="list", _iterations=counter, _learning_rate=rate, _index_dict=b.object("index"))
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.family, state.step.value) == ("rmsprop", family, 5)
    (parameter,) = state.parameters.values()
    root = np.sqrt(1e-14 + 1e-7) if has_counter else np.sqrt(1e-14) + 1e-7
    np.testing.assert_allclose(parameter.effective_lr(), np.full((3, 2), 0.5 / root), rtol=1e-5)
    moved = parameter.last_update()
    assert (moved is None) != has_counter
    assert moved is None or np.array_equal(moved, -2 * v)


def test_the_order_of_slots_outweighs_a_name() -> None:
    """`RMSprop(momentum=.5, name="adam")` lists velocities, then momenta, which Adam lists by turns."""
    shapes: list[tuple[int, ...]] = [(3, 2), (2,)]
    listed = [
        (f"adam/layer_{i}_kernel_{kind}", np.full(shape, 4.0, np.float32))
        for kind in ("velocity", "momentum")
        for i, shape in enumerate(shapes)
    ]
    assert _keras3_list(listed, shapes).rule == "rmsprop"
    assert _keras3_list([listed[i] for i in (2, 0, 3, 1)], shapes).rule == "adam"


def test_a_schedule_free_optimizer_is_no_adam() -> None:
    """Keras' ScheduleFreeAdamW calls its slots momentum and velocity; the first is a point beside the weights."""
    listed = [(f"schedule_free_adam_w/layer_0_kernel_{k}", np.ones((3, 2))) for k in ("momentum", "velocity")]
    state = _keras3_list(listed, [(3, 2)])
    assert (state.rule, state.update_rule) == ("schedulefreeadamw", None)
    assert [p.effective_lr() for p in state.parameters.values()] == [None]


def test_slots_with_names_that_tell_nothing_are_said_to_be_there() -> None:
    """Never that an optimizer was saved before its first update, where it has counted five and variables stand by."""
    state = _keras3_list([("mine/fast", np.ones((3, 2), np.float32))], [(3, 2)])
    assert state.parameters == {}
    assert str(state.absence).startswith("optimizer state of a kind that is not known: 1 variable ")


def _two_models(count: int = 2) -> tuple[Builder, list[str]]:
    """Two variables of one name and one shape, in two models."""
    b = Builder()
    names = []
    for i in range(count):
        names.append(b.variable(f"model{i}/kernel", "dense/kernel", moments((3, 2), seed=50 + i)[0]))
        b.object(f"model{i}", kernel=names[-1])
        b.children["root"][f"model{i}"] = f"model{i}"
    return b, names


@pytest.mark.parametrize("build", [_v2, _keras3])
def test_two_optimizers_over_variables_of_one_name(build: Any) -> None:
    """Each has its own model's weights, though both are called dense/kernel and all names of slots are equal."""
    b, (one, two) = _two_models()
    build(b, "opt_a", [one], 1, 5)
    build(b, "opt_b", [two], 2, 9)
    b.children["root"] |= {"opt_a": "opt_a", "opt_b": "opt_b"}
    states = {s.name: s for s in optimizer_states(b.checkpoint())}
    assert {n: s.step.value for n, s in states.items()} == {"opt_a": 5, "opt_b": 9}
    for name, variable in (("opt_a", one), ("opt_b", two)):
        (parameter,) = states[name].parameters.values()
        assert (parameter.name, parameter.found.value) == ("dense/kernel", variable)
        assert parameter.key("first_moment") in b.arrays


def _renamed_slots(b: Builder, rename: Any) -> None:
    for name, (full, key) in b.variables.items():
        if "/.OPTIMIZER_SLOT/" in name:
            b.variables[name] = (rename(full), key)


@pytest.mark.parametrize(("prefix", "rule"), [("Adam", "adam"), ("AdamW", "adamw"), ("Adamax", "adamax")])
def test_the_class_of_slots_that_a_restore_made(prefix: str, rule: str) -> None:
    """Slots made outside of the optimizer's scope don't name its class: its hyperparameters do."""
    b, (one, _) = _two_models()
    decay = {"weight_decay": 0.01} if prefix == "AdamW" else {}
    _v2(b, "opt", [one], 1, prefix=prefix, is_norm=prefix == "Adamax", **decay)
    _renamed_slots(b, lambda full: full.removeprefix(f"{prefix}/"))
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == (rule, "checkpoint")
    assert state.rule_source.where == f"hyperparameters are named {prefix!r}, the class's default name"


def test_slots_outweigh_the_name() -> None:
    """`Adam(name="SGD")`: first and second moments are no SGD's."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix="SGD")
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("adam", "default")
    assert state.parameters["dense/kernel"].effective_lr() is not None


@pytest.mark.parametrize("prefix", ["Adamax", "AdamW", "LAMB", "RectifiedAdam", "Nadam", "RMSprop", "Adagrad"])
def test_a_name_that_someone_chose_is_no_proof(prefix: str) -> None:
    """An Adam under another's name: its moments are too large for a norm, and scalars that the class keeps are
    missing."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix=prefix)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("adam", "default")
    assert not re.search("adamax|adamw|lamb,", state.rule_source.where)


@pytest.mark.parametrize("prefix", ["Adam", "mine", "SGD"])
def test_an_infinity_norm_is_known_by_its_values(prefix: str) -> None:
    """`Adamax(name="Adam")`: first moments grow as the second slot does, and not as its root."""
    b, (one, _) = _two_models()
    b.arrays[one] = np.zeros((40, 5), np.float32)
    _v2(b, "opt", [one], 1, prefix=prefix, is_norm=True)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("adamax", "inferred")
    assert list(state.parameters["dense/kernel"].found.slots) == ["first_moment", "infinity_norm"]


@pytest.mark.parametrize(
    ("prefix", "slots", "rates", "rule"),
    [
        ("Adam", (), ("momentum",), "sgd"),
        ("RMSprop", (), ("momentum",), "sgd"),
        ("Adam", ("momentum",), ("momentum",), "sgd"),
        ("SGD", ("rms", "momentum"), ("rho", "momentum"), "rmsprop"),
        ("Adam", ("accum_grad", "accum_var"), ("rho",), "adadelta"),
    ],
)
def test_slots_and_scalars_outweigh_the_name(
    prefix: str, slots: tuple[str, ...], rates: tuple[str, ...], rule: str
) -> None:
    """Another class under a name that someone chose: it is read for what it keeps."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [], 1, prefix=prefix, **dict.fromkeys(rates, 0.9))
    for name in ("beta_1", "beta_2"):
        del b.children["opt"][name]
    keys = {s: b.variable(f"slot-{s}", f"{prefix}/dense/kernel/{s}", np.ones((3, 2), np.float32)) for s in slots}
    b.slots["opt"] = [(one, slot, key) for slot, key in keys.items()]
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert state.rule == rule


def test_one_number_for_each_variable_is_no_second_moment() -> None:
    """`NovoGrad(name="Adam")`."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, weight_decay=0.01)
    (second,) = [key for _, slot, key in b.slots["opt"] if slot == "v"]
    b.arrays[second] = np.float32(0.1)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("novograd", "checkpoint")
    assert state.parameters["dense/kernel"].found.slots.keys() == {"first_moment", "v"}


def test_a_class_that_keeps_another_s_slots_is_itself() -> None:
    """Addons' ProximalAdagrad has an accumulator, as Adagrad has, and another update."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [], 1, prefix="ProximalAdagrad")
    for name in ("beta_1", "beta_2"):
        del b.children["opt"][name]
    slot = b.variable("slot", "ProximalAdagrad/dense/kernel/accumulator", np.ones((3, 2), np.float32))
    b.slots["opt"] = [(one, "accumulator", slot)]
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("proximaladagrad", "checkpoint")
    assert state.parameters["dense/kernel"].effective_lr() is None


@pytest.mark.parametrize(("count", "step"), [(1, 6), (2, None)])
def test_what_two_averaging_wrappers_hold_is_never_counted(count: int, step: int | None) -> None:
    """Addons' Lookahead gives the optimizer inside its own counter; under a second wrapper the innermost's stays 0, and
    its bias corrections those of a first update, which the caller may say."""
    b, (one, _) = _two_models()
    _v2(b, "adam", [one], 1, step=0)
    inner = "adam"
    for name, child, slot in (("ahead", "lh_base_optimizer", "slow"), ("moving", "awg_optimizer", "average"))[:count]:
        counter = b.variable(f"{name}/iter", f"{name}/iter", np.int64(6))
        b.object(name, iter=counter, **{child: inner})
        key = b.variable(f"{name}/{slot}", f"{name}/dense/kernel/{slot}", np.ones((3, 2), np.float32))
        b.slots[name], inner = [(one, slot, key)], name
    b.children["root"]["opt"] = inner
    (state,) = optimizer_states(b.checkpoint())
    assert state.step.value == step
    if step is None:
        assert "whose own counter Addons never raises" in state.step.where
        assert "counter-open" in [p.code for p in state.problems]
    (given,) = optimizer_states(b.checkpoint(), {"step": 1})
    m, v = (b.arrays[key].astype(np.float64) for _, slot, key in b.slots["adam"])
    expected = -0.01 * np.sqrt(1 - 0.999) / (1 - 0.9) * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(given.parameters["dense/kernel"].last_update(), expected, rtol=1e-4)


@pytest.mark.parametrize(("prefix", "is_twice"), [("AdamW", False), ("LAMB", True)])
def test_a_second_decay_leaves_no_trace(prefix: str, is_twice: bool) -> None:
    """Addons' extension keeps its decay under the name that LAMB keeps its own under: a remark says what is open."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix=prefix)
    b.children["opt"]["weight_decay"] = b.variable("opt/weight_decay", f"{prefix}/weight_decay", np.float32(0.1))
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    (message,) = (p.message for p in state.problems if p.code == "exclusions-not-saved")
    assert ("nor whether extend_with_decoupled_weight_decay takes it once more" in message) == is_twice


@pytest.mark.parametrize("prefix", ["adamax", "nadam", "rmsprop", "sgd", "mine"])
def test_keras_3_slots_outweigh_the_name(prefix: str) -> None:
    """Velocities are no norm, and Nadam keeps a product of momenta."""
    b, (one, _) = _two_models()
    _keras3(b, "opt", [one], 1, prefix=prefix)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("adam", "default")


def test_who_is_spared_from_the_trust_ratio_leaves_no_trace_either() -> None:
    """Addons' LAMB without a weight decay."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix="LAMB", weight_decay=0.0)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    (message,) = (p.message for p in state.problems if p.code == "exclusions-not-saved")
    assert "exclude_from_layer_adaptation spares from the trust ratio" in message


def test_hyperparameters_that_name_no_class() -> None:
    """An optimizer of the user's own name is Adam by habit alone."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix="mine")
    _renamed_slots(b, lambda full: full.removeprefix("mine/"))
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == ("adam", "default")
    assert "named 'mine', which is no class that has these" in state.rule_source.where


@pytest.mark.parametrize(
    ("scale", "second", "rule", "source"),
    [
        (100, lambda g: np.abs(g), "adamax", "inferred"),  # |m| = 10·√u, where Adam leaves 7.3·√v at most
        (0.01, lambda g: np.abs(g), "adam", "default"),
        (1e-20, lambda g: np.full_like(g, 1e-4), "adam", "default"),  # gradients that ceased long ago
    ],
)
def test_adamax_is_inferred_where_adam_is_excluded(scale: float, second: Any, rule: str, source: str) -> None:
    """First moments below the second prove nothing, only one that Adam's betas don't allow does."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix="mine")
    b.children["root"]["opt"] = "opt"
    gradient = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2) * np.float32(scale)
    for name, array in (("m", gradient), ("v", second(gradient))):
        b.arrays[f"{one}/.OPTIMIZER_SLOT/opt/{name}"] = array.astype(np.float32)
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.rule_source.source) == (rule, source)


def test_sharded_variables_are_named_by_their_keys() -> None:
    """ParameterServerStrategy's are all called `ShardedVariable`: the key tells one from the other, the
    hyperparameters tell the class."""
    b, names = _two_models()
    _v2(b, "opt", names, 1)
    for name in [n for n in b.variables if not n.startswith("opt/")]:
        b.variables[name] = ("ShardedVariable", b.variables[name][1])
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert list(state.parameters) == ["model0/kernel", "model1/kernel"]
    assert (state.rule, state.rule_source.source) == ("adam", "checkpoint")


def test_second_moments_of_one_number_a_variable() -> None:
    """NovoGrad's v is one number for each variable by design: kept under its own name, and no fault of the file."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1, prefix="NovoGrad")
    b.arrays[f"{one}/.OPTIMIZER_SLOT/opt/v"] = np.float32(0.5)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    (parameter,) = state.parameters.values()
    assert (state.rule, state.step.value, state.problems) == ("novograd", 5, ())
    assert set(parameter.found.slots) == {"first_moment", "v"}


def _module(b: Builder, name: str, lists: dict[str, list[Any]], step: int | None = 5) -> None:
    """A `tf.Module` of the user's own with lists of variables, all called `Variable`."""
    children = {}
    for kind, arrays in lists.items():
        members = [b.variable(f"{name}/{kind}/{i}", "Variable", a) for i, a in enumerate(arrays)]
        children[kind] = b.list(f"{name}/{kind}", members)
    if step is not None:
        children["t"] = b.variable(f"{name}/t", "Variable", np.int64(step))
    b.object(name, **children)
    b.children["root"][name] = name


@pytest.mark.parametrize("step", [5, None])
def test_a_hand_made_optimizer(step: int | None) -> None:
    """Lists like the model's variables are an optimizer's state of an unknown kind, under the names that they have."""
    b = Builder()
    arrays = [moments(shape, seed=i) for i, shape in enumerate(((3, 2), (2,)))]
    b.object("model", **{f"w{i}": b.variable(f"model/w{i}", f"w{i}", a[0]) for i, a in enumerate(arrays)})
    b.children["root"]["model"] = "model"
    _module(b, "opt", {"v_dvar": [a[1] for a in arrays], "s_dvar": [a[2] for a in arrays]}, step)
    (state,) = optimizer_states(b.checkpoint())
    assert (state.name, state.rule, state.rule_source.source, state.step.value) == ("opt", "unknown", "default", None)
    assert [p.found.slots for p in state.parameters.values()] == [
        {"v_dvar": f"opt/v_dvar/{i}", "s_dvar": f"opt/s_dvar/{i}"} for i in range(2)
    ]
    assert state.absence == (
        "optimizer state of a kind that is not known: slots v_dvar, s_dvar for 2 variables; if it computes as a rule "
        "that is known does, name that with --rule"
    )
    assert [p.code for p in state.problems] == (["counter-open"] if step else [])
    if step:
        assert "opt/t may count the updates" in state.step.where


@pytest.mark.parametrize(
    "lists",
    [
        {"kernels": [np.ones((3, 2)), np.ones((2, 4))], "biases": [np.ones(2), np.ones(4)]},  # a model's own weights
        {"one": [np.float32([[-1, 1]]), np.float32([-1])], "two": [np.float32([[-1, 1]]), np.float32([-1])]},
    ],
)
def test_lists_of_weights_are_no_optimizer(lists: dict[str, list[Any]]) -> None:
    """Lists that don't fit other variables, or that aren't averages of squares, are left alone."""
    b = Builder()
    _module(b, "model", lists, None)
    assert optimizer_states(b.checkpoint()) == ()


@pytest.mark.parametrize("build", [_v2, _keras3])
def test_an_optimizer_reachable_twice_is_reported_once(build: Any) -> None:
    """Once, under the shorter of its paths."""
    b, (one, _) = _two_models()
    build(b, "opt", [one], 1)
    b.object("trainer", optimizer="opt")
    b.children["root"] |= {"trainer": "trainer", "my_opt": "opt"}
    assert [s.name for s in optimizer_states(b.checkpoint())] == ["my_opt"]


def test_two_variables_of_one_name_in_one_optimizer() -> None:
    """The second is numbered, and each keeps its own moments."""
    b, (one, two) = _two_models()
    _v2(b, "opt", [one, two], 1)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert list(state.parameters) == ["dense/kernel", "dense/kernel#2"]
    assert state.parameters["dense/kernel#2"].found.value == two


@pytest.mark.parametrize(
    ("is_model", "order"), [(True, ("inside/kernel", "after/kernel")), (False, ("after/kernel", "inside/kernel"))]
)
def test_variables_of_one_name_are_paired_in_the_order_in_which_a_model_lists_them(
    is_model: bool, order: tuple[str, str]
) -> None:
    """In a Keras model an inner model's stand before those of the layers after it, though they lie deeper. What is no
    model lists its attributes in no order that means anything: the graph's own is kept."""
    b = Builder()
    for name in ("after", "inside"):
        b.variable(f"{name}/kernel", "dense/kernel", np.ones((3, 2), np.float32))
    slots = [
        b.variable(f"slots/{i}", f"Adam/{slot}/dense/kernel", np.full((3, 2), size, np.float32))
        for i, (slot, size) in enumerate([("m", 0.9), ("v", 0.9), ("m", 0.1), ("v", 0.1)])
    ]
    b.list("opt/variables", [b.variable("opt/it", "iteration", np.int64(5)), *slots])
    b.object("opt", _variables="opt/variables", _iterations="opt/it")
    b.object("after", kernel="after/kernel")
    b.object("inside", kernel="inside/kernel")
    b.object("inner", layer="inside")
    layers = [f"layer_with_weights-{i}" if is_model else name for i, name in enumerate(("first", "second"))]
    b.object("model", **dict(zip(layers, ("inner", "after"), strict=True)))
    b.children["root"] |= {"model": "model", "optimizer": "opt"}
    (state,) = optimizer_states(b.checkpoint())
    sizes = {p.found.value: float(np.max(p.first_moment())) for p in state.parameters.values()}  # type: ignore[arg-type]
    assert sizes == pytest.approx(dict(zip(order, (0.9, 0.1), strict=True)))


def _keras2_named(b: Builder, name: str, variables: Sequence[str], start: int = 0) -> None:
    """A Keras 2.11+ optimizer of these variables, in this order: full names alone connect them with the slots. Its
    first moments are `start`, `start + 1`, .. tenths."""
    slots = []
    for i, variable in enumerate(variables):
        full, key = b.variables[variable]
        shape = b.arrays[key].shape
        for slot in "mv":
            value = np.full(shape, (start + i) / 10, np.float32)
            slots.append(b.variable(f"{name}/{slot}{i}", f"Adam/{slot}/{full}", value))
    b.list(f"{name}/variables", [b.variable(f"{name}/it", "iteration", np.int64(5)), *slots])
    b.object(name, _variables=f"{name}/variables", _iterations=f"{name}/it")


def _networks(*paths: str) -> tuple[Builder, dict[str, list[str]]]:
    """Networks of the same two layers, as arguments of a Checkpoint: their variables' keys by network."""
    b = Builder()
    b.children["root"]["save_counter"] = b.variable("save_counter", "save_counter", np.int64(1))
    keys: dict[str, list[str]] = {}
    for path in paths:
        layers = {}
        for i, layer in enumerate(("first", "second")):
            keys.setdefault(path, []).append(
                b.variable(f"{path}/{layer}", f"{layer}/kernel", np.ones((3, 2), np.float32))
            )
            layers[f"layer_with_weights-{i}"] = b.object(f"{path}/{layer}/layer", kernel=f"{path}/{layer}")
        b.children["root"][path] = b.object(path, **layers)
    return b, keys


def _paired(state: OptimizerState) -> dict[str | None, float]:
    return {p.found.value: round(float(np.max(p.first_moment())), 1) for p in state.parameters.values()}  # type: ignore[arg-type]


def test_which_of_two_networks_an_optimizer_trains_may_be_open() -> None:
    """Both have variables of its names: no weights are taken for its own, and what it does is still known."""
    b, keys = _networks("alpha", "beta")
    _keras2_named(b, "opt", keys["beta"])
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert [p.value() for p in state.parameters.values()] == [None, None]
    assert state.parameters["first/kernel"].reason("value") == "no weights in the file are known to be this variable's"
    assert {p.resolution for p in state.problems} == {
        "none is used: nothing in the file tells which of them this optimizer trains"
    }


@pytest.mark.parametrize("path", ["beta_optimizer", "beta/optimizer"])
def test_a_name_or_a_model_tells_which_network_an_optimizer_trains(path: str) -> None:
    """One that is named like the network, or that the compiled model itself holds."""
    b, keys = _networks("alpha", "beta")
    _keras2_named(b, "opt", keys["beta"], start=1)
    if "/" in path:
        b.children["beta"]["optimizer"] = "opt"
        b.children["root"]["an"] = "opt"
    else:
        b.children["root"][path] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert _paired(state) == dict(zip(keys["beta"], (0.1, 0.2), strict=True))


def test_the_order_of_two_networks_is_open() -> None:
    """A Checkpoint sorts its arguments, so that their order says nothing of the one in which they were trained."""
    b, keys = _networks("alpha", "beta")
    _keras2_named(b, "opt", [*keys["beta"], *keys["alpha"]])
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert [p.value() for p in state.parameters.values()] == [None] * 4
    assert {p.resolution for p in state.problems} == {"none is used: nothing in the file tells which moments are whose"}


@pytest.mark.parametrize("step", [1, -1])
def test_the_names_tell_in_which_direction_a_model_was_listed(step: int) -> None:
    """Gradients in the reverse of the model's order: the second of two variables of one name then comes first."""
    b, keys = _networks("encoder", "decoder")
    del b.children["root"]["encoder"], b.children["root"]["decoder"]
    b.children["root"]["model"] = b.object("model", encoder="encoder", decoder="decoder")
    order = [*keys["encoder"], *keys["decoder"]][::step]
    _keras2_named(b, "opt", order)
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert _paired(state) == dict(zip(order, (0.0, 0.1, 0.2, 0.3), strict=True))


def test_keras3_loss_scaling_answers_with_the_inner_optimizer() -> None:
    """The wrapper's own counter stays 0: it is no optimizer."""
    b, (one, _) = _two_models()
    _keras3(b, "inner", [one], 1, 7)
    b.list("outer/_variables", [b.variable("outer/it", "iteration", np.int64(0))])
    b.object("outer", _variables="outer/_variables", _iterations="outer/it", inner_optimizer="inner")
    b.children["root"]["optimizer"] = "outer"
    (state,) = optimizer_states(b.checkpoint())
    assert (state.name, state.step.value) == ("optimizer/inner_optimizer", 7)


def test_a_shared_counter_is_a_problem() -> None:
    """Two optimizers with one counter: its value, and a warning that one of them used a smaller one."""
    b, (one, two) = _two_models()
    _keras3(b, "opt_a", [one], 1)
    _keras3(b, "opt_b", [two], 2)
    b.children["opt_b"]["_iterations"] = "opt_a/it"
    b.children["root"] |= {"opt_a": "opt_a", "opt_b": "opt_b"}
    states = optimizer_states(b.checkpoint())
    assert all("shared-step-counter" in [p.code for p in s.problems] for s in states)


def test_moments_of_another_shape_than_the_weights_get_none() -> None:
    """Weights whose shape isn't their moments' are left out, and the rest is kept."""
    b, (one, _) = _two_models()
    _keras3(b, "opt", [one], 1)
    b.children["root"]["opt"] = "opt"
    b.arrays[one] = np.ones((4, 4), np.float32)
    (state,) = optimizer_states(b.checkpoint())
    (parameter,) = state.parameters.values()
    assert parameter.value() is None
    assert parameter.effective_lr() is not None
    assert "association-uncertain" in [p.code for p in state.problems]


def test_a_second_moment_of_another_shape_is_left_out() -> None:
    """Nothing is broadcast: what differs in shape is dropped, and said."""
    b, (one, _) = _two_models()
    _v2(b, "opt", [one], 1)
    b.children["root"]["opt"] = "opt"
    b.arrays[f"{one}/.OPTIMIZER_SLOT/opt/v"] = np.ones((1, 2), np.float32)
    (state,) = optimizer_states(b.checkpoint())
    (parameter,) = state.parameters.values()
    assert parameter.second_moment() is None
    assert parameter.effective_lr() is None
    assert (
        parameter.reason("effective_lr") == parameter.reason("second_moment") == "the second moment is not in the file"
    )
    assert parameter.reason("first_moment") is None
    with pytest.raises(RequestError, match="there is no 'velocity' of a parameter: ask for effective_lr, last_update"):
        parameter.reason("velocity")
    assert [p.code for p in state.problems] == ["shapes-differ"]


@pytest.mark.parametrize(
    "counter", [np.zeros((3,), np.int64), np.array([b"5"], object), np.zeros((0,), np.int64), np.array(True)]
)
def test_a_counter_that_is_no_number_is_left_out(counter: Any) -> None:
    """A counter of several numbers, of text or of none leaves the step unknown."""
    b, (one, _) = _two_models()
    _keras3(b, "opt", [one], 1)
    b.children["root"]["opt"] = "opt"
    b.arrays["opt/it"] = counter
    (state,) = optimizer_states(b.checkpoint())
    assert (state.step.value, state.step.source) == (None, "unknown")
    assert "scalar-malformed" in [p.code for p in state.problems]


def test_more_slots_of_one_kind_than_variables() -> None:
    """Lists of unequal length are reported as far as they go."""
    b, (one, _) = _two_models()
    _keras3(b, "opt", [one], 1)
    extra = [b.variable(f"extra{i}", f"adam/other{i}_velocity", np.ones((2,), np.float32)) for i in range(2)]
    start = len(b.children["opt/_variables"])
    b.children["opt/_variables"] |= {str(start + i): e for i, e in enumerate(extra)}
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert state.parameters["dense/kernel"].found.value == one


@pytest.mark.parametrize("name", ["²", "9" * 5000, "-1", "1e3", ""])
def test_children_that_are_no_indices_are_no_members(name: str) -> None:
    """What Python takes for digits and can't read as a number is not an index."""
    b, (one, _) = _two_models()
    _keras3(b, "opt", [one], 1)
    b.children["opt/_variables"][name] = one
    b.children["root"]["opt"] = "opt"
    (state,) = optimizer_states(b.checkpoint())
    assert list(state.parameters) == ["dense/kernel"]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (field(1, field(1, field(1, 7) + field(2, b"x"))), "node 0 points outside of its 1 nodes"),
        (b"\x0a\x7f", "claims 127 bytes, but only 0 are left"),
        (b"\xff" * 11, "byte 0"),
    ],
)
def test_a_damaged_graph_is_told(graph: bytes, message: str) -> None:
    """One sentence with the place, the cause and what to do."""
    with pytest.raises(DamagedFileError, match=message) as error:
        optimizer_states(MemoryCheckpoint({OBJECT_GRAPH_KEY: np.array(graph, object)}))
    assert "object graph" in str(error.value)
    assert "restore" in str(error.value)


@pytest.mark.parametrize("odd", [np.float32(1), np.array([b"", b""], object), np.zeros((0,), object)])
def test_a_tensor_of_the_graphs_name_that_is_no_graph(odd: Any) -> None:
    """Not one string: not an object graph, and not an error."""
    assert optimizer_states(MemoryCheckpoint({OBJECT_GRAPH_KEY: odd})) == ()


def test_paths_of_a_long_chain_take_no_memory_of_their_own() -> None:
    """All together they would be as long as the square of its length."""
    length = 20_000
    graph = ObjectGraph(tuple(Node(i, {"n": (i + 1) % length, "0": 0}, "", "", ()) for i in range(length)))
    tracemalloc.start()
    paths = graph.paths
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(paths) == length and peak < 20_000_000
    assert (paths[0], paths[2], paths[length - 1]) == ("", "n/n", "n/" * (length - 2) + "n")


def test_an_empty_graph_holds_no_optimizer() -> None:
    """No nodes at all."""
    assert optimizer_states(MemoryCheckpoint(object_graph([]))) == ()


CHILDREN = (
    "_variables", "_trainable_variables", "_iterations", "iterations", "_learning_rate", "_current_learning_rate",
    "iter", "learning_rate", "decay", "beta_1", "beta_2", "beta1_power", "beta2_power", "inner_optimizer",
    "base_optimizer",
    "optimizer", "_momentums", "_u_product", "_index_dict", "momentum_cache", "weight_decay", "0", "1", "2", "10", "²",
)  # fmt: skip
FULL_NAMES = (
    "Adam/m/dense/kernel", "Adam/v/dense/kernel", "Adam/vhat/dense/kernel", "adam/dense_kernel_momentum", "a/m/m/m",
    "adam/dense_kernel_velocity", "adam/dense_kernel_velocity_hat", "dense/kernel", "adam/dense_kernel_norm", "m", "",
    "adam/x_gradient_accumulator", "adam/_momentum", "/",
)  # fmt: skip
ARRAYS = [
    np.full(shape, value).astype(dtype)
    for shape in ((), (1,), (0,), (3, 2), (2, 3))
    for value, dtype in (
        (5, "int64"),
        (0.5, "float32"),
        (np.nan, "float32"),
        (-3, "float64"),
        (1, "bool"),
        (2, "float16"),
    )
] + [np.full((3, 2), b"x", object)]


@st.composite
def graphs(draw: st.DrawFn) -> MemoryCheckpoint:
    """Any graph at all: links, names, slots and shapes at random."""
    count = draw(st.integers(1, 10))
    index = st.integers(0, count - 1)
    arrays: dict[str, Any] = {}
    nodes = []
    for i in range(count):
        children = draw(st.dictionaries(st.sampled_from(CHILDREN), index, max_size=8))
        variable = None
        if draw(st.booleans()):
            variable = (draw(st.sampled_from(FULL_NAMES)), f"key{i}")
            arrays[f"key{i}"] = draw(st.sampled_from(ARRAYS))
        slots = draw(
            st.lists(st.tuples(index, st.sampled_from(("m", "v", "vhat", "rms", "slow", "")), index), max_size=4)
        )
        nodes.append(node(children, variable, slots))
    config = draw(st.sampled_from([None, {"class_name": "Adam", "config": {"learning_rate": 10**400, "epsilon": "x"}}]))
    return MemoryCheckpoint({**arrays, **object_graph(nodes)}, optimizer=config)


@given(graphs())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_graph_gives_states_or_one_of_our_errors(checkpoint: MemoryCheckpoint) -> None:
    """Whatever nodes a damaged or hostile file holds: no other exception, and nothing computed from unequal shapes."""
    try:
        states = optimizer_states(checkpoint)
    except CkptInspectError:
        return
    for state in states:
        for parameter in state.parameters.values():
            for quantity in (parameter.effective_lr, parameter.last_update):
                result = quantity()
                assert result is None or result.shape == parameter.shape


def test_a_rule_that_is_given_names_a_modules_lists() -> None:
    """The list without negative elements is the second moment of a rule that has one; without it no rule is assumed."""
    b = Builder()
    shapes: list[tuple[int, ...]] = [(4, 3), (3,)]
    for i, shape in enumerate(shapes):
        value, m, v = moments(shape, seed=i)
        for name, array in (("w", value), ("a_square", v), ("b_mean", m)):
            b.variable(f"{name}{i}", f"{name}_{i}", array)
    for name in ("a_square", "b_mean"):
        b.list(name, [f"{name}{i}" for i in range(2)])
    b.object("opt", a_square="a_square", b_mean="b_mean")
    b.children["root"] |= {"opt": "opt", "w0": "w0", "w1": "w1"}
    (state,) = optimizer_states(b.checkpoint())
    assert (state.rule, state.update_rule) == ("unknown", None)
    (given,) = optimizer_states(b.checkpoint(), {"rule": "adam", "step": 5, "learning_rate": 0.1})
    assert {p.key("second_moment") for p in given.parameters.values()} == {"a_square0", "a_square1"}
