"""The answer before the details."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.page_contents import make_finding

from ckpt_inspect.presentation.verdict import pace, since, trust, verdict_of


def test_a_run_without_warnings_is_healthy() -> None:
    """Infos are remarks; how much was looked at is said, and what that can't tell."""
    verdict = verdict_of([make_finding("bias-correction", [])], 12)
    assert (verdict.state, verdict.first) == ("healthy", ())
    assert verdict.sentence == "Healthy: nothing in 12 checkpoints needs attention."
    assert verdict.more == "1 remark"
    assert verdict.limits.startswith("Checkpoints hold no loss")


def test_one_checkpoint_shows_no_course() -> None:
    """Whatever is found in it; of several nothing of the kind is said."""
    finding = make_finding("updates-too-large", ["a"])
    assert "takes several checkpoints" in verdict_of([finding], 1).limits
    assert verdict_of([finding], 2).limits == ""


def test_the_three_worst_kinds_come_first() -> None:
    """One finding a kind and optimizer, the critical ones first; the rest is counted."""
    ids = ("untouched-elements", "updates-too-large", "nonfinite-state", "updates-too-large", "moment-bound-violated")
    found = [make_finding(kind, ["a"]) for kind in (*ids, "learning-rate-changed")]
    verdict = verdict_of(found, 3)
    serious = [f for f in found if f.severity.word != "info"]
    assert verdict.state == "trouble"
    assert verdict.first[0].id == "nonfinite-state"
    assert len({f.id for f in verdict.first}) == len(verdict.first) <= 3
    assert verdict.sentence.startswith("In trouble: ")
    more = len(serious) - len(verdict.first)
    assert (f"{more} more warning" in verdict.more) is (more > 0)


def test_what_could_not_be_read_is_said() -> None:
    """Beside the verdict on the others; of none nothing is known."""
    assert verdict_of([], 3, 1).sentence.endswith(" 1 checkpoint could not be read.")
    assert verdict_of([], 0, 2).state == "trouble"
    assert "no checkpoint could be analysed" in verdict_of([], 0, 2).sentence


def test_since_when() -> None:
    """By the step; by the checkpoint where that is not known."""
    finding = make_finding("updates-too-large", ["a"])
    assert since(finding) in {f"{word} step {finding.steps[0]:,}" for word in ("at", "since")} | {""}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"beta_1": ("0.9", "config", False)},
            ["All hyperparameters were read from the files or given."],
        ),
        ({"epsilon": ("1e-07", "default", False)}, ["Assumed, because no file holds it: epsilon = 1e-07."]),
        ({"beta_2": ("0.999", "default", True)}, ["Contradicted by the run's own checkpoints: beta_2 = 0.999."]),
        ({"learning_rate": ("unknown", "unknown", False)}, ["Not known: learning_rate."]),
        ({"beta_2": ("0.98", "inferred", False)}, ["Inferred from several checkpoints: beta_2 = 0.98."]),
    ],
)
def test_what_the_numbers_rest_on(values: dict[str, tuple[str, str, bool]], told: list[str]) -> None:
    """Assumed, unknown, inferred and contradicted values by name; of one optimizer without its name."""
    assert list(trust({"Adam": values})) == told


def test_of_several_optimizers_each_is_named() -> None:
    """By its own name, letter for letter."""
    values = {"gen_opt": {"epsilon": ("1e-07", "default", False)}, "critic": {"epsilon": ("1e-07", "config", False)}}
    assert list(trust(values)) == ["Of gen_opt, assumed, because no file holds it: epsilon = 1e-07."]


def test_what_fell_back_is_after_a_step() -> None:
    """A counter that starts anew was right up to the step that the finding begins with."""
    finding = replace(make_finding("step-reset", []), checkpoints=("ckpt-4", "ckpt-5"), steps=(128, 32))
    assert since(finding) == "after step 128"


def test_how_fast_it_goes_is_said_with_both_ends() -> None:
    """What is not known, or did not move, is left out; of an optimizer of which nothing is known nothing is said."""
    ratios = {"a/kernel": 0.0005, "b/kernel": 0.002, "c/kernel": 0.01, "d/kernel": float("nan"), "e/kernel": 0.0}
    assert list(pace({"adam": ratios})) == [
        "The last update is 0.2 % of the weights' norm (median of 3 tensors, from 0.05 % in a/kernel to 1 % in "
        "c/kernel); about 0.1 % is usual."
    ]
    assert list(pace({"adam": {"a": 0.001}, "sgd": {"b": float("nan")}})) == [
        "The last update of optimizer adam is 0.1 % of the weights' norm (median of 1 tensor); about 0.1 % is usual."
    ]
