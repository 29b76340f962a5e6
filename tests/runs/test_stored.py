"""Stores that anybody may have written: checked before they are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_series

from ckpt_inspect import analyze, load
from ckpt_inspect.errors import StoreError
from ckpt_inspect.runs.elements import _escaped, _escaped_checkpoint
from ckpt_inspect.runs.stored import _found, storable

GIVEN = {"learning_rate": 0.01, "epsilon": 1e-7}

Change = Callable[[h5py.File, h5py.Group], None]


def _put(group: h5py.Group, name: str, values: object, **how: object) -> None:
    del group[name]
    group.create_dataset(name, data=values, **how)


def _huge(file: h5py.File, group: h5py.Group) -> None:
    del group["parameter"]
    group.create_dataset("parameter", (1 << 40,), h5py.string_dtype(), chunks=(100,))


def _linked(link: Callable[[], object], name: str = "path") -> Change:
    def change(file: h5py.File, group: h5py.Group) -> None:
        place = file if name in file else group
        del place[name]
        place[name] = link()

    return change


def _stored_elsewhere(file: h5py.File, group: h5py.Group) -> None:
    shape = group["update_rms"].shape
    del group["update_rms"]
    group.create_dataset("update_rms", shape, "f8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


DAMAGE: dict[str, Change] = {
    "another shape": lambda _, g: _put(g, "untouched", np.zeros((3, 9))),
    "another rank": lambda _, g: _put(g, "untouched", np.float64(3)),
    "words for numbers": lambda _, g: _put(g, "size", np.array(["a"] * 4, h5py.string_dtype())),
    "a shape that is none": lambda _, g: _put(g, "shape", np.array(["a\nb"] * 4, h5py.string_dtype())),
    "shapes of other sizes": lambda _, g: _put(g, "shape", np.array(["2,3,5,7"] * 4, h5py.string_dtype())),
    "numbers for words": lambda _, g: _put(g, "rule", np.zeros(3)),
    "a step that is no integer": lambda _, g: _put(g, "step", np.array([1.0, np.nan, 2.0])),
    "fewer parameters": lambda _, g: _put(g, "parameter", np.array(["a"], h5py.string_dtype())),
    "one name twice": lambda f, _: _put(f, "checkpoint", np.array(["a"] * 3, h5py.string_dtype())),
    "no checkpoint": lambda f, _: _put(f, "checkpoint", np.array([], h5py.string_dtype())),
    "bins of its own": lambda _, g: _put(g, "bin_edges", np.arange(len(g["bin_edges"]), dtype=float)),
    "filled bins that aren't there": lambda _, g: g["bin_edges"].attrs.__setitem__("filled", [0, 1 << 20]),
    "no filled bin": lambda _, g: g["bin_edges"].attrs.__setitem__("filled", [2, 2]),
    "filled bins that are words": lambda _, g: g["bin_edges"].attrs.__setitem__("filled", ["a", "b"]),
    "one filled bin": lambda _, g: g["bin_edges"].attrs.__setitem__("filled", 1),
    "thresholds that are a list": lambda f, _: f["findings"].attrs.__setitem__("thresholds", "[1]"),
    "a threshold that is a word": lambda f, _: f["findings"].attrs.__setitem__("thresholds", '{"spike": "x"}'),
    "Conventions that are numbers": lambda f, _: f.attrs.__setitem__("Conventions", np.zeros(3)),
    "a group for a variable": lambda _, g: (g.__delitem__("rule"), g.create_group("rule"))[0],
    "a trillion names": _huge,
    "an external link": _linked(lambda: h5py.ExternalLink("/etc/other.h5", "/d")),
    "a soft link": _linked(lambda: h5py.SoftLink("/files")),
    "an external link to a figure": _linked(lambda: h5py.ExternalLink("/etc/other.h5", "/d"), "step_where"),
    "an external group": _linked(lambda: h5py.ExternalLink("/etc/other.h5", "/"), "Adam"),
    "values in another file": _stored_elsewhere,
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    save_series(tmp_path / "run", 3)
    analyze(tmp_path / "run", given=GIVEN, store=tmp_path / "s.h5")
    return tmp_path / "s.h5"


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_is_refused_in_one_sentence(store: Path, change: Change) -> None:
    """Nothing is allocated for it, and no other file is read."""
    with h5py.File(store, "r+") as file:
        change(file, file["Adam"])
    with pytest.raises(StoreError, match=r"damaged|is not a store") as caught:
        load(store)
    assert str(caught.value).startswith(f"{store}: ")
    assert len(str(caught.value)) < 400


def test_figures_that_a_store_lacks_are_nan_and_it_grows(store: Path) -> None:
    """As one of an earlier version: what it has is kept, and what comes new has all figures."""
    whole = load(store)
    with h5py.File(store, "r+") as file:
        for name in ("moment_bound", "second_moment", "second_moment_histogram", "second_moment_bin_edges"):
            del file["Adam"][name]
    old = load(store)
    assert np.isnan(old.optimizers["Adam"].variables["moment_bound"]).all()
    assert np.array_equal(
        old.optimizers["Adam"].variables["effective_lr"], whole.optimizers["Adam"].variables["effective_lr"]
    )
    assert len(old.to_frame()) == len(whole.to_frame())
    save_series(store.parent / "run", 4)
    grown = analyze(store.parent / "run", given=GIVEN, store=store)
    assert len(grown) == 4
    assert np.isfinite(grown.optimizers["Adam"].variables["moment_bound"][-1]).any()


def test_damaged_bytes_never_end_the_process(store: Path) -> None:
    """Whatever is changed: it is refused, or it is not needed."""
    content = store.read_bytes()
    generator = np.random.default_rng(5)
    for _ in range(40):
        damaged = bytearray(content)
        at, length = int(generator.integers(len(content))), int(generator.integers(1, 64))
        damaged[at : at + length] = generator.bytes(length)
        store.write_bytes(damaged)
        with contextlib.suppress(StoreError):
            load(store)


def test_a_pipe_is_no_store(tmp_path: Path) -> None:
    """Nobody waits for its other end."""
    os.mkfifo(tmp_path / "s.h5")
    with pytest.raises(StoreError, match="is not a store"):
        load(tmp_path / "s.h5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "a\0b",
        "\x10",
        "\x10@",
        "\0\x10",
        "\x10\0",
        "\x10\x10@\0@",
        "\udcff",
        "\x10udcff",
        "\ud800\x10ud800",
    ],
)
def test_texts_come_back_whatever_they_hold(text: str) -> None:
    """HDF5's texts end at a NUL."""
    assert "\0" not in storable(text)
    assert _found(storable(text)) == text


def test_names_of_arrays_are_never_alike() -> None:
    """And those that can't be mistaken are as they were."""
    names = ["enc/w", "enc.w", "enc/w/", "/enc/w", "enc\0w", "w" * 2000, "w" * 2001]
    assert len({_escaped(name) for name in names}) == len(names)
    assert _escaped("enc/w") == "enc.w"
    assert _escaped_checkpoint("model.ckpt-10") == "model.ckpt-10"
    assert _escaped_checkpoint("a/b") != _escaped_checkpoint("a.b")
