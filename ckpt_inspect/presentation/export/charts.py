"""What TensorBoard can show of a run: the figures that become charts, and what each chart says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckpt_inspect.errors import RequestError
from ckpt_inspect.measurement.variables import METRICS, WINDOW_METRICS

EFFECTIVE_LR = "effective_lr"
RELATIVE = "relative_"
"""What figures of E/α begin with."""

LEARNING_RATE = "learning_rate"
QUANTILES = ("q05", "median", "q95")
MEAN = f"{EFFECTIVE_LR}_mean"
LOG10, VALUES = f"{EFFECTIVE_LR}_log10", f"{EFFECTIVE_LR}_values"
"""Histograms. E spans decades, and TensorBoard's axes are even: the first is the one to look at."""

OTHER_METRICS = (
    "update_to_weight",
    "update_rms",
    "relative_update_rms",
    "weight_rms",
    "signal_to_noise",
    "epsilon_dominated",
    "untouched",
    "lost_in_rounding",
    "window_gradient_rms",
)
"""Those that make sense over a run; the rest is in the store and the other targets."""

FIGURES = (LEARNING_RATE, *(f"{EFFECTIVE_LR}_{q}" for q in QUANTILES), MEAN, LOG10, VALUES, *OTHER_METRICS)
"""All that can be exported, by the names that `figures` takes."""

DEFAULTS = (LEARNING_RATE, f"{EFFECTIVE_LR}_median", LOG10, "update_to_weight")
"""The few that a person looks at: with hundreds of parameters, each figure is hundreds of charts."""

_METRIC_WORDS = {
    v.name: f"{v.long_name[:1].upper()}{v.long_name[1:]}. {v.description}" for v in (*METRICS, *WINDOW_METRICS)
}


def chosen_charts(names: Sequence[str] | None) -> frozenset[str]:
    """Return the figures of these names; `all`: every one; None: the few by default. Raises RequestError for others."""
    wanted = [name.strip().replace("-", "_") for name in names if name.strip()] if names is not None else DEFAULTS
    for name in wanted:
        if name not in FIGURES and name != "all":
            raise RequestError(f"there is no figure {name!r}: there are {', '.join(FIGURES)}, and all")
    return frozenset(FIGURES if "all" in wanted else wanted)


def description(figure: str, axis: str) -> str:
    """Return what a chart shows, as its remark; `axis` says what is on the horizontal axis."""
    return f"{_definition(figure)} {axis}"


def _definition(figure: str) -> str:
    if figure in OTHER_METRICS:
        return _METRIC_WORDS[figure]
    if figure == LEARNING_RATE:
        return "Nominal learning rate α of the last update before the checkpoint."
    what = (
        "effective learning rate over the nominal one, E/α (α is not known)"
        if figure.startswith(RELATIVE)
        else "effective learning rate E"
    )
    of = figure.removeprefix(RELATIVE).removeprefix(f"{EFFECTIVE_LR}_")
    return f"{_STATISTICS[of]} {what} over touched elements (v > 0), from the optimizer's state in the checkpoint."


_STATISTICS: Mapping[str, str] = {
    "values": "Distribution of the",
    "log10": "Distribution of the common logarithm of the",
    "q05": "5 % quantile of the",
    "median": "Median of the",
    "q95": "95 % quantile of the",
    "mean": "Mean of the",
}
