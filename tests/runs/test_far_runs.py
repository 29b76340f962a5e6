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

from ckpt_inspect import analyze, load
from ckpt_inspect.runs.execution import UnitResult, Worker
from ckpt_inspect.runs.planning import Unit
from ckpt_inspect.storage import connecting, objects

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


class TestResuming:
    """What is in the store is not read again."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Three checkpoints of 5 MB, whose own files tell all."""
        model = TrainedModel(shapes={"dense/kernel": (512, 512), "head/kernel": (512, 300)})
        folder = tmp_path / "run"
        folder.mkdir()
        for step in (10, 20, 30):
            model.train(10).save(folder / f"m-{step}.h5")
        return folder

    def test_an_interrupted_analysis_goes_on_with_what_is_missing(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C while the second is measured: the first is in the store, and next time only its head is asked for."""
        measure = Worker.measure

        def interrupted(worker: Worker, unit: Unit) -> UnitResult:
            if unit.path.name == "m-20.h5":
                raise KeyboardInterrupt
            return measure(worker, unit)

        with web_server(folder.parent) as server:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(Worker, "measure", interrupted)
                analyze(f"{server.address}/run", store=tmp_path / "s.h5")
            assert list(load(tmp_path / "s.h5").checkpoints["checkpoint"]) == ["m-10.h5"]
            objects.forget()
            server.sent_of.clear()
            found = analyze(f"{server.address}/run", store=tmp_path / "s.h5")
            assert list(found.checkpoints["checkpoint"]) == ["m-10.h5", "m-20.h5", "m-30.h5"]
            sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
            shares = {name: server.sent_of[f"/run/{name}"] / size for name, size in sizes.items()}
            assert shares["m-10.h5"] < 0.1
            assert all(1 <= shares[name] < 1.1 for name in ("m-20.h5", "m-30.h5"))
            server.sent_of.clear()
            objects.forget()
            analyze(f"{server.address}/run", store=tmp_path / "s.h5")
            assert sum(server.sent_of.values()) < 0.1 * sum(sizes.values())

    def test_a_connection_is_lost(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was measured is stored, the server is given up once for all that is left, and nothing is called gone;
        the next analysis reads the rest."""
        monkeypatch.setattr(connecting, "RETRIES", 1)
        measure = Worker.measure
        with web_server(folder.parent) as server:

            def lost(worker: Worker, unit: Unit) -> UnitResult:
                if unit.path.name == "m-20.h5":
                    server.fault, server.every = "reset", 1
                    objects.forget()
                return measure(worker, unit)

            with monkeypatch.context() as patch:
                patch.setattr(Worker, "measure", lost)
                patch.setattr(Worker, "prepare", lambda worker, unit: None)  # or all were here before
                found = analyze(f"{server.address}/run", store=tmp_path / "s.h5")
            assert list(found.checkpoints["checkpoint"]) == ["m-10.h5"]
            assert [failure.checkpoint for failure in found.failures] == ["m-20.h5", "m-30.h5"]
            for failure in found.failures:
                assert failure.problem.severity == "error"
                assert "closes the connection without an answer" in failure.problem.message
            server.fault = ""
            objects.forget()
            found = analyze(f"{server.address}/run", store=tmp_path / "s.h5")
            assert list(found.checkpoints["checkpoint"]) == ["m-10.h5", "m-20.h5", "m-30.h5"]
            assert not found.failures
