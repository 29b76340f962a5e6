#!/usr/bin/env python3
"""Record conformance cases with other versions of TensorFlow, Keras and Sonnet, for tests and for conformance.py.

    python record_cases.py record OUT --python PYTHON --recorder keras:v2 --prefix tf24_v2
                                  [-k REGEX] [--path DIR] [--env NAME=VALUE]
    python record_cases.py finish OUT [-k REGEX]
    python record_cases.py list

`record` runs a recorder (case_recorders/) under PYTHON, the interpreter that has the version to be recorded, and
finishes what it made. `finish` needs an interpreter with TensorFlow, h5py and ml_dtypes: by exact value matching it
finds which recorded arrays are in the files (keymap.json), and checks the recorded updates against the formulas, so
that a mistake of the recorder is not taken for one of the package. It uses nothing of the package.
"""

# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

RECORDERS = {
    "keras": "case_recorders.keras",  # keras:v2, keras:new, keras:k3, keras:tfk, keras:tfkleg, keras:tfa
    "keras1": "case_recorders.keras1",  # keras1:tf.keras, keras1:keras
    "tf1": "case_recorders.tf1",  # tf1:contrib, tf1:compat
    "keras-rules": "case_recorders.keras_rules",  # keras-rules:v2, keras-rules:new, keras-rules:k3
    "tf1-rules": "case_recorders.tf1_rules",  # tf1-rules:contrib, tf1-rules:compat
    "sonnet": "case_recorders.sonnet",  # sonnet:adam
    "servers": "case_recorders.servers",  # servers:v2
}


# ------------------------------------------------------------------------------------------------------------- keymap


def arrays_of_h5(file) -> dict[str, np.ndarray]:
    import h5py

    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub" + "V":
            found[name] = item[()]

    with h5py.File(file, "r") as f:
        f.visititems(visit)
    return found


def arrays_of_bundle(prefix: str) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    found = {}
    for name, dtype in reader.get_variable_to_dtype_map().items():
        if dtype == tf.string:
            continue
        try:
            found[name] = reader.get_tensor(name)
        except Exception:  # slices of a V1 file, which this reader doesn't join
            found[name] = tf.raw_ops.RestoreV2(
                prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[dtype]
            )[0].numpy()
    return found


def arrays_in(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as z:
            return arrays_of_h5(io.BytesIO(z.read("model.weights.h5")))
    if path.suffix == ".h5":
        return arrays_of_h5(path)
    if (path / "variables").is_dir():
        return arrays_of_bundle(str(path / "variables" / "variables"))
    if "_temp_" in path.name:  # parts that were never merged
        parts = sorted(path.glob("*.index"))
        return {k: a for part in parts for k, a in arrays_of_bundle(str(part)[: -len(".index")]).items()}
    if path.is_dir():  # BackupAndRestore
        inside = sorted([*path.rglob("*.weights.h5"), *path.rglob("*.index")])
        return (
            arrays_of_h5(inside[-1])
            if inside[-1].suffix == ".h5"
            else arrays_of_bundle(str(inside[-1])[: -len(".index")])
        )
    return arrays_of_bundle(str(path))


def wide(a) -> np.ndarray:
    a = np.asarray(a)
    if a.dtype.kind == "V":  # bfloat16 as h5py reads it
        a = (a.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return a.astype(np.float64)


def keymap(case: Path, truth: dict, arrays) -> dict:
    result, unmatched = {}, []
    for c in truth["checkpoints"]:
        if truth["format"] == "BackupAndRestore" and c is not truth["checkpoints"][-1]:
            continue
        inside: dict[tuple, list] = {}
        for key, a in arrays_in(case / c["path"]).items():
            inside.setdefault(np.shape(a), []).append((key, wide(a)))
        of_values: set[str] = set()
        here = result[c["tag"]] = {}
        for values_first in (True, False):
            for label, o in c["optimizers"].items():
                row = here.setdefault(label, {})
                for e in o["variables"]:
                    for what in ["value"] if values_first else [f"slot_{s}" for s in e["slots"]]:
                        a = wide(arrays[f"{c['tag']}/{e['npz_prefix']}/{what}"])
                        s = e.get("slice")
                        if s:
                            cut = tuple(slice(b, b + n) for b, n in zip(s["var_offset"], s["var_shape"], strict=True))
                            hits = [
                                f"{k}[slice]"
                                for k, x in inside.get(tuple(s["full_shape"]), [])
                                if np.array_equal(x[cut], a, equal_nan=True)
                            ]
                        else:
                            hits = [k for k, x in inside.get(a.shape, []) if np.array_equal(x, a, equal_nan=True)]
                        if values_first:
                            of_values.update(hits)
                        elif not a.any():
                            hits = [k for k in hits if k not in of_values]  # zeros that are a bias, not a moment
                        row[f"{e['index']} {e.get('path') or e['name']} | {what}"] = hits
                        if not hits:
                            unmatched.append(f"{c['tag']} {label} {e['index']} {what}")
    return {
        "note": "derived by exact value matching (NOT part of the live truth)",
        "keymap": result,
        "unmatched": unmatched,
    }


# ------------------------------------------------------------------------------------------------------- verification


def option(o: dict, *names, default=None):
    c = o["config"] or {}
    for wrapper in ("inner_optimizer", "optimizer"):
        if isinstance(c.get(wrapper), dict):
            c = c[wrapper].get("config", c)
    return next((c[n] for n in names if c.get(n) is not None), default)


def predicted(o: dict, a: dict, t: int) -> np.ndarray | None:
    """The last update by the formula, float64; None if the record alone doesn't determine it."""
    cls = o["inner_cls"].lower().removesuffix("optimizer")
    b1 = float(np.float32(option(o, "beta_1", "_beta1", default=0.9)))
    b2 = float(np.float32(option(o, "beta_2", "_beta2", default=0.999)))
    eps = option(o, "epsilon", "_epsilon", default=1e-7)
    lr, wd = o["lr_used_last"], option(o, "weight_decay", "_weight_decay", default=0.0) or 0.0
    if "slot_m" not in a or not ("slot_v" in a or "slot_u" in a):
        return None
    if cls == "adabelief":
        return adabelief(o, a, t)
    m, v = wide(a["slot_m"]), wide(a.get("slot_v", a.get("slot_u")))
    if o["inner_flavor"] == "sonnet":
        return -lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    if cls in ("adam", "adamw", "lazyadam"):
        top = wide(a["slot_vhat"]) if option(o, "amsgrad") and "slot_vhat" in a else v
        d = -lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(top) + eps)
        if wd:
            decoupled = wd if o["inner_flavor"] in ("tf1", "v2") else wd * lr
            d = d - decoupled * wide(a["before"])
        return d
    if cls == "adamax":
        return -lr / (1 - b1**t) * m / (v + eps)
    if cls == "lamb" and o["inner_flavor"] == "k3":
        r = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        w, n = np.linalg.norm(wide(a["before"])), np.linalg.norm(r)
        return -lr * (w / n if w > 0 and n > 0 else 1.0) * r
    return None


def adabelief(o: dict, a: dict, t: int) -> np.ndarray | None:
    """The last update of tensorflow-addons' AdaBelief, in the variable's dtype: the rectification cancels."""
    if isinstance(option(o, "weight_decay"), dict):  # a schedule
        return None
    f = a["slot_v"].dtype.type
    lr, wd, b1, b2 = (
        f(np.float32(x)) for x in (o["lr_used_last"], *(option(o, n) for n in ("weight_decay", "beta_1", "beta_2")))
    )
    total, share, least = (f(option(o, n)) for n in ("total_steps", "warmup_proportion", "min_lr"))
    if total > 0:
        warm = total * share
        span = max(total - warm, f(1))
        lr = lr * (f(t) / warm) if t <= warm else lr + (least - lr) / span * min(f(t) - warm, span)
    p1, p2 = f(float(b1) ** t), f(float(b2) ** t)
    c1, c2 = f(1) - p1, f(1) - p2
    limit = f(2) / (f(1) - b2) - f(1)
    length = limit - f(2) * f(t) * p2 / c2
    x = a["slot_m"] / c1
    if not option(o, "rectify") or length >= f(option(o, "sma_threshold")):
        r = f(1)
        if option(o, "rectify"):
            r = np.sqrt((length - f(4)) * (length - f(2)) * limit / ((limit - f(4)) * (limit - f(2)) * length))
        x = r * x / (np.sqrt(a.get("slot_vhat", a["slot_v"]) / c2) + f(option(o, "epsilon")))
    return -wide(lr * (x + wd * a["before"]))


def worst(o: dict, arrays: dict, tag: str, t: int) -> float | None:
    """Largest error of the formula over this optimizer's variables, relative to the largest change."""
    errors = []
    for e in o["variables"]:
        p = f"{tag}/{e['npz_prefix']}/"
        a = {k[len(p) :]: arrays[k] for k in arrays if k.startswith(p)}
        if "before" not in a or e["dtype"].replace("_ref", "") not in ("float32", "float64"):
            continue
        if e["shape"][:1] == [11]:  # rows that the last batch didn't touch: implementations differ
            continue
        want = predicted(o, a, t)
        if want is None:
            continue
        d = wide(a["after"]) - wide(a["before"])
        lim = (
            np.spacing(np.abs(wide(a["before"])).astype(np.float32)).astype(float)
            if e["dtype"].startswith("float32")
            else 0
        )
        big = np.max(np.abs(d)) if d.size else 0
        if big:
            errors.append(float(np.max(np.maximum(np.abs(want - d) - 2 * lim, 0)) / big))
    return max(errors) if errors else None


def verify(truth: dict, arrays: dict) -> list[str]:
    """Sets t_used_last_source, and for graphs that raced also t_used_last; returns what doesn't fit."""
    odd = []
    for c in truth["checkpoints"]:
        for label, o in c["optimizers"].items():
            t = o.get("t_used_last") or 0
            if not t:
                continue
            if "race" in (o.get("t_used_last_source") or ""):
                # nothing orders the increment and the reads in these graphs: the live change decides
                decay, rate, t = option(o, "decay", default=0.0), o["lr_used_last"], o["iterations"]
                if decay and o["inner_cls"] != "Nadam":
                    rate = option(o, "lr", "learning_rate") / (1 + decay * (t - 1))
                late = rate * (1 + decay * (t - 1)) / (1 + decay * t) if o["inner_cls"] != "Nadam" else rate
                errors = {
                    (n, lr): worst({**o, "lr_used_last": lr}, arrays, c["tag"], n)
                    for lr in (rate, late)
                    for n in (t, t + 1)
                }
                if None not in errors.values():
                    t, o["lr_used_last"] = min(errors, key=lambda x: errors[x])
                    o["t_used_last"] = t
                o["t_used_last_source"] = (
                    "race: chosen from the live delta"
                    if t != o["iterations"]
                    else "chosen from the live delta (could race)"
                )
            error = worst(o, arrays, c["tag"], t)
            if error is None:
                o["t_used_last_source"] += " (no numeric check)" if "numeric" not in o["t_used_last_source"] else ""
            elif error < 1e-4:
                if o["t_used_last_source"] == "rule":
                    o["t_used_last_source"] = "rule, numerically verified against the live delta"
            else:
                odd.append(f"{truth['case_id']} {c['tag']} {label}: off by {error:.1e} of the real update (t = {t})")
    return odd


def finish(out: Path, only: str) -> int:
    bad = 0
    for f in sorted(out.glob("*/truth.json")):
        case = f.parent
        if only and not re.search(only, case.name):
            continue
        truth = json.loads(f.read_text())
        with np.load(case / "truth.npz") as z:
            arrays = {k: z[k] for k in z.files}
        try:
            (case / "keymap.json").write_text(json.dumps(keymap(case, truth, arrays)))
        except Exception as error:
            print(f"{case.name}: keymap: {type(error).__name__}: {str(error)[:200]}")
            bad += 1
        for line in verify(truth, arrays):
            print(line)
            bad += 1
        f.write_text(json.dumps(truth, indent=1, sort_keys=True))
    return bad


# --------------------------------------------------------------------------------------------------------------- main


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("out", type=Path)
    record.add_argument("--python", required=True, help="the interpreter that has the version to be recorded")
    record.add_argument("--recorder", required=True, help="e.g. keras:k3; see `list`")
    record.add_argument("--prefix", required=True, help="beginning of the cases' names, e.g. tf24_v2")
    record.add_argument(
        "--path", action="append", default=[], help="folder to put on PYTHONPATH, for a package laid over PYTHON's own"
    )
    record.add_argument("--env", action="append", default=[], help="NAME=VALUE, e.g. KERAS_BACKEND=jax")
    record.add_argument("-k", default="", help="only cases whose name matches this regular expression")
    again = commands.add_parser("finish")
    again.add_argument("out", type=Path)
    again.add_argument("-k", default="")
    commands.add_parser("list")
    a = parser.parse_args()
    if a.command == "list":
        print("\n".join(f"{name:8s} {module}" for name, module in RECORDERS.items()))
        return 0
    if a.command == "record":
        name, _, flavour = a.recorder.partition(":")
        here = Path(__file__).resolve().parent
        env = {
            **os.environ,
            **dict(e.split("=", 1) for e in a.env),
            "PYTHONPATH": os.pathsep.join([*a.path, str(here)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        a.out.mkdir(parents=True, exist_ok=True)
        command = [a.python, "-m", RECORDERS[name], flavour, a.prefix, str(a.out.resolve()), *([a.k] if a.k else [])]
        code = subprocess.run(command, env=env, cwd=a.out, check=False).returncode
        if code:
            print(f"the recorder ended with status {code}", file=sys.stderr)
    return 1 if finish(a.out, a.k or (f"^{re.escape(a.prefix)}_" if a.command == "record" else "")) else 0


if __name__ == "__main__":
    sys.exit(main())
