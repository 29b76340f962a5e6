"""How folders are searched: each format is asked which names are its own, and what it leaves the next is asked of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.bundle_writer import table, write_bundle

from ckpt_inspect.errors import NotFoundError
from ckpt_inspect.formats import FORMATS, Claim, Format, Listing, find_claims, grouping, opening
from ckpt_inspect.formats.state_file import StateFile, decode_state
from ckpt_inspect.storage import Location, local

X = {"x": np.zeros(2, np.float32)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each form with its companions, beside what is none."""
    write_bundle(tmp_path / "ckpt-1", X)
    write_bundle(tmp_path / "model", X)
    for name in ("ckpt-1.meta", "notes.txt", "checkpoint.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "model").write_bytes(table([(b"", b"")]))  # a V1 file beside the V2 one of its name
    for name in ("lost.data-00000-of-00001", "odd.index"):
        (tmp_path / name).write_bytes(b"what is left of a bundle")
    for shard in range(2):
        (tmp_path / f"old-{shard:05d}-of-00002").write_bytes(table([(b"", b"")]))
    (tmp_path / "old.meta").write_bytes(b"")
    for name in ("m_1.h5", "s_00000.weights.h5", "s_00001.weights.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["vars/0"] = np.zeros(2)
    (tmp_path / "s.weights.json").write_text('{"weight_map": {"/vars": ["s_00000.weights.h5", "s_00001.weights.h5"]}}')
    write_bundle_below(tmp_path / "saved")
    return tmp_path


def write_bundle_below(folder: Path) -> None:
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    write_bundle(folder / "variables" / "variables", X)
    (folder / "saved_model.pb").write_bytes(b"")


def claims(*paths: Path) -> dict[str, Claim]:
    """What the paths stand for, by the checkpoint's name."""
    return {c.path.name: c for found in find_claims(paths) for c in found if c.path is not None}


def test_what_belongs_to_a_checkpoint(folder: Path) -> None:
    """A claim names every file of its checkpoint, the one that tells its time first; a folder stands for itself."""
    found = claims(folder)
    names = {name: [part.name for part in claim.parts] for name, claim in found.items()}
    assert names == {
        "ckpt-1": ["ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-1.meta"],
        "model": ["model.index", "model.data-00000-of-00001", "model"],
        "old-?????-of-00002": ["old-00000-of-00002", "old-00001-of-00002", "old.meta"],
        "m_1.h5": ["m_1.h5"],
        "s.weights.json": ["s.weights.json", "s_00000.weights.h5", "s_00001.weights.h5"],
        "saved": ["saved"],
    }
    assert {name: (claim.stem, claim.suffix) for name, claim in found.items()} == {
        "ckpt-1": ("ckpt-1", ""),
        "model": ("model", ""),
        "old-?????-of-00002": ("old", ""),
        "m_1.h5": ("m_1", ".h5"),
        "s.weights.json": ("s", ".weights.json"),
        "saved": ("saved", ""),
    }


def test_no_name_is_claimed_twice(folder: Path) -> None:
    """Formats are asked in their order, and each name is one format's at most."""
    listing = Listing.of(folder)
    names = Counter(name for claim in grouping._claims(listing) for name in claim.names)
    assert max(names.values()) == 1
    assert set(names) == set(listing.files) - {"notes.txt", "checkpoint.tmp"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("ckpt-1", "ckpt-1"),
        ("ckpt-1.data-00000-of-00001", "ckpt-1"),
        ("ckpt-1.meta", "ckpt-1"),
        ("model", "model"),
        ("old-00001-of-00002", "old-?????-of-00002"),
        ("old-?????-of-00002", "old-?????-of-00002"),
        ("s.weights.json", "s.weights.json"),
        ("s_00001.weights.h5", "s.weights.json"),
        ("saved/saved_model.pb", "saved"),
        ("notes.txt", "notes.txt"),  # named by the caller: opening it says what it is
        ("lost.data-00000-of-00001", "lost.data-00000-of-00001"),
        ("saved/*", "saved"),
        ("s_*", "s.weights.json"),
        ("*.meta", "ckpt-1 old-?????-of-00002"),
        ("notes*", ""),
    ],
)
def test_any_file_of_a_checkpoint_stands_for_it(folder: Path, given: str, found: str) -> None:
    """Whatever a path or pattern names of a checkpoint, the checkpoint is found, once."""
    assert sorted(claims(folder / given)) == found.split()


def test_claims_of_part_of_a_folder_are_those_of_all(folder: Path) -> None:
    """What a name belongs to does not depend on which others were asked for."""
    whole = {name: claim for claim in claims(folder).values() for name in claim.names}
    for name in Listing.of(folder).files & whole.keys():
        ((claim,),) = find_claims([folder / name])
        assert claim == whole[name]


def test_each_folder_is_listed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand paths into one folder cost one listing of it, and names that speak for themselves are not opened."""
    listed: list[Path] = []
    opened: list[str] = []
    list_folder, open_file = local.LocalStorage.list_folder, local.LocalStorage.open_file

    def count_listing(self: Any, path: Path) -> Any:
        listed.append(path)
        return list_folder(self, path)

    def count_opening(self: Any, path: Path, pinned: Any = None) -> Any:
        opened.append(path.name)
        return open_file(self, path, pinned)

    monkeypatch.setattr(local.LocalStorage, "list_folder", count_listing)
    monkeypatch.setattr(local.LocalStorage, "open_file", count_opening)
    find_claims([folder])
    assert max(Counter(listed).values()) == 1
    shards = ["old-00000-of-00002", "old-00001-of-00002"]
    assert sorted(opened) == ["m_1.h5", "odd.index", *shards, "s.weights.json", "s.weights.json"]
    listed.clear()
    find_claims([folder / "ckpt-1.index", folder / "m_1.h5", folder / "old-00001-of-00002"])
    assert listed == [folder]


def test_a_new_format_is_one_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanner and the opener know a format by what it says of itself and nothing else."""
    (folder / "run.toy").write_bytes(b"TOY")
    (folder / "run.toy-part").write_bytes(b"")

    def recognises(location: Location) -> bool:
        return location.head == b"TOY"

    def toy_claims(listing: Listing) -> Iterator[Claim]:
        for name in listing.unclear():
            if recognises(listing.look(name)):
                yield Claim(
                    listing.folder, (name, f"{name}-part"), listing.folder / name, name.removesuffix(".toy"), ".toy"
                )

    def open_toy(path: Path) -> Any:
        return f"opened {path.name}"

    toy = Format(("toy",), "Toys", recognises, open_toy, toy_claims)
    for module in (grouping, opening):
        monkeypatch.setattr(module, "FORMATS", (*FORMATS, toy))
    assert "run.toy" in claims(folder)
    assert opening.open_checkpoint(folder / "run.toy") == "opened run.toy"


def test_an_index_of_someone_else(tmp_path: Path) -> None:
    """A file beside one that is named like a bundle's index, and isn't one, is still a checkpoint of its own."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["vars/0"] = np.zeros(2)
    (tmp_path / "m.h5.index").write_bytes(b"an index of something else")
    assert list(claims(tmp_path)) == ["m.h5"]


def test_deep_folders(tmp_path: Path) -> None:
    """Folders are searched at any depth, without recursion."""
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    write_bundle(deep / "ckpt-1", X)
    assert list(claims(tmp_path)) == ["ckpt-1"]


def test_folders_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder below that can't be listed hides what it holds, and its neighbours are found; one that was asked for
    says so."""
    write_bundle(tmp_path / "ckpt-1", X)
    (tmp_path / "closed").mkdir()
    write_bundle(tmp_path / "closed" / "ckpt-2", X)
    list_folder = local.LocalStorage.list_folder

    def refuse(self: Any, folder: Path) -> Any:
        if folder.name == "closed":
            raise NotFoundError(f"{folder}: can't be read (Permission denied)")
        return list_folder(self, folder)

    monkeypatch.setattr(local.LocalStorage, "list_folder", refuse)
    assert list(claims(tmp_path)) == ["ckpt-1"]
    with pytest.raises(NotFoundError, match="Permission denied"):
        claims(tmp_path / "closed")
    assert list(claims(tmp_path / "closed" / "ckpt-2.index")) == ["ckpt-2.index"]


def test_a_branch_of_folders_is_listed_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although a pattern of two stars matches each of its folders, and each stands for all below it."""
    deep = tmp_path.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    (deep / "m.h5").write_bytes(b"no HDF5")
    listed: list[Path] = []
    list_folder = local.LocalStorage.list_folder

    def count(self: Any, path: Path) -> Any:
        listed.append(path)
        return list_folder(self, path)

    monkeypatch.setattr(local.LocalStorage, "list_folder", count)
    ((claim,),) = find_claims([tmp_path / "**"])
    assert claim.path == deep / "m.h5"
    assert len(listed) < 50


@pytest.mark.parametrize(
    "contents", [b"\xff\xfe\x00binary", "model_checkpoint_path".encode("utf-16"), b"\x93NUMPY", b"\x89PNG\r\n\x1a\n"]
)
def test_a_damaged_state_file_is_no_tree_of_orbax(tmp_path: Path, contents: bytes) -> None:
    """What lies beside it is found all the same."""
    write_bundle(tmp_path / "ckpt-1", {"x": np.zeros(3, np.float32)})
    (tmp_path / "checkpoint").write_bytes(contents)
    assert list(claims(tmp_path)) == ["ckpt-1"]


def test_a_keras_file_may_be_called_checkpoint(tmp_path: Path) -> None:
    """HDF5's first byte is that of a map of msgpack's, too."""
    for name in ("checkpoint", "epoch-2.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["layers/dense/vars/0"] = np.zeros(3)
    assert "epoch-2.h5" in claims(tmp_path)
    assert opening.open_checkpoint(tmp_path / "checkpoint").format == "keras-weights-h5"


def test_a_name_longer_than_a_path_is_none() -> None:
    """A state file that was damaged names no megabytes in a message."""
    text = f'model_checkpoint_path: "{"a" * 100_000}"\nall_model_checkpoint_paths: "ckpt-1"\n'
    assert decode_state(text) == StateFile(None, ("ckpt-1",))
