"""What one of the `worker_processes` does."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection

import ckpt_inspect.runs.execution  # noqa: F401 - what will be called, while the other process plans


def serve(handle: int) -> None:
    """Make one call after another that the connection brings, and send each answer, until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(handle)
    with suppress(EOFError, OSError):
        while True:
            _answer(connection)
    os._exit(0)  # nothing is left to be put away


def _answer(connection: Connection) -> None:
    """Raises EOFError or OSError if the other end is gone."""
    connection.poll(None)
    answer: tuple[bool, object]
    try:
        function, arguments, named = connection.recv()
        answer = True, function(*arguments, **named)
    except EOFError:
        raise
    except Exception as error:
        answer = False, error
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception as error:  # it can't be sent
        connection.send((False, TypeError(f"{type(error).__name__}: {error}")))
