"""Seeded, structure-aware mutations of every format that ckpt-inspect reads, and of the stores that it writes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mutators import (
    keras_archive,
    keras_h5,
    keras_weights_h5,
    meta_graph,
    orbax,
    saved_model,
    store,
    tensor_bundle,
    tf1_v1,
)
from mutators.mutation import Checksum, Files, Mutator, NothingToMutateError, Original, digest

STORE = "store"
"""What is mutated that is no format: what `analyze` writes."""


@dataclass(frozen=True, slots=True)
class Mutated:
    """A format with what damages it."""

    name: str
    """A name of `ckpt_inspect.formats.FORMATS`, or of what is part of one."""
    mutators: tuple[Mutator, ...]
    originals: Callable[[Path], tuple[Original, ...]]
    """Given the fixtures' folder; of stores, the folder that holds some."""


MUTATED: tuple[Mutated, ...] = (
    Mutated("tensor-bundle", tensor_bundle.MUTATORS, tensor_bundle.originals),
    Mutated("saved-model", saved_model.MUTATORS, saved_model.originals),
    Mutated("keras-h5", keras_h5.MUTATORS, keras_h5.originals),
    Mutated("keras-weights-h5", keras_weights_h5.MUTATORS, keras_weights_h5.originals),
    Mutated("keras-weights-shards", keras_weights_h5.SHARD_MUTATORS, keras_weights_h5.shard_originals),
    Mutated("keras-archive", keras_archive.MUTATORS, keras_archive.originals),
    Mutated("tf1-v1", tf1_v1.MUTATORS, tf1_v1.originals),
    Mutated("orbax", orbax.MUTATORS, orbax.originals),
    Mutated("meta-graph", meta_graph.MUTATORS, meta_graph.originals),
    Mutated(STORE, store.MUTATORS, store.originals),
)
"""In this order the cases of a campaign take turns: the format of the case `index` is number `index % len(MUTATED)`."""

_MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One mutated checkpoint, or store."""

    index: int
    format: str
    original: Original
    mutator: str
    checksum: Checksum
    note: str
    """What was changed."""
    files: Files
    digest: str
    """Says whether the same case was made again."""


def format_of(index: int) -> Mutated:
    """Return the format of a case."""
    return MUTATED[index % len(MUTATED)]


def make_case(seed: int, index: int, fixtures: Path, stores: Path) -> Case:
    """Make a case: the same for the same seed and index, as long as the originals and the mutators are the same."""
    mutated = format_of(index)
    rng = Random(f"{seed}:{index}")
    originals = originals_of(mutated.name, fixtures, stores)
    while True:
        original = rng.choice(originals)
        mutator = rng.choices(mutated.mutators, [m.weight for m in mutated.mutators])[0]
        made = mutate(mutator, original, rng)
        if made is not None:
            files, note = made
            return Case(index, mutated.name, original, mutator.name, mutator.checksum, note, files, digest(files))


def mutate(mutator: Mutator, original: Original, rng: Random) -> tuple[Files, str] | None:
    """Return the original's files changed, and what was changed; None if the mutator finds nothing to change."""
    for _ in range(_MOST_TRIES):
        files: Files = dict(original.files)
        try:
            note = mutator.apply(files, rng)
        except NothingToMutateError:
            continue
        if files != original.files:
            return files, note
    return None


@functools.lru_cache(maxsize=len(MUTATED))
def originals_of(name: str, fixtures: Path, stores: Path) -> tuple[Original, ...]:
    """Return the healthy checkpoints of a format, read once."""
    folder = stores if name == STORE else fixtures
    found = next(mutated for mutated in MUTATED if mutated.name == name).originals(folder)
    if not found:
        raise ValueError(f"{folder}: holds no original of {name}")
    return found
