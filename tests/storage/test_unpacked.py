"""What was unpacked is kept while a piece of work lasts, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_inspect import storage
from ckpt_inspect.storage import unpacked


def never() -> Iterator[bytes]:
    """Pieces that nobody may ask for."""
    pytest.fail("unpacked again")
    yield b""


def test_inside_the_same_is_unpacked_once() -> None:
    """Whoever closes one of them leaves the other readable."""
    with storage.unpacking_once():
        first = storage.keep_unpacked([b"ab", b"c"], Path("m.keras"), "key")
        first.close()
        again = storage.keep_unpacked(never(), Path("m.keras"), "key")
        other = storage.keep_unpacked([b"de"], Path("m.keras"), "another")
        assert (again.path, again.read(0, 3), other.read(0, 2)) == (Path("m.keras"), b"abc", b"de")
    assert again.read(1, 2) == b"bc"
    again.close()
    other.close()


def test_outside_nothing_is_kept() -> None:
    """Neither before nor after."""
    for content in (b"a", b"b"):
        file = storage.keep_unpacked([content], Path("m.keras"), "key")
        assert file.read(0, 1) == content
        file.close()
    with storage.unpacking_once():
        storage.keep_unpacked([b"c"], Path("m.keras"), "key").close()
    file = storage.keep_unpacked([b"d"], Path("m.keras"), "key")
    assert file.read(0, 1) == b"d"
    file.close()


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones, and the last one whatever its size."""
    monkeypatch.setattr(unpacked, "_MOST_BYTES", 3)
    with storage.unpacking_once():
        for key in "ab":
            storage.keep_unpacked([b"1234"], Path("m.keras"), key).close()
        storage.keep_unpacked(never(), Path("m.keras"), "b").close()
        file = storage.keep_unpacked([b"new"], Path("m.keras"), "a")
        assert file.read(0, 3) == b"new"
        file.close()


def test_what_fails_is_not_kept() -> None:
    """An archive that can't be unpacked says so each time."""

    def failing() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("damaged")

    with storage.unpacking_once():
        for _ in range(2):
            with pytest.raises(ValueError, match="damaged"):
                storage.keep_unpacked(failing(), Path("m.keras"), "key")
