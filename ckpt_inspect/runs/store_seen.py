"""What a long run's folder held when its store was written, in the store: a run to which nothing has come, or only
newer checkpoints, needs no search."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect._version import __version__
from ckpt_inspect.measurement.columns import Column
from ckpt_inspect.measurement.variables import CHECKPOINT, FILE_STAMPS
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.store_writing import CHUNK_BYTES
from ckpt_inspect.runs.stored import storable, text_attribute

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any


SEEN, _MOST_ATTRIBUTE = "seen", 60_000
"""Root attribute that holds a `Seen`, and the bytes that an attribute may have."""

SEEN_FILES = "seen_files"
"""Variable of the root that holds the files of a survey."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run's files as they were when all of them had been analysed."""

    folder: str
    """That was looked into, from the root."""
    digest: str
    """Of a survey; empty if the run isn't all that can be found there, or not all of it was analysed."""
    run_folder: str
    """Of the checkpoints, from the root."""
    gone: int
    """Checkpoints of the store whose files aren't there any more."""
    is_numbered_on: bool = False
    """Whether all checkpoints lie in `run_folder` itself, and are called by names whose numbers grow."""
    writer: str = __version__
    """Another version may find other runs, and other figures."""


def write_seen(file: h5py.File, seen: Seen | None, stamps: Column | None, files: bytes = b"") -> None:
    """Write what was seen in place of what a store that grows has of it; `stamps`: (C,) of the checkpoints' files;
    `files`: `Files.to_bytes` of all of the survey, if `seen` has its digest."""
    if SEEN in file.attrs:
        del file.attrs[SEEN]
    if SEEN_FILES in file:
        del file[SEEN_FILES]
    if files:
        packed = base64.b64encode(files)
        dataset = file.create_dataset(SEEN_FILES, data=np.array(packed, f"S{len(packed)}"))
        dataset.attrs["long_name"] = "what lay in the folder"
        dataset.attrs["description"] = "Names, sizes and times of all files, packed, for the version that saw them."
    if seen is not None and len(text := json.dumps(asdict(seen))) < _MOST_ATTRIBUTE:
        file.attrs[SEEN] = storable(text)
    if stamps is None:  # nothing is known of the rows by now
        if FILE_STAMPS.name not in file:
            return
        stamps = np.zeros(len(file[CHECKPOINT]), np.int64)
    if FILE_STAMPS.name not in file:
        dataset = file.create_dataset(
            FILE_STAMPS.name, (0,), np.int64, chunks=(CHUNK_BYTES // 64,), maxshape=(None,), fillvalue=0
        )
        dataset.attrs["units"] = FILE_STAMPS.units
        dataset.attrs["long_name"] = FILE_STAMPS.long_name
        dataset.attrs["description"] = FILE_STAMPS.description
        dataset.dims[0].attach_scale(file[CHECKPOINT])
    file[FILE_STAMPS.name].resize(len(stamps), axis=0)
    file[FILE_STAMPS.name][...] = stamps


def seen_before(file: h5py.File) -> tuple[Seen | None, Column, bytes]:
    """Return what `write_seen` wrote into a store of ours that is open; (0,) stamps if there are none."""
    stamps: Column = file[FILE_STAMPS.name][...] if FILE_STAMPS.name in file else np.empty(0, np.int64)
    try:
        files = base64.b64decode(bytes(file[SEEN_FILES][()])) if SEEN_FILES in file else b""
    except (ValueError, TypeError):  # of somebody else's making
        files = b""
    return seen_of(text_attribute(file, SEEN) or ""), stamps, files


def seen_of(text: str) -> Seen | None:
    try:
        known = json.loads(text) if text else {}
        return Seen(**known) if set(known) == {field.name for field in fields(Seen)} else None
    except (ValueError, TypeError, AttributeError):
        return None
