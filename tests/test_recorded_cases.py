"""The package against what live optimizers of TensorFlow 1.4 to 2.21 and Keras 1.2 to 3.15 recorded, end to end.

And against mutations of itself: each mistake that such a tool is prone to must be caught by one of the cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.orbax_sets import FOLDER as ORBAX
from support.orbax_sets import SETS, tree_folders
from support.recorded_cases import CASES, FIXTURES, first_fault, recorded_case

from ckpt_inspect import open_checkpoint, optimizer_states
from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.layouts import LAYOUTS
from ckpt_inspect.layouts.found import FoundOptimizer
from ckpt_inspect.state import counting, optimizer_state, rates, resolution, sources
from ckpt_inspect.update_rules import RULES, arithmetic, find_rule, optimizer_of_class
from ckpt_inspect.update_rules.rule import UpdateRule


@pytest.mark.parametrize("name", CASES)
def test_the_record_is_reproduced(name: str) -> None:
    """State bit for bit and under the right weights, step, no false claim, E and the last update to rounding."""
    assert recorded_case(name).faults() == []


def test_every_layout_and_rule_has_a_case() -> None:
    """Each layout, each rule, each family of implementations and every other optimizer that is known by its lists are
    recorded."""
    layouts, families, rules = set(), set(), set()
    for name in CASES:
        with open_checkpoint(recorded_case(name).path) as checkpoint:
            for state in optimizer_states(checkpoint):
                layouts.add(state.layout)
                families.add(state.family)
        for optimizer in recorded_case(name).optimizers:
            known = optimizer_of_class(optimizer.record["inner_cls"])
            rules |= {optimizer.rule, None if known is None else known.name}
    for folder in (folder for name in SETS for folder in tree_folders(ORBAX / name)):
        with open_checkpoint(folder) as checkpoint:
            layouts |= {state.layout for state in optimizer_states(checkpoint)}
    assert layouts >= {name for name, _ in LAYOUTS if name != "object graph"}
    assert layouts >= {"optimizer-v2", "tf1-object-graph", "keras2-variables", "keras3-variables"}
    assert families >= {"tf1", "contrib", "bert", "optimizer-v2", "tfa", "keras1", "keras2", "keras3"}
    assert layouts >= {"sonnet-lists", "module-lists", "unknown-names"}
    assert {rule.name for rule in RULES} <= rules
    assert {"adafactor", "ftrl", "muon", "novograd", "yogi"} <= rules


def test_cases_are_small() -> None:
    """All files together stay below two megabytes, and none is there that no case needs."""
    files = [f for f in FIXTURES.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 2_000_000


# ------------------------------------------------------------------------------------------------------- mutations


def _swap_moments(patch: pytest.MonkeyPatch) -> None:
    slots = dict(optimizer_state.STATE_SLOTS)
    slots["first_moment"], slots["second_moment"] = slots["second_moment"], slots["first_moment"]
    patch.setattr(optimizer_state, "STATE_SLOTS", slots)


def _textbook_epsilon(patch: pytest.MonkeyPatch) -> None:
    def wrapped(method: Any) -> Callable[..., Any]:
        return lambda self, state, settings, norms=None: method(
            self, state, replace(settings, has_textbook_epsilon=True), norms
        )

    for name in ("effective_lr", "last_update"):
        patch.setattr(UpdateRule, name, wrapped(getattr(UpdateRule, name)))


def _no_bias_correction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UpdateRule, "bias_corrections", lambda self, settings, dtype: (dtype.type(1), dtype.type(1)))


def _one_step_more_in_the_formula(patch: pytest.MonkeyPatch) -> None:
    power = arithmetic.beta_power
    patch.setattr(arithmetic, "beta_power", lambda value, name, step, *rest: power(value, name, step + 1, *rest))


def _one_step_less_in_the_formula(patch: pytest.MonkeyPatch) -> None:
    power = arithmetic.beta_power
    patch.setattr(
        arithmetic,
        "beta_power",
        lambda value, name, step, *rest: power(value, name, max(1, step - 1), *rest),
    )


def _powers_read_as_if_they_held_the_step(patch: pytest.MonkeyPatch) -> None:
    read = counting.read_beta_powers

    def mutant(*powers: Any) -> Any:
        reading = read(*powers)
        return reading._replace(step=None if reading.step is None else reading.step + 1)

    patch.setattr(counting, "read_beta_powers", mutant)


def _counter_read_as_the_next_step(patch: pytest.MonkeyPatch) -> None:
    counted = counting._counted
    patch.setattr(counting, "_counted", lambda c, f, raw: counted(c, f, raw + 1))


def _mutate_found(patch: pytest.MonkeyPatch, mutate: Callable[[Checkpoint, FoundOptimizer], FoundOptimizer]) -> None:
    find = optimizer_state.find_optimizers
    patch.setattr(optimizer_state, "find_optimizers", lambda c: tuple(mutate(c, f) for f in find(c)))


def _pairing_by_shape(patch: pytest.MonkeyPatch) -> None:
    def mutate(checkpoint: Checkpoint, found: FoundOptimizer) -> FoundOptimizer:
        """Each weight in the order of keys gets the first moments of its shape that are left."""
        left, parameters = list(found.parameters), []
        for value in sorted(p.value for p in found.parameters if p.value is not None):
            slots = next(p for p in left if p.shape == checkpoint.tensors[value].shape)
            left.remove(slots)
            parameters.append(replace(next(p for p in found.parameters if p.value == value), slots=slots.slots))
        return replace(found, parameters=tuple(parameters))

    _mutate_found(patch, mutate)


def _ignoring_the_maximum(patch: pytest.MonkeyPatch) -> None:
    amsgrad, adam = find_rule("amsgrad"), find_rule("adam")
    assert amsgrad is not None
    assert adam is not None
    patch.setattr(type(amsgrad), "second_moment", lambda self, state: adam.second_moment(state))


def _global_step_for_the_step(patch: pytest.MonkeyPatch) -> None:
    def mutate(checkpoint: Checkpoint, found: FoundOptimizer) -> FoundOptimizer:
        return replace(found, counter="global_step") if "global_step" in checkpoint.tensors else found

    _mutate_found(patch, mutate)


def _save_counter_for_the_step(patch: pytest.MonkeyPatch) -> None:
    key = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"
    _mutate_found(patch, lambda c, f: replace(f, counter=key) if key in c.tensors else f)


def _defaults_passed_off_as_read(patch: pytest.MonkeyPatch) -> None:
    default = sources.assumed_default
    for user in (resolution, rates):
        patch.setattr(user, "assumed_default", lambda *a: replace(default(*a), source="checkpoint"))


MUTATIONS = {
    "m and v swapped": _swap_moments,
    "textbook epsilon": _textbook_epsilon,
    "no bias correction": _no_bias_correction,
    "t one too large in the formula": _one_step_more_in_the_formula,
    "t one too small in the formula": _one_step_less_in_the_formula,
    "powers taken for beta**t": _powers_read_as_if_they_held_the_step,
    "counter taken for t - 1": _counter_read_as_the_next_step,
    "pairing by shape": _pairing_by_shape,
    "AMSGrad's maximum ignored": _ignoring_the_maximum,
    "global_step for t": _global_step_for_the_step,
    "save_counter for t": _save_counter_for_the_step,
    "defaults passed off as read": _defaults_passed_off_as_read,
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutation_is_caught(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this mistake in the package, at least one recorded case fails."""
    MUTATIONS[mutation](monkeypatch)
    with np.errstate(all="ignore"):
        assert first_fault(CASES) is not None
