"""The rules against what live optimizers of eight TensorFlows really did, and against mutations of themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from support.recorded_cases import CASES, recorded_case
from support.recorded_updates import RecordedUpdate, recorded_updates

from ckpt_inspect.errors import NotDetermined
from ckpt_inspect.update_rules import RULES, find_implementation, find_rule
from ckpt_inspect.update_rules.implementations import KERAS1

WITHOUT_UPDATE = {"nadam", "adagrad"}
FACTOR_ON_GRADIENT = {"nadam", "adagrad", "rmsprop"}


def _key(record: RecordedUpdate) -> tuple[str, str, str]:
    return record.rule, record.family, record.dtype


GROUPS = {k: tuple(g) for k, g in groupby(sorted(recorded_updates(), key=_key), key=_key)}


@pytest.mark.parametrize("group", [k for k in GROUPS if k[0] not in WITHOUT_UPDATE], ids="-".join)
def test_last_update_is_what_the_optimizer_did(group: tuple[str, str, str]) -> None:
    """last_update() gives the change of the weights within rounding, in every implementation and dtype."""
    rule = find_rule(group[0])
    assert rule is not None
    for record in GROUPS[group]:
        update = rule.last_update(record.state, record.settings)
        assert update.dtype == record.before.dtype
        assert update.shape == record.before.shape
        assert record.excess(update) <= 1, record.label


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_adam_is_exact_where_its_dtype_is_peculiar(dtype: str) -> None:
    """float16, bfloat16 and float64 Adam is reproduced to the last bit, nan included, by every family."""
    rule = find_rule("adam")
    assert rule is not None
    records = [r for k, g in GROUPS.items() if k[0] == "adam" and k[2] == dtype for r in g]
    assert len({r.family for r in records}) >= 3
    for record in records:
        with np.errstate(invalid="ignore"):
            after = record.before + rule.last_update(record.state, record.settings)
        np.testing.assert_array_equal(after.astype(np.float64), record.state.value.astype(np.float64), record.label)


@pytest.mark.parametrize("group", [k for k in GROUPS if k[0] == "nadam"], ids="-".join)
def test_nadam_says_that_it_needs_the_gradient(group: tuple[str, str, str]) -> None:
    """Nadam's last update is not determined, and the message says why."""
    rule = find_rule("nadam")
    assert rule is not None
    for record in GROUPS[group]:
        with pytest.raises(NotDetermined, match="needs the last gradient, which no checkpoint holds"):
            rule.last_update(record.state, record.settings)


@pytest.mark.parametrize(
    "group", [k for k in GROUPS if k[0] not in FACTOR_ON_GRADIENT and "16" not in k[2]], ids="-".join
)
def test_effective_lr_times_corrected_first_moment_is_the_update(group: tuple[str, str, str]) -> None:
    """-E·m/c1, with decay's share of the weights before, is the last update: E is the factor it is said to be."""
    rule = find_rule(group[0])
    assert rule is not None
    for record in GROUPS[group]:
        norms = rule.norms_of(record.state, record.settings)
        effective = rule.effective_lr(record.state, record.settings, norms).astype(np.float64)
        c = rule.coefficients(record.settings, record.before.dtype, norms)
        m = record.state.first_moment.astype(np.float64)
        update = -(effective * m / float(c.first_correction) + float(c.decay) * record.before.astype(np.float64))
        assert record.excess(update) <= 1, record.label


def test_every_rule_is_recorded() -> None:
    """Each rule is compared with at least one live optimizer, here or in a recorded checkpoint; Adagrad has no update,
    and is compared with a live one elsewhere."""
    in_checkpoints = {optimizer.rule for name in CASES for optimizer in recorded_case(name).optimizers}
    assert {rule.name for rule in RULES} - {k[0] for k in GROUPS} - in_checkpoints == {"adagrad"}


def _without_correction(record: RecordedUpdate) -> RecordedUpdate:
    return replace(record, settings=replace(record.settings, step=None, is_converged=True))


def _one_step_more(record: RecordedUpdate) -> RecordedUpdate:
    return replace(record, settings=replace(record.settings, step=record.settings.step + 1))


def _one_step_less(record: RecordedUpdate) -> RecordedUpdate:
    return replace(record, settings=replace(record.settings, step=record.settings.step - 1))


def _global_step(record: RecordedUpdate) -> RecordedUpdate:
    return replace(record, settings=replace(record.settings, step=record.settings.step + 1000))


def _swapped(record: RecordedUpdate) -> RecordedUpdate:
    state = record.state
    return replace(record, state=replace(state, first_moment=state.second_moment, second_moment=state.first_moment))


def _without_maximum(record: RecordedUpdate) -> RecordedUpdate:
    return replace(record, state=replace(record.state, max_second_moment=record.state.second_moment))


def _textbook_epsilon(record: RecordedUpdate) -> RecordedUpdate:
    """Algorithm 1's α/(√(v/c2) + ε) is this package's form with ε·√c2."""
    correction = np.sqrt(1 - record.settings.beta_2**record.settings.step)
    return replace(record, settings=replace(record.settings, epsilon=record.settings.epsilon * correction))


MUTATIONS: dict[str, tuple[Callable[[RecordedUpdate], RecordedUpdate], str]] = {
    "no bias correction": (_without_correction, "adam"),
    "t one too large": (_one_step_more, "adam"),
    "t one too small": (_one_step_less, "adam"),
    "global_step for t": (_global_step, "adam"),
    "m and v swapped": (_swapped, "adam"),
    "textbook epsilon": (_textbook_epsilon, "adam"),
    "AMSGrad's maximum ignored": (_without_maximum, "amsgrad"),
}


@pytest.mark.parametrize("family", ["tf1", "keras1", "optimizer-v2", "keras2", "keras3"])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations_are_caught(mutation: str, family: str) -> None:
    """Each plausible mistake misses the recorded updates by more than 50 times the tolerance."""
    mutate, name = MUTATIONS[mutation]
    rule = find_rule(name)
    assert rule is not None
    records = [r for r in GROUPS.get((name, family, "float32"), ()) if r.settings.step > 1]
    if mutation == "textbook epsilon":
        records = [r for r in records if r.settings.epsilon == 0.01]
    if mutation == "AMSGrad's maximum ignored":
        # v must have had the time to leave its maximum behind
        records = [r for r in records if r.settings.step == 20 and r.settings.beta_2 == 0.99]
    assert records or (family, name) == ("tf1", "amsgrad"), "tf.train has no AMSGrad, all others are recorded"
    for record in records:
        mutant = mutate(record)
        assert record.excess(rule.last_update(mutant.state, mutant.settings)) > 50, record.label


def test_adam_is_not_taken_for_another_rule() -> None:
    """Reading LAMB's, RAdam's, Adamax's or BERT's state as Adam's misses the update, and the other way round."""
    adam = find_rule("adam")
    assert adam is not None
    for (name, _, _), group in GROUPS.items():
        if name in ("lamb", "radam", "adamax", "bert-adamw"):
            worst = max(r.excess(adam.last_update(r.state, r.settings)) for r in group)
            assert worst > 50, name


def test_betas_that_skip_float32_are_caught_in_float64() -> None:
    """Powers of the Python 0.999 instead of float32(0.999) miss float64's tolerance: the families really differ."""
    adam = find_rule("adam")
    assert adam is not None
    for record in GROUPS["adam", "keras3", "float64"]:
        if record.settings.step > 1:
            textbook = replace(record.settings, implementation=KERAS1)  # the one family of full-precision betas
            assert record.excess(adam.last_update(record.state, textbook)) > 2, record.label


@pytest.mark.parametrize(
    "group", [k for k in GROUPS if k[1] in ("optimizer-v2", "tfa", "keras2", "keras3")], ids="-".join
)
def test_default_epsilon_is_the_recorded_one(group: tuple[str, str, str]) -> None:
    """Where the recorded optimizer was given no epsilon, the one that it had is the rule's default for its family."""
    rule = find_rule(group[0])
    assert rule is not None
    implementation = find_implementation(group[1])
    assert implementation is not None
    had = {r.settings.epsilon for r in GROUPS[group]} - {0.01}  # the one that the recorder gives
    assert had <= {rule.defaults(implementation)["epsilon"]}
