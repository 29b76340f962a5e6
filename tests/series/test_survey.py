"""What lies in and below a folder, by names, sizes and times."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.series import survey as survey_module
from ckpt_inspect.series.survey import Files, Survey, survey

OLD = 1_700_000_000_123_456_789
"""Nanoseconds since 1970."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "below").mkdir()
    for name in ("a.index", "a.data", "below/b.index"):
        place = tmp_path / name
        place.write_text(name)
        os.utime(place, ns=(OLD, OLD))
    return tmp_path


def look(folder: Path) -> Survey:
    found = survey(folder, 1)
    assert found is not None
    return found


def stamp(folder: Path, *names: str) -> int:
    return int(look(folder).stamps(["\n".join(f"{folder}/{name}" for name in names)])[0])


def parts(folder: Path, *names: str) -> Files:
    found = look(folder)
    return found.files(found.places([f"{folder}/{name}" for name in names]))


def test_nothing_that_changed_is_the_same(folder: Path) -> None:
    """However often one looks."""
    assert look(folder).digest == look(folder).digest
    assert stamp(folder, "a.index", "a.data") == stamp(folder, "a.index", "a.data") != 0


@pytest.mark.parametrize("name", ["a.data", "below/b.index"])
def test_a_size_that_changed_is_seen(folder: Path, name: str) -> None:
    """In the folder, and below it."""
    before, own = look(folder).digest, stamp(folder, name)
    (folder / name).write_text("longer than before")
    os.utime(folder / name, ns=(OLD, OLD))
    assert look(folder).digest != before
    assert stamp(folder, name) != own


def test_a_time_that_changed_is_seen(folder: Path) -> None:
    """By one nanosecond, where a file system keeps them."""
    before, own = look(folder).digest, stamp(folder, "a.index", "a.data")
    os.utime(folder / "a.index", ns=(OLD - 1, OLD - 1))
    assert look(folder).digest != before
    assert stamp(folder, "a.index", "a.data") != own


@pytest.mark.parametrize("change", ["gone", "new", "renamed", "moved"])
def test_names_that_changed_are_seen(folder: Path, change: str) -> None:
    """Though sizes and times stay."""
    before = look(folder).digest
    if change == "gone":
        (folder / "a.data").unlink()
    elif change == "new":
        (folder / "c").touch()
        os.utime(folder / "c", ns=(OLD, OLD))
    else:
        (folder / "a.data").rename(folder / ("c.data" if change == "renamed" else "below/a.data"))
    assert look(folder).digest != before


def test_two_files_that_swapped_places_are_seen(folder: Path) -> None:
    """Of one checkpoint: the sum of what is known of them stays."""
    before = stamp(folder, "a.index", "a.data")
    assert stamp(folder, "a.data", "a.index") != before


def test_a_store_is_no_part_of_it(folder: Path) -> None:
    """It may lie beside the checkpoints, and changes with every analysis."""
    before = look(folder).digest
    (folder / "run.ckpt-inspect.h5").touch()
    assert look(folder).digest == before


def test_a_missing_file_has_no_stamp(folder: Path) -> None:
    """Nor has a checkpoint that lacks one."""
    assert stamp(folder, "c.data") == stamp(folder, "a.index", "c.data") == stamp(folder, "nowhere/a.index") == 0


def test_files_of_another_size_or_time_than_was_read_have_no_stamp(folder: Path) -> None:
    """They were changed between the look at them and their reading."""
    files = [f"{folder}/a.index\n{folder}/a.data"]
    size, modified = len("a.index") + len("a.data"), OLD // 10**9 + 1e-9 * (OLD % 10**9)
    found = look(folder)
    for sizes, times, is_same in ((size, modified, True), (size + 1, modified, False), (size, modified + 1, False)):
        stamps = found.stamps(files, np.array([sizes]), np.array([times]))
        assert bool(stamps[0]) == is_same


def test_what_was_written_just_now_is_not_settled(folder: Path) -> None:
    """Another writing may have the same time, above all where a file system counts in seconds."""
    assert look(folder).is_settled
    (folder / "a.data").touch()
    assert not look(folder).is_settled


def test_a_link_that_leads_nowhere_is_looked_at(folder: Path) -> None:
    """And one that leads somewhere by then is seen."""
    (folder / "link").symlink_to(folder / "c")
    before = look(folder).digest
    (folder / "c").touch()
    os.utime(folder / "c", ns=(OLD, OLD))
    assert look(folder).digest != before


def test_few_files_are_not_worth_a_survey(folder: Path) -> None:
    """They are found and compared in no time."""
    assert survey(folder, 4) is None
    assert survey(folder / "nowhere", 0) is None


def test_files_are_the_same_when_they_are_read_again(folder: Path) -> None:
    """Names, sizes and times; what isn't ours is nothing."""
    (folder / "\udcff").write_text("not UTF-8")
    before = parts(folder, "a.index")
    after = Files.of_bytes(before.to_bytes())
    assert after is not None
    assert list(after.names) == list(before.names)
    assert after.own() == {"a.index"}
    np.testing.assert_array_equal(after.sizes, before.sizes)
    np.testing.assert_array_equal(after.modified_ns, before.modified_ns)
    assert Files.of_bytes(b"") is Files.of_bytes(before.to_bytes()[:-9]) is Files.of_bytes(b"no such thing") is None
    assert Files.of_bytes(zlib.compress(b"\xff" * 99)) is Files.of_bytes(zlib.compress(bytes(15))) is None


def test_what_was_part_of_a_checkpoint_is_as_it_was(folder: Path) -> None:
    """All else, of then and of now, is told."""
    before = parts(folder, "a.index", "a.data")
    (folder / "new").write_text("new")
    (folder / "below" / "b.index").write_text("changed")
    assert look(folder).files().beside(before) == ["new", "below/b.index"]
    (folder / "a.data").write_text("changed")
    assert look(folder).files().beside(before) is None
    (folder / "a.data").unlink()
    assert look(folder).files().beside(before) is None


@given(st.lists(st.text("ab", max_size=3), unique=True), st.lists(st.text("ab", max_size=3), unique=True))
def test_names_are_found_among_those_before(before: list[str], now: list[str]) -> None:
    """Whatever has come and gone, and wherever."""
    for one, other in ((before, now), (sorted(before), sorted(now)), (now[:3] + before, now[:3] + now[3:])):
        if len(set(one)) == len(one):
            assert survey_module._places_among(one, other).tolist() == [
                one.index(name) if name in one else -1 for name in other
            ]


def test_a_survey_that_is_packed_is_the_same(folder: Path) -> None:
    """It stands for the same files, and for the same parts of checkpoints."""
    (folder / "run.ckpt-inspect.h5").touch()
    found = look(folder)
    packed = found.packed()
    asked = [f"{folder}/a.data\n{folder}/a.index", f"{folder}/below/b.index", f"{folder}/c", f"{folder}/below/a.data"]
    assert packed.places(asked).tolist() == found.places(asked).tolist()
    assert packed.stamps(asked).tolist() == found.stamps(asked).tolist()
    assert packed.files(packed.places(asked)).to_bytes() == found.files(found.places(asked)).to_bytes()
    assert packed.files(packed.places(asked)).own() == {"a.data", "a.index", "below/b.index"}


def test_parts_that_were_known_stay_parts(folder: Path) -> None:
    """Beside those that have come."""
    before = parts(folder, "a.index", "below/b.index")
    (folder / "Z").touch()
    assert parts(folder, "Z").with_own_of(before).own() == {"Z", "a.index", "below/b.index"}


@given(st.sets(st.text("ab", max_size=3)), st.sets(st.text("ab", max_size=3)))
def test_names_are_found_among_names_in_order(names: set[str], wanted: set[str]) -> None:
    """Few and many."""
    expected = {name: 7 + place for place, name in enumerate(sorted(names)) if name in wanted}
    for seeking in (0, 50):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(survey_module, "_SEEKING", seeking)
            assert survey_module._found_among(sorted(names), wanted, 7) == expected
