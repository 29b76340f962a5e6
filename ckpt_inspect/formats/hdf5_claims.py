"""Which files are Keras' HDF5 files, and which of a folder's belong to them. What reads them is imported when one is
met: most folders hold none."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats.format import Claim, Format, late
from ckpt_inspect.formats.keras_files import (
    HDF5_SIGNATURE,
    INDEX_SUFFIX,
    MOST_INDEX,
    SHARD_NAME,
    ZIP_SIGNATURE,
    is_named_so,
    split_name,
)
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.storage import Location, read_head


def recognises(location: Location) -> bool:
    """Recognise HDF5's signature; a suffix proves nothing."""
    return location.head.startswith(HDF5_SIGNATURE)


def recognises_shards(location: Location) -> bool:
    """Recognise `NAME.weights.json`."""
    if location.kind != "file" or not location.path.name.endswith(INDEX_SUFFIX):
        return False
    try:
        return b'"weight_map"' in read_head(location.path, MOST_INDEX)
    except CkptInspectError:
        return False


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim Keras' HDF5 files, and damaged files that are named like one: opening them raises the error."""
    for name in listing.unclear():
        location = listing.look(name)
        path = location.path
        if recognises(location):
            from ckpt_inspect.formats.hdf5 import is_keras

            is_one = is_keras(path, if_damaged=is_named_so(name))
        else:
            is_one = is_named_so(name) and not location.head.startswith(ZIP_SIGNATURE)
        if is_one:
            yield Claim(listing.folder, (name,), path, *split_name(name))


def claim_shards(listing: Listing) -> Iterator[Claim]:
    """Claim each `NAME.weights.json` with its shards; if the JSON is no such index, the shards are not checkpoints."""
    shards: dict[str, list[str]] = {
        name.removesuffix(INDEX_SUFFIX): [] for name in listing.files if name.endswith(INDEX_SUFFIX)
    }
    for name in listing.files if shards else ():
        if (shard := SHARD_NAME.fullmatch(name)) and shard["stem"] in shards:
            shards[shard["stem"]].append(name)
    wanted = set(listing.names)
    for stem, found in shards.items():
        names = (f"{stem}{INDEX_SUFFIX}", *found)
        if not wanted.isdisjoint(names):
            path = listing.folder / names[0]
            is_one = recognises_shards(listing.look(names[0]))
            yield Claim(listing.folder, names, path if is_one else None, *split_name(names[0]))


FORMAT = Format(
    ("keras-h5", "keras-weights-h5"),
    "Keras HDF5 (.h5, .weights.h5)",
    recognises,
    late("ckpt_inspect.formats.hdf5", "open_hdf5"),
    claims,
)
SHARDED_FORMAT = Format(
    ("keras-weights-h5",),
    "Keras sharded weights",
    recognises_shards,
    late("ckpt_inspect.formats.hdf5", "open_sharded_weights"),
    claim_shards,
)
