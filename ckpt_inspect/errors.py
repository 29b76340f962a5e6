"""Errors, by who must act. Every message names the file, the place, the cause and the next step."""

from __future__ import annotations


class CkptInspectError(Exception):
    """Root of every error that this package raises on purpose; `str()` is one sentence fit for a person."""


class DamagedFileError(CkptInspectError, ValueError):
    """The file is of a known format, but its bytes don't follow the format: restore it or copy it again."""


class TruncatedFileError(DamagedFileError):
    """The file ends before it should: it was not copied to its end, or is still being written."""


class ChangedFileError(DamagedFileError):
    """The file was replaced or written to while it was read: read it again when its writer is done."""


class UnsupportedError(CkptInspectError, ValueError):
    """This package doesn't read the file: it is not a checkpoint, or a sound one of an unsupported kind."""


class NotFoundError(CkptInspectError, LookupError):
    """The caller asked for something that isn't there: a path, a tensor, an optimizer."""


class NoStateError(NotFoundError):
    """A sound checkpoint holds no optimizer state that can be analysed: weights alone, or no update yet."""


class RequestError(CkptInspectError, ValueError):
    """The caller's request contradicts itself or the data: an unknown hyperparameter, a bad pattern."""


class SeveralRunsError(RequestError):
    """One store was named for the checkpoints of several runs."""


class StoreError(CkptInspectError, OSError):
    """A store can't be read or written."""


class WorkerLostError(CkptInspectError, RuntimeError):
    """Whoever did a part of the work elsewhere ended in the middle of it, each time that it was begun."""


class NotDetermined(CkptInspectError):  # noqa: N818 - not a failure: the answer is that the state doesn't say
    """The optimizer's state does not determine the quantity; the message is the reason."""
