"""Chunks that are read as they are stored: the same elements as tensorstore reads, in any pieces."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tensorstore
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.object_servers import web_server

from ckpt_inspect import open_checkpoint
from ckpt_inspect.errors import CkptInspectError, DamagedFileError
from ckpt_inspect.formats import chunk_codecs, ocdbt, orbax_arrays, orbax_elements, orbax_stored
from ckpt_inspect.formats.ocdbt import Span, list_values
from ckpt_inspect.formats.orbax_library import LibraryArray
from ckpt_inspect.formats.orbax_stored import StoredArray
from ckpt_inspect.formats.zarr_metadata import decode_zarr
from ckpt_inspect.storage import fetch_plan

SHAPES = {
    (): (),
    (7,): (3,),
    (5, 6): (2, 6),
    (6, 10): (4, 3),
    (1, 4, 6): (1, 3, 4),
    (2, 3, 5): (1, 2, 5),
    (3, 1): (8, 1),
}
"""Shapes of arrays and of their chunks: of rows, of columns, of both, and some that reach beyond the array."""
CODECS = ("zstd", "gzip", "")
KINDS = ("zarr", "zarr3", "zarr3 in shards")


def spec_of(kind: str, codec: str, shape: tuple[int, ...], chunk: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """Tensorstore's description of an array."""
    if kind == "zarr":
        typestr = dtype if dtype == "bfloat16" else np.dtype(dtype).str
        compressor = {"id": codec, **({} if codec == "blosc" else {"level": 1})} if codec else None
        return {"shape": shape, "chunks": chunk, "dtype": typestr, "compressor": compressor}
    codecs: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if codec:
        codecs.append({"name": codec, "configuration": {"level": 1}})
    if "shards" in kind:
        codecs = [{"name": "sharding_indexed", "configuration": {"chunk_shape": chunk, "codecs": codecs}}]
    grid = {"name": "regular", "configuration": {"chunk_shape": chunk}}
    return {
        "shape": shape,
        "chunk_grid": grid,
        "data_type": dtype,
        "codecs": codecs,
        "fill_value": False if dtype == "bool" else 0,
    }


def write(
    folder: Path,
    kind: str,
    codec: str,
    *,
    is_ocdbt: bool = True,
    dtype: str = "float32",
    is_complete: bool = False,
    shapes: Mapping[tuple[int, ...], tuple[int, ...]] = SHAPES,
) -> dict[str, Any]:
    """Write a tree of arrays of these shapes, in these chunks; return them by name."""
    written, tree = {}, {}
    driver = kind.partition(" ")[0]
    for i, (shape, chunk) in enumerate(shapes.items()):
        name = f"x{i}"
        files = {"driver": "file", "path": f"{folder}/" if is_ocdbt else f"{folder}/{name}/"}
        store = {"driver": "ocdbt", "base": files, "path": f"{name}/"} if is_ocdbt else files
        spec = {"driver": driver, "kvstore": store, "metadata": spec_of(kind, codec, shape, chunk, dtype)}
        spec["store_data_equal_to_fill_value"] = is_complete
        array = tensorstore.open(spec, create=True).result()
        values = np.random.default_rng(i).integers(-9, 9, shape).astype(array.dtype.numpy_dtype)
        if len(shape) == 2:
            values[: chunk[0]] = 0  # chunks that aren't written
        array.write(values).result()
        written[name] = values
        leaf = {"key_metadata": [{"key": name, "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
        tree[f"('{name}',)"] = leaf
    metadata = {"tree_metadata": tree, "use_ocdbt": is_ocdbt, "use_zarr3": driver == "zarr3"}
    metadata["store_array_data_equal_to_fill_value"] = is_complete
    (folder / "_METADATA").write_text(json.dumps(metadata))
    return written


def compare(checkpoint: Any, written: dict[str, Any], lengths: tuple[int, ...] = (1, 4, 7, 1000)) -> None:
    """Read each array in pieces of some lengths."""
    for name, values in written.items():
        spec = checkpoint.tensors[name]
        assert (spec.shape, spec.dtype) == (values.shape, values.dtype.name)
        for length in lengths:
            checkpoint.expect((name, start, min(start + length, spec.size)) for start in range(0, spec.size, length))
            pieces = [piece.copy() for piece in checkpoint.stream(name, length)]
            np.testing.assert_array_equal(np.concatenate(pieces), values.ravel())


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_elements_are_those_that_were_written(
    kind: str, codec: str, is_large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of chunks of any shape and codec, some of which hold nothing; in memory, and kept in a file."""
    if is_large:
        monkeypatch.setattr(orbax_elements, "LARGE", 0)
        monkeypatch.setattr(chunk_codecs, "_PART", 8)
    for is_ocdbt in (True, False):
        folder = tmp_path / str(is_ocdbt)
        folder.mkdir()
        written = write(folder, kind, codec, is_ocdbt=is_ocdbt)
        with open_checkpoint(folder) as checkpoint:
            assert all(isinstance(a, StoredArray) for a in checkpoint._arrays._opened.values())  # type: ignore[attr-defined]
            compare(checkpoint, written)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int8", "uint32", "bool"])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_types_are_kept(kind: str, dtype: str, tmp_path: Path) -> None:
    """Those of numpy, and bfloat16."""
    written = write(tmp_path, kind, "zstd", dtype=dtype)
    with open_checkpoint(tmp_path) as checkpoint:
        compare(checkpoint, written, (3,))


@pytest.mark.parametrize(("kind", "codec"), [("zarr", "zstd"), ("zarr", ""), ("zarr3 in shards", "zstd")])
def test_far_chunks_are_fetched_together(kind: str, codec: str, tmp_path: Path) -> None:
    """Neighbours in one request, whether they were announced or not; the elements are the same."""
    (tmp_path / "run").mkdir()
    written = write(tmp_path / "run", kind, codec)
    with web_server(tmp_path) as server, open_checkpoint(f"{server.address}/run") as checkpoint:
        compare(checkpoint, written)
        for name, values in written.items():
            np.testing.assert_array_equal(checkpoint.read(name), values)


@pytest.mark.parametrize("codec", ["zstd", ""])
def test_what_is_expected_later_is_fetched_once(codec: str, tmp_path: Path) -> None:
    """Another checkpoint is fetched ahead of its reader as well, and each byte of its chunks once."""
    trees = {}
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        trees[name] = write(tmp_path / name, "zarr", codec, shapes={(640, 1000): (160, 1000), (500, 900): (150, 900)})
    with (
        web_server(tmp_path) as server,
        open_checkpoint(f"{server.address}/1") as one,
        open_checkpoint(f"{server.address}/2") as two,
    ):
        server.sent_of.clear()
        one.expect((name, 0, spec.size) for name, spec in one.tensors.items())
        assert two.expect_later([(name, 0, spec.size) for name, spec in two.tensors.items()])
        for tree, checkpoint in ((trees["1"], one), (trees["2"], two)):
            for name, values in tree.items():
                np.testing.assert_array_equal(checkpoint.read(name), values)
        sent = {path: size for path, size in server.sent_of.items() if "/d/" in path}
    assert {path.split("/")[1] for path in sent} == {"1", "2"}
    assert all(size <= (tmp_path / path[1:]).stat().st_size for path, size in sent.items())


def test_a_chunk_is_let_go_of_when_what_was_expected_of_it_is_read(tmp_path: Path) -> None:
    """It is kept no longer, and decoded once."""
    (tmp_path / "run").mkdir()
    written = write(tmp_path / "run", "zarr", "zstd", shapes={(640, 1000): (160, 1000)})["x0"].ravel()
    with web_server(tmp_path) as server, open_checkpoint(f"{server.address}/run") as checkpoint:
        arrays = checkpoint._arrays  # type: ignore[attr-defined]
        wanted = [(at, at + 500) for at in (0, 500, 3000, 200_000, 500_000, 600_000)]
        checkpoint.expect(("x0", start, stop) for start, stop in wanted)
        kept = []
        for start, stop in wanted:
            np.testing.assert_array_equal(checkpoint.read_range("x0", start, stop), written[start:stop])
            kept.append(len(arrays._slabs))
        assert kept == [1, 1, 0, 0, 1, 0]
        assert arrays._decoded == 3
        np.testing.assert_array_equal(checkpoint.read("x0").ravel(), written)


def test_what_tensorstore_reads_is_not_expected_later(tmp_path: Path) -> None:
    """It would begin at once, and take the memory of what is measured before: it is said when the time has come."""
    written = write(tmp_path, "zarr", "blosc", is_ocdbt=False)
    with open_checkpoint(tmp_path) as checkpoint:
        assert not checkpoint.expect_later([(name, 0, values.size) for name, values in written.items()])
        assert not any(map(checkpoint.is_fetched_ahead, written))


def test_what_isnt_understood_is_left_to_tensorstore(tmp_path: Path) -> None:
    """Another codec, a fill value, and many tiny chunks."""
    written = write(tmp_path, "zarr", "blosc", is_ocdbt=False)
    with open_checkpoint(tmp_path) as checkpoint:
        assert all(isinstance(a, LibraryArray) for a in checkpoint._arrays._opened.values())  # type: ignore[attr-defined]
        compare(checkpoint, written)


def test_many_tiny_chunks_are_left_to_tensorstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is compressed with zstd if nothing else can decompress that."""
    written = write(tmp_path, "zarr", "zstd")
    for name, value in (("_MANY_CHUNKS", 0), ("find_zstandard", lambda: None)):
        with monkeypatch.context() as patched, open_checkpoint(tmp_path):
            patched.setattr(orbax_stored, name, value)
            with open_checkpoint(tmp_path) as checkpoint:
                kinds = {type(array) for array in checkpoint._arrays._opened.values()}  # type: ignore[attr-defined]
                assert kinds == {LibraryArray}
                compare(checkpoint, written, (7,))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("damage", ["cut", "longer", "tail", "zeros", "absent"])
def test_damaged_chunks_are_named(
    damage: str, is_large: bool, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence each, with the array and the chunk."""
    if is_large:
        monkeypatch.setattr(orbax_elements, "LARGE", 0)
    write(tmp_path, "zarr", codec, is_ocdbt=False, is_complete=True)
    path = tmp_path / "x3" / "1.1"
    whole = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(
            {"cut": whole[:-3], "longer": whole * 2, "tail": whole + b"abc", "zeros": bytes(len(whole))}[damage]
        )
    with open_checkpoint(tmp_path) as checkpoint:
        if (damage, codec) == ("zeros", ""):
            assert not checkpoint.read("x3")[4:, 3:6].any()
        else:
            with pytest.raises(DamagedFileError, match=r"x3: chunk 1\.1 .*damaged or was not copied whole"):
                checkpoint.read("x3")


@pytest.mark.parametrize(("at", "message"), [(-1, "checksum"), (-20, "checksum"), (None, "a shard of 5 bytes")])
def test_a_damaged_shard_is_named(at: int | None, message: str, tmp_path: Path) -> None:
    """Its index has a checksum."""
    write(tmp_path, "zarr3 in shards", "zstd", is_ocdbt=False)
    path = tmp_path / "x3" / "c" / "1" / "1"
    content = bytearray(path.read_bytes())
    if at is None:
        content = content[:5]
    else:
        content[at] ^= 1
    path.write_bytes(content)
    with open_checkpoint(tmp_path) as checkpoint, pytest.raises(DamagedFileError, match=f"x3: chunk c/1/1 .*{message}"):
        checkpoint.read("x3")


def test_a_file_of_the_store_that_is_missing_is_named(tmp_path: Path) -> None:
    """Or was cut."""
    folder = tmp_path / "run"
    folder.mkdir()
    base = {"driver": "ocdbt", "base": f"file://{folder}/", "config": {"max_inline_value_bytes": 0}}
    metadata = spec_of("zarr", "", (6, 10), (4, 3), "float32")
    spec = {"driver": "zarr", "kvstore": {**base, "path": "x/"}, "metadata": metadata}
    tensorstore.open(spec, create=True).result().write(np.ones((6, 10), np.float32)).result()
    leaf = {"key_metadata": [{"key": "x", "key_type": 2}], "value_metadata": {"value_type": "jax.Array"}}
    (folder / "_METADATA").write_text(json.dumps({"tree_metadata": {"x": leaf}, "use_ocdbt": True}))
    values = list_values(tensorstore, {"driver": "file", "path": f"{folder}/"})
    assert values is not None
    chunk = values["x/1.1"]
    assert isinstance(chunk, Span)
    file = folder / chunk.file
    for damage in ("truncated", "missing"):
        file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[: chunk.offset])
        with pytest.raises(CkptInspectError, match=rf"run/{chunk.file}: is {damage}|damaged"):
            open_checkpoint(folder).read("x")


def test_every_value_of_a_deep_tree_is_found(tmp_path: Path) -> None:
    """Those in its nodes, and those that lie in files, under keys of any kind."""
    config = {"max_decoded_node_bytes": 300, "max_inline_value_bytes": 10}
    files = {"driver": "file", "path": f"{tmp_path}/"}
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": files, "config": config}).result()
    keys = [f"a%:b/{i:03}/0.{i}" for i in range(300)]
    transaction = tensorstore.Transaction()
    for i, key in enumerate(keys):
        store.with_transaction(transaction)[key] = bytes([i % 256]) * (i % 20)
    transaction.commit_sync()
    found = list_values(tensorstore, files)
    assert found is not None
    assert sorted(found) == keys
    for key, value in found.items():
        if isinstance(value, Span):
            value = (tmp_path / value.file).read_bytes()[value.offset : value.offset + value.size]
        assert value == store[key]


def test_a_store_that_is_too_large_to_list_is_left_to_tensorstore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value takes memory."""
    written = write(tmp_path, "zarr", "zstd")
    monkeypatch.setattr(ocdbt, "_MOST_VALUES", 5)
    assert list_values(tensorstore, {"driver": "file", "path": f"{tmp_path}/"}) is None
    with open_checkpoint(tmp_path) as checkpoint:
        compare(checkpoint, written, (7,))


ZARR2 = {
    "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<f4", "compressor": None, "filters": None, "order": "C",
    "fill_value": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"zarr_format": 3}, {"shape": [4, 4]}, {"shape": [-1]}, {"shape": [1.5]}, {"shape": 4}, {"chunks": [0]},
        {"dtype": ">f4"}, {"dtype": [["a", "<f4"]]}, {"dtype": "|O"}, {"compressor": {"id": "blosc"}},
        {"compressor": {}}, {"filters": [{"id": "delta"}]}, {"order": "F"}, {"fill_value": 1.0}, {"fill_value": "NaN"},
        {"dimension_separator": "-"},
    ],
)  # fmt: skip
def test_metadata_that_says_anything_else_is_not_understood(change: dict[str, Any]) -> None:
    """tensorstore reads those arrays, or says what is wrong with them."""
    assert decode_zarr(json.dumps(ZARR2).encode(), is_zarr3=False) is not None
    assert decode_zarr(json.dumps({**ZARR2, **change}).encode(), is_zarr3=False) is None
    for missing in set(ZARR2) & set(change):
        assert (
            decode_zarr(json.dumps({k: v for k, v in ZARR2.items() if k != missing}).encode(), is_zarr3=False) is None
        )
    for text in (b"", b"[]", b"{", json.dumps(ZARR2).encode()):
        assert decode_zarr(text, is_zarr3=True) is None


@pytest.mark.parametrize("codec", CODECS)
@given(st.binary(max_size=3000), st.lists(st.integers(1, 900), max_size=8), st.randoms(use_true_random=False))
def test_pieces_of_a_chunk_are_decompressed_as_the_whole(
    codec: str, content: bytes, lengths: list[int], random: Random
) -> None:
    """However they are cut; all are taken, and one byte more or less is an error."""
    stored = {"zstd": zstandard.compress, "gzip": gzip.compress, "": bytes}[codec](content)
    cuts = sorted({0, len(stored), *(random.randrange(len(stored) + 1) for _ in lengths)})
    parts = [np.frombuffer(stored[a:b], np.uint8) for a, b in itertools.pairwise(cuts)]
    target, left = np.empty(len(content), np.uint8), iter(parts)
    chunk_codecs.decode(codec, left, target)  # type: ignore[arg-type]
    assert target.tobytes() == content
    assert next(left, None) is None
    assert b"".join(chunk_codecs.decode_parts(codec, iter(parts), len(content))) == content  # type: ignore[arg-type]
    for size in {max(len(content) - 1, 0), len(content) + 1} - {len(content)}:
        with pytest.raises(ValueError, match="holds"):
            chunk_codecs.decode(codec, iter(parts), np.empty(size, np.uint8))  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_what_lies_behind_a_chunks_data_is_damage(codec: str) -> None:
    """However much: no more of it is read than a piece."""
    content = bytes(range(256)) * 9
    stored = np.frombuffer({"zstd": zstandard.compress, "gzip": gzip.compress}[codec](content), np.uint8)
    endless = itertools.chain([stored], itertools.repeat(np.zeros(1 << 17, np.uint8), 100))
    with pytest.raises(ValueError, match="can't be decompressed"):
        chunk_codecs.decode(codec, endless, np.empty(len(content), np.uint8))  # type: ignore[arg-type]
    assert len(list(endless)) >= 97


def test_bytes_that_arrive_in_several_requests_are_decompressed_as_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are fetched once, and none is left waiting."""
    monkeypatch.setattr(fetch_plan, "UNIT", 64)
    monkeypatch.setattr(fetch_plan, "LONGEST", 64)
    (tmp_path / "run").mkdir()
    written = write(tmp_path / "run", "zarr", "zstd", shapes={(40, 50): (20, 50)})
    with web_server(tmp_path) as server, open_checkpoint(f"{server.address}/run") as checkpoint:
        before = server.sent
        checkpoint.expect([("x0", 0, 2000)])
        np.testing.assert_array_equal(checkpoint.read("x0"), written["x0"])
        assert server.sent - before < checkpoint.size_bytes
        assert all(plan.is_over for plan in checkpoint._arrays._far._plans)  # type: ignore[attr-defined]


def test_bytes_are_fetched_once_if_less_is_read_at_a_time_than_was_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each chunk of a stretch that is expected counts as expected, and none is left waiting."""
    monkeypatch.setattr(fetch_plan, "UNIT", 700)
    monkeypatch.setattr(fetch_plan, "LONGEST", 700)
    (tmp_path / "run").mkdir()
    written = write(tmp_path / "run", "zarr", "zstd", shapes={(40, 50): (6, 50)})
    with web_server(tmp_path) as server, open_checkpoint(f"{server.address}/run") as checkpoint:
        before = server.sent
        checkpoint.expect([("x0", 0, 1000), ("x0", 1000, 2000)])
        for start in range(0, 2000, 250):
            found = checkpoint.read_range("x0", start, start + 250)
            np.testing.assert_array_equal(found, written["x0"].ravel()[start : start + 250])
        assert server.sent - before < checkpoint.size_bytes
        assert all(plan.is_over for plan in checkpoint._arrays._far._plans)  # type: ignore[attr-defined]


def test_slabs_are_kept_until_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is decoded once if its parts are read in turns with others'."""
    written = write(tmp_path, "zarr", "zstd")
    decoded: list[int] = []
    original = chunk_codecs.decode
    monkeypatch.setattr(orbax_stored, "decode", lambda *given: decoded.append(1) or original(*given))
    with open_checkpoint(tmp_path) as checkpoint:
        for start, name in itertools.product(range(7), ("x1", "x3")):
            np.testing.assert_array_equal(checkpoint.read_range(name, start, start + 1), written[name].ravel()[start])
        assert len(decoded) <= 3 + 4
    assert orbax_arrays._KEPT_SLABS > 2


@pytest.mark.parametrize(
    ("codec", "is_ocdbt", "name"),
    [("zstd", True, "manifest.ocdbt"), ("zstd", False, "x1/.zarray"), ("blosc", False, "x1/0")],
)
def test_files_of_an_impossible_size_are_damage(codec: str, is_ocdbt: bool, name: str, tmp_path: Path) -> None:
    """A sparse file may claim any: nobody reads it, and C++ does not end the process for want of memory."""
    write(tmp_path, "zarr", codec, is_ocdbt=is_ocdbt)
    os.truncate(tmp_path / name, 1 << 40)
    with pytest.raises(DamagedFileError, match=rf"{tmp_path}.*1099511627776 bytes long"):
        open_checkpoint(tmp_path)
