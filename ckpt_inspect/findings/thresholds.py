"""The limits above which something is found: every number that decides, with its default and where that comes from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import Field, asdict, field, fields
from typing import Any

from ckpt_inspect.errors import RequestError
from ckpt_inspect.findings.finding import Limit
from ckpt_inspect.records import dataclass


def _threshold(default: float, meaning: str, source: str) -> Any:
    return field(default=default, metadata={"meaning": meaning, "source": source})


_OURS = "our choice: "


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What decides whether something is found; each field's metadata has its `meaning` and the `source` of its
    default."""

    moment_bound_slack: float = _threshold(
        0.02,
        "relative excess of the largest |m|/√v over its bound that rounding may explain; ten times that for 16-bit "
        "state",
        _OURS + "some thousand roundings of float32",
    )
    epsilon_dominated: float = _threshold(
        0.5,
        "share of a tensor's touched elements whose √v is below ε",
        "Wortsman et al., arXiv 2309.14322; the share is our choice: half of the tensor",
    )
    untouched_rows: float = _threshold(
        0.01, "share of a tensor's rows with v = 0 throughout", _OURS + "one in a hundred"
    )
    untouched_elements: float = _threshold(
        0.1, "share of a tensor's elements with v = 0, besides its untouched rows", _OURS + "one in ten"
    )
    dead_units: float = _threshold(
        0.25,
        "share of a layer's units without a gradient from which that is a warning",
        _OURS + "a quarter of the layer",
    )
    lost_in_rounding: float = _threshold(
        0.5, "share of a tensor's elements with 0 < |Δ| < ½ ulp(θ)", _OURS + "half of the tensor"
    )
    bias_correction: float = _threshold(
        0.5,
        "distance of the bias correction √c2/c1 from 1",
        _OURS + "√v is then half of the gradients' RMS or less, and grows for this reason alone",
    )
    update_to_weight_max: float = _threshold(
        1e-2,
        "‖Δ‖/‖θ‖ of a tensor above which its updates are too large",
        "Karpathy's rule of thumb of 1e-3 (makemore, part 3), a decade above",
    )
    update_to_weight_min: float = _threshold(
        1e-4,
        "‖Δ‖/‖θ‖ of a tensor below which it barely learns",
        "Karpathy's rule of thumb of 1e-3 (makemore, part 3), a decade below",
    )
    jump_factor: float = _threshold(
        10.0,
        "factor by which a tensor's displacement of an update exceeds the largest of the windows before where its "
        "weights jump",
        _OURS + "a factor of ten",
    )
    jump_growth: float = _threshold(
        1.1, "factor, up or down, by which the RMS of a tensor's weights changes where they jump", _OURS + "a tenth"
    )
    decay_share: float = _threshold(
        0.5,
        "share of the last update that weight decay makes up, d·‖θ‖/‖Δ‖, above which it outweighs the gradient",
        _OURS + "more than half",
    )
    decay_equilibrium: float = _threshold(
        2.0,
        "factor within which 2d·(1-β1)/(1+β1)·‖θ‖²/‖Δ‖² is taken for 1",
        "Kosson et al., arXiv 2305.17212; the factor is our choice",
    )
    stuck_direction: float = _threshold(
        0.9,
        "RMS of (m/c1)/√(v/c2) above which a tensor's gradients hardly change direction",
        "1 is a constant gradient, 0.23 noise at β1 = 0.9: Balles & Hennig, arXiv 1705.07774; Molybog et al., arXiv "
        "2304.09871; how near to 1 is our choice",
    )
    drift_decades: float = _threshold(
        1.0, "decades by which a tensor's median E moves away from the other tensors'", _OURS + "a factor of ten"
    )
    spread_decades: float = _threshold(
        1.0, "decades by which the spread of E within a tensor (5 % to 95 %) grows", _OURS + "a factor of ten"
    )
    starved: float = _threshold(
        0.25,
        "share of a tensor's sampled elements with v2 = β2^k·v1",
        _OURS + "four of sixteen samples",
    )
    starved_inflation: float = _threshold(
        1.1,
        "factor β2^(-k/2) by which E grows over the k updates in which an element is looked at for gradients",
        _OURS + "a tenth; 191 updates at β2 = 0.999",
    )

    standstill: float = _threshold(
        0.5,
        "share of the tensors without a gradient above which training stands still, were it for a few updates only",
        _OURS + "half of them",
    )

    @classmethod
    def of(cls, given: Mapping[str, float]) -> Thresholds:
        """Return the defaults, but for those given; raises RequestError for an unknown name or a value that can't be
        one."""
        for name, value in given.items():
            if name not in THRESHOLDS:
                near = difflib.get_close_matches(name, THRESHOLDS, 3, 0.5) or list(THRESHOLDS)
                raise RequestError(f"there is no threshold {name!r}: did you mean {', '.join(near)}?")
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not (math.isfinite(value) and value >= 0)
            ):
                raise RequestError(f"the threshold {name} must be a number from 0 on, not {value!r}")
        return cls(**{name: float(value) for name, value in given.items()})

    def given(self) -> dict[str, float]:
        """Return those that differ from their defaults."""
        return {name: value for name, value in asdict(self).items() if value != THRESHOLDS[name].default}

    def limits(self, names: tuple[str, ...]) -> tuple[Limit, ...]:
        """Return some thresholds with their sources."""
        changed = self.given()
        return tuple(
            Limit(n, getattr(self, n), "given" if n in changed else THRESHOLDS[n].metadata["source"]) for n in names
        )


THRESHOLDS: Mapping[str, Field[float]] = {f.name: f for f in fields(Thresholds)}
"""Every threshold's field, by name."""
