"""The usual command lines, with Typer and without: the same answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.keras_files import Run

from ckpt_inspect.cli.plainly import answer_plainly

WITHOUT = """
import os, sys
import ckpt_inspect
os.chdir(sys.argv.pop(1))
sys.modules["typer"] = None  # importing it fails
from ckpt_inspect.__main__ import run_process
run_process()
"""
BY_TYPER = """
import os, sys
import ckpt_inspect
os.chdir(sys.argv.pop(1))
from ckpt_inspect.cli.app import main
main()
"""


def answer(code: str, folder: Path, words: tuple[str, ...]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", code, folder, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("show", "ONE"),
        ("analyze", "ONE"),
        ("analyze", "ONE", "-q", "--no-infer", "--output", "store"),
        ("analyze", "-q", "-o", "store", "ONE", "OTHER"),
        ("analyze", "nothing-there"),
        ("analyze", "ONE", "-o", "no/such/folder/store"),
        ("diff", "ONE", "OTHER"),
        ("diff", "-q", "ONE", "ONE", "--no-infer"),
        ("diff", "ONE", "nothing-there"),
    ],
)
def test_answers_are_the_same_without_typer(tmp_path: Path, words: tuple[str, ...]) -> None:
    """What is printed, the exit code, and what is stored."""
    training = Run()
    paths = {word: str(training.train(2).save(tmp_path / f"{word}.h5")) for word in ("ONE", "OTHER")}
    given = tuple(paths.get(word, word) for word in words)
    plain, typers = tmp_path / "plain", tmp_path / "typers"
    found, expected = answer(WITHOUT, plain, given), answer(BY_TYPER, typers, given)
    assert found == expected
    stores = [sorted(path.name for path in folder.iterdir()) for folder in (plain, typers)]
    assert stores[0] == stores[1]
    for name in stores[0]:
        with h5py.File(plain / name) as a, h5py.File(typers / name) as b:
            np.testing.assert_array_equal(a["checkpoint"][:], b["checkpoint"][:])


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("show",),
        ("show", "a", "b"),
        ("show", "-q", "a"),
        ("analyze",),
        ("analyze", "--json", "a"),
        ("analyze", "a", "-o"),
        ("analyze", "a", "-o", "-q"),
        ("analyze", "a", "-o", "b", "-o", "c"),
        ("analyze", "--", "a"),
        ("analyze", "a", "--output=b"),
        ("analyze", "-qv", "a"),
        ("diff", "a"),
        ("diff", "a", "b", "c"),
        ("diff", "a", "b", "-o", "c.png"),
        ("check", "a"),
    ],
)
def test_all_others_are_left_to_typer(words: tuple[str, ...]) -> None:
    """Nothing is done, and nothing printed."""
    assert not answer_plainly(words)
