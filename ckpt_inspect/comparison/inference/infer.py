"""Infer what no single checkpoint holds, from all checkpoints of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ckpt_inspect.comparison.inference.accumulation import find_accumulated
from ckpt_inspect.comparison.inference.claims import claim_betas, claim_decay, claim_epsilon, claim_steps
from ckpt_inspect.comparison.inference.evidence import Inference, Interval, WindowEvidence
from ckpt_inspect.comparison.inference.laziness import count_left_alone, lazy_alternative, read_rule
from ckpt_inspect.comparison.inference.lineage import trace
from ckpt_inspect.comparison.inference.motion import Motion, find_motion
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.refutations import find_contradictions, least_rate
from ckpt_inspect.comparison.inference.windows import Sides, Window, elements_of, examine
from ckpt_inspect.sourced import Sourced

_FITS = 24
"""Windows whose weights are fitted at most: each takes some hundredths of a second."""

_WIDEST_RATE = 2.0
"""Width of an interval of a window's rate above which only the interval is known."""


def infer(observations: Sequence[Observation]) -> Inference:
    """Return what the checkpoints of a run tell together of one optimizer.

    `observations`: in the run's order. Neighbours are compared; where one does not follow from the other, earlier ones
    are tried, since a folder may hold two runs, or a reset may lie between. Values that a file tells, or the caller,
    are never replaced. Nothing is claimed that one window contradicts.
    """
    run = _Run(observations)
    # without a formula or moments (weights only, not yet trained) there is nothing to compare
    lineage = trace((i for i, o in enumerate(observations) if o.update_rule is not None and o.elements), run.look)
    values: list[dict[str, Sourced[float]]] = [{} for _ in observations]
    is_alone = len(lineage.chains) == 1
    gradients: dict[tuple[int, int], int | None] = {}
    for chain in lineage.chains:
        links = lineage.links(chain)
        accumulated = find_accumulated(links, observations)
        gradients |= {w.places: accumulated for w in links}
        run.move(links, accumulated)
        for claim in (
            claim_betas(chain, links, observations, is_alone),
            claim_steps(chain, links, observations, accumulated),
            claim_epsilon(chain, links, run.motions, observations, is_alone),
            claim_decay(chain, links, run.motions, observations),
        ):
            for place, name, value in claim:
                own = observations[place].step if name == "step" else observations[place].hyperparameters.get(name)
                if own is not None and own.is_assumed:
                    values[place][name] = value
    contradictions = find_contradictions(lineage, run.motions, run.rates, values, observations)
    windows = tuple(
        replace(
            _evidence(w, run.motions.get(w.places), observations),
            updates=_updates(w, gradients.get(w.places), observations),
        )
        for w in lineage.windows
    )
    return Inference(tuple(values), windows, contradictions, read_rule(run.left_alone, observations))


class _Run:
    """Looks at pairs of checkpoints, each once if it can, since their arrays may have to be read."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self._observations = observations
        self._sides = Sides()
        self.motions: dict[tuple[int, int], Motion] = {}
        self.rates: dict[tuple[int, int], float] = {}
        """Least rate with which the weights can have moved so far."""
        self.left_alone: dict[tuple[int, int], int] = {}
        """Elements that stayed as they were, where a rule that leaves them alone is possible."""

    def look(self, a: int, b: int) -> Window:
        """Return what the moments of a pair tell; takes in what the weights do, if the exponent is known."""
        one, two = self._observations[a], self._observations[b]
        elements = elements_of(one, two, (a, b), self._sides)
        window = examine(one, two, (a, b), elements)
        if elements is None or window.is_broken:
            return window
        if window.counted and lazy_alternative(two) is not None:
            self.left_alone[a, b] = count_left_alone(elements)
        rate = least_rate(one, two, window, elements)
        if rate is not None:
            self.rates[a, b] = rate
        if window.is_proof and one.step.value is not None and len(self.motions) < _FITS:
            self.motions[a, b] = find_motion(one, two, window, elements, one.step.value)
        return window

    def move(self, links: Sequence[Window], accumulated: int | None) -> None:
        """Take in what the weights do in windows whose exponents follow from the number of accumulated gradients."""
        for window in links:
            if window.places in self.motions or not window.is_proof or len(self.motions) >= _FITS:
                continue
            one, two = (self._observations[place] for place in window.places)
            exponent = one.exponent(accumulated)
            elements = elements_of(one, two, window.places, self._sides) if exponent is not None else None
            if elements is not None:
                self.motions[window.places] = find_motion(one, two, window, elements, exponent)


def _updates(window: Window, accumulated: int | None, observations: Sequence[Observation]) -> int | None:
    """Return how many updates lie between; None if that isn't known. `accumulated`: gradients of one update."""
    one, two = (observations[place] for place in window.places)
    if window.is_proof and window.decays is not None:
        return window.decays
    if not two.counts_gradients or window.counted is None:
        return window.counted
    if accumulated is not None and one.raw_step is not None and two.raw_step is not None:
        return two.raw_step // accumulated - one.raw_step // accumulated
    if two.counted == "gradients-to-divide" and one.step.value is not None and two.step.value is not None:
        return two.step.value - one.step.value
    return None


def _evidence(window: Window, motion: Motion | None, observations: Sequence[Observation]) -> WindowEvidence:
    before, after = (observations[place].checkpoint for place in window.places)
    silence = window.silence
    evidence = WindowEvidence(
        before,
        after,
        window.places,
        window.counted,
        window.decays if window.is_proof else None,
        window.beta_1 if window.is_proof else None,
        window.beta_2 if window.is_proof else None,
        None if window.is_broken else window.bound,
        0 if silence is None else int(silence.silent.size),
        0 if silence is None else silence.different,
        refusal=window.refusal,
        is_continuous=not window.is_broken,
    )
    if motion is None:
        return evidence
    movement, shrinkage = motion.movement, motion.shrinkage
    if shrinkage is not None:
        low, high = shrinkage.share - shrinkage.uncertainty, shrinkage.share + shrinkage.uncertainty
        evidence = replace(evidence, decay=Interval(shrinkage.share, max(low, 0.0), high))
    if movement is None:
        return replace(evidence, refusal=window.refusal or motion.refusal)
    rate = movement.learning_rate
    if rate.high > _WIDEST_RATE * rate.low:  # where epsilon outweighs √v, rate and epsilon can't be told apart
        rate = replace(rate, best=None)
    return replace(evidence, learning_rate=rate, epsilon=movement.epsilon, chi=movement.chi)
