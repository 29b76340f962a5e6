"""How large the gradients were that nobody logged: their RMS from checkpoint to checkpoint, out of second moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.presentation.plots import style
from ckpt_inspect.presentation.plots.page import Key
from ckpt_inspect.presentation.plots.panels import MOST_PANELS, Panels, run_color, run_dashes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ckpt_inspect.presentation.optimizer_series import Floats
    from ckpt_inspect.presentation.plots.chapter import Chapter, Run
    from ckpt_inspect.presentation.plots.names import Group

QUESTION = "How large were the gradients?"
LABEL = "RMS of the gradients since the checkpoint before (loss per unit of weight)"
_NOTE = (
    "Each point: the window of updates up to that checkpoint, weighted as v weights it. Where windows are long the "
    "bounds lie far apart, because v forgets."
)


def gathered(run: Run, group: Group, column: str) -> Floats:
    """Return (K,) the group's root mean square of a column, over all elements of the parameters that have it."""
    values = run.column(column)[:, list(group.members)]
    sizes = np.nan_to_num(run.column("size")[:, list(group.members)])
    weights = np.where(np.isfinite(values), sizes, 0.0)
    total = weights.sum(axis=1)
    squares = (weights * np.nan_to_num(values) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.sqrt(np.where(total > 0, squares / total, np.nan))
    return np.where(result > 0, result, np.nan)


@style.styled
def plot_gradients(chapter: Chapter) -> Figure:
    """Draw a panel per layer with the RMS of its gradients over the run, and what bounds it."""
    groups = chapter.groups(MOST_PANELS)
    names = ("window_gradient_rms", "window_gradient_rms_low", "window_gradient_rms_high")
    values = [[[gathered(run, group, name) for name in names] for run in chapter.runs] for group in groups]
    middles = [of_run[0] for of_group in values for of_run in of_group]
    y_range = style.positive_range(*middles, *(_near(of_run) for of_group in values for of_run in of_group))
    is_alone = len(chapter.runs) == 1
    color = style.MAIN if is_alone else style.MUTED
    key = [Key("line", color, "weighted as in v"), Key("band", color, "bounds of the plain RMS", 0.2)]
    sources = {source for run in chapter.runs for source in run.beta_2_sources}
    told = " and ".join(
        word for source, word in (("default", "assumed"), ("inferred", "inferred")) if source in sources
    )
    note = f"{_NOTE} β2 is {told}, and with it all of this." if told else _NOTE
    panels = Panels(chapter, QUESTION, note, LABEL, y_range, key)
    for axes, of_group in zip(panels.axes, values, strict=True):
        for position, (run, (rms, low, high)) in enumerate(zip(chapter.runs, of_group, strict=True)):
            x, own = chapter.x(run), run_color(position)
            top = np.where(np.isfinite(rms) & np.isnan(high), y_range[1], high)
            bottom = np.where(np.isfinite(rms) & np.isnan(low), y_range[0], low)
            axes.fill_between(x, bottom, top, color=own, alpha=0.2 if is_alone else 0.1, linewidth=0, gid="bounds")
            axes.plot(
                x, rms, color=own, lw=1.5, marker="o", ms=3, linestyle=run_dashes(position), label=run.name,
                gid="gradient_rms",
            )  # fmt: skip
        if is_alone:
            known = of_group[0][0][np.isfinite(of_group[0][0])]
            if known.size:
                panels.show_value(axes, float(known[-1]), style.MAIN)
    return panels.page.figure


def _near(of_run: list[Floats]) -> Floats:
    """Bounds within a factor of ten of the figure itself: farther ones need not be seen to their end."""
    rms, *bounds = of_run
    with np.errstate(invalid="ignore"):
        near: Floats = np.concatenate([np.clip(bound, rms / 10, rms * 10) for bound in bounds])
    return near
