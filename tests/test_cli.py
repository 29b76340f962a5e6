"""The command line: what it prints, where, and how it exits."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from keras_files import SHAPES, Run
from typer.main import get_command
from typer.testing import CliRunner

from ckpt_inspect._version import __version__
from ckpt_inspect.cli import app
from ckpt_inspect.usage import HELP

COMMANDS = ("analyze", "show", "diff", "report")


class Answer:
    """What a command left behind."""

    def __init__(self, *arguments: object) -> None:
        result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="ckpt-inspect")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.code = result.exit_code
        self.out = result.stdout
        self.remarks = result.stderr

    @property
    def sentence(self) -> str:
        """The one line on stderr, without the program's name."""
        (line,) = self.remarks.splitlines()
        assert line.startswith("ckpt-inspect: ")
        return line.removeprefix("ckpt-inspect: ")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Run().train(20).save(tmp_path / "model.h5")


@pytest.fixture
def later(tmp_path: Path) -> Path:
    return Run().train(25).save(tmp_path / "later.h5")


# --- help and usage


def test_first_page_names_every_command_and_common_option() -> None:
    """The hand-written page is what `--help` prints, and leaves out nothing that the commands have."""
    assert Answer("--help").out == HELP
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == set(COMMANDS)
    for name in commands:
        assert re.search(rf"^  {name} ", HELP, re.MULTILINE)
    shared = set.intersection(*({o for p in c.params for o in p.opts if o.startswith("--")} for c in commands.values()))
    assert {o for o in shared if o not in HELP} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_described(command: str) -> None:
    """Each argument and option of each command has a sentence of help."""
    for parameter in get_command(app).commands[command].params:  # type: ignore[attr-defined]
        assert parameter.help, parameter.name
        assert parameter.help.endswith("."), parameter.name


def test_version() -> None:
    """The version is printed, with or without the fast path."""
    assert Answer("--version").out == f"ckpt-inspect {__version__}\n"
    done = subprocess.run(
        [sys.executable, "-m", "ckpt_inspect", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ckpt-inspect {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["show"], "Missing argument"),
        (["show", "x", "--beta-1", "big"], "--beta-1"),
        (["show", "x", "--step", "-1"], "--step"),
        (["show", "x", "--rule", "sgd"], "Invalid value for --rule: 'sgd' is none of adam, amsgrad,"),
        (["show", "x", "--set", "beta_1=0.5"], "Invalid value for --set: 'beta_1=0.5' is not of the form"),
        (
            ["show", "x", "--set", "Adam.beta=1"],
            "Invalid value for --set: 'beta' in 'Adam.beta=1' is none of learning_rate",
        ),
        (["show", "x", "--set", "Adam.beta_1=a"], "Invalid value for --set: 'a' in 'Adam.beta_1=a' is not a number"),
        (["diff", "a"], "Missing argument"),
        (["diff", "a", "b", "-o", "c.txt"], "Invalid value for -o: 'c.txt' must end in .png, .svg or .pdf"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    """Wrong usage exits with 2, and stderr says what is wrong."""
    answer = Answer(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.remarks


# --- show


def test_show_tells_what_is_known_and_from_where(model: Path) -> None:
    """Every resolved value stands with its source, and sizes with what they hold."""
    answer = Answer("show", model)
    assert answer.code == 0
    lines = [re.split(r"  +", line) for line in answer.out.splitlines()]
    assert next(line[:2] for line in lines if line[0] == "rule") == ["rule", "adam"]
    assert next(line[:3] for line in lines if line[0] == "step") == ["step", "20", "checkpoint"]
    assert next(line[:3] for line in lines if line[0] == "learning_rate") == ["learning_rate", "0.01", "config"]
    assert next(line[:3] for line in lines if line[0] == "epsilon") == ["epsilon", "1e-07", "config"]
    assert ["dense/kernel", "12×3", "float32", "36", "first moment, second moment"] in lines
    sizes = {line[0]: line[1] for line in lines if line[0] in ("weights", "first moments", "second moments")}
    assert sizes == dict.fromkeys(("weights", "first moments", "second moments"), "236 B")


def test_show_json_is_one_document(model: Path) -> None:
    """With --json stdout holds one document with everything in it."""
    document = json.loads(Answer("show", model, "--json").out)
    (optimizer,) = document["optimizers"]
    assert optimizer["hyperparameters"]["beta_2"]["value"] == 0.999
    assert optimizer["hyperparameters"]["beta_2"]["source"] == "config"
    assert [p["name"] for p in document["parameters"]] == list(SHAPES)
    assert document["sizes"]["weights"] == 236


def test_given_values_override_and_say_so(model: Path) -> None:
    """What is given on the command line is shown as given."""
    answer = Answer("show", model, "--learning-rate", "0.5", "--step", "7", "--rule", "nadam", "--json")
    (optimizer,) = json.loads(answer.out)["optimizers"]
    assert optimizer["hyperparameters"]["learning_rate"]["value"] == 0.5
    assert optimizer["hyperparameters"]["learning_rate"]["source"] == "given"
    assert (optimizer["step"]["value"], optimizer["step"]["source"]) == (7, "given")
    assert optimizer["rule"]["value"] == "nadam"


def test_values_for_one_optimizer(model: Path) -> None:
    """--set names the optimizer; one that isn't there is an error."""
    name = json.loads(Answer("show", model, "--json").out)["optimizers"][0]["name"]
    answer = Answer("show", model, "--set", f"{name}.beta_1=0.25", "--json")
    (optimizer,) = json.loads(answer.out)["optimizers"]
    assert optimizer["hyperparameters"]["beta_1"]["value"] == 0.25
    wrong = Answer("show", model, "--set", "nobody.beta_1=0.25")
    assert wrong.code == 1
    assert "nobody" in wrong.sentence


def test_show_chooses_parameters(model: Path) -> None:
    """--include and --exclude choose rows."""
    answer = Answer("show", model, "--include", "*/kernel", "--exclude", "head/*", "--json")
    assert [p["name"] for p in json.loads(answer.out)["parameters"]] == ["dense/kernel"]


def test_show_of_a_folder_is_of_its_newest(tmp_path: Path) -> None:
    """A folder stands for its newest checkpoint, and stderr says which that is."""
    for step in (1, 2, 10):
        Run().train(step).save(tmp_path / f"model-{step}.h5")
    answer = Answer("show", tmp_path)
    assert answer.code == 0
    assert str(tmp_path / "model-10.h5") in answer.out
    assert answer.remarks == (
        f"info: {tmp_path} holds 3 checkpoints; the newest was taken: {tmp_path / 'model-10.h5'}\n"
    )
    assert Answer("show", tmp_path, "-q").remarks == ""


def test_show_of_what_has_no_adam(tmp_path: Path) -> None:
    """Weights only, another optimizer, and a fresh one are described, not refused."""
    run = Run()
    weights = Answer("show", run.save(tmp_path / "weights.h5", optimizer=None))
    sgd = Answer("show", run.save(tmp_path / "sgd.h5", {"name": "SGD", "learning_rate": 0.1}, "SGD"))
    fresh = Answer("show", run.save(tmp_path / "fresh.h5"))
    assert (weights.code, sgd.code, fresh.code) == (0, 0, 0)
    assert "weights only" in weights.out
    assert "sgd" in sgd.out
    assert "before its first update" in fresh.out


# --- diff


def test_diff_exit_codes(model: Path, later: Path, tmp_path: Path) -> None:
    """0 the same, 1 different, 2 trouble."""
    assert Answer("diff", model, model).code == 0
    assert Answer("diff", model, later).code == 1
    trouble = Answer("diff", model, tmp_path / "nosuch")
    assert trouble.code == 2
    assert (
        trouble.sentence == f"{tmp_path / 'nosuch'}: there is no such file or folder, and no checkpoint of that prefix"
    )


def test_diff_table(model: Path, later: Path) -> None:
    """The table has a row for each changed parameter, most first, and the steps between."""
    answer = Answer("diff", model, later)
    assert "+5 updates from a to b" in answer.out
    rows = [line.split() for line in answer.out.splitlines() if line.partition(" ")[0] in SHAPES]
    assert len(rows) == len(SHAPES)
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)


def test_diff_json(model: Path, later: Path) -> None:
    """With --json stdout holds the diff as one document."""
    document = json.loads(Answer("diff", model, later, "--json").out)
    assert document["optimizers"][0]["steps"] == 5
    assert {p["status"] for p in document["parameters"]} == {"changed"}


def test_diff_draws(model: Path, later: Path, tmp_path: Path) -> None:
    """-o writes a figure beside the table; a folder that isn't there is one sentence."""
    figure = tmp_path / "diff.png"
    answer = Answer("diff", model, later, "-o", figure)
    assert answer.code == 1
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert answer.remarks == f"drawn into {figure}\n"
    nowhere = Answer("diff", model, later, "-o", tmp_path / "no" / "diff.png")
    assert nowhere.code == 2
    assert "No such file or directory" in nowhere.sentence


# --- bad input


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x02}q\x00.")


BAD_FILES = [
    ("empty.h5", nothing, "is empty (0 bytes): it was not written or not copied; restore it"),
    ("pointer.h5", lfs_pointer, "is a Git LFS pointer, not the file it stands for; run `git lfs pull` to fetch that"),
    ("model.pt", pickle, "is a PyTorch file (a pickle), not a TensorFlow or Keras checkpoint"),
]


@pytest.mark.parametrize(("name", "make", "message"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
@pytest.mark.parametrize("command", ["show", "analyze"])
def test_bad_files(
    command: str, name: str, make: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no checkpoint is one sentence with its name, exit 1, and nothing written."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    answer = Answer(command, tmp_path / name)
    assert answer.code == 1
    assert answer.out == ""
    assert answer.sentence == f"{tmp_path / name}: {message}"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("command", ["show", "analyze"])
def test_folders_without_checkpoints(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and one with other things in it, is one sentence."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    for _ in range(2):
        answer = Answer(command, folder)
        assert answer.code == 1
        assert answer.sentence == f"{folder}: no checkpoint is in this folder or below it"
        (folder / "notes.txt").write_text("nothing to see")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_internal_errors_are_one_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What should not happen asks to be reported; -v shows where it happened."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("ckpt_inspect.show.overview", fail)
    answer = Answer("show", model)
    assert answer.code == 1
    assert answer.sentence == "this should not happen (KeyError: 'lost'): please report it; -v shows where"
    with pytest.raises(KeyError, match="lost"):
        Answer("show", model, "-v")


# --- as a process


def command_line(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ckpt_inspect", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_piped_output_is_plain(model: Path) -> None:
    """In a pipe nothing is coloured, boxed or cut off, whatever the terminal's width."""
    process = command_line("show", model, env={**os.environ, "COLUMNS": "40", "FORCE_COLOR": "1"})
    out, remarks = process.communicate()
    assert process.returncode == 0
    assert "\x1b" not in out + remarks
    assert not re.search("[─│┃━╭]", out)
    assert f"checkpoint  {model}" in out


def test_on_a_terminal(model: Path, later: Path) -> None:
    """On a terminal of 80 columns nothing is wider than that, and the progress bar leaves no trace in the table."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    command = [sys.executable, "-m", "ckpt_inspect", "diff", str(model), str(later)]
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    written = b""
    with contextlib.suppress(OSError):  # how a pseudo-terminal says that the other side is closed
        while part := os.read(master, 1 << 16):
            written += part
    os.close(master)
    assert process.wait() == 1
    assert b"\x1b[3" not in written
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode()).split("\r\n")
    assert sum(line.startswith(("dense/", "head/")) for line in lines) == len(SHAPES)
    assert max(len(line.split("\r")[-1]) for line in lines) <= 80


def test_a_reader_that_leaves_is_no_error(model: Path) -> None:
    """When the other end of the pipe closes, the command ends without a word."""
    process = command_line("show", model, "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
    process.stderr.close()


def test_interrupt_is_silent() -> None:
    """Ctrl-C ends the command with 130 and no traceback."""
    code = (
        "import sys, time, ckpt_inspect.selection as s\n"
        "s.open_newest = lambda path: (print('here', flush=True), time.sleep(60))\n"
        "sys.argv = ['ckpt-inspect', 'show', 'anything']\n"
        "from ckpt_inspect.__main__ import main\nmain()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, remarks = process.communicate(timeout=20)
    assert (process.returncode, remarks) == (130, "")
