"""The segments of a run that was resumed, told from its columns."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_series
from support.adam_runs import AdamRun, Array
from support.command_line import Answer
from support.silent_runs import save_without_config

from ckpt_inspect import analyze, check
from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.findings.restarts import run_segments

Saved = tuple[tuple[int, int, str], ...]


def save(run: AdamRun, folder: Path) -> AdamRun:
    """Save a run under the number of the files that are there."""
    folder.mkdir(exist_ok=True)
    run.save(folder / f"m-{len(list(folder.iterdir())) + 1}.h5")
    return run


def with_rates(folder: Path, *rates: float) -> None:
    """Checkpoints 50 updates apart, each at its own learning rate."""
    run = AdamRun()
    for rate in rates:
        run.config["learning_rate"] = rate
        save(run.train(50), folder)


def cut(folder: Path) -> Saved:
    return tuple((s.start, s.stop, s.begins) for s in run_segments(analyze(folder)))


def test_a_healthy_run_is_one_segment(tmp_path: Path) -> None:
    """Nothing was lost, and the screen has no line on segments."""
    with_rates(tmp_path / "run", 1e-3, 1e-3, 1e-3)
    assert cut(tmp_path / "run") == ((0, 3, "start"),)
    assert "segments" not in Answer("analyze", tmp_path / "run", "-o", tmp_path / "run.h5").out


@pytest.mark.parametrize("keeps_step", [True, False])
def test_a_resume_that_lost_its_moments(tmp_path: Path, keeps_step: bool) -> None:
    """A segment begins at the checkpoint after, whether the counter went on or not, as `check` has it."""
    folder = tmp_path / "run"
    run = save(save(AdamRun().train(300), folder).train(50), folder)
    step = run.step
    run.forget().step = step if keeps_step else 0
    save(save(run.train(50), folder).train(50), folder)
    assert cut(folder) == ((0, 2, "start"), (2, 4, "state-lost"))
    assert [(s.start, s.stop, s.begins) for s in check(folder).runs[0].segments] == list(cut(folder))


def test_another_optimizer_is_no_rate_that_jumped(tmp_path: Path) -> None:
    """Adam's place was taken by SGD at its own rate, which counts anew: `check` has it so as well."""
    folder = tmp_path / "run"
    with_rates(folder, 1e-3, 1e-3, 1e-3, 1e-2, 1e-2)
    for place, step in ((4, 50), (5, 100)):
        with h5py.File(folder / f"m-{place}.h5", "r+") as file:
            del file["optimizer_weights"]
            own = file.create_group("optimizer_weights")
            own.attrs["weight_names"] = [b"iteration:0"]
            own.create_dataset("iteration:0", data=step)
            config = {"class_name": "SGD", "config": {"name": "SGD", "learning_rate": 1e-2, "momentum": 0.0}}
            file.attrs["training_config"] = json.dumps({"optimizer_config": config})
    assert cut(folder) == ((0, 3, "start"), (3, 5, "state-lost"))
    assert [(s.start, s.stop, s.begins) for s in check(folder).runs[0].segments] == list(cut(folder))


def test_a_checkpoint_before_the_first_update(tmp_path: Path) -> None:
    """A resumed training that saves at step 0 begins its segment there; at a run's start that is no restart."""
    folder = tmp_path / "run"
    run = save(save(save(AdamRun(), folder).train(50), folder).train(50), folder)
    save(save(run.forget(), folder).train(20), folder)
    assert cut(folder) == ((0, 3, "start"), (3, 5, "state-lost"))


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([1e-3, 1e-3, 1e-4, 1e-4], ((0, 2, "start"), (2, 4, "rate-jumped"))),
        ([1e-3, 1e-3, 8e-4, 8e-4], ((0, 4, "start"),)),
        ([1e-5, 1e-4, 1e-3, 1e-3], ((0, 4, "start"),)),
        ([1e-3, 1e-3, 4e-4, 1e-4, 1e-4], ((0, 5, "start"),)),
        ([1e-3, 1e-4], ((0, 1, "start"), (1, 2, "rate-jumped"))),
        ([1e-3, 1e-3, 1e-4], ((0, 2, "start"), (2, 3, "rate-jumped"))),
        ([1e-3, 1e-4, 1e-5], ((0, 3, "start"),)),
    ],
    ids=["jump", "little", "warm-up", "decay", "two", "at-the-end", "three"],
)
def test_a_rate_jumps_from_one_constant_to_another(tmp_path: Path, rates: list[float], expected: Saved) -> None:
    """Rates that move from checkpoint to checkpoint may be a callback's, and cut nothing; `check` says the same."""
    with_rates(tmp_path / "run", *rates)
    assert cut(tmp_path / "run") == expected
    assert tuple((s.start, s.stop, s.begins) for s in check(tmp_path / "run").runs[0].segments) == expected


def decays(path: Path, **config: object) -> None:
    """Write other numbers into a file's configuration of the optimizer."""
    with h5py.File(path, "r+") as file:
        training = json.loads(file.attrs["training_config"])
        training["optimizer_config"]["config"] |= config
        file.attrs["training_config"] = json.dumps(training)


SCHEDULE = {
    "class_name": "ExponentialDecay",
    "config": {"initial_learning_rate": 1e-2, "decay_steps": 50, "decay_rate": 0.3, "staircase": True},
}


@pytest.mark.parametrize("schedule", [SCHEDULE, {**SCHEDULE, "registered_name": "mine>Own", "class_name": "mine>Own"}])
def test_a_schedule_in_the_configuration_is_no_jump(tmp_path: Path, schedule: dict[str, object]) -> None:
    """Whatever rates follow from it, and also if its formula isn't known."""
    folder = tmp_path / "run"
    with_rates(folder, *[1e-3] * 4)
    for path in folder.iterdir():
        decays(path, learning_rate=schedule)
    for found in (cut(folder), tuple((s.start, s.stop, s.begins) for s in check(folder).runs[0].segments)):
        assert found == ((0, 4, "start"),)


def test_a_schedule_in_place_of_a_constant_is_no_jump(tmp_path: Path) -> None:
    """Rates on both sides of a schedule are not compared."""
    folder = tmp_path / "run"
    with_rates(folder, 1e-2, 1e-2, 1e-2, 1e-4, 1e-4)
    decays(folder / "m-3.h5", learning_rate=SCHEDULE)
    assert cut(folder) == ((0, 5, "start"),)


def test_a_run_without_rates_or_state(tmp_path: Path) -> None:
    """Rates that no file holds, and checkpoints before the first update, are one segment."""
    save_series(tmp_path / "run", steps=3)
    assert [s.begins for s in run_segments(analyze(tmp_path / "run"))] == ["start"]


def test_an_assumed_beta_2_loses_nothing(tmp_path: Path) -> None:
    """Second moments that a smaller β2 explains are not taken for lost where β2 is assumed."""
    folder = tmp_path / "run"
    run = AdamRun(beta_2=0.98).train(300)
    del run.config["beta_2"]
    save(run, folder)
    run.config["beta_2"] = 0.98
    run.train(100, lambda name, weight, rng: rng.normal(size=weight.shape) * 1e-4)
    del run.config["beta_2"]
    save(run, folder)
    assert {o.variables["beta_2_source"][-1] for o in analyze(folder, infer=False).optimizers.values()} == {"default"}
    assert [s.begins for s in run_segments(analyze(folder, infer=False))] == ["start"]


def test_screen_and_document(tmp_path: Path) -> None:
    """`analyze` prints the segments in a line, and `--json` gives them as `check --json` does."""
    folder = tmp_path / "run"
    run = save(save(AdamRun().train(300), folder).train(50), folder)
    save(run.forget().train(50), folder)
    answer = Answer("analyze", folder, "-o", tmp_path / "run.h5")
    assert "segments     m-1.h5 .. m-2.h5 | state not carried on: m-3.h5\n" in answer.out
    (told,) = json.loads(Answer("analyze", folder, "-o", tmp_path / "run.h5", "--json").out)["runs"]
    (checked,) = json.loads(Answer("check", folder, "--json").out)["runs"]
    assert [s["begins"] for s in told["segments"]] == ["start", "state-lost"]
    assert told["segments"] == checked["segments"]


@pytest.mark.parametrize("kind", ["effective-lr", "elements"])
def test_figures_of_a_run(tmp_path: Path, kind: str) -> None:
    """A run's own figures mark where its segments begin, also of some of its parameters."""
    folder = tmp_path / "run"
    run = save(save(AdamRun().train(300), folder).train(50), folder)
    save(run.forget().train(50), folder)
    run_of_all = analyze(folder)
    assert run_of_all.segments == run_segments(run_of_all)
    for include in (None, "first/*"):
        figure = run_of_all.plot(kind, include=include)
        lines = [line for axes in figure.axes for line in axes.lines if line.get_gid() == "beginning"]
        assert {float(line.get_xdata()[0]) for line in lines} == {2.0}  # type: ignore[arg-type, index]


def test_segments_in_json_name_checkpoints() -> None:
    """The ends of a segment are both in it."""
    assert Segment(1, 3, "state-lost").to_json("abcd") == {"first": "b", "last": "c", "begins": "state-lost"}


@pytest.mark.parametrize(("before", "after"), [(0.98, 0.999), (0.999, 0.98)])
def test_a_beta_that_was_changed_loses_no_state(tmp_path: Path, before: float, after: float) -> None:
    """In the window in which β2 was changed, v may fall as the smaller of the two lets it."""
    folder = tmp_path / "run"
    run = AdamRun(beta_2=before)
    save(save(run.train(150, fading), folder).train(30, fading), folder)
    run.train(40, fading)
    run.config["beta_2"] = after
    save(save(run.train(10, fading), folder).train(50, fading), folder)
    assert cut(folder) == ((0, 4, "start"),)
    assert not {"state-lost", "lineage-broken"} & {finding.id for finding in analyze(folder).findings}
    assert all(verdict.is_sound for verdict in check(folder).checkpoints)


def fading(name: str, weight: Array, rng: np.random.Generator) -> Array:
    """Gradients of an element each of which sees one every few updates."""
    g: Array = rng.normal(size=weight.shape) * (rng.random(weight.shape) < 0.02) * 0.1
    return g


def test_the_smallest_usual_beta_loses_no_state(tmp_path: Path) -> None:
    """By rounding v falls a little faster than 0.9^k: that explains the fall where 0.999 is assumed."""
    folder = tmp_path / "run"
    folder.mkdir()
    run = AdamRun(beta_2=0.9)
    for step in (100, 140, 220, 420):
        save_without_config(run.train(step - run.step, fading), folder / f"m-{step}.h5")
    found = analyze(folder, infer=False)
    assert [segment.begins for segment in found.segments] == ["start"]
    assert "state-lost" not in {finding.id for finding in found.findings}


@pytest.mark.parametrize("grows", [False, True])
def test_a_small_beta_all_over_a_run_loses_no_state(grows: bool, tmp_path: Path) -> None:
    """State that is lost at every save is less likely than a β2 below those in use; a window whose gradients grew tells
    of neither."""
    folder = tmp_path / "run"
    folder.mkdir()
    run = AdamRun(beta_2=0.7)
    for step in (30, 35, 40, 45):
        size = 100.0 if grows and step == 40 else 0.1
        run.train(step - run.step, lambda name, weight, rng, size=size: rng.normal(size=weight.shape) * size)  # type: ignore[misc]
        save_without_config(run, folder / f"m-{step}.h5")
    found = analyze(folder)
    assert [segment.begins for segment in found.segments] == ["start"]
    titles = [finding.title for finding in found.findings if finding.id == "lineage-broken"]
    assert "state-lost" not in {finding.id for finding in found.findings}
    assert len(titles) == 1
    assert "β2 = 0.999 is assumed" in titles[0]


def test_a_state_that_was_lost_once_is_no_small_beta(tmp_path: Path) -> None:
    """The windows before and after are of the β2 that is assumed."""
    folder = tmp_path / "run"
    folder.mkdir()
    run = AdamRun()
    for step in (1000, 1005, 1010, 1012):
        if step == 1010:
            run.forget().step = 1005
        save_without_config(run.train(step - run.step), folder / f"m-{step}.h5")
    found = analyze(folder, infer=False)
    assert [(segment.start, segment.begins) for segment in found.segments] == [(0, "start"), (2, "state-lost")]


def test_a_beta_known_before_is_not_called_assumed(tmp_path: Path) -> None:
    """Where only the checkpoint before tells β2, it may have been changed since."""
    folder = tmp_path / "run"
    folder.mkdir()
    run = AdamRun(beta_2=0.99)
    run.train(200).save(folder / "m-200.h5", keras="3.0.0")
    run.config["beta_2"] = 0.95
    save_without_config(run.train(10), folder / "m-210.h5")
    (finding,) = [f for f in analyze(folder, infer=False).findings if f.id == "lineage-broken"]
    assert "; β2 = 0.99, before, and by this fall it then was 0.9702 at most" in finding.title
    assert "assumed" not in finding.title
