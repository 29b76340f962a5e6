"""Findings: each is found in state that training by Adam's formulas left behind, and none in a healthy run's."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.adam_bundles import save_bundle
from support.adam_runs import SHAPES, AdamRun, Array, Gradient, noise
from support.bundle_writer import write_bundle
from support.keras_files import Run
from support.silent_runs import save_run, save_without_config

from ckpt_inspect import Analyses, analyze
from ckpt_inspect.errors import RequestError
from ckpt_inspect.findings.checks import CHECKS, KINDS, find_findings
from ckpt_inspect.findings.finding import Finding, Severity
from ckpt_inspect.findings.thresholds import THRESHOLDS, Thresholds
from ckpt_inspect.measurement.variables import QUANTILE_NAMES

DIGITS = Path(__file__).parents[2] / "fixtures" / "digits"


def scaled(factor: float, *names: str) -> Gradient:
    """Noise, times a factor in the variables of these names."""
    return lambda name, weight, rng: noise(name, weight, rng) * (factor if name in names else 1)


def masked(name: str, *places: Any) -> Gradient:
    """Noise, but a gradient of 0 at these places of one variable."""

    def gradient(variable: str, weight: Array, rng: np.random.Generator) -> Array:
        g = noise(variable, weight, rng)
        if variable == name:
            g[places] = 0
        return g

    return gradient


def findings_of(run: Analyses, **thresholds: float) -> tuple[Finding, ...]:
    return find_findings(run, Thresholds.of(thresholds))


def the(kind: str, findings: tuple[Finding, ...]) -> Finding:
    """The one finding of that id."""
    (found,) = [f for f in findings if f.id == kind]
    return found


# --- one run for each kind of finding, saved into a folder


def nonfinite(folder: Path) -> None:
    run = AdamRun()
    run.train(30).train(
        1, lambda n, w, rng: np.where(w == w.max(), np.nan, noise(n, w, rng)) if n == "third/bias" else noise(n, w, rng)
    )
    run.save(folder / "m-31.h5")


def nonfinite_others(folder: Path) -> None:
    """A statistic that no optimizer trains."""
    save_bundle(Run().train(20), folder / "model.ckpt-20", **{"norm/moving_mean": np.array([0, np.nan], np.float32)})


def negative(folder: Path) -> None:
    run = AdamRun().train(30)
    run.second["second/kernel"][3, 4:7] *= -1
    run.save(folder / "m-30.h5")


def bound(folder: Path) -> None:
    """A spike under a β1 of 0.5, in a file that says 0.99."""
    run = AdamRun(beta_1=0.5).train(50).train(1, scaled(1e3, "first/kernel"))
    run.config["beta_1"] = 0.99
    run.save(folder / "m-51.h5")


def impossible(folder: Path) -> None:
    """An epsilon that no training can have used."""
    run = AdamRun().train(30)
    run.config["epsilon"] = -1
    run.save(folder / "m-30.h5")


def step_reset(folder: Path) -> None:
    run = AdamRun()
    run.train(60).save(folder / "m-1.h5")
    run.forget().train(40).save(folder / "m-2.h5")


def state_lost(folder: Path) -> None:
    """The moments start anew while the counter goes on."""
    run = AdamRun()
    run.train(200).save(folder / "m-200.h5")
    run.forget().step = 200
    run.train(50).save(folder / "m-250.h5")


def lineage(folder: Path) -> None:
    """One tensor's gradient fades under a β2 of 0.99, in files that say 0.999."""
    for name, steps, factor in (("m-300.h5", 300, 1.0), ("m-500.h5", 500, 1e-3)):
        run = AdamRun(beta_2=0.99).train(300)
        run.train(steps - 300, scaled(factor, "first/kernel"))
        run.config["beta_2"] = 0.999
        run.save(folder / name)


def saved_twice(folder: Path) -> None:
    run = AdamRun()
    run.train(30).save(folder / "m-1.h5")
    run.save(folder / "m-2.h5")


def changed(folder: Path) -> None:
    run = AdamRun()
    run.train(100).save(folder / "m-100.h5")
    run.config["beta_2"] = 0.99
    run.train(100).save(folder / "m-200.h5")


def rate_changed(folder: Path) -> None:
    run = AdamRun()
    run.train(100).save(folder / "m-100.h5")
    run.config["learning_rate"] = 1e-4
    run.train(100).save(folder / "m-200.h5")


def starved_tensors(folder: Path) -> None:
    run = AdamRun()
    run.train(200).save(folder / "m-200.h5")
    run.train(300, scaled(0, "second/kernel", "second/bias")).save(folder / "m-500.h5")


def starved_elements(folder: Path) -> None:
    run = AdamRun()
    run.train(200).save(folder / "m-200.h5")
    run.train(300, masked("second/kernel", slice(None), slice(0, 20))).save(folder / "m-500.h5")


def inert(folder: Path) -> None:
    """float16(0.9999) is 1, as bfloat16(0.999) is."""
    AdamRun(dtype="float16", beta_2=0.9999).train(20).save(folder / "m-20.h5")


def rounding(folder: Path) -> None:
    AdamRun(learning_rate=1e-9).train(2000).save(folder / "m-2000.h5")


def young(folder: Path) -> None:
    AdamRun().train(20).save(folder / "m-20.h5")


def epsilon(folder: Path) -> None:
    AdamRun().train(50, scaled(1e-8, "first/bias", "third/kernel")).save(folder / "m-50.h5")


def untouched(folder: Path) -> None:
    AdamRun().train(50, scaled(0, "second/kernel")).save(folder / "m-50.h5")


def untouched_rows(folder: Path) -> None:
    AdamRun().train(50, masked("first/kernel", [1, 7])).save(folder / "m-50.h5")


def untouched_elements(folder: Path) -> None:
    AdamRun().train(50, masked("first/kernel", slice(None), slice(0, 6))).save(folder / "m-50.h5")


def too_large(folder: Path) -> None:
    AdamRun(learning_rate=0.1).train(20).save(folder / "m-20.h5")


def too_small(folder: Path) -> None:
    AdamRun(learning_rate=1e-5).train(20).save(folder / "m-20.h5")


def decay_outweighs(folder: Path) -> None:
    run = AdamRun(weight_decay=0.1).train(200).train(200, scaled(0, "first/kernel"))
    run.save(folder / "m-400.h5")


def equilibrium(folder: Path) -> None:
    """Pure noise and decay, for several times 1/(α·wd) updates."""
    AdamRun(learning_rate=1e-2, weight_decay=0.5).train(1500, lambda _, w, rng: rng.normal(size=w.shape)).save(
        folder / "m-1500.h5"
    )


def stuck(folder: Path) -> None:
    run = AdamRun().train(2000, lambda n, w, rng: np.ones_like(w) if n == "third/bias" else noise(n, w, rng))
    run.save(folder / "m-2000.h5")


def drifted(folder: Path) -> None:
    run = AdamRun(beta_2=0.99)
    run.train(200).save(folder / "m-200.h5")
    run.train(1000, scaled(0.05, "second/kernel")).save(folder / "m-1200.h5")


def spread(folder: Path) -> None:
    run = AdamRun(beta_2=0.99)
    run.train(200).save(folder / "m-200.h5")
    run.train(1000, masked("second/kernel", slice(None), slice(0, 10))).save(folder / "m-1200.h5")


def names_alone(folder: Path) -> None:
    """TF1's names without a graph: they tell neither α nor ε, nor Adam from its cousins."""
    save_bundle(Run().train(30), folder / "model.ckpt-30")


def one_rate(folder: Path) -> None:
    run = AdamRun()
    run.train(20).save(folder / "m-20.h5")
    run.train(20).save(folder / "m-40.h5")


def contradicted(folder: Path) -> None:
    """A β2 of 0.95 in files that hold none, with gradients that fade: v falls faster than the default lets it."""
    run = AdamRun(beta_2=0.95).train(200)
    save_without_config(run, folder / "m-200.h5")
    save_without_config(run.train(40, scaled(0.05)), folder / "m-240.h5")


def inferred(folder: Path) -> None:
    save_run(folder, (100, 130), beta_2=0.98)


def jumped(folder: Path, *, rate: float = 1.0) -> None:
    run = AdamRun(learning_rate=1e-3)
    for step in range(10, 90, 10):
        run.config["learning_rate"] = rate if step == 70 else 1e-3
        run.train(10).save(folder / f"m-{step}.h5")


def jumped_from_rest(folder: Path) -> None:
    run = AdamRun(learning_rate=0.0)
    for step in range(10, 90, 10):
        run.config["learning_rate"] = 0.1 if step == 70 else 0.0
        run.train(10).save(folder / f"m-{step}.h5")


MAKERS: Mapping[str, Callable[[Path], None]] = {
    "nonfinite-state": nonfinite,
    "nonfinite-tensors": nonfinite_others,
    "negative-second-moment": negative,
    "moment-bound-violated": bound,
    "impossible-value": impossible,
    "step-reset": step_reset,
    "state-lost": state_lost,
    "lineage-broken": lineage,
    "step-repeated": saved_twice,
    "hyperparameters-changed": changed,
    "learning-rate-changed": rate_changed,
    "starved-tensors": starved_tensors,
    "starved-elements": starved_elements,
    "inert-state": inert,
    "lost-in-rounding": rounding,
    "bias-correction": young,
    "epsilon-dominated": epsilon,
    "untouched-tensors": untouched,
    "untouched-rows": untouched_rows,
    "untouched-elements": untouched_elements,
    "weights-jumped": jumped,
    "updates-too-large": too_large,
    "updates-too-small": too_small,
    "decay-outweighs-gradient": decay_outweighs,
    "decay-equilibrium": equilibrium,
    "stuck-direction": stuck,
    "layer-drifted": drifted,
    "spread-growing": spread,
    "hyperparameter-contradicted": contradicted,
    "hyperparameters-inferred": inferred,
    "hyperparameters-assumed": names_alone,
    "learning-rate-unknown": names_alone,
    "rule-ambiguous": names_alone,
    "one-rate-for-all": one_rate,
}

CONCERNED: Mapping[str, tuple[str, ...]] = {
    "nonfinite-state": ("third/bias",),
    "negative-second-moment": ("second/kernel",),
    "starved-tensors": ("second/kernel", "second/bias"),
    "starved-elements": ("second/kernel",),
    "epsilon-dominated": ("first/bias", "third/kernel"),
    "untouched-tensors": ("second/kernel",),
    "untouched-rows": ("first/kernel",),
    "untouched-elements": ("first/kernel",),
    "decay-outweighs-gradient": ("first/kernel",),
    "stuck-direction": ("third/bias",),
    "layer-drifted": ("second/kernel",),
    "spread-growing": ("second/kernel",),
}
"""The tensors that the makers tamper with."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Analyses]:
    """The analyses of the run that was made for a kind of finding."""
    done: dict[Callable[[Path], None], Analyses] = {}

    def analyses(kind: str) -> Analyses:
        maker = MAKERS[kind]
        if maker not in done:
            folder = tmp_path_factory.mktemp(kind)
            maker(folder)
            done[maker] = analyze(folder, given={"learning_rate": 1e-3} if maker is one_rate else None)
        return done[maker]

    return analyses


def test_every_kind_has_a_run_in_which_it_must_be_found() -> None:
    """And every id is in kebab-case and used once."""
    ids = [kind.id for kind in KINDS]
    assert sorted(ids) == sorted(MAKERS)
    assert all(part.isalpha() and part.islower() for kind in ids for part in kind.split("-"))


def test_no_reset_between_different_models(tmp_path: Path) -> None:
    """Checkpoints without a common parameter are of two models, even if they are named together."""
    for number, steps in ((1, 60), (2, 40)):
        shapes = {f"net{number}/kernel": (5, 4), f"net{number}/bias": (4,)}
        AdamRun(shapes).train(steps).save(tmp_path / f"m-{number}.h5")
    ids = {f.id for f in findings_of(analyze([tmp_path / "m-1.h5", tmp_path / "m-2.h5"]))}
    assert not ids & {"step-reset", "state-lost", "lineage-broken"}


@pytest.mark.parametrize("kind", MAKERS)
def test_it_is_found_in_the_tensors_that_have_it(kind: str, made: Callable[[str], Analyses]) -> None:
    """Once, with evidence, what to do, and the thresholds that decided."""
    found = the(kind, findings_of(made(kind)))
    if kind in CONCERNED:
        assert sorted(found.parameters) == sorted(CONCERNED[kind])
        assert {e.parameter for e in found.evidence} == set(CONCERNED[kind])
    assert found.severity <= found.kind.severity
    assert found.evidence
    assert found.checkpoints
    assert len(found.steps) == len(found.checkpoints)
    assert [limit.name for limit in found.limits] == list(found.kind.thresholds)
    assert found.why
    assert found.action
    assert not found.title.endswith(".")
    json.dumps(found.to_json(), allow_nan=kind == "nonfinite-state")


def test_a_healthy_run_has_none_above_info(tmp_path: Path) -> None:
    """A made-up one that is all noise, at several checkpoints, AdamW and Adam."""
    for name, config in (("adam", {}), ("adamw", {"weight_decay": 0.004})):
        folder = tmp_path / name
        folder.mkdir()
        run = AdamRun(**config)
        for _ in range(4):
            run.train(500).save(folder / f"m-{run.step + 500}.h5")
        assert not [f.title for f in findings_of(analyze(folder)) if f.severity > Severity.INFO]


def test_a_real_healthy_run_has_none_above_info() -> None:
    """Digits, learned by Keras under a schedule: what is found is the schedule, dead corner pixels and a short run."""
    findings = findings_of(analyze(DIGITS))
    assert not [f.title for f in findings if f.severity > Severity.INFO]
    assert {"learning-rate-changed", "untouched-rows", "bias-correction"} <= {f.id for f in findings}


def test_the_most_severe_come_first(tmp_path: Path) -> None:
    """Then the order of the checks decides."""
    run = AdamRun().train(50, scaled(1e-8, "first/bias"))
    run.second["second/kernel"][0, 0] = -1
    run.save(tmp_path / "m-50.h5")
    findings = findings_of(analyze(tmp_path))
    assert [f.severity for f in findings] == sorted((f.severity for f in findings), reverse=True)
    assert [f.id for f in findings][:2] == ["negative-second-moment", "epsilon-dominated"]


def test_a_condition_in_many_tensors_is_one_finding(tmp_path: Path) -> None:
    """It names the worst few and counts the rest."""
    shapes = {f"layer_{i}/kernel": (4, 5) for i in range(100)}
    AdamRun(shapes).train(30, lambda n, w, rng: noise(n, w, rng) * 1e-9).save(tmp_path / "m-30.h5")
    found = the("epsilon-dominated", findings_of(analyze(tmp_path)))
    assert found.title == (
        "In 100 of 100 tensors √v is below ε (10⁻⁷) in at least 50 % of the elements: layer_0/kernel (100 %), "
        "layer_1/kernel (100 %), layer_2/kernel (100 %) and 97 more"
    )
    assert len(found.parameters) == 100
    assert len(found.evidence) == 12


def test_the_figures_are_those_of_the_arrays(made: Callable[[str], Analyses]) -> None:
    """Shares of rows and elements as the maker left them."""
    rows = the("untouched-rows", findings_of(made("untouched-rows")))
    assert rows.evidence[0].figures == {"untouched_rows": pytest.approx(2 / 20), "untouched": pytest.approx(2 / 20)}
    elements = the("untouched-elements", findings_of(made("untouched-elements")))
    assert elements.evidence[0].figures["untouched"] == pytest.approx(6 / 30)
    assert the("negative-second-moment", findings_of(made("negative-second-moment"))).title == (
        "In m-30.h5 (step 30), 1 of 6 tensors hold 3 elements with v < 0: second/kernel (3)"
    )


def test_starved_elements_are_told_with_how_far_their_rates_grew(made: Callable[[str], Analyses]) -> None:
    """β2^(-k/2) over 300 updates."""
    found = the("starved-tensors", findings_of(made("starved-tensors")))
    assert f"in the 300 updates since m-200.h5 (meanwhile their E grew ×{0.999**-150:.3g})" in found.title
    assert found.steps == (200, 500)


def test_elements_are_not_starved_within_few_updates(tmp_path: Path) -> None:
    """What hardly changes E is not told, unless the threshold is lowered."""
    run = AdamRun().train(200)
    run.save(tmp_path / "m-200.h5")
    run.train(20, scaled(0, "second/kernel")).save(tmp_path / "m-220.h5")
    analyses = analyze(tmp_path)
    assert "starved-tensors" not in {f.id for f in findings_of(analyses)}
    assert "starved-tensors" in {f.id for f in findings_of(analyses, starved_inflation=1)}


def test_elements_starved_over_many_checkpoints_are_found(tmp_path: Path) -> None:
    """However close together the checkpoints are."""
    run = AdamRun().train(200)
    run.save(tmp_path / "m-200.h5")
    for _ in range(12):
        run.train(20, scaled(0, "second/kernel")).save(tmp_path / f"m-{run.step + 20}.h5")
    found = the("starved-tensors", findings_of(analyze(tmp_path)))
    assert found.parameters == ("second/kernel",)
    assert found.steps == (200, 440)


def test_a_network_that_gets_no_gradient_is_told_after_few_updates_with_since_when(tmp_path: Path) -> None:
    """Where most tensors stand still, it isn't for E that it matters."""
    run = AdamRun().train(200)
    run.save(tmp_path / "m-200.h5")
    cut_off = ("first/kernel", "first/bias", "second/kernel", "second/bias", "third/kernel")
    for step in (220, 240, 260):
        run.train(20, scaled(0 if step > 220 else 1, *cut_off)).save(tmp_path / f"m-{step}.h5")
    found = the("starved-tensors", findings_of(analyze(tmp_path)))
    assert set(found.parameters) == set(cut_off)
    assert found.steps == (220, 260)
    assert found.title.startswith("No gradient has reached 5 of 6 tensors in the 40 updates since m-220.h5")
    assert "starved-tensors" not in {f.id for f in findings_of(analyze(tmp_path), standstill=0.9)}


def test_a_network_whose_first_moments_are_gone_warns_of_updates_lost_in_rounding(tmp_path: Path) -> None:
    """One checkpoint shows it; of a few tensors it is worth knowing only."""
    cut_off = ("first/kernel", "first/bias", "second/kernel", "second/bias", "third/kernel")
    for name, tensors, severity in (("most", cut_off, Severity.WARNING), ("one", cut_off[:1], Severity.INFO)):
        path = tmp_path / f"{name}.h5"
        AdamRun().train(200).train(190, scaled(0, *tensors)).save(path)
        found = the("lost-in-rounding", findings_of(analyze(path)))
        assert (set(found.parameters), found.severity) == (set(tensors), severity)


def test_zero_moments_after_updates_are_lost_state(tmp_path: Path) -> None:
    """A counter without moments."""
    run = AdamRun().train(30)
    run.save(tmp_path / "m-30.h5")
    run.forget().step = 60
    run.save(tmp_path / "m-60.h5")
    assert the("state-lost", findings_of(analyze(tmp_path))).title == (
        "In m-60.h5 (step 60) all moments of 6 tensors are 0, and the weights go on from there: one training that was "
        "resumed without its optimizer's state"
    )


def test_an_assumed_beta_is_the_likely_cause_of_a_violated_bound(tmp_path: Path) -> None:
    """Then it is a warning, and says which to give."""
    run = AdamRun(beta_1=0.5).train(50).train(1, scaled(1e3, "first/kernel"))
    del run.config["beta_1"], run.config["beta_2"]
    run.save(tmp_path / "m-51.h5")
    found = the("moment-bound-violated", findings_of(analyze(tmp_path)))
    assert found.severity is Severity.WARNING
    assert found.action.startswith("Give the beta_1 and beta_2")


def repeated(name: str, weight: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A gradient of rows that the batch names four times, squared part by part as Keras 3 does."""
    part = noise(name, weight, rng)
    return (4 * part, 4 * part**2) if name == "words/embeddings" else (part, part**2)


def test_repeated_rows_of_an_embedding_may_exceed_the_bound(tmp_path: Path) -> None:
    """Keras 3 squares the parts of a sparse gradient one by one: that is said, and no damage is claimed."""
    shapes = {"words/embeddings": (20, 8), "out/kernel": (8, 4), "out/bias": (4,)}
    run = AdamRun(shapes).train(1, repeated)
    run.save(tmp_path / "m-1.h5", keras="3.8.0")
    found = the("moment-bound-violated", findings_of(analyze(tmp_path)))
    assert found.severity is Severity.INFO
    assert found.parameters == ("words/embeddings",)
    assert "(6.32 > 3.16)" in found.title
    assert "Keras 3 squares each part" in found.title
    (tmp_path / "older").mkdir()
    run.save(tmp_path / "older" / "m-1.h5")
    older = the("moment-bound-violated", findings_of(analyze(tmp_path / "older")))
    assert older.severity is Severity.WARNING
    assert "an experimental optimizer of TF 2.9" in older.title


def test_one_damaged_tensor_is_told_from_wrong_betas(tmp_path: Path) -> None:
    """A bias can't have repeated rows: it is damaged, and the betas are cleared by the other tensors."""
    run = AdamRun().train(30)
    run.second["third/bias"] *= 1e-4
    run.save(tmp_path / "m-30.h5", keras="3.8.0")
    found = the("moment-bound-violated", findings_of(analyze(tmp_path)))
    assert found.severity is Severity.CRITICAL
    assert found.parameters == ("third/bias",)
    assert found.action == "Don't trust these tensors' state: damaged, or paired with another's moment"
    analyses = analyze(tmp_path)
    analyses.optimizers["optimizer"].variables["rule_source"][:] = "default"
    assert the("moment-bound-violated", findings_of(analyses)).action.endswith(
        "; or the rule is not adam, which is assumed"
    )


def test_what_an_assumed_beta_makes_inert_is_no_certainty(tmp_path: Path) -> None:
    """Then it is a warning; and nothing is said if the weights moved all the same."""
    run = AdamRun(dtype="float16").train(5)
    given = {"beta_2": 0.9999}
    run.save(tmp_path / "m-5.h5")
    read = the("inert-state", findings_of(analyze(tmp_path, given=given)))
    assert read.severity is Severity.CRITICAL
    analyses = analyze(tmp_path, given=given)
    analyses.optimizers["optimizer"].variables["beta_2_source"][:] = "default"
    found = the("inert-state", findings_of(analyses))
    assert found.severity is Severity.WARNING
    assert "couldn't move with the β2 that is assumed" in found.title
    assert "(β2 = 0.9999, assumed)" in found.title
    run.train(5).save(tmp_path / "m-10.h5")
    analyses = analyze(tmp_path, given=given)
    analyses.optimizers["optimizer"].variables["beta_2_source"][:] = "default"
    assert "inert-state" not in {f.id for f in findings_of(analyses)}


def test_decay_balances_updates_only_once_the_norm_stands_still(tmp_path: Path) -> None:
    """The weights of a random walk under decay: at first decay takes more off than the updates add, then as much."""
    balances = []
    for steps in (50, 1500):
        run = AdamRun({"a/kernel": (50, 60)}, learning_rate=1e-2, weight_decay=0.5)
        run.train(steps, lambda _, w, rng: rng.normal(size=w.shape))
        folder = tmp_path / str(steps)
        folder.mkdir()
        run.save(folder / "m.h5")
        found = [f for f in findings_of(analyze(folder)) if f.id == "decay-equilibrium"]
        balances.append([f.evidence[0].figures["balance"] for f in found])
    assert balances == [[], [pytest.approx(1, rel=0.15)]]


def test_a_checkpoint_before_the_first_update_is_passed_over(tmp_path: Path) -> None:
    """A fresh one at the start of a run is no lost state."""
    run = AdamRun()
    run.save(tmp_path / "m-0.h5")
    run.train(2000).save(tmp_path / "m-2000.h5")
    assert findings_of(analyze(tmp_path)) == ()


# --- thresholds


def test_thresholds_decide(tmp_path: Path) -> None:
    """A tighter one finds, a looser one doesn't; the finding says what was given."""
    AdamRun().train(2000).save(tmp_path / "m-2000.h5")
    analyses = analyze(tmp_path)
    assert findings_of(analyses) == ()
    found = the("updates-too-large", findings_of(analyses, update_to_weight_max=1e-5))
    assert [(t.name, t.value, t.source) for t in found.limits] == [("update_to_weight_max", 1e-5, "given")]


def test_every_threshold_has_a_meaning_a_source_and_a_use() -> None:
    """No number without where it comes from, none that decides nothing."""
    assert all(field.metadata["meaning"] and field.metadata["source"] for field in THRESHOLDS.values())
    assert {name for kind in KINDS for name in kind.thresholds} == set(THRESHOLDS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"untouched": 0.1}, "there is no threshold 'untouched': did you mean untouched_rows"),
        ({"starved": -1.0}, "the threshold starved must be a number from 0 on, not -1.0"),
        ({"starved": math.nan}, "the threshold starved must be a number from 0 on, not nan"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(given: dict[str, float], message: str) -> None:
    """With the names that are near."""
    with pytest.raises(RequestError) as caught:
        Thresholds.of(given)
    assert str(caught.value).startswith(message)


def test_checks_are_pure(made: Callable[[str], Analyses]) -> None:
    """They leave the analyses as they are, and find the same again."""
    analyses = made("spread-growing")
    before = {n: v.copy() for n, v in analyses.optimizers["optimizer"].variables.items()}
    assert findings_of(analyses) == findings_of(analyses)
    for name, value in analyses.optimizers["optimizer"].variables.items():
        np.testing.assert_array_equal(value, before[name])
    assert len(set(CHECKS)) == len(CHECKS)
    assert set(SHAPES) == set(analyses.optimizers["optimizer"].variables["parameter"])


def test_a_second_moment_that_underflowed_is_no_missing_gradient(tmp_path: Path) -> None:
    """m shows that gradients came whose squares were too small for v's type."""
    AdamRun().train(50, scaled(1e-25, "second/kernel")).save(tmp_path / "m-50.h5")
    run = analyze(tmp_path)
    kernel = list(run.optimizers["optimizer"].variables["parameter"]).index("second/kernel")
    assert run.optimizers["optimizer"].variables["untouched"][0, kernel] == 1
    assert "untouched-tensors" not in {f.id for f in findings_of(run)}


def test_adamax_has_no_average_of_squares_to_correct() -> None:
    """Its infinity norm is a maximum: the bias correction is of the first moment alone."""
    folder = DIGITS.parent / "recorded" / "tf24_v2_ckpt_adamax"
    assert "bias-correction" not in {f.id for f in findings_of(analyze(folder))}


# --- what is not to be found


def test_biases_of_two_axes_are_no_matrices(tmp_path: Path) -> None:
    """Attention's, by head and width: they start at 0 and have no norm to speak of."""
    shapes = {"attention/query/kernel": (8, 2, 4), "attention/query/bias": (2, 4)}
    AdamRun(shapes, learning_rate=0.1).train(20).save(tmp_path / "m.h5")
    assert the("updates-too-large", findings_of(analyze(tmp_path / "m.h5"))).parameters == ("attention/query/kernel",)


def test_where_weights_jumped_is_told(tmp_path: Path) -> None:
    """The two checkpoints on either side, with kernels alone; the newest update is small again by then."""
    jumped(tmp_path)
    run = analyze(tmp_path)
    found = the("weights-jumped", findings_of(run))
    assert found.steps == (60, 70) and found.is_between
    assert found.parameters[0].endswith("kernel") and any(name.endswith("bias") for name in found.parameters)
    assert found.title.endswith("while the learning rate rose from 0.001 to 1")
    variables = run.optimizers["optimizer"].variables
    kernel = variables["parameter"].tolist().index(found.parameters[0])
    moved = variables["window_displacement"][:, kernel]
    assert found.evidence[0].figures["times"] == pytest.approx(moved[6] / np.nanmax(moved[:6]))


def test_any_growth_may_be_asked_for(tmp_path: Path) -> None:
    """The first checkpoint, which every limit of 1 lets through, has none before it to have jumped from."""
    jumped(tmp_path)
    found = the("weights-jumped", findings_of(analyze(tmp_path), jump_growth=1.0))
    assert found.steps == (60, 70)


def test_a_rate_that_doubles_or_a_layer_that_is_unfrozen_is_no_jump(tmp_path: Path) -> None:
    """Nor the first windows, before which there is nothing to compare with."""
    jumped(tmp_path, rate=2e-3)
    assert "weights-jumped" not in {f.id for f in findings_of(analyze(tmp_path))}
    few = tmp_path / "few"
    few.mkdir()
    jumped(few)
    rest = sorted(few.iterdir())[3:]  # the jump is in the third of their windows
    assert "weights-jumped" not in {f.id for f in findings_of(analyze(rest))}
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    jumped_from_rest(frozen)
    assert "weights-jumped" not in {f.id for f in findings_of(analyze(frozen))}


def test_since_when_updates_are_too_large_is_told(tmp_path: Path) -> None:
    """The checkpoints in a row up to the newest; of one alone nothing is said."""
    run = AdamRun(learning_rate=1e-5)
    run.train(20).save(tmp_path / "m-20.h5")
    run.config["learning_rate"] = 0.1
    for step in (40, 60):
        run.train(20).save(tmp_path / f"m-{step}.h5")
    found = the("updates-too-large", findings_of(analyze(tmp_path)))
    assert found.steps == (40, 60) and found.title.endswith("; one of them was in the newest 2 of 3 checkpoints")
    alone = the("updates-too-large", findings_of(analyze([tmp_path / "m-20.h5", tmp_path / "m-60.h5"])))
    assert alone.steps == (60,) and "in the newest" not in alone.title


def test_updates_that_were_too_large_in_between_are_counted(tmp_path: Path) -> None:
    """Whatever the checkpoints in between were; the first of them is named."""
    run = AdamRun(learning_rate=0.1)
    for step, rate in ((20, 0.1), (40, 1e-6), (60, 0.1)):
        run.config["learning_rate"] = rate
        run.train(20).save(tmp_path / f"m-{step}.h5")
    found = the("updates-too-large", findings_of(analyze(tmp_path)))
    assert found.steps == (20, 60)
    assert found.title.endswith("; one of them was in 2 of 3 checkpoints, first in m-20.h5 (step 20)")


def test_updates_that_are_too_large_now_and_then_are_found(tmp_path: Path) -> None:
    """In two checkpoints of the newer half, at a rate that still holds; one may be an accident."""
    for names, is_found in ((("m-120.h5",), False), (("m-120.h5", "m-160.h5"), True)):
        folder = tmp_path / str(len(names))
        folder.mkdir()
        run = AdamRun(learning_rate=1e-5)
        for step in range(20, 201, 20):
            run.train(20).save(folder / f"m-{step}.h5")
            if f"m-{step}.h5" in names:  # as a spike of gradients in one layer leaves it
                weights, run.weights["second/kernel"] = run.weights["second/kernel"], np.full((30, 30), 1e-6)
                run.save(folder / f"m-{step}.h5")
                run.weights["second/kernel"] = weights
        found = [f for f in findings_of(analyze(folder)) if f.id == "updates-too-large"]
        assert bool(found) == is_found
    assert found[0].steps == (120, 160) and found[0].parameters == ("second/kernel",)
    assert "above 0.01 in 2 of the newest 5 checkpoints, but not in the last" in found[0].title


def test_units_that_died_are_a_warning(tmp_path: Path) -> None:
    """By a layer's bias: of 10 units each is seen, of 30 a sample, which must show twice the share."""
    layers = (("third/bias", 4, "warning"), ("first/bias", 20, "warning"), ("first/bias", 8, "info"))
    for name, dead, severity in layers:
        layer = name.partition("/")[0]
        folder = tmp_path / f"{layer}-{dead}"
        folder.mkdir()
        run = AdamRun().train(200)
        run.save(folder / "m-200.h5")
        for step in (400, 600):
            run.train(200, _dead(layer, dead)).save(folder / f"m-{step}.h5")
        found = the("starved-elements", findings_of(analyze(folder), starved=0.1))
        assert found.severity.word == severity
        if severity == "warning":
            assert f"units of {layer} in the 400 updates since m-200.h5" in found.title
            assert found.parameters[0] == name and found.evidence[0].figures["dead_units"] >= 0.4


def _dead(layer: str, units: int) -> Gradient:
    """Noise, but no gradient for the first units of a layer."""

    def gradient(variable: str, weight: Array, rng: np.random.Generator) -> Array:
        g = noise(variable, weight, rng)
        if variable.startswith(f"{layer}/"):
            g[..., :units] = 0
        return g

    return gradient


def test_units_that_are_dead_are_counted(tmp_path: Path) -> None:
    """By their biases: of half a layer or more it is a warning, and of fewer a remark."""
    for dead, severity in ((2, "info"), (3, "warning")):
        run = AdamRun({"first/kernel": (6, 4), "first/bias": (4,), "second/kernel": (4, 3)}).train(20)
        for moments in (run.first, run.second):
            moments["first/kernel"][:, :dead] = moments["first/bias"][:dead] = 0
        path = tmp_path / f"dead-{dead}.h5"
        run.save(path)
        found = the("untouched-elements", findings_of(analyze(path), dead_units=0.6))
        assert found.title == f"No gradient has ever reached {dead} of the 4 units of first"
        assert found.severity.word == severity


def test_dead_units_are_told_once(tmp_path: Path) -> None:
    """Their biases, the columns that lead to them and the rows that lead on are one finding; other rows are another."""
    run = AdamRun().train(20)
    for moments in (run.first, run.second):
        moments["first/kernel"][:, :2] = moments["first/bias"][:2] = moments["second/kernel"][:2] = 0
        moments["first/kernel"][5] = 0
    run.save(tmp_path / "m.h5")
    found = findings_of(analyze(tmp_path / "m.h5"))
    units = the("untouched-elements", found)
    assert (
        units.title == "No gradient has ever reached 2 of the 30 units of first, with what they feed in second/kernel"
    )
    assert units.parameters == ("first/bias", "first/kernel", "second/kernel")
    assert [e.figures.get("dead_units") for e in units.evidence] == [2, None, None]
    assert the("untouched-rows", found).parameters == ("first/kernel",)


def test_units_are_dead_since_state_was_last_not_carried_on(tmp_path: Path) -> None:
    """Gradients reached them before: the moments that are left don't know."""
    run = AdamRun().train(20)
    run.save(tmp_path / "m-0.h5")
    again = AdamRun()
    again.weights = run.weights
    again.train(10)
    for moments in (again.first, again.second):
        moments["first/kernel"][:, :2] = moments["first/bias"][:2] = moments["second/kernel"][:2] = 0
        moments["first/kernel"][5] = 0
    again.save(tmp_path / "m-1.h5")
    found = findings_of(analyze(tmp_path))
    begins = "Since m-1.h5, before which state was not carried on, no gradient has reached "
    assert the("untouched-elements", found).title == (
        f"{begins}2 of the 30 units of first, with what they feed in second/kernel"
    )
    assert the("untouched-rows", found).title == f"{begins}some rows of 1 of 6 tensors: first/kernel (5 %)"


def test_other_elements_stand_beside_dead_units(tmp_path: Path) -> None:
    """What the units don't explain."""
    run = AdamRun().train(20)
    for moments in (run.first, run.second):
        moments["first/kernel"][:, :6] = moments["first/bias"][:6] = 0
        moments["third/kernel"][:, :5] = 0
    run.save(tmp_path / "m.h5")
    assert the("untouched-elements", findings_of(analyze(tmp_path / "m.h5"))).title == (
        "No gradient has ever reached 6 of the 30 units of first; nor some elements of 1 of 6 tensors, besides whole "
        "rows: third/kernel (50 %)"
    )


def resumed(folder: Path, *runs: AdamRun) -> Finding:
    """What is found where each run follows the one before it: of three checkpoints each, 20 updates apart."""
    for run in runs:
        for _ in range(3):
            run.train(20).save(folder / f"m-{len(list(folder.iterdir()))}.h5")
    return the("step-reset", findings_of(analyze(folder)))


def test_weights_that_go_on_tell_of_a_resume(tmp_path: Path) -> None:
    """The counter and the moments began anew, and the weights didn't."""
    run = AdamRun()
    again = AdamRun()
    again.weights = run.weights
    found = resumed(tmp_path, run, again)
    assert found.title.endswith(
        ", and the weights go on from there: one training that was resumed without its optimizer's state"
    )
    assert found.evidence[-1].figures["weights"] == "carried on"
    assert "folder of its own" not in found.action


def test_a_training_that_went_back_to_a_checkpoint_is_not_said_to_have_lost_its_state(tmp_path: Path) -> None:
    """The step fell to more than that of a checkpoint before, and second moments are nowhere less than it leaves."""
    run = AdamRun().train(40)
    run.save(tmp_path / "m-0.h5")
    again = copy.deepcopy(run)
    run.train(40).save(tmp_path / "m-1.h5")
    again.train(20).save(tmp_path / "m-2.h5")
    found = the("step-reset", findings_of(analyze(tmp_path)))
    assert found.title.endswith(
        "the moments can have grown out of m-0.h5 (step 40): one training that went back to it, or that was resumed "
        "without its optimizer's state"
    )
    assert found.action.startswith("Nothing, if the training went back to m-0.h5. Otherwise: Restore the optimizer")


def test_other_weights_tell_of_two_trainings(tmp_path: Path) -> None:
    """Another start, and weights that didn't turn before: no resume can have made them."""
    other = AdamRun()
    other.weights = {
        name: np.random.default_rng(8).normal(size=w.shape).astype("f4") for name, w in other.weights.items()
    }
    found = resumed(tmp_path, AdamRun(), other)
    assert "these are two trainings" in found.title
    assert found.evidence[-1].figures["weights"] == "others"
    assert found.action == "Keep each training in a folder of its own, and analyse them separately"


def test_a_training_from_the_same_seed_is_no_resume(tmp_path: Path) -> None:
    """Its weights are nearer to where the first began than to where it ended: nothing is claimed."""
    found = resumed(tmp_path, AdamRun(), AdamRun())
    assert "can't be told from the weights" in found.title
    assert "weights" not in found.evidence[-1].figures


def test_what_is_assumed_is_told_beside_what_another_checkpoint_shows(tmp_path: Path) -> None:
    """An epsilon that two checkpoints tell together need not be that of a later one, and isn't passed over."""
    run = AdamRun()
    for _ in range(2):
        run.train(20)
        run.save(tmp_path / f"m-{run.step}.h5")
    analyses = analyze(tmp_path)
    variables = analyses.optimizers["optimizer"].variables
    variables["epsilon_source"][:] = "default"
    assert the("hyperparameters-assumed", findings_of(analyses)).title.endswith("epsilon = 10⁻⁷")
    variables["epsilon"][0], variables["epsilon_source"][0] = 0.1, "inferred"
    title = the("hyperparameters-assumed", findings_of(analyses)).title
    assert "epsilon = 10⁻⁷ (but 0.1, inferred, in m-20.h5 (step 20))" in title


def test_no_drift_is_told_where_another_epsilon_is_assumed(made: Callable[[str], Analyses]) -> None:
    """One that some checkpoints tell together, and a default in the others: E differs by that alone."""
    run = made("spread-growing")
    assert "spread-growing" in {f.id for f in findings_of(run)}
    columns = copy.deepcopy(run)
    for optimizer in columns.optimizers.values():
        optimizer.variables["epsilon"][0] *= 1000
        assert "spread-growing" in {f.id for f in findings_of(columns)}
        optimizer.variables["epsilon_source"][-1] = "default"
    assert "spread-growing" not in {f.id for f in findings_of(columns)}


def test_drift_is_told_along_one_line_of_training(tmp_path: Path) -> None:
    """What one gradient after a loss of state makes of E is no drift from what it was before."""
    run = AdamRun(beta_2=0.99)
    run.train(200).save(tmp_path / "m-200.h5")
    for moments in (run.first, run.second):
        for moment in moments.values():
            moment[...] = 0
    run.train(1).save(tmp_path / "m-201.h5")
    whole = analyze(tmp_path)
    assert {f.id for f in findings_of(whole)} >= {"state-lost"}
    assert "spread-growing" not in {f.id for f in findings_of(whole)}
    rates = whole.optimizers["optimizer"].variables["effective_lr"]
    low, high = (np.log10(rates[:, :, QUANTILE_NAMES.index(name)]) for name in ("q05", "q95"))
    assert (np.diff(high - low, axis=0) >= Thresholds().spread_decades).any()


def test_the_first_updates_are_not_too_large(tmp_path: Path) -> None:
    """Up to 1/(1-β1) of them, unless the threshold is given."""
    AdamRun(learning_rate=0.1).train(10).save(tmp_path / "m.h5")
    run = analyze(tmp_path / "m.h5")
    assert "updates-too-large" not in {f.id for f in findings_of(run)}
    assert "updates-too-large" in {f.id for f in findings_of(run, update_to_weight_max=0.02)}


def test_a_spike_in_v_is_no_starvation(tmp_path: Path) -> None:
    """m shows the gradients whose squares v's rounding swallows; a tensor whose m has died away is starved."""
    run = AdamRun().train(1, scaled(1e6, "first/kernel", "second/kernel")).train(9)
    run.save(tmp_path / "m-10.h5")
    run.train(300, scaled(0, "second/kernel")).save(tmp_path / "m-310.h5")
    found = findings_of(analyze(tmp_path))
    starved = {p for f in found if f.id.startswith("starved") for p in f.parameters}
    assert starved == {"second/kernel"}


def test_an_assumed_beta_2_is_bounded_rather_than_state_lost(tmp_path: Path) -> None:
    """Where a smaller β2 explains the fall of v; the bound is near the one that was used."""
    run = Run().train(20)
    for step in (20, 120):
        tensors = dict(run.weights) | {f"{n}/adam_m": v for n, v in run.first.items()}
        tensors |= {f"{n}/adam_v": v for n, v in run.second.items()}
        write_bundle(tmp_path / f"model.ckpt-{step}", {**tensors, "global_step": np.array(step, np.int64)})
        for value in run.second.values():
            value *= np.float32(0.98**100)
    analyses = analyze(tmp_path)
    (optimizer,) = analyses.optimizers.values()
    assert set(optimizer.variables["beta_2_source"]) == {"default"}
    found = findings_of(analyses)
    assert "state-lost" not in {f.id for f in found}
    assert "was 0.98 at most" in the("lineage-broken", found).title
    assert the("lineage-broken", found).severity is Severity.INFO  # the cause is a finding of its own
    assert the("hyperparameter-contradicted", found).severity is Severity.WARNING
    given = analyze(tmp_path, given={"beta_2": 0.98})
    assert not {f.id for f in findings_of(given)} & {"state-lost", "lineage-broken"}


def test_each_fall_bounds_the_beta_2_of_its_own_pair(tmp_path: Path) -> None:
    """β2 may have been another between two earlier checkpoints, whose tighter bound is told as theirs."""
    run = Run().train(20)
    for step, decay in ((20, 0.98), (120, 0.99), (220, 1.0)):
        tensors = dict(run.weights) | {f"{n}/adam_m": v for n, v in run.first.items()}
        tensors |= {f"{n}/adam_v": v for n, v in run.second.items()}
        write_bundle(tmp_path / f"model.ckpt-{step}", {**tensors, "global_step": np.array(step, np.int64)})
        for value in run.second.values():
            value *= np.float32(decay**100)
    found = the("lineage-broken", findings_of(analyze(tmp_path, infer=False)))
    assert "by this fall was 0.99 at most, unless the state was lost" in found.title
    assert "(from model.ckpt-20 (step 20) to model.ckpt-120 (step 120) 0.98 at most)" in found.title
    assert "larger than 0.99," in found.action


def test_a_beta_2_that_was_read_is_not_called_assumed(tmp_path: Path) -> None:
    """Where v fell too fast by an assumed β2 earlier in the run, and by the file's own at its end."""
    run = AdamRun(beta_2=0.95).train(200)
    save_without_config(run, tmp_path / "m-200.h5")
    save_without_config(run.train(40, scaled(0.05)), tmp_path / "m-240.h5")
    run.train(10)
    run.second["second/kernel"][0] *= np.float32(0.01)
    run.save(tmp_path / "m-250.h5")
    title = the("lineage-broken", findings_of(analyze(tmp_path))).title
    assert "v fell faster than 0.95^10" in title and "2 such pairs" in title
    assert "assumed" not in title and "at most" not in title
    assert title.endswith("%) (2 such pairs in the run)")


def test_nothing_is_computed_with_an_impossible_value(made: Callable[[str], Analyses]) -> None:
    """The finding is critical and names it; what depends on it is NaN, not 0."""
    run = made("impossible-value")
    found = the("impossible-value", run.findings)
    assert found.severity is Severity.CRITICAL
    assert "epsilon is -1 (training_config attribute: epsilon), and it must not be negative" in found.title
    (optimizer,) = run.optimizers.values()
    for figure in ("update_rms", "update_max", "effective_lr_mean"):
        assert np.isnan(optimizer.variables[figure]).all()


NORMALISED = {"conv/kernel": (20, 30), "conv/bias": (30,), "bn/gamma": (30,), "bn/beta": (30,), "out/kernel": (30, 4)}


def test_a_bias_whose_gradients_cancel_is_no_warning(tmp_path: Path) -> None:
    """Beside a kernel whose gradients are larger by decades; a kernel below ε makes it one again, and is named."""
    AdamRun(NORMALISED).train(50, scaled(1e-9, "conv/bias")).save(tmp_path / "m-50.h5")
    found = the("epsilon-dominated", findings_of(analyze(tmp_path / "m-50.h5")))
    assert found.severity is Severity.INFO
    assert "each is a bias whose kernel's gradients are larger by decades: its own cancel out" in found.title
    assert found.action.startswith("Nothing")
    AdamRun(NORMALISED).train(50, scaled(1e-9, "conv/bias", "out/kernel")).save(tmp_path / "both-50.h5")
    both = the("epsilon-dominated", findings_of(analyze(tmp_path / "both-50.h5")))
    assert both.severity is Severity.WARNING
    assert "conv/bias is a bias whose" in both.title
    AdamRun(NORMALISED).train(50, scaled(1e-9, "conv/bias", "conv/kernel")).save(tmp_path / "layer-50.h5")
    assert "cancel" not in the("epsilon-dominated", findings_of(analyze(tmp_path / "layer-50.h5"))).title


def test_a_bias_of_keys_has_no_effect_elsewhere_it_has(tmp_path: Path) -> None:
    """Attention's keys need no normalisation; in a plain layer such a bias is a riddle."""
    for name, severity in (("mha/key", Severity.INFO), ("mha/query", Severity.WARNING), ("monkey", Severity.WARNING)):
        run = AdamRun({f"{name}/kernel": (8, 2, 4), f"{name}/bias": (2, 4)})
        path = run.train(50, scaled(1e-9, f"{name}/bias")).save(tmp_path / f"{name.replace('/', '-')}.h5")
        assert the("epsilon-dominated", findings_of(analyze(path))).severity is severity


def test_one_cause_is_one_finding(tmp_path: Path) -> None:
    """Updates are small or lost in rounding because gradients are gone, or below ε: only the cause is found."""
    run = AdamRun().train(200)
    run.save(tmp_path / "m-200.h5")
    run.train(300, scaled(0, "second/kernel")).save(tmp_path / "m-500.h5")
    AdamRun().train(50, scaled(1e-14, "second/kernel")).save(tmp_path / "other.h5")
    for path, cause in ((tmp_path / "m-*.h5", "starved-tensors"), (tmp_path / "other.h5", "epsilon-dominated")):
        findings = findings_of(analyze(path))
        assert not {f.id for f in findings} & {"lost-in-rounding", "updates-too-small"}
        assert "second/kernel" in the(cause, findings).parameters


def test_updates_of_faded_gradients_are_no_warning(tmp_path: Path) -> None:
    """One checkpoint tells no starvation, but m does: other elements of the tensor move, or none has an m."""
    run = AdamRun().train(200).train(250, masked("second/kernel", slice(None), slice(0, 20)))
    run.save(tmp_path / "m-450.h5")
    found = the("lost-in-rounding", findings_of(analyze(tmp_path)))
    assert found.severity is Severity.INFO
    assert found.title.endswith("the gradients of these elements have faded, for m has died away in them")
    run.train(250, scaled(0, "second/kernel")).save(tmp_path / "m-700.h5")
    alone = the("lost-in-rounding", findings_of(analyze(tmp_path / "m-700.h5")))
    assert alone.severity is Severity.INFO


def test_a_rate_near_zero_is_one_warning(made: Callable[[str], Analyses]) -> None:
    """Lost in rounding; that the updates are small besides says no more."""
    findings = findings_of(made("lost-in-rounding"))
    assert the("lost-in-rounding", findings).severity is Severity.WARNING
    assert "faded" not in the("lost-in-rounding", findings).title
    small = [p for f in findings if f.id == "updates-too-small" for p in f.parameters]
    assert not set(small) & set(the("lost-in-rounding", findings).parameters)


def test_a_kernel_out_of_bound_is_no_embedding(tmp_path: Path) -> None:
    """Whatever Keras 3 does with repeated rows: the state of a dense kernel is damaged."""
    run = AdamRun().train(30)
    run.second["second/kernel"] *= 1e-4
    run.save(tmp_path / "m-30.h5", keras="3.8.0")
    found = the("moment-bound-violated", findings_of(analyze(tmp_path)))
    assert found.severity is Severity.CRITICAL
    assert "embedding" not in found.title


def test_grown_gradients_are_no_direction(tmp_path: Path) -> None:
    """m is as large beside √v̂ as that of a constant gradient, because gradients grew; they are noise all the same."""
    run = AdamRun({"a/kernel": (40, 50)}).train(1000)
    run.save(tmp_path / "m-1000.h5")
    run.train(20, scaled(5, "a/kernel")).save(tmp_path / "m-1020.h5")
    run.train(200, scaled(25, "a/kernel")).save(tmp_path / "m-1220.h5")
    analyses = analyze(tmp_path)
    (optimizer,) = analyses.optimizers.values()
    optimizer.variables["signal_to_noise"][-1] = 0.95
    assert "stuck-direction" not in {f.id for f in findings_of(analyses)}
    AdamRun({"a/kernel": (40, 50)}).train(1000).train(5, scaled(100, "a/kernel")).save(tmp_path / "spike.h5")
    spike = analyze(tmp_path / "spike.h5")
    assert spike.optimizers["optimizer"].variables["signal_to_noise"][-1, 0] > 1.1
    assert "stuck-direction" not in {f.id for f in findings_of(spike)}


@pytest.mark.parametrize(("beta_1", "shape"), [(0.5, (40, 30)), (0.85, (1, 1))])
def test_a_short_memory_or_few_elements_are_no_direction(tmp_path: Path, beta_1: float, shape: tuple[int, ...]) -> None:
    """At a β1 of 0.5, as in GANs, or of a few elements, m is often as large beside √v̂ as a constant gradient's."""
    run = AdamRun({"a/kernel": shape}, beta_1=beta_1).train(500)
    for value, square in zip(run.first.values(), run.second.values(), strict=True):
        value[...] = 0.95 * np.sqrt(square / (1 - 0.999**500))
    run.save(tmp_path / "m.h5")
    assert "stuck-direction" not in {f.id for f in findings_of(analyze(tmp_path / "m.h5"))}


def test_an_assumed_beta_1_makes_no_direction_a_warning(tmp_path: Path) -> None:
    """It is worth knowing, and the option to give is named."""
    run = AdamRun().train(200, lambda n, w, rng: np.ones_like(w) if n == "first/kernel" else noise(n, w, rng))
    run.save(tmp_path / "m-200.h5")
    assert the("stuck-direction", findings_of(analyze(tmp_path))).severity is Severity.WARNING
    del run.config["beta_1"]
    run.save(tmp_path / "m-200.h5")
    found = the("stuck-direction", findings_of(analyze(tmp_path)))
    assert found.severity is Severity.INFO
    assert "(β1 = 0.9 is assumed)" in found.title
    assert "--beta-1" in found.action


def test_decay_that_had_no_time_balances_nothing(tmp_path: Path) -> None:
    """Of 1/(2d) updates; before, the norm stands still because neither does anything to it."""
    AdamRun(weight_decay=0.001).train(300).save(tmp_path / "m.h5")
    (optimizer,) = (analyses := analyze(tmp_path / "m.h5")).optimizers.values()
    share, ratio = optimizer.variables["decay_balance"][-1], optimizer.variables["update_to_weight"][-1]
    assert (np.abs(np.log(2 * share / ratio / 19)) < np.log(2)).any()
    assert "decay-equilibrium" not in {f.id for f in findings_of(analyses)}


def test_the_same_step_twice_is_told_with_whether_it_is_the_same_state(made: Callable[[str], Analyses]) -> None:
    """By the moments' figures."""
    found = the("step-repeated", findings_of(made("step-repeated")))
    assert found.severity is Severity.INFO
    assert found.title == "Step 30 is in 2 checkpoints, with the same moments: m-1.h5, m-2.h5"


def test_a_step_that_comes_again_after_a_reset_is_told_once(tmp_path: Path) -> None:
    """The reset is the cause."""
    run = AdamRun()
    for number in range(4):
        if number == 2:
            run.forget()
        run.train(20).save(tmp_path / f"m-{number}.h5")
    ids = {f.id for f in findings_of(analyze(tmp_path))}
    assert "step-reset" in ids
    assert "step-repeated" not in ids


def test_what_no_optimizer_trains_is_told_without_one(made: Callable[[str], Analyses]) -> None:
    """With the checkpoint's step, and once although it is a remark too."""
    found = the("nonfinite-tensors", findings_of(made("nonfinite-tensors")))
    assert found.title == (
        "In model.ckpt-20 (step 20), elements are infinite or NaN in 1 tensor that no optimizer trains: "
        "norm/moving_mean (1)"
    )
    assert (found.optimizer, found.severity, found.steps) == ("", Severity.CRITICAL, (20,))


def test_two_states_of_one_step_are_told(tmp_path: Path) -> None:
    """Two trainings in one folder."""
    for number, rate in ((1, 1e-3), (2, 1e-2)):
        AdamRun(learning_rate=rate).train(30).save(tmp_path / f"m-{number}.h5")
    title = the("step-repeated", findings_of(analyze(tmp_path))).title
    assert title == "Step 30 is in 2 checkpoints, whose moments differ: m-1.h5, m-2.h5"


def test_inert_weights_that_stood_still_are_certain(tmp_path: Path) -> None:
    """Although β2 is assumed: the weights are the same in two checkpoints, the moments are not."""
    run = AdamRun(dtype="float16", beta_2=0.9999)
    run.train(5).save(tmp_path / "m-5.h5")
    run.train(5).save(tmp_path / "m-10.h5")
    analyses = analyze(tmp_path)
    analyses.optimizers["optimizer"].variables["beta_2_source"][:] = "default"
    found = the("inert-state", findings_of(analyses))
    assert found.severity is Severity.CRITICAL
    assert "none has moved since m-5.h5 (step 5), while their moments changed" in found.title
    assert "--beta-2" not in found.action


def test_an_optimizer_without_moments_and_step_is_none_that_froze(tmp_path: Path) -> None:
    """As a copy of a graph that isn't trained leaves it: nothing was lost, and nothing need be frozen."""
    tensors = dict(Run().weights)
    tensors |= {f"{n}/adam_{slot}": np.zeros_like(w) for n, w in Run().weights.items() for slot in "mv"}
    write_bundle(tmp_path / "model.ckpt-20", tensors)
    findings = findings_of(analyze(tmp_path / "model.ckpt-20"))
    found = the("untouched-tensors", findings)
    assert found.severity is Severity.INFO
    assert "has probably made no update" in found.title
    assert "Freeze" not in found.action


def test_an_early_bias_correction_is_told_only_where_it_halves_v(tmp_path: Path) -> None:
    """√c2/c1 of at most one half."""
    run = AdamRun().train(250)
    run.save(tmp_path / "m-250.h5")
    run.train(100).save(tmp_path / "m-350.h5")
    told = {n: "bias-correction" in {f.id for f in findings_of(analyze(tmp_path / f"m-{n}.h5"))} for n in (250, 350)}
    assert told == {250: True, 350: False}


def test_squares_that_float16_loses_are_no_wrong_betas(tmp_path: Path) -> None:
    """Below 6e-5 the second moments of float16 have few digits, so that |m|/√v exceeds its bound by rounding."""
    run = AdamRun(dtype="float16").train(1)
    for name, second in run.second.items():
        run.first[name][...] = 0.02
        second[...] = 6e-8
    del run.config["beta_1"], run.config["beta_2"]
    run.step = 100
    run.save(tmp_path / "m-100.h5")
    assert "moment-bound-violated" not in {finding.id for finding in analyze(tmp_path).findings}


def test_since_when_numbers_are_not_finite(tmp_path: Path) -> None:
    """Damage that comes and goes: the last checkpoint without it is the one before it came again."""
    run = AdamRun()
    for step in range(10, 50, 10):
        run.train(10)
        kept = run.second["third/bias"].copy()
        if step in (20, 40):
            run.second["third/bias"][0] = np.nan
        run.save(tmp_path / f"m-{step}.h5")
        run.second["third/bias"] = kept
    found = the("nonfinite-state", findings_of(analyze(tmp_path)))
    assert "the first in m-20.h5 (step 20), the last without is m-30.h5 (step 30)" in found.title


def test_small_gradients_after_large_ones_are_gradients(tmp_path: Path) -> None:
    """They add less to v than its rounding, and less to m than a hundredth of it; yet m is not what β1^k leaves."""
    run = AdamRun(beta_1=0.9, beta_2=0.9)
    for step, size in ((100, 1.0), (110, 1e-3)):
        run.train(step - run.step, lambda name, weight, rng, size=size: rng.normal(size=weight.shape) * size)  # type: ignore[misc]
        run.save(tmp_path / f"m-{step}.h5")
    assert not [f for f in findings_of(analyze(tmp_path)) if f.id.startswith("starved")]
