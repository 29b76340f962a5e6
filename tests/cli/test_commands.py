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

import h5py
import pytest
from support.command_line import Answer
from support.keras_files import ADAM, SHAPES, Run
from support.openings import before_opening
from typer.main import get_command

from ckpt_inspect._version import __version__
from ckpt_inspect.cli.app import app
from ckpt_inspect.cli.usage import HELP

COMMANDS = ("analyze", "show", "diff", "check", "report", "export", "explain")


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
    described = get_command(app).commands[command]  # type: ignore[attr-defined]
    context = described.make_context(command, [], resilient_parsing=True)
    for parameter in described.params:
        _, text = parameter.get_help_record(context)
        assert re.search(r"\w\.(  \[.*\])?$", text), parameter.name


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
        (["nonsense"], "No such command 'nonsense'; `ckpt-inspect --help` describes all"),
        (["show"], "Missing argument"),
        (["show", "x", "--beta-1", "big"], "--beta-1"),
        (["show", "x", "--step", "-1"], "--step"),
        (["show", "x", "--rule", "sgd"], "Invalid value for --rule: 'sgd' is none of adam, amsgrad,"),
        (["show", "x", "--set", "beta_1=0.5"], "Invalid value for --set: 'beta_1=0.5' is not of the form"),
        (
            ["show", "x", "--set", "Adam.beta=1"],
            "Invalid value for --set: 'beta' in 'Adam.beta=1' is none of learning_rate",
        ),
        (["show", "x", "--set", "beta_1=0.5"], "for all optimizers give --beta-1 0.5"),
        (["show", "x", "--set", "Adam.lr=0.1"], "; did you mean learning_rate?"),
        (["show", "x", "--set", "Adam.stepp=3"], "; did you mean step?"),
        (["show", "x", "--set", "Adam.beta_1=a"], "Invalid value for --set: 'a' in 'Adam.beta_1=a' is not a number"),
        (["show", "x", "--epsilom", "1"], "No such option: --epsilom (Possible options: --epsilon"),
        (["check", "x", "--include", "y"], "--include can't be given to check; give it to analyze, "),
        (["."], ".: which command? `ckpt-inspect analyze .`, perhaps"),
        (["s3://bucket/run"], "s3://bucket/run: which command? `ckpt-inspect analyze s3://bucket/run`, perhaps"),
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


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [(["show", "x", "--sep", "1"], "usage", 2), (["show", "nowhere"], "NotFoundError", 1), (["check", "."], "", 2)],
)
def test_errors_are_json_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: str, code: int
) -> None:
    """With --json what went wrong is one document on stdout, and the same sentence on stderr."""
    monkeypatch.chdir(tmp_path)
    answer = Answer(*arguments, "--json")
    error = json.loads(answer.out)["error"]
    assert answer.code == error["exit_code"] == code
    assert answer.sentence == error["message"]
    assert error["kind"] == (kind or "NotFoundError")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_for_people(command: str) -> None:
    """No help page names a type of Python's, and each calls a thing as its own sentences do."""
    answer = Answer(command, "-h")
    assert answer.out == Answer(command, "--help").out
    assert "<" not in answer.out.replace("<folder>", "")
    assert "{" not in answer.out


def test_no_option_always_fails() -> None:
    """An option that a command refuses whatever stands beside it is none of its options."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {name: {o for p in command.params for o in p.opts} for name, command in commands.items()}
    assert not options["check"] & {"--include", "--exclude"}
    assert not (options["report"] | options["export"]) & {"--beta-1", "--epsilon", "--rule", "--step", "--set"}


# --- show


def test_show_tells_what_is_known_and_from_where(model: Path) -> None:
    """Every resolved value stands with its source, and sizes with what they hold."""
    answer = Answer("show", model)
    assert answer.code == 0
    lines = [re.split(r"  +", line) for line in answer.out.splitlines()]
    assert next(line[:2] for line in lines if line[0] == "rule") == ["rule", "adam"]
    assert next(line[:3] for line in lines if line[0] == "step") == ["step", "20", "checkpoint"]
    assert next(line[:3] for line in lines if line[0] == "learning_rate") == ["learning_rate", "0.01", "config"]
    assert next(line[:3] for line in lines if line[0] == "epsilon") == ["epsilon", "10⁻⁷", "config"]
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
    beside = [figure.with_name(f"{figure.stem}-{tail}{figure.suffix}") for tail in ("by-rate", "distributions")]
    assert answer.remarks == f"drawn into {', '.join(map(str, (figure, *beside)))}\n"
    assert all(drawn.stat().st_size > 10_000 for drawn in beside)
    nowhere = Answer("diff", model, later, "-o", tmp_path / "no" / "diff.png")
    assert nowhere.code == 2
    assert "there is no folder" in nowhere.sentence


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
    os.utime(tmp_path / name, (1e9, 1e9))  # of a young one it is said that it may still be being written
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

    monkeypatch.setattr("ckpt_inspect.overview.overview.overview", fail)
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
        "import sys, time, ckpt_inspect.series.newest as s\n"
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


# --- analyze and report


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of three checkpoints, and the command line beside it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    run = Run()
    for step in (5, 10, 15):
        run.train(5).save(folder / f"model-{step:03}.h5")
    return folder


STORE = "run.ckpt-inspect.h5"


def test_analyze_prints_the_newest_and_the_run(folder: Path) -> None:
    """A row a parameter with its median E, its band, and its course; the store is named after the folder."""
    answer = Answer("analyze", folder)
    assert (answer.code, answer.remarks) == (0, "")
    assert Path(STORE).exists()
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line.partition(" ")[0] in SHAPES}
    assert set(rows) == set(SHAPES)
    assert re.search(r"\d \.\. \d.*×\d.*[▁-█]{3} ", rows["dense/kernel"])
    assert re.search(r"^step +15 +5 ▁.█ 15 +checkpoint", answer.out, re.MULTILINE)


def test_analyze_tells_what_deserves_attention(folder: Path) -> None:
    """Findings stand below the parameters, and in the document."""
    run = Run(seed=2).train(15)
    run.second["dense/kernel"][0, 0] = -1.0
    run.save(folder / "model-020.h5")
    answer = Answer("analyze", folder)
    (line,) = (line for line in answer.out.splitlines() if line.startswith("critical"))
    assert "dense/kernel" in line
    document = json.loads(Answer("analyze", folder, "--json").out)
    assert document["runs"][0]["findings"][0]["severity"] == "critical"


def test_analyze_keeps_elements_on_request(folder: Path) -> None:
    """--elements keeps whole arrays of E, and without it there are none."""
    Answer("analyze", folder)
    Answer("analyze", folder, "--elements", "-o", "whole.ckpt-inspect.h5")
    with h5py.File(STORE) as without, h5py.File("whole.ckpt-inspect.h5") as store:
        assert "elements" not in without["optimizer"]
        assert set(store["optimizer/elements/model-015.h5"]) >= {name.replace("/", ".") for name in SHAPES}


def test_analyze_again_reads_only_what_is_new(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time nothing is read, and the same is printed; a new checkpoint alone is read."""
    first = Answer("analyze", folder)
    written = Path(STORE).stat().st_mtime_ns
    opened: list[str] = []
    before_opening(monkeypatch, lambda path: opened.append(path.name))
    assert Answer("analyze", folder).out == first.out
    assert (opened, Path(STORE).stat().st_mtime_ns) == ([], written)
    Run().train(20).save(folder / "model-020.h5")
    assert Answer("analyze", folder).code == 0
    assert opened == ["model-020.h5"]


def test_analyze_json(folder: Path) -> None:
    """With --json stdout holds one document: a list of runs, every figure over the checkpoints."""
    (run,) = json.loads(Answer("analyze", folder, "--json").out)["runs"]
    assert [c["checkpoint"] for c in run["checkpoints"]] == ["model-005.h5", "model-010.h5", "model-015.h5"]
    (optimizer,) = run["optimizers"]
    assert optimizer["step"] == [5, 10, 15]
    assert optimizer["learning_rate_source"] == ["config"] * 3
    kernel = next(p for p in optimizer["parameters"] if p["parameter"] == "dense/kernel")
    assert len(kernel["effective_lr_median"]) == 3
    assert run["store"] == STORE


def test_analyze_chooses_and_overrides(folder: Path) -> None:
    """--include and --learning-rate reach the analysis."""
    answer = Answer("analyze", folder, "--include", "dense/*", "--learning-rate", "1", "-o", "other.h5", "--json")
    (optimizer,) = json.loads(answer.out)["runs"][0]["optimizers"]
    assert [p["parameter"] for p in optimizer["parameters"]] == ["dense/kernel", "dense/bias"]
    assert (optimizer["learning_rate"], optimizer["learning_rate_source"]) == ([1.0] * 3, ["given"] * 3)


def test_several_runs_have_a_store_each(folder: Path, tmp_path: Path) -> None:
    """Each run gets its own store and tables; one -o for several is wrong usage."""
    other = tmp_path / "other"
    other.mkdir()
    Run(seed=1).train(3).save(other / "model-003.h5")
    answer = Answer("analyze", folder, other, "--json")
    assert answer.code == 0
    assert [run["run"] for run in json.loads(answer.out)["runs"]] == ["other", "run"]
    assert {p.name for p in tmp_path.glob("*.h5")} == {STORE, "other.ckpt-inspect.h5"}
    both = Answer("analyze", folder, other, "-o", "both.h5")
    assert both.code == 2
    assert "one store can't hold 2 runs (other, run)" in both.remarks
    assert not Path("both.h5").exists()


def test_checkpoints_named_together_are_one_run(folder: Path, tmp_path: Path) -> None:
    """With -o, checkpoints of several folders that are named one by one share a store."""
    other = Run(seed=1).train(3).save(tmp_path / "start.h5")
    answer = Answer("analyze", other, folder / "model-005.h5", "-o", "both.ckpt-inspect.h5", "--json")
    assert answer.code == 0
    assert [c["checkpoint"] for c in json.loads(answer.out)["runs"][0]["checkpoints"]] == ["start.h5", "model-005.h5"]


def test_a_bad_checkpoint_in_a_series(folder: Path) -> None:
    """It is told by name, the rest is done, the store is kept, and the exit code is 1, also the next time."""
    damaged = folder / "model-010.h5"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    for _ in range(2):
        answer = Answer("analyze", folder, "-q", "--json")
        assert answer.code == 1
        assert answer.sentence.startswith(f"{damaged}: ")
        (run,) = json.loads(answer.out)["runs"]
        assert run["optimizers"][0]["step"] == [5, 15]
    assert Path(STORE).exists()


def test_weights_alone_beside_a_run(folder: Path, tmp_path: Path) -> None:
    """Weights without an optimizer are a remark beside a run that is done, and an error by themselves."""
    other = tmp_path / "other"
    other.mkdir()
    Run().save(other / "weights.h5", optimizer=None)
    answer = Answer("analyze", other, folder, "--json")
    assert answer.code == 0
    assert [run["run"] for run in json.loads(answer.out)["runs"]] == ["run"]
    assert "weights.h5: holds no optimizer state, only weights" in answer.remarks
    assert Answer("analyze", other).code == 1


def test_one_bad_run_among_several(folder: Path, tmp_path: Path) -> None:
    """A run that can't be read is told, the other is done, and the exit status is 1."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "m.h5").write_bytes((folder / "model-005.h5").read_bytes()[:3000])
    answer = Answer("analyze", tmp_path / "other", folder, "--json")
    assert answer.code == 1
    assert [run["run"] for run in json.loads(answer.out)["runs"]] == ["run"]
    assert "other/m.h5: " in answer.sentence


@pytest.mark.parametrize(
    ("config", "class_name", "message"),
    [
        (None, "", "holds no optimizer state, only weights"),
        (
            {"name": "SGD", "learning_rate": 0.1},
            "SGD",
            "the optimizer is sgd, for whose update this package has no formula",
        ),
        (ADAM, "Adam", "its optimizer (adam) has made no update yet (step 0)"),
    ],
)
def test_nothing_to_analyse(
    config: Any, class_name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights only, another optimizer and a fresh one are one sentence each, and no store is written."""
    monkeypatch.chdir(tmp_path)
    path = Run().save(tmp_path / "model.h5", config, class_name)
    answer = Answer("analyze", path)
    assert answer.code == 1
    assert answer.sentence.startswith(f"{path}: ")
    assert message in answer.sentence
    assert list(tmp_path.iterdir()) == [path]


def test_stores_that_cannot_be_used(folder: Path, tmp_path: Path) -> None:
    """A store of another schema, another run's store, and a place that can't be written: told, and left as they are."""
    foreign = Path("foreign.h5")
    with h5py.File(foreign, "w") as file:
        file.attrs["Conventions"] = "ckpt-inspect-9"
    before = foreign.read_bytes()
    answer = Answer("analyze", folder, "-o", foreign)
    assert (answer.code, foreign.read_bytes()) == (1, before)
    assert "schema 1" in answer.sentence
    assert "schema 1" in Answer("report", foreign).sentence

    assert Answer("analyze", folder).code == 0
    elsewhere = tmp_path / "elsewhere" / "run"
    elsewhere.mkdir(parents=True)
    Run(seed=3).train(2).save(elsewhere / "model-002.h5")
    kept = Path(STORE).read_bytes()
    answer = Answer("analyze", elsewhere, "-o", STORE)
    assert (answer.code, Path(STORE).read_bytes()) == (1, kept)
    assert answer.sentence == (
        f"{STORE}: holds the run in {folder}, not the one in {elsewhere}; name another store, or delete this one"
    )
    assert Answer("analyze", elsewhere).code == 0  # by itself it takes another name
    assert Path(f"elsewhere-{STORE}").exists()

    answer = Answer("analyze", folder, "-o", tmp_path / "no" / "store.h5")
    assert answer.code == 1
    assert "there is no folder" in answer.sentence


def test_a_report_that_cannot_be_written(folder: Path) -> None:
    """It is told before anything is analysed."""
    Path("taken").write_text("a file")
    answer = Answer("analyze", folder, "--report", "taken/figures")
    assert answer.code == 1
    assert answer.sentence.startswith("taken/figures: the report can't be written there")
    assert not Path(STORE).exists()
    Answer("analyze", folder)
    assert Answer("report", STORE, "-o", "taken/figures").code == 1


def test_report(folder: Path) -> None:
    """The figures of a store are drawn without its checkpoints, of the chosen parameters, and listed with --json."""
    assert Answer("analyze", folder, "-q").code == 0
    for checkpoint in folder.iterdir():
        checkpoint.unlink()
    answer = Answer("report", STORE, "-o", "figures", "--include", "dense/*", "--json")
    assert answer.code == 0
    files = [Path(f["file"]) for f in json.loads(answer.out)["figures"]]
    assert files
    assert {f.name for f in Path("figures").iterdir()} == {*(f.name for f in files), "index.html"}
    assert json.loads(answer.out)["page"] == str(Path("figures", "index.html"))
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in files)
    assert f"drew {len(files)} figures into figures" in answer.remarks


def test_report_lists_its_figures(folder: Path) -> None:
    """Each file is named on stdout, the page first, with the question that its figure answers."""
    Answer("analyze", folder, "-q")
    lines = Answer("report", STORE, "-o", "figures", "-q").out.splitlines()
    listed = dict(line.split(": ", 1) for line in lines)
    assert {Path(file) for file in listed} == set(Path("figures").iterdir())
    assert next(iter(listed)) == str(Path("figures", "index.html"))
    assert all(question.endswith("?") for question in list(listed.values())[1:])


def test_report_in_another_file_format(folder: Path) -> None:
    """Figures are written as the format that is asked for; one that there isn't is named."""
    Answer("analyze", folder, "-q")
    assert Answer("report", STORE, "-o", "figures", "-q", "--include", "dense/bias", "--format", "svg").code == 0
    assert {f.suffix for f in Path("figures").iterdir()} == {".svg", ".html"}
    answer = Answer("report", STORE, "--format", "bmp")
    assert answer.code == 2
    assert "'bmp' is none of png, svg, pdf" in answer.remarks


def test_report_at_another_learning_rate(folder: Path) -> None:
    """A learning rate that is given is the one that the figures are drawn with; one that can't be is one sentence."""
    Answer("analyze", folder, "-q")
    arguments = ("report", STORE, "--include", "dense/kernel", "-q")
    assert Answer(*arguments, "-o", "as-it-was").code == 0
    assert Answer(*arguments, "-o", "larger", "--learning-rate", "1").code == 0
    name = "optimizer-1-effective-lr.png"
    assert Path("larger", name).read_bytes() != Path("as-it-was", name).read_bytes()
    answer = Answer(*arguments, "--learning-rate", "0")
    assert (answer.code, answer.sentence) == (1, "a learning rate of 0.0 makes no update: give a positive one")


def test_report_takes_no_other_hyperparameters(folder: Path) -> None:
    """What else was assumed in the analysis can't be changed by the report, which says where it can."""
    answer = Answer("report", STORE, "--beta-1", "0.5")
    assert answer.code == 2
    assert "--beta-1 can't be given to report; give it to analyze" in answer.remarks


def test_report_of_no_store(tmp_path: Path) -> None:
    """A path that holds no store is one sentence."""
    answer = Answer("report", tmp_path / "nosuch.h5")
    assert answer.code == 1
    assert answer.sentence == f"{tmp_path / 'nosuch.h5'}: there is no such store; `ckpt-inspect analyze` makes one"


def test_show_lists_what_the_index_of_a_checkpoint_without_its_shard_tells(tmp_path: Path) -> None:
    """Names and shapes are printed, the missing file is named, and the exit status says that something is wrong."""
    source = next((Path(__file__).parents[2] / "fixtures" / "formats" / "keras").rglob("*.index"))
    (tmp_path / "ckpt-1.index").write_bytes(source.read_bytes())
    answer = Answer("show", tmp_path / "ckpt-1")
    assert answer.code == 1
    assert "a damaged checkpoint" in answer.out
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" in answer.out
    assert "compression" not in answer.out
    assert "ckpt-1.data-00000-of-00001: is missing" in answer.remarks


# --- wrong usage names the next step


def test_a_step_that_is_not_whole_is_called_that(model: Path) -> None:
    """It is a number all the same."""
    answer = Answer("show", model, "--set", "Adam.step=1.5")
    assert answer.code == 2
    assert "'1.5' in 'Adam.step=1.5' is not a whole number" in answer.remarks


def test_other_names_of_options_are_answered_with_ours(model: Path) -> None:
    """Those that other programs have."""
    answer = Answer("analyze", model, "--lr", "0.1")
    assert answer.code == 2
    assert "--learning-rate" in answer.remarks


def test_report_of_checkpoints_names_analyze(model: Path) -> None:
    """Of one, and of a folder of them."""
    for path in (model, model.parent):
        answer = Answer("report", path, "-o", model.parent / "figures")
        assert answer.code == 1
        assert f"`ckpt-inspect analyze {path}`" in answer.sentence


def test_a_table_of_rates_is_read_from_a_file(model: Path) -> None:
    """For the checkpoint's step; what is neither number nor file is a usage error."""
    table = model.parent / "rates.csv"
    table.write_text("step,learning_rate\n20,0.25\n")
    assert re.search(r"learning_rate +0.25 +given", Answer("show", model, "--learning-rate", table).out)
    assert Answer("show", model, "--learning-rate", model.parent / "none.csv").code == 2
    table.write_text("20,0.25\n")
    assert "step,learning_rate" in Answer("show", model, "--learning-rate", table).remarks


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_is_as_ctrl_c(number: signal.Signals) -> None:
    """What is inside is put away, and the process ends by the signal."""
    code = (
        "import os, signal; from ckpt_inspect.cli.terminal import stopping\n"
        "with stopping():\n    try: os.kill(os.getpid(), int(__import__('sys').argv[1])); signal.pause()\n"
        "    finally: print('put away', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(int(number))], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-number, "put away\n")


def test_a_run_of_which_nothing_can_be_read_says_why_in_one_line_and_as_json(folder: Path) -> None:
    """Of the first few checkpoints, however many there are, and of other runs as if it weren't there."""
    for name in range(7):
        (folder.parent / "broken").mkdir(exist_ok=True)
        (folder.parent / "broken" / f"m-{name}.h5").write_bytes(b"nothing")
    answer = Answer("analyze", folder, folder.parent / "broken", "--json")
    assert answer.code == 1
    document = json.loads(answer.out)
    assert [run["run"] for run in document["runs"]] == [folder.name]
    (failed,) = document["errors"]
    assert failed["run"] == "broken"
    message = failed["error"]["message"]
    assert f"ckpt-inspect: {message}" in answer.remarks.splitlines()
    assert message.startswith("no checkpoint can be analysed: ")
    assert message.count(".h5: ") == 5
    assert message.endswith("; and 2 more checkpoints")
