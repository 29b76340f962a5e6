"""The answer before the details."""

from __future__ import annotations

import pytest
from support.page_contents import make_finding

from ckpt_inspect.presentation.verdict import since, trust, verdict_of


def test_a_run_without_warnings_is_healthy() -> None:
    """Infos are remarks; how much was looked at is said."""
    verdict = verdict_of([make_finding("bias-correction", [])], 12)
    assert (verdict.state, verdict.first) == ("healthy", ())
    assert verdict.sentence == "Healthy, as far as 12 checkpoints can tell: nothing in it needs attention."
    assert verdict.more == "1 remark for whoever wants to know more"


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
    assert verdict_of([], 3, 1).sentence.endswith(" 1 checkpoint could not be read, and is not in it.")
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
            ["Every value that the numbers rest on was read from the files or given."],
        ),
        ({"epsilon": ("1e-07", "default", False)}, ["assumed, since no file says it: epsilon = 1e-07."]),
        ({"beta_2": ("0.999", "default", True)}, ["contradicted by the run's own checkpoints: beta_2 = 0.999."]),
        ({"learning_rate": ("unknown", "unknown", False)}, ["not known: learning_rate."]),
        ({"beta_2": ("0.98", "inferred", False)}, ["inferred from several checkpoints: beta_2 = 0.98."]),
    ],
)
def test_what_the_numbers_rest_on(values: dict[str, tuple[str, str, bool]], told: list[str]) -> None:
    """Assumed, unknown, inferred and contradicted values by name; of one optimizer without its name."""
    assert list(trust({"Adam": values})) == told
