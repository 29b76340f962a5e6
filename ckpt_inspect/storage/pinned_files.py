"""The files of one checkpoint, as they were when it was opened."""

from __future__ import annotations

from pathlib import Path

from ckpt_inspect.checkpoint import FileStat
from ckpt_inspect.errors import ChangedFileError, CkptInspectError
from ckpt_inspect.storage.interface import ABSENT, NoAnswerError, OpenFile, Stat
from ckpt_inspect.storage.registry import open_file, stat


class PinnedFiles:
    """Makes sure that a checkpoint is read from the files that it had when it was opened.

    A pinned file is opened at its first read, so that a thousand shards don't take a thousand descriptors before they
    are needed. If it was replaced by then, reading raises ChangedFileError and never mixes the two.
    """

    def __init__(self) -> None:
        self._files: dict[Path, OpenFile] = {}

    def open(self, path: Path) -> OpenFile:
        """Open a file now, and keep it; NotFoundError if it can't be opened."""
        file = self._files[path] = open_file(path)
        return file

    def pin(self, path: Path) -> OpenFile:
        """Pin a file as it is now; if it is missing or can't be looked at, reading it raises the error. Raises
        NoAnswerError, as `pin_if_there` does."""
        try:
            return self._pin(path, stat(path))
        except NoAnswerError:
            raise
        except CkptInspectError as error:
            file = self._pin(path, ABSENT)
            file.refusal = error
            return file

    def pin_if_there(self, path: Path) -> OpenFile | None:
        """Pin a file as it is now; return None, and pin nothing, if there is none."""
        found = _stat(path)
        return None if found.kind == "absent" else self._pin(path, found)

    def _pin(self, path: Path, found: Stat) -> OpenFile:
        file = self._files[path] = open_file(path, found)
        return file

    def check(self, path: Path) -> None:
        """Raise ChangedFileError if the file at the path was replaced since it was opened or pinned."""
        if stat(path) != self._files[path].stat:
            raise ChangedFileError(f"{path}: was replaced while its checkpoint was being opened; open it again")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return every file that existed, in the order in which they were opened or pinned."""
        return tuple(path for path, file in self._files.items() if file.stat.kind != "absent")

    @property
    def stats(self) -> tuple[FileStat, ...]:
        """Return the size and time of each of `paths` when it was opened or pinned."""
        found = (self._files[path].stat for path in self.paths)
        return tuple(FileStat(each.size, each.modified_ns) for each in found)

    def read_head(self, size: int) -> bytes:
        """Return at most `size` bytes from the start of the first file, as it was when it was opened.

        Raises ChangedFileError if that can't be told: something was written into one of the files since.
        """
        if changed := next((path for path, file in self._files.items() if file.is_rewritten()), None):
            raise ChangedFileError(
                f"{changed}: was written to while its checkpoint was being read; open the checkpoint again when it is "
                "complete"
            )
        first = next(iter(self._files.values()))
        return first.read(0, min(size, first.size))

    def rest(self) -> bool:
        """Close all until they are read again; return whether that can be done."""
        return all(file.rest() for file in self._files.values())

    def are_current(self) -> bool:
        """Return whether what lies at the paths is still what was opened or pinned."""
        return all(_stat(path) == file.stat for path, file in self._files.items())

    def close(self) -> None:
        """Close all; safe to call twice."""
        for file in self._files.values():
            file.close()


def _stat(path: Path) -> Stat:
    try:
        return stat(path)
    except NoAnswerError:
        raise
    except CkptInspectError:  # S3 refuses to look at what is not there, unless its folder may be listed
        return ABSENT
