"""What a storage does: it looks at a path, lists a folder and reads ranges of bytes.

Callers use it through `ckpt_inspect.storage`, which picks the storage that a path belongs to. Every failure is a
CkptInspectError that names the path.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, TruncatedFileError
from ckpt_inspect.storage.stream import Bytes, RangeStream


class Stat(NamedTuple):
    """What lies at a path, without a look inside. Equal as long as nothing was written there or put in its place."""

    kind: Literal["file", "folder", "absent", "other"]
    """`other` is what can't be read by ranges: a pipe, a socket, a device."""
    size: int = 0
    """In bytes; 0 unless a file."""
    modified_ns: int = 0
    """Nanoseconds since 1970; 0 if nothing is there."""
    version: str = ""
    """The storage's own name of these contents, such as an ETag; empty if it gives none."""


ABSENT = Stat("absent")


class Entry(NamedTuple):
    """One name in a folder."""

    name: str
    is_folder: bool
    """Whether it is a folder itself; a link to one is not."""


class Identities(NamedTuple):
    """The names in a folder, one level, each with a number that another file, put in its place, doesn't share."""

    files: dict[str, int]
    """Links are files, also those to folders."""
    folders: dict[str, int]


class FolderStats(NamedTuple):
    """What lies in a folder, one level, with a look at each file; links to files followed."""

    names: Sequence[str]
    """Of the files, in no particular order; a link to a folder counts as one."""
    sizes: NDArray[np.int64]
    """In bytes; -1 where a link leads nowhere."""
    modified_ns: NDArray[np.int64]
    """Nanoseconds since 1970."""
    folders: list[str]
    """Names of those in it."""


class OpenFile(ABC):
    """A file that is read by byte ranges, from any thread. A context manager."""

    path: Path
    """What messages name."""
    stat: Stat
    """As the file was when it was opened or pinned."""
    refusal: CkptInspectError | None = None
    """Why it could not be looked at when it was pinned, and counts as absent; None if it could."""

    @property
    def size(self) -> int:
        """Return the size in bytes when the file was opened; NotFoundError for a pinned file that was missing."""
        if self.stat.kind == "absent":
            raise self.absence()
        return self.stat.size

    def absence(self) -> CkptInspectError:
        """Return the error for a pinned file that was missing, or could not be looked at."""
        return missing(self.path) if self.refusal is None else type(self.refusal)(str(self.refusal))

    @abstractmethod
    def read_into(self, buffer: Bytes, offset: int) -> None:
        """Fill `buffer` with the bytes at `offset`.

        Raises DamagedFileError if the bytes end too early, ChangedFileError if the file was replaced since it was
        pinned, NotFoundError if it can't be read, RequestError if it has been closed.
        """

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`; raises as `read_into` does.

        Checks the size first, so that nothing is allocated for bytes that aren't there.
        """
        if offset + size > self.size:
            raise self.too_short(offset + size)
        buffer = np.empty(size, np.uint8)
        self.read_into(buffer, offset)
        return buffer.tobytes()

    def read_whole(self, most: int) -> bytes:
        """Return all bytes; raises as `read` does, and DamagedFileError for more than `most`, or if zeros come first.

        For files of text and messages, which begin with something: a sparse file may claim any size.
        """
        if self.size > most:
            raise DamagedFileError(
                f"{self.path}: is {self.size} bytes long, and a file of this name has {most} at most: it is damaged, "
                "or not what its name says; restore or remove it"
            )
        if self.size > _LARGE and not any(self.read(0, _STREAM_BUFFER)):
            raise DamagedFileError(
                f"{self.path}: starts with zero bytes only: it was not written or not copied whole; copy or restore it"
            )
        return self.read(0, self.size)

    def stream(self, start: int = 0, size: int | None = None) -> io.BufferedReader:
        """Return a part of the file (by default all of it) as a Python file with its own position.

        Libraries read through it. It works as long as this file is open.
        """
        return io.BufferedReader(RangeStream(self, start, self.size - start if size is None else size), _STREAM_BUFFER)

    def native_path(self) -> bytes | None:
        """Return a path under which a C library can open the same bytes; None if there is no such path.

        Opening that path can fail, but never opens another file that replaced this one.
        """
        return None

    def descriptor(self) -> int | None:
        """Return the operating system's descriptor of the open file, valid until it is closed; None if there is none.

        Raises as `read_into` does.
        """
        return None

    def is_rewritten(self) -> bool:
        """Return whether anything was written into the open file since it was opened.

        False for a file that was replaced or deleted: what is open is the one that was there before.
        """
        return False

    def expect(  # noqa: B027 - advice, which a disk needn't have
        self, ranges: Iterable[tuple[OpenFile, int, int]], *, is_later: bool = False, is_unpacked: bool = False
    ) -> None:
        """Say what will be read next of this and other files of its storage, in that order: the first byte and the
        end of each range; `is_later`: after all that was said before. A file that lies far away fetches them ahead, not
        as much at a time if it `is_unpacked`, which takes memory beside it; any range can be read all the same."""

    def borrow(self, offset: int, size: int) -> Bytes | None:
        """Return bytes that were expected where they are in memory, read-only; None if they aren't there in one piece.

        They count as read once `give_back` is called. Raises as `read_into` does.
        """
        return None

    def give_back(self, offset: int, size: int) -> None:  # noqa: B027 - what lends nothing gets nothing back
        """Say that bytes that were borrowed have been read."""

    def lend(self, offset: int, size: int) -> Iterator[Bytes]:
        """Yield bytes one after another, read-only, in pieces as they lie in memory; each is valid until the next is
        asked for, and counts as read then. Raises as `read_into` does."""
        for start in range(offset, offset + size, LENT):
            piece = np.empty(min(LENT, offset + size - start), np.uint8)
            self.read_into(piece, start)
            yield piece

    @property
    def is_far(self) -> bool:
        """Return whether its bytes come from another machine: what is expected of it can be borrowed."""
        return False

    def look_ahead(self, places: Iterable[int]) -> None:  # noqa: B027 - the same
        """Say at which offsets a few bytes will be read soon: of a file that lies far away they are asked for at once,
        and not one after another."""

    def rest(self) -> bool:
        """Close the file until the next read, as if it had been pinned; return whether that can be done."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Release what is open; safe to call twice."""

    def too_short(self, wanted: int) -> TruncatedFileError:
        """Return the error for bytes up to `wanted` that are not in the file."""
        return TruncatedFileError(
            f"{self.path}: is {self.size} bytes long, but bytes up to {wanted} are needed: the file is truncated; "
            "copy or restore it"
        )

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def missing(path: Path) -> NotFoundError:
    """Return the error for a file that is not there."""
    return NotFoundError(f"{path}: is missing; copy it to this folder, where the rest of its checkpoint lies")


LENT = 1 << 18
"""Bytes that are read at a time for whoever takes them one after another."""

_LARGE = 1 << 20
"""Size in bytes from which a file is looked at before all of it is read."""

_STREAM_BUFFER = 1 << 13
"""Enough for an HDF5 object header and its neighbours, little enough that what lies between two of them is not read."""


class NoAnswerError(NotFoundError):
    """A storage that can't be asked at present, so that nothing is known of what it holds."""


class Storage(ABC):
    """A place where checkpoints lie: the local disk, or an object store."""

    @abstractmethod
    def stat(self, path: Path) -> Stat:
        """Return what is at the path, links followed; NotFoundError if the storage refuses to look, NoAnswerError if it
        can't be asked."""

    def look_together(self, paths: Iterable[Path]) -> None:  # noqa: B027 - a disk answers at once
        """Look at paths of which `stat` will be asked next, side by side: far away each look may be a request."""

    @abstractmethod
    def list_folder(self, folder: Path) -> list[Entry]:
        """Return the names in a folder, one level, in no particular order; NotFoundError if it can't be listed."""

    def list_stats(self, folder: Path) -> FolderStats | None:
        """Return a folder's names with sizes and times; NotFoundError if it can't be listed, None if looking at its
        files would take long."""
        return None

    def list_identities(self, folder: Path) -> Identities | None:
        """Return a folder's names and which file each is; NotFoundError if it can't be listed, None if a listing
        doesn't tell."""
        return None

    @abstractmethod
    def open_file(self, path: Path, pinned: Stat | None = None) -> OpenFile:
        """Open a file; raises NotFoundError if there is none.

        `pinned` is what `stat` returned for it before. The file is then opened at its first read, which raises
        ChangedFileError if another file lies there by now, and NotFoundError if it was absent.
        """

    @abstractmethod
    def find_matches(self, pattern: Path) -> Iterator[Entry]:
        """Find what a glob pattern (`*`, `?`, `[..]`, `**`) matches, links followed; the entries' names are paths."""

    def forget(self) -> None:  # noqa: B027 - most remember nothing
        """Forget what listings and looks said, so that the next ones say how it is by then."""

    def native_path(self, path: Path) -> bytes | None:
        """Return the path as C libraries open it, to look at a file and close it again; None if there is no such
        path."""
        return None

    def link_target(self, path: Path) -> str | None:
        """Return where a symbolic link leads; None for a path that is not a link."""
        return None

    def without_links(self, path: Path) -> str:
        """Return the path from its root with every link resolved, so that one place has one path."""
        return self.absolute(path)

    def absolute(self, path: Path) -> str:
        """Return the path from its root, without `..`, and without looking where links lead."""
        return str(path)
