"""Every variable that a store holds and `Analyses` has: its dimensions, its unit, and what it means."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Literal

from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS
from ckpt_inspect.records import dataclass
from ckpt_inspect.state.hyperparameters import FURTHER, HYPERPARAMETERS
from ckpt_inspect.update_rules import HYPERPARAMETERS as KNOWN

Kind = Literal["text", "float", "integer", "count"]

CHECKPOINT = "checkpoint"
PARAMETER = "parameter"


@dataclass(frozen=True, slots=True)
class Variable:
    """A named array and how to read it."""

    name: str
    dimensions: tuple[str, ...]
    kind: Kind
    """`text`; `float` (float64, NaN if not known); `integer` (int64); `count` (integers, 0 if there is none)."""
    long_name: str
    description: str = ""
    units: str = "1"


def _per_checkpoint(name: str, kind: Kind, long_name: str, description: str = "", units: str = "1") -> Variable:
    return Variable(name, (CHECKPOINT,), kind, long_name, description, units)


def _metric(name: str, long_name: str, description: str, units: str = "1") -> Variable:
    return Variable(name, (CHECKPOINT, PARAMETER), "float", long_name, description, units)


ROOT_VARIABLES = (
    _per_checkpoint("checkpoint", "text", "checkpoint", "Name; unique in the run."),
    _per_checkpoint("path", "text", "path", "From the root, so that the run is known again from any folder."),
    _per_checkpoint("format", "text", "format", "How bytes make tensors: tensor-bundle, keras-archive, .."),
    _per_checkpoint(
        "layout", "text", "layouts", "How optimizer state is named inside; of several optimizers, with commas."
    ),
    _per_checkpoint("size_bytes", "integer", "size on disk", "Of all its files.", "byte"),
    _per_checkpoint(
        "modified",
        "float",
        "time of last modification",
        "Of the newest of its files.",
        "seconds since 1970-01-01T00:00:00Z",
    ),
    _per_checkpoint(
        "fingerprint",
        "text",
        "fingerprint",
        "Of its files' names, sizes and times and of the index: same, not read again.",
    ),
    _per_checkpoint("files", "text", "files", "All that belong to it, one a line."),
)
"""Of the root group."""

FILE_STAMPS = _per_checkpoint(
    "file_stamps",
    "integer",
    "stamps of the files",
    "Of their sizes and times: same, the files weren't changed, and needn't be opened to see that; 0: not known.",
)
"""Of the root group of a store that grows."""

CONTRADICTION = "_contradiction"
"""Ends the name of the variable that says why a hyperparameter's value can't be right."""

_SOURCE = "checkpoint, config, graph, inferred, given, default or unknown."


def _hyperparameter(name: str) -> tuple[Variable, ...]:
    spoken = name.replace("_", " ")
    return (
        _per_checkpoint(name, "float", spoken, f"{KNOWN[name].meaning} NaN if not known."),
        _per_checkpoint(f"{name}_source", "text", f"source of {spoken}", _SOURCE),
        _per_checkpoint(f"{name}_where", "text", f"place of {spoken}", "Tensor, file and field, or evidence."),
        _per_checkpoint(
            f"{name}{CONTRADICTION}",
            "text",
            f"what contradicts {spoken}",
            "Why the value can't be right, as other checkpoints of the run show; empty if nothing shows it.",
        ),
    )


CHECKPOINT_VARIABLES = (
    _per_checkpoint(
        "step", "integer", "step", "Number of updates applied, the bias correction's exponent; -1 if not known."
    ),
    _per_checkpoint("step_source", "text", "source of step", _SOURCE),
    _per_checkpoint("step_where", "text", "place of step", "Tensor, file and field, or evidence."),
    _per_checkpoint("rule", "text", "update rule"),
    _per_checkpoint("rule_source", "text", "source of the rule", _SOURCE),
    _per_checkpoint("rule_where", "text", "place of the rule", "The evidence."),
    _per_checkpoint("layout", "text", "layout", "How this optimizer's state is named inside."),
    _per_checkpoint(
        "family", "text", "implementation", "Whose update it is: tf1, contrib, optimizer-v2, tfa, keras2, keras3, .."
    ),
    *(variable for name in HYPERPARAMETERS for variable in _hyperparameter(name)),
    _per_checkpoint(
        "learning_rate_is_scheduled",
        "integer",
        "whether the learning rate follows a schedule",
        "1 if the file shows a schedule or a decay, 0 if it holds a constant one or none; -1 if it was not looked for.",
    ),
    _per_checkpoint(
        "effective_lr_is_relative",
        "integer",
        "whether effective_lr is E/α",
        "1 if α is not known, so that every effective_lr is E/α, exact all the same; else 0.",
    ),
    _per_checkpoint(
        "window_from",
        "text",
        "start of the window",
        "Fingerprint of the checkpoint from which this one's training went on; empty if there is none.",
    ),
    _per_checkpoint(
        "window_updates",
        "integer",
        "updates in the window",
        "Updates since that checkpoint, by the decay of the moments if that tells; 0 if no checkpoint of the run led "
        "to this one, or if it is not known how many of the counted gradients made an update; -1 if they weren't "
        "compared.",
    ),
    _per_checkpoint(
        "window_learning_rate",
        "float",
        "learning rate at the start of the window",
        "α of the first updates since that checkpoint, by which weights moved that had no gradient; NaN if not known.",
    ),
)
"""Of an optimizer, one value a checkpoint."""

FURTHER_VARIABLES = {name: _hyperparameter(name) for name in FURTHER}
"""Of an optimizer that has such a hyperparameter in any checkpoint, one value a checkpoint; by the hyperparameter."""

PARAMETER_VARIABLES = (
    Variable("parameter", (PARAMETER,), "text", "parameter", "The trained variable's name."),
    Variable("shape", (PARAMETER,), "text", "shape", "Lengths of its axes with commas: 12,3; empty for a scalar."),
    Variable("dtype", (PARAMETER,), "text", "dtype"),
    Variable("size", (PARAMETER,), "integer", "size", "Number of elements.", "element"),
)
"""Of an optimizer, one value a parameter."""

METRICS = (
    _metric(
        "effective_lr_mean",
        "mean effective learning rate",
        "Mean of E over touched elements (v > 0); summed in float64.",
    ),
    _metric("update_rms", "RMS of the last update", "√mean(Δ²), Δ the change of the weights by the last update."),
    _metric("update_max", "largest last update", "max |Δ|."),
    _metric(
        "relative_update_rms",
        "RMS of the last update over the learning rate",
        "√mean(Δ²)/α, known even if α is not; about 0.2 to 0.4 is usual for AdamW.",
    ),
    _metric("update_to_weight", "update-to-weight ratio", "‖Δ‖/‖θ‖; about 1e-3 is healthy."),
    _metric("weight_rms", "RMS of the weights", "√mean(θ²)."),
    _metric("first_moment_rms", "RMS of the first moment", "√mean(m²), m uncorrected."),
    _metric("second_moment_mean", "mean of the second moment", "mean(v), v uncorrected; Adamax: of the infinity norm."),
    _metric(
        "signal_to_noise",
        "signal-to-noise ratio of the gradient",
        "RMS of (m/c1)/√(v/c2) over touched elements; pure noise gives √((1-β1)/(1+β1)).",
    ),
    _metric("epsilon_dominated", "ε-dominated share", "Share of touched elements whose root is below ε."),
    _metric("untouched", "untouched share", "Share of elements with v = 0: no gradient has ever reached them."),
    _metric(
        "untouched_rows",
        "untouched share of rows",
        "Share of rows (first axis) with v = 0 throughout; NaN below two axes.",
    ),
    _metric("lost_in_rounding", "share lost in rounding", "Share of elements with 0 < |Δ| < ½ ulp(θ)."),
    _metric("nonfinite", "elements not finite", "Number of elements of which θ, m or v is infinite or NaN.", "element"),
    _metric("negative_second_moment", "negative second moments", "Number of elements with v < 0.", "element"),
    _metric("moment_ratio_max", "largest |m|/√v", "Over touched elements; above moment_bound something is wrong."),
    _metric(
        "moment_bound",
        "bound of |m|/√v",
        "By Cauchy and Schwarz, for the betas and the step; a violation means wrong pairing, a wrong beta, or damage.",
    ),
    _metric(
        "bias_correction",
        "bias correction",
        "√c2/c1 in the variable's dtype, c1 = 1 - β1^t, c2 = 1 - β2^t (Adamax: 1/c1); 0: the optimizer is inert.",
    ),
    _metric(
        "decay_balance",
        "decay balance",
        "Decoupled decay's pull on the weights over the last update, d·‖θ‖/‖Δ‖; near 1: rotational equilibrium. NaN "
        "without decay.",
    ),
)
"""Of an optimizer, one figure a checkpoint and parameter; NaN if the state doesn't determine it."""

WINDOW_METRICS = (
    _metric(
        "window_gradient_rms",
        "RMS of the gradients since the checkpoint before",
        "√((v2 - β2^k·v1)/(1 - β2^k)) of the means of v, k updates apart: the root of the mean square of the window's "
        "gradients, weighted as v weights them. NaN for rows that no checkpoint led to, rules that don't tell, and a "
        "tensor whose moments stayed the same, or did so in the window before or after.",
    ),
    _metric(
        "window_gradient_rms_low",
        "least RMS of the gradients",
        "Lower bound of the unweighted RMS of the window's gradients; NaN for what may be an embedding if the "
        "optimizer squares the parts of a repeated row's gradient one by one.",
    ),
    _metric(
        "window_gradient_rms_high",
        "largest RMS of the gradients",
        "Upper bound of the unweighted RMS; NaN if the window is so long that there is none, and where the lower is.",
    ),
    _metric(
        "window_displacement",
        "displacement of the weights per update",
        "√mean((θ2 - θ1)²)/k since the checkpoint before, k updates apart, over path_elements elements.",
    ),
    _metric(
        "window_cosine",
        "cosine between displacements",
        "Of the angle between this window's displacement of the weights and the one before, over path_elements "
        "elements; NaN for the first.",
    ),
    _metric(
        "path_distance",
        "distance from the first checkpoint",
        "√mean((θ - θ1)²), θ1 of the first checkpoint from which an unbroken path leads here, over path_elements "
        "elements; NaN in a run of more than 2,000 checkpoints, of which only the last rows are read to add others.",
    ),
    _metric(
        "path_straightness",
        "straightness of the weights' path",
        "‖Σd‖/Σ‖d‖ of the displacements d from checkpoint to checkpoint since that first one, in [0, 1]; NaN for the "
        "first displacement, and in a run of more than 2,000 checkpoints, as path_distance. The way between "
        "checkpoints is not seen, so that it is an upper bound for single updates.",
    ),
    _metric(
        "path_elements",
        "elements behind the figures of the path",
        "How many of the parameter's elements were followed. If all, the figures are exact; if fewer, they are "
        "estimates. NaN if none.",
        "element",
    ),
)
"""Of an optimizer, one figure a checkpoint and parameter about the window of updates that led to it."""

PATHS = ("window_displacement", "window_cosine", "path_distance", "path_straightness", "path_elements")
"""Those of `WINDOW_METRICS` that say how the weights moved."""

_KEPT = (
    ("kept_checkpoint", "kept", "text", "checkpoint", "Its fingerprint."),
    ("kept_raw_step", "kept", "integer", "count", "What the optimizer's counter held; -1 if it had none."),
    ("kept_counted", "kept", "text", "what the counter counts", "updates, global-step, gradients, .."),
    ("kept_moves_by_itself", "kept", "integer", "whether averages may have set the weights", "0 or 1."),
    ("kept_replaced", "kept", "text", "numbers that were inferred", "In place of defaults, with commas."),
    ("kept_parameter", "kept_parameter", "text", "parameter", "Of the elements that are kept."),
    ("kept_parameter_size", "kept_parameter", "integer", "size", "Number of elements of the tensor."),
    ("kept_parameter_count", "kept_parameter", "integer", "kept elements", "How many of them are kept."),
    ("kept_parameter_dtype", "kept_parameter", "text", "dtypes", "Of m, v, maximum of v and θ, with commas."),
)

KEPT = (
    *(
        Variable(name, (dimension,), kind, f"{long_name} of kept elements", description)  # type: ignore[arg-type]  # as above
        for name, dimension, kind, long_name, description in _KEPT
    ),
    *(
        Variable(
            f"kept_{array}",
            ("kept", "kept_element"),
            "float",
            f"{array.replace('_', ' ')} of kept elements",
            "Of the newest checkpoints, parameter after parameter: what a later checkpoint is compared with if the "
            "file is gone.",
        )
        for array in ("first_moment", "second_moment", "max_second_moment", "value")
    ),
)
"""Of an optimizer whose checkpoints were compared: all of these, or none."""

_RELATIVE = " E/α if effective_lr_is_relative."

DISTRIBUTIONS = (
    Variable(
        "effective_lr",
        (CHECKPOINT, PARAMETER, "quantile"),
        "float",
        "effective learning rate",
        "Quantiles of E over touched elements (v > 0): the factor on the bias-corrected first moment in the last "
        "update, as the implementation applies it. Within 1 % relative; 0 and 1 exact." + _RELATIVE,
    ),
    Variable(
        "effective_lr_histogram",
        (CHECKPOINT, PARAMETER, "bin"),
        "count",
        "histogram of the effective learning rate",
        "Touched elements with bin_edges[i] <= E < bin_edges[i+1]." + _RELATIVE,
        "element",
    ),
    Variable(
        "effective_lr_sample",
        (CHECKPOINT, PARAMETER, "sample"),
        "float",
        "effective learning rate of single elements",
        "E of the elements of sample_index, the same in every checkpoint; NaN if v = 0." + _RELATIVE,
    ),
    Variable(
        "second_moment",
        (CHECKPOINT, PARAMETER, "quantile"),
        "float",
        "second moment",
        "Quantiles over touched elements of v, or what stands under the root of E in its place; within 1 % relative, 0 "
        "and 1 exact. E for another α, ε, β2 or t follows from them: E's quantile q is that of v's quantile 1-q.",
    ),
    Variable(
        "second_moment_histogram",
        (CHECKPOINT, PARAMETER, "second_moment_bin"),
        "count",
        "histogram of the second moment",
        "Touched elements with second_moment_bin_edges[i] <= v < second_moment_bin_edges[i+1].",
        "element",
    ),
    Variable(
        "second_moment_sample",
        (CHECKPOINT, PARAMETER, "sample"),
        "float",
        "second moment of single elements",
        "v, uncorrected, of the elements of sample_index; k updates without a gradient leave β2^k of it.",
    ),
    Variable(
        "value_sample",
        (CHECKPOINT, PARAMETER, "sample"),
        "float",
        "weights of single elements",
        "θ of the elements of sample_index; NaN if the file has none.",
    ),
)
"""Of an optimizer, several values a checkpoint and parameter."""

BINS = {"effective_lr_histogram": "bin", "second_moment_histogram": "second_moment_bin"}
"""Dimension of each histogram."""

AXES = (
    Variable("quantile", ("quantile",), "float", "quantile", "Level of the quantile."),
    Variable(
        "sample_index", (PARAMETER, "sample"), "integer", "flat index of a sampled element", "C order; -1: no element."
    ),
    Variable(
        "bin",
        ("bin",),
        "float",
        "bin",
        "Geometric middle of the bin; four bins an octave (of v: two), the same in every store.",
    ),
    Variable("bin_edges", ("bin_edge",), "float", "edges of the bins", "Half-open bins [edge, next edge)."),
    Variable("second_moment_bin", ("second_moment_bin",), "float", "bin", "Geometric middle of the bin."),
    Variable("second_moment_bin_edges", ("second_moment_bin_edge",), "float", "edges of the bins", "Half-open bins."),
)
"""Of an optimizer, what its dimensions are labelled by."""

PROBLEM_VARIABLES = tuple(
    Variable(name, ("problem",), "text", long_name, description)
    for name, long_name, description in (
        ("code", "code", "Stable identifier."),
        ("severity", "severity", "info, warning or error."),
        ("checkpoint", "checkpoint", "Its name; empty if it concerns the whole run."),
        ("optimizer", "optimizer", "Its name; empty if it concerns the whole checkpoint."),
        ("message", "message", "What was odd, and where."),
        ("resolution", "resolution", "What was done about it."),
    )
)
"""Of the group `problems`."""

FINDING_VARIABLES = tuple(
    Variable(name, ("finding",), "text", long_name, description)
    for name, long_name, description in (
        ("id", "id", "Stable identifier of its kind."),
        ("severity", "severity", "info, warning or critical; the most severe come first."),
        ("optimizer", "optimizer", "Its name."),
        ("title", "finding", "In one sentence, with the figures."),
        ("why", "why it matters", ""),
        ("action", "what to do", ""),
        ("parameters", "parameters", "Those concerned, one a line, the worst first; empty: the optimizer as a whole."),
        ("checkpoints", "checkpoints", "Those that show it, one a line."),
        ("evidence", "evidence", "JSON: figures of parameters in checkpoints, the worst first."),
        ("thresholds", "thresholds", "JSON: those that decided, with the source of each."),
    )
)
"""Of the group `findings`."""

FINDINGS = "findings"
PROBLEMS = "problems"
_RESERVED = frozenset({FINDINGS, PROBLEMS, *(v.name for v in ROOT_VARIABLES)})

OPTIMIZER_VARIABLES = (*CHECKPOINT_VARIABLES, *PARAMETER_VARIABLES, *METRICS, *WINDOW_METRICS, *DISTRIBUTIONS, *AXES)
"""Of every optimizer's group; some of FURTHER_VARIABLES may stand beside them."""


def checkpoint_variables_in(names: Container[str]) -> tuple[Variable, ...]:
    """Return the variables of one value a checkpoint that are among these names, in the order of a store."""
    further = (variable for own in FURTHER_VARIABLES.values() for variable in own)
    return tuple(v for v in (*CHECKPOINT_VARIABLES, *further) if v.name in names)


ALONG_CHECKPOINTS = frozenset(
    v.name
    for v in (*ROOT_VARIABLES, *OPTIMIZER_VARIABLES, *(v for own in FURTHER_VARIABLES.values() for v in own))
    if v.dimensions[0] == CHECKPOINT
)
"""Names of the variables that have a row for each checkpoint."""


_OF_CHECKPOINTS = frozenset(v.name for v in CHECKPOINT_VARIABLES)


def variables_in(names: Container[str]) -> tuple[Variable, ...]:
    """Return an optimizer's variables that are among these names, in the order of a store."""
    others = (v for v in (*OPTIMIZER_VARIABLES, *KEPT) if v.name in names and v.name not in _OF_CHECKPOINTS)
    return (*checkpoint_variables_in(names), *others)


QUANTILE_NAMES = ("min", "q01", "q05", "q25", "median", "q75", "q95", "q99", "max")
"""How the quantiles are called in a frame, after `effective_lr_`."""

assert len(QUANTILE_NAMES) == len(QUANTILE_LEVELS)


_NO_NAME = re.compile("[\0\ud800-\udfff]")
"""What a name in HDF5 can't hold: NUL, and halves of surrogate pairs."""


def group_names(optimizers: Iterable[str]) -> dict[str, str]:
    """Return each optimizer's group: its name with `.` for `/`; `_` is appended if the root already has that name."""
    groups: dict[str, str] = {}
    for name in optimizers:
        group = _NO_NAME.sub("_", name.replace("/", ".")).strip(".") or "optimizer"
        while group in _RESERVED or group in groups.values():
            group += "_"
        groups[name] = group
    return groups
