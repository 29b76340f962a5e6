"""Tensor bundles against TensorFlow's own reader and writer, by pieces, and damaged."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bundle_writer import entry, field, header, masked, table, varint, write, write_bundle

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, RequestError, UnsupportedError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.formats.bundle import BundleCheckpoint, Prefix
from ckpt_inspect.formats.bundle_index import Extent, encode_slice_key

RNG = np.random.default_rng(0)
PLAIN = {
    "dense/kernel": RNG.normal(size=(12, 3)).astype(np.float32),
    "dense/bias": RNG.normal(size=3).astype(np.float32),
    "global_step": np.array(7, np.int64),
    "half": RNG.normal(size=(4, 5)).astype(np.float16),
    "brain": RNG.normal(size=(3, 7)).astype(ml_dtypes.bfloat16),
    "double": RNG.normal(size=(2, 2, 2)),
    "phase": (RNG.normal(size=5) + 1j * RNG.normal(size=5)).astype(np.complex64),
    "flags": np.array([True, False, True]),
    "none": np.empty((0, 3), np.float32),
    "bytes": np.arange(256, dtype=np.uint8),
}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A bundle of PLAIN."""
    write_bundle(tmp_path / "ckpt-1", PLAIN)
    return tmp_path / "ckpt-1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What TensorFlow wrote: `all` (every type), `cut` (partitioned variables), `many` (a large index)."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tensorflow")
    rng = np.random.default_rng(1)
    names = [t for t in dir(ml_dtypes) if t.startswith("float8_")] + ["bfloat16", "int4", "uint4"]
    tensors = {}
    for dtype in (*"bBhHiIlLefdFD?", *names):
        numpy_type = np.dtype(getattr(ml_dtypes, dtype)) if len(dtype) > 1 else np.dtype(dtype)
        try:
            tensors[f"t/{numpy_type.name}"] = tf.constant(rng.integers(0, 2, (5, 3)).astype(numpy_type))
        except (TypeError, ValueError):
            continue  # not one of this TensorFlow's types
    tensors["text"] = tf.constant([[b"", b"a"], [b"\xff" * 300, "é".encode()]])
    tensors["scalar text"] = tf.constant(b"one")
    tensors["quantized"] = tf.quantization.quantize([0.0, 1.0], 0.0, 1.0, tf.quint8).output
    tensors["none"] = tf.zeros((0, 4))
    tensors["scalar"] = tf.constant(3.5, tf.float64)
    kept = {n: t for n, t in tensors.items() if _can_save(folder, n, t)}
    tf.raw_ops.SaveV2(
        prefix=str(folder / "all"),
        tensor_names=list(kept),
        shape_and_slices=[""] * len(kept),
        tensors=list(kept.values()),
    )
    names, slices, parts = [], [], []
    for name, shape, cuts in CUT:
        whole = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        for cut in cuts:
            names.append(name)
            box = tuple(slice(start, start + length) for start, length in cut)
            specs = (
                "-" if (start, length) == (0, size) else f"{start},{length}"
                for (start, length), size in zip(cut, shape, strict=True)
            )
            slices.append(" ".join(map(str, shape)) + " " + ":".join(specs))
            parts.append(tf.constant(whole[box]))
    tf.raw_ops.SaveV2(prefix=str(folder / "cut"), tensor_names=names, shape_and_slices=slices, tensors=parts)
    many = {
        f"layer_{i}/{role}": tf.fill((2, i % 5), float(i)) for i in range(400) for role in ("kernel", "kernel/Adam")
    }
    tf.raw_ops.SaveV2(
        prefix=str(folder / "many"),
        tensor_names=list(many),
        shape_and_slices=[""] * len(many),
        tensors=list(many.values()),
    )
    return folder


CUT: list[tuple[str, tuple[int, ...], list[list[tuple[int, int]]]]] = [
    ("rows", (11, 4), [[(0, 4), (0, 4)], [(4, 4), (0, 4)], [(8, 3), (0, 4)]]),
    ("columns", (5, 9), [[(0, 5), (0, 2)], [(0, 5), (2, 7)]]),
    ("boxes", (4, 3, 6), [[(a, 2), (0, 3), (b, 3)] for a in (0, 2) for b in (0, 3)]),
    ("wide", (9000, 2), [[(0, 70), (0, 2)], [(70, 8200), (0, 2)], [(8270, 730), (0, 2)]]),
]


def _can_save(folder: Path, name: str, tensor: Any) -> bool:
    import tensorflow as tf

    try:
        tf.raw_ops.SaveV2(prefix=str(folder / "try"), tensor_names=[name], shape_and_slices=[""], tensors=[tensor])
    except tf.errors.OpError:
        return False
    return True


@pytest.mark.parametrize("name", ["all", "cut", "many"])
def test_agrees_with_tensorflow(written: Path, name: str) -> None:
    """Names, shapes, types and every byte are those that TensorFlow's reader gives."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(written / name))
    with open_checkpoint(written / name) as checkpoint:
        assert list(checkpoint.tensors) == sorted(reader.get_variable_to_shape_map())
        assert not checkpoint.problems
        for key, shape in reader.get_variable_to_shape_map().items():
            theirs, ours = reader.get_tensor(key), checkpoint.read(key)
            assert ours.shape == tuple(shape) == checkpoint.tensors[key].shape
            if checkpoint.tensors[key].dtype == "string":
                assert ours.tolist() == (theirs.tolist() if isinstance(theirs, np.ndarray) else theirs)
            else:
                assert ours.tobytes() == theirs.tobytes()
                assert checkpoint.tensors[key].dtype == ours.dtype.name
    if name == "all":
        assert len(checkpoint.tensors) > 20


def test_tensorflow_reads_what_the_tests_write(prefix: Path) -> None:
    """The tests' own writer makes bundles that TensorFlow takes, so that its damaged ones are damaged in one place."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    for name, value in PLAIN.items():
        assert reader.get_tensor(name).tobytes() == value.tobytes()


def test_little_and_big_endian(tmp_path: Path) -> None:
    """A bundle of a big-endian machine gives the same values, in this machine's order."""
    write_bundle(tmp_path / "big", PLAIN, big_endian=True)
    with open_checkpoint(tmp_path / "big") as checkpoint:
        for name, value in PLAIN.items():
            ours = checkpoint.read(name)
            assert ours.dtype == value.dtype
            assert ours.tobytes() == value.tobytes()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tiling_gives_the_same(written: Path, data: st.DataObject) -> None:
    """Ranges of any size in any order are cut from the same whole, of plain and partitioned tensors alike."""
    with open_checkpoint(written / "cut") as checkpoint:
        name = data.draw(st.sampled_from(["rows", "columns", "boxes"]))
        whole = np.arange(checkpoint.tensors[name].size, dtype=np.float32)
        elements = data.draw(st.integers(1, len(whole) + 3))
        starts = data.draw(st.permutations(range(0, len(whole), elements)))
        out = np.empty(elements, np.float32) if data.draw(st.booleans()) else None
        for start in starts:
            stop = min(start + elements, len(whole))
            np.testing.assert_array_equal(checkpoint.read_range(name, start, stop, out), whole[start:stop])
        assert b"".join(p.tobytes() for p in checkpoint.stream(name, elements)) == whole.tobytes()


def test_reads_into_the_offered_buffer(prefix: Path) -> None:
    """A buffer of the right type is filled in place; one of another type is left alone."""
    with open_checkpoint(prefix) as checkpoint:
        out = np.zeros(50, np.float32)
        piece = checkpoint.read_range("dense/kernel", 3, 10, out)
        assert np.shares_memory(piece, out)
        np.testing.assert_array_equal(out[:7], PLAIN["dense/kernel"].reshape(-1)[3:10])
        other = np.zeros(50, np.float64)
        piece = checkpoint.read_range("dense/kernel", 3, 10, other)
        assert piece.dtype == np.float32
        assert not other.any()


@given(names=st.permutations([*PLAIN, "global_step", "half"]), count=st.integers(0, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_at_once_are_each_by_itself(prefix: Path, names: list[str], count: int) -> None:
    """Whatever lies beside what, in whatever order they are asked for; where they lie is told all the same."""
    with open_checkpoint(prefix) as checkpoint:
        for name, found in zip(names, checkpoint.read_many(names[:count]), strict=False):
            assert found.flags.aligned
            assert found.dtype == PLAIN[name].dtype
            assert found.tobytes() == PLAIN[name].tobytes()
    with open_checkpoint(prefix) as checkpoint:
        checkpoint.read_range("half", 1, 2)  # of which the rest is still to be counted
        whole = checkpoint.whole_tensors(names[:count])
        for name, place in zip(names[:count], whole.places, strict=True):
            assert place is not None or name in ("half", "none")
            assert place is None or name != "half"
            assert place is None or os.pread(*place[:1], PLAIN[name].nbytes, place[1]) == PLAIN[name].tobytes()
        whole.count([google_crc32c.value(PLAIN[name].tobytes()) for name in names[:count]])
        if count and whole.places[0] is not None and PLAIN[names[0]].nbytes:
            with pytest.raises(DamagedFileError, match="bad CRC"):
                whole.count([1] * count)


def test_many_at_once_are_checksummed(prefix: Path) -> None:
    """A flipped bit is found in the tensor that has it; strings, and names that aren't there, are as ever."""
    data = prefix.with_name("ckpt-1.data-00000-of-00001")
    raw = bytearray(data.read_bytes())
    with open_checkpoint(prefix) as checkpoint:
        place = checkpoint.whole_tensors(["dense/kernel"]).places[0]
        assert place is not None
        with pytest.raises(NotFoundError, match="holds no tensor 'other'"):
            checkpoint.read_many(["flags", "other"])
    raw[place[1] + 9] ^= 4
    data.write_bytes(raw)
    with open_checkpoint(prefix) as checkpoint:
        assert len(checkpoint.read_many([name for name in PLAIN if name != "dense/kernel"])) == len(PLAIN) - 1
        with pytest.raises(DamagedFileError, match=r"tensor 'dense/kernel' at .*: bad CRC"):
            checkpoint.read_many(list(PLAIN))


def test_threads_read_at_once(tmp_path: Path) -> None:
    """Threads that share a checkpoint, and a tensor, get the right bytes, and the checksum holds."""
    value = np.arange(200_000, dtype=np.float32)
    write_bundle(tmp_path / "c", {"x": value})
    wrong: list[Any] = []
    with open_checkpoint(tmp_path / "c") as checkpoint:

        def read(offset: int) -> None:
            try:
                for start in range(offset, len(value), 3000):
                    piece = checkpoint.read_range("x", start, min(start + 1000, len(value)))
                    if not np.array_equal(piece, value[start : start + 1000]):
                        wrong.append(start)
            except CkptInspectError as error:
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(offset,)) for offset in (0, 1000, 2000, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_slice_keys() -> None:
    """Slices' keys are OrderedCode's: lengths past 63 take two bytes, names are escaped, a full extent is (0, -1)."""
    assert encode_slice_key("a", (Extent(0, 4), Extent(0, -1))) == b"\0a\0\1\1\x02\x80\x84\x80\x7f"
    assert encode_slice_key("\0", (Extent(64, 8192),)) == b"\0\0\xff\0\1\1\1\xc0\x40\xe0\x20\x00"


@pytest.mark.parametrize("given", ["ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-1.meta"])
def test_a_file_of_the_bundle_given_by_mistake(prefix: Path, given: str) -> None:
    """Any file of a bundle stands for the bundle."""
    Path(f"{prefix}.meta").write_bytes(b"")
    with open_checkpoint(prefix.parent / given) as checkpoint:
        assert checkpoint.path == prefix
        assert checkpoint.format == "tensor-bundle"


def test_a_prefix_that_ends_in_a_slash(tmp_path: Path) -> None:
    """`save_weights("weights/")` writes `weights/.index`; the folder opens it."""
    (tmp_path / "weights").mkdir()
    write_bundle(tmp_path / "w", {"x": PLAIN["dense/bias"]})
    shutil.move(tmp_path / "w.index", tmp_path / "weights" / ".index")
    shutil.move(tmp_path / "w.data-00000-of-00001", tmp_path / "weights" / ".data-00000-of-00001")
    with open_checkpoint(tmp_path / "weights") as checkpoint:
        np.testing.assert_array_equal(checkpoint.read("x"), PLAIN["dense/bias"])


def test_unmerged_parts(tmp_path: Path) -> None:
    """The parts of a writer that was stopped before merging are one checkpoint, with a Problem."""
    folder = tmp_path / "ckpt-3_temp_0a1b"
    folder.mkdir()
    for part, name in enumerate(("b", "a")):
        write_bundle(folder / f"part-{part:05d}-of-00002", {name: PLAIN["dense/kernel"] + part})
    for path in (tmp_path / "ckpt-3", folder):
        with open_checkpoint(path) as checkpoint:
            assert list(checkpoint.tensors) == ["a", "b"]
            np.testing.assert_array_equal(checkpoint.read("a"), PLAIN["dense/kernel"] + 1)
            assert [p.code for p in checkpoint.problems] == ["unmerged-parts"]
    for name in ("part-00001-of-00002", "part-00000-of-00002.index", "part-00000-of-00002.data-00000-of-00001"):
        with open_checkpoint(folder / name) as checkpoint:  # a part alone tells nothing of what is in the others
            assert list(checkpoint.tensors) == ["a", "b"]
            assert [p.code for p in checkpoint.problems] == ["unmerged-parts"]
    Path(folder / "part-00001-of-00002.index").unlink()
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(tmp_path / "ckpt-3")
    assert str(caught.value) == (
        f"{tmp_path / 'ckpt-3'}: holds 1 of 2 parts of a checkpoint whose writer was stopped before it had written "
        "all; use the checkpoint before it"
    )
    with pytest.raises(DamagedFileError, match="holds 1 of 2 parts of a checkpoint whose writer was stopped"):
        open_checkpoint(folder / "part-00000-of-00002")


def test_types_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    """A variant and a type of the future are listed with their sizes unknown, and refused when read."""
    entries = [(b"", header()), (b"new", entry(77, (2,), 0, 8, 0)), (b"variant", entry(21, (), 0, 4, 0))]
    write(tmp_path / "c", entries, bytes(8))
    with open_checkpoint(tmp_path / "c") as checkpoint:
        assert {n: (s.dtype, s.nbytes) for n, s in checkpoint.tensors.items()} == {
            "new": ("dtype-77", 0),
            "variant": ("variant", 0),
        }
        with pytest.raises(UnsupportedError) as caught:
            checkpoint.read("variant")
    assert str(caught.value) == (
        f"{tmp_path / 'c'}: tensor 'variant' is of TensorFlow's type variant, whose values can't be read"
    )


def test_unknown_tensor_and_range(prefix: Path) -> None:
    """A name or range that isn't there is the caller's mistake, and said so."""
    with open_checkpoint(prefix) as checkpoint:
        with pytest.raises(NotFoundError) as missing:
            checkpoint.read("dense/gamma")
        with pytest.raises(RequestError) as outside:
            checkpoint.read_range("dense/bias", 2, 4)
    assert str(missing.value) == f"{prefix}: holds no tensor 'dense/gamma'; `tensors` lists those it holds"
    assert str(outside.value) == f"{prefix}: tensor 'dense/bias' has 3 elements, not 2:4"


def test_closed(prefix: Path) -> None:
    """A closed checkpoint says that it is closed; closing twice is harmless."""
    checkpoint = open_checkpoint(prefix)
    checkpoint.close()
    checkpoint.close()
    with pytest.raises(RequestError) as caught:
        checkpoint.read("dense/bias")
    shard = f"{prefix}.data-00000-of-00001"
    assert str(caught.value) == f"{shard}: its checkpoint has been closed; open it again"


def test_flipped_bit_in_data(prefix: Path) -> None:
    """A flipped bit is noticed by whoever completes the tensor, whole or in pieces; other tensors are untouched."""
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    raw = PLAIN["dense/kernel"].tobytes()
    offset = data.index(raw)
    data[offset + 5] ^= 0x10
    shard.write_bytes(data)
    computed = masked(bytes(data[offset : offset + len(raw)]))
    sentence = (
        f"{shard}: tensor 'dense/kernel' at {offset:#x}: bad CRC, stored {masked(raw):08x}, computed {computed:08x}: "
        "its bytes are damaged; copy or restore the file"
    )
    with open_checkpoint(prefix) as checkpoint:
        for read in (checkpoint.read, lambda n: list(checkpoint.stream(n, 5))):
            with pytest.raises(DamagedFileError) as caught:
                read("dense/kernel")
            assert str(caught.value) == sentence
        assert checkpoint.read("dense/bias").tobytes() == PLAIN["dense/bias"].tobytes()
    with BundleCheckpoint(prefix, [Prefix.of(prefix)], verify=False) as checkpoint:
        assert checkpoint.read("dense/kernel").tobytes() == bytes(data[offset : offset + len(raw)])


def test_a_folder_in_a_shards_place(prefix: Path) -> None:
    """It is no shard that was cut off."""
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.unlink()
    shard.mkdir()
    with open_checkpoint(prefix) as checkpoint:
        assert [p.message for p in checkpoint.problems] == [
            f"{shard}: is a folder, where a file of the checkpoint must be; copy or restore that"
        ]


def test_missing_shard(prefix: Path) -> None:
    """Names and shapes are there without the data; a value is one sentence."""
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.unlink()
    with open_checkpoint(prefix) as checkpoint:
        assert checkpoint.tensors["dense/kernel"].shape == (12, 3)
        assert [(p.code, p.message) for p in checkpoint.problems] == [("missing-shard", f"{shard}: is missing")]
        assert checkpoint.files == (Path(f"{prefix}.index"),)
        with pytest.raises(NotFoundError) as caught:
            checkpoint.read("dense/kernel")
    assert str(caught.value) == f"{shard}: is missing; copy it to this folder, where the rest of its checkpoint lies"


def test_missing_index(prefix: Path) -> None:
    """Data without an index can't be told apart, and the index is asked for."""
    Path(f"{prefix}.index").unlink()
    for path in (prefix, Path(f"{prefix}.data-00000-of-00001")):
        with pytest.raises(NotFoundError) as caught:
            open_checkpoint(path)
        assert str(caught.value) == (
            f"{prefix}.index: is missing; copy it to this folder, where the rest of its checkpoint lies"
        )


def test_truncated_shard(prefix: Path) -> None:
    """What lies before the end is read, what lies behind it is one sentence."""
    shard = Path(f"{prefix}.data-00000-of-00001")
    size = shard.stat().st_size
    os.truncate(shard, 300)
    with open_checkpoint(prefix) as checkpoint:
        assert [p.code for p in checkpoint.problems] == ["truncated-shard"]
        assert checkpoint.read("brain").tobytes() == PLAIN["brain"].tobytes()
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.read("phase")
    end = size - 0
    assert str(caught.value).startswith(f"{shard}: is 300 bytes long, but tensor 'phase' ends at byte ")
    assert str(caught.value).endswith(": the file is truncated; copy or restore it")
    assert end > 300


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([(b"x", entry(1, (1,), 0, 4, 0))], "entry 'x': comes before the bundle's header"),
        ([], "the table holds no bundle header: it is not the index of a tensor bundle"),
        ([(b"", header(0))], "the bundle's header claims 0 shards"),
        ([(b"", header(1 << 30))], f"the bundle's header claims {1 << 30} shards"),
        ([(b"", header(min_consumer=9))], "is of bundle version 9; this package reads version 1"),
        (
            [(b"", header()), (b"x", entry(1, (1 << 40, 1 << 20), 0, 16, 0))],
            f"entry 'x': float32 of shape ({1 << 40}, {1 << 20}) takes {1 << 62} bytes, but the entry claims 16",
        ),
        ([(b"", header()), (b"x", entry(1, (-1,), 0, 4, 0))], "entry 'x': has the impossible shape (-1,)"),
        ([(b"", header()), (b"x", entry(1, (1,), 0, 4, 0, shard=3))], "entry 'x': is in shard 3 of a bundle of 1"),
        ([(b"", header()), (b"x", entry(7, (1 << 40,), 0, 9, 0))], f"entry 'x': claims {1 << 40} strings in 9 bytes"),
        (
            [(b"", header()), (b"x", entry(1, (1,), 1 << 63, 4, 0))],
            f"entry 'x': claims 4 bytes at offset {1 << 63}",
        ),
        (
            [(b"", header()), (b"x", entry(1, (4,), 0, 0, 0, slices=[field(1, field(1, 3) + field(2, 2))]))],
            "entry 'x': its slice (Extent(start=3, length=2),) is not inside its shape (4,)",
        ),
        (
            [(b"", header()), (b"x", b"\x0a\x05")],
            "entry 'x': byte 0: message field 1 claims 5 bytes, but only 0 are left",
        ),
    ],
)
def test_impossible_entries(tmp_path: Path, entries: list[tuple[bytes, bytes]], sentence: str) -> None:
    """What an index claims is checked before anything is allocated or read by it."""
    write(tmp_path / "c", entries, bytes(64))
    with pytest.raises(CkptInspectError) as caught:
        open_checkpoint(tmp_path / "c")
    remedy = "; copy or restore it" if isinstance(caught.value, DamagedFileError) else ""
    assert str(caught.value) == f"{tmp_path / 'c.index'}: {sentence}{remedy}"


def test_slice_that_is_not_there(written: Path, tmp_path: Path) -> None:
    """A partitioned variable without one of its slices is one sentence when read."""
    slices = [field(1, field(1, a) + field(2, 2)) for a in (0, 2)]
    one = np.arange(2, dtype=np.float32).tobytes()
    entries = [
        (b"", header()),
        (encode_slice_key("x", (Extent(0, 2),)), entry(1, (2,), 0, 8, masked(one))),
        (b"x", entry(1, (4,), 0, 0, 0, slices=slices)),
    ]
    write(tmp_path / "c", entries, one)
    with open_checkpoint(tmp_path / "c") as checkpoint, pytest.raises(DamagedFileError) as caught:
        checkpoint.read("x")
    assert str(caught.value) == (
        f"{tmp_path / 'c'}.index: tensor 'x' is stored in slices, and its slice [(2, 2)] is not in the index: the "
        "checkpoint was not written whole; use another one"
    )


UNCOVERED = "the checkpoint was not written whole, or other names hold its other parts"


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (1, "[1] lies in 2 of its slices: the index is damaged"),
        (
            3,
            "[2] lies in none of its slices: the checkpoint was not written whole, or other names hold its other parts",
        ),
    ],
)
def test_slices_that_do_not_cover_the_tensor(tmp_path: Path, second: int, fault: str) -> None:
    """Slices that leave a gap or overlap are one sentence when read."""
    one = np.arange(2, dtype=np.float32).tobytes()
    entries = [
        (b"", header()),
        *((encode_slice_key("x", (Extent(at, 2),)), entry(1, (2,), 0, 8, masked(one))) for at in (0, second)),
        (b"x", entry(1, (5,), 0, 0, 0, slices=[field(1, field(1, at) + field(2, 2)) for at in (0, second)])),
    ]
    write(tmp_path / "c", entries, one)
    with open_checkpoint(tmp_path / "c") as checkpoint, pytest.raises(DamagedFileError) as caught:
        checkpoint.read("x")
    assert str(caught.value) == f"{tmp_path / 'c'}.index: tensor 'x': its element {fault}"


def test_strings_with_wrong_lengths(tmp_path: Path) -> None:
    """Lengths that don't add up are noticed before they are followed."""
    raw = varint(1 << 50) + bytes(4) + b"abc"
    write(tmp_path / "c", [(b"", header()), (b"s", entry(7, (1,), 0, len(raw), 0))], raw)
    with open_checkpoint(tmp_path / "c") as checkpoint, pytest.raises(DamagedFileError) as caught:
        checkpoint.read("s")
    assert str(caught.value) == (
        f"{tmp_path / 'c.data-00000-of-00001'}: tensor 's' at 0x0: its strings' lengths add up to {1 << 50}, which is "
        "not its stored size: its bytes are damaged; copy or restore the file"
    )


def _damage(path: Path, random: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    if random.random() < 0.3:
        del data[int(random.integers(len(data))) :]
    else:
        for _ in range(int(random.integers(1, 4))):
            data[int(random.integers(len(data)))] ^= int(random.integers(1, 256))
    path.write_bytes(data)


@contextlib.contextmanager
def _only_our_errors(prefix: Path) -> Iterator[None]:
    try:
        yield
    except CkptInspectError as error:
        assert str(prefix) in str(error)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_random_damage(prefix: Path, suffix: str) -> None:
    """Bytes changed or cut off at random give our errors or the right values, and nothing else."""
    random = np.random.default_rng(3)
    target = Path(f"{prefix}{suffix}")
    sound = target.read_bytes()
    for _ in range(300):
        target.write_bytes(sound)
        _damage(target, random)
        with _only_our_errors(prefix), open_checkpoint(prefix) as checkpoint:
            for name in checkpoint.tensors:
                with _only_our_errors(prefix):
                    assert checkpoint.read(name).tobytes() == PLAIN[name].tobytes()


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=40)), max_size=5), st.binary(max_size=20)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_entries_behind_good_checksums(tmp_path: Path, more: list[tuple[bytes, bytes]], tail: bytes) -> None:
    """Entries of any bytes, in an index whose checksums are right, give our errors and nothing else."""
    sound = {name.encode(): entry(1, (2,), 0, 8, 0) + tail for name in ("a", "b")}
    entries = {b"": header(), **sound, **dict(more)}
    write(tmp_path / "c", sorted(entries.items()), bytes(8))
    with _only_our_errors(tmp_path / "c"), open_checkpoint(tmp_path / "c") as checkpoint:
        for name in checkpoint.tensors:
            with _only_our_errors(tmp_path / "c"):
                checkpoint.read(name)


def test_many_keys_share_blocks(tmp_path: Path) -> None:
    """An index of thousands of entries in many blocks keeps them all, in order."""
    names = sorted(f"layer_{i}/kernel/part_{i % 7}".encode() for i in range(3000))
    raw = bytes(4)
    entries = [(b"", header())] + [(n, entry(1, (1,), 0, 4, masked(raw))) for n in names]
    (tmp_path / "c.index").write_bytes(table(entries, per_block=100))
    (tmp_path / "c.data-00000-of-00001").write_bytes(raw)
    with open_checkpoint(tmp_path / "c") as checkpoint:
        assert list(checkpoint.tensors) == [n.decode() for n in names]
