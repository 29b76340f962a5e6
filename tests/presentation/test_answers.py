"""What people ask of a run: each answer follows from the run's figures, and none says more than they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.frames_for_plots import make_frames
from support.page_contents import make_finding

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.findings.finding import Finding, Severity
from ckpt_inspect.presentation.answers import Answer, Asked, answers
from ckpt_inspect.presentation.optimizer_series import optimizer_series

LEARNING, SPEED, LAYERS, RESUME, EPSILON, DEAD, CHANGED, TRUST = range(8)


def healthy(checkpoints: int = 3, **columns: Any) -> pd.DataFrame:
    """A frame without anything odd, with these columns in place of its own."""
    frame = make_frames(4, checkpoints)["parameters"]
    plain = {"update_to_weight": 2e-3, "path_distance": 0.01, "untouched": 0.0, "epsilon_dominated": 0.0,
             "epsilon_source": "config", "update_rms": 1e-4, "weight_decay": 0.0,
             "weight_decay_source": "config"}  # fmt: skip
    return frame.assign(**plain | columns)


def asked(
    frame: pd.DataFrame, findings: Sequence[Finding] = (), segments: tuple[Segment, ...] = ()
) -> tuple[Answer, ...]:
    """The answers of a run of that frame."""
    names = tuple(frame.drop_duplicates("checkpoint_index")["checkpoint"])
    return answers(Asked(names, tuple(optimizer_series("digits", frame)), tuple(findings), segments))


def test_a_healthy_run_has_short_answers() -> None:
    """Each with the figures behind it; whether the loss falls is never claimed."""
    found = asked(healthy())
    assert [a.word for a in found] == [
        "Its weights move", "No", "None", "No", "No", "No", "The learning rate", "Yes",
    ]  # fmt: skip
    assert {a.tone for a in found} == {"good"}
    assert found[LEARNING].text == (
        "The 2 weight matrices moved by about 20 % of their norm since the first checkpoint (median). That is a rough "
        "estimate from some elements of each, mostly within a factor of 2. The "
        "last update changed 4 of 4 tensors. Checkpoints don't say whether the loss falls."
    )
    assert "the step goes from 100 to 300 and never falls" in found[RESUME].text


def test_changes_are_told_of_what_came_since_state_was_carried_on() -> None:
    """Not across the loss, and what can be trusted says so."""
    frame = healthy(4, learning_rate=1e-3)
    frame["effective_lr_median"] = [1.0, 1.0, 8.0, 16.0] * 4
    assert "since the first checkpoint the median of E/α changed by ×16 (dense/kernel)." in asked(frame)[CHANGED].text
    found = asked(frame, segments=(Segment(0, 2, "start"), Segment(2, 4, "state-lost")))
    assert "since ckpt-3 the median of E/α changed by ×2 (dense/kernel)." in found[CHANGED].text
    assert "At ckpt-3 state was not carried on" in found[TRUST].text
    jumped = asked(frame, segments=(Segment(0, 2, "start"), Segment(2, 4, "rate-jumped")))
    assert "changed by ×16" in jumped[CHANGED].text


def test_nothing_is_asked_of_a_run_without_an_optimizer() -> None:
    """There are no figures to answer from."""
    assert answers(Asked(("ckpt-1",), (), ())) == ()


@pytest.mark.parametrize(
    ("updates", "ratio", "word"),
    [(0.0, 0.0, "No"), (1e-12, 1e-9, "Hardly"), (np.nan, np.nan, "Can't tell")],
)
def test_weights_that_stand_still_are_not_learning(updates: float, ratio: float, word: str) -> None:
    """Updates of 0, of next to nothing, and those that nobody knows."""
    found = asked(healthy(update_rms=updates, update_to_weight=ratio, path_distance=np.nan))
    assert found[LEARNING].word == word
    assert found[LEARNING].tone != "good"


def test_some_tensors_that_stand_still_are_counted() -> None:
    """The last update of one layer is 0."""
    frame = healthy()
    frame["update_rms"] = np.where(frame["parameter"].str.startswith("dense/"), 0.0, 1e-4)
    assert asked(frame)[LEARNING].word == "Partly"
    assert "changed 2 of 4 tensors" in asked(frame)[LEARNING].text


def test_an_optimizer_that_moves_some_is_told_from_one_that_moves_none() -> None:
    """By how many tensors the finding names."""
    names = list(healthy()["parameter"].unique())
    assert asked(healthy(), [make_finding("inert-state", names)])[LEARNING].word == "No"
    assert asked(healthy(), [make_finding("inert-state", names[:1])])[LEARNING].word == "Partly"


@pytest.mark.parametrize(
    ("ratio", "word"),
    [(2e-3, "No"), (5e-2, "Mostly no"), (5e-5, "They are very small"), (0.0, "They are 0"), (np.nan, "Can't tell")],
)
def test_steps_are_compared_with_the_weights(ratio: float, word: str) -> None:
    """Without a finding that says more."""
    assert asked(healthy(update_to_weight=ratio))[SPEED].word == word


def test_steps_are_not_judged_by_values_that_the_run_refutes() -> None:
    """Nor are they where ε is in the way."""
    found = asked(healthy(epsilon_contradiction="at least 1e-5"))
    assert (found[SPEED].word, found[EPSILON].word, found[TRUST].word) == ("Can't tell", "Can't tell", "Not all")


def test_an_unknown_rate_is_named_as_what_is_missing() -> None:
    """And how to give it."""
    frame = healthy(update_to_weight=np.nan, learning_rate=np.nan, learning_rate_source="unknown")
    assert asked(frame)[SPEED].text.endswith("because the learning rate is not: give it with --learning-rate.")


def test_findings_answer_before_figures() -> None:
    """Which layers, since when, and whether steps, ε or dead units are the matter."""
    ids = ("updates-too-large", "epsilon-dominated", "untouched-tensors")
    of_newest = [replace(make_finding(each, ["dense/kernel", "dense/bias"]), checkpoints=("ckpt-2",)) for each in ids]
    found = asked(healthy(2), of_newest)
    assert found[SPEED].word == "Too large"
    assert found[EPSILON].word == found[DEAD].word == "Yes"
    assert found[LAYERS].word == "dense/kernel and 1 more"
    assert "at step 200" in found[LAYERS].text


def test_remarks_leave_no_layer_standing_out() -> None:
    """They are named all the same; not so units without a gradient, of which another answer tells."""
    found = asked(healthy(), [make_finding("layer-drifted", ["dense/bias"], severity="info")])
    assert found[LAYERS].word == "None that needs attention"
    found_units = asked(healthy(), [make_finding("untouched-elements", ["dense/bias"], severity="info")])
    assert found_units[LAYERS].word == "None"
    assert "dense/bias" in found[LAYERS].text


def test_a_lost_state_is_found_between_checkpoints() -> None:
    """Those before and after are named, with the step."""
    segments = (Segment(0, 1, "start"), Segment(1, 3, "state-lost"))
    found = asked(healthy(), segments=segments)[RESUME]
    assert found.word.startswith("Yes, or")
    assert found.text == "The state was not carried on from ckpt-1 to ckpt-2 (step 200)."


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (healthy(1), "checkpoint before it is needed"),
        (healthy(step=pd.NA).astype({"step": "Int64"}), "step is known"),
        (healthy(beta_2=np.nan), "β2 is not known"),
    ],
)
def test_a_resume_is_not_judged_without_what_it_takes(frame: pd.DataFrame, why: str) -> None:
    """Several checkpoints, their steps and β2."""
    assert asked(frame)[RESUME].word == "Can't tell"
    assert why in asked(frame)[RESUME].text


def test_second_moments_that_fall_too_fast_leave_a_resume_open() -> None:
    """A smaller β2 explains it as well as a lost state; where a finding blames β2, no layer stands out for it."""
    broken = make_finding("lineage-broken", ["dense/kernel"])
    found = asked(healthy(), [replace(broken, severity=Severity.INFO)])
    assert (found[RESUME].word, found[LAYERS].word) == ("Can't tell", "None")
    assert "fell faster than the β2" in found[RESUME].text
    assert asked(healthy(), [replace(broken, severity=Severity.WARNING)])[LAYERS].word == "dense/kernel"
    refuted = asked(healthy(beta_2_contradiction="beta_2 is at most 0.98"))
    assert refuted[RESUME].word == "Can't tell"


@pytest.mark.parametrize(
    ("kind", "word"),
    [("starved-tensors", "Yes"), ("untouched-rows", "Some rows"), ("untouched-elements", "Yes")],
)
def test_what_is_dead_is_named_by_how_much_of_it_is(kind: str, word: str) -> None:
    """A row of an embedding that no token uses is no dead layer."""
    assert asked(healthy(), [make_finding(kind, ["dense/kernel"])])[DEAD].word == word


def test_values_that_are_not_finite_answer_nothing_else() -> None:
    """ε and dead units can't be told from NaN, and the numbers can't be trusted."""
    found = asked(healthy(), [make_finding("nonfinite-state", ["dense/kernel"])])
    assert [found[q].word for q in (LEARNING, EPSILON, DEAD, TRUST)] == ["No", "Can't tell", "Can't tell", "No"]


@pytest.mark.parametrize(("share", "word"), [(0.0, "No"), (0.005, "No"), (0.05, "Hardly"), (0.3, "Partly")])
def test_epsilon_by_its_largest_share(share: float, word: str) -> None:
    """Where no finding names it."""
    assert asked(healthy(epsilon_dominated=share))[EPSILON].word == word


def test_a_jump_outweighs_a_small_last_update() -> None:
    """With the vectors that still move too far, which no finding on matrices names."""
    frame = healthy()
    frame.loc[frame["parameter"] == "dense/bias", "update_to_weight"] = 0.08
    found = asked(frame, [make_finding("weights-jumped", ["dense/kernel"])])[SPEED]
    assert (found.word, found.tone) == ("They were too large", "trouble")
    assert found.text.endswith("That of dense/bias is 8 % of its norm.")


def test_updates_that_were_too_large_now_and_then_are_no_matter_of_the_newest() -> None:
    """Of those that no finding names, the last one is named."""
    found = asked(healthy(), [make_finding("updates-too-large", ["dense/kernel"])])[SPEED]
    assert found.word == "Now and then too large"
    frame = healthy()
    frame.loc[(frame["checkpoint"] == "ckpt-1") & (frame["parameter"] == "dense/kernel"), "update_to_weight"] = 0.02
    early = asked(frame)[SPEED]
    assert early.word == "No"
    assert early.text.endswith("Before, it was above 1 %, last in ckpt-1 (step 100): dense/kernel.")


def test_units_that_died_outweigh_rows_that_were_never_reached() -> None:
    """A warning comes first, whatever kind it is."""
    rows = make_finding("untouched-rows", ["dense/kernel"])
    found = asked(healthy(), [rows, make_finding("starved-elements", ["dense/bias"])])[DEAD]
    assert (found.word, found.tone) == ("Yes", "look")
    assert found.text.startswith("Elements that get no gradient any more")


def test_updates_that_are_lost_in_rounding_change_nothing() -> None:
    """However far above 0 they are."""
    frame = healthy()
    frame.loc[frame["parameter"].str.startswith("dense/"), "lost_in_rounding"] = 1.0
    assert "The last update changed 2 of 4 tensors." in asked(frame)[LEARNING].text


def test_how_far_weights_moved_is_told_beside_their_first_norm() -> None:
    """As a multiple where they are thrown away from it, and since the checkpoint from which that is known."""
    frame = healthy()
    frame.loc[frame["checkpoint"] == "ckpt-1", "path_distance"] = np.nan
    frame.loc[frame["checkpoint"] != "ckpt-1", "weight_rms"] *= 1000
    frame.loc[frame["checkpoint"] != "ckpt-1", "path_distance"] *= 1000
    assert "moved by about 200 times their norm since ckpt-1 (median)" in asked(frame)[LEARNING].text


@pytest.mark.parametrize(("followed", "estimate"), [(16, "a rough estimate from 16 elements"), (300, ""), (12, "")])
def test_how_far_weights_moved_is_as_sure_as_its_sample(followed: int, estimate: str) -> None:
    """Of few elements of a tensor it is rough; of many, or of all that it has, it is not."""
    frame = healthy(path_elements=float(followed), size=12 if followed == 12 else 10_000)
    text = asked(frame)[LEARNING].text
    assert estimate in text and ("rough" in text) == bool(estimate)


def test_what_changed_is_named_by_what_matters_most() -> None:
    """Hyperparameters before the rate, the rate before Adam's scaling."""
    constant = healthy(learning_rate=1e-3)
    assert asked(constant)[CHANGED].word == "Adam's scaling of gradients"
    assert asked(constant.assign(effective_lr_median=np.nan))[CHANGED].word == "Nothing that is known"
    assert asked(constant, [make_finding("hyperparameters-changed", [])])[CHANGED].word == "Hyperparameters"
    jumped = (Segment(0, 2, "start"), Segment(2, 3, "rate-jumped"))
    assert "α jumped at ckpt-3" in asked(healthy(), segments=jumped)[CHANGED].text


def test_a_state_that_was_lost_or_is_not_finite_changed_most() -> None:
    """Whatever the rate did meanwhile, these are what a person must know first."""
    segments = (Segment(0, 2, "start"), Segment(2, 3, "state-lost"))
    lost = asked(healthy(), segments=segments)[CHANGED]
    assert (lost.word, lost.tone) == ("The optimizer's state was not carried on", "look")
    assert "The state was not carried on from ckpt-2 to ckpt-3 (step 300)." in lost.text
    broken = asked(healthy(), [make_finding("nonfinite-state", ["dense/kernel"])], segments)[CHANGED]
    assert broken.word == "Its numbers are no longer finite"
    assert "Not finite at step 200." in broken.text


@pytest.mark.parametrize(("source", "word"), [("default", "With care"), ("inferred", "Yes, with inferred values")])
def test_trust_depends_on_sources(source: str, word: str) -> None:
    """What was assumed counts less than what was inferred."""
    found = asked(healthy(epsilon_source=source))
    assert found[TRUST].word == word
    assert f"ε = 10⁻⁷ is {'assumed' if source == 'default' else 'inferred'}" in found[EPSILON].text


def test_several_optimizers_are_named() -> None:
    """In front of what is said of each."""
    frame = pd.concat([healthy(), healthy().assign(optimizer="sgd")], ignore_index=True)
    assert "Optimizer sgd: " in asked(frame)[CHANGED].text
    assert "Optimizer sgd: " not in asked(frame[frame["optimizer"] == "adam"])[CHANGED].text
    assert "the step goes from 100 to 300 and never falls" in asked(frame)[RESUME].text


def test_an_epsilon_that_no_file_holds_is_told_of_its_optimizer() -> None:
    """Of each that differs, or of all at once."""
    inferred, assumed = healthy(epsilon_source="inferred"), healthy(epsilon_source="default").assign(optimizer="sgd")
    text = asked(pd.concat([inferred, assumed], ignore_index=True))[EPSILON].text
    assert "Optimizer adam: ε = 10⁻⁷ is inferred, because no file holds it." in text
    assert "Optimizer sgd: ε = 10⁻⁷ is assumed, because no file holds it." in text
    alike = pd.concat([inferred, inferred.assign(optimizer="sgd")], ignore_index=True)
    assert asked(alike)[EPSILON].text.count("ε = 10⁻⁷ is inferred") == 1
    assert "Optimizer" not in asked(alike)[EPSILON].text


def test_a_layer_that_left_the_optimizer_is_named_and_not_counted() -> None:
    """As one that was frozen during the run: its last values are none of the newest checkpoint's."""
    frame = healthy()
    is_first = frame["parameter"].str.startswith("dense/")
    frame.loc[is_first, "untouched"] = 0.5
    found = asked(frame[~(is_first & (frame["checkpoint_index"] == frame["checkpoint_index"].max()))])
    assert found[LAYERS].word == "None of those still trained"
    assert found[LAYERS].text == (
        "dense/kernel and 1 more aren't in the optimizer any more (last in ckpt-2): frozen, renamed or removed."
    )
    assert "The last update changed 2 of 2 tensors." in found[LEARNING].text
    assert found[DEAD].text == "A gradient has reached every element."


def test_gradients_below_epsilon_are_no_dead_units_but_are_named_beside_them() -> None:
    """Whoever asks for layers without a gradient means these too."""
    found = asked(healthy(), [make_finding("epsilon-dominated", ["dense/kernel", "dense/bias"])])[DEAD]
    assert found.word == "No"
    assert found.text.endswith("Gradients come, but those of dense/kernel and 1 more are below ε.")


def test_moves_between_checkpoints_are_dated_by_both() -> None:
    """Since the step before would be a step at which all was well."""
    finding = replace(
        make_finding("state-lost", ["dense/kernel"]), checkpoints=("a", "b"), steps=(200, 300), is_between=True
    )
    assert "between steps 200 and 300" in asked(healthy(), [finding])[LAYERS].text
