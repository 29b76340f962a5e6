"""What every figure and finding means: definition, formula, how to read it, thresholds, source. `explain`, the report's
page and the store's readers take their words from here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal

from ckpt_inspect.errors import NotFoundError
from ckpt_inspect.findings.checks import KINDS
from ckpt_inspect.findings.finding import Kind, Limit
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.variables import (
    CHECKPOINT_VARIABLES,
    DISTRIBUTIONS,
    FURTHER_VARIABLES,
    METRICS,
    WINDOW_METRICS,
)
from ckpt_inspect.records import dataclass
from ckpt_inspect.update_rules import HYPERPARAMETERS, RULES

ADAM = "Kingma & Ba, arXiv 1412.6980"

NOTATION = (
    "θ weights, m first moment, v second moment after t updates; α learning rate, ε epsilon, c1 = 1 - β1^t, "
    "c2 = 1 - β2^t; E effective learning rate, Δ last update; touched: v > 0"
)
"""What the formulas' letters stand for."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One name explained."""

    name: str
    """A variable of the store, a figure of `diff`, or a finding's id."""
    sort: Literal["metric", "comparison", "hyperparameter", "finding", "reason", "heading"]
    """`comparison`: of two checkpoints; `reason`: of a verdict of `check`; `heading`: of a table, no figure's name."""
    title: str
    definition: str
    formula: str
    """Empty if the definition says it all."""
    reading: str
    """How to read it; of a finding why it matters."""
    source: str
    action: str = ""
    """Of a finding: what to do."""
    severity: str = ""
    """Of a finding: the highest that it can have."""
    thresholds: tuple[Limit, ...] = ()
    """With their defaults."""
    see: tuple[str, ...] = ()
    """Names of what belongs to it."""


_FORMULAS: Mapping[str, tuple[str, str, str]] = {
    "effective_lr": (
        "Adam: E = α·√c2/(√v + ε); other rules in their own form",
        "The factor on the bias-corrected first moment m/c1 in the update: Δ = -E·m/c1. Its spread within a tensor, "
        "in decades, is how adaptive the tensor is.",
        f"{ADAM}, the remark after Algorithm 1, as TensorFlow and Keras implement it",
    ),
    "effective_lr_mean": (
        "mean(E) over touched elements",
        "A few large elements decide it: read the median as well.",
        ADAM,
    ),
    "effective_lr_histogram": ("count of edge[i] <= E < edge[i+1]", "Two humps mean two kinds of elements.", ADAM),
    "effective_lr_sample": (
        "E of 16 elements of each tensor, the same in every checkpoint",
        "Single elements' curves over the run.",
        ADAM,
    ),
    "second_moment": (
        "quantiles of v over touched elements",
        "√v is about the gradient's RMS over the last 1/(1-β2) updates.",
        ADAM,
    ),
    "second_moment_histogram": (
        "count of edge[i] <= v < edge[i+1]",
        "E for another α, ε, β2 or t follows from it.",
        ADAM,
    ),
    "second_moment_sample": (
        "v of 16 elements of each tensor, the same in every checkpoint",
        "Falls like β2^k through k updates without a gradient.",
        ADAM,
    ),
    "value_sample": (
        "θ of 16 elements of each tensor, the same in every checkpoint",
        "How single weights moved over the run; what the path of the weights is estimated from where no more is read.",
        "as it lies in the checkpoint",
    ),
    "window_gradient_rms": (
        "√((v2 - β2^k·v1)/(1 - β2^k)), of the means of v, k updates apart",
        "How large the gradients were; no log of them is needed. v forgets: the last 1/(1-β2) updates of the window "
        "count most. Clipping, loss scaling and an L2 penalty are in it, as the optimizer saw them.",
        f"{ADAM}, Algorithm 1",
    ),
    "window_gradient_rms_low": (
        "√(S/(k·(1-β2))), S = v2 - β2^k·v1, less its rounding",
        "Holds whatever the gradients were: each square stands in v with a weight of at most 1-β2.",
        f"{ADAM}, Algorithm 1",
    ),
    "window_gradient_rms_high": (
        "√(S/(k·(1-β2)·β2^(k-1))), S = v2 - β2^k·v1, and its rounding",
        "Holds whatever the gradients were: the oldest of the window still stands in v with (1-β2)·β2^(k-1). A wide "
        "gap to the lower bound says that the window is longer than v remembers.",
        f"{ADAM}, Algorithm 1",
    ),
    "window_displacement": (
        "√mean((θ2 - θ1)²)/k, k updates apart, over path_elements elements of the tensor",
        "How far a weight came per update, on a straight line. If it is well below update_rms, the weights go to and "
        "fro.",
        "MosaicML's OptimizerMonitor logs the updates' own size",
    ),
    "window_cosine": (
        "d2·d1/(‖d2‖·‖d1‖), d the displacement θ2 - θ1 of a window, d1 of the one before",
        "Near 1: the weights go on as before. Near 0: each window has a direction of its own. Below 0: they turn "
        "back, as when they swing around a minimum.",
        "the cosine of two displacements",
    ),
    "path_distance": (
        "√mean((θ - θ1)²), θ1 of the first checkpoint of the path",
        "How far the weights have come in all. It stops growing when training only shakes them. In a run of more than "
        "2,000 checkpoints it is unknown: it would need the first checkpoint, and a long store is added to by its last "
        "rows alone.",
        "the distance between two states of the weights",
    ),
    "path_straightness": (
        "‖Σd‖/Σ‖d‖ over the displacements d between checkpoints",
        "1: a straight line. About 1/√n: n displacements in random directions. Near 0: the weights come back to where "
        "they were. Checkpoints that lie further apart make a path look straighter: compare runs that were saved "
        "equally often.",
        "the end-to-end distance of a path over its length",
    ),
    "path_elements": (
        "elements of the tensor that were followed",
        "With 16 elements a displacement is mostly right within a third, and far too small where few units move. Where "
        "checkpoints are compared to infer what no file holds, the elements compared are followed, up to a million in "
        "all; elsewhere, and after the first 512 checkpoints of a run, at most 16 of each tensor.",
        "which elements are looked at is decided by the tensor's size alone",
    ),
    "update_rms": (
        "√mean(Δ²)",
        "How far the last update moved a weight; left out where it moved rows that no file names (embeddings under "
        "LazyAdam, Sonnet's Adam, ..).",
        "OLMo and MosaicML's OptimizerMonitor log similar figures",
    ),
    "update_max": (
        "max |Δ|",
        "Seldom above α for Adam; without decay never above α·bias_correction·moment_bound.",
        f"{ADAM}, section 2.1; Cauchy and Schwarz",
    ),
    "relative_update_rms": (
        "√mean(Δ²)/α",
        "0.2 to 0.4 is usual for AdamW. It is known even if α is not.",
        "OLMo logs a similar figure",
    ),
    "update_to_weight": (
        "‖Δ‖/‖θ‖",
        "About 0.001 is usual. Above 0.01 the tensor changes too fast, below 0.0001 it hardly learns.",
        "Karpathy, makemore part 3; MosaicML's OptimizerMonitor",
    ),
    "weight_rms": ("√mean(θ²)", "Read its trend over the run.", "OLMo logs a similar figure"),
    "first_moment_rms": ("√mean(m²), m uncorrected", "The size of the averaged gradient; read its trend.", ADAM),
    "second_moment_mean": ("mean(v), v uncorrected", "The gradient's mean square; read its trend.", ADAM),
    "signal_to_noise": (
        "RMS of (m/c1)/√(v/c2) over touched elements",
        "Pure noise gives √((1-β1)/(1+β1)) = 0.229 at β1 = 0.9; near 1 is one stuck direction.",
        "Balles & Hennig, arXiv 1705.07774; Molybog et al., arXiv 2304.09871",
    ),
    "epsilon_dominated": (
        "share of touched elements with √v < ε, at this rule's place of ε",
        "Near 1, the tensor's gradients are lost in ε.",
        "Wortsman et al., arXiv 2309.14322",
    ),
    "untouched": (
        "share of elements with v = 0",
        "Dead units, tokens never seen, frozen or disconnected tensors.",
        ADAM,
    ),
    "untouched_rows": (
        "share of rows (first axis) with v = 0 throughout",
        "In an embedding tokens never seen, in a dense kernel inputs that were always 0.",
        ADAM,
    ),
    "lost_in_rounding": (
        "share of elements with 0 < |Δ| < ½ ulp(θ)",
        "There the update is too small to change the weight.",
        "IEEE 754",
    ),
    "nonfinite": ("count of elements of which θ, m or v is infinite or NaN", "Any is critical.", "IEEE 754"),
    "negative_second_moment": ("count of v < 0", "Any is critical: v averages squares.", ADAM),
    "moment_ratio_max": (
        "max |m|/√v over touched elements",
        "Never above moment_bound, unless the state is damaged or was read wrongly.",
        "Cauchy and Schwarz",
    ),
    "moment_bound": (
        "(1-β1)/√(1-β2)·√Σ_{j<t} (β1²/β2)^j; 7.27 at (0.9, 0.999) for t → ∞",
        "No gradients can make |m|/√v larger. A violation means wrong pairing, a wrong beta, or damage; or an "
        "embedding under Keras 3, which squares each part of a sparse gradient separately if a batch repeats rows.",
        "Cauchy and Schwarz",
    ),
    "bias_correction": (
        "√c2/c1 in the variable's dtype",
        "Far from 1 while t is small compared with 1/(1-β2). 0 in bfloat16: the optimizer is inert.",
        f"{ADAM}, section 3; keras-team/keras-hub#2629, tensorflow/tensorflow#58138",
    ),
    "decay_balance": (
        "d·‖θ‖/‖Δ‖, d = α·wd (Keras) or wd (TensorFlow Addons, contrib)",
        "Near 1 the last update was only decay. If 2d·(1-β1)/(1+β1)·‖θ‖²/‖Δ‖² is near 1, decay removes as much norm as "
        "the updates add: rotational equilibrium.",
        "Kosson et al., arXiv 2305.17212",
    ),
}
"""Formula, reading and source of each of the store's figures, whose definition is its variable's description."""

_HYPERPARAMETER_READINGS: Mapping[str, tuple[str, str]] = {
    "step": (
        "t, the exponent of the bias correction in the last update",
        "Not global_step: it counts this optimizer's updates.",
    ),
    **{h.name: (h.formula, h.reading) for h in HYPERPARAMETERS.values()},
    "window_updates": (
        "k: ln(m2/m1)/ln β1 and ln(v2/v1)/ln β2 of elements without a gradient, else t2 - t1",
        "Fewer than the counter says are updates that loss scaling skipped, or gradients that were accumulated.",
    ),
    "window_learning_rate": (
        "θ2 - θ1 = -Σ_j α·√c2/c1·β1^j·m1/(√(β2^j·v1) + ε) over elements without a gradient",
        "The rate of the updates in between, not of a checkpoint: with a schedule each update has its own.",
    ),
    "rule": ("", "Which formula the figures follow. Its source is default if the file doesn't say."),
}

_COMPARISONS: tuple[tuple[str, str, str, str, str, str], ...] = (
    (
        "weight_change",
        "relative change of the weights",
        "How far the weights moved between two checkpoints, by their size.",
        "‖θ2-θ1‖/‖θ1‖",
        "The straight distance; the path itself may be much longer.",
        "MosaicML's OptimizerMonitor",
    ),
    (
        "weight_cosine",
        "cosine of the weights",
        "Whether the weights turned or merely grew.",
        "θ1·θ2/(‖θ1‖·‖θ2‖)",
        "1 means no turn.",
        "Kosson et al., arXiv 2305.17212",
    ),
    (
        "first_moment_change",
        "relative change of the first moment",
        "How far the averaged gradient moved between two checkpoints, by its size.",
        "‖m2-m1‖/‖m1‖",
        "About 1.4 if both are as long and unrelated, which is usual: m forgets within 1/(1-β1) updates.",
        ADAM,
    ),
    (
        "second_moment_change",
        "relative change of the second moment",
        "How far the averaged squared gradient moved between two checkpoints, by its size.",
        "‖v2-v1‖/‖v1‖; Adamax: of the infinity norm",
        "At most 1 if v only faded, so that E rose; larger if v grew.",
        ADAM,
    ),
    (
        "effective_lr_ratio",
        "change of the median effective learning rate",
        "How much E changed between two checkpoints.",
        "median(E2)/median(E1), over touched elements",
        "The learning rate's own change is in it: compare tensors with each other.",
        ADAM,
    ),
    (
        "gradient_rms",
        "RMS of the gradients in between",
        "The size of the gradients during k updates; no log of them is needed.",
        "√mean((v2 - β2^k·v1)/(1 - β2^k))",
        "The latest gradients count most, as in v.",
        f"{ADAM}, Algorithm 1",
    ),
    (
        "starved",
        "starved share",
        "Elements that got no gradient between two checkpoints, k updates apart.",
        "share with v2 = β2^k·v1 to rounding",
        "There E grows like β2^(-k/2).",
        f"{ADAM}, Algorithm 1",
    ),
    (
        "impossible",
        "share that fell too fast",
        "Elements whose second moment can't have come from the one before.",
        "share with v2 < β2^k·v1 by more than rounding",
        "The state was reset, it is another run, or β2 is wrong.",
        f"{ADAM}, Algorithm 1",
    ),
)


def _metrics() -> list[Explanation]:
    return [
        Explanation(v.name, "metric", v.long_name, v.description, *_FORMULAS[v.name], see=_kinds_of(v.name))
        for v in (*DISTRIBUTIONS, *METRICS, *WINDOW_METRICS)
    ]


def _hyperparameters() -> list[Explanation]:
    further = (variable for own in FURTHER_VARIABLES.values() for variable in own)
    chosen = [v for v in (*CHECKPOINT_VARIABLES, *further) if v.name in _HYPERPARAMETER_READINGS]
    return [
        Explanation(
            v.name,
            "hyperparameter",
            v.long_name,
            v.description
            or f"The update rule: {', '.join(rule.name for rule in RULES)}, or the name of another optimizer.",
            *_HYPERPARAMETER_READINGS[v.name],
            "the checkpoint; source and place are printed beside it",
            see=_kinds_of(v.name),
        )
        for v in chosen
    ]


def _kinds_of(metric: str) -> tuple[str, ...]:
    return tuple(kind.id for kind in KINDS if metric in kind.metrics)


def explain_kind(kind: Kind, thresholds: Thresholds | None = None) -> Explanation:
    """Explain a kind of finding, with the thresholds that decide."""
    return Explanation(
        kind.id,
        "finding",
        kind.title,
        kind.condition,
        "",
        kind.why,
        kind.source,
        kind.action,
        kind.severity.word,
        (thresholds or Thresholds()).limits(kind.thresholds),
        kind.metrics,
    )


EXPLANATIONS: Mapping[str, Explanation] = {
    e.name: e
    for e in (
        *_metrics(),
        *_hyperparameters(),
        *(Explanation(n, "comparison", t, d, f, r, s) for n, t, d, f, r, s in _COMPARISONS),
        *(explain_kind(kind) for kind in KINDS),
    )
}
"""Every explanation, by name."""


_ALIASES: Mapping[str, str] = {
    "e": "effective-lr",
    "effective-learning-rate": "effective-lr",
    "lr": "learning-rate",
    "alpha": "learning-rate",
    "α": "learning-rate",
    "eps": "epsilon",
    "ε": "epsilon",
    "wd": "weight-decay",
    "iterations": "step",
    "displacement": "weight-change",
    "reset": "step-reset",
    "drift": "effective-lr-ratio",
    "drift-of-e": "effective-lr-ratio",
    "optimizer-state-lost": "state-lost",
}
"""Other names that people know them by."""


def explain(
    name: str, others: Iterable[str] = (), among: Iterable[Explanation] = tuple(EXPLANATIONS.values())
) -> tuple[Explanation, ...]:
    """Return what the figure, hyperparameter or finding of that name means. `-` and `_` are the same here, so that two
    may have one name.

    Raises NotFoundError with similar names; `others` are names of other things, which may be meant as well. `among`:
    all that can be explained.
    """
    known = tuple(among)
    plain = _plain(name.strip())
    plain = _ALIASES.get(plain, plain)
    found = tuple(e for e in known if _plain(e.name) == plain)
    if found:
        return found
    names = list(dict.fromkeys(map(_plain, (*(e.name for e in known), *others))))
    within = [n for n in names if plain and plain in n]
    near = list(dict.fromkeys([*difflib.get_close_matches(plain, names, 3, 0.5), *within]))[:5]
    hint = f"did you mean {', '.join(near)}?" if near else "`ckpt-inspect explain` lists all names"
    raise NotFoundError(f"there is nothing called {name!r} to explain: {hint}")


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(" ", "-")
