"""BERT's AdamWeightDecayOptimizer by name: `<variable>/adam_m`, `<variable>/adam_v`, no counter but `global_step`.

google-research/bert, optimization.py; ELECTRA and ALBERT name their slots alike.
"""

from __future__ import annotations

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.layouts.found import FoundOptimizer, FoundParameter, RuleReading, unique_names
from ckpt_inspect.layouts.tf1_groups import strip_to_variable
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.update_rules import rules_of
from ckpt_inspect.update_rules.implementations import BERT

LAYOUT = "bert-names"
FIRST, SECOND = "/adam_m", "/adam_v"


def find(checkpoint: Checkpoint) -> list[FoundOptimizer]:
    """Find the optimizer, if there are such slots."""
    tensors = checkpoint.tensors
    stems = [k.removesuffix(FIRST) for k in tensors if k.endswith(FIRST) and k.removesuffix(FIRST) + SECOND in tensors]
    if not stems:
        return []
    stems.sort(key=natural_key)
    variables = [strip_to_variable(s, tensors[s + FIRST].shape, tensors) for s in stems]
    names = unique_names(v or s for v, s in zip(variables, stems, strict=True))
    parameters = tuple(
        FoundParameter(
            name,
            tensors[stem + FIRST].shape,
            tensors[stem + FIRST].dtype,
            variable,
            {"first_moment": stem + FIRST, "second_moment": stem + SECOND},
        )
        for name, stem, variable in zip(names, stems, variables, strict=True)
    )
    return [
        FoundOptimizer(
            name=FIRST.strip("/").removesuffix("_m"),
            layout=LAYOUT,
            implementation=BERT,
            rule=RuleReading(
                rules_of(BERT)[0].name,
                "checkpoint",
                "slots adam_m and adam_v, as BERT's AdamWeightDecayOptimizer names them",
            ),
            parameters=parameters,
            counter="global_step" if "global_step" in tensors else None,
            counted="global-step",
        )
    ]
