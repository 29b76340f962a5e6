"""State that no training leaves behind: numbers that aren't finite, negative squares, moments out of their bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.comparison.repeated_rows import may_repeat_rows
from ckpt_inspect.findings.finding import MOST_EVIDENCE, Evidence, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.intervals import SMALLEST_SQUARE
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.variables import CONTRADICTION, QUANTILE_NAMES
from ckpt_inspect.measurement.wording import counted, figure, setting, whole
from ckpt_inspect.sourced import shown_source
from ckpt_inspect.state.sources import IMPOSSIBLE
from ckpt_inspect.update_rules import Implementation, find_implementation

if TYPE_CHECKING:
    from ckpt_inspect.measurement.columns import RunColumns

NONFINITE = Kind(
    id="nonfinite-state",
    title="Numbers that are not finite",
    severity=Severity.CRITICAL,
    condition="A weight or a moment is infinite or NaN.",
    why="Such an element stays NaN, and whatever is computed from it becomes NaN at the next step.",
    action="Go back to the last checkpoint without them. Lower the learning rate or clip the gradients before you "
    "train on",
    source="IEEE 754: NaN and infinity survive the moving averages",
    metrics=("nonfinite",),
)

NONFINITE_OTHERS = Kind(
    id="nonfinite-tensors",
    title="Not finite, in tensors that no optimizer trains",
    severity=Severity.CRITICAL,
    condition="A tensor that no optimizer trains, such as a normalisation's statistics or an average of the weights, "
    "is infinite or NaN somewhere.",
    why="The trained weights may be fine, but what the model computes is NaN all the same.",
    action="Go back to the last checkpoint without them. Lower the learning rate or clip the gradients before you "
    "train on",
    source="IEEE 754: NaN and infinity survive moving averages",
)

NEGATIVE = Kind(
    id="negative-second-moment",
    title="Negative second moments",
    severity=Severity.CRITICAL,
    condition="v < 0 somewhere.",
    why="v is an average of squares and can't be negative. It is damaged, or another tensor was read as v.",
    action="Compare the file with a copy, and check that this tensor really is the second moment",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v averages g²",
    metrics=("negative_second_moment",),
)

BOUND = Kind(
    id="moment-bound-violated",
    title="Moments that no gradients can leave behind",
    severity=Severity.CRITICAL,
    condition="An element's |m|/√v is larger than any gradients can make it (7.27 with the default betas), by more "
    "than the share moment_bound_slack: |m|/√v > (1 + moment_bound_slack)·(1-β1)/√(1-β2)·√Σ_{j<t} (β1²/β2)^j.",
    why="No gradients leave such averages behind (Cauchy and Schwarz's inequality). The betas or the step are wrong, "
    "m and v are paired wrongly, or the state is damaged.",
    action="Give the betas that were used (--beta-1, --beta-2); if they are right, don't trust these tensors' state",
    source="Cauchy and Schwarz; 7.27 at (0.9, 0.999) for t → ∞",
    thresholds=("moment_bound_slack",),
    metrics=("moment_ratio_max", "moment_bound"),
)

IMPOSSIBLE_VALUE = Kind(
    id="impossible-value",
    title="Impossible hyperparameters or counters",
    severity=Severity.CRITICAL,
    condition="A learning rate, beta, epsilon, weight decay, momentum, beta power or counter in a checkpoint is NaN, "
    "infinite, negative, no number, or (decay rates) not below 1.",
    why="No training can have used such a value: the training had diverged, or the file is damaged. What depends on "
    "it is NaN.",
    action="Compare the file with a copy of it; if the training diverged, go back to the last checkpoint before "
    "that; otherwise give the value that was used",
    source="the values that the options of the same name accept",
    metrics=("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"),
)

KINDS = (NONFINITE, NONFINITE_OTHERS, NEGATIVE, BOUND, IMPOSSIBLE_VALUE)

NONFINITE_ELEMENTS = "elements that are infinite or NaN, in "
"""In the remark on such a checkpoint: what stands before the tensors."""


def find_damage(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find counts that must be 0 and aren't, over all checkpoints."""
    yield from _counted(history, thresholds, NONFINITE, "nonfinite", "hold {} that are infinite or NaN")
    yield from _counted(history, thresholds, NEGATIVE, "negative_second_moment", "hold {} with v < 0")


def find_nonfinite_others(analyses: RunColumns, histories: Iterable[History]) -> Iterator[Finding]:
    """Find what checkpoints hold beside the optimizers' state that isn't finite, over the whole run; one finding."""
    found = [r for r in analyses.remarks if r.problem.code == NONFINITE_OTHERS.id]
    if not found:
        return
    steps = {name: step for h in histories for name, step in zip(h.checkpoints, h.steps, strict=True)}
    tensors = {r.checkpoint: r.problem.message.rpartition(NONFINITE_ELEMENTS)[2] for r in found}
    names = tuple(tensors)

    def at(name: str) -> str:
        step = steps.get(name)
        return name if step is None else f"{name} (step {step})"

    since = "" if len(names) == 1 else f"; the first in {at(names[0])}"
    yield Finding(
        NONFINITE_OTHERS,
        NONFINITE_OTHERS.severity,
        f"In {at(names[-1])}, elements are infinite or NaN in {tensors[names[-1]]}{since}",
        "",
        checkpoints=names,
        steps=tuple(map(steps.get, names)),
        evidence=tuple(
            Evidence("", name, steps.get(name), {"tensors": tensors[name]}) for name in names[: -MOST_EVIDENCE - 1 : -1]
        ),
        action=NONFINITE_OTHERS.action,
    )


def find_impossible_values(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Hyperparameters, powers and counters that were read and can't be, over all checkpoints."""
    found = [(row, problem.message) for row, problem in history.problems(IMPOSSIBLE)]
    if not found:
        return
    newest = found[-1][0]
    prefix = f"{history.name}: "
    told = "; ".join(dict.fromkeys(text.removeprefix(prefix) for row, text in found if row == newest))
    since = "" if found[0][0] == newest else f"; the first in {history.at(found[0][0])}"
    rows = sorted({row for row, _ in found})
    yield history.finding(
        IMPOSSIBLE_VALUE,
        f"In {history.at(newest)}, {told}{since}",
        thresholds,
        rows=rows,
        evidence=[history.evidence(row, value=text) for row, text in reversed(found[-MOST_EVIDENCE:])],
    )


def _counted(history: History, thresholds: Thresholds, kind: Kind, variable: str, predicate: str) -> Iterator[Finding]:
    rows = history.where(kind.id, (variable,), np.nan_to_num)
    if not rows.size:
        return
    row = int(rows[-1])
    counts: Floats = np.nan_to_num(history.row(variable, row))
    places = worst_first(counts > 0, counts)
    figures = [whole(counts[i]) for i in places]
    elements = counted(int(counts.sum()), "element")
    first = int(rows[0])
    since = "" if first == row else f"; the first in {history.at(first)}"
    affected = set(rows.tolist())
    without = next((r for r in range(row - 1, -1, -1) if r not in affected), None)
    since += "" if without is None else f", the last without is {history.at(without)}"
    yield history.finding(
        kind,
        f"In {history.at(row)}, {history.counted(places, row)} {predicate.format(elements)}: "
        f"{history.named(places, figures)}{since}",
        thresholds,
        rows=rows.tolist(),
        parameters=places,
        evidence=history.tensor_evidence(row, places, variable),
    )


_SMALLEST_OF_HALVES = 2.0**-14
"""Below it float16 rounds more coarsely, down to nothing."""


def find_bound_violations(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Compare |m|/√v with its bound, over all checkpoints."""
    is_half = np.array([str(dtype) in ("float16", "bfloat16") for dtype in history["dtype"]], np.bool_)
    slack = thresholds.moment_bound_slack * np.where(is_half, 10.0, 1.0)
    # below these, squares have few digits left
    smallest = np.where(history["dtype"] == "float16", _SMALLEST_OF_HALVES, SMALLEST_SQUARE)

    figures_of = ("moment_ratio_max", "moment_bound")

    def are_violated(ratios: Floats, bound: Floats, second_moment: Floats | None = None) -> Bools:
        found: Bools = ratios / bound - 1 > slack
        if second_moment is not None:
            found &= second_moment[..., QUANTILE_NAMES.index("min")] > smallest
        return found

    limit = f"{BOUND.id} {thresholds.moment_bound_slack}"
    is_possible = history.where(f"{limit} maybe", figures_of, are_violated).size > 0
    if not is_possible:  # as of most runs; their quantiles needn't be read
        return
    rows = history.where(limit, (*figures_of, "second_moment"), are_violated)
    if not rows.size:
        return
    row = int(rows[-1])
    ratios, bound = (history.row(name, row) for name in figures_of)
    places = worst_first(are_violated(ratios, bound, history.row("second_moment", row)), ratios / bound - 1)
    figures = [f"{figure(ratios[i])} > {figure(bound[i])}" for i in places]
    assumed = [n for n in ("beta_1", "beta_2") if history.row(f"{n}_source", row) == "default"]
    betas = ", ".join(
        f"{n} = {setting(float(history.row(n, row)))} "
        f"({shown_source(str(history.row(f'{n}_source', row)), str(history.row(f'{n}{CONTRADICTION}', row)))})"
        for n in ("beta_1", "beta_2")
    )
    severity, action, told = Severity.CRITICAL, "", ""
    implementation = find_implementation(str(history.row("family", row)))
    is_usual = implementation is not None and implementation.squares_slices == "always"
    if _may_repeat_rows(history, implementation, row, places) and (is_usual or not assumed):
        severity = Severity.INFO if is_usual else Severity.WARNING
        action = "Nothing, if these are embeddings; else don't trust these tensors' state"
        who = implementation.who_squares_slices if implementation is not None else ""
        told = f"; if a batch repeats a row of an embedding, {who} squares each part, so that v is "
        told += "that much smaller" + ("; or other betas were used than those assumed" if assumed else "")
    elif assumed:
        severity = Severity.WARNING
        action = f"Give the {' and '.join(assumed)} that the training used: likely not the default"
    elif len(places) == np.count_nonzero(history.present(row)):
        action = "Check the rule and the betas: every tensor is concerned, so the formula is not this one's"
    else:
        action = "Don't trust these tensors' state: damaged, or paired with another's moment"
        if history.row("rule_source", row) == "default":
            action += f"; or the rule is not {history.row('rule', row)}, which is assumed"
    yield history.finding(
        BOUND,
        f"In {history.at(row)}, |m|/√v exceeds its bound in {history.counted(places, row)}, for {betas}: "
        f"{history.named(places, figures)}{told}",
        thresholds,
        rows=rows.tolist(),
        parameters=places,
        evidence=[
            history.evidence(row, i, moment_ratio_max=ratios[i], moment_bound=bound[i]) for i in places[:MOST_EVIDENCE]
        ],
        severity=severity,
        action=action,
    )


def _may_repeat_rows(history: History, implementation: Implementation | None, row: int, places: list[int]) -> bool:
    """Whether these may be embeddings whose implementation squares slices, and something else obeys the bound."""
    is_all = len(places) == np.count_nonzero(history.present(row))
    may = may_repeat_rows(implementation, history.parameters, map(str, history["shape"]))
    return not is_all and bool(may[places].all())
