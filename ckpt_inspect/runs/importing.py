"""Imports that are done while a checkpoint is read, so that nobody waits for them afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Thread


@contextmanager
def importing(*modules: str) -> Iterator[None]:
    """Have another thread import modules meanwhile: the loops in C, which do the reading, leave the interpreter to it.

    It has ended when this is left. No process may be forked before: a copy would wait for its locks for ever. Neither
    a module nor what it imports may be a package whose `__init__` imports its own modules, unless it is imported
    already: a thread that imports the package and one that imports a module of it wait for each other, and Python gives
    one of them a `_DeadlockError`.
    """
    thread = Thread(target=_import, args=(modules,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import(modules: tuple[str, ...]) -> None:
    for module in modules:
        with suppress(Exception):  # whoever needs it meets the error
            import_module(module)
