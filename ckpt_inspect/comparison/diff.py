"""Two checkpoints side by side: what was added, removed, reshaped, changed, and whether one continues the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from ckpt_inspect.checkpoint import Checkpoint, Problem, Progress
from ckpt_inspect.comparison.differences import Differences, HyperparameterDiff, OptimizerDiff, ParameterDiff
from ckpt_inspect.comparison.elements import compare_elements
from ckpt_inspect.comparison.pairing import (
    OptimizerPair,
    is_bookkeeping,
    jobs_of,
    opaque_problems,
    paired_optimizers,
    renaming_hint,
    sides_of,
    with_renamed,
)
from ckpt_inspect.errors import NotFoundError
from ckpt_inspect.measurement.wording import counted, percent, spoken_name
from ckpt_inspect.series.newest import open_newest
from ckpt_inspect.sourced import Sourced, shown_source
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.optimizer_state import OptimizerState
from ckpt_inspect.state.selection import Selection


def compare(
    a: str | os.PathLike[str] | Checkpoint,
    b: str | os.PathLike[str] | Checkpoint,
    *,
    given: Given | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    infer: bool = True,
    progress: Progress | None = None,
) -> Differences:
    """Compare two checkpoints: what was added, removed, reshaped, changed, and by how much.

    `a` and `b` are paths (for a folder of checkpoints its newest) or open checkpoints. `given` overrides
    hyperparameters of both as in `optimizer_states`. `include` and `exclude` are glob patterns that parameters' names
    must match, or must not. With `infer`, what the two tell together stands in for defaults.

    Raises CkptInspectError for what can't be opened or read, NotFoundError if no parameter is chosen.
    """
    with ExitStack() as stack:
        (checkpoint_a, remarks_a), (checkpoint_b, remarks_b) = (_opened(x, stack) for x in (a, b))
        sides = sides_of((checkpoint_a, checkpoint_b), given, infer=infer)
        side_a, side_b = sides
        optimizers, problems = paired_optimizers(side_a, side_b)
        optimizers, renamed = with_renamed(optimizers)
        chosen = Selection.of(include, exclude)
        every = list(jobs_of(side_a, side_b, optimizers))
        jobs = [job for job in every if chosen.has(job.row.parameter)]
        if every and not jobs:
            raise NotFoundError(
                f"{checkpoint_a.path}, {checkpoint_b.path}: no parameter's name matches what was included; "
                "`ckpt-inspect show` lists them all"
            )
        rows = compare_elements(jobs, progress)
        for side in sides:
            side.checkpoint.finish_reading()
        problems += remarks_a + remarks_b + renamed + opaque_problems(sides)
        if not renamed and (hint := renaming_hint(rows)) is not None:
            problems += (hint,)
        scalars = tuple(row for row in rows if is_bookkeeping(row, has_optimizers=bool(optimizers)))
        rows = [row for row in rows if row not in scalars]
        for side in sides:
            problems += side.checkpoint.problems
            problems += tuple(p for state in side.states for p in state.problems)
        results = tuple(_optimizer_diff(pair) for pair in optimizers)
        problems += tuple(p for o in results for p in (*_contradictions(o), *_continuity_problems(o, rows)))
        return Differences(
            str(checkpoint_a.path),
            str(checkpoint_b.path),
            results,
            tuple(sorted(rows, key=lambda row: (*row.rank(), row.optimizer, row.parameter))),
            tuple(dict.fromkeys(problems)),
            tuple(sorted(scalars, key=lambda row: (*row.rank(), row.parameter))),
            {name: before for pair in optimizers for name, before in pair.renamed.items()},
            infer,
        )


def _opened(thing: str | os.PathLike[str] | Checkpoint, stack: ExitStack) -> tuple[Checkpoint, tuple[Problem, ...]]:
    """A checkpoint that was open stays open; one opened here is closed with the stack."""
    if isinstance(thing, Checkpoint):
        return thing, ()
    checkpoint, remarks = open_newest(thing)
    return stack.enter_context(checkpoint), remarks


def _optimizer_diff(pair: OptimizerPair) -> OptimizerDiff:
    if pair.a is None or pair.b is None:
        return OptimizerDiff(pair.name, "added" if pair.a is None else "removed")
    unknown: Sourced[float] = Sourced(None, "unknown", "not a hyperparameter of this rule")
    of_a, of_b = map(_sourced_values, (pair.a, pair.b))
    against_a, against_b = pair.contradictions
    values = tuple(
        HyperparameterDiff(
            name,
            of_a.get(name, unknown),
            of_b.get(name, unknown),
            against_a.get(name, ""),
            against_b.get(name, ""),
            name in pair.inferred,
        )
        for name in dict.fromkeys((*of_a, *of_b))
    )
    return OptimizerDiff(pair.name, "changed" if any(v.is_changed for v in values) else "same", values, pair.steps)


def _sourced_values(state: OptimizerState) -> dict[str, Sourced[float | str]]:
    return {"rule": state.rule_source, "step": state.step, **state.hyperparameters}


def _contradictions(optimizer: OptimizerDiff) -> Iterator[Problem]:
    """What one of the two refutes of the other's values."""
    for value in optimizer.hyperparameters:
        for sourced, against in ((value.a, value.against_a), (value.b, value.against_b)):
            if against:
                shown = shown_source(sourced.source, against)
                yield Problem(
                    "hyperparameter-contradicted",
                    f"{spoken_name(optimizer.name)}: {value.name} = {sourced.value} is {shown}: {against}",
                    "figures computed with it are wrong: give the value that was used "
                    f"(--{value.name.replace('_', '-')})",
                )


def _continuity_problems(optimizer: OptimizerDiff, rows: list[ParameterDiff]) -> Iterator[Problem]:
    """Whether b can be the continuation of a that its step claims."""
    kept = [r for r in rows if r.optimizer == optimizer.name and r.slot_changes]
    zeroed = [r for r in kept if r.is_zeroed]
    if zeroed:
        yield Problem(
            "moments-zeroed",
            f"{spoken_name(optimizer.name)}: the moments of {len(zeroed)} of {len(kept)} parameters are all 0 in the "
            f"second checkpoint, and not in the first: {zeroed[0].parameter}{' and others' if len(zeroed) > 1 else ''}",
            "its state was lost or reset, as when weights are restored without the optimizer; restore both together",
        )
    if optimizer.steps is None:
        return
    if optimizer.steps < 0:
        yield Problem(
            "step-fell",
            f"{spoken_name(optimizer.name)}: the second checkpoint's step is {-optimizer.steps} less than the first's",
            "the figures that need a window of updates are left out; give the checkpoints the other way round, or the "
            "optimizer was reset between them",
            "info",
        )
        return
    impossible = [r for r in rows if r.optimizer == optimizer.name and r.impossible > 0.0]
    is_refuted = any(h.name == "beta_2" and h.against_b for h in optimizer.hyperparameters)
    if impossible and not is_refuted:  # one cause, one remark
        worst = max(impossible, key=lambda r: r.impossible)
        beta_2 = next((h.b for h in optimizer.hyperparameters if h.name == "beta_2"), None)
        assumed = beta_2 is not None and beta_2.source == "default"
        told = f" with the beta_2 that is assumed, {beta_2.value:g}" if beta_2 is not None and assumed else ""
        if beta_2 is not None and beta_2.source == "inferred":
            told = f" with the beta_2 that is inferred, {beta_2.value:g}"
        yield Problem(
            "not-a-continuation",
            f"{spoken_name(optimizer.name)}: in {counted(len(impossible), 'parameter')} the second moment fell faster "
            f"than {optimizer.steps} updates can make it fall{told} "
            f"({worst.parameter}: {percent(worst.impossible)} of the elements)",
            "give the beta_2 that was used (--beta-2); if it is that one, its state was reset in between, or the "
            "checkpoints are of two runs"
            if assumed
            else "its state was reset in between, the checkpoints are of two runs, or beta_2 is not the one that was "
            "used",
        )
