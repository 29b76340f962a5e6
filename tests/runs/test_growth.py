"""The store of a long run grows by its own rows, and is that of a run that was analysed at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import Run

from ckpt_inspect import Analyses, analyze, load
from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs import analyze as analysing
from ckpt_inspect.runs import growth, reading, saving, store, store_writing
from ckpt_inspect.runs.stored_runs import stored_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    save_series(path, 9)
    return path


@pytest.fixture(scope="module")
def paths(folder: Path) -> list[Path]:
    return sorted((p.with_suffix("") for p in folder.glob("*.index")), key=lambda p: int(p.name.rpartition("-")[2]))


@pytest.fixture(scope="module")
def at_once(paths: list[Path]) -> Analyses:
    """The run, held in memory, without the figures that a long one doesn't have."""
    return without_whole_paths(analyze(paths))


def without_whole_paths(run: Analyses) -> Analyses:
    for optimizer in run.optimizers.values():
        for name in ("path_distance", "path_straightness"):
            optimizer.variables[name][:] = np.nan
    return run


def rows_written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The first row and the number of those that are written together, from now on."""
    rows: list[tuple[int, int]] = []
    write = store_writing.write_rows

    def noted(run: RunColumns, file: Any, at: int) -> None:
        rows.append((at, len(run)))
        write(run, file, at)

    monkeypatch.setattr(store_writing, "write_rows", noted)
    return rows


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs of a few checkpoints long ones, and their stores large."""
    monkeypatch.setattr(analysing, "LONG", 3)
    monkeypatch.setattr(reading, "PART", 2)
    monkeypatch.setattr(growth, "_SLAB", 5)
    monkeypatch.setattr(store, "LARGE", 0)


@pytest.mark.usefixtures("few")
def test_a_long_run_is_written_as_it_is_read(paths: list[Path], at_once: Analyses, tmp_path: Path) -> None:
    """Its columns are read when they are asked for, and are those of a run that is held."""
    run = analyze(paths, store=tmp_path / "s.h5")
    assert stored_run(run) is not None
    assert run == at_once == load(tmp_path / "s.h5")
    assert run.findings == at_once.findings
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


@pytest.mark.usefixtures("few")
def test_a_store_grows_row_by_row(paths: list[Path], at_once: Analyses, tmp_path: Path) -> None:
    """Whether it was short before or long; what is appended is in no other store's place."""
    for count in (2, 3, 5, 6, len(paths)):
        run = analyze(paths[:count], store=tmp_path / "s.h5")
    assert run == at_once == load(tmp_path / "s.h5")


@pytest.mark.usefixtures("few")
def test_only_the_new_rows_are_written(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that stay as they are stay where they are."""
    analyze(paths[:-1], store=tmp_path / "s.h5")
    rows = rows_written(monkeypatch)
    analyze(paths, store=tmp_path / "s.h5")
    assert rows == [(len(paths) - 1, 1)]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("octaves", [-3, 3, -40, 40])
def test_a_value_outside_of_all_bins_costs_its_own_row(
    octaves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has room for some bins more; for others it is written anew. What is loaded has those that are filled,
    as a run that is held."""
    folder, run = tmp_path / "run", Run()
    folder.mkdir()
    for _ in range(6):
        save_bundle(run.train(10), folder / f"model.ckpt-{run.step}")
    before = analyze(folder, store=tmp_path / "s.h5", infer=False)
    run.train(10)
    run.second = {name: second * np.float32(4.0**octaves) for name, second in run.second.items()}
    save_bundle(run, folder / f"model.ckpt-{run.step}")
    rows = rows_written(monkeypatch)
    grown = analyze(folder, store=tmp_path / "s.h5", infer=False)
    assert grown == load(tmp_path / "s.h5") == without_whole_paths(analyze(folder, infer=False))
    (old, new) = (r.optimizers["Adam"].variables["second_moment_bin_edges"] for r in (before, grown))
    assert len(new) > len(old)
    assert (rows == [(6, 1)]) == (abs(octaves) == 3)


@pytest.mark.usefixtures("few")
def test_what_comes_before_the_rest_goes_there(paths: list[Path], at_once: Analyses, tmp_path: Path) -> None:
    """Then the whole store is written anew."""
    analyze([*paths[:4], *paths[6:]], store=tmp_path / "s.h5")
    assert analyze(paths, store=tmp_path / "s.h5") == at_once


@pytest.mark.usefixtures("few")
def test_a_store_in_between_is_part_of_the_whole(
    paths: list[Path], at_once: Analyses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written while there is more to read is appended to."""
    monkeypatch.setattr(saving, "_SAVE_AFTER", 0.0)
    monkeypatch.setattr(saving, "_SAVE_SHARE", 0.0)
    assert analyze(paths, store=tmp_path / "s.h5") == at_once


@pytest.mark.usefixtures("few")
def test_the_order_of_an_executor_is_nothing_to_a_long_run(
    paths: list[Path], at_once: Analyses, tmp_path: Path
) -> None:
    """Rows stand in training order."""
    with ThreadPoolExecutor(3) as executor:
        assert analyze(paths, store=tmp_path / "s.h5", executor=executor) == at_once


@pytest.mark.usefixtures("few")
def test_an_interrupt_keeps_what_was_read_of_a_long_run(paths: list[Path], at_once: Analyses, tmp_path: Path) -> None:
    """And the next analysis reads the rest."""

    def stop(done: int, total: int) -> None:
        if done > total * 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze(paths, store=tmp_path / "s.h5", progress=stop)
    assert 0 < len(load(tmp_path / "s.h5")) < len(paths)
    assert analyze(paths, store=tmp_path / "s.h5") == at_once


@pytest.mark.usefixtures("few")
def test_writing_that_fails_leaves_the_store_of_a_long_run(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written of the copy, and wherever it stops."""
    analyze(paths[:-2], store=tmp_path / "s.h5")
    before = (tmp_path / "s.h5").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("write_rows", "write_problems", "write_findings"):
        with monkeypatch.context() as patched, pytest.raises(StoreError, match="No space left"):
            patched.setattr(store_writing, name, fail)
            analyze(paths, store=tmp_path / "s.h5")
        assert (tmp_path / "s.h5").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]


@pytest.mark.usefixtures("few")
def test_what_was_loaded_stays_what_it_was(paths: list[Path], tmp_path: Path) -> None:
    """Though another analysis puts another store in its place."""
    before = analyze(paths[:6], store=tmp_path / "s.h5")
    analyze(paths, store=tmp_path / "s.h5")
    (optimizer,) = before.optimizers.values()
    assert len(optimizer.variables["step"]) == len(before) == 6
    np.testing.assert_array_equal(optimizer.variables["step"], [10, 20, 30, 40, 50, 60])
