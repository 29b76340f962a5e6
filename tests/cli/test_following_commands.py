"""`analyze --follow`, `--workers` and `--cluster`: what they print, and how they exit."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.adam_bundles import save_bundle, save_series
from support.command_line import Answer
from support.keras_files import Run

from ckpt_inspect import load


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three checkpoints, as old as they need be; what is written goes beside it."""
    monkeypatch.chdir(tmp_path)
    save_series(tmp_path / "run", 3)
    for file in (tmp_path / "run").iterdir():
        os.utime(file, (1e9, 1e9))
    return tmp_path / "run"


def test_a_line_a_checkpoint_in_a_pipe(folder: Path) -> None:
    """Under a heading; exit status 0 when the step has been taken."""
    answer = Answer("analyze", folder, "--follow", "--until", 30, "--every", 0.01)
    assert answer.code == 0
    heading, *lines = answer.out.splitlines()
    assert heading.split("  ")[0] == "checkpoint"
    assert [line.split()[:2] for line in lines] == [[f"model.ckpt-{n}", str(n)] for n in (10, 20, 30)]
    assert len(load("run.ckpt-inspect.h5")) == 3


def test_a_line_of_json_a_checkpoint(folder: Path) -> None:
    """With the figures of the line, and where the store is."""
    answer = Answer("analyze", folder, "--follow", "--idle", 0.05, "--every", 0.01, "--json")
    assert answer.code == 0
    documents = [json.loads(line) for line in answer.out.splitlines()]
    assert [document["optimizers"]["Adam"]["step"] for document in documents] == [10, 20, 30]
    assert {document["store"] for document in documents} == {"run.ckpt-inspect.h5"}


def test_a_finding_ends_it_with_1(folder: Path) -> None:
    """A job script stops the training then; the sentence names the finding."""
    run = Run().train(40)
    next(iter(run.second.values()))[:] = float("nan")
    save_bundle(run, folder / "model.ckpt-40")
    answer = Answer("analyze", folder, "--follow", "--fail-on", "critical", "--every", 0.01, "-q")
    assert answer.code == 1
    assert answer.sentence == "run: ended by --fail-on: nonfinite-state"
    assert Answer("analyze", folder, "--fail-on", "nonfinite-state", "-q").code == 1
    assert Answer("analyze", folder, "--fail-on", "unreachable-moment", "-q").code in (0, 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--every", 1], "give --follow as well"),
        (["--follow", "--elements"], "--elements are not kept of a training that goes on"),
        (["--follow", "--every", 0], "every must be a number of seconds above 0"),
        (["--follow", "--fail-on", "nonfinite-stat"], "did you mean nonfinite-state"),
        (["--workers", 2, "--cluster", "tcp://x"], "give one"),
        (["--workers", 2, "--elements"], "leave out the workers"),
        (["--workers", 0], "--workers"),
    ],
)
def test_wrong_usage(folder: Path, options: list[object], told: str) -> None:
    """Exit status 2, before anything is read."""
    answer = Answer("analyze", folder, *options)
    assert answer.code == 2
    assert told in " ".join(answer.remarks.replace("│", " ").split())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_it_with_a_whole_store(folder: Path, number: signal.Signals, status: int) -> None:
    """What was taken by then is in it."""
    words = [sys.executable, "-m", "ckpt_inspect", "analyze", str(folder), "--follow", "--every", "60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(4):  # the heading, and a line each
            process.stdout.readline()
        process.send_signal(number)
        assert process.wait(60) == status
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert len(load("run.ckpt-inspect.h5")) == 3


def test_a_live_table_on_a_terminal(folder: Path) -> None:
    """It is drawn in its own place, with what is waited for below."""
    words = [sys.executable, "-m", "ckpt_inspect", "analyze", str(folder), "--follow", "--idle", "0.2"]
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(words, stdout=terminal, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(terminal)
        shown = b""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                piece = os.read(main, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(main)
    assert process.returncode == 0
    text = shown.decode()
    assert "waiting for the first checkpoint" in text
    assert "3 new so far" in text
    assert "model.ckpt-30" in text


def test_workers_write_the_same_store(folder: Path) -> None:
    """Two processes, and this one alone; a cluster that isn't there is one sentence."""
    assert Answer("analyze", folder, "-o", "one.h5", "-q").code == 0
    assert Answer("analyze", folder, "-o", "two.h5", "-q", "--workers", 2).code == 0
    assert load("one.h5") == load("two.h5")
