"""Values as JSON has them, and their type."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
"""Any value that JSON text can hold, parsed."""

JsonObject: TypeAlias = Mapping[str, JsonValue]
"""A JSON object, parsed and not interpreted: whoever asks for a member checks what it is."""


def jsonable(value: object) -> JsonValue:
    """Return the value in JSON's types; NaN and infinity, which JSON lacks, become null, arrays nested lists.

    Raises TypeError for what JSON has no type for.
    """
    if isinstance(value, Mapping):
        return json_object(value)
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, _Array):
        return jsonable(value.tolist())
    raise TypeError(f"JSON has no type for {type(value).__name__}")


def json_object(values: Mapping[str, object]) -> JsonObject:
    """Return values by name in JSON's types, as `jsonable` does."""
    return {str(name): jsonable(value) for name, value in values.items()}


@runtime_checkable
class _Array(Protocol):
    """An array or scalar of numpy."""

    def tolist(self) -> object:
        """The same in Python's types."""


def shortened(value: JsonValue, width: int = 40) -> str:
    """Return the value as JSON, in at most so many characters: what is longer loses its middle."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes, lists too deep
        text = f"{type(value).__name__}"
    half = width // 2
    return text if len(text) <= width else f"{text[: half - 1]}…{text[half - width :]}"
