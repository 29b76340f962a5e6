"""Small tensors measured together, against each by itself: the same to the bit."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ckpt_inspect.checkpoint import Checkpoint, StoredElements, TensorSpec
from ckpt_inspect.layouts.found import FoundParameter
from ckpt_inspect.measurement import sweep as sweep_module
from ckpt_inspect.measurement.small import small_bytes
from ckpt_inspect.measurement.summaries import EXACT_ELEMENTS, Summary
from ckpt_inspect.measurement.sweep import Measured, Sweep, keys_of
from ckpt_inspect.native import loops
from ckpt_inspect.state.optimizer_state import Parameter
from ckpt_inspect.update_rules import Settings, find_rule
from ckpt_inspect.update_rules.implementations import TF1

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(loops is None, reason="the loops were not compiled")

RULES = ("adam", "amsgrad", "adamw", "adamax", "nadam", "radam", "rmsprop", "adagrad", "lamb")
SLOTS = {"m": "first_moment", "v": "second_moment", "vhat": "max_second_moment", "mg": "mean_gradient"}


class Held(Checkpoint):
    """Arrays that lie in a file one after another, if there is one, and are read by Python otherwise."""

    def __init__(self, arrays: dict[str, Array], file: Path | None = None) -> None:
        self.path, self.format = Path("held"), "held"
        self._arrays = {name: array.ravel() for name, array in arrays.items()}
        self.tensors = {name: TensorSpec(name, array.shape, array.dtype.name) for name, array in arrays.items()}
        self.counted: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._file = None
        if file is not None:
            data = bytearray(b"odd")
            for name, array in self._arrays.items():
                self._offsets[name] = len(data)
                data += array.tobytes()
            file.write_bytes(data)
            self._file = file.open("rb")

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        return self._arrays[name][start:stop].copy()

    def stored_elements(self, name: str) -> StoredElements | None:
        if self._file is None:
            return None

        def count(start: int, stop: int, crc: int) -> None:
            assert (start, stop) == (0, self._arrays[name].nbytes)
            self.counted[name] = crc

        return StoredElements(self._file.fileno(), self._offsets[name], lambda start, stop: True, count)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def held_arrays(shapes: list[tuple[int, ...]], dtype: Any, seed: int, spoiled: bool) -> dict[str, Array]:
    """What training leaves of each shape, some of it never touched; or infinite, negative and not a number."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for number, shape in enumerate(shapes):
        gradient = rng.normal(size=shape) * 10.0 ** rng.uniform(-9, 1, shape)
        arrays = {"m": gradient * rng.uniform(-1, 1, shape), "v": gradient**2, "": rng.normal(size=shape)}
        arrays["v"] = np.where(rng.random(shape) < 0.1, 0, arrays["v"])
        if rng.random() < 0.3:  # what is under a root is mostly one and the same number
            arrays["v"] = np.where(rng.random(shape) < 0.9, 1e-6, arrays["v"])
        if spoiled:
            odd = [np.nan, np.inf, -np.inf, -1.0, 1e-42, 1e-320]
            arrays = {k: np.where(rng.random(shape) < 0.05, rng.choice(odd), array) for k, array in arrays.items()}
        arrays["vhat"], arrays["mg"] = arrays["v"] * rng.uniform(1, 3, shape), gradient * 0.5
        with np.errstate(all="ignore"):
            for slot, array in arrays.items():
                found[f"{number}/{slot}"] = np.asarray(array, dtype)
    return found


def parameters(checkpoint: Held, rule: str, options: dict[str, Any], lacking: set[str]) -> list[Parameter]:
    settings = Settings(TF1, **{"step": 9, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-4, **options})
    found = []
    for key in (key for key in checkpoint.tensors if key.endswith("/")):
        spec = checkpoint.tensors[key]
        slots = {name: f"{key}{slot}" for slot, name in SLOTS.items() if slot not in lacking}
        value = None if "" in lacking else key
        own = FoundParameter(key, spec.shape, spec.dtype, value, slots)
        found.append(Parameter(key, spec.shape, spec.dtype, own, checkpoint, find_rule(rule), settings))
    return found


def check_same(one: Measured, other: Measured) -> None:
    for name in ("untouched_rows", "samples", "second_moment_samples", "value_samples"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for field in dataclasses.fields(Summary):
        a, b = getattr(one.summary, field.name), getattr(other.summary, field.name)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b, err_msg=field.name)


def by_themselves(some: list[Parameter]) -> Measured:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "small_bytes", lambda *_: 0)
        return Sweep(some).run()


shapes_of_all = st.lists(
    st.one_of(
        st.integers(1, 300).map(lambda n: (n,)),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.sampled_from([(), (EXACT_ELEMENTS,), (128, 128), (EXACT_ELEMENTS + 1,), (0,), (3, 0), (2, 3, 5), (1, 700)]),
    ),
    min_size=1,
    max_size=6,
)


@given(
    shapes=shapes_of_all,
    dtype=st.sampled_from([np.float32, np.float64, np.float16]),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 1 << 30),
    spoiled=st.booleans(),
    lacking=st.sets(st.sampled_from(["", "m", "vhat", "mg"])),
    options=st.fixed_dictionaries(
        {"learning_rate": st.sampled_from([None, 1e-3, 0.0]), "weight_decay": st.sampled_from([None, 0.0, 0.01])}
    ),
    is_stored=st.booleans(),
)
def test_together_they_are_what_each_is_by_itself(
    shapes: list[tuple[int, ...]],
    dtype: Any,
    rule: str,
    seed: int,
    spoiled: bool,
    lacking: set[str],
    options: dict[str, Any],
    is_stored: bool,
) -> None:
    """Counts, quantiles, histograms, sums and samples of any rule, shape, type and values; read from files or not."""
    arrays = held_arrays(shapes, dtype, seed, spoiled)
    lacking -= {"vhat"} if rule == "amsgrad" else set()  # of which then nothing can be measured
    with (
        tempfile.TemporaryDirectory() as folder,
        Held(arrays, Path(folder) / "data" if is_stored else None) as checkpoint,
    ):
        some = parameters(checkpoint, rule, options, lacking)
        found = Sweep(some).run()
        for name, crc in checkpoint.counted.items():
            assert crc == google_crc32c.value(arrays[name].tobytes())
        check_same(found, by_themselves(some))


def test_rules_are_measured_together(tmp_path: Path) -> None:
    """What the others compare is there: of every rule, unless a tensor is large or of halves."""
    for dtype, is_expected in ((np.float32, True), (np.float64, True), (np.float16, False)):
        with Held(held_arrays([(5, 7), (EXACT_ELEMENTS + 1,)], dtype, 0, False), tmp_path / "data") as checkpoint:
            for rule in RULES:
                options = {"learning_rate": 1e-3, "weight_decay": 0.0}
                some = parameters(checkpoint, rule, options, set())
                measured = Sweep(some).run()
                keys = [keys_of(parameter) for parameter in some]
                found = [small_bytes(*each) for each in zip(some, measured.formulas, keys, strict=True)]
                assert [nbytes > 0 for nbytes in found] == [is_expected, False]


@pytest.mark.parametrize("threads", [1, 2])
def test_many_are_shared_between_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """In the parameters' order, whoever measured them; and the bytes that are done add up."""
    monkeypatch.setattr(sweep_module, "_INLINE_BYTES", 0)
    monkeypatch.setattr(sweep_module, "_TOGETHER", 5000)
    shapes = [(n % 30 + 1, 7) for n in range(200)] + [(EXACT_ELEMENTS * 3,)] + [(n + 1,) for n in range(50)]
    arrays = held_arrays(shapes, np.float32, 1, True)
    with Held(arrays, tmp_path / "data") as checkpoint:
        some = parameters(checkpoint, "adam", {"learning_rate": 1e-3, "weight_decay": 0.0}, {"vhat", "mg"})
        done: list[int] = []
        check_same(Sweep(some, threads=threads, progress=done.append).run(), by_themselves(some))
    assert sum(done) == sum(3 * 4 * math.prod(shape) for shape in shapes)


BAD = {
    "a type that there isn't": (0, 2),
    "a size of nothing": (2, 0),
    "more than is small": (2, EXACT_ELEMENTS + 1),
    "rows that don't divide it": (3, 4),
    "coefficients that aren't there": (4, 1),
    "an offset before the file": (6, -5),
    "a descriptor that there can't be": (5, -7),
    "no second moment": (9, -1),
    "memory that wasn't given": (7, -2),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_there_can_not_be_is_refused(bad: str) -> None:
    """An exception, and no memory is touched."""
    assert loops is not None
    table = np.array([[0, 0, 15, 3, 0, 0, 0, 0, 0, 0, 0, -1, 0, -1, 0]], np.int64)
    table[0, BAD[bad][0]] = BAD[bad][1]
    coarse = np.zeros(1 << 14, np.int32)
    with pytest.raises(ValueError, match="there is no such tensor"):
        loops.small(
            table, None, np.ones((1, 14)), np.zeros((1, 2), np.int64), np.array([0.5]), (coarse, coarse),
            np.zeros(144, np.uint8), np.zeros(5, np.uint32), np.zeros(1, np.int64), np.zeros(10), np.zeros(4),
            (np.zeros(1, np.int64), np.zeros(1, np.int64)),
        )  # fmt: skip
