"""Keras' own files: numbered groups without names, and HDF5 slots in the order of their names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint, moments

from ckpt_inspect import OptimizerState, optimizer_states
from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.layouts import weight_names

SHAPES = ((12, 3), (3,), (3, 5), (5,))


def _weights() -> dict[str, Any]:
    """Two dense layers."""
    found = {}
    for i, shape in enumerate(SHAPES):
        layer = "dense" if i < 2 else "dense_1"
        found[f"layers/{layer}/vars/{i % 2}"] = moments(shape, seed=i)[0]
    return found


def _list(*blocks: list[Any], step: int = 5, has_rate: bool = True) -> dict[str, Any]:
    scalars: list[Any] = [np.int64(step), np.float32(0.01)] if has_rate else [np.int64(step)]
    return {f"optimizer/vars/{i}": a for i, a in enumerate([*scalars, *(a for block in blocks for a in block)])}


def _pairs(is_adamax: bool = False) -> list[Any]:
    found = []
    for i, shape in enumerate(SHAPES):
        _, m, v = moments(shape, seed=i)
        found += [m, np.maximum(np.abs(m) * np.float32(1.5), np.float32(1e-3)) if is_adamax else v]
    return found


def _read(arrays: dict[str, Any], **options: Any) -> OptimizerState:
    options.setdefault("kind", "keras-weights-h5")
    (state,) = optimizer_states(MemoryCheckpoint({**_weights(), **arrays}, **options))
    return state


class TestNamelessGroups:
    """`.weights.h5` without configuration or labels: arrays alone."""

    def test_plain_adam(self) -> None:
        """Pairs of one shape are Adam's by habit, not by proof; the layers of one class stand in their order."""
        state = _read(_list(_pairs()))
        assert (state.rule, state.rule_source.source, state.step.value) == ("adam", "default", 5)
        assert [p.found.value for p in state.parameters.values()] == list(_weights())
        assert "adamax" not in state.rule_source.where

    @pytest.mark.parametrize("inner", ["inner_optimizer", "_optimizer"])
    def test_a_loss_scaling_wrapper_is_no_second_optimizer(self, inner: str) -> None:
        """Keras 2.13 saves its optimizer's variables twice, once in a group of the wrapper's own."""
        own = _list(_pairs())
        wrapped = {key.replace("optimizer/", f"optimizer/{inner}/"): array for key, array in own.items()}
        assert _read({**own, **wrapped}).name == f"optimizer/{inner}"

    @pytest.mark.parametrize("sign", [1, -1])
    def test_moments_outweigh_a_label(self, sign: int) -> None:
        """`Adam(name="SGD")`: a label is what the caller called it. Pairs of which the second can't be means of squares
        may be anything, and leave the label."""
        pairs = [array if i % 2 == 0 else sign * array for i, array in enumerate(_pairs())]
        state = _read(_list(pairs), labels={"optimizer/vars": "SGD"})
        assert (state.rule, state.rule_source.source) == (("adam", "default") if sign > 0 else ("sgd", "checkpoint"))
        assert bool(state.parameters) == (sign > 0)

    @pytest.mark.parametrize("label", ["adamax", "nadam", "adadelta", "ftrl", "rms_prop", "adafactor", "lion"])
    def test_adam_s_moments_outweigh_a_label(self, label: str) -> None:
        """Of first moments too large for a norm, of no product of momenta, of signs that no other keeps."""
        state = _read(_list(_pairs()), labels={"optimizer/vars": label})
        assert (state.rule, state.rule_source.source, len(state.parameters)) == ("adam", "default", 4)
        assert "adamax" not in state.rule_source.where.partition("could be")[2]

    def test_a_product_of_momenta_outweighs_a_label(self) -> None:
        """`Nadam(name="adam")`: with the product beside the rate, the pairs fit the weights; without, they don't."""
        state = _read(_list([np.float32(0.3)], _pairs()), labels={"optimizer/vars": "adam"})
        assert (state.rule, state.rule_source.source) == ("nadam", "checkpoint")
        assert [p.found.value for p in state.parameters.values()] == list(_weights())

    @pytest.mark.parametrize("label", ["", "adam", "adam_w", "mine"])
    def test_a_norm_is_told_by_how_first_moments_grow_with_it(self, label: str) -> None:
        """`Adamax(name="adam")`: |m| is the same share of u where u is small and where it is large."""
        rng = np.random.default_rng(0)
        sizes = 10 ** rng.uniform(-3, -1, (40, 5))
        g = [rng.normal(0, sizes) for _ in range(2)]
        m, u = 0.09 * g[0] + 0.1 * g[1], np.maximum(*map(abs, g))
        arrays = {"layers/dense/vars/0": sizes, **_list([m, u])}
        arrays = {k: a if a.dtype == np.int64 else a.astype(np.float32) for k, a in arrays.items()}
        labels = {"optimizer/vars": label} if label else {}
        (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-weights-h5", labels=labels))
        assert (state.rule, state.rule_source.source) == ("adamax", "inferred")
        assert all("infinity_norm" in p.found.slots for p in state.parameters.values())

    @pytest.mark.parametrize("label", ["adam", "adamax", "lamb", "adadelta", "adafactor"])
    def test_one_slot_for_each_weight_outweighs_a_label(self, label: str) -> None:
        """`RMSprop(name="adam")`, `SGD(momentum=0.9, name="adagrad")`: one slot is no pair, and a signed one holds no
        squares."""
        for block, name in ((_pairs()[1::2], label), (_pairs()[::2], "adagrad"), (_pairs()[::2], "rms_prop")):
            state = _read(_list(block), labels={"optimizer/vars": name})
            assert (state.rule, state.update_rule, len(state.parameters)) == ("unknown", None, 4)

    def test_small_first_moments_prove_no_adamax(self) -> None:
        """No |m| above its u is also what Adam leaves once gradients have ceased: Adamax stays an alternative."""
        state = _read(_list(_pairs(is_adamax=True)))
        assert (state.rule, state.rule_source.source) == ("adam", "default")
        assert "adamax" in state.rule_source.where

    def test_large_gradients_leave_adamax_possible(self) -> None:
        """With gradients of about 50,000 v exceeds m as well: no claim, and Adamax stays among the alternatives."""
        pairs = [a * np.float32(1e6 if i % 2 == 0 else 1e12) for i, a in enumerate(_pairs())]
        state = _read(_list(pairs))
        assert (state.rule, state.rule_source.source) == ("adam", "default")
        assert "adamax" in state.rule_source.where

    def test_averages_are_told_by_their_nearness(self) -> None:
        """A block near the weights is their moving average: the counter is the step."""
        averages = [w * np.float32(0.97) for w in _weights().values()]
        state = _read(_list(averages, _pairs()))
        assert (state.step.value, state.step.source) == (5, "checkpoint")
        assert all("average" in p.found.slots for p in state.parameters.values())
        assert [p.code for p in state.problems] == ["block-told-by-values"]

    @pytest.mark.parametrize("scale", [0.0, 0.01])
    def test_accumulators_are_told_by_their_distance(self, scale: float) -> None:
        """A block of zeros or of something small is accumulated gradients: by how many the count is divided is open."""
        rng = np.random.default_rng(3)
        sums = [(rng.normal(size=s) * scale).astype(np.float32) for s in SHAPES]
        state = _read(_list(sums, _pairs()))
        assert (state.step.value, state.step.source) == (None, "unknown")
        assert all("gradient_accumulator" in p.found.slots for p in state.parameters.values())

    def test_a_maximum_behind_the_moments_is_amsgrads(self) -> None:
        """Three arrays a weight, the third in a block behind."""
        pairs = _pairs()
        state = _read(_list(pairs, [v * np.float32(1.1) for v in pairs[1::2]]))
        assert (state.rule, state.rule_source.source) == ("amsgrad", "checkpoint")

    def test_a_schedule_leaves_no_rate(self) -> None:
        """Without a second scalar the moments begin at 1."""
        state = _read(_list(_pairs(), has_rate=False))
        assert state.hyperparameters["learning_rate"].source == "unknown"
        assert len(state.parameters) == 4

    def test_before_the_first_update(self) -> None:
        """Counter and rate alone: no moments, and the reason."""
        state = _read(_list(step=0))
        assert state.parameters == {}
        assert state.absence == "the optimizer was saved before its first update, without slots"
        assert state.rule == "unknown"
        assert state.hyperparameters["learning_rate"].value == np.float32(0.01)

    def test_updates_without_slots(self) -> None:
        """Counter and rate alone after some updates are not Adam's: SGD without momentum keeps no more."""
        state = _read(_list(step=5))
        assert (state.rule, state.step.value, state.is_adam) == ("unknown", 5, False)
        assert state.absence == "the file has none of its slots, though it counts 5 updates"
        assert "could be sgd" in state.rule_source.where
        assert state.hyperparameters["learning_rate"].value == np.float32(0.01)

    def test_no_slots_where_the_configuration_has_none(self) -> None:
        """SGD without momentum is complete with its counter and rate."""
        state = _read(_list(), kind="keras-archive", optimizer={"class_name": "SGD", "config": {"momentum": 0.0}})
        assert (state.rule, state.parameters, state.step.value) == ("sgd", {}, 5)

    def test_one_slot_for_each_weight(self) -> None:
        """Of RMSprop, Adagrad, SGD with momentum or Lion: not Adam's, and the rate is the second scalar."""
        state = _read(_list(_pairs()[1::2]))
        assert (state.rule, state.update_rule, len(state.parameters)) == ("unknown", None, 4)
        assert [p.found.value for p in state.parameters.values()] == list(_weights())
        assert state.hyperparameters["learning_rate"].value == np.float32(0.01)
        assert "slots slot for 4 variables" in str(state.absence)

    def test_blocks_of_slots_that_the_configuration_tells(self) -> None:
        """RMSprop with momentum: all mean squares, then all accumulators of momentum."""
        v, b = _pairs()[1::2], _pairs()[::2]
        config = {"class_name": "RMSprop", "config": {"learning_rate": 0.5, "momentum": 0.9, "epsilon": 1e-7}}
        state = _read(_list(v, b), kind="keras-archive", optimizer=config)
        parameter = state.parameters["layers/dense/kernel"]
        assert parameter.found.slots == {"velocity": "optimizer/vars/2", "momentum": "optimizer/vars/6"}
        assert parameter.effective_lr() is not None

    def test_a_second_block_may_be_an_average(self) -> None:
        """Nothing is read as RMSprop's mean square that can be its average of the weights."""
        averages = [w * np.float32(0.97) for w in _weights().values()]
        state = _read(_list(averages, _pairs()[1::2]), labels={"optimizer/vars": "rm_sprop"})
        assert (state.rule, state.parameters) == ("rmsprop", {})
        state = _read(_list(_pairs()[1::2]), labels={"optimizer/vars": "rm_sprop"})
        assert [tuple(p.found.slots) for p in state.parameters.values()] == [("velocity",)] * 4

    def test_an_optimizer_given_by_its_name_alone(self) -> None:
        """`compile("sgd")`, `compile("adam")`: the class's own rate is assumed."""
        producer = {"keras_version": "2.15.0"}
        slots = _list(_pairs(), has_rate=False)
        config = {"class_name": "adam", "config": {}}
        rate = _read(slots, kind="keras-archive", optimizer=config, producer=producer).hyperparameters["learning_rate"]
        assert (rate.value, rate.source) == (0.001, "default")

    def test_moments_of_a_class_of_ones_own(self) -> None:
        """Moments that the decay rates in its configuration announce; the formula is given or unknown."""
        config = {"class_name": "mine>SlowAdam", "config": {"learning_rate": 0.5, "beta_1": 0.9, "beta_2": 0.999}}
        state = _read(_list(_pairs()), kind="keras-archive", optimizer=config)
        assert (state.rule, state.update_rule) == ("slowadam", None)
        assert all(p.key("first_moment") and p.key("second_moment") for p in state.parameters.values())
        assert "slots first_moment, second_moment for 4 variables" in str(state.absence)

    def test_blocks_of_a_class_of_ones_own_stay_closed(self) -> None:
        """Two slots in rows of their own fit no order that is known: they aren't taken for one slot of more weights."""
        config = {"class_name": "OwnRMSprop", "config": {"learning_rate": 0.5, "momentum": 0.9}}
        state = _read(_list(_pairs()[1::2], _pairs()[::2]), kind="keras-archive", optimizer=config)
        assert state.parameters == {}
        assert str(state.absence).startswith("optimizer state of a kind that is not known: 10 variables")
        assert [p.severity for p in state.problems] == ["warning"]

    def test_pairs_that_nothing_calls_moments(self) -> None:
        """A class without decay rates keeps two slots of no known meaning."""
        config = {"class_name": "Own", "config": {"learning_rate": 0.5}}
        state = _read(_list(_pairs()), kind="keras-archive", optimizer=config)
        assert all(tuple(p.found.slots) == ("slot", "slot_1") for p in state.parameters.values())

    def test_adapters_stand_in_for_the_kernel(self) -> None:
        """LoRA trains the bias and two matrices that are merged into the kernel as it is saved."""
        layer = {"class_name": "Dense", "config": {"name": "first", "lora_rank": 2}}
        last = {"class_name": "Dense", "config": {"name": "last"}}
        model = {"class_name": "Sequential", "config": {"layers": [layer, last]}}
        slots = [a for s in ((3,), (12, 2), (2, 3), (3, 5), (5,)) for a in moments(s)[1:]]
        config = {"class_name": "Adam", "config": {"learning_rate": 0.5}}
        state = _read(_list(slots), kind="keras-archive", optimizer=config, model=model)
        assert {p.name: p.found.value for p in state.parameters.values()} == {
            "first/bias": "layers/dense/vars/1",
            "first/lora_kernel_a": None,
            "first/lora_kernel_b": None,
            "last/kernel": "layers/dense_1/vars/0",
            "last/bias": "layers/dense_1/vars/1",
        }

    def test_pairs_for_some_weights(self) -> None:
        """Muon keeps a first moment for each weight, and a second one for what is no matrix."""
        slots = [a for i, a in enumerate(_pairs()) if i % 2 == 0 or a.ndim < 2]
        config = {"class_name": "Muon", "config": {"learning_rate": 0.5}}
        state = _read(_list(slots), kind="keras-archive", optimizer=config)
        kept = [tuple(p.found.slots) for p in state.parameters.values()]
        assert kept == [("first_moment",), ("first_moment", "second_moment")] * 2
        assert "2 of 4 variables have a first and a second moment" in str(state.absence)

    def test_a_list_that_fits_no_order_is_an_error_in_words(self) -> None:
        """Nothing is guessed from an odd list."""
        state = _read({**_list(_pairs()), "optimizer/vars/10": np.ones((7, 7), np.float32)})
        assert state.parameters == {}
        assert [(p.code, p.severity) for p in state.problems] == [("association-open", "error")]


class TestNamedGroups:
    """`.keras`, and `.weights.h5` with labels."""

    def test_a_label_names_the_rule(self) -> None:
        """Keras 3.8+ labels the optimizer's group with its name."""
        state = _read(_list(_pairs()), labels={"optimizer/vars": "lamb"})
        assert (state.rule, state.rule_source.source) == ("lamb", "checkpoint")

    def test_automatic_names_order_a_subclassed_model_and_are_said_to_be_assumed(self) -> None:
        """Groups are alphabetical there; the numbers in the layers' labels tell the order in which they were made."""
        arrays = {f"{group}/vars/0": np.zeros((4, 4), np.float32) for group in ("body", "first", "head")}
        pairs = [a for seed in range(3) for a in moments((4, 4), seed=seed)[1:]]
        labels = {"first/vars": "dense", "head/vars": "dense_1", "body/vars": "dense_2", "optimizer/vars": "adam"}
        checkpoint = MemoryCheckpoint({**arrays, **_list(pairs)}, kind="keras-weights-h5", labels=labels)
        (state,) = optimizer_states(checkpoint)
        assert [p.found.value for p in state.parameters.values()] == ["first/vars/0", "head/vars/0", "body/vars/0"]
        assert list(state.parameters) == ["dense/kernel", "dense_1/kernel", "dense_2/kernel"]
        assert [p.code for p in state.problems] == ["association-assumed"]

    def test_without_labels_a_subclassed_models_equal_layers_stay_open(self) -> None:
        """No shape, and no alphabet, decides between them."""
        arrays = {f"{group}/vars/0": np.zeros((4, 4), np.float32) for group in ("body", "first", "head")}
        pairs = [a for seed in range(3) for a in moments((4, 4), seed=seed)[1:]]
        (state,) = optimizer_states(MemoryCheckpoint({**arrays, **_list(pairs)}, kind="keras-weights-h5"))
        assert [p.found.value for p in state.parameters.values()] == [None] * 3
        assert "association-uncertain" in [p.code for p in state.problems]

    def test_arrays_are_not_read_where_the_configuration_speaks(self) -> None:
        """A common file costs no look at its moments."""
        config = {"class_name": "Adam", "config": {"learning_rate": 0.01, "beta_1": 0.9}}
        checkpoint = MemoryCheckpoint({**_weights(), **_list(_pairs())}, kind="keras-archive", optimizer=config)
        (state,) = optimizer_states(checkpoint)
        assert (state.rule_source.source, len(state.parameters)) == ("config", 4)
        assert set(checkpoint.read_names) <= {"optimizer/vars/0", "optimizer/vars/1"}

    def test_a_scalar_first_weight_under_a_schedule_is_no_rate(self) -> None:
        """`vars/1` is the scalar's first moment where the configuration has a schedule."""
        config = {"class_name": "Adam", "config": {"learning_rate": {"class_name": "ExponentialDecay", "config": {}}}}
        arrays = {"layers/scale/vars/0": np.float32(2), **_list([np.float32(12.13), np.float32(3)], has_rate=False)}
        (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-archive", optimizer=config))
        (parameter,) = state.parameters.values()
        assert parameter.first_moment() == np.float32(12.13)
        assert state.hyperparameters["learning_rate"].value is None

    def test_a_legacy_optimizers_state_is_said_to_be_dropped(self) -> None:
        """The configuration names Adam, and the format has dropped its state."""
        config = {"class_name": "Adam", "config": {"decay": 0.0, "learning_rate": 0.01}}
        (state,) = optimizer_states(MemoryCheckpoint(_weights(), kind="keras-archive", optimizer=config))
        assert state.parameters == {}
        assert "legacy optimizers are not saved in this format" in str(state.absence)

    @pytest.mark.parametrize("index", ["²", "9" * 5000, "x"])
    def test_odd_members_are_passed_over(self, index: str) -> None:
        """What is no index is no variable of the optimizer."""
        assert len(_read({**_list(_pairs()), f"optimizer/vars/{index}": np.float32(1)}).parameters) == 4

    @pytest.fixture
    def usual_depth(self) -> Iterator[None]:
        """What Python allows by itself; some of what tests import allows more."""
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(1000)
        yield
        sys.setrecursionlimit(before)

    @pytest.mark.usefixtures("usual_depth")
    def test_groups_nested_without_end_are_refused(self) -> None:
        """A file of a thousand groups in one another is refused in words."""
        deep = {"layers/" + "a/" * 3000 + "vars/0": np.ones((2,), np.float32)}
        with pytest.raises(UnsupportedError, match="nested too deeply"):
            _read({**_list(_pairs()), **deep})

    @pytest.mark.usefixtures("usual_depth")
    def test_a_configuration_nested_without_end_is_refused(self) -> None:
        """So is a model of a thousand models in one another."""
        model: Any = {"class_name": "Dense", "config": {"name": "dense"}}
        for _ in range(3000):
            model = {"class_name": "Functional", "config": {"layers": [model]}}
        with pytest.raises(UnsupportedError, match="nested too deeply"):
            _read(_list(_pairs()), kind="keras-archive", model=model)


def _turns(kind: str) -> list[Any]:
    """The slots of such an optimizer, weight after weight, as Keras 3 lists them."""
    listed: list[Any] = []
    for i, shape in enumerate(SHAPES):
        _, m, v = moments(shape, seed=i)
        if kind == "adafactor":
            is_matrix = len(shape) > 1
            listed += [v.mean(-1), v.mean(-2)] if is_matrix else [np.int32(0), np.int32(0)]
            listed.append(v)
        else:
            listed += [np.float32(0.1) + v, m if kind == "ftrl" else v]
    return listed


class TestSlotsByTurns:
    """Optimizers whose slots stand together for each weight, and are no pair of moments."""

    @pytest.mark.parametrize(
        ("class_name", "slots"),
        [
            ("Adadelta", ("accumulated_grad", "accumulated_delta_var")),
            ("Ftrl", ("accumulator", "linear")),
            ("Adafactor", ("r", "c", "velocity")),
        ],
    )
    def test_they_are_shown_as_what_they_are(self, class_name: str, slots: tuple[str, ...]) -> None:
        """With a configuration, or by the name that Keras 3.8 and later write; no rate of Adam's is made of them."""
        arrays = _list(_turns(class_name.lower()))
        config = {"class_name": class_name, "config": {"learning_rate": 0.01}}
        labels = {"optimizer/vars": class_name.lower()}
        for options in ({"kind": "keras-archive", "optimizer": config}, {"labels": labels}):
            state = _read(arrays, **options)
            assert (state.rule, state.update_rule, state.is_adam) == (class_name.lower(), None, False)
            assert [p.found.value for p in state.parameters.values()] == list(_weights())
            assert tuple(next(iter(state.parameters.values())).found.slots) == slots
            assert all(p.effective_lr() is None for p in state.parameters.values())

    def test_a_weight_without_rows_has_neither_row_nor_column(self) -> None:
        """Adafactor keeps single numbers in their place, which are no slots; Keras 2 keeps none."""
        config = {"class_name": "Adafactor", "config": {"learning_rate": 0.01}}
        state = _read(_list(_turns("adafactor")), kind="keras-archive", optimizer=config)
        assert tuple(list(state.parameters.values())[1].found.slots) == ("velocity",)
        listed = _list([a for a in _turns("adafactor") if np.shape(a)], has_rate=False)
        of_keras2 = {"kind": "keras-archive", "optimizer": config, "producer": {"keras_version": "2.15.0"}}
        again = _read(listed, **of_keras2)
        assert [len(p.found.slots) for p in again.parameters.values()] == [3, 1, 3, 1]

    def test_averages_stand_before(self) -> None:
        """With `use_ema` in the configuration, the averages of all weights come first."""
        averages = list(_weights().values())
        config = {"class_name": "Ftrl", "config": {"learning_rate": 0.01, "use_ema": True}}
        state = _read(_list(averages, _turns("ftrl")), kind="keras-archive", optimizer=config)
        assert [set(p.found.slots) for p in state.parameters.values()] == [{"accumulator", "linear", "average"}] * 4

    @pytest.mark.parametrize("kind", ["adadelta", "ftrl"])
    def test_values_that_are_no_moments_are_not_adams(self, kind: str) -> None:
        """Where nothing names them: a second slot with negative elements, a first one without any."""
        state = _read(_list(_turns(kind)))
        assert (state.rule, state.update_rule) == ("unknown", None)
        assert {tuple(p.found.slots) for p in state.parameters.values()} == {("slot", "slot_1")}
        assert "could be adadelta, ftrl just as well" in state.rule_source.where

    def test_rows_and_columns_tell_adafactor(self) -> None:
        """No other optimizer keeps slots of such shapes."""
        state = _read(_list(_turns("adafactor")))
        assert (state.rule, state.rule_source.source, len(state.parameters)) == ("adafactor", "checkpoint", 4)

    def test_a_known_name_without_a_known_order(self) -> None:
        """A class called Yogi may keep anything: pairs are moments if its configuration has their decay rates."""
        config: dict[str, Any] = {"learning_rate": 0.5, "beta_1": 0.9, "beta_2": 0.999}
        state = _read(_list(_pairs()), kind="keras-archive", optimizer={"class_name": "Yogi", "config": config})
        assert (state.rule, state.update_rule, len(state.parameters)) == ("yogi", None, 4)
        assert all(p.key("first_moment") and p.key("second_moment") for p in state.parameters.values())


class TestSettingsThatAreElsewhere:
    """`.weights.h5` names the optimizer at most; its options are in no file."""

    LABELS: ClassVar = {"optimizer/vars": "rm_sprop"}

    def test_momentum_that_is_no_mean_gradient(self) -> None:
        """A second block larger than the root of the first can't be what the first averages the squares of."""
        b, v = _pairs()[::2], [np.float32(0.01) * v for v in _pairs()[1::2]]
        state = _read(_list(v, b), labels=self.LABELS)
        assert {tuple(p.found.slots) for p in state.parameters.values()} == {("velocity", "momentum")}
        np.testing.assert_array_equal(state.parameters["layers/dense/kernel"].last_update(), -b[0])

    def test_a_block_that_may_be_either_is_left_alone(self) -> None:
        """Below the root it may be a mean gradient as well: nothing is claimed, and the rate is still the rate."""
        a, v = [np.float32(0.1) * m for m in _pairs()[::2]], _pairs()[1::2]
        state = _read(_list(v, a), labels=self.LABELS)
        assert state.parameters == {}
        assert "depends on settings" in str(state.absence)
        assert state.hyperparameters["learning_rate"].value == np.float32(0.01)

    def test_a_rule_that_is_given_names_the_only_slot(self) -> None:
        """One slot a weight and no name: `--rule` says which it is."""
        arrays = {**_weights(), **_list(_pairs()[1::2])}
        made = MemoryCheckpoint(arrays, kind="keras-weights-h5")
        for rule in ("rmsprop", "adagrad"):
            (state,) = optimizer_states(made, {"rule": rule})
            assert all(p.effective_lr() is not None for p in state.parameters.values())

    @pytest.mark.parametrize(("updates", "product"), [(3, 0.9**3), (5000, 0.0)])
    def test_the_product_of_momenta_is_no_rate(self, updates: int, product: float) -> None:
        """Nadam under a schedule has no rate in the list, and its running product stands in that place."""
        for i in range(1, min(updates, 3) + 1):
            product *= 1 - 0.5 * 0.96**i
        arrays = {**_list(_pairs(), step=updates), "optimizer/vars/1": np.float32(product)}
        state = _read(arrays)
        assert (state.rule, state.rule_source.source) == ("nadam", "inferred")
        assert state.hyperparameters["learning_rate"].source == "unknown"


class TestNamelessHdf5:
    """Keras before OptimizerV2: all first moments, all second ones, and perhaps maxima."""

    def _read(
        self, shapes: tuple[tuple[int, ...], ...], blocks: int, config: dict[str, Any], class_name: str = "Adam"
    ) -> OptimizerState:
        arrays: dict[str, Any] = {f"model_weights/l{i}/l{i}/w:0": np.ones(s, np.float32) for i, s in enumerate(shapes)}
        arrays["optimizer_weights/Adam/iterations:0"] = np.int64(4)
        slots = [np.full(s, b, np.float32) for b in range(blocks) for s in shapes]
        for i, slot in enumerate(slots):
            arrays[f"optimizer_weights/training/Adam/Variable{f'_{i}' if i else ''}:0"] = slot
        optimizer = {"class_name": class_name, "config": {"lr": 0.01, **config}}
        (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer))
        return state

    @pytest.mark.parametrize("count", [2, 3, 4, 6])
    def test_weights_of_one_shape_are_not_taken_for_maxima(self, count: int) -> None:
        """Six moments of one shape are three pairs where the model has three weights, not two with maxima."""
        state = self._read(((2, 2),) * count, 2, {})
        assert [p.found.value for p in state.parameters.values()] == [
            f"model_weights/l{i}/l{i}/w:0" for i in range(count)
        ]
        assert all(np.all(p.second_moment() == 1) for p in state.parameters.values())

    def test_maxima_where_amsgrad_is_on(self) -> None:
        """Three blocks of two weights, with AMSGrad in the configuration."""
        state = self._read(((2, 2), (3,)), 3, {"amsgrad": True})
        assert state.rule == "amsgrad"
        assert all(np.all(p.max_second_moment() == 2) for p in state.parameters.values())

    @pytest.mark.parametrize("class_name", ["RMSprop", "Adagrad"])
    @pytest.mark.parametrize("shapes", [((2, 2), (3,)), ((2, 2), (2, 2), (2, 2)), ((1, 2), (2,), (1, 2), (2,))])
    def test_one_block_of_slots(self, class_name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
        """RMSprop and Adagrad list one slot for each weight, also where the weights' shapes repeat: E = α/(√s + ε)."""
        state = self._read(shapes, 1, {"epsilon": 0.5}, class_name)
        assert [p.found.value for p in state.parameters.values()] == [
            f"model_weights/l{i}/l{i}/w:0" for i in range(len(shapes))
        ]
        for parameter in state.parameters.values():
            rate = parameter.effective_lr()
            assert rate is not None
            np.testing.assert_allclose(rate, 0.01 / 0.5, rtol=1e-6)

    def test_slots_without_a_formula_are_shown(self) -> None:
        """Adadelta lists two slots for each weight; both are shown, and no effective rate."""
        state = self._read(((2, 2), (3,)), 2, {}, "Adadelta")
        assert state.rule == "adadelta"
        assert [len(p.found.slots) for p in state.parameters.values()] == [2, 2]
        assert all(p.effective_lr() is None for p in state.parameters.values())

    def test_a_nameless_counter_is_the_first_variable(self) -> None:
        """Keras 1 calls its counter `Variable`, a float, and sorts the weights by name: `dense_10_W` before
        `dense_9_W`."""
        arrays: dict[str, Any] = {
            f"model_weights/{layer}/{layer}_W:0": np.ones(shape, np.float32)
            for layer, shape in (("dense_9", (2, 3)), ("dense_10", (3, 1)))
        }
        slots = [np.float32(7), *(np.full(s, b, np.float32) for b in range(2) for s in ((3, 1), (2, 3)))]
        arrays |= {f"optimizer_weights/Variable{f'_{i + 4}' if i else ''}:0": slot for i, slot in enumerate(slots)}
        optimizer = {"class_name": "Adam", "config": {"lr": 0.01, "epsilon": 1e-8}}
        producer = {"keras_version": "1.2.2"}
        made = MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer, producer=producer)
        (state,) = optimizer_states(made)
        assert (state.step.value, state.step.source) == (7, "checkpoint")
        values = [p.found.value for p in state.parameters.values()]
        assert values == ["model_weights/dense_10/dense_10_W:0", "model_weights/dense_9/dense_9_W:0"]

    @pytest.mark.parametrize(("moved", "step"), [(0.0, 0), (0.5, None)])
    def test_a_counter_that_is_never_raised_counts_nothing(self, moved: float, step: int | None) -> None:
        """Keras 1 counts SGD's updates under a decay alone: 0 beside slots that have moved is no step."""
        arrays: dict[str, Any] = {"model_weights/out/out_W:0": np.ones((2, 3), np.float32)}
        arrays |= {"optimizer_weights/Variable:0": np.float32(0)}
        arrays |= {"optimizer_weights/Variable_4:0": np.full((2, 3), moved, np.float32)}
        optimizer = {"class_name": "SGD", "config": {"lr": 0.01, "momentum": 0.9, "decay": 0.0}}
        made = MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer, producer={"keras_version": "1.2.2"})
        (state,) = optimizer_states(made)
        assert state.step.value == step
        assert ("counter-open" in [p.code for p in state.problems]) == (step is None)

    @pytest.mark.parametrize(
        ("class_name", "decay", "percent"),
        [("Adam", 0.0, 0.5), ("Adam", 0.1, 1.5), ("RMSprop", 0.1, 1.0), ("RMSprop", 0.0, None), ("SGD", 0.0, None)],
    )
    def test_two_steps_are_open_only_if_the_update_reads_one(
        self, class_name: str, decay: float, percent: float | None
    ) -> None:
        """Keras 2.3 counts while it computes: bias corrections and a decayed rate may have read either count, and
        differ at most by 1/(2t) and by 1/t of themselves."""
        kinds = ("m", "v") if class_name == "Adam" else ("accumulator",)
        arrays: dict[str, Any] = {
            f"model_weights/dense_1/dense_1/{role}:0": np.ones(shape, np.float32)
            for role, shape in (("kernel", (3, 2)), ("bias", (2,)))
        }
        slots = [np.full(s, 0.25, np.float32) for _ in kinds for s in ((3, 2), (2,))]
        arrays["optimizer_weights/iterations:0"] = np.int64(100)
        arrays |= {f"optimizer_weights/Variable_{i}:0": slot for i, slot in enumerate(slots, 1)}
        optimizer = {"class_name": class_name, "config": {"lr": 0.01, "decay": decay, "epsilon": 1e-7}}
        producer = {"keras_version": "2.3.1"}
        made = MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer, producer=producer)
        (state,) = optimizer_states(made)
        assert state.step.value == 100
        told = [p.resolution for p in state.problems if p.code == "step-unordered"]
        expected = f"100 was taken; the effective learning rates of the two differ by at most {percent} %"
        assert told == ([] if percent is None else [expected.replace("1.0 %", "1 %")])

    @pytest.mark.parametrize(
        ("class_name", "slot"), [("RMSprop", "velocity"), ("Adagrad", "accumulator"), ("SGD", "momentum")]
    )
    def test_the_only_slot(self, class_name: str, slot: str) -> None:
        """Keras 1 and 2 keep it without a name; a running statistic of normalization has none."""
        arrays: dict[str, Any] = {
            f"model_weights/norm_1/norm_1_{role}:0": np.ones(3, np.float32) for role in ("gamma", "beta", "running_std")
        }
        arrays |= {f"optimizer_weights/Variable_{i}:0": np.full(3, i, np.float32) for i in (1, 2)}
        optimizer = {"class_name": class_name, "config": {"lr": 0.5, "epsilon": 0.0}}
        producer = {"keras_version": "1.2.2"}
        made = MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer, producer=producer)
        (state,) = optimizer_states(made)
        assert [p.found.value for p in state.parameters.values()] == [
            f"model_weights/norm_1/norm_1_{role}:0" for role in ("beta", "gamma")
        ]
        assert {tuple(p.found.slots) for p in state.parameters.values()} == {(slot,)}
        if state.update_rule is not None:
            rates = [p.effective_lr() for p in state.parameters.values()]
            np.testing.assert_allclose(rates[1], 0.5 / np.sqrt(2), rtol=1e-6)


class TestNamedHdf5:
    """OptimizerV2: `<optimizer>/<variable>/<slot>`."""

    def _read(self, class_name: str, slots: tuple[str, ...], **given: Any) -> OptimizerState:
        weights = {f"dense/{role}": moments(shape)[0] for role, shape in (("kernel", (3, 2)), ("bias", (2,)))}
        arrays: dict[str, Any] = {f"model_weights/dense/{name}:0": value for name, value in weights.items()}
        arrays["optimizer_weights/Mine/iter:0"] = np.int64(5)
        for slot in slots:
            arrays |= {f"optimizer_weights/Mine/{n}/{slot}:0": np.full_like(v, 0.25) for n, v in weights.items()}
        optimizer = {"class_name": class_name, "config": {"learning_rate": 0.5, "epsilon": 0.0}}
        (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer), given)
        return state

    @pytest.mark.parametrize(("class_name", "slot"), [("RMSprop", "rms"), ("Adagrad", "accumulator")])
    def test_one_slot_gives_the_effective_rate(self, class_name: str, slot: str) -> None:
        """E = α/√s, of RMSprop and of Adagrad."""
        state = self._read(class_name, (slot,))
        assert list(state.parameters) == ["dense/kernel", "dense/bias"]
        assert all(np.allclose(p.effective_lr(), 1.0) for p in state.parameters.values())

    def test_a_class_of_ones_own_keeps_its_slots(self) -> None:
        """The moments are shown, no formula is assumed, and `rule` says whose it is."""
        state = self._read("AdamWarm", ("m", "v", "extra"))
        assert (state.rule, state.update_rule, state.step.value) == ("adamwarm", None, 5)
        assert state.absence == (
            "optimizer state of a kind that is not known (adamwarm): slots first_moment, second_moment, extra for 2 "
            "variables; if it computes as a rule that is known does, name that with --rule"
        )
        assert all(p.first_moment() is not None and p.effective_lr() is None for p in state.parameters.values())
        given = self._read("AdamWarm", ("m", "v", "extra"), rule="adam")
        assert all(p.effective_lr() is not None for p in given.parameters.values())


def test_a_reloaded_models_weights_are_named_for_their_layers() -> None:
    """Keras 2.2 calls the variables of the layer `dense_1` `dense_1_1/kernel` after a load; the layer keeps its
    name."""
    names = []
    for scope, optimizer in (("dense_1", "Adam"), ("dense_1_1", "Adam_1")):
        slots = {f"training/{optimizer}/Variable{i}": np.ones((2, 3), np.float32) for i in ("", "_1")}
        slots |= {f"training/{optimizer}/Variable{i}": np.ones((1,), np.float32) for i in ("_2",)}
        arrays: dict[str, Any] = {
            f"model_weights/dense_1/{scope}/kernel:0": np.ones((2, 3), np.float32),
            f"optimizer_weights/{optimizer}/iterations:0": np.int64(4),
            **{f"optimizer_weights/{name}:0": slot for name, slot in slots.items()},
        }
        config = {"class_name": "Adam", "config": {"lr": 0.01}}
        (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-h5", optimizer=config))
        names += list(state.parameters)
    assert names == ["dense_1/kernel", "dense_1/kernel"]


@pytest.mark.parametrize(
    ("slot", "counter"), [("Adam/{}/{}", "iter"), ("Adam/{1}/{0}", "iteration")], ids=["optimizer-v2", "keras2"]
)
def test_weights_that_were_made_before_their_model(slot: str, counter: str) -> None:
    """Their names lack their layer's, in the slots too; Keras 2 writes them so."""
    values = {"first/first/kernel": 1.0, "second/kernel": 2.0}
    arrays: dict[str, Any] = {f"optimizer_weights/{counter}:0": np.int64(4)}
    for key, value in values.items():
        arrays[f"model_weights/{key}:0"] = np.full((2, 3), value, np.float32)
        for moment in ("m", "v"):
            name = slot.format(key.partition("/")[2], moment)
            arrays[f"optimizer_weights/{name}:0"] = np.full((2, 3), value / 10, np.float32)
    config = {"class_name": "Adam", "config": {"learning_rate": 0.01}}
    (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-h5", optimizer=config))
    assert sorted(state.parameters) == ["first/kernel", "second/kernel"]
    for parameter in state.parameters.values():
        weights, first = parameter.value(), parameter.first_moment()
        assert weights is not None and first is not None and np.allclose(weights, 10 * first)


def test_all_weights_get_their_layers_names() -> None:
    """The configuration names the layers of statistics too, and those of a model that was never compiled."""
    layers = [("Dense", "first"), ("BatchNormalization", "norm")]
    model = {
        "class_name": "Sequential",
        "config": {"layers": [{"class_name": c, "config": {"name": n}} for c, n in layers]},
    }
    arrays = {f"layers/batch_normalization/vars/{i}": np.ones(3, np.float32) for i in range(4)}
    arrays |= {f"layers/dense/vars/{i}": np.ones((2, 3)[i:], np.float32) for i in range(2)}
    checkpoint = MemoryCheckpoint(arrays, kind="keras-archive", model=model)
    assert set(weight_names(checkpoint).values()) == {
        "first/kernel", "first/bias", "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance",
    }  # fmt: skip
    assert weight_names(MemoryCheckpoint(arrays, kind="keras-weights-h5")) == {}


def test_what_two_averaging_wrappers_hold_is_never_counted() -> None:
    """Addons' `MovingAverage(Lookahead(Adam()))`: the file's counter is the outer one's, the innermost's stays 0."""
    w, m, v = moments((3, 2))
    config: dict[str, Any] = {"class_name": "Adam", "config": {"learning_rate": 0.01}}
    for wrapper in ("Lookahead", "MovingAverage"):
        config = {"class_name": f"Addons>{wrapper}", "config": {"optimizer": config}}
    slots = {"m": m, "v": v, "slow": w, "average": w}
    arrays = {f"optimizer_weights/MovingAverage/dense/kernel/{name}:0": a for name, a in slots.items()}
    arrays |= {"model_weights/dense/dense/kernel:0": w, "optimizer_weights/iter:0": np.int64(6)}
    (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-h5", optimizer=config))
    assert (state.step.value, state.step.source) == (None, "unknown")
    assert "whose own counter Addons never raises" in state.step.where
    assert state.parameters["dense/kernel"].last_update() is None


@pytest.mark.parametrize("has_config", [True, False])
def test_a_wrapper_that_averages_weights_is_named(has_config: bool) -> None:
    """Lookahead overwrites the weights now and then: a remark says so, from the configuration or from its slots."""
    w, m, v = moments((3, 2))
    inner = {"class_name": "Addons>RectifiedAdam", "config": {"learning_rate": 0.01}}
    wrapper = {"class_name": "Addons>Lookahead", "config": {"optimizer": inner, "sync_period": 6}}
    slots = {"slow": w, "m": m, "v": v}
    arrays = {f"optimizer_weights/Lookahead/dense/kernel/{name}:0": a for name, a in slots.items()}
    arrays |= {"model_weights/dense/dense/kernel:0": w, "optimizer_weights/iter:0": np.int64(6)}
    checkpoint = MemoryCheckpoint(arrays, kind="keras-h5", optimizer=wrapper if has_config else None)
    (state,) = optimizer_states(checkpoint)
    assert (list(state.parameters), state.step.value) == (["dense/kernel"], 6)
    (problem,) = [p for p in state.problems if p.code == "averaged-weights"]
    assert "Lookahead wraps this optimizer and overwrites the weights" in problem.message
