"""The recorded updates in tests/data, as arrays; see the README there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ckpt_inspect.state.schedules import inverse_time_decay
from ckpt_inspect.update_rules import Settings, State, find_implementation

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class RecordedUpdate:
    """One update that a live optimizer made."""

    label: str
    rule: str
    family: str
    dtype: str
    before: Any
    state: State
    settings: Settings

    @property
    def change(self) -> Any:
        """θ_after - θ_before, float64."""
        return self.state.value.astype(np.float64) - self.before.astype(np.float64)

    def excess(self, update: Any) -> float:
        """How far `update` is from what happened, in units of what rounding explains (1: at the limit).

        The limit is 2e-5 of the largest step (float64: 1e-6) and two units in the last place of the weights.
        """
        with np.errstate(all="ignore"):
            relative = {"float64": 1e-6}.get(self.dtype, 2e-5)
            weights = np.maximum(abs(self.before.astype(np.float64)), abs(self.state.value.astype(np.float64)))
            bits = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}[self.dtype]
            ulp = 2.0 ** (np.floor(np.log2(np.maximum(weights, 1e-4))) - bits)
            got, want = update.astype(np.float64), self.change
            scale = np.max(abs(want), where=np.isfinite(want), initial=0.0)
            excess = abs(got - want) / (relative * scale + 2 * ulp)
            is_same = (got == want) | (np.isnan(got) & np.isnan(want)) | ~np.isfinite(self.before.astype(np.float64))
            return float(np.max(np.where(is_same, 0.0, np.where(np.isnan(excess), np.inf, excess))))


@lru_cache
def recorded_updates() -> tuple[RecordedUpdate, ...]:
    """All of them, in the file's order."""
    rows = json.loads((DATA / "recorded_updates.json").read_text())
    with np.load(DATA / "recorded_updates.npz") as npz:
        flat = {name: npz[name] for name in npz.files}
    flat["bfloat16"] = flat["bfloat16"].view(ml_dtypes.bfloat16)
    return tuple(_decoded(row, flat) for row in rows)


def _decoded(row: dict[str, Any], flat: dict[str, Any]) -> RecordedUpdate:
    size = int(np.prod(row["shape"]))
    arrays = {k: flat[row["dtype"]][at : at + size].reshape(row["shape"]) for k, at in row["arrays"].items()}
    settings = dict(row["settings"])
    rate = inverse_time_decay(settings.pop("learning_rate"), settings.pop("decay", 0.0), row["step"] - 1)
    before, after = arrays.pop("before"), arrays.pop("after")
    implementation = find_implementation(row["family"])
    assert implementation is not None
    return RecordedUpdate(
        label=f"{row['producer']} {row['optimizer']} {row['dtype']} step {row['step']} {row['settings']}",
        rule=row["rule"],
        family=row["family"],
        dtype=row["dtype"],
        before=before,
        state=State(value=after, **arrays),
        settings=Settings(implementation, row["step"], rate, **settings, others=row["extra"]),
    )
