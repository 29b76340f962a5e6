"""Tensors of no element, of one, of nothing but NaN, zeros or the largest numbers: every command gives an answer."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from support.adam_bundles import save_bundle
from support.adam_runs import AdamRun
from support.command_line import Answer
from support.keras_files import Run

SHAPES = ((0,), (0, 3), (3, 0), (2, 0, 2), (), (1,), (1, 1), (1, 7), (2,), (4, 5))
FILLS = (np.nan, np.inf, -np.inf, 0.0, 3e38, 1e-45, -1.0)


def spoil(run: AdamRun | Run, chance: random.Random) -> None:
    """Fill some tensors, or one element of them, with what isn't there in a sound run."""
    for arrays in (run.weights, run.first, run.second):
        for array in arrays.values():
            if array.size and chance.random() < 0.3:
                if chance.random() < 0.5:
                    array[...] = chance.choice(FILLS)
                else:
                    array.reshape(-1)[chance.randrange(array.size)] = chance.choice(FILLS)


@pytest.mark.parametrize("seed", range(12))
def test_every_command_takes_tensors_of_any_size_and_content(tmp_path: Path, seed: int) -> None:
    """No division by their size, no mean of nothing; warnings are errors here."""
    chance = random.Random(seed)
    shapes = {f"layer_{i}/{chance.choice(('kernel', 'bias'))}": chance.choice(SHAPES) for i in range(1 + seed % 6)}
    if seed % 4 == 3:
        shapes = dict.fromkeys(shapes, (0,))
    bundle, dtype = seed % 3 == 2, ("float32", "float16", "float64")[seed % 4 % 3]
    run = Run(seed, shapes) if bundle else AdamRun(shapes, dtype=dtype)
    paths = []
    with np.errstate(all="ignore"):
        for i in range(2 + seed % 3):
            run.train(chance.choice((0, 1, 12, 130)))
            if chance.random() < 0.6:
                spoil(run, chance)
            path = tmp_path / "run" / (f"model.ckpt-{i}" if bundle else f"m-{i}.h5")
            path.parent.mkdir(exist_ok=True)
            paths.append(save_bundle(run, path) if isinstance(run, Run) else run.save(path))
    store = tmp_path / "s.h5"
    commands: list[tuple[object, ...]] = [
        ("analyze", tmp_path / "run", "-o", store, "-v", "--learning-rate", "0.1"),
        ("analyze", tmp_path / "run", "-o", tmp_path / "t.h5", "-v", "--no-infer", "--json"),
        ("diff", paths[0], paths[-1], "-v"),
        ("check", tmp_path / "run", "-v"),
        ("show", paths[-1], "--with", paths[0]),
    ]
    if seed < 4:
        commands += [("report", store, "-o", tmp_path / "page"), ("diff", *paths[-2:], "-o", tmp_path / "d.png")]
    for words in commands:
        answer = Answer(*words)
        assert "this should not happen" not in answer.remarks
        assert answer.code == 0 or answer.out or answer.remarks
