"""The reader of HDF5's structures against HDF5's own library, and what it makes of damage that the library loops on."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, UnsupportedError
from ckpt_inspect.formats import hdf5_chunks, hdf5_values, open_checkpoint
from ckpt_inspect.formats.hdf5_chunks import fletcher32
from ckpt_inspect.formats.hdf5_heaps import lookup3
from ckpt_inspect.formats.hdf5_messages import UnsoundError
from ckpt_inspect.formats.hdf5_objects import Hdf5File, Header
from ckpt_inspect.native import loops

RNG = np.random.default_rng(3)
VERSIONS = ["earliest", "v108", "v110", "latest"]


def objects_of(data: bytes) -> Iterator[tuple[str, Header, Hdf5File]]:
    """Every object of a file with its path, each once."""
    file = Hdf5File(lambda at, size: data[at : at + size], len(data))
    seen, waiting = set(), [("", file.root)]
    while waiting:
        name, header = waiting.pop()
        if header.address in seen:
            continue
        seen.add(header.address)
        yield name, header, file
        if file.is_group(header):
            for link in reversed([*file.links(header).values()]):
                if link.address is not None:
                    path = f"{name}/{link.name.decode()}".removeprefix("/")
                    waiting.append((path, file.header(link.address)))


def write(version: str, fill: Callable[[h5py.File], None], *, track_order: bool = False) -> bytes:
    """The bytes of a file that HDF5's library writes."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver=(version, "latest"), track_order=track_order) as file:
        fill(file)
    return stream.getvalue()


def _many_names(file: h5py.File) -> None:
    for i in range(900):
        file.create_group(f"many/x{i}")
    for i in range(9):
        file[f"few/y{i}"] = np.arange(i + 1, dtype=np.float32)
    file[f"{'a' * 3000}/b"] = 1.0
    file["soft"], file["external"] = h5py.SoftLink("/few"), h5py.ExternalLink("x.h5", "/x")
    file["once/more"] = file["few/y1"]


def _many_attributes(file: h5py.File) -> None:
    for i in range(300):
        file.attrs[f"fixed{i}"] = np.bytes_(b"q" * i)
        file.attrs[f"varying{i}"] = "t" * i
    file.attrs["names"] = [b"abc", b"d"]
    file.attrs.create("texts", ["abc", "dü", ""], dtype=h5py.string_dtype())
    file.attrs["number"], file.attrs["empty"] = 3, h5py.Empty("f4")


def _large_attributes(file: h5py.File) -> None:
    file.create_group("g").attrs["varying"] = "y" * 200_000
    for i in range(20):
        file["g"].attrs[f"large{i}"] = np.bytes_(b"q" * 30_000)
    file["g"].attrs.create("largest", np.bytes_(b"h" * 200_000))


@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fill", [_many_names, _many_attributes, _large_attributes])
def test_names_and_attributes_are_those_of_the_library(
    version: str, fill: Callable[[h5py.File], None], track_order: bool
) -> None:
    """In groups and attributes however many, of old files and new ones."""
    if fill is _large_attributes and version == "earliest":
        pytest.skip("an attribute of the oldest kind has 64 KiB at most")
    data = write(version, fill, track_order=track_order)
    theirs: dict[str, Any] = {}
    with h5py.File(io.BytesIO(data)) as file:
        theirs[""] = file
        file.visititems(lambda name, item: theirs.setdefault(name, item) and None)
        found = {}
        for name, header, ours in objects_of(data):
            found[name] = {key: ours.texts(a) for key, a in ours.attributes(header).items()}
        assert list(found) == list(theirs)
        for name, item in theirs.items():
            assert found[name].keys() == set(item.attrs)
            for key, texts in found[name].items():
                value = item.attrs[key]
                if isinstance(value, str | bytes):
                    assert texts == [value.decode() if isinstance(value, bytes) else value]
                elif isinstance(value, np.ndarray):
                    assert texts == [v.decode() if isinstance(v, bytes) else v for v in value]
                else:
                    assert texts is None


def test_an_attribute_larger_than_all_else(tmp_path: Path) -> None:
    """It is read once, and is no sign that structures lie on each other."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["optimizer/vars/0"] = np.int64(3)
        file.attrs.create("comment", np.bytes_(b"h" * (1 << 25)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("optimizer/vars/0") == 3


STORED: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": (3, 4)},
    "one chunk": {"chunks": (10, 9)},
    "gzip": {"chunks": (3, 4), "compression": "gzip"},
    "one gzip": {"chunks": (10, 9), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "shuffle": {"chunks": (4, 4), "shuffle": True, "compression": "gzip"},
    "fletcher32": {"chunks": (4, 4), "fletcher32": True},
    "lzf": {"chunks": (4, 4), "compression": "lzf"},
    "scaleoffset": {"chunks": (4, 4), "scaleoffset": 0},
    "grows both ways": {"chunks": (3, 4), "maxshape": (None, None)},
    "grows both ways, gzip": {"chunks": (3, 4), "maxshape": (None, None), "compression": "gzip"},
    "may grow to": {"chunks": (3, 4), "maxshape": (10, 9)},
    "may grow further": {"chunks": (3, 4), "maxshape": (20, 30)},
    "may grow further, gzip": {"chunks": (3, 4), "maxshape": (20, 30), "compression": "gzip", "shuffle": True},
    "grows": {"chunks": (3, 4), "maxshape": (None, 9)},
    "grows, gzip": {"chunks": (3, 4), "maxshape": (None, 30), "compression": "gzip", "shuffle": True},
    "grows sideways": {"chunks": (1, 1), "maxshape": (30, None)},
    "grows sideways, fletcher32": {"chunks": (3, 4), "maxshape": (30, None), "fletcher32": True},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("stored", STORED)
def test_values_are_those_of_the_library(tmp_path: Path, version: str, stored: str) -> None:
    """However they are stored, whatever their type, and in whatever ranges they are read."""
    path = tmp_path / "m.weights.h5"
    whole = (np.arange(90) % 13).reshape(10, 9)
    types = ["i4"] if stored == "scaleoffset" else ["f4", ">f8", "i8", "?", "f2", "c8", ">i2"]
    with h5py.File(path, "w", libver=(version, "latest")) as file:
        for i, dtype in enumerate(types):
            file.create_dataset(f"vars/{i}", data=whole.astype(dtype), **STORED[stored])
        if stored != "lzf":
            file.create_dataset("vars/20", (10, 9), "f4", fillvalue=5, **STORED[stored])
            file["vars/20"][2:4] = 3
    with h5py.File(path) as file, open_checkpoint(path) as checkpoint:
        for name in checkpoint.tensors:
            theirs = np.asarray(file[name][()]).reshape(-1)
            for start, stop in ((0, 90), (0, 1), (7, 8), (5, 31), (20, 90)):
                assert np.array_equal(checkpoint.read_range(name, start, stop), theirs[start:stop])


def test_a_long_list_of_chunks(tmp_path: Path) -> None:
    """An index of several levels or pages gives each chunk."""
    for version in ("earliest", "latest"):
        path = tmp_path / f"{version}.weights.h5"
        with h5py.File(path, "w", libver=(version, "latest")) as file:
            file.create_dataset("vars/0", data=np.arange(30_000, dtype=np.int32), chunks=(10,))
            file.create_dataset("vars/1", (30_000,), np.int32, chunks=(10,), fillvalue=7)[500:601] = 1
        with open_checkpoint(path) as checkpoint, h5py.File(path) as file:
            for name in checkpoint.tensors:
                assert np.array_equal(checkpoint.read(name), file[name][()])


def test_a_long_list_of_chunks_that_grows(tmp_path: Path) -> None:
    """An extensible array gives each chunk, from the index itself and from blocks and pages of all levels; pages that
    were never written among them."""
    path = tmp_path / "m.weights.h5"
    length = 160_000
    with h5py.File(path, "w", libver="latest") as file:
        for i, stored in enumerate(({}, {"compression": "gzip"})):
            dataset = file.create_dataset(
                f"vars/{i}", (length,), np.int32, chunks=(1,), maxshape=(None,), fillvalue=7, **stored
            )
            for start in (0, 300, 4096, 131_000, 135_000, length - 9):
                dataset[start : start + 9] = np.arange(9)
    with open_checkpoint(path) as checkpoint, h5py.File(path) as file:
        for name in checkpoint.tensors:
            assert np.array_equal(checkpoint.read(name), file[name][()])


@pytest.mark.parametrize("limits", [(4, 6), (8, 12), (4, 13)])
def test_chunks_that_lie_in_a_row(tmp_path: Path, limits: tuple[int, int]) -> None:
    """Chunks without an index are numbered as far as their dataset may grow."""
    path = tmp_path / "m.weights.h5"
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    with h5py.File(path, "w", libver="latest") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((2, 2))
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        space = h5py.h5s.create_simple(values.shape, limits)
        group = file.create_group("vars")
        h5py.Dataset(h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, plan))[...] = values
    with open_checkpoint(path) as checkpoint:
        assert np.array_equal(checkpoint.read("vars/0"), values)


@pytest.mark.parametrize("limits", [(30, 25), (None, 25), (30, None), (None, None)])
def test_a_dataset_that_was_larger(tmp_path: Path, limits: tuple[int | None, int | None]) -> None:
    """What lay outside of a shape that shrank and grew again is gone."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w", libver="latest") as file:
        dataset = file.create_dataset("vars/0", data=np.ones((30, 20)), maxshape=limits, chunks=(4, 4))
        dataset.resize((9, 20))
        dataset.resize((11, 22))
    with open_checkpoint(path) as checkpoint, h5py.File(path) as file:
        assert np.array_equal(checkpoint.read("vars/0"), file["vars/0"][()])


def test_an_array_of_chunks_that_names_a_block_twice(tmp_path: Path) -> None:
    """It is called damaged, whatever its checksums say."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("vars/0", data=np.arange(60), chunks=(1,), maxshape=(None,))
    data = bytearray(path.read_bytes())
    at = data.index(b"EAIB")
    blocks = at + 14 + 4 * 8  # behind what it holds itself: six blocks, then the 25 that name more
    end = blocks + (6 + 25) * 8
    assert lookup3(bytes(data[at:end])) == int.from_bytes(data[end : end + 4], "little")
    data[blocks + 24 : blocks + 32] = data[blocks + 16 : blocks + 24]
    _set(data, end, lookup3(bytes(data[at:end])), 4)
    path.write_bytes(data)
    with (
        open_checkpoint(path) as checkpoint,
        pytest.raises(DamagedFileError, match="names a block twice") as caught,
    ):
        checkpoint.read("vars/0")
    assert str(path) in str(caught.value)


def test_strings_and_types_that_are_no_numbers(tmp_path: Path) -> None:
    """Texts are read as bytes; what has no counterpart in numpy is listed, and not read."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file["vars/0"] = ["x", "yyyy", ""]
        file["vars/1"] = np.array([b"x", b"yy"])
        file["vars/2"] = np.zeros(3, [("a", "f4"), ("b", "i8")])
        file["vars/3"] = file["vars"].ref
        file.create_dataset("vars/4", data=h5py.Empty("f4"))
        file["type"] = np.dtype("f4")
        file.create_dataset("vars/5", data=np.ones(3, "f4"), dtype=file["type"])
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("vars/0").tolist() == [b"x", b"yyyy", b""]
        assert checkpoint.read("vars/1").tolist() == [b"x", b"yy"]
        assert checkpoint.tensors["vars/4"].shape == (0,)
        assert checkpoint.read("vars/5").tolist() == [1, 1, 1]
        for name in ("vars/2", "vars/3"):
            with pytest.raises(UnsupportedError, match="holds no numbers that can be read"):
                checkpoint.read(name)


def test_bfloat16_as_a_number(tmp_path: Path) -> None:
    """A float of 16 bits with the exponent of a float32 is bfloat16, also without an attribute that says so."""
    path, values = tmp_path / "m.weights.h5", np.arange(5).astype(ml_dtypes.bfloat16)
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    with h5py.File(path, "w") as file:
        group = file.create_group("vars")
        made = h5py.h5d.create(group.id, b"0", kind, h5py.h5s.create_simple((5,)))
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values.view("V2"), kind)
    with open_checkpoint(path) as checkpoint:
        assert np.array_equal(checkpoint.read("vars/0"), values)


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip", "shuffle": True, "fletcher32": True}])
@pytest.mark.parametrize(
    "shape, chunks",
    [
        ((50,), (7,)),
        ((12, 8), (4, 4)),
        ((13, 10), (4, 4)),
        ((6, 4, 6), (2, 2, 3)),
        ((7, 5, 7), (3, 2, 3)),
        ((9, 1), (2, 1)),
    ],
)
def test_rows_are_put_together_from_chunks_in_any_order(
    tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], filters: dict[str, Any]
) -> None:
    """Chunks lie in the order in which they were written, and those that were not written hold the fill value."""
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        for i, written in enumerate((values.size, values.size // 2)):
            dataset = file.create_dataset(f"vars/{i}", shape, "f4", chunks=chunks, fillvalue=-1, **filters)
            rows = -(-written // math.prod(shape[1:]))
            for start in reversed(range(0, rows, chunks[0])):
                dataset[start : start + chunks[0]] = values[start : start + chunks[0]]
                file.flush()
    with h5py.File(path) as file, open_checkpoint(path) as checkpoint:
        for name in ("vars/0", "vars/1"):
            expected = file[name][()].ravel()
            for piece in (values.size, 5):
                assert np.array_equal(np.concatenate([p.copy() for p in checkpoint.stream(name, piece)]), expected)


def test_a_chunk_that_went_through_no_filter_stands_beside_others(tmp_path: Path) -> None:
    """Each chunk says which of the dataset's filters were left out."""
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("vars/0", data=values, chunks=(4, 4), compression="gzip")
        dataset.id.write_direct_chunk((0, 4), np.ascontiguousarray(values[:4, 4:]).tobytes(), filter_mask=1)
    with open_checkpoint(path) as checkpoint:
        assert np.array_equal(checkpoint.read("vars/0"), values)


def test_two_threads_unpack_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None waits for what the other unpacks, unless it is the same."""
    path = tmp_path / "m.weights.h5"
    values = np.arange(2 * 64, dtype=np.float32).reshape(16, 8)
    with h5py.File(path, "w") as file:
        file.create_dataset("vars/0", data=values, chunks=(8, 4), compression="gzip")
    both = Barrier(2, timeout=30)
    together = hdf5_values.unpack_together

    def meeting(*arguments: Any) -> Any:
        both.wait()
        return together(*arguments)

    monkeypatch.setattr(hdf5_values, "unpack_together", meeting)
    with open_checkpoint(path) as checkpoint, ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda start: checkpoint.read_range("vars/0", start, start + 60), (0, 66))
        assert [part.tolist() for part in parts] == [list(range(60)), list(range(66, 126))]


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize("chunks", [(8, 6), (4, 6), (5, 4), (8, 1)])
@pytest.mark.parametrize("dtype", ["f4", ">f8"])
def test_large_chunks_are_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: dict[str, Any], chunks: tuple[int, ...], dtype: str
) -> None:
    """Out of the file, or unpacked into another one that goes when it was read; in any pieces, and a second time."""
    monkeypatch.setattr(hdf5_values, "_HELD_BYTES", 16)
    values = np.arange(48, dtype=dtype).reshape(8, 6)
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("vars/0", data=values, chunks=chunks, **filters)
    with open_checkpoint(path) as checkpoint:
        for piece in (48, 5, 12):
            assert np.array_equal(
                np.concatenate([p.copy() for p in checkpoint.stream("vars/0", piece)]), values.ravel()
            )
        assert not checkpoint._values["vars/0"]._large  # type: ignore[attr-defined]  # nothing takes room on the disk


@pytest.fixture(params=["numpy", *(loops.INSTRUCTIONS if loops is not None else ())])
def loops_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """By numpy, and by the loops in C for each width of registers."""
    if request.param == "numpy":
        monkeypatch.setattr(hdf5_chunks, "loops", None)
        yield
        return
    assert loops is not None
    loops.use_instructions(request.param)
    yield
    loops.use_instructions(loops.INSTRUCTIONS[-1])


@pytest.mark.usefixtures("loops_way")
@pytest.mark.parametrize("size", [0, 1, 2, 7, 15, 16, 17, 4096, 4098, 16384, 16386, 65536, 65537, 200_001])
def test_fletchers_sums_are_those_of_the_definition(size: int) -> None:
    """Whatever the length: an odd one counts as if a zero followed. The largest words overflow nothing."""
    for data in (np.random.default_rng(size).integers(0, 256, size, np.uint8), np.full(size, 255, np.uint8)):
        low = high = 0
        for word in np.frombuffer(data.tobytes() + b"\0" * (size % 2), ">u2").tolist():
            low = (low + word) % 65535
            high = (high + low) % 65535
        assert fletcher32(data[None]).tolist() == [[low, high]]


@pytest.mark.usefixtures("loops_way")
@given(data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fletchers_sums_are_those_of_the_library(data: st.DataObject) -> None:
    """What HDF5's library stores behind each chunk, of rows with their tails, at any address."""
    length, count = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 3))
    plain = np.frombuffer(data.draw(st.binary(min_size=count * length, max_size=count * length)), np.uint8)
    with h5py.File(io.BytesIO(), "w") as file:
        stored = file.create_dataset("x", data=plain.reshape(count, length), chunks=(1, length), fletcher32=True)
        chunks = b"".join(stored.id.read_direct_chunk((i, 0))[1] for i in range(count))
    room = np.empty(len(chunks) + 1, np.uint8)
    rows = room[1:].reshape(count, length + 4)
    rows[:] = np.frombuffer(chunks, np.uint8).reshape(rows.shape)
    expected = np.ascontiguousarray(rows[:, length:]).view("<u2") % 65535
    assert np.array_equal(fletcher32(rows, 4), expected)
    hdf5_chunks._check_checksums(rows)
    rows[-1, data.draw(st.integers(0, length - 1))] ^= 1 + data.draw(st.integers(0, 253))
    with pytest.raises(UnsoundError, match="the checksum of a chunk is wrong"):
        hdf5_chunks._check_checksums(rows)


@pytest.mark.usefixtures("loops_way")
def test_checksums_of_old_files_have_their_bytes_swapped() -> None:
    """As HDF5 before 1.6.3 stored them on little-endian machines."""
    chunk = np.arange(100, dtype=np.uint8)
    sums = fletcher32(chunk[None])
    for stored in (sums, sums.byteswap()):
        hdf5_chunks._check_checksums(np.concatenate([chunk, stored.view(np.uint8)[0]])[None])


@pytest.mark.usefixtures("loops_way")
@given(st.integers(1, 20), st.integers(0, 300), st.integers(0, 19), st.integers(0, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shuffled_bytes_are_put_back(width: int, count: int, rest: int, offset: int) -> None:
    """For elements of any size, however many, at any address, and with what is left over at the end."""
    plain = np.random.default_rng(count).integers(0, 256, width * count + rest % width, np.uint8)
    stored = [plain[i * width + byte] for byte in range(width) for i in range(count)]
    room = np.empty(offset + len(plain), np.uint8)
    room[offset:] = np.concatenate([np.array(stored, np.uint8), plain[width * count :]])
    assert np.array_equal(hdf5_chunks._unshuffled(room[offset:], width), plain)


@pytest.mark.usefixtures("loops_way")
def test_many_shuffled_bytes_are_put_back() -> None:
    """More than are taken at a time."""
    for width in (2, 3, 4, 5, 8):
        plain = np.random.default_rng(width).integers(0, 256, (9001, width), np.uint8)
        assert np.array_equal(hdf5_chunks._unshuffled(plain.T.ravel(), width), plain.ravel())


def test_shuffled_bytes_are_the_librarys(tmp_path: Path) -> None:
    """What HDF5's own filter makes of elements of each size, there and back."""
    for width in (1, 2, 3, 4, 5, 8, 16):
        plain = np.random.default_rng(width).integers(0, 256, 1000 * width, np.uint8)
        with h5py.File(tmp_path / "file.h5", "w") as file:
            stored = file.create_dataset("x", data=plain.view(f"V{width}"), chunks=(1000,), shuffle=True)
            _, shuffled = stored.id.read_direct_chunk((0,))
        assert np.array_equal(hdf5_chunks._unshuffled(np.frombuffer(shuffled, np.uint8), width), plain)


def test_checksums_are_the_published_ones() -> None:
    """Bob Jenkins' and Fletcher's own examples."""
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    ((low, high),) = fletcher32(np.frombuffer(b"badcfe", np.uint8)[None])  # of "abcdef", low byte first there
    assert (int(high) << 16 | int(low)) == 0x56502D2A


# --- damage


def _layers(file: h5py.File) -> None:
    file.attrs["model_config"] = "{}" + " " * 3000
    for i in range(20):
        file[f"layers/dense_{i}/vars/0"] = np.full(7, i, np.float32)
        file[f"layers/dense_{i}/vars"].attrs["name"] = f"dense_{i}"
    file["layers/text/vars/0"] = ["a", "b"]
    chunked = file.create_dataset("layers/wide/vars/0", data=np.arange(60).reshape(12, 5), chunks=(2, 2))
    chunked.attrs["kind"] = "chunked"
    file.create_dataset("layers/grown/vars/0", data=np.arange(80), chunks=(2,), maxshape=(None,))


def _set(data: bytearray, at: int, value: int, width: int = 8) -> None:
    data[at : at + width] = value.to_bytes(width, "little")


def _heap_object(data: bytearray) -> str:
    _set(data, data.index(b"GCOL") + 24, 1 << 40)
    return "claims 1099511627776 bytes"


def _tree_in_a_circle(data: bytearray) -> str:
    at = data.index(b"TREE\x00")
    data[at + 5] = 1
    _set(data, at + 32, at)
    return "no node|is of level"


def _chunks_in_a_circle(data: bytearray) -> str:
    at = data.index(b"TREE\x01\x00")
    data[at + 5] = 1
    for i in range(8):
        _set(data, at + 24 + 8 + 24 + i * 40, at)
    return "no node of a B-tree of chunks|is of level"


def _chunks_on_each_other(data: bytearray) -> str:
    at = data.index(b"TREE\x01\x00") + 24 + 32
    _set(data, at + 40, int.from_bytes(data[at : at + 8], "little"))
    return "chunks overlap each other"


def _header_in_a_circle(data: bytearray) -> str:
    whole = bytes(data)
    for _, header, _ in objects_of(whole):
        start = header.address + 16
        if whole[start : start + 2] != b"\x10\x00":
            struct.pack_into("<HH4xQQ", data, start, 0x10, 16, header.address + 16, 24)
    return "goes on in a circle"


def _names_out_of_order(data: bytearray) -> str:
    data[:] = data.replace(b"dense_1\0", b"zense_1\0")
    return "aren't in order"


def _two_at_one_place(data: bytearray) -> str:
    places = [
        (header, file.dataset(header).layout.address)
        for name, header, file in objects_of(bytes(data))
        if name.startswith("layers/dense_") and file.is_dataset(header)
    ]
    (_, here), (other, there) = places[:2]
    assert here is not None and there is not None
    at = bytes(data).index(there.to_bytes(8, "little"), other.address)
    _set(data, at, here)
    return "claim the same bytes"


@pytest.mark.parametrize(
    "damage",
    [
        _heap_object, _tree_in_a_circle, _chunks_in_a_circle, _chunks_on_each_other, _header_in_a_circle,
        _names_out_of_order, _two_at_one_place,
    ],
)  # fmt: skip
def test_what_the_library_loops_on_is_called_damaged(tmp_path: Path, damage: Callable[[bytearray], str]) -> None:
    """At once, in one sentence with the path."""
    data = bytearray(write("earliest", _layers))
    reason = damage(data)
    path = tmp_path / "m.weights.h5"
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=reason) as caught, open_checkpoint(path) as checkpoint:
        for name in checkpoint.tensors:
            checkpoint.read(name)
        raise AssertionError("was read")
    assert str(caught.value).startswith(f"{path}: HDF5 can't read it (")


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_any_flipped_bit_ends_soon(tmp_path: Path, version: str) -> None:
    """Damage anywhere, heaps included, gives our errors or arrays of the shapes listed."""
    sound = write(version, _layers)
    path = tmp_path / "m.weights.h5"
    for at in RNG.integers(0, 8 * len(sound), 400).tolist():
        data = bytearray(sound)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        try:
            with open_checkpoint(path) as checkpoint:
                for name, spec in checkpoint.tensors.items():
                    if spec.nbytes < 1 << 20:
                        assert checkpoint.read(name).shape == spec.shape
        except CkptInspectError as error:
            assert str(path) in str(error)


def test_a_flipped_bit_in_a_newer_header_is_noticed(tmp_path: Path) -> None:
    """Structures of HDF5 1.8 and later have checksums, which are compared."""
    sound = write("latest", _layers)
    for signature in (b"OHDR", b"BTHD", b"FRHP"):
        if signature in sound:
            data = bytearray(sound)
            data[data.index(signature) + 9] ^= 1
            with pytest.raises(UnsoundError, match=r"checksum|structure|claims|refers|bytes"):
                list(objects_of(bytes(data)))


def test_a_million_chunks_that_were_never_written(tmp_path: Path) -> None:
    """Twenty dimensions of two, each element a chunk of its own: HDF5's library took gigabytes."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("vars/0", (2,) * 20, np.float32, chunks=(1,) * 20, fillvalue=4)
    with open_checkpoint(path) as checkpoint:
        assert all((piece == 4).all() for piece in checkpoint.stream("vars/0", 100_000))


@pytest.mark.parametrize("chunk", [1 << 20, 1 << 25])
def test_zeros_that_compress_to_nothing_are_read(tmp_path: Path, chunk: int) -> None:
    """An array that never changed is large, honest and small on disk, also in chunks too large for memory."""
    path = tmp_path / "m.weights.h5"
    size = 1 << 27
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("vars/0", (size,), np.float32, chunks=(chunk,), compression="gzip")
        dataset[:10] = 1
        packed = None
        for start in range(chunk, size, chunk):
            if packed is None:
                dataset[start : start + chunk] = 0
                packed = dataset.id.read_direct_chunk((start,))[1]
            else:
                dataset.id.write_direct_chunk((start,), packed)
    with open_checkpoint(path) as checkpoint:
        assert sum(int(np.count_nonzero(piece)) for piece in checkpoint.stream("vars/0", 1 << 22)) == 10


def test_so_much_of_so_little_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a small file may unpack to is bounded; the sentence has both numbers."""
    path = tmp_path / "m.weights.h5"
    size = 1 << 27
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("vars/0", (size,), np.float32, chunks=(1 << 24,), compression="gzip")
        dataset[: 1 << 24] = 0
        packed = dataset.id.read_direct_chunk((0,))[1]
        for start in range(1 << 24, size, 1 << 24):
            dataset.id.write_direct_chunk((start,), packed)
    monkeypatch.setattr(hdf5_values, "EXPANSION_LIMIT", 1 << 20)
    with (
        open_checkpoint(path) as checkpoint,
        pytest.raises(UnsupportedError, match=rf"unpacks from \d+ bytes to {4 * size}"),
    ):
        checkpoint.read_range("vars/0", 0, 1)


def _groups_between_arrays(file: h5py.File) -> None:
    for i in range(30):
        layer = file.create_group(f"layers/layer_{i}/vars")
        layer.attrs["names"] = [f"a long name of a variable {i}".encode()] * 20
        layer["0"], layer["1"] = np.zeros(1 << 14, np.float32), np.zeros(4, np.float32)


def test_what_groups_are_made_of_is_asked_for_together() -> None:
    """A level of groups at a time: a walk then waits for nothing that was not announced before."""
    data = write("earliest", _groups_between_arrays)
    announced: set[int] = set()
    rounds: list[int] = []

    def look_ahead(places: Iterable[int]) -> None:
        new = {place >> 15 for place in places} - announced
        announced.update(near for place in new for near in (place - 1, place, place + 1))
        if new:
            rounds.append(len(new))

    def read(at: int, size: int) -> bytes:
        unannounced.update({at >> 15} - announced)
        return data[at : at + size]

    unannounced: set[int] = set()
    file = Hdf5File(read, len(data), look_ahead)
    file.survey()
    unannounced.clear()
    for name in ("layers", *(f"layers/layer_{i}/vars" for i in range(30))):
        header = file.root
        for part in name.split("/"):
            link = file.links(header)[part.encode()]
            assert link.address is not None
            header = file.header(link.address)
        assert all(file.header(link.address) for link in file.links(header).values() if link.address is not None)
    assert not unannounced
    assert len(rounds) < 20 < sum(rounds)


def test_a_survey_ends_at_what_is_unsound() -> None:
    """Without an error, which a walk raises, and without end in a circle."""
    data = bytearray(write("earliest", _groups_between_arrays))
    file = Hdf5File(lambda at, size: bytes(data[at : at + size]), len(data))
    layers = file.links(file.root)[b"layers"].address
    assert layers is not None
    data[layers : layers + 16] = bytes(16)
    file = Hdf5File(lambda at, size: bytes(data[at : at + size]), len(data))
    file.survey()
    with pytest.raises(UnsoundError):
        file.header(layers)
