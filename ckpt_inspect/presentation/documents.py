"""Results as JSON documents."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ckpt_inspect.jsonable import JsonObject, json_object

if TYPE_CHECKING:  # `show --json` needs nothing of the others
    from ckpt_inspect.comparison.differences import Differences
    from ckpt_inspect.measurement.columns import OptimizerColumns, RunColumns
    from ckpt_inspect.overview.overview import Overview


def run_document(analyses: RunColumns, store: str | None) -> JsonObject:
    """Return a document on one run: its checkpoints, its segments, what deserves attention in it, and for each
    optimizer every figure as a list over the checkpoints.

    Distributions are their quantiles; histograms and single elements are in the store.
    """
    from ckpt_inspect.runs.remembered import findings_of, segments_of

    paths = [str(path) for path in analyses.checkpoints["path"]]
    document = {
        "run": analyses.run,
        "store": store,
        "checkpoints": [
            {name: column[i] for name, column in analyses.checkpoints.items() if name != "files"}
            for i in range(len(analyses))
        ],
        "segments": [segment.to_json(paths) for segment in segments_of(analyses)],
        "findings": [finding.to_json() for finding in findings_of(analyses)],
        "optimizers": [_optimizer(optimizer) for optimizer in analyses.optimizers.values()],
        "problems": [
            {"checkpoint": r.checkpoint, "optimizer": r.optimizer, **asdict(r.problem)} for r in analyses.remarks
        ],
    }
    return json_object(document)


def _optimizer(optimizer: OptimizerColumns) -> dict[str, object]:
    from ckpt_inspect.measurement.variables import (
        METRICS,
        PARAMETER_VARIABLES,
        QUANTILE_NAMES,
        WINDOW_METRICS,
        checkpoint_variables_in,
    )

    variables = optimizer.variables
    steps = [None if step < 0 else step for step in variables["step"].tolist()]
    parameters = []
    for i in range(len(variables["parameter"])):
        parameter = {v.name: variables[v.name][i] for v in PARAMETER_VARIABLES}
        parameter |= {
            f"effective_lr_{name}": variables["effective_lr"][:, i, q] for q, name in enumerate(QUANTILE_NAMES)
        }
        parameter |= {v.name: variables[v.name][:, i] for v in (*METRICS, *WINDOW_METRICS)}
        parameters.append(parameter)
    over_run = {v.name: variables[v.name] for v in checkpoint_variables_in(variables) if v.name != "step"}
    return {"name": optimizer.name, "step": steps, **over_run, "parameters": parameters}


def diff_document(diff: Differences) -> JsonObject:
    """Return a document on two checkpoints compared."""
    from ckpt_inspect.comparison.differences import row

    optimizers = [
        {
            "name": o.name,
            "status": o.status,
            "steps": o.steps,
            "hyperparameters": {
                h.name: {"is_changed": h.is_changed, "a": asdict(h.a), "b": asdict(h.b)} for h in o.hyperparameters
            },
        }
        for o in diff.optimizers
    ]
    document = {
        "a": diff.path_a,
        "b": diff.path_b,
        "is_same": diff.is_same,
        "counts": diff.counts,
        "optimizers": optimizers,
        "parameters": [row(p) | {"slot_changes": p.slot_changes} for p in diff.parameters],
        "scalars": [row(p) for p in diff.scalars],
        "problems": [asdict(p) for p in diff.problems],
    }
    return json_object(document)


def overview_document(overview: Overview) -> JsonObject:
    """Return what one checkpoint is; `listed`, its tensors with their figures, only if they were asked for."""
    return json_object({name: value for name, value in asdict(overview).items() if value or name != "listed"})
