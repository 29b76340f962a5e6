"""What the command line imports, and what it must not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.keras_files import Run

from ckpt_inspect.__main__ import main

HEAVY = (
    "numpy",
    "h5py",
    "rich",
    "pandas",
    "tensorflow",
    "matplotlib",
    "jinja2",
    "seaborn",
    "xarray",
    "ml_dtypes",
    "google_crc32c",
    "zlib_ng",
)

FORMATS = Path(__file__).parent.parent / "fixtures" / "formats"

RUN = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in {blocked!r} or name.partition(".")[0] in {blocked!r}:
            raise ImportError(name + " must not be imported here")
sys.meta_path.insert(0, Blocked())
from ckpt_inspect.__main__ import main
codes = []
for arguments in {commands!r}:
    sys.argv = ["ckpt-inspect", *arguments]
    try:
        main()
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code or 0)
loaded = sorted({{m.partition(".")[0] for m in sys.modules}})
sys.stderr.write("\\nLOADED " + " ".join(loaded) + "\\nCODES " + " ".join(map(str, codes)))
"""


def run(*commands: tuple[object, ...], blocked: tuple[str, ...] = ()) -> tuple[list[int], set[str], str]:
    """Exit codes, top-level modules imported and remarks of command lines, run in one process of their own."""
    code = RUN.format(blocked=blocked, commands=[[str(a) for a in command] for command in commands])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    remarks, _, rest = done.stderr.rpartition("\nLOADED ")
    modules, _, codes = rest.partition("\nCODES ")
    return [int(c) for c in codes.split()], set(modules.split()), remarks


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_first_questions_import_nothing(argument: str) -> None:
    """Help and version come before any package but the standard library is imported."""
    codes, modules, _ = run((argument,))
    assert codes == [0]
    assert not modules & {*HEAVY, "typer", "click"}


@pytest.mark.parametrize("arguments", [["--version"], [], ["show", "x"]])
def test_windows_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Whatever is asked there: exit status 1, and where it does run."""
    monkeypatch.setattr(sys, "argv", ["ckpt-inspect", *arguments])
    with monkeypatch.context() as patch:
        patch.setattr("os.name", "nt")
        with pytest.raises(SystemExit) as end:
            main()
    assert isinstance(end.value.code, str)  # which Python prints to stderr, and exits with 1
    assert re.fullmatch(r"ckpt-inspect: Windows is not supported; run it in WSL[^.]+", end.value.code)


@pytest.mark.parametrize("command", ["analyze", "show", "diff", "report", "export"])
def test_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    """A command's help takes the parser and nothing that computes, reads or draws."""
    codes, modules, _ = run((command, "--help"))
    assert codes == [0]
    assert not modules & set(HEAVY)


def test_texts_need_no_library_to_stay_texts(tmp_path: Path) -> None:
    """Paths, globs and flags reach a command without pydantic, whose import takes longer than all of ours."""
    state = Run().train(1).save(tmp_path / "a.h5")
    commands = (
        ("show", state, "--include", "*", "--json"),
        ("analyze", state, "-o", tmp_path / "a.ckpt-inspect.h5", "-q"),
        ("diff", state, state, "--exclude", "nothing", "--rule", "adam"),
    )
    codes, modules, remarks = run(*commands, blocked=("pydantic",))
    assert codes == [0, 0, 0], remarks
    assert "pydantic" not in modules


def test_no_command_imports_tensorflow(tmp_path: Path) -> None:
    """Every command does its work where TensorFlow can't be imported."""
    state = Run()
    folder = tmp_path / "run"
    folder.mkdir()
    first = state.train(3).save(folder / "model-1.h5")
    second = state.train(3).save(folder / "model-2.h5")
    store, figures = tmp_path / "run.h5", tmp_path / "figures"
    commands = (
        ("show", first),
        ("diff", first, second, "-o", tmp_path / "diff.png"),
        ("analyze", folder, "-o", store),
        ("report", store, "-o", figures),
        *(("export", store, "--to", t, "-o", tmp_path / t) for t in ("csv", "parquet", "tensorboard")),
    )
    codes, modules, remarks = run(*commands, blocked=("tensorflow",))
    assert codes == [0, 1, 0, 0, 0, 0, 0], remarks
    assert "tensorflow" not in modules


def test_no_format_needs_tensorflow(tmp_path: Path) -> None:
    """Every format is shown, compared and analysed where TensorFlow can't be imported."""
    formats = ("ckpt-1", "model.h5", "model.keras", "model.weights.h5", "saved_model")
    savers = ("v2.ckpt-2", "v1.ckpt-2", "v1-sharded.ckpt-2-00000-of-00001", "v1-sharded.ckpt-2-?????-of-00001")
    paths = [*(FORMATS / "keras" / name for name in formats), *(FORMATS / "saver" / name for name in savers)]
    commands: list[tuple[object, ...]] = []
    for i, path in enumerate(paths):
        commands += [("show", path), ("diff", path, path), ("analyze", path, "-o", tmp_path / f"{i}.h5")]
    codes, modules, remarks = run(*commands, blocked=("tensorflow",))
    assert codes == [0] * len(commands), remarks
    assert "tensorflow" not in modules


def test_show_and_diff_in_a_pipe_draw_nothing(tmp_path: Path) -> None:
    """Piped tables need neither rich nor the plotting libraries."""
    first, second = Run().train(1).save(tmp_path / "a.h5"), Run().train(2).save(tmp_path / "b.h5")
    drawing = ("rich", "matplotlib", "seaborn", "pandas", "tensorflow")
    assert run(("show", first), ("diff", first, second), blocked=drawing)[0] == [0, 1]


def test_a_report_takes_seaborn_without_scipy(tmp_path: Path) -> None:
    """It takes a second to import, and no figure needs it."""
    store = FORMATS.parent / "stores" / "0.3.0.h5"
    codes, modules, _ = run(("report", store, "-o", tmp_path, "--figures", "shares,distributions", "-q"))
    assert codes == [0]
    assert "seaborn" in modules
    assert "scipy" not in modules
    assert (tmp_path / "index.html").exists()


def test_a_drawn_diff_takes_seaborn_without_scipy(tmp_path: Path) -> None:
    """So do the figures of a comparison."""
    first, second = Run().train(1).save(tmp_path / "a.h5"), Run().train(2).save(tmp_path / "b.h5")
    codes, modules, _ = run(("diff", first, second, "-o", tmp_path / "changes.png"))
    assert codes == [1]
    assert "seaborn" in modules
    assert "scipy" not in modules
    assert (tmp_path / "changes-by-rate.png").exists()


def test_curves_over_a_run_take_no_seaborn(tmp_path: Path) -> None:
    """It takes half a second to import, and matplotlib alone draws them."""
    store = FORMATS.parent / "stores" / "0.3.0.h5"
    codes, modules, _ = run(("report", store, "-o", tmp_path, "--figures", "movement,shares", "-q"))
    assert codes == [0]
    assert "matplotlib" in modules
    assert "seaborn" not in modules


def test_usual_checkpoints_need_nothing_for_the_unusual(tmp_path: Path) -> None:
    """Of float32 in a local file: no masked arrays, no other floats, no pool of workers, no server."""
    first, second = Run().train(1).save(tmp_path / "model-1.h5"), Run().train(2).save(tmp_path / "model-2.h5")
    unusual = ("numpy.ma", "ml_dtypes", "multiprocessing", "http", "ssl", "asyncio", "pandas")
    commands = (
        ("show", first, "--json"),
        ("diff", first, second),
        ("analyze", tmp_path, "-o", tmp_path / "run.ckpt-inspect.h5", "-q"),
        ("analyze", first, "--no-infer", "-o", tmp_path / "first.ckpt-inspect.h5", "-q"),
    )
    assert run(*commands, blocked=unusual)[0] == [0, 1, 0, 0]


BEGIN = """
import sys
from ckpt_inspect.measurement.sweep import Sweep
begin = Sweep.run
def first(sweep):
    sys.stderr.write("BEGUN " + " ".join(sorted(sys.modules)))
    Sweep.run = begin
    return begin(sweep)
Sweep.run = first
import ckpt_inspect.runs.importing as importing
importing._import = lambda modules: None  # which other threads do meanwhile
from ckpt_inspect.__main__ import main
main()
"""


def test_a_pass_begins_before_what_its_results_need_is_imported(tmp_path: Path) -> None:
    """Nothing that finds, stores or prints is waited for before the first element is read."""
    path = Run().train(3).save(tmp_path / "a.h5")
    arguments = ["analyze", str(path), "--no-infer", "-o", str(tmp_path / "a.ckpt-inspect.h5"), "-q"]
    command = [sys.executable, "-c", BEGIN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    begun = set(done.stderr.partition("BEGUN ")[2].split())
    later = ("ckpt_inspect.findings", "ckpt_inspect.comparison", "ckpt_inspect.presentation.tables", "h5py")
    assert not [name for name in begun if name.startswith(later)]
    assert "concurrent.futures" not in begun


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device")
@pytest.mark.parametrize("buffering", [(), ("-u",)])
@pytest.mark.parametrize(
    "arguments, code",
    [(("--version",), 1), (("--help",), 1), (("explain",), 1), (("diff", "A", "A", "--json", "-q"), 2)],
)
def test_output_that_cannot_be_written_is_one_sentence(
    buffering: tuple[str, ...], arguments: tuple[str, ...], code: int
) -> None:
    """A full disk behind stdout is no traceback, and no answer either."""
    path = str(FORMATS / "keras" / "ckpt-1")
    command = [sys.executable, *buffering, "-m", "ckpt_inspect", *(path if a == "A" else a for a in arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.stderr == "ckpt-inspect: No space left on device\n"
    assert done.returncode == code


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    "arguments, code", [("--version", 0), ("show A", 0), ("show nowhere", 1), ("diff A A", 0), ("diff A B -q", 1)]
)
def test_what_nobody_reads_is_not_missed(closed: str, arguments: str, code: int) -> None:
    """With stdout or stderr closed the exit code is what it is otherwise."""
    paths = {"A": str(FORMATS / "keras" / "ckpt-1"), "B": str(FORMATS / "keras" / "model.keras")}
    words = " ".join(shlex.quote(paths.get(word, word)) for word in arguments.split())
    command = f"{shlex.quote(sys.executable)} -m ckpt_inspect {words} {closed}"
    assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == code
