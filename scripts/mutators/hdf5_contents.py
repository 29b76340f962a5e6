"""HDF5 files: mutations that HDF5's own library makes, so that the file is sound and its contents are not."""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np

from mutators.hdf5_structures import without_times
from mutators.json_documents import mutate_json
from mutators.mutation import Checksum, Mutator, NothingToMutateError, of_bytes

Edit = Callable[[h5py.File, Random], str]

_ODD_NUMBERS = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e38, 1e-44, 3.5)
_ODD_NAMES = (b"", b"\x1b[31mEVIL", b"a" * 60_000, b"../x", b"vars", b"\xff\xfe", b"layers\\dense", b"0" * 5000)


def edited(data: bytes, rng: Random, edit: Edit) -> tuple[bytes, str]:
    """Return the file's bytes as they are after `edit`."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        note = edit(file, rng)
    return without_times(stream.getvalue()), note


def datasets(file: h5py.File) -> list[str]:
    """Return the names of a file's datasets."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def _groups(file: h5py.File) -> list[str]:
    found = ["/"]
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Group) else None)
    return found


def _choose(items: list[str], rng: Random) -> str:
    if not items:
        raise NothingToMutateError("nothing of that kind")
    return rng.choice(items)


def set_numbers(file: h5py.File, rng: Random) -> str:
    """Put numbers that can't be into a dataset."""
    numeric = [n for n in datasets(file) if file[n].size and file[n].dtype.kind in "fiu"]
    name = _choose(numeric, rng)
    number = rng.choice(_ODD_NUMBERS)
    values = file[name][...]
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            number = values.dtype.type(number)
    else:
        number = rng.choice((-1, 0, 1, 2**31 - 1, int(np.iinfo(values.dtype).max), int(np.iinfo(values.dtype).min)))
    at = rng.randrange(values.size)
    if rng.random() < 0.5:
        values.reshape(-1)[at] = number
    else:
        values = np.full_like(values, number)
    file[name][...] = values
    return f"{name}: numbers become {number}"


def retype(file: h5py.File, rng: Random) -> str:
    """Have a dataset be of another element type."""
    name = _choose(datasets(file), rng)
    shape = file[name].shape
    kind = rng.choice(
        (
            "i1", "u1", "i8", "u8", "f2", "f8", ">f4", ">i8", "c8", "?", "S5", "V4", "U", "enum", "compound", "array",
            "reference", "vlen", "region", "null", "f4 odd",
        )
    )  # fmt: skip
    options: dict[str, Any] = {"shape": shape}
    if kind == "null":
        options = {"data": h5py.Empty("f4")}
    elif kind == "U":
        options["dtype"] = h5py.string_dtype()
    elif kind == "enum":
        options["dtype"] = h5py.enum_dtype({"A": 0, "B": 1}, basetype="i4")
    elif kind == "compound":
        options["dtype"] = np.dtype([("a", "f4"), ("b", "i8")])
    elif kind == "array":
        options["dtype"] = np.dtype(("f4", (3, 2)))
    elif kind == "reference":
        options["dtype"] = h5py.ref_dtype
    elif kind == "region":
        options["dtype"] = h5py.regionref_dtype
    elif kind == "vlen":
        options["dtype"] = h5py.vlen_dtype("f4")
    elif kind != "f4 odd":
        options["dtype"] = kind
    attributes = dict(file[name].attrs) if not _is_scale(file[name]) else {}
    del file[name]
    if kind == "f4 odd":
        made = h5py.h5t.IEEE_F32LE.copy()
        made.set_fields(30, 20, 10, 0, 20)
        made.set_ebias(511)
        space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
        group = file.require_group(name.rpartition("/")[0] or "/")
        h5py.h5d.create(group.id, name.rpartition("/")[2].encode(), made, space)
    else:
        file.create_dataset(name, **options)
    for key, value in attributes.items():
        file[name].attrs[key] = value
    return f"{name}: of type {kind}"


def _is_scale(dataset: h5py.Dataset) -> bool:
    return "REFERENCE_LIST" in dataset.attrs or "DIMENSION_LIST" in dataset.attrs


_SHAPES: tuple[tuple[int, ...], ...] = (
    (), (0,), (1,), (7,), (3, 3), (1 << 20,), (1 << 40,), (1 << 31, 1 << 20), (1,) * 32, (0, 5), (2,) * 20,
)  # fmt: skip


def reshape(file: h5py.File, rng: Random) -> str:
    """Have a dataset be of another shape; what is claimed needn't be stored."""
    name = _choose(datasets(file), rng)
    shape = rng.choice(_SHAPES)
    dtype = file[name].dtype
    if dtype.kind == "O":
        dtype = h5py.string_dtype()
    options: dict[str, Any] = {}
    if shape and 0 not in shape and rng.random() < 0.5:
        options["chunks"] = tuple(min(length, 1000) if len(shape) < 4 else 1 for length in shape)
    del file[name]
    file.create_dataset(name, shape, dtype, **options)
    return f"{name}: of shape {shape}, {options or 'contiguous'}"


def relay(file: h5py.File, rng: Random) -> str:
    """Store the same values by another layout or filter, or nearly the same."""
    numeric = [n for n in datasets(file) if file[n].size and file[n].dtype.kind in "fiu"]
    name = _choose(numeric, rng)
    values = file[name][...]
    how = rng.choice(("gzip", "lzf", "shuffle", "fletcher32", "scaleoffset", "chunks", "compact", "padded", "bomb"))
    del file[name]
    if how == "compact":
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(values.shape) if values.shape else h5py.h5s.create(h5py.h5s.SCALAR)
        group = file.require_group(name.rpartition("/")[0] or "/")
        kind = h5py.h5t.py_create(values.dtype)
        h5py.h5d.create(group.id, name.rpartition("/")[2].encode(), kind, space, plan)
        if values.nbytes < 60_000:
            file[name][...] = values
        return f"{name}: compact"
    if not values.ndim:
        values = values.reshape(1)
    small = tuple(max(1, length // 2) for length in values.shape)
    padded = tuple(length + 3 for length in small)
    plans: dict[str, dict[str, Any]] = {
        "gzip": {"chunks": small, "compression": "gzip"},
        "lzf": {"chunks": small, "compression": "lzf"},
        "shuffle": {"chunks": small, "shuffle": True, "compression": "gzip"},
        "fletcher32": {"chunks": small, "fletcher32": True},
        "scaleoffset": {"chunks": small, "scaleoffset": 2 if values.dtype.kind == "f" else 0},
        "chunks": {"chunks": (1,) * values.ndim},
        "padded": {"chunks": padded, "maxshape": (None,) * values.ndim},
    }
    if how == "bomb":
        side = rng.choice((1 << 10, 1 << 12, 1 << 13))
        dataset = file.create_dataset(name, (4 * side, side), "f4", chunks=(side, side), compression="gzip")
        for row in range(0, 4 * side, side):
            dataset.id.write_direct_chunk((row, 0), _zeros(4 * side * side))
        return f"{name}: {side * side >> 16} MiB that compress to nothing"
    file.create_dataset(name, data=values, **plans[how])
    return f"{name}: {how}"


@functools.lru_cache
def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 1)


def leads_out(file: h5py.File, rng: Random) -> str:
    """Have a name lead out of the file, to itself, or nowhere."""
    name = _choose(datasets(file) + _groups(file)[1:], rng)
    how = rng.choice(("external", "soft", "loop", "dangling", "storage", "virtual", "hard loop", "alias"))
    if how == "hard loop":
        file[f"{name.partition('/')[0]}_up"] = file["/"]
        return "a group that holds the root"
    other = _choose(datasets(file), rng)
    if how == "alias":
        file[f"{name.partition('/')[0]}_alias"] = file[other]
        return f"a second name of {other}"
    shape = file[other].shape or (1,)
    del file[name]
    if how == "external":
        file[name] = h5py.ExternalLink(rng.choice(("/etc/passwd", "other.h5", "/dev/zero", ".")), "/x")
    elif how == "storage":
        size = int(np.prod(shape)) * 4
        file.create_dataset(name, shape, "f4", external=[(rng.choice(("/etc/passwd", "/dev/zero", "x.bin")), 0, size)])
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource(rng.choice((".", "/etc/passwd", "other.h5")), "x", shape)
        file.create_virtual_dataset(name, layout)
    else:
        target = {"soft": f"/{other}", "loop": f"/{name}", "dangling": "/absent/nowhere"}[how]
        file[name] = h5py.SoftLink(target)
    return f"{name}: a link, {how}"


def nest(file: h5py.File, rng: Random) -> str:
    """Put groups into groups, or very many beside each other."""
    name = _choose(_groups(file), rng)
    group = file[name]
    if rng.random() < 0.5:
        depth = rng.choice((50, 400, 1500))
        for i in range(depth):
            group = group.create_group(rng.choice(("vars", "g")) if i == depth - 1 else "g", track_order=False)
        group.create_dataset("0", data=np.float32(1))
        return f"{name}: groups {depth} deep"
    count = rng.choice((100, 3000))
    for i in range(count):
        group.create_group(f"more_{i}")
    return f"{name}: {count} groups more"


def rename(file: h5py.File, rng: Random) -> str:
    """Rename, move or remove a dataset or a group."""
    name = _choose(datasets(file) + _groups(file)[1:], rng)
    how = rng.choice(("removed", "renamed", "renamed", "exchanged"))
    if how == "removed":
        del file[name]
        return f"{name}: removed"
    if how == "exchanged":
        other = _choose([n for n in datasets(file) if n != name], rng)
        if other.startswith(f"{name}/") or name.startswith(f"{other}/"):
            raise NothingToMutateError("one is in the other")
        kept = file[other]
        file.move(name, "exchanged_for_now")
        file.move(other, name)
        file.move("exchanged_for_now", other)
        return f"{name} and {kept.name}: exchanged"
    new = rng.choice(_ODD_NAMES) or b"x"
    parent = name.rpartition("/")[0]
    try:
        root = file["/"].id
        root.links.move(name.encode(), root, f"{parent}/".encode() + new if parent else new)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise NothingToMutateError(str(error)) from error
    return f"{name}: renamed {new[:30]!r}"


def change_attribute(file: h5py.File, rng: Random) -> str:
    """Have an attribute be of another value, type or shape, or not be there."""
    places = [
        (name, key)
        for name in (*_groups(file), *datasets(file))
        for key in file[name].attrs
        if key not in ("REFERENCE_LIST", "DIMENSION_LIST")
    ]
    if not places:
        raise NothingToMutateError("no attributes")
    # those of the root, and lists of names, matter most
    telling = [p for p in places if p[0] == "/" or p[1].endswith("_names")]
    name, key = rng.choice(telling if telling and rng.random() < 0.7 else places)
    attributes = file[name].attrs
    value = attributes[key]
    if rng.random() < 0.15:
        del attributes[key]
        return f"{name}@{key}: removed"
    if isinstance(value, np.ndarray) and value.size and rng.random() < 0.6:
        names = list(value)
        change = rng.choice(("shuffled", "shortened", "repeated", "odd", "lengthened"))
        if change == "shuffled":
            rng.shuffle(names)
        elif change == "shortened":
            del names[rng.randrange(len(names))]
        elif change == "repeated":
            names[rng.randrange(len(names))] = rng.choice(names)
        elif change == "odd":
            names = [x.encode() if isinstance(x, str) else x for x in names]
            names[rng.randrange(len(names))] = rng.choice((b"", b"/", b"..", b"\xff", b"nul\0x", b"a" * 3000))
        else:
            names = names * 3
        del attributes[key]
        try:
            attributes[key] = names
        except (ValueError, RuntimeError, OSError, TypeError) as error:
            raise NothingToMutateError(str(error)) from error
        return f"{name}@{key}: {change}"
    new = rng.choice(
        (
            0, -1, 2**62, float("nan"), b"bytes", "text", "a" * 60_000, np.zeros(3), np.zeros((2, 2)), h5py.Empty("f4"),
            np.array([b"x", b"y"]), np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), file["/"].ref, np.bool_(1),
        )
    )  # fmt: skip
    del attributes[key]
    attributes[key] = new
    return f"{name}@{key}: becomes {str(new)[:30]!r}"


def change_json(file: h5py.File, rng: Random) -> str:
    """Change the JSON in an attribute."""
    places = [
        (name, key)
        for name in _groups(file)
        for key, value in file[name].attrs.items()
        if isinstance(value, (str, bytes)) and value[:1] in ("{", b"{")
    ]
    telling = [place for place in places if place[1] == "training_config"]
    if not places:
        raise NothingToMutateError("no JSON")
    name, key = rng.choice(telling if telling and rng.random() < 0.7 else places)
    value = file[name].attrs[key]
    changed, note = mutate_json(value.encode() if isinstance(value, str) else value, rng)
    if len(changed) > 60_000:
        raise NothingToMutateError("longer than an attribute")
    file[name].attrs[key] = np.bytes_(changed) if changed else h5py.Empty("S1")
    return f"{name}@{key}: {note}"


EDITS: tuple[tuple[str, Edit, float], ...] = (
    ("numbers", set_numbers, 1.5),
    ("element type", retype, 2.0),
    ("shape", reshape, 2.0),
    ("layout and filters", relay, 1.5),
    ("links", leads_out, 1.5),
    ("nesting", nest, 0.4),
    ("names", rename, 1.0),
    ("attributes", change_attribute, 2.0),
    ("JSON", change_json, 3.0),
)


def content_changes(*, has_json: bool) -> tuple[tuple[str, Callable[[bytes, Random], tuple[bytes, str]], float], ...]:
    """Return every edit as a change of bytes, with its name and weight; those of JSON if the files have any."""

    def as_change(edit: Edit) -> Callable[[bytes, Random], tuple[bytes, str]]:
        return lambda data, rng: edited(data, rng, edit)

    return tuple(
        (f"contents: {name}", as_change(edit), weight)
        for name, edit, weight in EDITS
        if has_json or edit is not change_json
    )


def content_mutators(is_meant: Callable[[str], bool], *, has_json: bool) -> tuple[Mutator, ...]:
    """Return all of these for the files that are meant."""
    return tuple(
        of_bytes(name, change, is_meant, Checksum.NONE, weight)
        for name, change, weight in content_changes(has_json=has_json)
    )
