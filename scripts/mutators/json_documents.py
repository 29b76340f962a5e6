"""JSON documents: mutations of their nodes, and of the text."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from mutators.mutation import NothingToMutateError

Path = tuple[Any, ...]

_NUMBERS = (
    float("nan"), float("inf"), -1, 0, 1, 1.5, -0.5, 1e308, 1e-320, 10**30, 10**400, 2**63, 0.9999999999999999, True,
)  # fmt: skip
_TEXTS = ("", "\0", "\x1b[31mEVIL\x1b[0m", "=cmd|'/C calc'!A0", "a" * 100_000, "../../x", "Adam", "\ud800", "nan", "%s")
_HYPERPARAMETERS = (
    "learning_rate", "lr", "beta_1", "beta_2", "epsilon", "decay", "weight_decay", "amsgrad", "class_name", "config",
    "use_ema", "ema_momentum", "gradient_accumulation_steps", "decay_steps", "decay_rate", "boundaries", "values",
)  # fmt: skip


def mutate_json(text: bytes, rng: Random) -> tuple[bytes, str]:
    """Change one node of a document, or its text."""
    if rng.random() < 0.2:
        return _mutate_text(text, rng)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise NothingToMutateError("no JSON") from error
    paths = list(_paths(document))
    telling = [path for path in paths if path and path[-1] in _HYPERPARAMETERS]
    path = rng.choice(telling if telling and rng.random() < 0.6 else paths)
    if not path:
        new, note = _other(document, rng)
        return _dumped(new), f"the document {note}"
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    where = "/".join(map(str, path))
    if rng.random() < 0.15:
        del parent[path[-1]]
        return _dumped(document), f"{where} left out"
    parent[path[-1]], note = _other(parent[path[-1]], rng)
    return _dumped(document), f"{where} {note}"


def _paths(node: Any, path: Path = ()) -> Any:
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _paths(value, (*path, key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _paths(value, (*path, i))


def _other(value: Any, rng: Random) -> tuple[Any, str]:
    kind = rng.choice(("number", "number", "text", "null", "list", "object", "nested", "wrapped", "repeated"))
    if kind == "number":
        new = rng.choice(_NUMBERS)
        return new, f"becomes {str(new)[:30]}"
    if kind == "text":
        text = rng.choice(_TEXTS)
        return text, f"becomes the text {text[:30]!r}"
    if kind == "nested":
        depth = rng.choice((100, 900))
        for _ in range(depth):
            value = [value]
        return value, f"is nested {depth} deep"
    if kind == "wrapped":
        return rng.choice(({"class_name": value, "config": value}, {"config": value}, [value])), "is wrapped"
    if kind == "repeated":
        return [value] * rng.choice((2, 1000)), "is repeated"
    return {"null": None, "list": [], "object": {}}[kind], f"becomes an empty {kind}"


def _dumped(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _mutate_text(text: bytes, rng: Random) -> tuple[bytes, str]:
    at = rng.randrange(len(text) + 1)
    return rng.choice(
        (
            (text[:at], f"text cut off at {at}"),
            (text[:at] + b"\xff\xfe" + text[at:], f"not UTF-8 at {at}"),
            (b"\xef\xbb\xbf" + text, "a byte order mark"),
            (b"[" * 100_000, "100,000 brackets"),
            (b'{"a":' * 50_000, "50,000 objects"),
            (text.replace(b":", b": " + b"9" * 5000 + b', "x":', 1), "an integer of 5,000 digits"),
            (text.decode("utf-8", "replace").encode("utf-16"), "UTF-16"),
            (b"", "empty"),
            (text[:at] + b"\0" + text[at:], f"a NUL at {at}"),
            (text + text, "twice"),
        )
    )
