"""A path -> its checkpoint, open: whichever format recognises it."""

from __future__ import annotations

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.errors import RequestError
from ckpt_inspect.formats.foreign import name_foreign
from ckpt_inspect.formats.registry import FORMATS
from ckpt_inspect.storage import Location, PathLike, as_path, is_pattern, locate


def open_checkpoint(path: PathLike) -> Checkpoint:
    """Open one checkpoint: a prefix, `.index`, `.data-*`, SavedModel folder, V1 file or pattern, `.h5`, `.keras`,
    `.weights.h5`.

    Raises NotFoundError (nothing there), DamagedFileError or UnsupportedError, each with the path, the cause and what
    to do; RequestError for a pattern.
    """
    place = as_path(path)
    location = locate(place)
    for known in FORMATS:
        if known.recognises(location):
            return known.open(place)
    if location.kind == "absent" and is_pattern(place):
        raise RequestError(f"{place}: is a pattern, not a checkpoint; find_checkpoints() lists what it matches")
    raise name_foreign(location)


def is_recognised(location: Location) -> bool:
    """Return whether a format would try to open what is there."""
    return any(known.recognises(location) for known in FORMATS)
