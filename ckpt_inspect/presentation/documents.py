"""Results as JSON documents."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ckpt_inspect.jsonable import jsonable

if TYPE_CHECKING:
    from ckpt_inspect.runs.analyses import Analyses, OptimizerRun


def run_document(analyses: Analyses, store: str | None) -> dict[str, Any]:
    """One run: its checkpoints, what deserves attention in it, and for each optimizer every figure as a list over them.

    Distributions are their quantiles; histograms and single elements are in the store.
    """
    document = {
        "run": analyses.run,
        "store": store,
        "checkpoints": [
            {name: column[i] for name, column in analyses.checkpoints.items() if name != "files"}
            for i in range(len(analyses))
        ],
        "findings": [finding.to_json() for finding in analyses.findings],
        "optimizers": [_optimizer(optimizer) for optimizer in analyses.optimizers.values()],
        "problems": [
            {"checkpoint": r.checkpoint, "optimizer": r.optimizer, **asdict(r.problem)} for r in analyses.remarks
        ],
    }
    return jsonable(document)  # type: ignore[no-any-return]  # of a dict it makes a dict


def _optimizer(optimizer: OptimizerRun) -> dict[str, Any]:
    from ckpt_inspect.measurement.variables import METRICS, PARAMETER_VARIABLES, QUANTILE_NAMES, checkpoint_variables_in

    variables = optimizer.variables
    steps = [None if step < 0 else step for step in variables["step"].tolist()]
    parameters = []
    for i in range(len(variables["parameter"])):
        parameter = {v.name: variables[v.name][i] for v in PARAMETER_VARIABLES}
        parameter |= {
            f"effective_lr_{name}": variables["effective_lr"][:, i, q] for q, name in enumerate(QUANTILE_NAMES)
        }
        parameter |= {v.name: variables[v.name][:, i] for v in METRICS}
        parameters.append(parameter)
    over_run = {v.name: variables[v.name] for v in checkpoint_variables_in(variables) if v.name != "step"}
    return {"name": optimizer.name, "step": steps, **over_run, "parameters": parameters}
