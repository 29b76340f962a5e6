"""Where Adam does not adapt: elements below ε, elements that no gradient reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from ckpt_inspect.findings.finding import MOST_EVIDENCE, MOST_NAMED, Finding, Kind, Severity
from ckpt_inspect.findings.history import Bools, Floats, History, worst_first
from ckpt_inspect.findings.lineage import find_restarts
from ckpt_inspect.findings.roles import kernels_beside, may_cancel
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.wording import counted, percent

EPSILON = Kind(
    id="epsilon-dominated",
    title="Tensors whose gradients are lost in ε",
    severity=Severity.WARNING,
    condition="The share of touched elements with √v < ε (where this rule adds ε) is at least epsilon_dominated. It "
    "is only worth knowing if all such tensors are biases of attention's keys, or of a model with normalisation "
    "layers, and their median v is below 10⁻⁷ of their kernels'.",
    why="Where √v is below ε, Adam no longer scales small gradients up: the update shrinks with them, down to nothing.",
    action="Lower ε, or see why these gradients are so small. A bias right before a normalisation layer, or of "
    "attention's keys, has none by construction: it needs nothing",
    source="Wortsman et al., arXiv 2309.14322",
    thresholds=("epsilon_dominated",),
    metrics=("epsilon_dominated",),
)

UNTOUCHED = Kind(
    id="untouched-tensors",
    title="Tensors that no gradient has ever reached",
    severity=Severity.WARNING,
    condition="v, and m if there is one, is 0 in all of the tensor's elements after at least one update. It is only "
    "worth knowing if that holds for all tensors and the step isn't known.",
    why="The optimizer has this tensor but never got a gradient for it: it is still as it was initialised.",
    action="Freeze it if that is meant. Otherwise look for what cuts it off from the loss (stop_gradient, an unused "
    "branch)",
    source="v averages g²: it is 0 only if every gradient was, or too small for v's type as m shows",
    metrics=("untouched", "first_moment_rms"),
)

ROWS = Kind(
    id="untouched-rows",
    title="Rows that no gradient has ever reached",
    severity=Severity.INFO,
    condition="The share of rows (first axis) with v = 0 throughout is at least untouched_rows, and below 1.",
    why="In an embedding these are tokens that training never saw, in a dense kernel inputs that were always 0. Such "
    "rows still hold their initial values.",
    action="Check the vocabulary or the inputs against the data. Rows that can't occur only cost memory",
    source="v averages g²: it is 0 only if every gradient was",
    thresholds=("untouched_rows",),
    metrics=("untouched_rows", "untouched"),
)

ELEMENTS = Kind(
    id="untouched-elements",
    title="Units or elements that no gradient has reached",
    severity=Severity.WARNING,
    condition="The share of elements with v = 0, besides those in untouched rows, is at least untouched_elements, "
    "and below 1. A bias shows which of its layer's units are dead; it is a warning if at least dead_units of them "
    "are.",
    why="A unit that is dead from the start (a ReLU that is never on) gets no gradient, and stays dead.",
    action="Look at these units' activations. Another initialisation or a leaky activation avoids dead units",
    source="v averages g²: it is 0 only if every gradient was",
    thresholds=("untouched_elements", "dead_units"),
    metrics=("untouched",),
)

_EPSILON_ASSUMED = (
    "Give the ε that was used (--epsilon): this one is assumed. If it is right, see why these gradients are so small; "
    "a bias right before a normalisation layer, or of attention's keys, has none by construction, and needs nothing"
)

_WITHOUT_EFFECT = (
    "bias{} whose kernel's gradients are larger by decades: {} own cancel out, as right before a normalisation layer "
    "or in attention's keys, where a bias has no effect"
)

KINDS = (EPSILON, UNTOUCHED, ROWS, ELEMENTS)

_CANCELLED = 1e-7
"""Median of a bias's v over its kernel's below which its gradients cancel. Measured: 1e-9 and less right before a
BatchNormalization, 1e-13 in attention's keys; elsewhere 1e-2 and more, if inputs aren't in thousands."""


def find_epsilon_domination(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find tensors whose √v is below ε, in the newest checkpoint."""
    share: Floats = history.newest("epsilon_dominated")
    places = worst_first(share >= max(thresholds.epsilon_dominated, 1e-12), share)
    if not places:
        return
    idle = _without_effect(history, places)
    is_all = len(idle) == len(places)
    who = "each is a" if is_all else f"{history.named(idle)} {'is a' if len(idle) == 1 else 'are'}"
    forms = ("", "its") if is_all or len(idle) == 1 else ("es", "their")
    which = f"; {who} {_WITHOUT_EFFECT.format(*forms)}" if idle else ""
    yield history.finding(
        EPSILON,
        f"In {history.counted(places)} √v is below ε ({history.quoted('epsilon')}) in at least "
        f"{percent(thresholds.epsilon_dominated)} of the elements: "
        f"{history.named(places, [percent(share[i]) for i in places])}{which}",
        thresholds,
        parameters=places,
        evidence=history.tensor_evidence(-1, places, "epsilon_dominated"),
        severity=Severity.INFO if is_all else Severity.WARNING,
        action="Nothing: such biases have no effect on what the model computes"
        if is_all
        else (_EPSILON_ASSUMED if history.newest("epsilon_source") == "default" else ""),
    )


def _without_effect(history: History, places: list[int]) -> list[int]:
    """Return those that are biases whose gradients are smaller by decades than their kernels': they cancel out.

    A bias's gradient is the sum of what its outputs get, a kernel's that of the same times its inputs: the first can be
    so much smaller only where shifting all outputs changes nothing, and rounding is all that it is: in attention's
    keys, and before a normalisation.
    """
    kernels = kernels_beside(history)
    has_room = may_cancel(history)
    median: Floats = history.quantile("second_moment", "median")
    return [
        i for i in places if has_room[i] and kernels[i] and all(median[i] <= _CANCELLED * median[k] for k in kernels[i])
    ]


def find_untouched(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find elements without gradient in the newest checkpoint: whole tensors, rows, and single elements."""
    share: Floats = history.newest("untouched")
    rows: Floats = history.newest("untouched_rows")
    sizes = history["size"].astype(np.float64)
    # bfloat16(0.999) is 1 and leaves v at 0, and small squares underflow: m then shows that there were gradients
    has_gradients = history.newest("first_moment_rms") > 0
    restart = cache(partial(_newest_restart, history))  # sought over the whole run, if there is something to say
    unreached = worst_first((share == 1) & ~has_gradients, sizes)
    if len(unreached) == np.count_nonzero(history.present(-1)):
        yield from _all_untouched(history, thresholds, unreached)
    elif unreached:
        yield history.finding(
            UNTOUCHED,
            f"{_none_reached(restart())} {history.counted(unreached)}: {history.named(unreached)}",
            thresholds,
            parameters=unreached,
            evidence=history.tensor_evidence(-1, unreached, "untouched"),
        )
    rest: Floats = share - np.nan_to_num(rows)
    dead = worst_first((rest >= max(thresholds.untouched_elements, 1e-12)) & (share < 1), rest)
    is_odd = (rows >= max(thresholds.untouched_rows, 1e-12)) & (rows < 1) & (share < 1)
    layers = _dead_layers(history, share, dead, rows, is_odd)
    outgoing = {i for layer in layers for i in layer.outgoing}
    if some := [i for i in worst_first(is_odd, rows) if i not in outgoing]:
        yield history.finding(
            ROWS,
            f"{_none_reached(restart())} some rows of {history.counted(some)}: "
            f"{history.named(some, [percent(rows[i]) for i in some])}",
            thresholds,
            parameters=some,
            evidence=history.tensor_evidence(-1, some, "untouched_rows", "untouched"),
        )
    if not dead and not layers:
        return
    units = {layer.bias: layer.units for layer in layers}
    # What is left of a kernel besides the columns of its dead units
    alive = {k: (1 - np.nan_to_num(rows[k])) * share[layer.bias] for layer in layers for k in layer.kernels}
    others = [i for i in dead if i not in units and rest[i] - alive.get(i, 0.0) >= thresholds.untouched_elements]
    none_reached = _none_reached(restart(), "has ever reached" if layers else "has reached")
    told = [f"{none_reached} {_units_text(history, layers)}"] if layers else []
    if others:
        besides = "; nor" if layers else none_reached
        told.append(f"{besides} some elements of {history.counted(others)}, besides whole rows: ")
        told.append(history.named(others, [percent(rest[i]) for i in others]))
    parameters = list(dict.fromkeys([i for layer in layers for i in layer.places] + dead))
    yield history.finding(
        ELEMENTS,
        "".join(told),
        thresholds,
        parameters=parameters,
        evidence=[
            history.evidence(
                -1,
                i,
                untouched=share[i],
                untouched_rows=None if np.isnan(rows[i]) else rows[i],
                dead_units=units.get(i),
            )
            for i in parameters[:MOST_EVIDENCE]
        ],
        severity=Severity.WARNING if any(share[i] >= thresholds.dead_units for i in units) else Severity.INFO,
    )


def _newest_restart(history: History) -> str:
    """Return the newest checkpoint before which state was not carried on; empty if it always was."""
    places = list(find_restarts(history))
    return history.checkpoints[int(np.searchsorted(history.rows, max(places)))] if places else ""


def _none_reached(restart: str, reached: str = "has reached") -> str:
    """Return how a title about v = 0 begins. A state that was not carried on knows nothing of the gradients before, so
    nothing is claimed of them."""
    if restart:
        return f"Since {restart}, before which state was not carried on, no gradient has reached"
    return f"No gradient {reached}"


class _DeadLayer(NamedTuple):
    """Units that are dead, and where that shows."""

    bias: int
    units: int
    """How many of the bias's elements got no gradient: one each."""
    kernels: list[int]
    """What leads to the units: their columns got none either."""
    outgoing: list[int]
    """Tensors of other layers with a row for each of the units, of which as many got no gradient: what leads on."""

    @property
    def places(self) -> list[int]:
        return [self.bias, *self.kernels, *self.outgoing]


def _dead_layers(history: History, share: Floats, dead: Sequence[int], rows: Floats, is_odd: Bools) -> list[_DeadLayer]:
    """Return the layers of which biases that are added to what a kernel makes show dead units, the most first: a bias
    has one element for each. Few of them count if as many rows of a tensor are told of, which they are the cause of.

    `dead`: places of tensors that lack many elements; `is_odd`: (P,) whether one lacks rows.
    """
    sizes, kernels = history["size"], kernels_beside(history)
    lengths = [str(shape).partition(",")[0] for shape in history["shape"]]
    found = []
    for i in worst_first((share > 0) & (share < 1), share):
        size, count = int(sizes[i]), round(float(share[i] * sizes[i]))
        outgoing = [
            k
            for k in np.flatnonzero(is_odd).tolist()
            if k not in kernels[i] and lengths[k] == str(size) and round(float(rows[k] * size)) == count
        ]
        if kernels[i] and (outgoing or i in dead):
            found.append(_DeadLayer(i, count, [k for k in kernels[i] if share[k] > 0], outgoing))
    return found


def _units_text(history: History, layers: Sequence[_DeadLayer]) -> str:
    """Return how many units of which layers: `10 of the 32 units of middle, with what they feed in digit/kernel`."""
    names, sizes = history.parameters, history["size"]
    told = []
    for layer in layers[:MOST_NAMED]:
        fed = " and ".join(names[k] for k in layer.outgoing[:MOST_NAMED])
        with_it = f", with what {'it feeds' if layer.units == 1 else 'they feed'} in {fed}" if fed else ""
        of = names[layer.bias].rpartition("/")[0]
        told.append(f"{layer.units} of the {counted(int(sizes[layer.bias]), 'unit')} of {of}{with_it}")
    if more := len(layers) - len(told):
        told.append(f"and units of {counted(more, 'more layer')}")
    return "; ".join(told)


def _all_untouched(history: History, thresholds: Thresholds, whole: list[int]) -> Iterator[Finding]:
    """An optimizer without any moment: one that never stepped, as a copy of a graph leaves it, if its step isn't known;
    else its state was lost, which another check finds."""
    if history.step(-1) is None and not history.where("moves", ("first_moment_rms",), lambda rms: rms > 0).size:
        yield history.finding(
            UNTOUCHED,
            f"All moments of {counted(len(whole), 'tensor')} are 0, so that this optimizer has probably made no update",
            thresholds,
            parameters=whole,
            evidence=history.tensor_evidence(-1, whole, "untouched"),
            severity=Severity.INFO,
            action="Nothing, if it is a copy that isn't trained, such as one for evaluation",
        )
