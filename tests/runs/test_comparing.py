"""Whoever compares a run's checkpoints, what they tell together is the same to the bit."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.silent_runs import save_run
from support.store_contents import contents

from ckpt_inspect import analyze, find_checkpoints
from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.formats.opened import OpenCheckpoints
from ckpt_inspect.runs import comparing, inferring

TRUTH = {"beta_1": 0.8, "beta_2": 0.98, "epsilon": 1e-5}


class Losing(Executor):
    """Measures what it is given; is lost while it compares the second stretch, and takes none after it."""

    def __init__(self) -> None:
        self.stretches = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.stretches += fn is comparing.compare
        if fn is comparing.compare and self.stretches > 2:
            raise BrokenExecutor("its processes are gone")
        if fn is comparing.compare and self.stretches > 1:
            future.set_exception(BrokenExecutor("a process is gone"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def stretches_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of four checkpoints, each of which a worker compares."""
    monkeypatch.setattr(inferring, "STRETCH", 4)
    monkeypatch.setattr(inferring, "LATER_STRETCH", 4)
    monkeypatch.setattr(inferring, "KEPT_CHECKPOINTS", 2)
    monkeypatch.setattr(comparing, "MANY", 2)


@pytest.mark.usefixtures("stretches_of_four")
@pytest.mark.parametrize(
    "executor",
    [
        lambda: ThreadPoolExecutor(2),
        lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")),
        Losing,
    ],
    ids=["threads", "processes", "lost"],
)
@pytest.mark.parametrize("gone", [(), (0, 1, 8)], ids=["all there", "some gone"])
def test_workers_compare_a_run_as_this_process_does(
    tmp_path: Path, executor: Callable[[], Executor], gone: tuple[int, ...]
) -> None:
    """Stretch by stretch, with one checkpoint among them that can't be read; also if the workers are lost, and with
    what the store keeps of checkpoints that are gone."""
    save_run(tmp_path / "run", tuple(range(100, 340, 20)), **TRUTH)
    paths = find_checkpoints(tmp_path / "run")
    paths[6].write_bytes(b"damaged")
    late = [path.rename(path.with_suffix(".late")) for path in paths[9:]] if gone else []
    stores = [tmp_path / "alone.h5", tmp_path / "shared.h5"]
    if gone:
        for store in stores:
            analyze(tmp_path / "run", store=store)
    for place in gone:
        paths[place].unlink()
    for path in late:
        path.rename(path.with_suffix(paths[0].suffix))
    alone = analyze(tmp_path / "run", store=stores[0])
    with executor() as pool:
        assert analyze(tmp_path / "run", store=stores[1], executor=pool) == alone
    assert contents(stores[1]) == contents(stores[0])


@pytest.mark.usefixtures("stretches_of_four")
def test_what_workers_compare_is_not_opened_for_it_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process opens the first and the last."""
    save_run(tmp_path / "run", tuple(range(100, 340, 20)), **TRUTH)
    opened: list[str] = []
    real = OpenCheckpoints.get

    def get(self: OpenCheckpoints, path: Path) -> Checkpoint:
        opened.append(path.name)
        return real(self, path)

    monkeypatch.setattr(OpenCheckpoints, "get", get)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        analyze(tmp_path / "run", store=tmp_path / "s.h5", executor=pool)
    paths = find_checkpoints(tmp_path / "run")
    assert set(opened) <= {paths[0].name, paths[-1].name}
