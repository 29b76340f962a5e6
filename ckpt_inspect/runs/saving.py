"""When and where a run's results are stored while it is read: at the end, when it is interrupted, and in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs.analysis import ElementSink
from ckpt_inspect.runs.elements import ElementsFile

_SAVE_AFTER = 30.0
"""Seconds of work after which the store is written although there is more to do, so that little is lost to a kill."""

_SAVE_SHARE = 10.0
"""And at least so many times what the writing took, so that it never matters."""


class Saving:
    """The store of an analysis, or none. A context manager: what is temporary goes at the end."""

    def __init__(self, path: Path | None, has_elements: bool) -> None:
        """Raises StoreError, before any work is done, if a store can't be written at `path`."""
        self.path = path
        if path is not None:
            stores.check_writable(path)
        self._elements = ElementsFile(path.parent) if has_elements and path is not None else None
        self._saved_at, self._saving_took = time.monotonic(), 0.0

    def __enter__(self) -> Saving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._elements is not None:
            self._elements.close()

    def load(self) -> RunColumns | None:
        """Return what is stored already; None if there is no store yet. Raises StoreError if it is none of ours."""
        return stores.load(self.path) if self.path is not None and self.path.exists() else None

    @property
    def sink(self) -> ElementSink | None:
        """Take E of every element of the checkpoint that is being read, if they are kept."""
        return None if self._elements is None else self._elements.add

    def finish_elements(self, fingerprint: str | None) -> None:
        """Keep the elements of the checkpoint that was read under its fingerprint; for None drop them."""
        if self._elements is not None:
            self._elements.finish(fingerprint)

    def save(self, columns: RunColumns, *, is_final: bool = True) -> None:
        """Write the store. After the last time, `is_final`, it takes no more elements."""
        if self.path is not None:
            stores.save(columns, self.path, self._elements, is_final=is_final)

    def save_sometimes(self, columns: Callable[[], RunColumns]) -> None:
        """Write the store if it has been long enough."""
        waited = time.monotonic() - self._saved_at
        if self.path is None or waited < max(_SAVE_AFTER, _SAVE_SHARE * self._saving_took):
            return
        started = time.monotonic()
        self.save(columns(), is_final=False)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - started
