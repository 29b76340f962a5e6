"""Which files are TF1's V1 files, and which of a folder's belong to them. What reads them is imported when one is met:
most folders hold none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.foreign import is_placeholder
from ckpt_inspect.formats.format import Claim, Format, late
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.formats.sstable import MAGIC
from ckpt_inspect.storage import Location
from ckpt_inspect.wire import decode_varint

SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<shard>\d{5}|\?{5})-of-(?P<count>\d{5})$")
"""A shard's name, or the pattern of all, which is what TF1's `checkpoint` file names."""


_FIRST_ENTRY = b"\0\0"
"""Lengths of the table's first key, shared and own: what describes the tensors has the empty key."""
_NESTED = b"\n"
"""The tag of field 1, nested: SavedTensorSlices.meta, SavedTensorSliceMeta.tensor, SavedSliceMeta.name."""


def recognises(location: Location) -> bool:
    """Recognise a table that is not the index of a bundle, also one whose end is missing, and a pattern of shards."""
    if location.kind == "file":
        is_table = location.tail == MAGIC or begins_so(location.head)
        return is_table and location.path.suffix != ".index" and not is_placeholder(location)
    return (
        location.kind == "absent" and "?" in location.path.name and SHARD_NAME.fullmatch(location.path.name) is not None
    )


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim each file that is a table, and each pattern of shards if one of them is, or was meant to be, a table."""
    shards: dict[tuple[str, str], list[str]] = {}
    for name in listing.files:
        if shard := SHARD_NAME.fullmatch(name):
            shards.setdefault((shard["stem"], shard["count"]), []).append(name)
    wanted = set(listing.names)
    for (stem, count), files in shards.items():
        names = (*files, *_graph_beside(stem, listing))
        if not wanted.isdisjoint(names) and any(_is_table(listing.look(name)) for name in files):
            yield Claim(listing.folder, names, listing.folder / f"{stem}-?????-of-{count}", stem)
    for name in listing.unclear():
        if SHARD_NAME.fullmatch(name):
            continue
        location, graph = listing.look(name), _graph_beside(name, listing)
        if recognises(location) or (graph and is_placeholder(location)):
            yield Claim(listing.folder, (name, *graph), location.path, name)


def begins_so(head: bytes) -> bool:
    """Return whether a file's first bytes are those of a V1 file: a table whose first value lists tensors by name."""
    if not head.startswith(_FIRST_ENTRY):
        return False
    try:
        length, at = decode_varint(head, len(_FIRST_ENTRY))
        for _ in range(3):
            if head[at : at + 1] != _NESTED:
                return False
            inner, at = decode_varint(head, at + 1)
            if inner >= length:
                return False
            length = inner
    except DamagedFileError:
        return False
    return True


def _is_table(location: Location) -> bool:
    return location.tail == MAGIC or is_placeholder(location) or begins_so(location.head)


def _graph_beside(stem: str, listing: Listing) -> tuple[str, ...]:
    name = f"{stem}.meta"
    return (name,) if name in listing.files else ()


FORMAT = Format(
    ("tf1-v1",), "TF1 V1 file or shards", recognises, late("ckpt_inspect.formats.tf1_v1", "open_v1"), claims
)
