"""V1 checkpoints against TensorFlow's own writer and reader, by pieces, from any thread, and damaged."""

from __future__ import annotations

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bundle_writer import (
    Cut,
    field,
    table,
    v1_metadata,
    v1_record,
    v1_values,
    v1_variable,
    varint,
    write_v1,
)

from ckpt_inspect.errors import (
    CkptInspectError,
    DamagedFileError,
    RequestError,
    TruncatedFileError,
    UnsupportedError,
)
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.formats.bundle_index import Extent, encode_slice_key
from ckpt_inspect.formats.grouping import find_claims
from ckpt_inspect.formats.slices import first_fault
from ckpt_inspect.formats.sstable import Window
from ckpt_inspect.formats.tensor_slices import ENCODINGS, decode_metadata, decode_varints, locate_values

RANDOM = np.random.default_rng(7)
X = np.arange(6, dtype=np.float32)
FLOAT, STRING_TYPE, VARIANT = 1, 7, 21  # DataType

# What TensorFlow's writer of V1 takes; every element's bytes are random, NaNs and negative zeros among them.
DTYPES = (
    "float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool", "complex64",
    "complex128",
)  # fmt: skip
SHAPES = ((), (0,), (3, 0, 2), (1,), (7,), (5, 4, 3), (70_000,))
# Boxes that cover (9, 8, 5), as a partitioner that cuts along several dimensions would make them.
BOXES: tuple[Cut, ...] = (
    ((0, 4), None, None), ((4, 5), (0, 3), (0, 2)), ((4, 5), (0, 3), (2, 3)), ((4, 5), (3, 5), None),
)  # fmt: skip


def random_array(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    size = math.prod(shape)
    if dtype == "bool":
        return RANDOM.integers(0, 2, shape).astype(bool)
    return np.frombuffer(RANDOM.bytes(size * np.dtype(dtype).itemsize), dtype).reshape(shape)


class Oracle:
    """TensorFlow's operations that write and read V1 files."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.tf = tf

    def save(self, path: Path, parts: list[tuple[str, str, Any]]) -> None:
        """`parts`: name, shape and slice (empty for a whole tensor), value."""
        names, slices, data = zip(*parts, strict=True)
        self.tf.raw_ops.SaveSlices(
            filename=str(path), tensor_names=names, shapes_and_slices=slices, data=[self.tf.constant(d) for d in data]
        )

    def read(self, path: Path, name: str, dtype: Any) -> Any:
        """RestoreV2 puts partitioned variables together, which the reader of Python refuses."""
        (value,) = self.tf.raw_ops.RestoreV2(
            prefix=str(path), tensor_names=[name], shape_and_slices=[""], dtypes=[dtype]
        )
        return value.numpy()

    def check(self, path: Path) -> int:
        """Compare names, shapes, types and every byte; the number of tensors."""
        theirs = self.tf.train.load_checkpoint(str(path))
        shapes, dtypes = theirs.get_variable_to_shape_map(), theirs.get_variable_to_dtype_map()
        with open_checkpoint(path) as ours:
            assert ours.format == "tf1-v1"
            assert {n: list(s.shape) for n, s in ours.tensors.items()} == shapes
            for name, spec in ours.tensors.items():
                value, expected = ours.read(name), self.read(path, name, dtypes[name])
                assert value.shape == spec.shape
                if spec.dtype == "string":
                    assert value.tolist() == (expected.tolist() if spec.shape else expected)
                    continue
                assert spec.dtype == value.dtype.name == dtypes[name].name
                assert value.tobytes() == expected.tobytes(), name
        return len(shapes)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """TensorFlow, where it is installed."""
    pytest.importorskip("tensorflow")
    return Oracle()


@pytest.fixture(scope="module")
def every_type(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every type and shape, whole and in boxes, as TensorFlow writes them."""
    path = tmp_path_factory.mktemp("v1") / "model.ckpt-3"
    parts: list[tuple[str, str, Any]] = [
        (f"{dtype}/{'x'.join(map(str, shape))}", "", random_array(dtype, shape)) for dtype in DTYPES for shape in SHAPES
    ]
    for dtype in DTYPES:
        whole = random_array(dtype, (9, 8, 5))
        for box in BOXES:
            place = tuple(slice(None) if part is None else slice(part[0], sum(part)) for part in box)
            spec = ":".join("-" if part is None else f"{part[0]},{part[1]}" for part in box)
            parts.append((f"{dtype}/cut", f"9 8 5 {spec}", whole[place]))
    words = [b"", b"zero\0inside\0", "å".encode(), bytes(range(256)) * 300]
    parts += [("words", "", np.array(words, object)), ("word", "", b"one"), ("none", "", np.array([], "S1"))]
    parts += [("halves", "4 0,2", np.array(words[:2], object)), ("halves", "4 2,2", np.array(words[2:], object))]
    oracle.save(path, parts)
    return path


def test_every_type(oracle: Oracle, every_type: Path) -> None:
    """Every type, shape and cut that TensorFlow writes is read as TensorFlow reads it, bit for bit."""
    assert oracle.check(every_type) == len(DTYPES) * (len(SHAPES) + 1) + 4


@pytest.mark.parametrize("elements", [1, 7, 65_536, 1 << 20])
def test_by_pieces(every_type: Path, elements: int) -> None:
    """Pieces of any size are those of the whole, whichever buffer is offered."""
    with open_checkpoint(every_type) as checkpoint:
        for name, spec in checkpoint.tensors.items():
            if elements < 100 and spec.size > 1000:
                continue
            whole = checkpoint.read(name).reshape(-1)
            pieces = [p.copy() for p in checkpoint.stream(name, elements)]
            assert (np.concatenate(pieces) if pieces else whole).tolist() == pytest.approx(whole.tolist(), nan_ok=True)
            for start in {0, spec.size // 3, max(spec.size - 1, 0)}:
                stop = min(spec.size, start + elements)
                out = np.empty(stop - start + 2, whole.dtype)
                piece = checkpoint.read_range(name, start, stop, out)
                assert piece.tolist() == pytest.approx(whole[start:stop].tolist(), nan_ok=True)
                assert np.shares_memory(piece, out) or start == stop


def test_from_many_threads(every_type: Path) -> None:
    """Threads that read at once get what one gets."""
    with open_checkpoint(every_type) as checkpoint, ThreadPoolExecutor(8) as pool:
        names = [name for name, spec in checkpoint.tensors.items() if spec.dtype != "string"] * 3
        read = list(pool.map(lambda name: checkpoint.read(name).tobytes(), names))
        assert read == [checkpoint.read(name).tobytes() for name in names]


def test_wrong_range(every_type: Path) -> None:
    """A range outside the tensor is refused."""
    with open_checkpoint(every_type) as checkpoint, pytest.raises(RequestError) as caught:
        checkpoint.read_range("float32/7", 3, 8)
    assert str(caught.value) == f"{every_type}: tensor 'float32/7' has 7 elements, not 3:8"


def test_sharded_by_device(oracle: Oracle, tmp_path: Path) -> None:
    """Saver's shards, one a device, with a variable whose parts lie in several of them."""
    tf, v1 = oracle.tf, oracle.tf.compat.v1
    with tf.Graph().as_default():
        place = iter(f"/cpu:{i % 3}" for i in range(100))
        with v1.device(lambda op: next(place) if op.type == "VarHandleOp" else "/cpu:0"):
            with v1.variable_scope("emb", partitioner=v1.fixed_size_partitioner(3), use_resource=True):
                v1.get_variable("table", (11, 4), initializer=v1.random_normal_initializer(seed=1))
                v1.get_variable("bias", (7,), initializer=v1.random_normal_initializer(seed=2))
            v1.get_variable("step", (), tf.int64, initializer=v1.ones_initializer(), use_resource=True)
        saver = v1.train.Saver(sharded=True, write_version=v1.train.SaverDef.V1)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 3})) as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(tmp_path / "model.ckpt"), global_step=1)
    assert len(list(tmp_path.glob("*-of-00003"))) == 3
    assert oracle.check(tmp_path / "model.ckpt-1-?????-of-00003") == 3


# --------------------------------------------------------------------------------------- what a writer may do as well


def one_slice(values: bytes, dtype: int = FLOAT, shape: tuple[int, ...] = (6,)) -> list[tuple[bytes, bytes]]:
    """The entries of a checkpoint of one tensor `x`."""
    whole: Cut = (None,) * len(shape)
    return [v1_metadata(v1_variable("x", dtype, shape, [whole])), v1_record("x", whole, values)]


def write_entries(path: Path, entries: list[tuple[bytes, bytes]], **options: int) -> Path:
    path.write_bytes(table(entries, **options))
    return path


RAW = X.tobytes()
BIG = np.array([0, 1, -1, 127, -128, 300, 2**40, -(2**63), 2**63 - 1], np.int64)
ODD_ENCODINGS: dict[str, tuple[bytes, int, np.ndarray[Any, Any]]] = {
    "in two runs": (field(5, RAW[:8]) + field(5, RAW[8:]), FLOAT, X),
    "unpacked floats": (b"".join(varint(5 << 3 | 5) + RAW[i : i + 4] for i in range(0, 24, 4)), FLOAT, X),
    "unpacked and packed": (varint(5 << 3 | 5) + RAW[:4] + field(5, RAW[4:]), FLOAT, X),
    "unpacked doubles": (
        b"".join(varint(6 << 3 | 1) + v.tobytes() for v in X.astype(np.float64)), 2, X.astype(np.float64),
    ),
    "unpacked integers": (b"".join(field(10, int(v)) for v in BIG), 9, BIG),
    "with type, shape and a field of tomorrow": (
        field(1, 1) + field(2, field(2, field(1, 6))) + field(5, RAW) + field(99, b"?"), FLOAT, X,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_ENCODINGS)
def test_encodings_that_protocol_buffers_allow(oracle: Oracle, tmp_path: Path, name: str) -> None:
    """Packed, unpacked and mixed values are read as TensorFlow reads them."""
    values, dtype, expected = ODD_ENCODINGS[name]
    path = write_entries(tmp_path / "c", one_slice(values, dtype, expected.shape))
    assert oracle.check(path) == 1
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("x").tobytes() == expected.tobytes()
        assert b"".join(p.tobytes() for p in checkpoint.stream("x", 4)) == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64", "bool", "complex64"])
def test_tensor_content(tmp_path: Path, dtype: str) -> None:
    """The elements' own bytes, which tensor.proto allows and the writer of V1 files never uses."""
    array = np.arange(6).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    numbers = {"float32": 1, "float16": 19, "bfloat16": 14, "int64": 9, "bool": 10, "complex64": 8}
    path = write_entries(tmp_path / "c", one_slice(field(4, array.tobytes()), numbers[dtype]))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("x").tobytes() == array.tobytes()


def test_types_that_the_writer_refuses(tmp_path: Path) -> None:
    """bfloat16, uint32 and uint64, as tensor.proto describes them."""
    arrays = {
        "b": RANDOM.standard_normal(70_000).astype(ml_dtypes.bfloat16),
        "u": np.array([0, 2**32 - 1], np.uint32),
        "w": np.array([[2**64 - 1], [1]], np.uint64),
    }
    write_v1(tmp_path / "c", arrays)
    with open_checkpoint(tmp_path / "c") as checkpoint:
        for name, array in arrays.items():
            assert checkpoint.tensors[name].dtype == array.dtype.name
            assert checkpoint.read(name).tobytes() == array.tobytes()


def test_tensorflow_reads_what_the_tests_write(oracle: Oracle, tmp_path: Path) -> None:
    """The tests' own writer makes files that TensorFlow takes, so that its damaged ones are damaged in one place."""
    write_v1(tmp_path / "c", {"a": X, "b": BIG, "c": X.astype(np.float16).reshape(2, 3), "d": np.float64(3)[None]})
    assert oracle.check(tmp_path / "c") == 4


def test_a_record_longer_than_its_window(oracle: Oracle, tmp_path: Path) -> None:
    """Records behind a large one in the same block, as no writer of TensorFlow places them, are found."""
    arrays = {"a": RANDOM.standard_normal(1 << 19), "b": X, "c": RANDOM.integers(0, 1 << 40, 90_000), "d": X}
    write_v1(tmp_path / "c", arrays)
    assert oracle.check(tmp_path / "c") == 4


def test_type_without_values(tmp_path: Path) -> None:
    """A type that can't be read is listed, and spoils nothing else."""
    metadata = v1_metadata(v1_variable("v", VARIANT, (), [()]), v1_variable("x", FLOAT, (6,), [(None,)]))
    path = write_entries(tmp_path / "c", [metadata, v1_record("x", (None,), v1_values(X))])
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["v"].dtype == "variant"
        assert checkpoint.read("x").tobytes() == RAW
        with pytest.raises(UnsupportedError) as caught:
            checkpoint.read("v")
    assert str(caught.value) == f"{path}: tensor 'v' is of TensorFlow's type variant, whose values can't be read"


def test_a_file_that_is_replaced_while_it_is_open(tmp_path: Path) -> None:
    """What was opened is what is read."""
    path = tmp_path / "c"
    write_v1(path, {"x": X})
    with open_checkpoint(path) as checkpoint:
        write_v1(tmp_path / "new", {"x": X + 1})
        (tmp_path / "new").replace(path)
        assert checkpoint.read("x").tobytes() == RAW
    with pytest.raises(RequestError):
        checkpoint.read("x")


# -------------------------------------------------------------------------------------------------------- damaged ones


def in_two(*cuts: Cut, shape: tuple[int, ...] = (4, 3)) -> list[tuple[bytes, bytes]]:
    """The entries of a tensor `x` in these slices."""
    records = []
    for cut in cuts:
        size = math.prod(n if part is None else part[1] for part, n in zip(cut, shape, strict=True))
        records.append(v1_record("x", cut, v1_values(np.ones(size, np.float32))))
    return [v1_metadata(v1_variable("x", FLOAT, shape, cuts)), *sorted(records)]


DAMAGED_WHEN_OPENED: dict[str, tuple[list[tuple[bytes, bytes]], str]] = {
    "no metadata": (one_slice(v1_values(X))[1:], "holds no metadata: it is a table, but no V1 checkpoint"),
    "empty metadata": ([(b"", b"")], "the metadata is empty: it is no V1 checkpoint's"),
    "a bundle's header": ([(b"", field(1, 1))], "the metadata has the unexpected field 1: it is no V1 checkpoint's"),
    "cut metadata": ([(b"", field(1, b"abc")[:-1])], "byte 0: message field 1 claims 3 bytes, but only 2 are left"),
    "negative size": (
        [v1_metadata(v1_variable("x", FLOAT, (-3,), [(None,)]))], "tensor 'x': has the impossible shape (-3,)",
    ),
    "slice of another rank": (
        [v1_metadata(v1_variable("x", FLOAT, (6,), [(None, None)]))],
        "tensor 'x': its slice [(0, -1), (0, -1)] is not inside its shape (6,)",
    ),
    "slice outside": (
        [v1_metadata(v1_variable("x", FLOAT, (6,), [((4, 3),)]))],
        "tensor 'x': its slice [(4, 3)] is not inside its shape (6,)",
    ),
    "4 GB in a small file": (
        [v1_metadata(v1_variable("x", FLOAT, (1 << 30,), [(None,)])), v1_record("x", (None,), v1_values(X))],
        f"tensor 'x': claims {1 << 30} elements in a file of 178 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED_WHEN_OPENED)
def test_damaged_when_opened(tmp_path: Path, fault: str) -> None:
    """Metadata that can't be true is one sentence."""
    entries, reason = DAMAGED_WHEN_OPENED[fault]
    path = write_entries(tmp_path / "c", entries)
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == f"{path}: {reason}; copy or restore it"


FULL_KEY = encode_slice_key("x", (Extent(0, -1),))
DAMAGED_WHEN_READ: dict[str, tuple[list[tuple[bytes, bytes]], str]] = {
    "no record": (
        one_slice(b"")[:1],
        "tensor 'x': has no record, though the metadata lists it: the file was not written whole; copy or restore it",
    ),
    "no record of a slice": (
        in_two(((0, 2), None), ((2, 2), None))[:-1],
        "tensor 'x' slice [(2, 2), (0, -1)]: has no record, though the metadata lists it: the file was not written "
        "whole; copy or restore it",
    ),
    "another's record": (
        [one_slice(b"")[0], v1_record("y", (None,), v1_values(X), key=FULL_KEY)],
        "tensor 'x': its record is that of tensor b'y'; copy or restore it",
    ),
    "another slice's record": (
        [one_slice(b"")[0], v1_record("x", ((0, 6),), v1_values(X), key=FULL_KEY)],
        "tensor 'x': its record is that of the slice [(0, 6)]; copy or restore it",
    ),
    "one value for all": (
        one_slice(v1_values(X[:1])),
        "tensor 'x': holds 4 bytes of values, but its 6 elements take 24; copy or restore it",
    ),
    "too many values": (
        one_slice(v1_values(np.ones(7, np.float32))),
        "tensor 'x': holds 28 bytes of values, but its 6 elements take 24; copy or restore it",
    ),
    "no value": (
        one_slice(b""), "tensor 'x': holds 0 bytes of values, but its 6 elements take 24; copy or restore it",
    ),
    "values of another type": (
        one_slice(v1_values(np.ones(6, np.float64))),
        "tensor 'x': holds 0 bytes of values, but its 6 elements take 24; copy or restore it",
    ),
    "too few integers": (
        one_slice(v1_values(BIG), 9, (10,)), "tensor 'x': holds 9 values, but has 10 elements; copy or restore it",
    ),
    "a cut integer": (
        one_slice(field(10, b"\1\2\x80"), 9, (2,)), "tensor 'x': its last value is cut off; copy or restore it",
    ),
    "a long integer": (
        one_slice(field(10, b"\x80" * 10 + b"\1\2"), 9, (2,)),
        "tensor 'x': one of its values is longer than 64 bits; copy or restore it",
    ),
    "too few strings": (
        one_slice(field(8, b"a"), STRING_TYPE, (2,)),
        "tensor 'x': holds 1 strings, but has 2 elements; copy or restore it",
    ),
    "a record that runs out": (
        [one_slice(b"")[0], (FULL_KEY, field(2, field(3, field(5, RAW)))[:-1])],
        "tensor 'x': byte 37: message field 2 claims 28 bytes, but only 27 are left; copy or restore it",
    ),
    "a gap": (
        in_two(((0, 1), None), ((2, 2), None)),
        "tensor 'x': its element [1, 0] lies in none of its slices: the checkpoint was not written whole, or other "
        "names hold its other parts",
    ),
    "a gap between columns": (
        in_two((None, (0, 1)), (None, (2, 1))),
        "tensor 'x': its element [0, 1] lies in none of its slices: the checkpoint was not written whole, or other "
        "names hold its other parts",
    ),
    "an overlap": (
        in_two(((0, 2), None), ((1, 3), None)),
        "tensor 'x': its element [1, 0] lies in 2 of its slices: the index is damaged",
    ),
    "a gap and an overlap of the same size": (
        in_two(((0, 2), None), ((1, 2), None)),
        "tensor 'x': its element [1, 0] lies in 2 of its slices: the index is damaged",
    ),
    "the same slice twice": (
        [v1_metadata(v1_variable("x", FLOAT, (6,), [(None,), (None,)])), v1_record("x", (None,), v1_values(X))],
        "tensor 'x': its element [0] lies in 2 of its slices: the index is damaged",
    ),
    "no slice": (
        [v1_metadata(v1_variable("x", FLOAT, (6,), []))],
        "tensor 'x': its element [0] lies in none of its slices: the checkpoint was not written whole, or other "
        "names hold its other parts",
    ),
    "a huge shape and a small slice": (
        [v1_metadata(v1_variable("x", FLOAT, (1 << 40,), [((0, 6),)])), v1_record("x", ((0, 6),), v1_values(X))],
        "tensor 'x': its element [6] lies in none of its slices: the checkpoint was not written whole, or other "
        "names hold its other parts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED_WHEN_READ)
def test_damaged_when_read(tmp_path: Path, fault: str) -> None:
    """The metadata is listed, and the values are one sentence."""
    entries, reason = DAMAGED_WHEN_READ[fault]
    path = write_entries(tmp_path / "c", entries)
    with open_checkpoint(path) as checkpoint:
        assert "x" in checkpoint.tensors
        with pytest.raises(DamagedFileError) as caught:
            checkpoint.read("x")
    assert str(caught.value) == f"{path}: {reason}"


def test_strings_in_one_piece(tmp_path: Path) -> None:
    """Strings as tensor_content are refused."""
    path = write_entries(tmp_path / "c", one_slice(field(4, b"\1\1ab"), STRING_TYPE, (2,)))
    with open_checkpoint(path) as checkpoint, pytest.raises(UnsupportedError) as caught:
        checkpoint.read("x")
    assert str(caught.value) == (
        f"{path}: tensor 'x': its strings lie in one piece, which TensorFlow's writer of V1 checkpoints never does"
    )


def test_newer_version(tmp_path: Path) -> None:
    """A file whose writer demands a newer reader is refused."""
    path = write_entries(tmp_path / "c", [v1_metadata(min_consumer=2)])
    with pytest.raises(UnsupportedError) as caught:
        open_checkpoint(path)
    assert str(caught.value) == f"{path}: is of V1 checkpoint version 2; this package reads version 1"


def test_flipped_bit(tmp_path: Path) -> None:
    """A flipped bit among the values fails its block's checksum, while the other blocks are read."""
    path = write_entries(
        tmp_path / "c",
        [
            v1_metadata(*(v1_variable(n, FLOAT, (6,), [(None,)]) for n in "xy")),
            *(v1_record(n, (None,), v1_values(X)) for n in "xy"),
        ],
        per_block=1,
    )
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(RAW) + 9] ^= 2
    path.write_bytes(damaged)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("y").tobytes() == RAW
        for _ in range(2):
            with pytest.raises(DamagedFileError) as caught:
                checkpoint.read("x")
            assert str(caught.value).startswith(f"{path}: tensor 'x': table block at 0x38: bad CRC, stored ")
            assert str(caught.value).endswith("; copy or restore it")


def test_flipped_bit_in_the_metadata(tmp_path: Path) -> None:
    """A flipped bit in the metadata's block is found when the file is opened."""
    path = write_entries(tmp_path / "c", one_slice(v1_values(X)))
    damaged = bytearray(path.read_bytes())
    damaged[8] ^= 2
    path.write_bytes(damaged)
    with pytest.raises(DamagedFileError, match=r"c: table block at 0x0: bad CRC, stored \w+, computed \w+; copy or"):
        open_checkpoint(path)


def test_compressed_block(tmp_path: Path) -> None:
    """TensorFlow's writer of V1 files never compresses."""
    path = write_entries(tmp_path / "c", one_slice(v1_values(X)), compression=1)
    with pytest.raises(UnsupportedError, match="is compressed with snappy"):
        open_checkpoint(path)


def test_shards_of_two_checkpoints(tmp_path: Path) -> None:
    """Shards that disagree about a tensor are refused."""
    write_v1(tmp_path / "m-00000-of-00002", {"x": X})
    write_v1(tmp_path / "m-00001-of-00002", {"x": X.reshape(2, 3)})
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(tmp_path / "m-?????-of-00002")
    assert str(caught.value) == (
        f"{tmp_path / 'm-00001-of-00002'}: tensor 'x' is float32 of shape (2, 3) here, and float32 of shape (6,) where "
        "it was listed before: the files belong to different checkpoints or are damaged; copy them again"
    )


def test_shard_that_is_a_pointer(tmp_path: Path) -> None:
    """A shard that was never fetched is called what it is."""
    write_v1(tmp_path / "m-00000-of-00002", {"x": X})
    (tmp_path / "m-00001-of-00002").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DamagedFileError, match=r"m-00001-of-00002: is a Git LFS pointer"):
        open_checkpoint(tmp_path / "m-?????-of-00002")


@pytest.mark.parametrize("length", [0, 1, 47, 60, 150])
def test_truncated_shard(tmp_path: Path, length: int) -> None:
    """A shard that lost its end is one sentence with its name."""
    write_v1(tmp_path / "m-00000-of-00002", {"x": X})
    write_v1(tmp_path / "m-00001-of-00002", {"y": X})
    shard = tmp_path / "m-00001-of-00002"
    shard.write_bytes(shard.read_bytes()[:length])
    with pytest.raises(DamagedFileError) as caught:
        open_checkpoint(tmp_path / "m-?????-of-00002")
    assert str(caught.value).startswith(f"{shard}: ")


@pytest.mark.parametrize("length", [20, 60, -60, -48, -1])
def test_a_file_without_its_end_is_known_by_its_start(tmp_path: Path, length: int) -> None:
    """A V1 file that was cut off, or whose end is zero bytes, is told as one, and its folder has one checkpoint."""
    path = tmp_path / "model.ckpt-3"
    write_v1(path, {"x": X, "y": BIG})
    written = path.read_bytes()
    for damaged in (written[:length], written[:length] + bytes(len(written) - len(written[:length]))):
        path.write_bytes(damaged)
        assert [claim.path for (claim,) in find_claims([tmp_path])] == [path]
        with pytest.raises(TruncatedFileError, match=r"model.ckpt-3: begins as a V1 checkpoint of TF1, .*; copy or r"):
            open_checkpoint(path)


def test_an_empty_file_beside_its_graph(tmp_path: Path) -> None:
    """A V1 file of which nothing was written is a checkpoint of its folder if its graph lies beside it."""
    (tmp_path / "model.ckpt-3").touch()
    assert find_claims([tmp_path]) == [[]]
    (tmp_path / "model.ckpt-3.meta").write_bytes(b"\x0a\0")
    assert [claim.path for (claim,) in find_claims([tmp_path])] == [tmp_path / "model.ckpt-3"]
    with pytest.raises(TruncatedFileError, match=r"model.ckpt-3: is empty \(0 bytes\)"):
        open_checkpoint(tmp_path / "model.ckpt-3")


@given(st.data())
def test_any_damaged_byte(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A changed byte is noticed, or was one that nothing depends on."""
    arrays = {"a": X, "b": BIG, "c": X.astype(np.float16)}
    path = tmp_path_factory.mktemp("v1") / "c"
    write_v1(path, arrays)
    damaged = bytearray(path.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 9))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    with contextlib.suppress(CkptInspectError), open_checkpoint(path) as checkpoint:
        for name, array in arrays.items():
            assert checkpoint.read(name).tobytes() == array.tobytes()


# ----------------------------------------------------------------------------------------------------- the pure parser


class Memory:
    """Bytes as a table's source."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, offset: int, size: int) -> bytes:
        assert 0 <= offset <= offset + size <= self.size
        return self.data[offset : offset + size]


MESSAGES = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(
        st.tuples(st.integers(1, 12), inner | st.integers(0, 2**64 - 1)).map(lambda pair: field(*pair)), max_size=4
    ).map(b"".join),
    max_leaves=12,
)


@given(MESSAGES)
def test_any_metadata(message: bytes) -> None:
    """Any bytes give variables or an error of ours."""
    with contextlib.suppress(CkptInspectError):
        for variable in decode_metadata(message):
            assert all(len(extents) == len(variable.shape) for extents in variable.slices)


@given(MESSAGES, st.sampled_from(sorted(ENCODINGS)), st.integers(0, 3))
def test_any_record(message: bytes, dtype: str, start: int) -> None:
    """Any bytes give places inside the record, in order, or an error of ours."""
    source = Memory(bytes(start) + message)
    with contextlib.suppress(CkptInspectError):
        spans = locate_values(Window(source, source.size), start, "x", (), dtype).spans
        assert list(spans) == sorted(spans)
        assert all(start <= place <= source.size for place in spans)


@given(MESSAGES, st.sampled_from([1, 2, 3, 7, 8, 9, 10, 14, 17, 19, 22]), st.lists(st.integers(0, 3), max_size=2))
def test_any_values(tmp_path_factory: pytest.TempPathFactory, values: bytes, dtype: int, shape: list[int]) -> None:
    """Any bytes in the place of a slice's values give an array of the listed shape, or an error of ours."""
    path = tmp_path_factory.mktemp("v1") / "c"
    write_entries(path, one_slice(values, dtype, tuple(shape)))
    with contextlib.suppress(CkptInspectError), open_checkpoint(path) as checkpoint:
        assert checkpoint.read("x").shape == tuple(shape)


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_varints(values: list[int]) -> None:
    """Many varints at once are those one by one."""
    raw = np.frombuffer(b"".join(map(varint, values)), np.uint8)
    assert decode_varints(raw).tolist() == values


def brute_force(slices: list[tuple[Extent, ...]], shape: tuple[int, ...]) -> tuple[tuple[int, ...], int] | None:
    """What `first_fault` is to find, by counting every element."""
    counts = np.zeros(shape, int)
    for extents in slices:
        counts[tuple(slice(start, start + length) for start, length in extents)] += 1
    for place in product(*map(range, shape)):
        if counts[place] != 1:
            return place, int(counts[place])
    return None


def extents_in(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[Extent, ...]]:
    parts = (
        st.integers(0, n).flatmap(lambda a, n=n: st.builds(Extent, st.just(a), st.integers(0, n - a))) for n in shape
    )
    return st.tuples(*parts)


@given(
    st.lists(st.integers(0, 4), max_size=3)
    .map(tuple)
    .flatmap(lambda s: st.tuples(st.just(s), st.lists(extents_in(s), max_size=5)))
)
def test_first_fault(case: tuple[tuple[int, ...], list[tuple[Extent, ...]]]) -> None:
    """Gaps and overlaps are found where counting finds them."""
    shape, slices = case
    assert first_fault(slices, shape) == brute_force(slices, shape)


@given(st.data())
def test_a_cut_tensor_has_no_fault(data: st.DataObject) -> None:
    """Boxes that come of cutting a box again and again cover it."""
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    boxes = [tuple(Extent(0, n) for n in shape)]
    for _ in range(data.draw(st.integers(0, 8))):
        box = boxes.pop(data.draw(st.integers(0, len(boxes) - 1)))
        axis = data.draw(st.integers(0, len(shape) - 1))
        start, length = box[axis]
        at = data.draw(st.integers(0, length))
        parts = (Extent(start, at), Extent(start + at, length - at))
        boxes.extend((*box[:axis], part, *box[axis + 1 :]) for part in parts)
    assert first_fault(boxes, shape) is None
    if len(boxes) > 1 and math.prod(n for _, n in boxes[0]):
        assert first_fault(boxes[1:], shape) == (tuple(start for start, _ in boxes[0]), 0)


def test_more_slices_than_any_writer_makes() -> None:
    """What would take hours to compare is refused."""
    shape = (2,) * 30
    with pytest.raises(UnsupportedError) as caught:
        first_fault([tuple(Extent(0, 1) for _ in shape)], shape)
    assert str(caught.value) == "1 slices along 30 dimensions are more than this package joins"
