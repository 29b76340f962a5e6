"""What a shell offers: commands, options, and the words that an option takes."""

from __future__ import annotations

import os
import subprocess
import sys

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
        ("ckpt-inspect analyze x --fail-on w", ["warning"]),
        ("ckpt-inspect analyze x --threshold epsilon_d", ["epsilon_dominated="]),
        ("ckpt-inspect show x --rule lam", ["lamb"]),
        ("ckpt-inspect show x --epsilon-placement t", ["textbook"]),
        ("ckpt-inspect check x --reader t", ["tensorflow"]),
        ("ckpt-inspect export x --to c", ["csv"]),
        ("ckpt-inspect export x --frame f", ["findings"]),
        ("ckpt-inspect report x --format s", ["svg"]),
        ("ckpt-inspect explain moment-b", ["moment-bound-violated"]),
        ("ckpt-inspect show mod", []),  # a path: the shell's own matter
    ],
)
def test_words_so_far_go_on(words: str, offered: list[str]) -> None:
    """With what begins so, and nothing else."""
    assert _offered(words) == offered
