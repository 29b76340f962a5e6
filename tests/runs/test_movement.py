"""A folder that moves while it is read: what is deleted, replaced or still being written is called that."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.adam_bundles import save_series
from support.command_line import Answer
from support.openings import before_opening

from ckpt_inspect import analyze, describe, diff, find_checkpoints, load
from ckpt_inspect.errors import ChangedFileError, CkptInspectError
from ckpt_inspect.runs import execution

DIGITS = Path(__file__).parents[2] / "fixtures" / "digits"
GIVEN = {"learning_rate": 0.01}


def before_reading(monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[Path], object]) -> None:
    """Have something done just before the checkpoint of that name is opened to be analysed."""
    before_opening(monkeypatch, lambda path: do(path) if path.name == name else None)


def remove(prefix: Path) -> None:
    for path in prefix.parent.glob(f"{prefix.name}.*"):
        path.unlink()


def test_a_checkpoint_that_is_deleted_meanwhile_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not at fault, and neither are the others."""
    save_series(tmp_path / "run")
    before_reading(monkeypatch, "model.ckpt-10", remove)
    found = analyze(tmp_path / "run", given=GIVEN)
    (failure,) = found.failures
    assert failure.problem.severity == "warning"
    assert "is gone" in failure.problem.message
    assert len(found) == 3


def test_a_link_that_leads_nowhere_was_not_deleted_meanwhile(tmp_path: Path) -> None:
    """The checkpoint is at fault: what its shard's name leads to was not copied."""
    prefixes = save_series(tmp_path / "run")
    shard = Path(f"{prefixes[0]}.data-00000-of-00001")
    shard.unlink()
    shard.symlink_to(tmp_path / "elsewhere")
    (failure,) = analyze(tmp_path / "run", given=GIVEN).failures
    assert failure.problem.severity == "error"
    assert failure.problem.message.startswith(f"{shard}: is missing")


def test_a_checkpoint_that_is_written_meanwhile_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is there when it is read."""
    prefixes = save_series(tmp_path / "run")
    shard = Path(f"{prefixes[-1]}.data-00000-of-00001")
    whole = shard.read_bytes()
    before_reading(monkeypatch, prefixes[-1].name, lambda _: shard.write_bytes(whole[: len(whole) // 2]))
    store = tmp_path / "s.h5"
    first = analyze(tmp_path / "run", given=GIVEN, store=store)
    assert ["was replaced or written to" in failure.problem.message for failure in first.failures] == [True]
    monkeypatch.undo()
    shard.write_bytes(whole)
    again = analyze(tmp_path / "run", given=GIVEN, store=store)
    assert (len(first), len(again), len(again.failures)) == (3, 4, 0)
    assert load(store) == again


def test_a_file_that_still_grows_is_still_being_written(tmp_path: Path) -> None:
    """It was begun before the analysis, and is a zip without its end."""
    for name in ("epoch-01.keras", "epoch-02.keras"):
        shutil.copyfile(DIGITS / name, tmp_path / name)
    content = (DIGITS / "epoch-03.keras").read_bytes()
    file = tmp_path / "epoch-03.keras"
    file.write_bytes(content[:1000])
    is_over = threading.Event()

    def grow() -> None:
        at = 1000
        while not is_over.wait(0.05) and at < len(content) - 1000:
            with file.open("ab") as stream:
                stream.write(content[at : at + 100])
            at += 100

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        (failure,) = analyze(tmp_path, threads=1).failures
    finally:
        is_over.set()
        writer.join()
    assert failure.problem.severity == "warning"
    assert "written" in failure.problem.message


def test_what_is_truncated_and_stays_so_is_at_fault(tmp_path: Path) -> None:
    """The exit status is 1, and the sentence says that it may not be complete yet."""
    for name in ("epoch-01.keras", "epoch-02.keras"):
        shutil.copyfile(DIGITS / name, tmp_path / name)
    whole = (tmp_path / "epoch-02.keras").read_bytes()
    (tmp_path / "epoch-02.keras").write_bytes(whole[:-100])
    answer = Answer("analyze", tmp_path, "-o", tmp_path / "s.h5", "-q")
    assert answer.code == 1
    assert "if it is still being written" in answer.sentence


def test_the_exit_status_of_a_folder_that_moves_is_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was damaged; it is said all the same."""
    save_series(tmp_path / "run")
    before_reading(monkeypatch, "model.ckpt-20", remove)
    answer = Answer("analyze", tmp_path / "run", "-o", tmp_path / "s.h5", "--learning-rate", "0.01")
    assert answer.code == 0
    assert "model.ckpt-20: is gone" in answer.remarks


def test_values_of_a_file_that_is_written_in_place_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before and after would be of two checkpoints: an error, also without any checksum."""
    (prefix,) = save_series(tmp_path / "run", 1)
    real = execution.Chosen.measure

    def measure(chosen: execution.Chosen, *arguments: object, **options: object) -> object:
        for path in chosen.checkpoint.files:
            content = path.read_bytes()
            time.sleep(0.02)  # the clock of files is coarse
            path.write_bytes(content)
        return real(chosen, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(execution.Chosen, "measure", measure)
    with pytest.raises(ChangedFileError, match="replaced or written to while it was read"):
        analyze(prefix, given=GIVEN)


@pytest.mark.parametrize("look", [describe, lambda path: diff(path, path)])
@pytest.mark.parametrize("kept", [slice(-50), slice(0)])
def test_a_young_truncated_file_may_still_be_being_written(
    tmp_path: Path, look: Callable[[Path], object], kept: slice
) -> None:
    """`show` and `diff` say so, also of one that is still empty."""
    whole = (DIGITS / "epoch-01.keras").read_bytes()
    (tmp_path / "m.keras").write_bytes(whole[kept])
    with pytest.raises(CkptInspectError, match="less than 30 s ago: if it is still being written, try again"):
        look(tmp_path / "m.keras")


def test_a_quiet_show_says_why_values_cannot_be_read(tmp_path: Path) -> None:
    """No exit status of 1 without a sentence."""
    (prefix,) = save_series(tmp_path / "run", 1)
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(bytes(shard.stat().st_size))
    answer = Answer("show", prefix, "-q")
    assert answer.code == 1
    assert str(prefix) in answer.sentence


def test_what_tensorflow_renames_later_is_no_checkpoint(tmp_path: Path) -> None:
    """BundleWriter's own temporary files."""
    (prefix,) = save_series(tmp_path / "run", 1)
    shutil.copyfile(f"{prefix}.index", tmp_path / "run" / "model.ckpt-20.index.tempstate1234")
    shard = f"{prefix}.data-00000-of-00001"
    shutil.copyfile(shard, tmp_path / "run" / "model.ckpt-20.data-00000-of-00001.tempstate1234")
    assert find_checkpoints(tmp_path / "run") == (prefix,)
