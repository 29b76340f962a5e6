#!/usr/bin/env python3
"""Run `analyze`, `show` and `diff` in a folder in which a training writes, replaces and deletes checkpoints.

usage: scripts/trial_moving_folder.py [--commands 5]          (--commands 50: all of it, for each way of writing)

The ways: TensorFlow's CheckpointManager with max_to_keep=3 (shards and index are renamed into place, the oldest is
deleted), Keras' ModelCheckpoint into numbered .keras files and into one that is replaced, both written in place, piece
by piece. Nothing is damaged: `analyze` ends with exit status 0, or says that every checkpoint there was is gone or
still being written; `show` and `diff` do their work or say what happened meanwhile. When the writer has ended,
`analyze` reads all there is. Prints a table; exit status 1 if anything was otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from trial_stores import FIXTURES, ROOT, run_copy, strangers, table

import ckpt_inspect

sys.path.insert(0, str(ROOT / "tests"))

from support.adam_bundles import save_bundle
from support.keras_files import Run

KEPT = 3
_PAUSE = 0.02
"""Seconds between two steps of a writer."""

MEANWHILE = (
    "still being written",
    "was replaced",
    "is gone",
    "was deleted",
    "changed while",
    "no such file",
    "no checkpoint",
)
"""Words of a sentence that says that the folder moved."""

COMMANDS = ("analyze", "show", "diff")
WRONG = ("called damaged", "no sentence", "odd status", "left behind", "not read again")


def checkpoint_manager(folder: Path) -> None:
    """Write bundles as `tf.train.CheckpointManager(max_to_keep=3)`, for ever."""
    run, kept = Run(0), []
    while True:
        run.train(10)
        made = folder.parent / "made"
        made.mkdir(exist_ok=True)
        name = f"ckpt-{run.step}"
        save_bundle(run, made / name)
        shard = f"{name}.data-00000-of-00001"
        in_pieces((made / shard).read_bytes(), folder / f"{name}_temp-part-00000-of-00001")
        (folder / f"{name}_temp-part-00000-of-00001").replace(folder / shard)
        in_pieces((made / f"{name}.index").read_bytes(), folder / f"{name}.index.tempstate1")
        (folder / f"{name}.index.tempstate1").replace(folder / f"{name}.index")
        kept.append(name)
        (folder / "checkpoint.tmp").write_text(f'model_checkpoint_path: "{name}"\n')
        (folder / "checkpoint.tmp").replace(folder / "checkpoint")
        while len(kept) > KEPT:
            oldest = kept.pop(0)
            for suffix in (".data-00000-of-00001", ".index"):
                (folder / f"{oldest}{suffix}").unlink()
                time.sleep(_PAUSE)


def numbered(folder: Path) -> None:
    """Write `.keras` files in place, of which the oldest is deleted, for ever."""
    contents, kept = [path.read_bytes() for path in sorted(FIXTURES.glob("*.keras"))], []
    for i in range(1_000_000):
        kept.append(folder / f"epoch-{i:06d}.keras")
        in_pieces(contents[i % len(contents)], kept[-1])
        while len(kept) > KEPT:
            kept.pop(0).unlink()


def replaced(folder: Path) -> None:
    """Write one `.keras` file over and over, beside one that stays, for ever."""
    contents = [path.read_bytes() for path in sorted(FIXTURES.glob("*.keras"))]
    for i in range(1_000_000):
        in_pieces(contents[0], folder / "model-1.keras") if not i else None
        in_pieces(contents[i % len(contents)], folder / "model-2.keras")
        time.sleep(5 * _PAUSE)


WRITERS = {"CheckpointManager": checkpoint_manager, "numbered .keras": numbered, "one .keras": replaced}


def in_pieces(content: bytes, path: Path) -> None:
    """Write a file as a program does that works at its content."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, len(content), 1 << 14):
            file.write(content[at : at + (1 << 14)])
            time.sleep(_PAUSE)


def started(write: Callable[[Path], None], folder: Path) -> int:
    """Return the process that writes."""
    pid = os.fork()
    if pid == 0:
        try:
            write(folder)
        finally:
            os._exit(1)
    return pid


def words_of(command: str, folder: Path, store: Path, chance: random.Random) -> list[str]:
    """Return the words of a command on what is there at the moment."""
    if command == "analyze":
        return ["analyze", str(folder), "-o", str(store), "-q"]
    if command == "show":
        return ["show", str(folder), "-q"]
    here: list[tuple[int, Path]] = []
    for path in folder.glob("*.[ik]*"):
        with contextlib.suppress(FileNotFoundError):
            here += [(path.stat().st_mtime_ns, path)] if path.suffix in (".index", ".keras") else []
    two = [str(path).removesuffix(".index") for _, path in sorted(here)][-2:]
    return ["diff", *(two if len(two) == 2 else [str(folder), str(folder)]), "-q"]


def judge(command: str, status: int, said: list[str]) -> Counter[str]:
    """Count what a command came to."""
    trouble = 2 if command == "diff" else 1
    found = Counter({"trials": 1})
    if status in {0, 1} and status != trouble:
        found["done"] += 1
    elif status != trouble:
        found["odd status"] += 1
    elif not said or any(line[:1] != " " and not line.startswith("ckpt-inspect: ") for line in said):
        found["no sentence"] += 1
    elif all(any(words in line for words in MEANWHILE) for line in said):
        found["said so"] += 1
    else:
        found["called damaged"] += 1
        sys.stderr.write(f"{command}: {said}\n")
    return found


def main() -> int:
    """Try every command beside every writer, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=5, help="of each kind, beside each writer")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rows, is_wrong = [], False
    for way, write in WRITERS.items():
        with tempfile.TemporaryDirectory(prefix="ckpt-inspect-trial-") as scratch:
            folder, out, stderr = Path(scratch) / "run", Path(scratch) / "out", Path(scratch) / "stderr"
            folder.mkdir()
            out.mkdir()
            pid = started(write, folder)
            found = {command: Counter[str]() for command in COMMANDS}
            try:
                while len([p for p in folder.iterdir() if p.suffix in (".index", ".keras")]) < 2:
                    time.sleep(_PAUSE)
                for _ in range(options.commands):
                    for command in COMMANDS:
                        time.sleep(chance.uniform(0, 0.2))
                        words = words_of(command, folder, out / "run.h5", chance)
                        status = run_copy(words, stderr).wait()
                        found[command] += judge(command, status, stderr.read_text(errors="replace").splitlines())
                        found[command]["left behind"] += bool(strangers(out, out / "run.h5"))
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            shutil.rmtree(Path(scratch) / "made", ignore_errors=True)
            for path in [*folder.glob("*temp*"), *_unfinished(folder)]:  # where the writer was stopped
                path.unlink()
            run_copy(words_of("analyze", folder, out / "run.h5", chance), stderr).wait()
            here = {str(path) for path in ckpt_inspect.find_checkpoints(folder)}
            stored = {str(path) for path in ckpt_inspect.load(out / "run.h5").checkpoints["path"]}
            found["analyze"]["not read again"] += not here <= stored
            for command, each in found.items():
                rows.append([way, command, *(each[column] for column in ("trials", "done", "said so", *WRONG))])
                is_wrong |= any(each[column] for column in WRONG)
    sys.stdout.write(table(("writer", "command", "trials", "done", "said so", *WRONG), rows))
    return int(is_wrong)


def _unfinished(folder: Path) -> list[Path]:
    """Return the files of checkpoints that the writer has not written whole."""
    broken = [path for path in ckpt_inspect.find_checkpoints(folder) if not _is_sound(path)]
    return [each for path in broken for each in folder.iterdir() if each.name.startswith(path.name)]


def _is_sound(path: Path) -> bool:
    try:
        return not ckpt_inspect.describe(path).is_damaged
    except ckpt_inspect.CkptInspectError:
        return False


if __name__ == "__main__":
    sys.exit(main())
