"""How many updates an optimizer has made: by its counter, or by the powers of its betas, which show these as well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.layouts.beta_powers import PowersReading, read_beta_powers
from ckpt_inspect.layouts.found import BetaPowerKeys, FoundOptimizer
from ckpt_inspect.sourced import Sourced
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.sources import Scalars

GLOBAL_STEP = "global_step"

OPEN_OWNER = "these beta powers are assigned to this optimizer by their order"


def read_powers(
    found: FoundOptimizer, betas: Mapping[str, Sourced[float] | None], scalars: Scalars
) -> tuple[PowersReading | None, PowersReading | None]:
    """Return what the optimizer's beta powers say, and what all pairs that could be its have in common; None if there
    are none. `betas`: those that are known otherwise, by name."""
    powers = found.beta_powers
    rivals = _common([_read_pair(keys, betas, scalars) for keys in powers.rivals]) if powers.rivals else None
    if not powers.own.keys:
        return rivals, rivals
    own = _read_pair(powers.own, betas, scalars)
    own = own._replace(evidence=f"{own.evidence}; {powers.evidence}") if powers.evidence else own
    return own, rivals or own


def _common(readings: Sequence[PowersReading]) -> PowersReading:
    """Return what all of several pairs of powers say, one of which is the optimizer's; None for what they don't agree
    on."""
    first = readings[0]

    is_agreed = {name: len({getattr(r, name) for r in readings}) == 1 for name in ("step", "beta_1", "beta_2")}
    step = first.step if is_agreed["step"] else None
    evidence = (
        f"all {len(readings)} pairs of beta powers say so: {first.evidence}"
        if step is not None
        else f"{len(readings)} pairs of beta powers lie in the file; nothing says which is this optimizer's"
    )
    at_least = min(r.at_least for r in readings)
    is_converged = all(r.is_converged for r in readings)
    beta_1 = first.beta_1 if is_agreed["beta_1"] else None
    beta_2 = first.beta_2 if is_agreed["beta_2"] else None
    return PowersReading(step, beta_1, beta_2, at_least, is_converged, evidence)


def _read_pair(keys: BetaPowerKeys, betas: Mapping[str, Sourced[float] | None], scalars: Scalars) -> PowersReading:
    power_1, power_2 = (scalars.read(k) if k is not None else None for k in (keys.beta_1, keys.beta_2))
    known = [b.value if b is not None and b.source != "given" else None for b in (betas["beta_1"], betas["beta_2"])]
    global_step = scalars.count(GLOBAL_STEP) if scalars.has(GLOBAL_STEP) else None
    reading = read_beta_powers(power_1, power_2, known[0], known[1], global_step)
    if reading.step is None and not reading.is_converged:
        given = [b.value if b is not None else None for b in (betas["beta_1"], betas["beta_2"])]
        reading = read_beta_powers(power_1, power_2, given[0], given[1], global_step)
    return reading


def power_fault(found: FoundOptimizer, scalars: Scalars) -> str:
    """Return which of the optimizer's beta powers is not a power of a number from 0 to 1; empty if there is none."""
    for key in found.beta_powers.own.keys:
        if not 0 <= (power := scalars.read(key)) <= 1:
            return f"{key} is {power:.9g}, which is not a power of a number below 1"
    return ""


def infer_beta(name: str, powers: PowersReading | None, others: PowersReading | None) -> Sourced[float] | None:
    """Return a beta that the powers show. `others`: what all pairs that could be this optimizer's have in common."""
    value = getattr(powers, name) if powers is not None else None
    if value is None or powers is None:
        return None
    own = name.replace("_", "") + "_power"
    evidence = powers.evidence
    if own not in evidence:  # the count follows from the other power
        evidence = f"{own} is the same power of {value:g}: {evidence}"
    if others is None or getattr(others, name) != value:
        return Sourced(value, "default", f"assumed: {evidence}; {OPEN_OWNER}")
    return Sourced(value, "inferred", evidence)


def resolve_step(
    checkpoint: Checkpoint,
    found: FoundOptimizer,
    given: Given,
    powers: PowersReading | None,
    others: PowersReading | None,
    scalars: Scalars,
    *,
    is_corrected: bool,
    is_decayed: bool,
) -> tuple[int | None, Sourced[int], list[Problem]]:
    """Return the raw count of the counter, the exponent of the last update, and problems. `is_corrected`: whether the
    optimizer corrects moments by the step; `is_decayed`: whether its learning rate decays with the step."""
    problems: list[Problem] = []
    raw = scalars.count(found.counter) if found.counter is not None else None
    if found.counter is not None and raw is None:
        what = f"{found.counter} is {scalars.read(found.counter):g}, which is not a valid count"
        problems.append(Problem("step-malformed", what, "the step is left unknown", "error"))
        if "step" not in given:
            return None, Sourced(None, "unknown", what), problems
    if "step" in given:
        step = int(given["step"])
        # A schedule follows the step as well, but under accumulation it goes by the raw count, which isn't the exponent
        count = _applied(found, raw) if _accumulated(found) > 1 and raw is not None else step
        return count, Sourced(step, "given", "given by the caller"), problems
    if raw is not None:
        if found.implementation.has_unordered_counter and raw > 0:
            problems += _unordered_counter(found, raw, is_corrected, is_decayed)
        return _applied(found, raw), _counted(checkpoint, found, raw), problems
    if powers is not None:
        if powers.step is not None:
            if others is None or others.step != powers.step:
                where = f"assumed: {powers.evidence}; {OPEN_OWNER}"
                return powers.step, Sourced(powers.step, "default", where), problems
            return powers.step, Sourced(powers.step, "inferred", powers.evidence), problems
        return None, Sourced(None, "unknown", powers.evidence), problems
    open_counter = next((p.message for p in found.problems if p.code in ("beta-powers-open", "counter-open")), None)
    return (
        None,
        Sourced(None, "unknown", open_counter or "nothing in the file counts this optimizer's updates"),
        problems,
    )


def _unordered_counter(found: FoundOptimizer, raw: int, is_corrected: bool, is_decayed: bool) -> list[Problem]:
    """Report which two steps the last update can have used, if anything in it depends on the step: √(1 - β2^t) by
    1/(2t) of itself at most, a decayed learning rate by 1/t."""
    percent = 100 / raw * (is_corrected / 2 + is_decayed)
    if not percent:
        return []
    return [
        Problem(
            "step-unordered",
            f"{found.implementation.title} counts an update while it computes it: the last one used {raw} or {raw + 1} "
            "for its step",
            f"{raw} was taken; the effective learning rates of the two differ by at most {percent:.2g} %",
            "info",
        )
    ]


def _counted(checkpoint: Checkpoint, found: FoundOptimizer, raw: int) -> Sourced[int]:
    """The exponent behind a raw count: the count itself, but for gradient accumulation."""
    where = str(found.counter)
    if found.counted == "global-step":
        return Sourced(raw, "checkpoint", f"{where}, the only counter that the file has for it")
    accumulated = _accumulated(found)
    if accumulated > 1:
        version = _version(checkpoint.producer().get("keras_version", ""))
        since = found.implementation.divides_accumulated_since
        source = f"gradient_accumulation_steps = {accumulated} ({found.config_where})"
        if since is not None and found.counted != "gradients" and (version is None or version >= since):
            return Sourced(raw // accumulated, "checkpoint", f"{where} = {raw}, divided by {source}")
        who = f"Keras before {'.'.join(map(str, since))}" if since is not None else found.implementation.title
        counts = f"{who} counts each accumulated gradient"
        if raw % accumulated == 0:
            return Sourced(raw, "checkpoint", f"{where}; {counts}")
        applied = _applied(found, raw)
        return Sourced(applied, "checkpoint", f"{where} = {raw}; {counts}, and applied the last at {applied}: {source}")
    if found.counted != "updates" and found.config is None:
        what = (
            "it made its last update at the last multiple of a number of accumulated gradients that is not in the file"
            if found.counted == "gradients"
            else "by how many Keras divides it is not in the file"
        )
        return Sourced(None, "unknown", f"{where} = {raw} counts every accumulated gradient; {what}")
    return Sourced(raw, "checkpoint", where)


def counts_gradients(found: FoundOptimizer, raw: int | None, step: int | None) -> bool:
    """Return whether a step, resolved from that raw count, counts gradients of which several make an update."""
    return _accumulated(found) > 1 and raw is not None and step == _applied(found, raw)


def _accumulated(found: FoundOptimizer) -> int:
    """How many gradients an update takes; 1 if the configuration is missing or doesn't say."""
    steps = (found.config or {}).get("gradient_accumulation_steps")
    return steps if isinstance(steps, int) and steps > 1 else 1


def _applied(found: FoundOptimizer, raw: int) -> int:
    """The count of gradients at which the last update was made: the last multiple of those that an update takes."""
    return raw - raw % _accumulated(found)


def _version(text: str) -> tuple[int, int] | None:
    match = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", text)
    return None if match is None else (int(match[1]), int(match[2]))
