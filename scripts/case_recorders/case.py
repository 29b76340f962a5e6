"""A recorded case on disk: the checkpoint files of one tiny training, and the truth read from the live objects.

Runs under Python 3.6 and later with nothing but numpy, because the recorders run wherever an old TensorFlow does.
"""

import json
import os
import platform
import shutil
import sys
import traceback

import numpy as np


def plain(x):
    """The same as JSON types; what has no such form becomes its repr."""
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    try:
        a = np.asarray(x)
        if a.shape == () and a.dtype != object:
            return a.item() if a.dtype.kind != "V" else float(a)
        if a.dtype != object:
            return a.tolist()
    except Exception:
        pass
    if hasattr(x, "numpy"):
        return plain(x.numpy())
    return repr(x)


def stored(a):
    """As it goes into truth.npz: bfloat16 has no place there and becomes float32, which holds each of its values."""
    a = np.asarray(a)
    return a.astype(np.float32) if "bfloat16" in str(a.dtype) else a


class Case(object):
    """Collects one case and writes truth.json and truth.npz into its folder."""

    def __init__(self, root, case_id, format, optimizer, notes="", versions=None):
        self.folder = os.path.join(os.path.abspath(root), case_id)
        if os.path.isdir(self.folder):
            shutil.rmtree(self.folder)
        os.makedirs(self.folder)
        self.arrays = {}
        self.truth = dict(
            case_id=case_id,
            format=format,
            optimizer=optimizer,
            notes=notes,
            entry="",
            python=platform.python_version(),
            checkpoints=[],
            **(versions or {}),
        )

    def file(self, *parts):
        return os.path.join(self.folder, *parts)

    def checkpoint(self, tag, path, step, optimizers, notes="", **more):
        """`optimizers`: label -> (record, per-variable dict of arrays)."""
        records = {}
        for label, (record, arrays) in optimizers.items():
            record = dict(record)
            for i, (entry, named) in enumerate(zip(record["variables"], arrays)):
                entry["npz_prefix"] = "%s/%d" % (label, i)
                for name, a in named.items():
                    if a is not None:
                        self.arrays["%s/%s/%d/%s" % (tag, label, i, name)] = stored(a)
            records[label] = record
        self.truth["checkpoints"].append(dict(tag=tag, path=path, step=step, optimizers=records, notes=notes, **more))
        self.truth["entry"] = path

    def write(self):
        with open(self.file("truth.json"), "w") as f:
            json.dump(plain(self.truth), f, indent=1, sort_keys=True)
        np.savez_compressed(self.file("truth.npz"), **self.arrays)


def variable_entry(index, name, shape, dtype, slots, path=None, **more):
    return dict(
        index=index, name=name, path=path, shape=[int(n) for n in shape], dtype=str(dtype), slots=sorted(slots), **more
    )


def run_all(makers, prefix, out, only=None):
    """Calls each maker(case_id); a failure is printed, its half-written folder removed, and the rest still run."""
    import re

    done, failed = [], []
    for name, maker in makers:
        case_id = "%s_%s" % (prefix, name)
        if only and not re.search(only, case_id):
            continue
        try:
            maker(case_id)
            done.append(case_id)
        except Exception as error:
            failed.append(case_id)
            shutil.rmtree(os.path.join(out, case_id), ignore_errors=True)
            where = traceback.extract_tb(sys.exc_info()[2])
            mine = [w for w in where if "case_recorders" in w[0]][-1]
            print(
                "FAILED %s: %s: %s (%s:%d)"
                % (case_id, type(error).__name__, str(error).split("\n")[0][:200], os.path.basename(mine[0]), mine[1])
            )
            if os.environ.get("RECORD_CASES_TRACEBACK"):
                traceback.print_exc()
        sys.stdout.flush()
    print("%d recorded, %d failed" % (len(done), len(failed)))
    return done, failed
