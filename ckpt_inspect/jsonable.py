"""Values as JSON has them, and their type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

JsonValue: TypeAlias = bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
"""Any value that JSON text can hold, parsed."""

JsonObject: TypeAlias = Mapping[str, JsonValue]
"""A JSON object, parsed and not interpreted: whoever asks for a member checks what it is."""


def jsonable(value: Any) -> Any:
    """The value in JSON's types; NaN and infinity, which JSON lacks, become null, arrays nested lists."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "tolist"):  # an array or scalar of numpy
        return jsonable(value.tolist())
    return value
