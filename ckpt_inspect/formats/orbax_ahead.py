"""Boxes of remote arrays that will be read, in the order in which they will: begun ahead of whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, NamedTuple

WINDOW = 24 << 20
"""Bytes, decoded, that are under way or have arrived and were not taken yet."""
_MOST_BEHIND = 16
"""Boxes behind the farthest that was taken after which one is not waited for any longer."""


class ExpectedBox(NamedTuple):
    """A box that is contiguous in the flattened array."""

    name: str
    start: int
    stop: int
    """Its elements in the flattened array, half-open."""
    nbytes: int
    begin: Callable[[], Any]
    """Begins to read it, and returns the future of its elements."""


class BoxesAhead:
    """Begins to read boxes before they are asked for, within a window; from any thread."""

    def __init__(self, boxes: Iterable[ExpectedBox], window: int = WINDOW) -> None:
        """Begin with the first of `boxes`; the later ones are asked of the iterable when there is room. `window` is in
        bytes."""
        self._boxes = iter(boxes)
        self._window = window
        self._begun: dict[int, tuple[ExpectedBox, Any]] = {}
        """By the box's number, in the order of the boxes."""
        self._waiting: ExpectedBox | None = None
        self._count = self._held = 0
        self._lock = Lock()
        with self._lock:
            self._fill()

    def take(self, name: str, at: int) -> tuple[int, Any] | None:
        """Return the first element of the box that holds element `at` of an array, and the future of its elements; None
        if it was not begun, or has been taken."""
        with self._lock:
            for number, (box, future) in self._begun.items():
                if box.name == name and box.start <= at < box.stop:
                    self._drop(number)
                    for late in [n for n in self._begun if n < number - _MOST_BEHIND]:
                        self._drop(late)
                    self._fill()
                    return box.start, future
        return None

    def end(self) -> None:
        """Forget all; what is under way ends by itself."""
        with self._lock:
            self._boxes, self._waiting = iter(()), None
            self._begun.clear()

    def _drop(self, number: int) -> None:
        box, _ = self._begun.pop(number)
        self._held -= box.nbytes

    def _fill(self) -> None:
        while True:
            box, self._waiting = self._waiting or next(self._boxes, None), None
            if box is None:
                return
            if self._held and self._held + box.nbytes > self._window:
                self._waiting = box
                return
            self._begun[self._count] = box, box.begin()
            self._count += 1
            self._held += box.nbytes
