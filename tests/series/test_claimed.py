"""The checkpoints in a folder from look to look: what a search of all of it finds, and no more work than is new."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_inspect.formats import Claim
from ckpt_inspect.series import claimed
from ckpt_inspect.series.claimed import ClaimedFolder
from ckpt_inspect.series.search import claims_now
from ckpt_inspect.series.watch import Watch

FORMATS = Path(__file__).parent.parent.parent / "fixtures" / "formats"

KERAS, SAVER = FORMATS / "keras", FORMATS / "saver"

FILES = {
    "ckpt-1.index": KERAS / "ckpt-1.index",
    "ckpt-1.data-00000-of-00001": KERAS / "ckpt-1.data-00000-of-00001",
    "ckpt-12.index": KERAS / "ckpt-1.index",
    "ckpt-12.data-00000-of-00001": KERAS / "ckpt-1.data-00000-of-00001",
    "ckpt-12.meta": SAVER / "v2.ckpt-2.meta",
    "ckpt-12": SAVER / "v1.ckpt-2",
    "ckpt-2.index.tempstate123": KERAS / "ckpt-1.index",
    "model.h5": KERAS / "model.h5",
    "model-1.5.keras": KERAS / "model.keras",
    "model.weights.h5": KERAS / "model.weights.h5",
    "v1-00000-of-00001": SAVER / "v1-sharded.ckpt-2-00000-of-00001",
    "v1.meta": SAVER / "v2.ckpt-2.meta",
    "v1": SAVER / "v1.ckpt-2",
    "checkpoint": KERAS / "ckpt-1.index",
    "notes.txt": KERAS / "ckpt-1.index",
    "saved_model.pb": KERAS / "saved_model" / "saved_model.pb",
    "part-00000-of-00001.index": KERAS / "ckpt-1.index",
    "config.json": KERAS / "ckpt-1.index",
    "metadata.json": KERAS / "ckpt-1.index",
}
"""What may lie in a folder, and whose content it has."""

PLACES = ("", "1", "epoch_2", "epoch_2/inner", "_CHECKPOINT", "state.orbax-checkpoint-tmp-3")

MOVES = st.tuples(
    st.sampled_from(["put", "put", "put", "remove", "garble", "replace", "folder", "remove folder", "rename"]),
    st.sampled_from(PLACES),
    st.sampled_from(sorted(FILES)),
)


def move(top: Path, what: str, place: str, name: str) -> None:
    """Do something to a folder."""
    folder = top / place
    path = folder / name
    if what == "remove folder":
        if place:
            shutil.rmtree(folder, ignore_errors=True)
    elif what == "folder":
        shutil.copytree(KERAS / "saved_model", folder / "5", dirs_exist_ok=True)
    elif what == "rename":
        if folder.exists() and place and not (top / "9").exists():
            folder.rename(top / "9")
    elif what == "remove":
        path.unlink(missing_ok=True)
    elif what == "garble":
        if path.exists():
            path.write_bytes(b"nothing that is known" + path.read_bytes()[:7])
    else:
        folder.mkdir(parents=True, exist_ok=True)
        made = top.parent / "made"
        shutil.copyfile(FILES[name], made)
        made.replace(path)


def found(claims: list[Claim]) -> dict[Path | None, tuple[Path, frozenset[str], str, str]]:
    return {c.path: (c.folder, frozenset(c.names), c.stem, c.suffix) for c in claims}


@settings(max_examples=60)
@given(st.lists(st.lists(MOVES, min_size=1, max_size=4), min_size=1, max_size=12), st.sampled_from([0, 2, 64]))
def test_each_look_sees_what_a_search_of_everything_does(steps: list[list[tuple[str, str, str]]], small: int) -> None:
    """Whatever comes, goes, is replaced or rewritten, in folders of few names and of many."""
    with TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patched:
        patched.setattr(claimed, "_SMALL", small)
        top = Path(scratch) / "run"
        top.mkdir()
        shutil.copyfile(KERAS / "model.h5", top / "always.h5")
        folder = ClaimedFolder(top)
        watch = Watch([top])
        for moves in steps:
            for each in moves:
                move(top, *each)
            changed = watch.look()
            folder.look(list(folder.claims))
            expected = found(claims_now([top]))
            assert found(list(folder.claims.values())) == expected
            assert found([known.claim for known in watch._known.values()]) == expected
            now = Watch([top])
            now.look()
            assert {p: k.signature for p, k in watch._known.items()} == {p: k.signature for p, k in now._known.items()}
            assert not watch.look() or changed


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many names the formats were asked about, each time."""
    counts: list[int] = []
    ask: Callable[..., tuple[list[Claim], list[str]]] = claimed.claims_in

    def claims_in(folder: Path, files: object, folders: object) -> tuple[list[Claim], list[str]]:
        counts.append(len(list(files)) + len(list(folders)))  # type: ignore[call-overload]
        return ask(folder, files, folders)

    monkeypatch.setattr(claimed, "claims_in", claims_in)
    return counts


def test_only_what_has_come_is_asked_about(tmp_path: Path, asked: list[int]) -> None:
    """However many are there."""
    for number in range(100):
        for tail in ("index", "data-00000-of-00001"):
            shutil.copyfile(KERAS / f"ckpt-1.{tail}", tmp_path / f"ckpt-{number}.{tail}")
    folder = ClaimedFolder(tmp_path)
    came, _ = folder.look(())
    assert len(came) == 100
    for tail in ("index", "data-00000-of-00001"):
        shutil.copyfile(KERAS / f"ckpt-1.{tail}", tmp_path / f"ckpt-100.{tail}")
    del asked[:]
    came, gone = folder.look(())
    assert ([claim.stem for claim in came], gone) == (["ckpt-100"], [])
    assert asked == [2]
    (tmp_path / "ckpt-7.index").unlink()
    (tmp_path / "ckpt-7.data-00000-of-00001").unlink()
    assert folder.look(()) == ([], [tmp_path / "ckpt-7"])
    assert asked == [2, 0]


def test_quiet_folders_are_listed_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest, and the one above, at each look."""
    for number in range(20):
        (tmp_path / f"epoch_{number}").mkdir()
        shutil.copyfile(KERAS / "model.h5", tmp_path / f"epoch_{number}" / "model.h5")
    folder = ClaimedFolder(tmp_path)
    for _ in range(claimed.QUIET + 1):
        folder.look(())
    monkeypatch.setattr(claimed, "_TURN", 2)
    listed: list[str] = []
    list_identities = claimed.list_identities
    monkeypatch.setattr(claimed, "list_identities", lambda path: listed.append(path.name) or list_identities(path))
    folder.look(())
    assert len(listed) == 3
    for _ in range(9):
        folder.look(())
    assert len({name for name in listed if name.startswith("epoch_")}) == 20
