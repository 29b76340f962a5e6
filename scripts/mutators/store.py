"""Stores that `analyze` writes: mutations of structures and bytes, of shapes, types, sizes, links and attributes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import h5py

from mutators.byte_spans import byte_mutators
from mutators.companions import folder_mutators
from mutators.hdf5_contents import content_mutators, datasets, edited
from mutators.hdf5_fields import SEALED_KINDS, STORE_KINDS, field_mutators, sealed_field_mutators
from mutators.hdf5_structures import without_times
from mutators.json_documents import mutate_json
from mutators.keras_h5 import is_hdf5
from mutators.mutation import Checksum, Mutator, NothingToMutateError, Original, of_bytes

_TEXTS = (
    b"", b"\x1b[31mEVIL", b"=1+1", b"12,3,x", b"-1", b"99999999999,9", b"\xff\xfe", b"a" * 20_000, b"nan", b"a\nb",
)  # fmt: skip


def _resize(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Have one variable be longer or shorter than those beside it."""

    def edit(file: h5py.File, rng: Random) -> str:
        growing = [name for name in datasets(file) if file[name].maxshape and file[name].maxshape[0] is None]
        if not growing:
            raise NothingToMutateError("nothing grows")
        name = rng.choice(growing)
        length = rng.choice((0, 1, 7, 1000, 1 << 31, 1 << 45))
        file[name].resize(length, axis=0)
        return f"{name}: {length} long"

    return edited(data, rng, edit)


def _rephrase(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Put other text into a variable of texts: names, sources, JSON of findings."""

    def edit(file: h5py.File, rng: Random) -> str:
        texts = [name for name in datasets(file) if file[name].size and h5py.check_string_dtype(file[name].dtype)]
        if not texts:
            raise NothingToMutateError("no texts")
        name = rng.choice(texts)
        column = file[name]
        at = tuple(rng.randrange(length) for length in column.shape)
        before = column[at]
        if before[:1] in (b"{", b"[") and rng.random() < 0.7:
            text, note = mutate_json(before, rng)
        else:
            text = rng.choice(_TEXTS)
            note = f"becomes {text[:20]!r}"
        column[at] = text.replace(b"\0", b"\1")  # h5py takes no NUL
        return f"{name}{list(at)}: {note}"

    return edited(data, rng, edit)


def _change_settings(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Change the JSON of options and thresholds, and what schema it says it is."""

    def edit(file: h5py.File, rng: Random) -> str:
        places = [("/", "options"), ("findings", "thresholds"), ("/", "Conventions"), ("/", "ckpt_inspect_version")]
        name, key = rng.choice([(n, k) for n, k in places if n in file and k in file[n].attrs] or [("", "")])
        if not name:
            raise NothingToMutateError("no settings")
        if key in ("Conventions", "ckpt_inspect_version"):
            file[name].attrs[key] = rng.choice(("ckpt-inspect-2", "ckpt-inspect-", "", "0.0.1", "99.0"))
            return f"{key} changed"
        text = file[name].attrs[key]
        changed, note = mutate_json(text.encode() if text[:1] == "{" else json.dumps(text).encode(), rng)
        if len(changed) > 60_000:
            raise NothingToMutateError("longer than an attribute")
        file[name].attrs[key] = changed.decode("utf-8", "replace").replace("\0", "")
        return f"{name}@{key}: {note}"

    return edited(data, rng, edit)


MUTATORS: tuple[Mutator, ...] = (
    *field_mutators(is_hdf5, STORE_KINDS),
    *sealed_field_mutators(is_hdf5, SEALED_KINDS),
    *content_mutators(is_hdf5, has_json=True),
    of_bytes("store: lengths", _resize, is_hdf5, Checksum.NONE, 2.0),
    of_bytes("store: texts", _rephrase, is_hdf5, Checksum.NONE, 2.0),
    of_bytes("store: settings", _change_settings, is_hdf5, Checksum.NONE, 2.0),
    *byte_mutators("file", is_hdf5, Checksum.NONE, 0.5),
    *folder_mutators(Checksum.NONE, 0.1, is_one_file=True),
)


def originals(stores: Path) -> tuple[Original, ...]:
    """Return the stores that lie in a folder."""
    return tuple(
        Original(path.name, path.name, {path.name: without_times(path.read_bytes())})
        for path in sorted(stores.glob("*.h5"))
    )
