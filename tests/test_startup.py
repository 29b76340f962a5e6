"""What the command line imports, and what it must not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from keras_files import Run

HEAVY = (
    "numpy",
    "h5py",
    "rich",
    "pandas",
    "tensorflow",
    "matplotlib",
    "seaborn",
    "xarray",
    "ml_dtypes",
    "google_crc32c",
)

RUN = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name + " must not be imported here")
sys.meta_path.insert(0, Blocked())
sys.argv = {argv!r}
from ckpt_inspect.__main__ import main
try:
    main()
finally:
    sys.stderr.write("\\nLOADED " + " ".join(sorted({{m.partition(".")[0] for m in sys.modules}})))
"""


def run(*arguments: str, blocked: tuple[str, ...] = ()) -> tuple[int, set[str], str]:
    """Exit code, top-level modules imported and remarks of the command line in a process of its own."""
    code = RUN.format(blocked=blocked, argv=["ckpt-inspect", *arguments])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    remarks, _, modules = done.stderr.rpartition("\nLOADED ")
    return done.returncode, set(modules.split()), remarks


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_first_questions_import_nothing(argument: str) -> None:
    """Help and version come before any package but the standard library is imported."""
    code, modules, _ = run(argument)
    assert code == 0
    assert not modules & {*HEAVY, "typer", "click"}


@pytest.mark.parametrize("command", ["analyze", "show", "diff", "report"])
def test_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    """A command's help takes the parser and nothing that computes, reads or draws."""
    code, modules, _ = run(command, "--help")
    assert code == 0
    assert not modules & set(HEAVY)


def test_no_command_imports_tensorflow(tmp_path: Path) -> None:
    """Every command does its work where TensorFlow can't be imported."""
    run_ = Run()
    folder = tmp_path / "run"
    folder.mkdir()
    first = run_.train(3).save(folder / "model-1.h5")
    second = run_.train(3).save(folder / "model-2.h5")
    store, figures = tmp_path / "run.h5", tmp_path / "figures"
    for arguments in (
        ("show", str(first)),
        ("diff", str(first), str(second)),
        ("analyze", str(folder), "-o", str(store)),
        ("report", str(store), "-o", str(figures)),
    ):
        code, modules, remarks = run(*arguments, blocked=("tensorflow",))
        assert code == (1 if arguments[0] == "diff" else 0), remarks
        assert "tensorflow" not in modules


def test_show_and_diff_in_a_pipe_draw_nothing(tmp_path: Path) -> None:
    """Piped tables need neither rich nor the plotting libraries."""
    first, second = Run().train(1).save(tmp_path / "a.h5"), Run().train(2).save(tmp_path / "b.h5")
    drawing = ("rich", "matplotlib", "seaborn", "pandas", "tensorflow")
    assert run("show", str(first), blocked=drawing)[0] == 0
    assert run("diff", str(first), str(second), blocked=drawing)[0] == 1
