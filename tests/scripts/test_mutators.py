"""The mutators of scripts/fuzz.py: the same case each time, another file than the healthy one, and all formats."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import h5py
import numpy as np
import pytest

import ckpt_inspect
from ckpt_inspect.formats import FORMATS

ROOT = Path(__file__).parent.parent.parent
FIXTURES = ROOT / "fixtures"
sys.path.insert(0, str(ROOT / "scripts"))

import fuzz  # noqa: E402 - behind the path that it needs
import fuzz_work  # noqa: E402
from fuzz_work import Observed, judge  # noqa: E402
from mutators import MUTATED, STORE, Case, Mutated, format_of, make_case, mutate, originals_of  # noqa: E402
from mutators.hdf5_structures import lookup3, structures, without_times  # noqa: E402
from mutators.messages import decode, encode  # noqa: E402
from mutators.mutation import Checksum, Files, Mutator, Special, digest, remove_folder, write_files  # noqa: E402
from mutators.sorted_tables import read_table, write_table  # noqa: E402
from mutators.tensor_bundle import DTYPE, Bundle  # noqa: E402

NAMES = [mutated.name for mutated in MUTATED]
PAIRS = [(mutated.name, mutator) for mutated in MUTATED for mutator in mutated.mutators]
RARE = 40
"""Tries after which a mutator is said to change nothing."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store."""
    folder = tmp_path_factory.mktemp("stores")
    runs = [FIXTURES / "digits" / f"epoch-0{i}.keras" for i in (1, 2)]
    ckpt_inspect.analyze(runs, store=folder / "run.h5")
    return folder


def mutations(name: str, mutator: Mutator, stores: Path, seed: int) -> Iterator[tuple[str, str]]:
    """The first change that a mutator makes: digests of the healthy files and of the others."""
    originals = originals_of(name, FIXTURES, stores)
    for i in range(RARE):
        original = originals[i % len(originals)]
        made = mutate(mutator, original, Random(f"{seed}:{i}"))
        if made is not None:
            yield digest(original.files), digest(made[0])
            return


def test_every_format_is_mutated() -> None:
    """Whoever adds a format adds mutators of it."""
    assert {name for known in FORMATS for name in known.names} <= set(NAMES)
    assert STORE in NAMES


@pytest.mark.parametrize("mutated", MUTATED, ids=NAMES)
def test_originals_are_healthy(mutated: Mutated, stores: Path, tmp_path: Path) -> None:
    """What is mutated opens, without a Problem that would hide one of the mutation's, in the format that is said."""
    for i, original in enumerate(originals_of(mutated.name, FIXTURES, stores)):
        folder = tmp_path / str(i)
        write_files(original.files, folder)
        if mutated.name == STORE:
            assert len(ckpt_inspect.load(folder / original.target))
            continue
        with ckpt_inspect.open_checkpoint(folder / original.target) as checkpoint:
            assert checkpoint.tensors
            assert not [problem for problem in checkpoint.problems if problem.severity == "error"]
            expected = {"meta-graph": "tensor-bundle", "keras-weights-shards": "keras-weights-h5"}
            assert checkpoint.format == expected.get(mutated.name, mutated.name)


@pytest.mark.parametrize(("name", "mutator"), PAIRS, ids=[f"{n}-{m.name}-{m.checksum.value}" for n, m in PAIRS])
def test_a_mutation_differs_and_can_be_made_again(name: str, mutator: Mutator, stores: Path) -> None:
    """Each changes an original, and the same seed changes it in the same way."""
    first = list(mutations(name, mutator, stores, 1))
    assert first, "changes none of the originals"
    assert first[0][0] != first[0][1]
    assert first == list(mutations(name, mutator, stores, 1))


def test_a_case_is_made_again(stores: Path) -> None:
    """A seed and an index are a case; the next ones are others."""
    made: list[Case] = [make_case(5, i, FIXTURES, stores) for i in range(2 * len(MUTATED))]
    assert [make_case(5, i, FIXTURES, stores).digest for i in range(2 * len(MUTATED))] == [c.digest for c in made]
    assert len({case.digest for case in made}) == len(made)
    assert [case.format for case in made] == NAMES * 2
    assert format_of(len(MUTATED)) is MUTATED[0]
    assert make_case(6, 0, FIXTURES, stores).digest != made[0].digest


def test_names_of_mutators_are_unique() -> None:
    """A row of the table is one mutator."""
    for mutated in MUTATED:
        named = [(mutator.name, mutator.checksum) for mutator in mutated.mutators]
        assert len(set(named)) == len(named)


def test_tables_are_written_as_they_are_read() -> None:
    """Only what a mutator changes is changed: a table that is taken apart and put together has the same entries."""
    for path in (FIXTURES / "formats/keras/ckpt-1.index", FIXTURES / "formats/saver/v1.ckpt-2"):
        entries = read_table(path.read_bytes())
        assert read_table(write_table(entries)) == entries
        for _, value in entries:
            assert encode(decode(value)) == value


def test_a_bundle_with_recomputed_checksums_is_read(tmp_path: Path) -> None:
    """A tensor that is changed with its checksum is no damaged one."""
    original = originals_of("tensor-bundle", FIXTURES, FIXTURES)[0]
    files: Files = dict(original.files)
    bundle = Bundle(files, Random(0))
    key = next(key for key in bundle.entries if key and bundle.get(key, DTYPE) == 1)
    count = len(bundle.values(key)) // 4
    bundle.set_values(key, np.full(count, 7, "<f4").tobytes())
    bundle.write()
    write_files(files, tmp_path)
    with ckpt_inspect.open_checkpoint(tmp_path / original.target) as checkpoint:
        assert np.all(checkpoint.read(key.decode()) == 7)


def test_lookup3_is_that_of_hdf5() -> None:
    """HDF5's own checksums of a file with newer structures are found right."""
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        file["group/data"] = np.arange(4)
    sealed = [s for s in structures(stream.getvalue()) if s.seal is not None]
    assert {"superblock", "object header", "dataspace message"} <= {s.kind for s in sealed}
    for structure in sealed:
        assert structure.seal is not None
        stored = int.from_bytes(stream.getvalue()[structure.seal : structure.seal + 4], "little")
        assert lookup3(stream.getvalue()[structure.sealed_from : structure.seal]) == stored


def test_stores_are_the_same_whenever_they_are_made(stores: Path) -> None:
    """The times that HDF5's library writes are left out, and the checksums around them are right."""
    (original,) = originals_of(STORE, FIXTURES, stores)
    written = (stores / original.target).read_bytes()
    assert without_times(written) == original.files[original.target] == without_times(without_times(written))
    assert written != original.files[original.target]
    with h5py.File(io.BytesIO(original.files[original.target])) as file:
        assert "Conventions" in file.attrs


def test_special_files_are_made(tmp_path: Path) -> None:
    """What stands in a file's place is what it is called; it is all removed, however deep."""
    deep = "n/" * 1500 + "end"
    files: Files = {
        deep: Special("folder"),
        "a": Special("fifo"),
        "b": Special("folder"),
        "c": Special("link", "c"),
        "d": Special("sparse", size=1 << 33),
    }
    write_files(files, tmp_path / "case")
    case = tmp_path / "case"
    assert (case / "a").is_fifo()
    assert (case / "b").is_dir()
    assert (case / "c").is_symlink()
    assert (case / "d").stat().st_size == 1 << 33
    assert (case / deep).is_dir()
    remove_folder(case)
    assert list(tmp_path.iterdir()) == []


def test_outcomes() -> None:
    """What came of a case is compared with what comes of the healthy file."""
    healthy = Observed(values={"a": "1"}, errors={"analyze": "no moments"})
    healthy.remarks["known"] += 1

    def outcome(**changes: object) -> str:
        seen = Observed(values={"a": "1"}, errors={"analyze": "no moments"}, remarks=healthy.remarks.copy())
        for name, value in changes.items():
            setattr(seen, name, value)
        return judge(seen, healthy, 300e6).outcome

    assert outcome() == "same"
    assert outcome(values={"a": "2"}) == "silent"
    assert outcome(values={}) == "silent"
    assert outcome(values={"a": "2"}, remarks=healthy.remarks + type(healthy.remarks)(["new"])) == "reported"
    assert outcome(errors={"open": "damaged"}) == "clean error"
    assert outcome(errors={"open": "damaged"}, exceptions={"open": ("ValueError here", "")}) == "exception"
    assert outcome(peak=400e6) == "memory"


def test_a_place_is_found_in_either_kind_of_traceback() -> None:
    """Python's tracebacks end with the innermost place, faulthandler's begin with it."""
    lines = [f'  File "/x/ckpt_inspect/{name}.py", line {i}, in f' for i, name in enumerate(("outer", "inner"))]
    assert fuzz_work.innermost("\n".join(lines)) == "ckpt_inspect/inner.py:1 f"
    dumped = ["Thread 0x1 (most recent call first):", *(line.replace(", in", " in") for line in reversed(lines))]
    assert fuzz_work.innermost("\n".join(dumped)) == "ckpt_inspect/inner.py:1 f"


def test_a_campaign_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in the log isn't done again; a line that was cut off is."""
    log = tmp_path / "log.jsonl"
    first, second, third, fourth = (NAMES.index("tf1-v1") + i * len(NAMES) for i in range(4))
    rows = [
        {"seed": 1, "index": i, "format": "tf1-v1", "mutator": "values", "checksum": Checksum.KEPT.value, "outcome": o}
        for i, o in ((first, "same"), (second, "hang"))
    ]
    lines = [json.dumps(row) for row in ({"campaign": {"seed": 1, "formats": ["tf1-v1"]}}, *rows)]
    log.write_text("\n".join(lines) + '\n{"seed": 1, "ind')
    assert [row["index"] for row in fuzz.read_log(log).rows] == [first, second]
    assert list(fuzz.indices(["tf1-v1"], {first, second}, 4, float("inf"))) == [third, fourth]
    rows[1] |= {"where": "ckpt_inspect/x.py:1 f", "note": "why"}
    log.write_text("\n".join([lines[0], *map(json.dumps, rows)]))
    assert fuzz.main(["--table", str(log)]) == 1
    assert "1 x hang: ckpt_inspect/x.py:1 f" in capsys.readouterr().out


def test_a_dataset_is_the_same_whenever_it_is_made() -> None:
    """The time of a dataset that HDF5's library keeps it of, such as a virtual or compact one, is taken out."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("group/data", data=np.arange(4), track_times=True)
    written = stream.getvalue()
    at = written.index(bytes.fromhex("1200 0800 00000000 01000000")) + 12
    later = (
        written[:at] + (int.from_bytes(written[at : at + 4], "little") + 9).to_bytes(4, "little") + written[at + 4 :]
    )
    assert without_times(later) == without_times(written) != written
    with h5py.File(io.BytesIO(without_times(later))) as file:
        assert file["group/data"][...].tolist() == [0, 1, 2, 3]
