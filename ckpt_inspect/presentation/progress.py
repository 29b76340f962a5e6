"""Progress of a call from Python, as one line that a notebook and a terminal keep up to date."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from ckpt_inspect.checkpoint import Progress

_SECONDS = 0.2
"""Between two updates: a notebook takes longer to show one than a checkpoint takes to be read."""


def progress_line(what: str = "reading", stream: TextIO | None = None) -> Progress:
    """Return a function for `progress=` that shows how far a call is in one line, `reading: 42 %, 8 s left`.

    In a notebook the line stands below the cell; elsewhere it is written over and over into `stream`, by default
    stderr. Seconds are those that the rest takes at the speed so far. When all is done, it says how long that took.
    """
    show = _shown_in_notebook(what) if stream is None and _has_kernel() else _shown_in(stream)
    start, last = time.monotonic(), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        is_over = done >= total
        if is_over or now - last >= _SECONDS:
            last = now
            show(f"{what}: {_state(done, total, now - start)}", is_over)

    return progress


def _state(done: int, total: int, took: float) -> str:
    if done >= total:
        return f"done in {took:.1f} s"
    left = f", {took * (total - done) / done:.0f} s left" if done > 0 and took > 1 else ""
    return f"{100 * done / total:.0f} %{left}"


def _has_kernel() -> bool:
    """Whether a notebook's kernel runs this; IPython is asked only if somebody else imported it."""
    module = sys.modules.get("IPython")
    return module is not None and hasattr(module.get_ipython(), "kernel")


def _shown_in_notebook(what: str) -> Callable[[str, bool], None]:
    # Its display is made here, since a cell's outputs are known to the cell's own thread, and progress comes from any
    notebook: Any = importlib.import_module("IPython.display")  # whose functions have no types
    handle = notebook.display({"text/plain": f"{what}: .."}, raw=True, display_id=True)

    def show(text: str, is_over: bool) -> None:
        handle.update({"text/plain": text}, raw=True)

    return show


def _shown_in(stream: TextIO | None) -> Callable[[str, bool], None]:
    width = 0

    def show(text: str, is_over: bool) -> None:
        nonlocal width
        out: Any = stream or sys.stderr
        out.write(f"\r{text.ljust(width)}" + "\n" * is_over)
        out.flush()
        width = len(text)

    return show
