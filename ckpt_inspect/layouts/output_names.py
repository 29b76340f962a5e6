"""Names with `:0` at the end: a Saver that was given a dictionary, `tf.train.Saver({v.name: v for v in ..})`.

`v.name` is the name of a variable's output, `dense/kernel:0`; Saver itself writes the variable's, `dense/kernel`, by
which graphs and all layouts know it. So layouts are shown the names without `:0`, and what they find is given back
with the names that the file has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ckpt_inspect.checkpoint import Array, Checkpoint, Graph, TrainingConfig
from ckpt_inspect.layouts.found import BetaPowerKeys, BetaPowers, FoundOptimizer, FoundParameter

OUTPUT = ":0"


def without_outputs(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint under its variables' names; itself if no name is an output's, or one would be another's."""
    if checkpoint.format not in ("tensor-bundle", "tf1-v1"):
        return checkpoint
    key_of = {key.removesuffix(OUTPUT): key for key in checkpoint.tensors}
    is_plain = all(name == key for name, key in key_of.items())
    return checkpoint if is_plain or len(key_of) < len(checkpoint.tensors) else _Renamed(checkpoint, key_of)


def with_outputs(shown: Checkpoint, found: FoundOptimizer) -> FoundOptimizer:
    """Return what was found in a checkpoint of `without_outputs` with the names that the file has."""
    if not isinstance(shown, _Renamed):
        return found
    key_of = shown.key_of

    def keys(of: Mapping[str, str]) -> dict[str, str]:
        return {name: key_of[key] for name, key in of.items()}

    def powers(pair: BetaPowerKeys) -> BetaPowerKeys:
        return BetaPowerKeys(*(None if key is None else key_of[key] for key in (pair.beta_1, pair.beta_2)))

    def parameter(one: FoundParameter) -> FoundParameter:
        return replace(one, value=None if one.value is None else key_of[one.value], slots=keys(one.slots))

    rate = found.graph_rate
    if rate is not None:
        rate = rate._replace(variables=keys(rate.variables))
    own, rivals = powers(found.beta_powers.own), tuple(map(powers, found.beta_powers.rivals))
    return replace(
        found,
        parameters=tuple(map(parameter, found.parameters)),
        counter=None if found.counter is None else key_of[found.counter],
        beta_powers=BetaPowers(own, rivals, found.beta_powers.evidence),
        scalars=keys(found.scalars),
        graph_rate=rate,
    )


class _Renamed(Checkpoint):
    """A checkpoint whose tensors go by other names; what it reads is the other's, which stays open."""

    def __init__(self, checkpoint: Checkpoint, key_of: Mapping[str, str]) -> None:
        self._checkpoint = checkpoint
        self.key_of = key_of
        self.path, self.format = checkpoint.path, checkpoint.format
        self.tensors = MappingProxyType(
            {name: replace(checkpoint.tensors[key], name=name) for name, key in key_of.items()}
        )
        self.files, self.file_stats = checkpoint.files, checkpoint.file_stats

    def read_range(self, name: str, start: int, stop: int, out: Array | None = None) -> Array:
        return self._checkpoint.read_range(self.key_of[self.spec(name).name], start, stop, out)

    def expect(self, pieces: Iterable[tuple[str, int, int]]) -> None:
        self._checkpoint.expect((self.key_of[n], start, stop) for n, start, stop in pieces if n in self.key_of)

    def is_plain(self, name: str) -> bool:
        return self._checkpoint.is_plain(self.key_of[self.spec(name).name])

    def chunk_bytes(self, name: str) -> int:
        return self._checkpoint.chunk_bytes(self.key_of[self.spec(name).name])

    def is_fetched_ahead(self, name: str) -> bool:
        return self._checkpoint.is_fetched_ahead(self.key_of[self.spec(name).name])

    def training_config(self) -> TrainingConfig | None:
        return self._checkpoint.training_config()

    def graph(self) -> Graph | None:
        return self._checkpoint.graph()
