"""Runs on another machine: one window of what is fetched ahead goes over all of their checkpoints, in their order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.keras_files import Run as TrainedModel
from support.object_servers import WebServer, web_server
from support.silent_runs import save_run

from ckpt_inspect import analyze
from ckpt_inspect.runs.execution import UnitResult, Worker
from ckpt_inspect.runs.planning import Unit
from ckpt_inspect.storage import objects

STEPS = (100, 120, 140)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three checkpoints, that tell something together."""
    folder = tmp_path / "run"
    save_run(folder, STEPS, beta_2=0.98)
    return folder


@pytest.fixture
def web(run: Path) -> Iterator[WebServer]:
    """Serve its folder on the web."""
    objects.forget()
    with web_server(run.parent) as server:
        yield server
    objects.forget()


def test_the_next_checkpoint_is_opened_while_one_is_measured(
    web: WebServer, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the one before to be measured, and that one for it to be prepared: both come to their end."""
    expected = analyze(run)
    prepared = {name: threading.Event() for name in sorted(path.name for path in run.iterdir())}
    prepare, measure = Worker.prepare, Worker.measure

    def tell(worker: Worker, unit: Unit) -> None:
        prepare(worker, unit)
        prepared[unit.path.name].set()

    def wait_for_next(worker: Worker, unit: Unit) -> UnitResult:
        following = [name for name in prepared if name > unit.path.name][:1]
        assert all(prepared[name].wait(20) for name in following)
        return measure(worker, unit)

    monkeypatch.setattr(Worker, "prepare", tell)
    monkeypatch.setattr(Worker, "measure", wait_for_next)
    far = analyze(f"{web.address}/run")
    for name, optimizer in expected.optimizers.items():
        for variable in ("effective_lr", "update_rms", "step", "beta_2", "window_updates"):
            np.testing.assert_array_equal(far.optimizers[name].variables[variable], optimizer.variables[variable])


def test_no_byte_of_a_run_is_fetched_twice(tmp_path: Path) -> None:
    """But for a few of headers."""
    model = TrainedModel(shapes={"dense/kernel": (512, 512), "head/kernel": (512, 300)})
    for _ in STEPS:
        model.train(3).save(tmp_path / f"m-{model.step}.h5")
    with web_server(tmp_path) as server:
        analyze(server.address)
        assert server.sent < 1.1 * sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_checkpoint_that_cant_be_read_holds_up_none(web: WebServer, run: Path) -> None:
    """The others are measured, and it is said which one failed."""
    middle = sorted(run.iterdir())[1]
    middle.write_bytes(middle.read_bytes()[: middle.stat().st_size // 2])
    found = analyze(f"{web.address}/run")
    assert [failure.checkpoint for failure in found.failures] == [middle.name]
    assert list(found.checkpoints["checkpoint"]) == ["m-0100.h5", "m-0140.h5"]
