"""Infer what no single checkpoint holds, from all checkpoints of a run."""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_inspect.comparison.inference.evidence import Inference, WindowEvidence
from ckpt_inspect.comparison.inference.lineage import Lineage, trace
from ckpt_inspect.comparison.inference.observations import Observation
from ckpt_inspect.comparison.inference.windows import Window, elements_of, examine
from ckpt_inspect.sourced import Sourced


def infer(observations: Sequence[Observation]) -> Inference:
    """Return what the checkpoints of a run tell together of one optimizer, in the run's order."""

    def look(a: int, b: int) -> Window:
        one, two = observations[a], observations[b]
        return examine(one, two, (a, b), elements_of(one, two))

    lineage = trace(len(observations), look)
    values: list[dict[str, Sourced[float]]] = [{} for _ in observations]
    for chain in lineage.chains:
        _give_betas(chain, lineage, observations, values)
    return Inference(tuple(values), tuple(_evidence(w, observations) for w in lineage.windows))


def _give_betas(
    chain: tuple[int, ...],
    lineage: Lineage,
    observations: Sequence[Observation],
    values: list[dict[str, Sourced[float]]],
) -> None:
    for name in ("beta_1", "beta_2"):
        told = {w.places[1]: getattr(w, name) for w in lineage.links(chain) if w.is_proof and getattr(w, name) is not None}
        if not told:
            continue
        if len(set(told.values())) == 1:
            given = dict.fromkeys(chain, next(iter(told.values())))
        else:
            given = told
        for place, value in given.items():
            old = observations[place].hyperparameters.get(name)
            if old is not None and old.is_assumed:
                values[place][name] = Sourced(value, "inferred", "")


def _evidence(w: Window, observations: Sequence[Observation]) -> WindowEvidence:
    a, b = (observations[p].checkpoint for p in w.places)
    s = w.silence
    return WindowEvidence(a, b, w.places, w.counted, w.decays, w.beta_1, w.beta_2, w.bound, 0 if s is None else int(s.silent.size), 0 if s is None else s.different, refusal=w.refusal, is_continuous=not w.is_broken)
