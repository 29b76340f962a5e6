"""The recorded runs in tests/data, as inference sees them; see the README there."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ckpt_inspect.comparison.inference.observations import Moments, Observation
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.update_rules import find_implementation, find_rule

DATA = Path(__file__).parents[1] / "data"
FIELDS = ("first", "second", "max_second", "value")


@lru_cache
def _rows() -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = json.loads((DATA / "recorded_runs.json").read_text())
    return rows


RECORDED_RUNS = tuple(_rows())


def recorded_run(name: str) -> tuple[list[Observation], list[dict[str, float]]]:
    """What each checkpoint of the run shows, and what the live optimizer had."""
    with np.load(DATA / "recorded_runs.npz") as npz:
        observations = [_observed(npz, name, place, row) for place, row in enumerate(_rows()[name])]
    return observations, [row["truth"] for row in _rows()[name]]


def _observed(npz: Any, name: str, place: int, row: dict[str, Any]) -> Observation:
    rule, implementation = find_rule(row["rule"]), find_implementation(row["family"])
    assert rule is not None and implementation is not None
    whole = {f: npz[f"{name}/{place}/{f}"] for f in FIELDS if f"{name}/{place}/{f}" in npz.files}
    cuts = np.cumsum(list(row["parameters"].values()))[:-1]
    parts = {f: np.split(array, cuts) for f, array in whole.items()}
    return Observation(
        checkpoint=row["checkpoint"],
        rule=Sourced(row["rule"], "checkpoint", ""),
        update_rule=rule,
        implementation=implementation,
        layout=row["layout"],
        step=Sourced(row["step"], "unknown" if row["step"] is None else "checkpoint", ""),
        raw_step=row["raw_step"],
        counted=row["counted"],
        hyperparameters={n: Sourced(value, source, "") for n, (value, source) in row["hyperparameters"].items()},
        moves_by_itself=row["moves_by_itself"],
        elements={p: Moments(**{f: parts[f][i] for f in parts}) for i, p in enumerate(row["parameters"])},
        others={},
    )
