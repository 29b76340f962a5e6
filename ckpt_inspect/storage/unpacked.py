"""What was unpacked from archives, for whoever opens the same archive again while a piece of work lasts.

An analysis opens a checkpoint when it asks what several tell together, and again when it measures it. To unpack an
archive takes longer than both.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ckpt_inspect.storage.local import LocalFile, keep_temporarily

_MOST_FILES, _MOST_BYTES = 8, 1 << 32
"""Files that are kept, and bytes of all but the last."""


class _Shelf:
    """Keeps nameless files by what was unpacked into them, as long as anybody is inside `unpacking_once`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._files: OrderedDict[Hashable, LocalFile] = OrderedDict()

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            while not self._users and self._files:
                self._files.popitem()[1].close()

    def find(self, key: Hashable) -> LocalFile | None:
        with self._lock:
            if key not in self._files:
                return None
            self._files.move_to_end(key)
            return self._files[key].again()

    def put(self, key: Hashable, file: LocalFile) -> None:
        with self._lock:
            if not self._users or key in self._files:
                return
            self._files[key] = file.again()
            while len(self._files) > 1 and (
                len(self._files) > _MOST_FILES or sum(kept.size for kept in self._files.values()) > _MOST_BYTES
            ):
                self._files.popitem(last=False)[1].close()


_shelf = _Shelf()


@contextmanager
def unpacking_once() -> Iterator[None]:
    """Keep what is unpacked inside, the last few files of it, until the end."""
    _shelf.enter()
    try:
        yield
    finally:
        _shelf.leave()


def keep_unpacked(chunks: Iterable[bytes], path: Path, key: Hashable) -> LocalFile:
    """Return a nameless file of the bytes, as `keep_temporarily` does; `chunks` aren't asked for if the file is kept.

    `key` tells what they are: it differs if the archive at `path` does.
    """
    file = _shelf.find(key)
    if file is None:
        file = keep_temporarily(chunks, path)
        _shelf.put(key, file)
    return file
