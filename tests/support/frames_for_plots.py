"""Frames like `Analyses.to_frame(kind)` gives them, of runs that never were, of any size."""

from __future__ import annotations

import numpy as np
import pandas as pd

BINS_PER_DECADE = 12
NORMAL = np.array([-3.0, -2.33, -1.64, -0.67, 0.0, 0.67, 1.64, 2.33, 3.0])
"""Quantiles of the normal distribution at a store's levels (the ends stand for themselves)."""


def parameter_names(count: int) -> list[str]:
    """Names of a network of about that size: two dense layers, a residual network, or a transformer."""
    if count <= 4:
        return ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"][:count]
    if count <= 60:
        names = []
        for layer in range(-(-count // 4)):
            conv = "conv2d" + (f"_{layer}" if layer else "")
            norm = "batch_normalization" + (f"_{layer}" if layer else "")
            names += [f"{conv}/kernel", f"{conv}/bias", f"{norm}/gamma", f"{norm}/beta"]
        return names[:count]
    layer_names = [
        *(f"attention/self/{part}/{kind}" for part in ("query", "key", "value") for kind in ("kernel", "bias")),
        *(f"attention/output/{part}" for part in ("dense/kernel", "dense/bias", "LayerNorm/gamma", "LayerNorm/beta")),
        *(f"intermediate/dense/{kind}" for kind in ("kernel", "bias")),
        *(f"output/{part}" for part in ("dense/kernel", "dense/bias", "LayerNorm/gamma", "LayerNorm/beta")),
    ]
    names = [f"bert/embeddings/{part}" for part in ("word_embeddings", "position_embeddings", "LayerNorm/gamma")]
    for layer in range(-(-count // len(layer_names))):
        names += [f"bert/encoder/layer_{layer}/{part}" for part in layer_names]
    return [*names[: count - 2], "bert/pooler/dense/kernel", "bert/pooler/dense/bias"]


def make_frames(
    parameters: int = 4,
    checkpoints: int = 10,
    *,
    optimizers: tuple[str, ...] = ("adam",),
    learning_rate: float | None = 1e-3,
    source: str = "config",
    has_steps: bool = True,
    is_damaged: bool = False,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Frames of two kinds, by kind; the rate decays tenfold over the run. `is_damaged` puts NaNs and zeros in."""
    rng = np.random.default_rng(seed)
    rows, bins = [], []
    for optimizer in optimizers:
        for position, name in enumerate(parameter_names(parameters)):
            shape = "16" if name.split("/")[-1] in ("bias", "gamma", "beta") else "64,16"
            size = 16 if shape == "16" else 1024
            start, drift, width = rng.normal(-0.3, 0.5), rng.normal(0.7, 0.4), rng.uniform(0.15, 0.5)
            for index in range(checkpoints):
                progress = index / max(checkpoints - 1, 1)
                alpha = None if learning_rate is None else learning_rate * 10**-progress
                factor = 1.0 if alpha is None else alpha
                wave = 0.08 * np.sin(9 * progress + position)
                centre = 1.5 + start + drift * progress + wave
                spread = width * (0.7 + 0.6 * progress)
                quantiles = factor * 10 ** (centre + spread * NORMAL)
                missing = is_damaged and (position == 1 or index == 2)
                quantiles = np.full(9, np.nan) if missing else quantiles
                untouched = 1.0 if is_damaged and position == 1 else float(0.3 * (position % 7 == 3) * (1 - progress))
                head = {
                    "checkpoint": f"ckpt-{index + 1}",
                    "checkpoint_index": index,
                    "optimizer": optimizer,
                    "step": 100 * (index + 1) if has_steps else pd.NA,
                    "parameter": name,
                }
                columns = ("min", "q01", "q05", "q25", "median", "q75", "q95", "q99", "max")
                rows.append(
                    {
                        **head,
                        "rule": "adam",
                        "layout": "keras-3",
                        "learning_rate": np.nan if alpha is None else alpha,
                        "learning_rate_source": "unknown" if alpha is None else source,
                        "beta_1": 0.9,
                        "beta_1_source": "config",
                        "beta_2": 0.999,
                        "beta_2_source": "config",
                        "epsilon": 1e-7,
                        "epsilon_source": "default",
                        "weight_decay": np.nan,
                        "weight_decay_source": "unknown",
                        "shape": shape,
                        "dtype": "float32",
                        "size": size,
                        **{f"effective_lr_{column}": q for column, q in zip(columns, quantiles, strict=True)},
                        "effective_lr_mean": quantiles[4] * 1.1,
                        "untouched": untouched,
                        "epsilon_dominated": float(0.6 * (position % 5 == 4) * progress),
                        "lost_in_rounding": float(0.05 * (position % 9 == 2)),
                        "nonfinite": 0,
                        "update_rms": np.nan if missing or alpha is None else alpha * 10 ** (-0.6 + 0.2 * start + wave),
                        "update_max": 1e-3,
                        "relative_update_rms": np.nan if missing else 10 ** (-0.6 + 0.2 * start + wave),
                        "weight_rms": 0.0 if shape == "16" and index == 0 else 0.05,
                        "update_to_weight": np.nan
                        if missing
                        else 10 ** (-3 + 0.7 * (position % 3 - 1) - progress + wave),
                        "signal_to_noise": 0.3,
                        "path_distance": 10 ** (-2.5 + progress + wave) if index and not missing else np.nan,
                        "window_displacement": 10 ** (-4 - progress + wave) if index and not missing else np.nan,
                        "window_gradient_rms": 10 ** (-2 - progress + wave) if index and not missing else np.nan,
                        "window_gradient_rms_low": 10 ** (-2.2 - progress + wave) if index and not missing else np.nan,
                        "window_gradient_rms_high": 10 ** (-1.7 - progress) if index % 3 and not missing else np.nan,
                    }
                )
                if not missing:
                    ends = np.floor((centre + np.array([-3.2, 3.2]) * spread) * BINS_PER_DECADE)
                    edges = np.arange(ends[0], ends[1] + 2)
                    mass = np.exp(-0.5 * (((edges[:-1] + 0.5) / BINS_PER_DECADE - centre) / spread) ** 2)
                    counts = np.round(mass / mass.sum() * size * (1 - untouched)).astype(int)
                    for low, count in zip(edges[:-1], counts, strict=True):
                        if count:
                            bins.append(
                                {
                                    **head,
                                    "low": factor * 10 ** (low / BINS_PER_DECADE),
                                    "high": factor * 10 ** ((low + 1) / BINS_PER_DECADE),
                                    "count": count,
                                }
                            )
    frames = {"parameters": pd.DataFrame(rows), "histogram": pd.DataFrame(bins)}
    for frame in frames.values():
        frame["step"] = frame["step"].astype("Int64")
    return frames
