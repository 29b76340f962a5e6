"""Variables that a configuration excludes from weight decay and from LAMB's trust ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.memory_checkpoints import MemoryCheckpoint, moments

from ckpt_inspect import OptimizerState, optimizer_states

RATE, DECAY, STEP = 0.01, 0.1, 5
CONFIG = {"learning_rate": RATE, "weight_decay": DECAY, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}
WEIGHTS = {name: moments(shape, seed=i) for i, (name, shape) in enumerate({"kernel": (3, 2), "bias": (2,)}.items())}


def _state(class_name: str, **lists: Any) -> OptimizerState:
    arrays: dict[str, Any] = {"optimizer_weights/X/iter:0": np.int64(STEP)}
    for name, (value, m, v) in WEIGHTS.items():
        arrays[f"model_weights/dense/dense/{name}:0"] = value
        arrays |= {f"optimizer_weights/X/dense/{name}/m:0": m, f"optimizer_weights/X/dense/{name}/v:0": v}
    optimizer = {"class_name": f"Addons>{class_name}", "config": {**CONFIG, **lists}}
    (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-h5", optimizer=optimizer))
    return state


def _adam(name: str) -> Any:
    """The direction of Adam, without decay."""
    _, m, v = (a.astype(np.float64) for a in WEIGHTS[name])
    c1, c2 = 1 - 0.9**STEP, 1 - float(np.float32(0.999)) ** STEP
    return m / c1 * np.sqrt(c2) / (np.sqrt(v) + 1e-6), m / c1 / (np.sqrt(v / c2) + 1e-6)


def test_no_decay_for_an_excluded_variable() -> None:
    """AdamW's excluded variable moves by Adam's step alone, its neighbour as ever."""
    excluded, whole = _state("AdamW", exclude_from_weight_decay=["bias"]), _state("AdamW")
    np.testing.assert_allclose(excluded.parameters["dense/bias"].last_update(), -RATE * _adam("bias")[0], rtol=1e-4)
    for name, is_same in (("dense/kernel", True), ("dense/bias", False)):
        one, other = (s.parameters[name].last_update() for s in (excluded, whole))
        assert np.array_equal(one, other) == is_same
    assert excluded.hyperparameters["weight_decay"].value == DECAY


def test_no_trust_ratio_for_an_excluded_variable() -> None:
    """LAMB has a list for its trust ratio as well."""
    lists = {"exclude_from_weight_decay": ["bias"], "exclude_from_layer_adaptation": ["bias"]}
    state = _state("LAMB", **lists)
    np.testing.assert_allclose(state.parameters["dense/bias"].last_update(), -RATE * _adam("bias")[1], rtol=1e-4)
    adapted = _state("LAMB", exclude_from_weight_decay=["bias"]).parameters["dense/bias"].last_update()
    assert not np.allclose(adapted, state.parameters["dense/bias"].last_update(), rtol=1e-2)


@pytest.mark.parametrize("class_name", ["AdamW", "LAMB"])
@pytest.mark.parametrize(
    ("pattern", "decay"),
    [
        ("^dense/b", 0), ("b|x", 0), ("[Bb]ia.*s", 0), ("kernel", DECAY), ("^bias", DECAY),
        ("bias$", None), ("bias:0$", None),
    ],
)  # fmt: skip
def test_patterns_are_searched_in_the_name(class_name: str, pattern: str, decay: float | None) -> None:
    """Anywhere in it; a pattern that depends on whether `:0` is a part of it, which depends on the release, is open."""
    parameter = _state(class_name, exclude_from_weight_decay=[pattern]).parameters["dense/bias"]
    assert parameter.settings.weight_decay == decay
    assert (parameter.last_update() is None) == (decay is None)


@pytest.mark.parametrize("listed", ["bias", [3], ["("], ["(a+)+$"], ["a*a*a*b"], ["x" * 300], ["x"] * 200])
def test_lists_that_cannot_be_searched_with(listed: Any) -> None:
    """No pattern is run that could take for ever, and no last update claimed that depends on it; a remark says so."""
    for class_name in ("AdamW", "LAMB"):
        state = _state(class_name, exclude_from_weight_decay=listed)
        assert [p.code for p in state.problems] == ["exclusions-unreadable"]
        assert state.parameters["dense/bias"].last_update() is None
    assert state.parameters["dense/bias"].effective_lr() is None  # LAMB's depends on the weight decay


@pytest.mark.parametrize("listed", [None, []])
def test_empty_lists(listed: Any) -> None:
    """No list excludes nothing."""
    state = _state("LAMB", exclude_from_weight_decay=listed)
    assert (state.parameters["dense/bias"].settings.weight_decay, state.problems) == (DECAY, ())


def test_the_reason_is_the_list_and_no_missing_number() -> None:
    """What leaves LAMB's rate open is the list: neither the learning rate nor the weight decay is missing."""
    parameter = _state("LAMB", exclude_from_weight_decay=["(a+)+$"]).parameters["dense/bias"]
    for quantity in ("effective_lr", "last_update"):
        assert "exclude_from_weight_decay" in str(parameter.reason(quantity))
        assert "give it" not in str(parameter.reason(quantity))


@pytest.mark.parametrize(
    ("label", "given", "told"),
    [("adam", {}, []), ("adam", {"weight_decay": 0.1}, ["(0.1) is"]), ("adam_w", {}, ["(0.004, assumed) is"])],
)
def test_lists_that_keras_does_not_save(label: str, given: dict[str, float], told: list[str]) -> None:
    """Where weights decay, a remark says that some may have been spared, and what that would change."""
    value, m, v = WEIGHTS["kernel"]
    arrays = {
        "layers/dense/vars/0": value,
        **{f"optimizer/vars/{i}": a for i, a in enumerate((np.int64(5), np.float32(RATE), m, v))},
    }
    labels = {"optimizer/vars": label}
    (state,) = optimizer_states(MemoryCheckpoint(arrays, kind="keras-weights-h5", labels=labels), given)
    problems = [p for p in state.problems if p.code == "exclusions-not-saved"]
    assert len(problems) == len(told) and all(t in p.message for t, p in zip(told, problems, strict=True))
    assert all("the effective learning rate is the same" in p.resolution for p in problems)
