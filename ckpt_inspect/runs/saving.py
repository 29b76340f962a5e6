"""When and where a run's results are stored while it is read: at the end, when it is interrupted, and in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ckpt_inspect.errors import StoreError
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs.atomic import folder_locked

if TYPE_CHECKING:
    from ckpt_inspect.comparison.gradients import KnownWindows
    from ckpt_inspect.runs.analysis import ElementSink
    from ckpt_inspect.runs.elements import ElementsFile
    from ckpt_inspect.runs.growth import LongRun
    from ckpt_inspect.runs.spilled import Spilled

_SAVE_AFTER = 30.0
"""Seconds of work after which the store is written although there is more to do, so that little is lost to a kill."""

_SAVE_SHARE = 10.0
"""And at least so many times what the writing took, so that it never matters."""


def _new_elements(path: Path) -> ElementsFile:
    from ckpt_inspect.runs.elements import ElementsFile

    try:
        return ElementsFile(path)
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror}); write the store elsewhere") from error


@dataclass(slots=True)
class Held:
    """What a process that analyses a run again and again holds of it in between."""

    columns: RunColumns | None = None
    """What it wrote into the store last."""
    file: tuple[int, ...] | None = None
    """The store as it was then: of another one, somebody else's, `columns` tell nothing."""
    windows: dict[str, KnownWindows] = field(default_factory=dict)
    """By optimizer: figures that need not be computed again."""
    is_watched: bool = False
    """Whether the files are looked at again and again, so that none of those that are read is being written."""


class Saving:
    """The store of an analysis, or none. A context manager: what is temporary goes at the end."""

    def __init__(self, path: Path | None, has_elements: bool, held: Held | None = None) -> None:
        """Raises StoreError, before any work is done, if a store can't be written at `path`."""
        self.path = path
        self.held = held or Held()
        if path is not None:
            stores.check_writable(path)
        self._seen: tuple[int, ...] | None = None
        self._elements = _new_elements(path) if has_elements and path is not None else None
        self._spilled: Spilled | None = None
        self._saved_at, self._saving_took = time.monotonic(), 0.0

    def __enter__(self) -> Saving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._elements is not None:
            self._elements.close()
        if self._spilled is not None:
            self._spilled.clear()

    def load(self) -> RunColumns | None:
        """Return what is stored already; None if there is no store yet. Raises StoreError if it is none of ours."""
        if self.path is None:
            return None
        with folder_locked(self.path.parent):
            self._seen = stores.identity(self.path)
            if self._seen is not None and self._seen == self.held.file:
                return self.held.columns
            return None if self._seen is None else stores.load(self.path)

    def _hold(self, columns: RunColumns) -> None:
        assert self.path is not None
        self._seen = self.held.file = stores.identity(self.path)
        self.held.columns = columns

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep other processes from writing the store meanwhile; give whether one has since it was last seen here."""
        if self.path is None:
            yield False
            return
        with folder_locked(self.path.parent):
            yield stores.identity(self.path) != self._seen

    @property
    def sink(self) -> ElementSink | None:
        """Take E of every element of the checkpoint that is being read, if they are kept."""
        return None if self._elements is None else self._elements.add

    def finish_elements(self, fingerprint: str | None) -> None:
        """Keep the elements of the checkpoint that was read under its fingerprint; for None drop them."""
        if self._elements is not None:
            try:
                self._elements.finish(fingerprint)
            except OSError as error:
                raise StoreError(
                    f"{self.path}: can't be written ({error.strerror}); write the store elsewhere"
                ) from error

    def save(self, columns: RunColumns, *, is_final: bool = True) -> None:
        """Write the store. After the last time, `is_final`, it takes no more elements."""
        if self.path is not None:
            with folder_locked(self.path.parent):
                stores.save(columns, self.path, self._elements, is_final=is_final)
                self._hold(columns)

    def load_library(self) -> None:
        """Load what writes the store, if there is one: it takes a while, in which others may wait for the network."""
        if self.path is not None:
            import h5py  # noqa: F401

    def spilled(self) -> Spilled | None:
        """Return where what is read of a long run, and told of it, is put away; None if there is no store, or it keeps
        elements."""
        if self.path is None or self._elements is not None:
            return None
        from ckpt_inspect.runs.spilled import Spilled

        self._spilled = self._spilled or Spilled.beside(self.path)
        return self._spilled

    def save_long(self, long: LongRun) -> RunColumns:
        """Write the store of a long run, and return what it holds."""
        assert self.path is not None
        with folder_locked(self.path.parent):
            columns = long.save(self.path)
            self._hold(columns)
            return columns

    def save_sometimes(self, save: Callable[[], object]) -> None:
        """Call `save`, which writes the store, if it has been long enough."""
        waited = time.monotonic() - self._saved_at
        if self.path is None or waited < max(_SAVE_AFTER, _SAVE_SHARE * self._saving_took):
            return
        started = time.monotonic()
        save()
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - started
