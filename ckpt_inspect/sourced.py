"""Values that are resolved among several sources, and carry the one they came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Literal, TypeVar

from ckpt_inspect.records import dataclass

Source = Literal["checkpoint", "config", "graph", "inferred", "given", "default", "unknown"]

SOURCE_WORDS: Mapping[str, str] = {
    "checkpoint": "read from the checkpoint",
    "config": "read from the configuration",
    "graph": "read from the graph",
    "inferred": "inferred from the state",
    "given": "given by the caller",
    "default": "assumed: the implementation's default",
    "unknown": "unknown",
}
"""What each source is to a person."""


def shown_source(source: str, contradiction: str = "") -> str:
    """Return a source as tables show it; of a value that the run's other checkpoints refute it says so."""
    if not contradiction:
        return source
    return "assumed, contradicted" if source == "default" else f"{source}, contradicted"


def quoted(
    value: float, source: str, contradiction: str = "", text_of: Callable[[float], str] = "{:.6g}".format
) -> str:
    """Return a value as a sentence quotes it, with its source if that is not the file: `0.98, inferred`,
    `0.999, assumed, contradicted`; of one that was read or given, and that nothing refutes, the value alone. `text_of`
    writes the value."""
    doubts = {"default": "assumed", "inferred": "inferred"}.get(source, "")
    return ", ".join(filter(None, (text_of(value), doubts, "contradicted" * bool(contradiction))))


T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """A value, and where it came from."""

    value: T | None
    """None where `source` is `unknown`."""
    source: Source
    """`checkpoint`: a tensor; `config`: JSON in or beside; `graph`: a `.meta` or SavedModel graph; `inferred`: from the
    state, by the evidence in `where`; `given`: by the caller; `default`: that implementation's, assumed; `unknown`."""
    where: str = ""
    """The tensor, file and field, or evidence, for a person; for `unknown` the reason."""

    @property
    def is_known(self) -> bool:
        """Whether there is a value at all."""
        return self.value is not None

    @property
    def is_assumed(self) -> bool:
        """Whether nothing in the file speaks for the value."""
        return self.source in ("default", "unknown")
