"""Inference over simulated runs of every kind of trap: right where it can be, silent elsewhere, never wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.inferred_runs import Plan, Truth, simulate

from ckpt_inspect.comparison.inference.evidence import Inference
from ckpt_inspect.comparison.inference.infer import infer
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.layouts.found import Counted
from ckpt_inspect.sourced import Sourced

NAMES = ("beta_1", "beta_2", "epsilon")


def run(plan: Plan) -> tuple[list[Observation], list[Truth], Inference]:
    """The run's checkpoints, what was true, and what is inferred; asserts that nothing is wrong."""
    observations, truths = simulate(plan)
    inference = infer(observations)
    for values, truth in zip(inference.values, truths, strict=True):
        for name, found in values.items():
            assert found.value == pytest.approx(getattr(truth, name), rel=1e-6 if name != "weight_decay" else 1e-3)
    return observations, truths, inference


def claimed(inference: Inference, name: str) -> int:
    """For how many checkpoints there is a value."""
    return sum(name in values for values in inference.values)


@pytest.mark.parametrize("family", ["keras3", "keras2", "optimizer-v2"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.95, 0.98), (0.9, 0.9999), (0.5, 0.99), (0.8, 0.997)])
def test_betas_and_epsilon_are_right(betas: tuple[float, float], family: str) -> None:
    """For every usual pair, in each arithmetic."""
    _, _, inference = run(Plan(beta_1=betas[0], beta_2=betas[1], family=family, scale=1e-5))
    assert claimed(inference, "beta_2") == 3
    # 0.5**160 is nothing that a float32 can hold: there one window is all
    assert min(claimed(inference, "beta_1"), claimed(inference, "epsilon")) >= (3 if betas[0] > 0.5 else 2)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 1e-7, 1e-8, 1e-10, 1.5e-4, 3e-8])
def test_epsilon_is_right_or_bounded(epsilon: float) -> None:
    """Where it makes a difference it is found, written as people write it; elsewhere its bound holds."""
    _, _, inference = run(Plan(epsilon=epsilon, scale=max(1e-5, 30 * epsilon), seed=4))
    intervals = [w.epsilon for w in inference.windows if w.epsilon is not None]
    assert intervals and all(i.low <= epsilon <= i.high for i in intervals)
    assert claimed(inference, "epsilon") >= 2 or all(i.best is None or i.high / i.low > 1.5 for i in intervals)


def test_weights_that_hardly_moved_tell_nothing() -> None:
    """Gradients so small that their updates vanish in the weights' rounding: betas, and no epsilon."""
    _, _, inference = run(Plan(epsilon=1e-3, scale=1e-9))
    assert claimed(inference, "beta_2") == 3 and claimed(inference, "epsilon") == 0
    assert all(w.epsilon is None and w.refusal for w in inference.windows)


def test_an_epsilon_without_effect_is_bounded_only() -> None:
    """Gradients far above it: at most so much, and no value."""
    _, _, inference = run(Plan(epsilon=1e-12, scale=1.0))
    assert claimed(inference, "epsilon") == 0
    bounds = [w.epsilon for w in inference.windows if w.epsilon is not None]
    assert bounds and all(i.best is None and 1e-12 <= i.high < 1e-4 for i in bounds)


@pytest.mark.parametrize("saves", [(100, 101), (100, 102), (100, 103), (5, 7, 9)])
def test_short_windows_tell_too(saves: tuple[int, ...]) -> None:
    """One to three updates apart."""
    _, _, inference = run(Plan(saves=saves, scale=1e-5))
    assert claimed(inference, "beta_2") > 0 and claimed(inference, "beta_1") > 0


@pytest.mark.parametrize("known", [True, False])
def test_schedules_are_no_epsilon(known: bool) -> None:
    """A rate that falls or rises during the window spoils no epsilon, and is given to no checkpoint."""
    for rate in (
        lambda t: 1e-3 * 0.97 ** (t / 10),
        lambda t: 1e-3 * min(t / 300, 1),
        lambda t: 1e-3 if t < 110 else 1e-4,
    ):
        plan = Plan(rate=rate, scale=1e-5, known={"learning_rate": "checkpoint"} if known else {})
        _, _, inference = run(plan)
        assert claimed(inference, "learning_rate") == 0 and claimed(inference, "beta_2") == 3


def test_skipped_updates_do_not_decay() -> None:
    """Loss scaling counts them: the betas are right all the same, and the number of decays is told."""
    plan = Plan(saves=(100, 120, 150), skipped=frozenset({105, 110, 131}), scale=1e-5)
    _, _, inference = run(plan)
    assert [w.decays for w in inference.windows] == [18, 29] and claimed(inference, "beta_2") == 3


@pytest.mark.parametrize("count", [2, 3, 8])
def test_accumulated_gradients_are_counted(count: int) -> None:
    """n, and with it the exponent, follows from the decays; also for files in the middle of an accumulation."""
    plan = Plan(saves=(201, 282, 500), accumulated=count, counted="gradients-to-divide", scale=1e-5)
    _, truths, inference = run(plan)
    assert [v["step"].value for v in inference.values] == [t.step for t in truths]


@pytest.mark.parametrize("counted", ["gradients-to-divide", "gradients-either"])
def test_updates_are_counted_where_no_element_was_silent(counted: Counted) -> None:
    """By n, which another window shows; the counter rose by the gradients."""
    plan = Plan(saves=(201, 282, 500), accumulated=2, counted=counted, scale=1e-5)
    observations, truths = simulate(plan)
    dense = {name: moments for name, moments in observations[2].elements.items() if name != "embedding"}
    inference = infer([*observations[:2], replace(observations[2], elements=dense)])
    assert [w.decays is None for w in inference.windows] == [False, True]
    assert [w.counted for w in inference.windows] == [81, 218]
    assert inference.windows[1].updates == truths[2].step - truths[1].step == 109
    alone = infer([observations[1], replace(observations[2], elements=dense)])
    assert [w.updates for w in alone.windows] == [None]  # n is in no file


def test_what_a_bound_rests_on_is_counted_as_the_counter_counts() -> None:
    """Accumulated gradients are no updates."""
    plan = Plan(saves=(200, 240, 400), rows=0, accumulated=2, beta_2=0.95, scale=1e-2, counted="gradients-to-divide")
    observations, _ = simulate(replace(plan, proportional=True))
    (contradiction,) = infer(observations).contradictions
    assert "counted gradients, the second moments" in contradiction.sentence and "updates" not in contradiction.sentence


def test_one_update_tells_no_number_of_gradients() -> None:
    """Many numbers have one multiple among the counts of a short window."""
    plan = Plan(saves=(20, 21), accumulated=3, counted="gradients-to-divide", scale=1e-5)
    _, _, inference = run(plan)
    assert [w.decays for w in inference.windows] == [1] and claimed(inference, "step") == 0


def test_an_open_exponent_stays_open() -> None:
    """Where the file doesn't say whether the exponent is divided, n alone is no answer."""
    plan = Plan(saves=(201, 282, 500), accumulated=4, counted="gradients-either", scale=1e-5)
    _, _, inference = run(plan)
    assert claimed(inference, "step") == 0 and claimed(inference, "beta_2") == 3


def test_decoupled_decay_is_found() -> None:
    """Weights that no gradient ever reached shrink by it, in every window; epsilon is found beside it."""
    _, _, inference = run(Plan(saves=(200, 240, 500), rule="adamw", weight_decay=0.1, scale=1e-5))
    assert [claimed(inference, n) for n in ("weight_decay", "epsilon")] == [3, 3]


def test_a_change_by_hand_is_no_decay() -> None:
    """Weights that shrink alike in one window only."""
    _, _, inference = run(Plan(saves=(200, 240, 500, 700), by_hand_at=220, scale=1e-5))
    assert claimed(inference, "weight_decay") == 0 and claimed(inference, "epsilon") > 0


@pytest.mark.parametrize("shows", [True, False])
def test_weights_that_averages_move_are_no_witness(shows: bool) -> None:
    """Whether or not the file shows that there is one, neither a wrong rate nor a wrong epsilon comes of it."""
    _, _, inference = run(Plan(saves=(200, 240, 500), average_every=25, shows_average=shows, scale=1e-5))
    assert claimed(inference, "beta_2") == 3 and claimed(inference, "epsilon") == 0


def test_a_reset_is_a_break() -> None:
    """Both sides keep their values, and the window between says why it tells nothing."""
    _, _, inference = run(Plan(saves=(200, 240, 400, 440), reset_at=300, scale=1e-5))
    assert [w.is_continuous for w in inference.windows if w.places == (1, 2)] == [False]
    assert claimed(inference, "beta_2") == 4


def test_betas_that_changed_are_given_where_they_were_seen() -> None:
    """A window in which they changed shows a mixture: nobody gets that."""
    plan = Plan(saves=(100, 120, 160, 200), change_at=140, changed={"beta_1": 0.8, "beta_2": 0.99}, scale=1e-5)
    _, _, inference = run(plan)
    assert [v["beta_2"].value for v in inference.values if "beta_2" in v] == [0.999, 0.999, 0.99, 0.99]


def test_a_window_does_not_speak_for_what_was_made_before_it() -> None:
    """A training is resumed from a checkpoint with other values. Without a witness before, none is given to it."""
    changed = {"beta_1": 0.8, "beta_2": 0.98, "epsilon": 1e-5}
    plan = Plan(saves=(100, 200, 240), change_at=201, changed=changed, scale=1e-4)
    observations, truths = simulate(plan)
    assert (truths[1].beta_2, truths[2].beta_2) == (0.999, 0.98)
    dense = {name: moments for name, moments in observations[0].elements.items() if name != "embedding"}
    resumed = infer([replace(observations[0], elements=dense), *observations[1:]])
    assert [set(values) for values in resumed.values] == [set(), set(), {"beta_1", "beta_2", "epsilon"}]


def test_proportional_gradients_are_no_silence() -> None:
    """They agree to rounding, in both moments, and show no beta; the bound contradicts what is assumed."""
    _, _, inference = run(Plan(saves=(200, 240, 400), rows=0, proportional=True, beta_2=0.95))
    assert not any(inference.values)
    assert [c.name for c in inference.contradictions] == ["beta_2"]
    assert inference.contradictions[0].bound >= 0.95


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_tell_nothing(dtype: str) -> None:
    """Their rounding is the decay."""
    _, _, inference = run(Plan(dtype=dtype))
    assert not any(inference.values) and all("16-bit" in w.refusal for w in inference.windows)


def test_a_lazy_rule_tells_its_betas() -> None:
    """Rows that no batch touched don't decay; elements of touched rows do."""
    run(Plan(rule="lazyadam", family="tfa", is_lazy=True, scale=1e-5))


@pytest.mark.parametrize("is_lazy", [True, False])
def test_rows_that_stay_tell_a_lazy_rule(is_lazy: bool) -> None:
    """Slots named Adam may be LazyAdam's: rows that no batch touched keep their moments to the bit, or decay."""
    observations, _ = simulate(Plan(family="tf1", is_lazy=is_lazy, saves=(100, 110, 150)))
    told = [replace(o, rule=replace(o.rule, source="default")) for o in observations]
    rule = infer(told).rule
    assert (rule.value if rule is not None else None) == ("lazyadam" if is_lazy else None)
    assert infer(observations).rule is None  # the file itself names it


def test_known_values_are_never_replaced() -> None:
    """What a file tells, or the caller, stays."""
    known = {"beta_1": "config", "beta_2": "given", "epsilon": "config", "learning_rate": "checkpoint"}
    _, _, inference = run(Plan(known=known, scale=1e-5))  # type: ignore[arg-type]
    assert not any(inference.values)


def test_two_runs_never_mix() -> None:
    """Checkpoints of two runs between each other: each gets its own values, or none."""
    one, two = (
        Plan(saves=(200, 300, 500), scale=1e-5),
        Plan(saves=(250, 280, 400), beta_1=0.8, beta_2=0.95, epsilon=1e-5, seed=9, scale=1e-5),
    )
    pairs = [zip(*simulate(plan), strict=True) for plan in (one, two)]
    rows = sorted((row for each in pairs for row in each), key=lambda row: row[0].raw_step or 0)
    inference = infer([observation for observation, _ in rows])
    assert claimed(inference, "beta_2") == 6
    for values, (_, truth) in zip(inference.values, rows, strict=True):
        assert all(found.value == pytest.approx(getattr(truth, name)) for name, found in values.items())


def test_one_counter_of_two_runs_is_a_break() -> None:
    """Two checkpoints with one counter and different moments are of different runs."""
    (one,), _ = simulate(Plan(saves=(50,)))
    (two,), _ = simulate(Plan(saves=(50,), seed=1))
    (window,) = infer([one, two]).windows
    assert not window.is_continuous and not any(infer([one, one]).values)
    assert infer([one, one]).windows[0].is_continuous


def test_decays_are_counted_where_no_counter_is() -> None:
    """Both moments together tell the betas and the number of updates; the exponent stays open."""
    observations, truths = simulate(Plan(scale=1e-5, family="tf1", beta_2=0.98))
    unknown: Sourced[int] = Sourced(None, "unknown", "")
    inference = infer([replace(o, step=unknown, raw_step=None) for o in observations])
    assert [w.decays for w in inference.windows] == [40, 160]
    assert [v["beta_2"].value for v in inference.values] == [t.beta_2 for t in truths]
    assert claimed(inference, "step") == claimed(inference, "epsilon") == 0


def test_a_checkpoint_without_moments_is_passed_over() -> None:
    """Weights alone between two whole checkpoints hide nothing of the others."""
    observations, truths = simulate(Plan(scale=1e-5))
    observations.insert(1, replace(observations[0], checkpoint="weights", elements={}))
    values = infer(observations).values
    assert values[1] == {} and [v["beta_2"].value for v in values if v] == [t.beta_2 for t in truths]


def test_another_rule_is_a_break() -> None:
    """A run that went on with another optimizer."""
    observations, _ = simulate(Plan(scale=1e-5))
    other = replace(observations[2], rule=replace(observations[2].rule, value="adamw"))
    assert [w.is_continuous for w in infer([*observations[:2], other]).windows][:2] == [True, False]


def test_a_run_of_many_checkpoints_is_told_to_its_end() -> None:
    """Not every window's weights are fitted; those that are speak for all."""
    plan = Plan(saves=tuple(range(100, 300, 2)), rows=20, dense=20, scale=1e-5)
    _, _, inference = run(plan)
    assert [claimed(inference, name) for name in NAMES] == [100, 100, 100]


def test_evidence_is_told() -> None:
    """Every value names the checkpoints, and how many elements are the evidence."""
    _, _, inference = run(Plan(scale=1e-5))
    for values in inference.values:
        for found in values.values():
            assert found.source == "inferred" and "ckpt-" in found.where and any(c.isdigit() for c in found.where)


def test_an_assumed_value_is_refuted() -> None:
    """Where another beta or epsilon was used than the default."""
    _, _, inference = run(Plan(beta_2=0.98, epsilon=1e-5, scale=1e-5))
    assert {c.name for c in inference.contradictions} == {"beta_2", "epsilon"}


def test_what_was_true_before_a_change_is_not_refuted() -> None:
    """A window after which beta_2 was smaller says nothing of the checkpoint that it starts with."""
    plan = Plan(rows=0, saves=(100, 140, 180, 220), change_at=141, changed={"beta_2": 0.98}, spike_at=90, spike=30.0)
    observations, truths = simulate(plan)
    (found,) = infer(observations).contradictions
    assert found.name == "beta_2"
    assert found.places == tuple(place for place, truth in enumerate(truths) if truth.beta_2 != 0.999)


def test_a_rate_too_small_is_refuted() -> None:
    """Weights moved further than the rate in the files can move them; with the true rate, nothing is refuted."""
    observations, _ = simulate(Plan(scale=1e-2, family="optimizer-v2"))
    assert not [c for c in infer(observations).contradictions if c.name == "learning_rate"]
    small = [
        replace(
            o,
            hyperparameters={
                **o.hyperparameters,
                "learning_rate": replace(o.hyperparameters["learning_rate"], value=1e-6),
            },
        )
        for o in observations
    ]
    refuted = [c for c in infer(small).contradictions if c.name == "learning_rate"]
    assert refuted and all(1e-6 < c.bound <= 1e-3 for c in refuted)


def test_one_checkpoint_tells_nothing() -> None:
    """Nor does none."""
    observations, _ = simulate(Plan(saves=(50,)))
    assert infer(observations).values == ({},) and infer([]).values == ()


@pytest.mark.parametrize("seed", range(6))
def test_double_precision_is_followed(seed: int) -> None:
    """In float64 the betas are what was written."""
    _, _, inference = run(Plan(dtype="float64", seed=seed, scale=1e-5))
    assert claimed(inference, "beta_2") == 3


@pytest.mark.parametrize("scale", [1e-2, 1e-3, 1e-4])
def test_a_rate_that_epsilon_hides_is_given_as_an_interval(scale: float) -> None:
    """Where ε outweighs √v only rate over ε shows in how far weights moved: the rate has no best value."""
    _, _, inference = run(Plan(epsilon=1.0, rate=0.1, scale=scale, beta_2=0.98, saves=(100, 130, 260, 400)))
    rates = [w.learning_rate for w in inference.windows if w.learning_rate is not None]
    assert rates and any(rate.best is None for rate in rates)
    assert all(rate.low <= 0.1 <= rate.high for rate in rates)
    assert all(rate.best == pytest.approx(0.1, rel=1e-2) for rate in rates if rate.best is not None)
