"""Formats: bytes on disk -> named tensors. One module each, registered here in the order in which they are tried."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ckpt_inspect.checkpoint import Checkpoint, Problem
from ckpt_inspect.errors import RequestError
from ckpt_inspect.formats import bundle, hdf5, keras_archive, saved_model, state_file, tf1_v1
from ckpt_inspect.formats.foreign import is_placeholder, name_foreign
from ckpt_inspect.formats.grouping import Run, find_checkpoints, find_runs
from ckpt_inspect.storage import Location, locate, stat

__all__ = ["FORMATS", "Format", "Run", "find_checkpoints", "find_runs", "open_checkpoint"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way in which checkpoints lie on disk."""

    names: tuple[str, ...]
    """What `Checkpoint.format` of an opened one may be."""
    title: str
    """For a person."""
    recognises: Callable[[Location], bool]
    """Whether it will try; by content wherever there is content."""
    open: Callable[[Path], Checkpoint]
    """Opens a path that it recognises."""


FORMATS: tuple[Format, ...] = (
    Format(("saved-model",), "SavedModel folder", saved_model.recognises, saved_model.open_saved_model),
    Format(("tensor-bundle",), "tensor bundle (.index, .data-*)", bundle.recognises, bundle.open_bundle),
    Format(("keras-h5", "keras-weights-h5"), "Keras HDF5 (.h5, .weights.h5)", hdf5.recognises, hdf5.open_hdf5),
    Format(("keras-archive",), "Keras archive (.keras)", keras_archive.recognises, keras_archive.open_archive),
    Format(("keras-weights-h5",), "Keras sharded weights", hdf5.recognises_shards, hdf5.open_sharded_weights),
    Format(("tf1-v1",), "TF1 V1 file or shards", tf1_v1.recognises, tf1_v1.open_v1),
)
"""In the order in which they are tried; a prefix that is both is opened as V2 rather than V1."""


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint: a prefix, `.index`, `.data-*`, SavedModel folder, V1 file or pattern, `.h5`, `.keras`,
    `.weights.h5`, or a folder, whose newest is taken.

    Raises NotFoundError (nothing there), DamagedFileError or UnsupportedError, each with the path, cause and remedy.
    """
    path = Path(path)
    location = locate(path)
    if is_placeholder(location) and not bundle.recognises(location):
        raise name_foreign(location)
    for known in FORMATS:
        if known.recognises(location):
            return known.open(path)
    if location.kind == "folder":
        return _open_newest(path)
    if location.kind == "file" and path.name == state_file.NAME and state_file.read_state(path).newest:
        return _open_newest(path.parent)
    if glob.has_magic(str(path)):
        raise RequestError(f"{path}: is a pattern, not a checkpoint; find_checkpoints() gives those it stands for")
    raise name_foreign(location)


def _open_newest(folder: Path) -> Checkpoint:
    """The checkpoint that the folder's `checkpoint` file names, else the last in training order."""
    problems: tuple[Problem, ...] = ()
    state = folder / state_file.NAME
    if stat(state).kind == "file" and (newest := state_file.read_state(state).newest):
        prefix, problems = state_file.resolve_state_path(newest, folder)
        location = locate(Path(prefix))
        for known in FORMATS:
            if known.recognises(location):
                checkpoint = known.open(Path(prefix))
                checkpoint.problems = (*problems, *checkpoint.problems)
                return checkpoint
        problems = (
            Problem(
                "state-file-stale", f"{state}: names {newest}, which is not here", "the last one found here was taken"
            ),
        )
    runs = find_runs([folder])
    newest_path = runs[-1].checkpoints[-1]
    if len(runs) > 1:
        text = f"{folder}: holds the checkpoints of {len(runs)} runs: {', '.join(run.name for run in runs)}"
        problems = (
            *problems,
            Problem("several-runs", text, f"the last of the last run was taken, {newest_path}", "info"),
        )
    checkpoint = open_checkpoint(newest_path)
    checkpoint.problems = (*problems, *checkpoint.problems)
    return checkpoint
