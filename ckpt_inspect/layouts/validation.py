"""Check what layouts found against the file's own metadata: a tensor that can't be what its name says is skipped, with
a problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ckpt_inspect.checkpoint import Checkpoint, Problem, TensorSpec
from ckpt_inspect.layouts.found import BetaPowerKeys, FoundOptimizer, FoundParameter, unique_names

FLOATS = ("float16", "bfloat16", "float32", "float64")
NUMBERS = (*FLOATS, "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OF_THE_VARIABLE_S_SHAPE = (
    "first_moment", "second_moment", "max_second_moment", "infinity_norm", "mean_square", "rms", "velocity",
    "mean_gradient", "mg", "average_gradient", "accumulator",
)  # fmt: skip
"""Slots that hold one number for each element of the variable."""


def checked(checkpoint: Checkpoint, found: Sequence[FoundOptimizer]) -> tuple[FoundOptimizer, ...]:
    """Return the same optimizers under unique names, without scalars that aren't one number and without slots whose
    shape is not their variable's."""
    names = unique_names(f.name for f in found)
    return tuple(_check(checkpoint, f, name) for f, name in zip(found, names, strict=True))


def _check(checkpoint: Checkpoint, found: FoundOptimizer, name: str) -> FoundOptimizer:
    problems: list[Problem] = []

    def scalar(key: str | None) -> str | None:
        if key is None or _is_number(checkpoint.tensors[key]):
            return key
        problems.append(not_one_number(checkpoint, name, key))
        return None

    powers = found.beta_powers
    return replace(
        found,
        name=name,
        counter=scalar(found.counter),
        beta_powers=replace(powers, own=BetaPowerKeys(scalar(powers.own.beta_1), scalar(powers.own.beta_2))),
        scalars={ours: key for ours, key in found.scalars.items() if scalar(key) is not None},
        malformed={
            ours: _form(checkpoint, key)
            for ours, key in found.scalars.items()
            if not _is_number(checkpoint.tensors[key])
        },
        parameters=tuple(
            p for p in (_check_parameter(checkpoint, name, p, problems) for p in found.parameters) if p.slots
        ),
        problems=(*found.problems, *problems),
    )


def not_one_number(checkpoint: Checkpoint, optimizer: str, key: str, what: str = "one number") -> Problem:
    """Return the Problem of a tensor that should hold a number of the optimizer's, and can't."""
    return Problem("scalar-malformed", f"{optimizer}: {_form(checkpoint, key, what)}", "it is skipped", "error")


def _is_number(spec: TensorSpec) -> bool:
    return spec.size == 1 and spec.dtype in NUMBERS


def _form(checkpoint: Checkpoint, key: str, what: str = "one number") -> str:
    spec = checkpoint.tensors[key]
    return f"{key} is of shape {spec.shape} and type {spec.dtype}, but should be {what}"


def _check_parameter(
    checkpoint: Checkpoint, optimizer: str, parameter: FoundParameter, problems: list[Problem]
) -> FoundParameter:
    def fits(key: str) -> bool:
        spec = checkpoint.tensors[key]
        return spec.shape == parameter.shape and spec.dtype in FLOATS

    odd = [k for slot, k in parameter.slots.items() if slot in OF_THE_VARIABLE_S_SHAPE and not fits(k)]
    value = parameter.value
    if value is not None and not fits(value):
        odd.append(value)
        value = None
    if not odd:
        return parameter
    described = ", ".join(f"{k} ({checkpoint.tensors[k].shape}, {checkpoint.tensors[k].dtype})" for k in odd)
    problems.append(
        Problem(
            "shapes-differ",
            f"{optimizer}: {parameter.name} has moments of shape {parameter.shape}; not so {described}",
            "the slots that differ are skipped",
            "error",
        )
    )
    slots = {s: k for s, k in parameter.slots.items() if k not in odd}
    # the odd slot may be the one whose type was taken for all
    dtype = next((checkpoint.tensors[k].dtype for s, k in slots.items() if s in OF_THE_VARIABLE_S_SHAPE), None)
    return replace(parameter, value=value, slots=slots, dtype=dtype or parameter.dtype)
