"""RunColumns <-> bytes, for the way from one process to another: a JSON document, then the numbers as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple

import numpy as np

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.measurement.columns import Column, OptimizerColumns, Remark, RunColumns

_ALIGNED = 16


def carried(columns: RunColumns) -> list[bytes | memoryview]:
    """Return the pieces that `arrived` makes the same columns of."""
    numbers: list[bytes | memoryview] = []
    document = {
        "run": columns.run,
        "options": columns.options,
        "thresholds": dict(columns.thresholds),
        "remarks": [[r.checkpoint, r.optimizer, *astuple(r.problem)] for r in columns.remarks],
        "checkpoints": _described(columns.checkpoints, numbers),
        "optimizers": [[name, _described(o.variables, numbers)] for name, o in columns.optimizers.items()],
    }
    head = json.dumps(document).encode("ascii")
    head += b" " * (-(len(head) + 8) % _ALIGNED)
    return [len(head).to_bytes(8, "little"), head, *numbers]


def arrived(content: bytearray) -> RunColumns:
    """Return the columns; their numbers stay where they are in `content`."""
    end = 8 + int.from_bytes(content[:8], "little")
    document = json.loads(content[8:end])
    place = _Place(content, end)
    return RunColumns(
        document["run"],
        document["options"],
        place.columns(document["checkpoints"]),
        {name: OptimizerColumns(name, place.columns(described)) for name, described in document["optimizers"]},
        tuple(Remark(checkpoint, optimizer, Problem(*rest)) for checkpoint, optimizer, *rest in document["remarks"]),
        document["thresholds"],
    )


def _described(columns: Mapping[str, Column], numbers: list[bytes | memoryview]) -> list[list[object]]:
    """Return each column's name, and its texts or its dtype and shape; its numbers are appended to `numbers`."""
    described: list[list[object]] = []
    for name, column in columns.items():
        if column.dtype == object:
            texts, codes = _numbered(column)
            described.append([name, texts, len(codes)])
            numbers.append(codes.view(np.uint8).data if len(codes) else b"")
            numbers.append(bytes(-codes.nbytes % _ALIGNED))
            continue
        described.append([name, column.dtype.str, *column.shape])
        if column.size:
            numbers.append(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
            numbers.append(bytes(-column.nbytes % _ALIGNED))
    return described


def _numbered(column: Column) -> tuple[list[str], Column]:
    """Return the different texts of a column, and (C,) which each is: most columns have few."""
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in column), np.int32, len(column))
    return list(places), codes


def framed(parts: Sequence[bytes]) -> list[bytes | memoryview]:
    """Return the pieces that `unframed` makes the same parts of."""
    lengths = [len(part).to_bytes(8, "little") for part in parts]
    return [len(parts).to_bytes(8, "little"), *lengths, *parts]


def unframed(content: bytearray) -> list[bytearray]:
    """Return the parts."""
    count = int.from_bytes(content[:8], "little")
    at, parts = 8 + 8 * count, list[bytearray]()
    for place in range(count):
        length = int.from_bytes(content[8 + 8 * place : 16 + 8 * place], "little")
        parts.append(content[at : at + length])
        at += length
    return parts


class _Place:
    """Where the next numbers begin."""

    def __init__(self, content: bytearray, at: int) -> None:
        self._content, self._at = content, at

    def columns(self, described: Sequence[Sequence[object]]) -> dict[str, Column]:
        return {str(name): self._column(*rest) for name, *rest in described}

    def _column(self, what: object, *shape: object) -> Column:
        if isinstance(what, list):
            texts = np.empty(len(what), object)
            texts[:] = what
            codes = self._column("<i4", *shape)
            return texts[codes] if len(codes) else np.empty(0, object)
        dtype, lengths = np.dtype(str(what)), tuple(int(str(n)) for n in shape)
        count = int(np.prod(lengths, dtype=np.int64))
        values: Column = np.frombuffer(self._content, dtype, count, self._at if count else 0).reshape(lengths)
        self._at += count * dtype.itemsize + -(count * dtype.itemsize) % _ALIGNED
        return values
