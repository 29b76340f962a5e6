"""`.keras` archives: mutations of the zip's structures, of its entries, and of the JSON and HDF5 inside.

APPNOTE.TXT of the ZIP file format, 4.3.7 local file header, 4.3.12 central directory, 4.3.16 its end. Each entry has a
CRC-32 of what it holds, which the central directory repeats.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

from mutators.byte_spans import CHANGES, byte_mutators
from mutators.companions import folder_mutators
from mutators.hdf5_contents import content_changes
from mutators.hdf5_fields import OLD_KINDS, change_field
from mutators.json_documents import mutate_json
from mutators.keras_h5 import file_original
from mutators.mutation import Checksum, Mutator, NothingToMutateError, Original, of_bytes, whole_numbers

Change = Callable[[bytes, Random], tuple[bytes, str]]
Entries = dict[str, bytes]

_LOCAL, _CENTRAL, _END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
_LOCAL_FIELDS = (
    ("version", 4, 2), ("flags", 6, 2), ("method", 8, 2), ("time", 10, 4), ("crc", 14, 4), ("compressed size", 18, 4),
    ("size", 22, 4), ("name length", 26, 2), ("extra length", 28, 2), ("name", 30, 4),
)  # fmt: skip
_CENTRAL_FIELDS = (
    ("version", 6, 2), ("flags", 8, 2), ("method", 10, 2), ("crc", 16, 4), ("compressed size", 20, 4), ("size", 24, 4),
    ("name length", 28, 2), ("extra length", 30, 2), ("comment length", 32, 2), ("disk", 34, 2), ("attributes", 38, 4),
    ("offset", 42, 4), ("name", 46, 4),
)  # fmt: skip
_END_FIELDS = (
    ("disk", 4, 2), ("directory's disk", 6, 2), ("entries here", 8, 2), ("entries", 10, 2), ("directory size", 12, 4),
    ("directory offset", 16, 4), ("comment length", 20, 2),
)  # fmt: skip
_VARIABLES = "model.weights.h5"
_MOMENT = (2020, 1, 1, 0, 0, 0)


def _is_archive(name: str) -> bool:
    return name.endswith(".keras")


def _change_field(signature: bytes, fields: tuple[tuple[str, int, int], ...]) -> Change:
    def change(data: bytes, rng: Random) -> tuple[bytes, str]:
        directory = _directory_offset(data)
        places = {
            _LOCAL: [info.header_offset for info in _infos(data)],
            _CENTRAL: _central_places(data, directory),
            _END: [data.rindex(_END)],
        }[signature]
        at = rng.choice(places)
        name, offset, width = rng.choice(fields)
        before = int.from_bytes(data[at + offset : at + offset + width], "little")
        value = whole_numbers(rng, width, before)
        changed = data[: at + offset] + value.to_bytes(width, "little") + data[at + offset + width :]
        return changed, f"{name} at {at:#x}: {before} becomes {value}"

    return change


def _infos(data: bytes) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.infolist()


def _directory_offset(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, data.rindex(_END) + 16)[0])


def _central_places(data: bytes, at: int) -> list[int]:
    places = []
    while data[at : at + 4] == _CENTRAL:
        places.append(at)
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))
    return places


def _entries(data: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _archive(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """A sound archive; names may repeat."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.comment = comment
        for name, content in entries:
            info = zipfile.ZipInfo(name, _MOMENT)
            info.compress_type = compression
            archive.writestr(info, content)
    return stream.getvalue()


def _inside(entry: Callable[[str], bool], change: Change) -> Change:
    """What changes an entry's contents, and writes the archive anew, so that its CRC-32 is right."""

    def apply(data: bytes, rng: Random) -> tuple[bytes, str]:
        entries = _entries(data)
        name = rng.choice([name for name in entries if entry(name)] or [""])
        if not name:
            raise NothingToMutateError("no such entry")
        entries[name], note = change(entries[name], rng)
        compression = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        return _archive(list(entries.items()), compression), f"{name}: {note}"

    return apply


def _damage_entry(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Change bytes of an entry where they lie; its CRC-32 stays."""
    info = rng.choice([info for info in _infos(data) if info.compress_size])
    start = info.header_offset + 30 + sum(struct.unpack_from("<2H", data, info.header_offset + 26))
    content = data[start : start + info.compress_size]
    _, change = rng.choice(
        [c for c in CHANGES if c[0] in ("bits flipped", "span zeroed", "span filled", "span copied")]
    )
    changed, note = change(content, rng)
    return data[:start] + changed + data[start + len(content) :], f"{info.filename}: {note}"


def _change_crc(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Change the CRC-32 of an entry in both places; the bytes are sound."""
    info = rng.choice(_infos(data))
    changed = bytearray(data)
    for at in (info.header_offset + 14, *(p + 16 for p in _central_places(data, _directory_offset(data)))):
        if struct.unpack_from("<I", data, at)[0] == info.CRC:
            struct.pack_into("<I", changed, at, info.CRC ^ (1 << rng.randrange(32)))
    return bytes(changed), f"{info.filename}: another CRC-32"


def _change_entries(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Leave out, repeat, rename or add entries, or write them otherwise."""
    entries = list(_entries(data).items())
    at = rng.randrange(len(entries))
    name, content = entries[at]
    change = rng.choice(
        (
            "left out",
            "repeated",
            "renamed",
            "emptied",
            "deflated",
            "bzip2",
            "lzma",
            "many",
            "before",
            "behind",
            "comment",
        )
    )
    if change == "left out":
        del entries[at]
    elif change == "repeated":
        entries.append((name, rng.choice((content, content[: len(content) // 2], b""))))
    elif change == "renamed":
        entries[at] = (
            rng.choice(("../" + name, "/" + name, name.upper(), "a" * 60_000, "\x1b[31m", "x\\" + name)),
            content,
        )
    elif change == "emptied":
        entries[at] = name, b""
    elif change == "many":
        entries += [(f"assets/{i}", b"") for i in range(rng.choice((1000, 20_000)))]
    methods = {"deflated": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    made = _archive(entries, methods.get(change, zipfile.ZIP_STORED), b"c" * 60_000 if change == "comment" else b"")
    if change == "before":
        made = rng.randbytes(rng.choice((1, 512))) + made
    elif change == "behind":
        made += rng.choice((bytes(100), b"PK\5\6", made))
    return made, f"{name}: {change}"


def _bomb(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Have an entry expand to far more than it takes up."""
    entries = _entries(data)
    name = rng.choice(sorted(entries))
    mebibytes = rng.choice((64, 512, 2048))
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros, start = bytes(1 << 20), entries[name]
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    # behind a full flush every block of zeros is packed alike
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = head + block * mebibytes + packer.flush()
    crc = zlib.crc32(start)
    for _ in range(mebibytes):
        crc = zlib.crc32(zeros, crc)
    size = len(start) + (mebibytes << 20)
    claimed = min(size, (1 << 32) - 1) if rng.random() < 0.5 else len(start)
    others = [(n, c) for n, c in entries.items() if n != name]
    placed = _archive([*others, (name, packed)])
    directory = _directory_offset(placed)
    changed = bytearray(placed)
    info = _infos(placed)[-1]
    for at, is_central in ((info.header_offset, False), (_central_places(placed, directory)[-1], True)):
        shift = 2 if is_central else 0
        struct.pack_into("<H", changed, at + 8 + shift, zipfile.ZIP_DEFLATED)
        struct.pack_into("<III", changed, at + 14 + shift, crc, len(packed), claimed)
    return bytes(changed), f"{name}: {mebibytes} MiB that compress to {len(packed)} bytes, {claimed} claimed"


def _overlap(data: bytes, rng: Random) -> tuple[bytes, str]:
    """Have very many entries of the directory share the same bytes."""
    directory = _directory_offset(data)
    place = rng.choice(_central_places(data, directory))
    size = 46 + sum(struct.unpack_from("<3H", data, place + 28))
    count = rng.choice((3, 1000, 65_534))
    central = data[place : place + size] * count
    original = data[directory : data.rindex(_END)]
    end = bytearray(data[data.rindex(_END) :])
    total = min(len(_central_places(data, directory)) + count, 0xFFFF)
    struct.pack_into("<HHI", end, 8, total, total, len(original) + len(central))
    return data[:directory] + original + central + bytes(end), f"{count} entries on the same bytes"


def _is_variables(name: str) -> bool:
    return name == _VARIABLES


def _is_json(name: str) -> bool:
    return name.endswith(".json")


_again = Checksum.RECOMPUTED
MUTATORS: tuple[Mutator, ...] = (
    of_bytes("zip: local header", _change_field(_LOCAL, _LOCAL_FIELDS), _is_archive, Checksum.KEPT, 2.0),
    of_bytes("zip: central directory", _change_field(_CENTRAL, _CENTRAL_FIELDS), _is_archive, Checksum.KEPT, 2.0),
    of_bytes("zip: end of directory", _change_field(_END, _END_FIELDS), _is_archive, Checksum.KEPT, 1.0),
    of_bytes("zip: entry's bytes", _damage_entry, _is_archive, Checksum.KEPT, 3.0),
    of_bytes("zip: CRC-32", _change_crc, _is_archive, Checksum.KEPT, 0.5),
    of_bytes("zip: entries", _change_entries, _is_archive, _again, 1.5),
    of_bytes("zip: bomb", _bomb, _is_archive, _again, 0.1),
    of_bytes("zip: overlapping entries", _overlap, _is_archive, _again, 0.3),
    of_bytes("JSON", _inside(_is_json, mutate_json), _is_archive, _again, 4.0),
    *(
        of_bytes(f"HDF5 {name}", _inside(_is_variables, change), _is_archive, _again, 0.4 * weight)
        for name, change, weight in (
            *((f"field: {kind}", change_field(kind, Checksum.NONE), 1.0) for kind in OLD_KINDS),
            *content_changes(has_json=False),
        )
    ),
    *byte_mutators("file", _is_archive, Checksum.KEPT, 0.5),
    *folder_mutators(Checksum.KEPT, 0.1, is_one_file=True),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return archives of Keras 2.13, 3.0, 3.3, 3.11 and of today's."""
    names = (
        "formats/keras/model.keras",
        "recorded/tf213_new_fit_keras/model_6.keras",
        "recorded/k305_tf216_fit_keras_lso/model_3.keras",
        "recorded/k333_tf216_fit_keras_frozen/model_3.keras",
        "recorded/k311_jax_fit_keras_gradaccum/model_4.keras",
    )
    return tuple(file_original(fixtures, name) for name in names)
