"""What a user would write: TensorFlow's reader, numpy on whole tensors, one checkpoint after the other, into HDF5.

usage: benchmark_naive.py OUT.h5 PREFIX...     (TF1 names: X, X/Adam, X/Adam_1)

It computes less than `ckpt-inspect analyze`: no checksums, no sampled elements, no histogram of v, no signal-to-noise.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import tensorflow as tf

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-8

with h5py.File(sys.argv[1], "w") as out:
    for prefix in sys.argv[2:]:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        step = int(reader.get_tensor("global_step"))
        rate = LEARNING_RATE * np.sqrt(1 - BETA_2**step)
        checkpoint = out.create_group(Path(prefix).name)
        for name in sorted(shapes):
            if name + "/Adam" not in shapes or name + "/Adam_1" not in shapes:
                continue
            weights = reader.get_tensor(name)
            m = reader.get_tensor(name + "/Adam")
            v = reader.get_tensor(name + "/Adam_1")
            lr = rate / (np.sqrt(v) + EPSILON)
            update = lr * m / (1 - BETA_1**step)
            group = checkpoint.create_group(name)
            group["quantiles"] = np.quantile(lr, [0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1])
            group["histogram"], group["edges"] = np.histogram(np.log10(lr), bins=100)
            group["mean"] = lr.mean()
            group["update_rms"] = np.sqrt(np.mean(update**2))
            group["update_max"] = np.abs(update).max()
            group["weight_rms"] = np.sqrt(np.mean(weights**2))
            group["untouched"] = np.mean(v == 0)
            group["epsilon_dominated"] = np.mean(np.sqrt(v) < EPSILON)
