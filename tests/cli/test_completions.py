"""What a shell offers: commands, options, and the words that an option takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _offered(words: str) -> list[str]:
    """Ask as bash's own script does, which `--show-completion` prints."""
    asked = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "_CKPT_INSPECT_COMPLETE": "complete_bash",
    }
    done = subprocess.run(
        [sys.executable, "-m", "ckpt_inspect"], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ckpt-inspect ana", ["analyze"]),
        ("ckpt-inspect analyze --thr", ["--threshold"]),
        ("ckpt-inspect analyze x --fail-on w", ["warning", "weights-jumped"]),
        ("ckpt-inspect analyze x --threshold epsilon_d", ["epsilon_dominated="]),
        ("ckpt-inspect show x --rule lam", ["lamb"]),
        ("ckpt-inspect show x --epsilon-placement t", ["textbook"]),
        ("ckpt-inspect check x --reader t", ["tensorflow"]),
        ("ckpt-inspect export x --to c", ["csv"]),
        ("ckpt-inspect export x --frame f", ["findings"]),
        ("ckpt-inspect export x --figures untouched,upd", ["untouched,update_to_weight", "untouched,update_rms"]),
        ("ckpt-inspect report x --format s", ["svg"]),
        ("ckpt-inspect explain moment-b", ["moment-bound-violated"]),
        ("ckpt-inspect show mod", []),  # a path: the shell's own matter
    ],
)
def test_words_so_far_go_on(words: str, offered: list[str]) -> None:
    """With what begins so, and nothing else."""
    assert _offered(words) == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_the_first_tab_in_zsh_is_answered(tmp_path: Path) -> None:
    """The Tab that loads the script asks the program, as later ones do."""
    chosen = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # so that the shell can be named
    command = [sys.executable, "-m", "ckpt_inspect", "--show-completion", "zsh"]
    script = subprocess.run(command, env=chosen, capture_output=True, text=True, check=True).stdout
    (tmp_path / "_ckpt-inspect").write_text(script)
    session = f"""
        compdef() {{ : }}
        env() {{ print "print asked:" ${{1#*=}} }}  # in the program's place: what it prints is evaluated
        words=(ckpt-inspect ana) CURRENT=2 fpath=({tmp_path})
        autoload -Uz _ckpt-inspect
        _ckpt-inspect
        _ckpt_inspect_completion
    """
    done = subprocess.run(["zsh", "-fc", session], capture_output=True, text=True, check=True)
    assert done.stdout == "asked: ckpt-inspect ana\n" * 2
