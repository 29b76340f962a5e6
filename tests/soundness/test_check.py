"""Verdicts on checkpoints: whole, complete, and continuing the one before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_bundle, save_series
from support.adam_runs import AdamRun
from support.bundle_writer import write_bundle
from support.command_line import Answer
from support.keras_files import Run
from support.silent_runs import save_without_config

import ckpt_inspect as ci
from ckpt_inspect.errors import NotFoundError, UnsupportedError
from ckpt_inspect.formats.bundle import BundleCheckpoint
from ckpt_inspect.soundness.kinds import REASONS

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"


def ids(verdict: ci.Verdict) -> list[str]:
    """Of the reasons that aren't merely worth knowing."""
    return [reason.id for reason in verdict.reasons if reason.severity != "info"]


def remarks(verdict: ci.Verdict) -> list[str]:
    return [reason.id for reason in verdict.reasons if reason.severity == "info"]


# --- whole


def test_values_that_are_not_read_are_not_called_whole(tmp_path: Path) -> None:
    """What isn't looked at isn't vouched for: here raw bytes behind the arrays of flax' msgpack file."""
    content = (FIXTURES / "orbax" / "aggregate" / "checkpoint").read_bytes()
    (tmp_path / "state.msgpack").write_bytes(bytes([content[0] + 1]) + content[1:] + b"\xa1x\xc4\x02ab")
    (verdict,) = ci.check([tmp_path / "state.msgpack"]).checkpoints
    assert not verdict.is_whole
    assert "not-read" in ids(verdict)


def test_a_healthy_run_is_sound(tmp_path: Path) -> None:
    """Nothing speaks against any of its checkpoints, and the newest is the one to keep."""
    paths = save_series(tmp_path / "run")
    found = ci.check(tmp_path / "run")
    assert [v.path for v in found.checkpoints] == [str(p) for p in paths]
    assert [(v.is_whole, v.is_complete, v.continues, v.reasons) for v in found.checkpoints] == [
        (True, True, None, ()),
        *[(True, True, True, ())] * 3,
    ]
    assert found.is_sound
    assert found.newest_sound == str(paths[-1])


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path) -> None:
    """In every byte of a bundle's data, in a sample of them."""
    (path,) = save_series(tmp_path / "run", steps=1)
    data = path.with_name(f"{path.name}.data-00000-of-00001")
    raw = data.read_bytes()
    for at in range(0, len(raw), 97):
        data.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        (verdict,) = ci.check(path).checkpoints
        assert not verdict.is_whole
        assert set(ids(verdict)) == {"bytes-damaged"}


def test_an_archive_is_checked_outside_of_its_weights_too(tmp_path: Path) -> None:
    """Local headers and files that hold no tensor included."""
    path = tmp_path / "m.keras"
    raw = (FIXTURES / "digits" / "epoch-10.keras").read_bytes()
    for at in range(0, len(raw), 1009):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        (verdict,) = ci.check(path).checkpoints
        assert not verdict.is_whole, at


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_parts_that_are_not_there(tmp_path: Path, damage: str) -> None:
    """The checkpoint before is the newest that passes, and the one after is compared with it."""
    paths = save_series(tmp_path / "run")
    data = paths[2].with_name(f"{paths[2].name}.data-00000-of-00001")
    if damage == "missing":
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:300])
    found = ci.check(paths[:3])
    assert not found.checkpoints[2].is_whole
    assert set(ids(found.checkpoints[2])) <= {"part-missing", "bytes-damaged"}
    assert found.newest_sound == str(paths[1])
    last = ci.check(paths).checkpoints[3]
    assert (last.continues, last.before) == (True, str(paths[1]))


@pytest.mark.parametrize("name", ["dense/kernel", "dense/kernel/Adam_1", "norm/moving_mean"])
def test_numbers_that_are_not_finite(tmp_path: Path, name: str) -> None:
    """In weights, in moments, and in what no optimizer trains."""
    run = Run().train(5)
    odd = np.array([1.0, np.nan, np.inf], np.float32)
    run.weights["norm/moving_mean"] = np.ones(3, np.float32)
    path = save_bundle_without_slots_of(run, tmp_path / "model.ckpt-5", {"norm/moving_mean"}, {name: odd})
    (verdict,) = ci.check(path).checkpoints
    assert not verdict.is_whole
    assert "not-finite" in ids(verdict)
    (reason,) = (r for r in verdict.reasons if r.id == "not-finite")
    assert "1 NaN and 1 infinite values in 1 tensor" in reason.text


def save_bundle_without_slots_of(
    run: Run, prefix: Path, names: set[str], extra: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
) -> Path:
    """Write a bundle in which these weights have no slots, with these values in place of the run's."""
    tensors = dict(run.weights)
    for tail, slots in (("Adam", run.first), ("Adam_1", run.second)):
        tensors |= {f"{n}/{tail}": value for n, value in slots.items() if n not in names}
    tensors["beta1_power"] = np.array(0.9**6, np.float32)
    tensors["beta2_power"] = np.array(0.999**6, np.float32)
    shaped = {n: np.resize(value, tensors[n].shape) if tensors[n].size > 3 else value for n, value in extra.items()}
    for n, value in shaped.items():
        flat = np.zeros(tensors[n].size, np.float32)
        flat[:3] = value.reshape(-1)[:3]
        tensors[n] = flat.reshape(tensors[n].shape)
    write_bundle(prefix, tensors)
    return prefix


def test_an_infinite_record_is_only_worth_a_warning(tmp_path: Path) -> None:
    """The best loss so far starts at infinity."""
    path = save_bundle(Run().train(5), tmp_path / "model.ckpt-5", best_loss=np.array(np.inf, np.float32))
    (verdict,) = ci.check(path).checkpoints
    assert verdict.is_sound
    assert ids(verdict) == ["infinite-scalar"]


def test_what_has_no_checksum_is_said(tmp_path: Path) -> None:
    """HDF5 keeps none: it is read, and nobody can tell whether a bit changed."""
    (verdict,) = ci.check(Run().train(5).save(tmp_path / "m.h5")).checkpoints
    assert verdict.is_sound
    assert remarks(verdict) == ["no-checksum"]


# --- complete


def test_weights_alone_name_the_keys_that_start_anew(tmp_path: Path) -> None:
    """Those that another checkpoint of the run has."""
    run = Run().train(10)
    save_bundle(run, tmp_path / "model.ckpt-10")
    write_bundle(tmp_path / "model.ckpt-20", dict(run.weights))
    _, verdict = ci.check(tmp_path).checkpoints
    assert (verdict.is_whole, verdict.is_complete, verdict.continues) == (True, False, None)
    assert ids(verdict) == ["weights-only"]
    assert "10 keys that model.ckpt-10 has: beta1_power, beta2_power" in verdict.reasons[0].text


def test_moments_that_are_zero_after_updates(tmp_path: Path) -> None:
    """The counter says that there were some."""
    run = Run()
    run.step = 10
    (verdict,) = ci.check(save_bundle(run, tmp_path / "model.ckpt-10")).checkpoints
    assert (verdict.is_complete, ids(verdict)) == (False, ["moments-zero"])


def test_before_the_first_update_nothing_is_lost(tmp_path: Path) -> None:
    """A checkpoint of step 0 is complete, and is said to be one."""
    (verdict,) = ci.check(save_bundle(Run(), tmp_path / "model.ckpt-0")).checkpoints
    assert verdict.is_sound
    assert remarks(verdict) == ["never-stepped"]


# --- continues


def forget_moments(run: Run) -> None:
    for slots in (run.first, run.second):
        for array in slots.values():
            array[:] = 0


def start_anew(run: Run) -> None:
    forget_moments(run)
    run.step = 0


def forget_one_layer(run: Run) -> None:
    for slots in (run.first, run.second):
        slots["dense/kernel"][:] = 0


def replace_weights_and_moments(run: Run) -> None:
    """As Keras 3.15 restores from Orbax: the counter and the rate alone."""
    forget_moments(run)
    run.weights.update(Run(seed=7).weights)


@pytest.mark.parametrize(
    "between, reason",
    [
        (forget_moments, "partly-restored"),
        (forget_one_layer, "partly-restored"),
        (replace_weights_and_moments, "partly-restored"),
        (start_anew, "step-fell"),
    ],
)
def test_a_resume_that_lost_state(tmp_path: Path, between: Callable[[Run], None], reason: str) -> None:
    """Trained on for five updates after it, so that no moment is 0 any more."""
    run = Run().train(20)
    one = save_bundle(run, tmp_path / "model.ckpt-1")
    between(run)
    two = save_bundle(run.train(5), tmp_path / "model.ckpt-2")
    three = save_bundle(run.train(5), tmp_path / "model.ckpt-3")
    found = ci.check([one, two, three])
    assert [v.continues for v in found.checkpoints] == [None, False, True]
    assert ids(found.checkpoints[1]) == [reason]
    assert not found.is_sound


@pytest.mark.parametrize(
    ("is_same", "told"),
    [(True, "weights are nearly those of before (cosine 1)"), (False, "weights are others as well")],
)
def test_weights_tell_what_a_counter_that_fell_means(tmp_path: Path, is_same: bool, told: str) -> None:
    """Whether one training lost its optimizer, or another one begins."""
    shapes = {"dense/kernel": (12, 30), "dense/bias": (30,)}
    run = Run(shapes=shapes).train(20)
    one = save_bundle(run, tmp_path / "model.ckpt-1")
    other = run if is_same else Run(seed=7, shapes=shapes)
    start_anew(other)
    two = save_bundle(other.train(5), tmp_path / "model.ckpt-2")
    (reason,) = ci.check([one, two]).checkpoints[1].reasons
    assert reason.id == "step-fell" and told in reason.text


def test_a_resume_under_other_names_is_not_passed_over(tmp_path: Path) -> None:
    """A model that was built twice in a process has other names: two runs or one, which is said with what to do."""
    paths = sorted((RESUMES / "keras3-moments-lost").iterdir())
    (remark,) = ci.check([RESUMES / "keras3-moments-lost"]).remarks
    assert remark.id == "other-names"
    assert "m-2.keras trains the same shapes as m-1.keras under other names" in remark.text
    assert not ci.check(paths).remarks
    save_series(tmp_path / "run", steps=3)
    assert not ci.check([tmp_path / "run"]).remarks


def test_keras_own_loading_of_orbax_restores_a_part() -> None:
    """Of Keras 3.15: counter and rate, and neither weights nor moments, as nothing but the arrays shows."""
    pytest.importorskip("tensorstore")
    *others, before, after = ci.check([RESUMES / "keras315-orbax-partly-restored"]).checkpoints
    assert before.is_sound and len(others) == 1
    assert (after.is_whole, after.is_complete, after.continues) == (True, True, False)
    assert (before.step, after.step) == (24, 32)
    assert ids(after) == ["partly-restored"]
    assert "point elsewhere" in after.reasons[0].text


RESUMES = Path(__file__).parent.parent / "data" / "resumes"


@pytest.mark.parametrize("name", ["tf115-moments-lost", "keras3-moments-lost"])
def test_real_resumes_that_lost_their_moments(name: str) -> None:
    """Of TensorFlow 1.15 and Keras 3: the counter went on, so that only the moments tell."""
    *before, lost = ci.check([p for p in (RESUMES / name).iterdir() if ".data-" not in p.name]).checkpoints
    assert all(v.is_sound for v in before)
    assert (lost.is_whole, lost.is_complete, lost.continues) == (True, True, False)
    assert ids(lost) == ["partly-restored"]


def test_weights_that_point_elsewhere(tmp_path: Path) -> None:
    """The moments were restored, and the weights were not; a much larger rate in between would do the same."""
    shapes = {"dense/kernel": (12, 30)}
    run = Run(shapes=shapes).train(20)
    one = run.save(tmp_path / "m-1.h5")
    run.weights.update(Run(seed=7, shapes=shapes).weights)
    found = ci.check([one, run.train(5).save(tmp_path / "m-2.h5")])
    assert ids(found.checkpoints[1]) == ["weights-elsewhere"]
    assert found.checkpoints[1].continues is True


def test_names_give_the_order_whatever_the_arguments(tmp_path: Path) -> None:
    """Checkpoints that are named together are one run."""
    paths = save_series(tmp_path / "run", steps=3)
    found = ci.check([paths[2], paths[0], paths[1]])
    assert [v.path for v in found.checkpoints] == [str(p) for p in paths]
    assert found.is_sound


def test_two_trainings_in_one_folder(tmp_path: Path) -> None:
    """Each checkpoint continues the one before the last, which is said."""
    one, other = Run(seed=1), Run(seed=2)
    for step in range(20, 100, 40):
        save_bundle(one.train(step - one.step), tmp_path / f"model.ckpt-{step}")
        save_bundle(other.train(step + 20 - other.step), tmp_path / f"model.ckpt-{step + 20}")
    found = ci.check(tmp_path)
    assert [v.continues for v in found.checkpoints] == [None, False, False, False]
    assert ["continues-another" in remarks(v) for v in found.checkpoints] == [False, False, True, True]
    assert [ids(v) for v in found.checkpoints] == [[], *[["another-line"]] * 3]  # and no restore that lost a part
    assert [s.begins for s in found.runs[0].segments] == ["start", *["another-line"] * 3]


def test_a_reset_is_no_other_line(tmp_path: Path) -> None:
    """Gradients were small at first: moments that were lost later can have grown out of the first ones; the weights
    say that they did not."""
    run, folder = Run(), tmp_path / "run"
    folder.mkdir()
    save_bundle(run.train(10), folder / "model.ckpt-10")
    small = {name: v.copy() for name, v in run.second.items()}
    for name in small:
        run.second[name] *= np.float32(1e-4)
    first = save_bundle(run, folder / "model.ckpt-10")
    for name, v in small.items():
        run.second[name][:] = v
    before = save_bundle(run.train(20), folder / "model.ckpt-30")
    forget_moments(run)
    after = save_bundle(run.train(5), folder / "model.ckpt-35")
    *_, lost = ci.check([first, before, after]).checkpoints
    assert (lost.continues, ids(lost)) == (False, ["partly-restored"])
    assert "continues-another" not in remarks(lost)


def save_with_smaller_beta(folder: Path, silent: int, lost_at: int = 0) -> list[Path]:
    """Write a run with β2 = 0.95 that no file holds, in which nothing reaches some elements of each kernel's first row
    any more after step 40; `lost_at`: the moments are set to 0 at that step."""
    run, paths = Run(), []
    for step in (40, 60, 80):
        for _ in range(step - run.step):
            run.step += 1
            for name, v in run.second.items():
                gradient = run.rng.normal(size=v.shape).astype(np.float32)
                if run.step > 40 and v.ndim == 2:
                    gradient[0, :silent] = 0
                run.first[name] += (gradient - run.first[name]) * np.float32(0.1)
                v += (gradient * gradient - v) * np.float32(0.05)
            if run.step == lost_at:
                forget_moments(run)
        config = {"name": "Adam", "learning_rate": 0.01}
        paths.append(run.save(folder / f"m-{step}.h5", config))
    return paths


def test_moments_are_judged_with_the_beta_that_the_run_tells(tmp_path: Path) -> None:
    """Enough silent elements: β2 = 0.95 is inferred, nothing is left to doubt, and a loss in a later window shows."""
    paths = save_with_smaller_beta(tmp_path, silent=5)
    for several in (paths, paths[:2]):
        found = ci.check(several)
        assert found.is_sound
        assert not {"decay-rate-smaller", "decay-rate-too-large", "updates-skipped"} & {
            reason.id for verdict in found.checkpoints for reason in verdict.reasons
        }
    (tmp_path / "lost").mkdir()
    lost = ci.check(save_with_smaller_beta(tmp_path / "lost", silent=5, lost_at=72))
    assert [v.continues for v in lost.checkpoints] == [None, True, False]


@pytest.mark.parametrize("every", [2, 3])
def test_updates_that_were_skipped_are_told(tmp_path: Path, every: int) -> None:
    """The counter counts them, and the moments don't decay; that is worth knowing, and no loss."""
    run, paths = Run(shapes={"dense/kernel": (12, 30)}), []
    run.train(50)
    v, m = run.second["dense/kernel"], run.first["dense/kernel"]
    for step in (50, 80):
        for _ in range(step - run.step):
            run.step += 1
            if run.step % (5 * every) != 0:  # else the gradients overflow
                gradient = run.rng.normal(size=v.shape).astype(np.float32)
                gradient[0] = 0
                m += (gradient - m) * np.float32(0.1)
                v += (gradient * gradient - v) * np.float32(1 - np.float32(0.999))
        paths.append(run.save(tmp_path / f"m-{step}.h5"))
    found = ci.check(paths)
    assert found.is_sound
    (reason,) = (r for r in found.checkpoints[1].reasons if r.id == "updates-skipped")
    assert reason.severity == "info"
    skipped = sum(step % (5 * every) == 0 for step in range(51, 81))
    assert f"{30 - skipped} times while the counter rose by 30: {skipped} fewer" in reason.text


def test_another_beta_than_assumed_is_no_loss(tmp_path: Path) -> None:
    """Silent elements of a run with β2 = 0.95, whose files say nothing of it; too few to infer it from them."""
    paths = save_with_smaller_beta(tmp_path, silent=1)
    found = ci.check(paths)
    assert found.is_sound
    assert all("decay-rate-smaller" in remarks(v) for v in found.checkpoints[1:])
    (_, alone) = ci.check(paths[:2]).checkpoints
    assert (alone.continues, ids(alone)) == (True, ["decay-rate-too-large"])
    assert alone.reasons[0].text.endswith("at most, unless the state was lost")  # two files alone leave both open
    given = ci.check(paths[:2], given={"beta_2": 0.999})
    assert not given.is_sound  # as sure as what was given


def test_another_rule_leaves_it_open(tmp_path: Path) -> None:
    """No moment of one rule speaks for or against what another made of it."""
    run = Run().train(10)
    paths = [run.save(tmp_path / "m-10.h5"), run.train(10).save(tmp_path / "m-20.h5")]
    with h5py.File(paths[1], "r+") as file:
        training = json.loads(file.attrs["training_config"])
        training["optimizer_config"]["class_name"] = "AdamW"
        file.attrs["training_config"] = json.dumps(training)
    found = ci.check(paths)
    (reason,) = (r for r in found.checkpoints[1].reasons if r.id == "rule-changed")
    assert found.checkpoints[1].continues is None and "the rule was adam, and is adamw" in reason.text


def test_another_model_continues_nothing(tmp_path: Path) -> None:
    """Two checkpoints without a common parameter, named together."""
    one = Run(shapes={"a/kernel": (3, 4)}).train(5).save(tmp_path / "a-1.h5")
    two = Run(shapes={"b/kernel": (3, 7)}).train(9).save(tmp_path / "b-2.h5")
    found = ci.check([one, two])
    assert ids(found.checkpoints[1]) == ["other-parameters"]


# --- state files


def test_a_state_file_that_leads_astray(tmp_path: Path) -> None:
    """It names a checkpoint that isn't there, or an older one: a remark on the folder that decides no verdict."""
    folder = tmp_path / "run"
    paths = save_series(folder, steps=3)
    state = folder / "checkpoint"
    for named, remark, words in (
        (paths[2].name, None, ""),
        (str(paths[2]), None, ""),
        ("model.ckpt-99", "state-file-astray", "names model.ckpt-99, which is not there"),
        (paths[0].name, "state-file-behind", f"names {paths[0].name}, and {paths[2].name} comes after it"),
    ):
        state.write_text(f'model_checkpoint_path: "{named}"\nall_model_checkpoint_paths: "gone-1"\n')
        found = ci.check(folder)
        assert found.is_sound
        assert [r.id for r in found.remarks] == ([remark] if remark else [])
        answer = Answer("check", folder)
        assert answer.code == 0
        assert words in answer.out
        (*document,) = json.loads(Answer("check", folder, "--json").out)["remarks"]
        assert [r["id"] for r in document] == [r.id for r in found.remarks]


# --- what is no checkpoint, and the command line


def test_trouble_is_no_verdict(tmp_path: Path) -> None:
    """Nothing there, or something else than a checkpoint: an error, exit status 2."""
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotFoundError):
        ci.check(tmp_path / "absent")
    with pytest.raises((UnsupportedError, NotFoundError)):
        ci.check(tmp_path / "notes.txt")
    for path in (tmp_path / "absent", tmp_path / "notes.txt", tmp_path):
        answer = Answer("check", path)
        assert (answer.code, answer.out) == (2, "")


def test_a_damaged_checkpoint_is_a_verdict(tmp_path: Path) -> None:
    """Bytes that can't be opened at all, named as a checkpoint is."""
    (tmp_path / "m.keras").write_bytes((FIXTURES / "digits" / "epoch-10.keras").read_bytes()[:2000])
    (verdict,) = ci.check(tmp_path / "m.keras").checkpoints
    assert (verdict.is_whole, ids(verdict)) == (False, ["unreadable"])
    assert Answer("check", tmp_path / "m.keras").code == 1


def test_a_writer_that_was_stopped(tmp_path: Path) -> None:
    """Data without an index is no checkpoint; those that were finished are sound."""
    paths = save_series(tmp_path / "run", steps=2)
    left = paths[1].with_name(f"{paths[1].name}.index")
    shutil.copy(left, tmp_path / "kept.index")
    left.unlink()
    found = ci.check(tmp_path / "run")
    assert [Path(v.path).name for v in found.checkpoints] == [paths[0].name]
    assert found.newest_sound == str(paths[0])
    assert found.left_over == (f"{paths[1]}.data-00000-of-00001",)
    answer = Answer("check", tmp_path / "run")
    assert answer.code == 0
    assert "its writer was stopped" in answer.out


def test_segments_of_a_run_with_restarts(tmp_path: Path) -> None:
    """Cut where state was lost; on the screen only if there are several."""
    run, folder = Run(), tmp_path / "run"
    folder.mkdir()
    for number in range(4):
        if number == 2:
            forget_moments(run)
        save_bundle(run.train(8), folder / f"model.ckpt-{number}")
    found = ci.check(folder)
    assert [(s.start, s.stop, s.begins) for s in found.runs[0].segments] == [(0, 2, "start"), (2, 4, "state-lost")]
    assert "model.ckpt-2  model.ckpt-3  24 .. 32  where state was lost" in Answer("check", folder).out
    (document,) = json.loads(Answer("check", folder, "--json").out)["runs"]
    assert [Path(s["first"]).name for s in document["segments"]] == ["model.ckpt-0", "model.ckpt-2"]


def test_the_document(tmp_path: Path) -> None:
    """As scripts read it: verdicts, reasons with their ids, and the newest that passes."""
    paths = save_series(tmp_path / "run", steps=2)
    answer = Answer("check", tmp_path / "run", "--json")
    document = json.loads(answer.out)
    assert answer.code == 0
    assert document["newest_sound"] == str(paths[1])
    assert [(c["path"], c["is_whole"], c["is_complete"], c["continues"]) for c in document["checkpoints"]] == [
        (str(paths[0]), True, True, None),
        (str(paths[1]), True, True, True),
    ]
    with h5py.File(Run().train(3).save(tmp_path / "m.h5"), "r+") as file:
        file["model_weights/dense/dense/kernel:0"][0, 0] = np.nan
    answer = Answer("check", tmp_path / "m.h5", "--json")
    (checkpoint,) = json.loads(answer.out)["checkpoints"]
    assert answer.code == 1
    assert {"id", "severity", "where", "text"} <= set(checkpoint["reasons"][0])
    assert checkpoint["reasons"][0]["id"] == "not-finite"


def test_the_screen(tmp_path: Path) -> None:
    """A line a verdict, the reasons with the next step, and the newest that passes."""
    paths = save_series(tmp_path / "run", steps=2)
    paths[1].with_name(f"{paths[1].name}.data-00000-of-00001").unlink()
    answer = Answer("check", tmp_path / "run")
    assert answer.code == 1
    assert "part-missing: Copy the missing file beside the others" in answer.out
    assert f"newest that passes  {paths[0]}" in answer.out
    assert Answer("check", paths[0], "--include", "*").code == 2


def test_every_reason_is_explained() -> None:
    """By its name, with what to do."""
    for kind in REASONS:
        (found,) = (e for e in ci.explain(kind.id) if e.sort == "reason")
        assert (found.title, found.action) == (kind.title, kind.action)


# --- TensorFlow's own reader


def test_tensorflow_reads_the_same_bits(tmp_path: Path) -> None:
    """Of bundles, and of V1 files; of Keras' files it reads nothing, which is said."""
    pytest.importorskip("tensorflow")
    bundle = save_bundle(Run().train(5), tmp_path / "model.ckpt-5")
    (verdict,) = ci.check(bundle, reader="tensorflow").checkpoints
    assert verdict.is_sound
    assert verdict.reasons == ()
    (verdict,) = ci.check(Run().train(5).save(tmp_path / "m.h5"), reader="tensorflow").checkpoints
    assert "not-checked" in remarks(verdict)


def test_bits_that_tensorflow_reads_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our reader is made to swap them: the second one notices."""
    pytest.importorskip("tensorflow")
    bundle = save_bundle(Run().train(5), tmp_path / "model.ckpt-5")
    read = BundleCheckpoint.read_range

    def swapped(self: BundleCheckpoint, name: str, start: int, stop: int, out: Any = None) -> Any:
        found = read(self, name, start, stop, out)
        return found[::-1].copy() if name == "head/bias" else found

    monkeypatch.setattr(BundleCheckpoint, "read_range", swapped)
    (verdict,) = ci.check(bundle, reader="tensorflow").checkpoints
    assert not verdict.is_whole
    assert ids(verdict) == ["other-bits"]
    assert verdict.reasons[0].where == "head/bias"


def test_plain_sgd_has_slots_of_zeros(tmp_path: Path) -> None:
    """Keras 2.11 to 2.15 keeps them whatever the momentum: nothing was lost."""
    run = Run().train(5)
    path = run.save(tmp_path / "m.h5", {"name": "SGD", "learning_rate": 0.01, "momentum": 0.0}, "SGD")
    with h5py.File(path, "r+") as file:
        group = file["optimizer_weights"]
        names = [f"SGD/m/{name}:0" for name in run.weights]
        for name, weight in zip(names, run.weights.values(), strict=True):
            group[name] = np.zeros_like(weight)
        del group["iter:0"]
        group["iteration:0"] = np.array(5, np.int64)
        group.attrs["weight_names"] = [b"iteration:0", *(name.encode() for name in names)]
    (verdict,) = ci.check(path).checkpoints
    assert verdict.is_sound


def test_a_fall_that_a_rare_beta_explains_is_told_with_the_smallest_that_is_thought_possible(tmp_path: Path) -> None:
    """No file tells β2: by 0.7 v can fall as far as it did; what was given needs no such limit."""
    run = AdamRun(beta_2=0.7)
    save_without_config(run.train(50), tmp_path / "m-50.h5")
    save_without_config(run.train(50, lambda name, weight, rng: np.zeros(weight.shape)), tmp_path / "m-100.h5")
    for given, limit in ({}, " by a beta_2 of 0.9 or more"), ({"beta_2": 0.95}, ""):
        reasons = ci.check(tmp_path, given=given).checkpoints[1].reasons
        (told,) = (r.text for r in reasons if "fell further in 50 updates" in r.text)
        assert f"than updates can make them fall{limit} (" in told
