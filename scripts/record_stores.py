#!/usr/bin/env python3
"""Make the store that a version of ckpt-inspect writes of two checkpoints of fixtures/digits, for the tests.

usage: git worktree add /tmp/before COMMIT; PYTHONPATH=/tmp/before scripts/record_stores.py [fixtures/stores]

The file is called after the version. In it the checkpoints lie in /digits and were written at a fixed time.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import h5py

import ckpt_inspect

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("epoch-01.keras", "epoch-02.keras")
MODIFIED = 1_700_000_000
"""Seconds since 1970."""


def move(store: Path, folder: Path, to: Path) -> None:
    """Have a store's checkpoints lie in another folder."""
    with h5py.File(store, "r+") as file:
        for name in ("path", "files"):
            file[name][...] = [text.replace(f"{folder}/", f"{to}/") for text in file[name].asstr()[...]]


def main() -> None:
    """Write the store."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "fixtures" / "stores"
    target.mkdir(exist_ok=True)
    store = target / f"{ckpt_inspect.__version__}.h5"
    store.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "digits"
        folder.mkdir()
        for name in NAMES:
            shutil.copyfile(ROOT / "fixtures" / "digits" / name, folder / name)
            os.utime(folder / name, (MODIFIED, MODIFIED))
        ckpt_inspect.analyze([folder / name for name in NAMES], store=store)
        move(store, folder, Path("/digits"))


if __name__ == "__main__":
    main()
