"""Whoever looks at a run's checkpoints, what they tell together is the same to the bit."""

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
from ckpt_inspect.runs import glimpses, inferring

TRUTH = {"beta_1": 0.8, "beta_2": 0.98, "epsilon": 1e-5}


class Losing(Executor):
    """Measures what it is given; is lost while it looks at the second part, and takes none after it."""

    def __init__(self) -> None:
        self.looks = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.looks += fn is glimpses.look_at
        if fn is glimpses.look_at and self.looks > 2:
            raise BrokenExecutor("its processes are gone")
        if fn is glimpses.look_at and self.looks > 1:
            future.set_exception(BrokenExecutor("a process is gone"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def parts_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of four checkpoints, of which workers look at two at a time."""
    monkeypatch.setattr(inferring, "STRETCH", 4)
    monkeypatch.setattr(inferring, "KEPT_CHECKPOINTS", 2)
    monkeypatch.setattr(glimpses, "TOGETHER", 2)


@pytest.mark.usefixtures("parts_of_two")
@pytest.mark.parametrize(
    "executor",
    [
        lambda: ThreadPoolExecutor(2),
        lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")),
        Losing,
    ],
    ids=["threads", "processes", "lost"],
)
@pytest.mark.parametrize("held", [0, 1 << 20], ids=["elements read here", "elements from there"])
def test_workers_look_at_a_run_as_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: Callable[[], Executor], held: int
) -> None:
    """Stretch by stretch, with one checkpoint among them that can't be read; also if the workers are lost."""
    monkeypatch.setattr(glimpses, "_HELD", held)
    save_run(tmp_path / "run", tuple(range(100, 340, 20)), **TRUTH)
    find_checkpoints(tmp_path / "run")[6].write_bytes(b"damaged")
    alone = analyze(tmp_path / "run", store=tmp_path / "alone.h5")
    with executor() as pool:
        assert analyze(tmp_path / "run", store=tmp_path / "shared.h5", executor=pool) == alone
    assert contents(tmp_path / "shared.h5") == contents(tmp_path / "alone.h5")


@pytest.mark.usefixtures("parts_of_two")
def test_what_workers_looked_at_is_not_opened_again_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The few elements of small checkpoints come with what was seen: this process opens the first and the last."""
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
