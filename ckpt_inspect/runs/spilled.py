"""Parts of a run that were read and are not in its store yet, in a file without a name: it goes with its process."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import IO

from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs.carried import arrived, carried
from ckpt_inspect.runs.stacking import some_rows

_DEFLATE_LEVEL = 1


class SpilledParts:
    """Takes part after part, and gives any of them again; what is held of each is little."""

    def __init__(self, folder: Path) -> None:
        """The file is made in the folder when there is something to write."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._extents: list[tuple[int, int]] = []
        self._last: tuple[int, RunColumns] | None = None
        self.outlines: list[RunColumns] = []
        """Of each part everything but its rows."""
        self.places: dict[str, tuple[int, int]] = {}
        """Fingerprint of each checkpoint -> its part, and its row there."""
        self.paths: dict[str, str] = {}
        """Fingerprint of each checkpoint -> its absolute path."""

    def add(self, part: RunColumns) -> None:
        """Take a part; raises OSError if the disk won't."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".")  # noqa: SIM115 - closed by clear()
        content = zlib.compress(b"".join(carried(part)), _DEFLATE_LEVEL)
        start = self._extents[-1][1] if self._extents else 0
        self._file.seek(start)
        self._file.write(content)
        self._file.flush()
        number = len(self._extents)
        self._extents.append((start, start + len(content)))
        self.outlines.append(some_rows(part, 0, 0))
        checkpoints = part.checkpoints
        for row, (fingerprint, path) in enumerate(zip(checkpoints["fingerprint"], checkpoints["path"], strict=True)):
            self.places[str(fingerprint)] = number, row
            self.paths[str(fingerprint)] = str(path)

    def part(self, number: int) -> RunColumns:
        """Return a part as it was given."""
        if self._last is None or self._last[0] != number:
            assert self._file is not None
            start, stop = self._extents[number]
            self._file.seek(start)
            self._last = number, arrived(bytearray(zlib.decompress(self._file.read(stop - start))))
        return self._last[1]

    def clear(self) -> None:
        """Let go of all parts."""
        self._extents, self.outlines, self._last = [], [], None
        self.places, self.paths = {}, {}
        if self._file is not None:
            self._file.close()
            self._file = None
