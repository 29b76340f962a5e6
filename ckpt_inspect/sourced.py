"""Values that are resolved among several sources, and carry the one they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["checkpoint", "config", "graph", "inferred", "given", "default", "unknown"]


@dataclass(frozen=True, slots=True)
class Sourced:
    """A value, and where it came from."""

    value: Any
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
