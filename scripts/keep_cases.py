#!/usr/bin/env python3
"""Copy the cases that the tests keep from a folder of recorded ones into fixtures/recorded, trimmed.

    python keep_cases.py RECORDED [--to fixtures/recorded] [-k REGEX]

RECORDED is what record_cases.py made. Of each case the newest checkpoint is kept, with the record of its optimizers and
the keys under which the recorded arrays are in the file (keymap) in truth.json, and their arrays in truth.npz.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

KEPT = (
    # TF1 names, from TF 1.4 and 1.12
    "tf14_saver_adam_nometa", "tf14_saver_v1fmt", "tf112_saver_adam_eps", "tf112_saver_lrdecay", "tf112_saver_gan_meta",
    "tf112_saver_gan_sharedvars", "tf112_saver_rebuilt", "tf112_saver_scoped", "tf112_saver_partitioned3_nometa",
    "tf112_saver_f64_nometa", "tf112_saver_contrib_adamw", "tf112_saver_contrib_adamax", "tf112_saver_bert",
    "tf112_saver_gs_offset", "tf112_saver_rmsprop", "tf112_saver_sharded", "tf112_ckpt_tf1opt",
    # Keras before OptimizerV2
    "keras209_tf14_h5_adam_eps", "keras224_tf115_h5_amsgrad", "keras231_tf115_h5_adam_eps", "tf112_keras_saver",
    "keras231_tf115_saver",
    # OptimizerV2 in an Estimator
    "tf115_estimator_keras",
    # OptimizerV2, and TensorFlow Addons on it
    "tf20_v2_ckpt_lso", "tf23_v2_ckpt_decay", "tf24_v2_ckpt_amsgrad", "tf24_v2_ckpt_adam_eps", "tf24_v2_ckpt_gan_mixed",
    "tf24_v2_ckpt_adamax", "tf24_v2_fit_h5_sched", "tf20_v2_fit_savedmodel",
    "tf24_tfa_ckpt_tfa_adamw", "tf24_tfa_ckpt_tfa_lamb", "tf24_tfa_ckpt_tfa_radam", "tf24_tfa_ckpt_tfa_lazyadam",
    "tf210_tfa_ckpt_tfa_adabelief", "tf25_tfa_ckpt_tfa_adabelief_warmup", "tf215_tfa_fit_h5_tfa_adabelief_norect",
    # Sonnet 2
    "tf215_snt_ckpt_adam_attributes", "tf25_snt_ckpt_adam_variables",
    # Keras 2.11 to 2.13
    "tf211_new_ckpt_expdecay", "tf213_new_ckpt_adamw", "tf213_new_ckpt_reordered",
    "tf213_new_fit_keras", "tf213_new_ckpt_gan",
    # Keras 3
    "k305_tf216_fit_keras_named", "k305_tf216_fit_keras_lso", "k333_tf216_ckpt_reordered_amsgrad",
    "k333_tf216_ckpt_f16",    "k333_tf216_ckpt_adam_eps", "k333_tf216_fit_weights_h5_adamax",
    "k333_tf216_fit_weights_h5_ema_dup", "k333_tf216_fit_keras_frozen", "k333_tf216_ckpt_nadam",
    "k311_jax_fit_keras_gradaccum",
    "k311_jax_fit_weights_h5_named", "k311_jax_fit_keras_lamb",
    # RMSprop, Adagrad, other rules, and classes of one's own (recorders keras-rules, tf1-rules, keras1)
    "tf14_saver_rms_mom_dense", "tf14_saver_ada_start_nometa", "tf115_saver_hand_lamb_nometa",
    "tf115_saver_amsgrad_slots_nometa", "tf215_saver_tfa_adamw_nometa", "tf25_v2_ckpt_rmsprop_both",
    "tf25_v2_ckpt_own_yogi", "tf25_v2_ckpt_module_pair", "tf25_tfa_fit_h5_tfa_novograd", "tf215_new_ckpt_adafactor",
    "k333_tf216_ckpt_adagrad", "k333_tf216_fit_weights_h5_ftrl", "k333_tf216_fit_weights_h5_nadam_sched",
    "k333_tf216_fit_keras_gradaccum", "k315_tf221_ckpt_rmsprop_mom", "k315_tf221_fit_keras_adafactor",
    "k315_tf221_fit_keras_muon", "keras122_tf14_h5_rmsprop", "tf210_v2_ckpt_servers_adam",
)  # fmt: skip
WITH_GRAPH = (
    "tf112_saver_adam_eps", "tf112_saver_lrdecay", "tf112_saver_gan_meta",
    "tf14_saver_rms_mom_dense",
)  # fmt: skip
"""Cases of which the `.meta` file is kept, which is as large as all else."""


def keep(case: Path, target: Path) -> None:
    """Copy one case's newest checkpoint and its record."""
    truth = json.loads((case / "truth.json").read_text())
    newest = truth["checkpoints"][-1]
    tag = newest["tag"]
    truth["checkpoints"] = [newest]
    truth["keymap"] = json.loads((case / "keymap.json").read_text())["keymap"][tag]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    path = case / newest["path"]
    if path.is_dir():
        shutil.copytree(path, target / newest["path"])
    else:
        stem = newest["path"].split("-?")[0]
        stem = Path(stem).name
        for file in path.parent.iterdir():
            if file.suffix == ".meta" and case.name not in WITH_GRAPH:
                continue
            if file.name == stem or file.name.startswith((f"{stem}.", f"{stem}-0")):
                (target / newest["path"]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, (target / newest["path"]).parent / file.name)
    with np.load(case / "truth.npz") as npz:
        arrays = {k: npz[k] for k in npz.files if k.startswith(f"{tag}/")}
    has_pairs = any(k.endswith("/slot_m") for k in arrays)
    witnesses = () if has_pairs else ("grad", "prior_momentum")  # of what its state doesn't determine
    arrays = {
        k: a
        for k, a in arrays.items()
        if (name := k.rpartition("/")[2]) in witnesses or not (name == "grad" or name.startswith("prior_"))
    }
    same = {k for k in arrays if k.endswith("/value") and np.array_equal(arrays[k], arrays.get(f"{k[:-5]}after"))}
    np.savez_compressed(target / "truth.npz", **{k: a for k, a in arrays.items() if k not in same})
    (target / "truth.json").write_text(json.dumps(truth, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recorded", type=Path)
    default = Path(__file__).resolve().parent.parent / "fixtures" / "recorded"
    parser.add_argument("--to", type=Path, default=default)
    parser.add_argument("-k", default="", help="only cases whose name matches this regular expression")
    arguments = parser.parse_args()
    kept = [name for name in KEPT if re.search(arguments.k, name)]
    missing = [name for name in kept if not (arguments.recorded / name / "keymap.json").exists()]
    if missing:
        sys.exit(f"not recorded, or not finished: {', '.join(missing)}")
    for name in kept:
        keep(arguments.recorded / name, arguments.to / name)


if __name__ == "__main__":
    main()
