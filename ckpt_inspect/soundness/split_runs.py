"""Are two runs of a folder one training that was resumed under other names?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import open_checkpoint
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.series.run import Run, are_named_alike
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.verdicts import Reason
from ckpt_inspect.state.optimizer_state import optimizer_states
from ckpt_inspect.state.renaming import pair_parameters


def judge_split_runs(runs: Sequence[Run]) -> Iterator[Reason]:
    """Yield which runs of one folder, whose checkpoints are named alike, train the same shapes under names that
    correspond: nothing was compared across them."""
    by_folder: dict[Path, list[Run]] = {}
    for run in runs:
        if run.claims:
            by_folder.setdefault(run.folder, []).append(run)
    for several in by_folder.values():
        ordered = sorted(several, key=lambda run: natural_key(run.checkpoints[0].name))
        for before, after in pairwise(ordered):
            if are_named_alike(before, after):
                yield from _judge(before.checkpoints[-1], after.checkpoints[0])


def _judge(before: Path, after: Path) -> Iterator[Reason]:
    try:
        shapes = [_shapes(path) for path in (before, after)]
    except CkptInspectError:
        return
    if any(len(of_one) != 1 for of_one in shapes):
        return
    pairs = pair_parameters(shapes[0][0], shapes[1][0])
    if pairs:
        now, then = next(iter(pairs.items()))
        what = (
            f"{after.name} trains the same shapes as {before.name} under other names ({now} for {then}), as where a "
            "model is built a second time in a process: they were checked as two runs"
        )
        yield Reason(kinds.OTHER_NAMES, str(after), what)


def _shapes(path: Path) -> list[dict[str, tuple[int, ...]]]:
    """Shapes by name, of each optimizer that has parameters."""
    with open_checkpoint(path) as checkpoint:
        states = optimizer_states(checkpoint)
    return [{p.name: p.shape for p in s.parameters.values()} for s in states if s.parameters]
