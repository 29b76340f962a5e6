"""What the headings of tables mean, in the terminal and on the page: for `explain`."""

from __future__ import annotations

from collections.abc import Mapping

from ckpt_inspect.findings.explanations import Explanation
from ckpt_inspect.soundness.explanations import EXPLANATIONS

FIGURES: Mapping[str, str] = {
    "median E": "effective_lr",
    "E median": "effective_lr",
    "median E/α": "effective_lr",
    "E": "effective_lr_ratio",
    "E/α": "effective_lr_ratio",
    "5 % .. 95 %": "effective_lr",
    "update RMS": "update_rms",
    "update/weight": "update_to_weight",
    "ε-dominated": "epsilon_dominated",
    "not finite": "nonfinite",
    "v < 0": "negative_second_moment",
    "Δ weights": "weight_change",
    "cosine": "weight_cosine",
    "Δ m": "first_moment_change",
    "Δ v": "second_moment_change",
    "gradient RMS": "gradient_rms",
}
"""Headings that stand for a figure under another name."""

WORDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "parameter": ("A trained variable, by its own name if the file has it, else by its key.", ()),
    "optimizer": ("An optimizer, by its path in the file or the name of its slots.", ()),
    "tensor": ("A tensor, by its key in the file.", ()),
    "run": ("A training: the checkpoints of one folder that are named alike, or that were named together.", ()),
    "checkpoint": ("A checkpoint, by the part of its file's name that the run's others don't share.", ()),
    "value": ("The value that the figures were computed with.", ()),
    "source": (
        "Where a value was read (checkpoint, config, graph), or that it was inferred, given by you, assumed as the "
        "default, or is unknown.",
        (),
    ),
    "where": ("The file and place that a value was read from, or the evidence for it.", ()),
    "a": ("The first of the two checkpoints.", ()),
    "b": ("The second of the two checkpoints.", ()),
    "shape": ("The lengths of its axes; `scalar` if it has none.", ()),
    "dtype": ("The type of its elements, as the file stores them.", ()),
    "elements": ("How many numbers it holds.", ()),
    "slot variables": ("What the optimizer keeps for it beside the weights: moments, maxima, averages.", ()),
    "bytes": ("Its size as stored, before any compression.", ()),
    "share": ("Its part of all that lies on disk.", ()),
    "holds": ("What it is to the model or to an optimizer, where names or configurations tell.", ()),
    "min": ("The least finite element.", ()),
    "max": ("The largest finite element.", ()),
    "mean": ("The mean of the finite elements.", ()),
    "std": ("The standard deviation of the finite elements, divided by their number.", ()),
    "zeros": ("The share of elements that are 0.", ()),
    "from weight": (
        "Of a moving average: its distance from the weight, relative to the weight's norm.",
        ("weight_rms",),
    ),
    "of nominal": ("The median effective learning rate over the nominal one, α.", ("effective_lr", "learning_rate")),
    "of α": ("The median effective learning rate over the nominal one, α.", ("effective_lr", "learning_rate")),
    "spread": (
        "Decades from the 5 % to the 95 % quantile of the effective learning rate: how adaptive the tensor is.",
        ("effective_lr",),
    ),
    "over the run": ("The value at every checkpoint, drawn small, on a log scale from least to largest.", ()),
    "last/first": ("The median effective learning rate of the newest checkpoint over that of the first.", ()),
    "findings": ("What deserves attention since this checkpoint.", ()),
    "whole": ("Whether every byte could be read, checksums agree, no part is missing, every number is finite.", ()),
    "complete": ("Whether everything is there that a resume needs.", ()),
    "continues": ("Whether its state grew out of the checkpoint before it, rather than being lost or reset.", ()),
    "verdict": ("Sound, if it is whole, complete, and continues the one before it.", ()),
    "from": ("The first checkpoint of a segment.", ()),
    "to": ("The last checkpoint of a segment.", ()),
    "steps": ("The optimizer's steps at the ends of a segment.", ()),
    "checkpoints": ("How many checkpoints of the run were analysed.", ()),
    "newest": ("The last checkpoint in training order.", ()),
    "segments": ("The stretches of the run between a resume, a restart, or a rate that jumped.", ()),
    "rate in between": (
        "A learning rate that no file holds, inferred from weights that moved without a gradient between checkpoints.",
        ("window_learning_rate",),
    ),
    "is": ("What the checkpoint holds for training: optimizers with their rules, or weights alone.", ()),
    "format": ("How the files hold tensors: tensor-bundle, keras-archive, keras-h5, ..", ()),
    "on disk": ("The size of all its files.", ()),
    "tensors": ("How many tensors it holds, of the model and the optimizers.", ()),
    "parameters": ("How many parameters differ, and how many are the same.", ()),
    "other scalars": ("Single numbers that differ, other than parameters, such as counters.", ()),
    "sound": ("How many checkpoints are whole, complete, and continue the one before them.", ()),
    "newest that passes": ("The newest checkpoint that is sound: the one to resume from.", ()),
    "left over": ("Files that belong to no whole checkpoint.", ()),
    "remarks": ("What is worth knowing, though nothing need be wrong.", ()),
    "begins": ("How a segment begins: the run itself, a resume, a restart, or a rate that jumped.", ()),
}
"""Other headings: a sentence each, and the figures that belong to it."""


def explained_headings(name: str) -> tuple[Explanation, ...]:
    """Return what a heading means: the figure that it stands for, or a sentence of its own; nothing for others."""
    plain = _plain(name)
    figure = {_plain(heading): known for heading, known in FIGURES.items()}.get(plain)
    if figure is not None:
        return (EXPLANATIONS[figure],)
    found = {_plain(heading): (heading, *words) for heading, words in WORDS.items()}.get(plain)
    if found is None:
        return ()
    heading, sentence, see = found
    return (Explanation(heading, "heading", "a heading of tables", sentence, "", "", "", see=see),)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())
