"""A run of which only some parameters are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs import frames
from ckpt_inspect.runs.remembered import Remembered, look_at
from ckpt_inspect.runs.thinning import MOST_DRAWN, telling_rows
from ckpt_inspect.state.selection import Selection

if TYPE_CHECKING:
    from pandas import DataFrame

    from ckpt_inspect.comparison.segments import Segment
    from ckpt_inspect.findings.finding import Finding

DRAWN = frozenset({
    "effective_lr_q05", "effective_lr_q25", "effective_lr_median", "effective_lr_q75", "effective_lr_q95",
    "update_rms", "relative_update_rms", "update_to_weight", "weight_rms", "signal_to_noise", "nonfinite", "untouched",
    "epsilon_dominated", "lost_in_rounding", "path_distance", "path_elements", "window_displacement",
    "window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high",
})  # fmt: skip
"""Of a parameter's figures those that a report shows."""


class ChosenRun:
    """A run of which only some parameters are looked at."""

    def __init__(self, run: RunColumns, selection: Selection, *, is_drawn: bool = False) -> None:
        """`is_drawn`: of a long run the checkpoints that are worth drawing are enough, and `DRAWN` of what is known of
        a parameter."""
        self._is_drawn = is_drawn
        self._run = run
        self._selection = selection

    @property
    def run(self) -> str:
        """Return the run's name."""
        return self._run.run

    @cached_property
    def _seen(self) -> Remembered:
        """What a look at the whole run finds; a report asks for it several times."""
        return look_at(self._run)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the run's findings that concern a chosen parameter, or an optimizer as a whole."""
        return tuple(f for f in self._seen.findings if not f.parameters or any(map(self._selection.has, f.parameters)))

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Return the run's segments, by all of its parameters."""
        return self._seen.segments

    def __len__(self) -> int:
        return len(self._run)

    def to_frame(self, kind: str = "parameters", checkpoints: Sequence[int] | None = None) -> DataFrame:
        """Return the run's own frame, with the rows of the chosen parameters."""
        is_thinned = self._is_drawn and kind == "parameters" and len(self._run) > MOST_DRAWN
        if is_thinned and checkpoints is None:
            checkpoints = telling_rows(self._run, [segment.start for segment in self.segments])
        frame = frames.frame(self._run, kind, checkpoints, DRAWN if self._is_drawn else None)
        if "parameter" not in frame:
            return frame
        names = frame["parameter"]
        is_chosen = {name: self._selection.has(name) for name in names.unique()}  # many rows, few names
        if all(is_chosen.values()):
            return frame
        rows: DataFrame = frame[names.map(is_chosen).astype(bool)].reset_index(drop=True)
        return rows
