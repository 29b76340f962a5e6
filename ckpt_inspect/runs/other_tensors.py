"""The tensors of a checkpoint that no optimizer trains, such as statistics and averages: whether they are finite."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from ckpt_inspect.checkpoint import STRING, Checkpoint, Problem, TensorSpec, numpy_dtype
from ckpt_inspect.errors import CkptInspectError, UnsupportedError
from ckpt_inspect.layouts import weight_names
from ckpt_inspect.layouts.object_graph import KEY_TAIL
from ckpt_inspect.measurement.wording import counted
from ckpt_inspect.state.selection import Selection

_MOST_NAMED = 5


def nonfinite_problems(
    checkpoint: Checkpoint, measured: Collection[str], slots: Mapping[str, str], selection: Selection
) -> Iterator[Problem]:
    """Yield a Problem that names the tensors with numbers that are infinite or NaN, besides those of the keys
    `measured`; and one for those that can't be read. `slots` names by key what an optimizer keeps besides."""
    found: dict[str, int] = {}
    unreadable: dict[str, str] = {}
    names = {**weight_names(checkpoint), **slots}
    for key, spec in checkpoint.tensors.items():
        name = names.get(key, key.removesuffix(KEY_TAIL))
        if key in measured or not _is_real(spec) or not selection.has(name):
            continue
        try:
            count = sum(int(np.count_nonzero(~np.isfinite(piece))) for piece in checkpoint.stream(key))
        except CkptInspectError as error:
            unreadable[name] = str(error)
            continue
        if count:
            found[name] = count
    if found:
        from ckpt_inspect.findings.damage import NONFINITE_ELEMENTS, NONFINITE_OTHERS

        some = ", ".join(f"{name} ({count:,})" for name, count in list(found.items())[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        yield Problem(
            NONFINITE_OTHERS.id,
            f"{checkpoint.path}: {NONFINITE_ELEMENTS}{counted(len(found), 'tensor')} that no optimizer trains: "
            f"{some}{more}",
            "the model computes with them: go back to the last checkpoint without them",
            "info",  # a finding says the same
        )
    if unreadable:
        name, reason = next(iter(unreadable.items()))
        yield Problem(
            "tensors-unreadable",
            f"{counted(len(unreadable), 'tensor')} that no optimizer trains can't be read, such as {name}: {reason}",
            "the optimizers' figures don't need them",
        )


def _is_real(spec: TensorSpec) -> bool:
    """Whether its elements are floating-point numbers."""
    if spec.dtype == STRING:
        return False
    try:
        dtype = numpy_dtype(spec.dtype)
    except UnsupportedError:
        return False
    return dtype.kind in "fcV"
