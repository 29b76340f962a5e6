"""Keras' and optax' states in Orbax folders, compared with the live optimizers' arrays and last updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.orbax_sets import FOLDER, truth

from ckpt_inspect import OptimizerState, find_checkpoints, open_checkpoint, optimizer_states
from ckpt_inspect.checkpoint import Array, Checkpoint, SavedTree, TensorSpec
from ckpt_inspect.state.given import Given

FIELDS = {
    "mu": "first_moment", "nu": "second_moment", "nu_max": "max_second_moment", "sum_of_squares": "second_moment",
}  # fmt: skip
LIVE: dict[str, Given] = {
    "adam-chain-plain": {"learning_rate": 1e-2, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
    "adamw-inject": {},
    "lamb-inject": {},
    "amsgrad-z3": {"learning_rate": 1e-2},
    "adamax-plain": {"learning_rate": 1e-2, "rule": "adamax"},
    "multi": {"fast.learning_rate": 1e-2},
    "multisteps-plain3": {"learning_rate": 1e-2},
    "run": {"learning_rate": 1e-2},
    "sharded": {"learning_rate": 1e-2},
    "keras-amsgrad-sched": {},
}
"""Set -> what neither the folder nor a default tells."""


def newest(name: str) -> Checkpoint:
    return open_checkpoint(find_checkpoints(FOLDER / name)[-1])


def states_of(name: str, given: Given | None = None) -> tuple[Checkpoint, tuple[OptimizerState, ...]]:
    checkpoint = newest(name)
    return checkpoint, optimizer_states(checkpoint, given=given)


@pytest.mark.parametrize("name", LIVE)
def test_state_and_last_update_are_those_of_the_live_optimizer(name: str) -> None:
    """Every moment and weight to the bit, the step, and Δ to rounding: of adam, adamw, amsgrad, adamax and lamb."""
    expected = truth(name)
    checkpoint, states = states_of(name, LIVE[name])
    with checkpoint:
        parameters = {p.name: p for state in states for p in state.parameters.values()}
        assert set(parameters) == {path.removeprefix("value/") for path in expected if path.startswith("value/")}
        assert {state.step.value for state in states} == {int(expected["step"])}
        for path, parameter in parameters.items():
            np.testing.assert_array_equal(_whole(parameter.value()), expected[f"value/{path}"])
            fields = [field for field in FIELDS if f"{field}/{path}" in expected]
            assert fields[:2] == ["mu", "nu"]
            for field in fields:
                slot = _whole(getattr(parameter, FIELDS[field])())
                np.testing.assert_array_equal(slot, expected[f"{field}/{path}"], field)
            update, recorded = _whole(parameter.last_update()), expected[f"update/{path}"]
            assert np.abs(update - recorded).max() <= 2e-6 * np.abs(recorded).max() + 1e-7 * (name.startswith("keras"))


def _whole(array: Any) -> Any:
    assert array is not None
    return np.asarray(array)


def test_what_is_injected_is_read() -> None:
    """The schedule's value that the last update used, the betas, both epsilons and the decay."""
    checkpoint, (state,) = states_of("adamw-inject")
    with checkpoint:
        sources = {name: value.source for name, value in state.hyperparameters.items()}
        assert set(sources.values()) == {"checkpoint"}
        assert state.hyperparameters["epsilon_root"].value == pytest.approx(1e-3)
        assert state.hyperparameters["learning_rate"].value == pytest.approx(1e-2 * 0.5 ** (4 / 2))
        assert (state.rule, state.rule_source.source) == ("adamw", "default")
        assert "could be nadamw just as well" in state.rule_source.where


def test_what_is_in_no_file_is_assumed_or_unknown() -> None:
    """optax' defaults are called that; rate and rule are left open where several functions keep the same state."""
    checkpoint, (state,) = states_of("sharded")
    with checkpoint:
        assert (state.rule, state.rule_source.source) == ("adam", "default")
        assert "nadam" in state.rule_source.where
        assert state.hyperparameters["learning_rate"].source == "unknown"
        assert state.hyperparameters["epsilon"].value == 1e-8
        assert state.hyperparameters["epsilon"].source == "default"
        assert "total_steps" not in state.hyperparameters


def test_each_optimizer_of_a_multi_transform_has_its_own() -> None:
    """By its label; masked parameters belong to the other."""
    checkpoint, states = states_of("multi")
    with checkpoint:
        names = {state.name: sorted(state.parameters) for state in states}
        assert names == {"fast": ["enc/mu/kernel", "nu/1/0"], "slow": ["enc/mu/bias", "nu/0"]}
        rates = {state.name: state.hyperparameters["learning_rate"].source for state in states}
        assert rates == {"fast": "unknown", "slow": "checkpoint"}


def test_accumulated_gradients_are_no_state() -> None:
    """MultiSteps keeps a tree of them, whose layers may be named as optax' fields are."""
    checkpoint, states = states_of("multisteps-plain3")
    with checkpoint:
        assert [state.name for state in states] == ["opt_state"]


def test_adagrad_s_sum_is_read() -> None:
    """It has no counter of its own, so that the program's stands in."""
    checkpoint, (state,) = states_of("adagrad", {"learning_rate": 1e-2})
    expected = truth("adagrad")
    with checkpoint:
        assert (state.rule, state.step.value) == ("adagrad", int(expected["step"]))
        for path, parameter in state.parameters.items():
            total = expected[f"sum_of_squares/{path}"]
            np.testing.assert_allclose(
                _whole(parameter.effective_lr()), np.float32(1e-2) / np.sqrt(total + np.float32(1e-7)), rtol=1e-6
            )


def test_weights_alone_hold_no_optimizer() -> None:
    """What `save_weights_only` of Keras leaves."""
    checkpoint, states = states_of("keras-weightsonly")
    with checkpoint:
        assert states == ()
        assert checkpoint.training_config() is None


def test_keras_configuration_is_beside_the_arrays() -> None:
    """Betas, epsilon and the schedule at the last update."""
    checkpoint, (state,) = states_of("keras-amsgrad-sched")
    with checkpoint:
        sources = {name: value.source for name, value in state.hyperparameters.items()}
        assert {sources[name] for name in ("beta_1", "beta_2", "epsilon", "learning_rate")} == {"config"}
        assert state.hyperparameters["learning_rate"].value == pytest.approx(0.1 * 0.5**0.5)
        assert (state.rule, state.layout) == ("amsgrad", "keras-orbax")


class Made(Checkpoint):
    """A tree of zeros of shape (2,) with counters at 1, without any file."""

    format = "orbax"

    def __init__(self, *leaves: str, empty: tuple[str, ...] = (), halves: tuple[str, ...] = ()) -> None:
        """`halves`: leaves of bfloat16."""
        self.path, self.files, self._empty = Path("made"), (), tuple(tuple(e.split("/")) for e in empty)
        self._trees = {leaf: tuple(leaf.split("/")) for leaf in leaves}
        self.tensors = {
            leaf: TensorSpec(
                leaf, *(((), "int32") if "count" in leaf or "step" in leaf.split("/") else ((2,), "float32"))
            )
            for leaf in leaves
        } | {leaf: TensorSpec(leaf, (2,), "bfloat16") for leaf in halves}

    def saved_tree(self) -> SavedTree:
        return SavedTree(self._trees, self._empty)

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        dtype = self.tensors[name].dtype
        return np.full(stop - start, dtype == "int32", dtype)


def optimizers(*leaves: str) -> dict[str, dict[str, str | None]]:
    """Names of the optimizers that are found, with the key of each parameter's weights."""
    found = optimizer_states(Made(*leaves))
    return {state.name: {p.name: p.found.value for p in state.parameters.values()} for state in found}


ADAM = ("opt_state/0/count", "opt_state/0/mu/w", "opt_state/0/nu/w")


@pytest.mark.parametrize(
    ("others", "weights"),
    [
        (("params/w",), "params/w"),
        (("params/w", "ema_params/w", "target/w"), "params/w"),
        (("model/w", "model_ema/w"), "model/w"),
        (("a/w", "b/w"), None),
        (("opt_state/acc_grads/w",), None),
        ((), None),
    ],
)
def test_the_weights_are_the_tree_that_the_moments_repeat(others: tuple[str, ...], weights: str | None) -> None:
    """Outside of the states; not what is named as an average; none where two are as likely."""
    assert optimizers(*ADAM, *others) == {"opt_state": {"w": weights}}


@pytest.mark.parametrize(
    ("states", "others", "weights"),
    [
        ("optimizer/opt_state", ("optimizer/model/w",), "optimizer/model/w"),
        ("optimizer/state", ("optimizer/target/w", "optimizer/state/z/w"), "optimizer/target/w"),
        ("opt_state", ("opt_state/z/w",), None),
        ("s/inner_opt_state", ("s/acc_grads/w", "w/w"), "w/w"),
        ("s/inner_opt_state", ("s/acc_grads/w",), None),
        ("inner_opt_state", ("acc_grads/w",), None),
    ],
)
def test_what_a_wrapper_keeps_is_no_weight_and_what_stands_beside_a_state_is(
    states: str, others: tuple[str, ...], weights: str | None
) -> None:
    """flax.nnx' ModelAndOptimizer holds the model; MultiSteps accumulates gradients, under any name of its state."""
    leaves = [leaf.replace("opt_state", states, 1) for leaf in ADAM]
    ((_, found),) = optimizers(*leaves, *others).items()
    assert found == {"w": weights}


def test_each_optimizer_has_the_weights_nearest_to_it() -> None:
    """A generator and a discriminator of the same shapes."""
    leaves = [f"{who}/{leaf}" for who in ("g", "d") for leaf in (*ADAM, "params/w")]
    assert optimizers(*leaves) == {"g": {"w": "g/params/w"}, "d": {"w": "d/params/w"}}


@pytest.mark.parametrize(
    "layers",
    [
        ("params/enc/mu/w", "params/enc/nu/w"),
        ("opt_state/acc_grads/enc/mu/w", "opt_state/acc_grads/enc/nu/w"),
        ("params/0/trace/w",),
    ],
)
def test_a_layer_that_is_named_as_a_field_is_none(layers: tuple[str, ...]) -> None:
    """A variational autoencoder's `mu`, and what accumulates its gradients."""
    assert not any(optimizers(*layers).values())


@pytest.mark.parametrize(
    ("leaves", "told"),
    [
        (("opt_state/1/max_dist/w", "opt_state/1/init_params/w"), ["2 arrays lie under opt_state, in no state"]),
        (("a/optimizer/state/param_states/w/grad_ema", "a/optimizer/target/w"), ["an array lies under a/optimizer,"]),
        (("opt_state/1/count",), ["no arrays lie under opt_state, as plain SGD"]),
        (("step",), []),
        (("params/opt_head/w", "optic/w", "text/w"), []),
    ],
)
def test_what_lies_under_an_optimizer_s_name_is_not_called_weights(leaves: tuple[str, ...], told: list[str]) -> None:
    """A state of a kind that is not known is still one, and so is one that holds nothing; a layer's name is none."""
    states = optimizer_states(Made(*leaves, "params/w"))
    assert [str(s.absence)[: len(t)] for s, t in zip(states, told, strict=True)] == told
    assert all(state.rule == "unknown" for state in states)


def test_flax_nnx_variables_are_those_of_their_arrays() -> None:
    """Each array lies under `value`."""
    leaves = [f"{leaf}/value" for leaf in (*ADAM, "model/w")]
    assert optimizers(*leaves) == {"opt_state": {"w": "model/w/value"}}


@pytest.mark.parametrize(
    ("fields", "rule", "source"),
    [
        ("0/count 0/mu/w 0/nu/w", "adam", "default"),
        ("0/count 0/mu/w 0/nu/w 0/nu_max/w", "amsgrad", "default"),
        ("1/sum_of_squares/w", "adagrad", "default"),
        ("0/nu/w 2/trace/w", "rmsprop", "checkpoint"),
        ("0/count 0/mu/w 0/nu/w 2/count", "adamw", "default"),
    ],
)
def test_flax_nnx_saves_no_links_without_a_state(fields: str, rule: str, source: str) -> None:
    """Those between others show as gaps; how many follow the last is unknown, so that nothing is counted of them."""
    leaves = [f"optimizer/opt_state/{field}/value" for field in fields.split()]
    (state,) = optimizer_states(Made(*leaves, "optimizer/step/value", "model/w/value"))
    assert (state.rule, state.rule_source.source) == (rule, source)
    assert ("holds no links without a state" in state.rule_source.where) is (" 2/" not in fields)
    assert list(state.parameters) == ["w"]


def test_what_is_injected_tells_a_rule_whose_links_are_not_saved() -> None:
    """optax.radam alone takes a threshold; optax.adamw takes what optax.lamb does."""
    names = (*INJECTED, "opt_state/hyperparams/eps_root")
    (state,) = optimizer_states(Made(*INNER, *names, "opt_state/hyperparams/threshold", "params/w"))
    assert (state.rule, state.rule_source.source) == ("radam", "inferred")
    (state,) = optimizer_states(Made(*INNER, *names, "opt_state/hyperparams/weight_decay", "params/w"))
    assert (state.rule, state.rule_source.source) == ("adamw", "default")
    assert "lamb" in state.rule_source.where


def test_steps_are_counted_beside_the_states_where_they_are_nowhere_in_them() -> None:
    """flax.nnx' Optimizer counts; of several counts the nearest is its own."""
    leaves = ("gan/d/opt_state/0/sum_of_squares/w", "gan/d/step", "gan/step", "step", "gan/d/model/w")
    (state,) = optimizer_states(Made(*leaves, empty=("gan/d/opt_state/1",)))
    assert (state.step.value, state.step.where.split(",")[0]) == (1, "gan/d/step")


def test_a_bare_array_is_a_parameter() -> None:
    """Without a tree around it, it is named as its place is."""
    assert optimizers("opt_state/0/count", "opt_state/0/mu", "opt_state/0/nu", "theta") == {
        "opt_state": {"theta": "theta"}
    }


def test_what_stands_beside_adam_s_state_in_a_chain_makes_it_unknown() -> None:
    """A moving average of its updates, for example; the slots are shown."""
    (state,) = optimizer_states(Made(*ADAM, "opt_state/1/count", "opt_state/1/ema/w", "params/w"))
    assert state.rule == "unknown"
    assert list(state.parameters["w"].found.slots) == ["first_moment", "second_moment", "ema"]


INJECTED = tuple(f"opt_state/hyperparams/{name}" for name in ("learning_rate", "b1", "b2", "eps"))
INNER = tuple(leaf.replace("opt_state/", "opt_state/inner_state/") for leaf in ADAM)


@pytest.mark.parametrize(
    ("more", "links", "rule", "source", "others"),
    [
        (("eps_root", "weight_decay"), 2, "adamw", "default", ("nadamw",)),
        (("weight_decay",), 2, "adamaxw", "inferred", ()),
        (("eps_root", "weight_decay"), 3, "lamb", "inferred", ()),
        (("eps_root",), 1, "adam", "default", ("nadam", "adabelief")),
        (("clip_value_fn",), 1, "adopt", "inferred", ()),
        (("eps_root", "max_norm"), 1, "adam", "default", ("nadam", "adabelief", "max_norm")),
        (("max_norm",), 1, "adam", "default", ("nadam", "yogi")),
        (("eps_root", "head_lr"), 1, "unknown", "unknown", ("head_lr",)),
    ],
)
def test_injected_names_tell_what_optax_functions_take_them(
    more: tuple[str, ...], links: int, rule: str, source: str, others: tuple[str, ...]
) -> None:
    """Where two take the same, the usual one is a default, and the others are named."""
    leaves = (*INNER, *INJECTED, *(f"opt_state/hyperparams/{name}" for name in more), "params/w")
    checkpoint = Made(*leaves, empty=tuple(f"opt_state/inner_state/{i + 1}" for i in range(links)))
    (state,) = optimizer_states(checkpoint)
    assert (state.rule, state.rule_source.source) == (rule, source)
    assert all(other in state.rule_source.where for other in others)


CHAINED = tuple(leaf.replace("opt_state/", "opt_state/0/") for leaf in ADAM)


@pytest.mark.parametrize(
    ("leaves", "empty", "rule", "is_scaled"),
    [
        ((*CHAINED, "opt_state/1/count", "opt_state/1/ema/w"), ("opt_state/0/1",), "unknown", True),
        ((*CHAINED, "opt_state/1/count"), ("opt_state/0/1",), "adam", True),
        ((*CHAINED, "opt_state/1/scale", "opt_state/1/count_of"), ("opt_state/0/1",), "adam", True),
        ((*ADAM, "opt_state/2/scale", "opt_state/2/count_of"), ("opt_state/1",), "adam", True),
        ((*CHAINED,), ("opt_state/0/1", "opt_state/1"), "adam", True),
        ((*[leaf.replace("opt_state/0", "opt_state/1/0") for leaf in ADAM],), ("opt_state/0", "opt_state/1/1"), "adam",
         False),
        ((*ADAM, "opt_state/2/other/w"), ("opt_state/1",), "unknown", False),
    ],
)  # fmt: skip
def test_what_follows_in_an_outer_chain_is_not_left_out(
    leaves: tuple[str, ...], empty: tuple[str, ...], rule: str, is_scaled: bool
) -> None:
    """A state there changes the updates; what can scale them is a Problem; what stands before is neither."""
    state, *_ = optimizer_states(Made(*leaves, "params/w", empty=empty))
    assert state.rule == rule
    assert ["updates-changed-later"] * is_scaled == [p.code for p in state.problems if p.code.startswith("updates")]


@pytest.mark.parametrize(
    ("place", "around"),
    [("1", ("0/w", "2")), ("0", ("1/w", "2")), ("saved/0", ("saved/1/w",)), ("1/opt", ("0/w", "2"))],
)
def test_a_list_of_the_programs_own_is_no_chain(place: str, around: tuple[str, ...]) -> None:
    """`[weights, state, step]` in any order: nothing in it follows the state and changes its updates."""
    leaves = [leaf.replace("opt_state", place) for leaf in ADAM]
    (state,) = optimizer_states(Made(*leaves, *around, empty=(f"{place}/1",)))
    assert (state.rule, state.problems) == ("adam", ())
    assert state.parameters["w"].found.value == around[0]


def test_first_moments_of_fewer_digits_are_remarked_on() -> None:
    """optax' `mu_dtype`: the last update was made of what has been rounded since."""
    (state,) = optimizer_states(Made(*ADAM, "params/w", halves=("opt_state/0/mu/w",)))
    assert [p.code for p in state.problems] == ["moments-rounded"]
    (state,) = optimizer_states(Made(*ADAM, "params/w"))
    assert state.problems == ()


def test_a_wrapper_that_makes_the_updates_itself_leaves_the_rule_open() -> None:
    """What schedule_free and mechanic wrap moves nothing by itself; its moments are shown."""
    leaves = [leaf.replace("opt_state/", "opt_state/base_optimizer_state/") for leaf in ADAM]
    (state,) = optimizer_states(Made(*leaves, "opt_state/z/w", "params/w"))
    assert state.rule == "unknown"
    assert list(state.parameters["w"].found.slots) == ["first_moment", "second_moment"]


def test_a_state_that_one_function_keeps_is_not_always_its() -> None:
    """LARS keeps SGD's trace behind its rate; amsgrad's chain may have more links than optax gives it."""
    (state,) = optimizer_states(Made("opt_state/1/trace/w", "params/w", empty=("opt_state/0",)))
    assert state.rule == "unknown"
    maximum = (*ADAM, "opt_state/0/nu_max/w", "params/w")
    (state,) = optimizer_states(Made(*maximum, empty=("opt_state/1",)))
    assert (state.rule, state.rule_source.source) == ("amsgrad", "checkpoint")
    (state,) = optimizer_states(Made(*maximum, empty=("opt_state/1", "opt_state/2")))
    assert (state.rule, state.rule_source.source) == ("amsgrad", "default")


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        ("count count_m2 m1/w m2/w nu/w", ["m1", "m2", "nu"]),
        ("count_t m/w n/w", []),
        ("exp_avg/w exp_avg_sq/w grad_sum/w params0/w estim_lr numerator_weighted count",
         ["exp_avg", "exp_avg_sq", "grad_sum", "params0"]),
        ("step_sizes/w prev_updates/w", ["step_sizes", "prev_updates"]),
        ("count mu/w ns_coeffs", ["mu"]),
    ],
)  # fmt: skip
def test_states_without_a_rule_are_shown(fields: str, slots: list[str]) -> None:
    """Of optax' other optimizers: what they keep of each parameter, and that no rule is known."""
    leaves = [f"opt_state/0/{field}" for field in fields.split()]
    states = optimizer_states(Made(*leaves, "params/w", empty=("opt_state/1",)))
    assert [list(p.found.slots) for s in states for p in s.parameters.values()] == ([slots] if slots else [])
    assert all(state.rule == "unknown" for state in states)


def test_a_state_that_holds_no_array_is_one() -> None:
    """Plain SGD of optax keeps empty states alone; a state that was left out is none."""
    (state,) = optimizer_states(Made("params/w", "step", empty=("opt_state/0", "opt_state/1")))
    assert (state.name, state.step.value) == ("opt_state", 1)
    assert state.absence == "no arrays lie under opt_state, as plain SGD keeps none"
    assert optimizer_states(Made("params/w", "step", empty=("opt_state",))) == ()


MASKED = ("opt_state/{}/inner_state/0/count", "opt_state/{}/inner_state/0/mu/{}", "opt_state/{}/inner_state/0/nu/{}")


@pytest.mark.parametrize(("second", "rules"), [("b", ["adam", "adamw"]), ("a", ["unknown", "adamw"])])
def test_an_optimizer_of_other_parameters_changes_no_updates(second: str, rules: list[str]) -> None:
    """`chain(masked(adam), masked(adamw))`: each has its own, unless the masks overlap."""
    leaves = [leaf.format(i, name) for i, name in ((0, "a"), (1, second)) for leaf in MASKED]
    empty = ("opt_state/0/inner_state/1", "opt_state/1/inner_state/1", "opt_state/1/inner_state/2")
    states = optimizer_states(Made(*leaves, "params/a", "params/b", empty=empty))
    assert [state.rule for state in states] == rules
    assert ["updates-changed-later" in [p.code for p in state.problems] for state in states] == [second == "a", False]


def test_a_rate_that_several_optimizers_may_share_is_left_unknown() -> None:
    """`learning_rate` beside `head_rate` around a multi_transform: nothing says which is whose."""
    inner = [f"inner_states/{label}/inner_state/{leaf}" for label in "xy" for leaf in ("0/count", "0/mu/{}", "0/nu/{}")]
    leaves = [f"opt_state/inner_state/{leaf.format(leaf.split('/')[1])}" for leaf in inner]
    empty = tuple(f"opt_state/inner_state/inner_states/{label}/inner_state/1" for label in "xy")
    for more, source in (((), "checkpoint"), (("opt_state/hyperparams/head_rate",), "unknown")):
        made = Made(*leaves, *INJECTED[:1], *more, "params/x", "params/y", empty=empty)
        made.tensors |= {name: TensorSpec(name, (), "float32") for name in (*INJECTED[:1], *more)}
        assert [s.hyperparameters["learning_rate"].source for s in optimizer_states(made)] == [source] * 2
