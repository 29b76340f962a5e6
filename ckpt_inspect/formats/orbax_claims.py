"""Which folders and files are Orbax' or flax'. What reads them is imported when one is met: most folders hold none."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from ckpt_inspect.errors import CkptInspectError, DamagedFileError
from ckpt_inspect.formats.format import Claim, Format, late
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.storage import Location, list_folder, read_head

TREE_FILE, MSGPACK_FILE = "_METADATA", "checkpoint"
STEP_FILE, STORE_FILE = "_CHECKPOINT_METADATA", "manifest.ocdbt"
UNFINISHED = ".orbax-checkpoint-tmp"
"""In the name of a folder that is being written; it loses that part when it is complete."""
_STEP = re.compile(r"(?:.*_)?[0-9]+")
"""Name of a manager's step: `12`, `00000012`, `step_12`."""
_FLAX_FILE = re.compile(r".*\.msgpack|(?:.*_)?checkpoint_[0-9]+(?:\.[0-9]+)?")
"""Names of flax' own files: what programs call them, and what flax.training.checkpoints does."""
_KEY_BYTES = 64
"""Of a file's head, to see whether a map with a first key begins it."""
_EMPTY_MAP = b"\x80"
_MOST_BYTES = 1 << 20
"""Of a step's own file that are read."""


class Item(NamedTuple):
    """A folder with a tree."""

    name: str
    """Empty for a checkpoint that is the tree's folder itself."""
    folder: Path


def recognises(location: Location) -> bool:
    """Recognise a tree's folder, a step's, or one of their metadata files; and a folder that is still being written."""
    if location.kind == "file":
        if _is_flax(location):
            return True
        return location.path.name in (TREE_FILE, STEP_FILE, STORE_FILE) and bool(find_items(location.path.parent))
    if location.kind != "folder":
        return False
    return UNFINISHED in location.path.name or bool(find_items(location.path))


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim the whole folder of a checkpoint; of one that is still being written, so that no other format does."""
    folder = listing.folder
    if UNFINISHED in folder.name:
        yield Claim(folder, (*listing.files, *listing.folders), None)
        return
    if _items_among(folder, listing.files, listing.folders):
        yield Claim(folder, (*listing.files, *listing.folders), folder, folder.name)
        return
    if STEP_FILE in listing.files and missing_items(folder):
        yield Claim(folder, (*listing.files, *listing.folders), None)
        return
    for name in listing.folders:
        if UNFINISHED in name:
            yield Claim(folder, (name,), None)
    for name in listing.names:
        if _FLAX_FILE.fullmatch(name) and _is_flax(listing.look(name)):
            yield Claim(folder, (name,), folder / name, name.removesuffix(".msgpack"))


def unfinished(folder: Path) -> DamagedFileError:
    """Return the error for a folder of that name."""
    final = folder.name.partition(UNFINISHED)[0]
    return DamagedFileError(
        f"{folder}: is still being written by Orbax, or its writing was broken off: it is renamed to {final} when it "
        "is complete; wait for that, or take another checkpoint"
    )


def explain_nothing(folder: Path) -> CkptInspectError | None:
    """Return the error for a folder that holds nothing but what is still being written; None for any other."""
    try:
        names = [entry.name for entry in list_folder(folder) if entry.is_folder and UNFINISHED in entry.name]
    except CkptInspectError:
        return None
    if UNFINISHED in folder.name:
        return unfinished(folder)
    return unfinished(folder / sorted(names)[-1]) if names else None


def find_items(folder: Path) -> list[Item]:
    """Return the trees of the checkpoint that a folder is; none if it is not a checkpoint."""
    listing = _list(folder)
    return [] if listing is None else _items_among(folder, listing.files, listing.folders)


def _is_flax(location: Location) -> bool:
    """Return whether a file is named and begins as flax' are."""
    return _is_keyed_map(location.head) and bool(_FLAX_FILE.fullmatch(location.path.name))


def _is_keyed_map(head: bytes) -> bool:
    """Return whether a file begins as a map of msgpack whose first key is a short text: other binary files seldom do,
    HDF5's among them."""
    is_map = len(head) > 1 and (0x81 <= head[0] <= 0x8F or head[0] == 0xDE)
    first = head[1 if is_map and head[0] < 0x90 else 3 :]
    return is_map and bool(first) and 0xA1 <= first[0] <= 0xBF and first[1 : first[0] - 0xA0 + 1].isascii()


def _items_among(folder: Path, files: Collection[str], folders: Collection[str]) -> list[Item]:
    """Return the trees of the checkpoint that a folder with these names is; none if it is not a checkpoint."""
    if _is_tree(folder, files):
        return [Item("", folder)]
    # Before there was a file for it, only its name tells a step with its items from a folder of checkpoints
    if STEP_FILE not in files and (not _STEP.fullmatch(folder.name) or any(map(_STEP.fullmatch, folders))):
        return []
    listings = [(name, _list(folder / name)) for name in folders if UNFINISHED not in name]
    return [
        Item(name, folder / name)
        for name, inner in listings
        if inner is not None and _is_tree(folder / name, inner.files)
    ]


def missing_items(folder: Path) -> list[str]:
    """Return the items that a step's own file names and that aren't in its folder; a step may hold none but JSON."""
    try:
        handlers = json.loads(read_head(folder / STEP_FILE, _MOST_BYTES)).get("item_handlers")
        there = {entry.name for entry in list_folder(folder)}
    except (CkptInspectError, ValueError, AttributeError, RecursionError):
        return []
    return sorted(handlers.keys() - there) if isinstance(handlers, dict) else []


def _list(folder: Path) -> Listing | None:
    try:
        return Listing.of(folder)
    except CkptInspectError:
        return None


def _is_tree(folder: Path, files: Collection[str]) -> bool:
    """Return whether a folder with these files holds a tree; TensorFlow's file `checkpoint` is a text, and Keras' of
    that name another format."""
    if TREE_FILE in files or STORE_FILE in files:
        return True
    if MSGPACK_FILE not in files:
        return False
    try:
        head = read_head(folder / MSGPACK_FILE, _KEY_BYTES)
    except CkptInspectError:
        return False
    is_list = len(head) > 1 and 0x90 <= head[0] <= 0x9F and head[1] >= 0x80
    return head == _EMPTY_MAP or _is_keyed_map(head) or is_list


FORMAT = Format(
    ("orbax",),
    "Orbax folder",
    recognises,
    late("ckpt_inspect.formats.orbax", "open_orbax"),
    claims,
    explain_nothing=explain_nothing,
)
