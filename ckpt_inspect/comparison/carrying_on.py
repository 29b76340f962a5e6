"""What one stretch of a run tells the next: which checkpoint each went on from, and numbers that stay the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ckpt_inspect.comparison.inference.evidence import Inference, WindowEvidence
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.state.inferred import InferredValues

CONSTANTS = ("beta_1", "beta_2", "epsilon", "weight_decay")
"""What mostly stays the same during a training."""


def carried_on(
    values: Sequence[InferredValues],
    windows: Mapping[int, WindowEvidence | None],
    observations: Sequence[Observation],
    before: Sequence[InferredValues],
) -> tuple[InferredValues, ...]:
    """Return the values with those that an earlier analysis inferred from files that are gone by now (`before`), and
    gives to what follows from these checkpoints, where nothing else is known."""
    found: list[InferredValues] = []
    carried: list[set[str]] = []
    for place, (own, observation) in enumerate(zip(values, observations, strict=True)):
        window = windows.get(place)
        merged, taken = dict(own), set[str]()
        for name in CONSTANTS:
            resolved = observation.hyperparameters.get(name)
            if name in own or resolved is None or not resolved.is_assumed:
                continue
            if name in before[place]:
                merged[name] = before[place][name]
            elif window is not None and name in carried[window.places[0]]:
                value = found[window.places[0]][name]
                bound = window.beta_2_bound if name == "beta_2" else None
                if bound is not None and value.value is not None and value.value > bound * (1 + 1e-6):
                    continue
                merged[name] = value
            else:
                continue
            taken.add(name)
        found.append(merged)
        carried.append(taken)
    return tuple(found)


def leading_windows(inference: Inference) -> dict[int, WindowEvidence | None]:
    """For each checkpoint that was compared with earlier ones, the window from the last that led to it; None if none
    can have."""
    tried: dict[int, list[WindowEvidence]] = {}
    for window in inference.windows:
        tried.setdefault(window.places[1], []).append(window)
    found: dict[int, WindowEvidence | None] = {}
    for place, windows in tried.items():
        beta_2 = inference.values[place].get("beta_2")
        possible = [w for w in windows if _leads_on(w, None if beta_2 is None else beta_2.value)]
        proofs = [w for w in possible if w.beta_2 is not None]
        found[place] = max(proofs or possible, key=lambda w: w.places[0], default=None)
    return found


def _leads_on(window: WindowEvidence, beta_2: float | None) -> bool:
    """Whether the later of the two can have followed from the earlier, by a known number of updates."""
    if not window.is_continuous or (window.counted or 0) <= 0:
        return False
    return beta_2 is None or window.beta_2_bound is None or beta_2 <= window.beta_2_bound * (1 + 1e-6)
