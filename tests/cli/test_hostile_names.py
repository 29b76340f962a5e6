"""Names from anywhere, in every output there is: none reaches a terminal or a table but as text."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.adam_bundles import save_bundle
from support.adam_runs import AdamRun
from support.bundle_writer import write_v1
from support.command_line import Answer
from support.keras_files import Run
from support.orbax_sets import copied, edit_metadata, tree_folders

from ckpt_inspect import load

ODD = (
    "\x1b]0;owned\x07\x1b[31ma",
    "b\r\nFORGED: all is well",
    "c\u202egnp.exe\u2066\u061c",
    "d\u200b\u200d\ufeff\u2028FORGED\u2029",
    "e\x7f\x85\x9b2J\U000e0041\t",
)
"""Escapes of terminals, line breaks, changes of direction, what has no width, control characters of both kinds."""

HALF = "\udcff"
"""Of a surrogate pair: what Python makes of a byte in a path that isn't UTF-8, and what JSON may hold."""

SHAPES = {f"{name}/kernel": (3, 2) for name in ODD}


def bundle(folder: Path, number: int) -> Path:
    """Names of variables, and of another tensor."""
    return save_bundle(Run(0, SHAPES).train(10 * number), folder / f"odd{ODD[0]}-{number}", **{ODD[1]: np.ones(3)})


def v1(folder: Path, number: int) -> Path:
    """The same in TF1's first format."""
    run = Run(0, SHAPES).train(10 * number)
    tensors: dict[str, Any] = dict(run.weights)
    tensors |= {f"{name}/Adam": value for name, value in run.first.items()}
    tensors |= {f"{name}/Adam_1": value for name, value in run.second.items()}
    tensors["beta1_power"] = np.array(np.float32(0.9) ** (run.step + 1), np.float32)
    tensors["beta2_power"] = np.array(np.float32(0.999) ** (run.step + 1), np.float32)
    write_v1(folder / f"odd-{number}", tensors)
    return folder / f"odd-{number}"


def whole_model(folder: Path, number: int) -> Path:
    """Names of layers, of the optimizer, of classes, and numbers that can't be in a configuration."""
    run = AdamRun(SHAPES)
    run.train(10 * number).save(path := folder / f"m-{number}.h5")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        config["optimizer_config"]["config"] |= {"name": ODD[1], "clipnorm": ODD[0], "epsilon": ODD[2], ODD[3]: HALF}
        file.attrs["training_config"] = json.dumps(config)
        file.attrs["keras_version"] = f"2.15.0{ODD[1]}"
    return path


def unknown_class(folder: Path, number: int) -> Path:
    """An optimizer's class that nobody knows."""
    path = whole_model(folder, number)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        config["optimizer_config"] |= {"class_name": f"Adam{ODD[1]}"}
        config["optimizer_config"]["config"]["learning_rate"] = {"class_name": ODD[0], "config": {"name": HALF}}
        file.attrs["training_config"] = json.dumps(config)
    return path


def archive(folder: Path, number: int) -> Path:
    """A `.keras` of Keras 3."""
    weights = io.BytesIO()
    rng = np.random.default_rng(number)
    layers = [{"class_name": ODD[i % 5], "config": {"name": name}} for i, name in enumerate(ODD)]
    with h5py.File(weights, "w") as file:
        slots = file.create_group("optimizer/vars")
        slots["0"], slots["1"] = np.int64(5 * number), np.float32(1e-3)
        for i in range(len(ODD)):
            file[f"layers/dense{f'_{i}' if i else ''}/vars/0"] = rng.normal(size=(3, 2)).astype(np.float32)
            slots[f"{2 + 2 * i}"] = rng.normal(size=(3, 2)).astype(np.float32)
            slots[f"{3 + 2 * i}"] = rng.random((3, 2)).astype(np.float32)
            file[f"layers/{ODD[i]}/vars/0"] = np.ones(3)
    config = {
        "class_name": ODD[0],
        "config": {"name": ODD[1], "layers": layers},
        "compile_config": {
            "optimizer": {"class_name": "Adam", "config": {"name": f"{HALF}{ODD[2]}", "beta_1": ODD[3]}}
        },
    }
    with zipfile.ZipFile(path := folder / f"m-{number}.keras", "w") as made:
        made.writestr("config.json", json.dumps(config))
        made.writestr("metadata.json", json.dumps({"keras_version": f"3.3.3{ODD[1]}", "date_saved": ODD[0]}))
        made.writestr("model.weights.h5", weights.getvalue())
    return path


def orbax(folder: Path, number: int) -> Path:
    """Keys of a tree that are not what the arrays are called."""

    def rename(content: dict[str, Any]) -> None:
        tree = content["tree_metadata"]
        for i, key in enumerate(list(tree)):
            if i % 2:
                tree[f"{ODD[i % 5]}{i}"] = tree.pop(key)
            else:
                tree[key]["value_metadata"]["value_type"] = ODD[i % 5]

    for each in tree_folders(copied("adamw-inject", folder / str(number))):
        edit_metadata(each, rename)
    return folder / str(number) / "adamw-inject"


FORMATS = (bundle, v1, whole_model, unknown_class, archive, orbax)


def clean(text: str, what: str) -> None:
    """Nothing that isn't shown as itself, and no line that a name made."""
    odd = re.search(r"[^\n]", "".join(c for c in text if not c.isprintable() and c != "\n"))
    assert odd is None, f"{what}: {odd[0]!r} in {text!r}"
    assert not re.search(r"^\W*FORGED", text, re.MULTILINE), f"{what}: {text!r}"


@pytest.mark.parametrize("save", FORMATS)
def test_no_output_holds_a_name_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[..., Path]) -> None:
    """Tables, JSON, errors, remarks, tables as files, pages: whatever a checkpoint calls its parts."""
    folder = tmp_path / f"run{ODD[0]}{ODD[1]}{HALF}"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    one, two = save(folder, 1), save(folder, 2)
    store = tmp_path / f"store{ODD[2]}.h5"
    commands = [
        ("show", one), ("show", one, "-v"), ("show", one, "--with", two), ("show", one, "--json"),
        ("analyze", folder, "-o", store), ("analyze", folder, "-o", tmp_path / "v.h5", "-v", "--beta-1", "0.8"),
        ("analyze", folder, "-o", tmp_path / "j.h5", "--json"), ("analyze", folder, "--set", f"{ODD[0]}.beta_1=0.5"),
        ("diff", one, two, "-v"), ("diff", one, two, "--json"), ("check", one, two), ("check", folder, "-v"),
        ("check", folder, "--json"), ("report", store, "-o", "page"),
        *(("export", store, "--to", "csv", "--frame", frame, "-o", f"{frame}.csv")
          for frame in ("parameters", "findings", "problems", "checkpoints", "sample", "histogram")),
        ("export", store, "--to", "tensorboard", "-o", "board"),
        ("show", folder / f"none{ODD[1]}"), ("report", folder / f"none{ODD[1]}"), ("analyze", f"{folder}/*{ODD[0]}*"),
        ("explain", ODD[0]), ("export", store, "--to", ODD[1]), ("show", one, "--rule", ODD[1]),
        ("show", one, "--include", ODD[0]), ("report", one),
    ]  # fmt: skip
    for words in commands:
        answer = Answer(*words)
        clean(answer.out, f"stdout of {words[0]}")
        clean(answer.remarks, f"stderr of {words}")
        assert "this should not happen" not in answer.remarks, answer.remarks
        if "--json" in words and answer.out:
            json.loads(answer.out)
    assert store.exists() is (save not in (unknown_class, orbax))
    if store.exists():
        assert load(store).run == folder.name
        assert {str(path) for path in load(store).checkpoints["path"]} == {str(one), str(two)}
    for path in tmp_path.glob("page/*.html"):
        clean(path.read_text(encoding="utf-8"), path.name)
    for path in tmp_path.glob("*.csv"):
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")):
            for column, cell in row.items():
                clean(cell, f"{column} of {path.name}") if column != "files" else None
                assert "\n" not in cell or column in ("files", "parameters", "checkpoints")
    for path in (*tmp_path.glob("page/**/*"), *tmp_path.glob("board/**/*")):
        clean(path.name, "a file's name")
        assert len(path.name) < 150
