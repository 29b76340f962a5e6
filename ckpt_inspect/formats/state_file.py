"""TensorFlow's `checkpoint` file, which names a folder's checkpoints: text -> paths.

tensorflow/python/training/checkpoint_state.proto, as protobuf text: `model_checkpoint_path: "..."` names the newest,
`all_model_checkpoint_paths: "..."` the ones kept, oldest first. Saver writes absolute paths, CheckpointManager relative
ones.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.formats.format import NewestFile
from ckpt_inspect.storage import absolute, is_there, open_file

NAME = "checkpoint"

_MAX_SIZE = 1 << 24
_LONGEST = 1 << 14
"""Characters of a path: systems take 4,096 bytes, each of which may be written with four."""
_LINE = re.compile(
    r'^\s*(model_checkpoint_path|all_model_checkpoint_paths)\s*:\s*"((?:[^"\\]|\\.)*)"\s*$', re.MULTILINE
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


class StateFile(NamedTuple):
    """The decoded contents of a `checkpoint` file."""

    newest: str | None
    """As written: a prefix or V1 pattern, relative to the file's folder or absolute."""
    kept: tuple[str, ...]
    """Oldest first."""


def decode_state(text: str) -> StateFile:
    """Decode the text of a `checkpoint` file; an empty one names no checkpoint."""
    newest, kept = None, []
    for field, value in _LINE.findall(text):
        if len(value) > _LONGEST:
            continue
        path = _unescape(value)
        if field == "model_checkpoint_path":
            newest = path
        else:
            kept.append(path)
    return StateFile(newest, tuple(kept))


def read_state(path: Path) -> StateFile:
    """Read the `checkpoint` file at `path`; DamagedFileError if it is too large for one."""
    with open_file(path) as file:
        if file.size > _MAX_SIZE:
            raise DamagedFileError(f"{path}: is too large for a file that names checkpoints")
        return decode_state(file.read(0, file.size).decode("utf-8", "replace"))


def resolve_state_path(name: str, folder: Path) -> tuple[Path, tuple[Problem, ...]]:
    """Return the prefix that `name` stands for, seen from the state file's folder, and what was odd about it.

    For an absolute path, its last component is first looked for beside the state file: checkpoints are moved and copied
    as folders, and a file that is still at the old place may belong to another training. Only if nothing of that name
    is beside it, the file may lead elsewhere, as TensorFlow itself would follow it.
    """
    # written on another machine, so perhaps on another system
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    is_address = "://" in name  # of a run in a bucket, whose folder may since have been copied here
    if not windows.drive and not posix.is_absolute() and not is_address:
        return folder / name, ()
    beside = folder / (windows.name if windows.drive else posix.name)
    if str(name).rpartition("/")[0] in (str(folder), absolute(folder)):
        return beside, ()
    # whoever wrote a file in a bucket may not name files of this machine
    may_lead_on = not is_address and type(folder) is type(Path())
    if may_lead_on and not _has_files(beside) and _has_files(Path(name)):
        return Path(name), (
            Problem(
                "state-file-elsewhere",
                f"{folder / NAME}: names {name}, which is not in this folder",
                "it is used, because nothing of its name is in this folder",
                "info",
            ),
        )
    return beside, (
        Problem(
            "state-file-absolute-paths",
            f"{folder / NAME}: names {name}, which is not in this folder",
            f"{beside} is used instead",
            "info",
        ),
    )


def _has_files(prefix: Path) -> bool:
    """Return whether a checkpoint's files are at a prefix: its index, or a V1 file of that name."""
    return is_there(prefix.with_name(f"{prefix.name}.index")) or is_there(prefix)


def _unescape(value: str) -> str:
    def replacement(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8) & 0xFF]) if code.isdigit() else _ESCAPES.get(code, code)

    return _ESCAPE.sub(replacement, value.encode()).decode("utf-8", "replace")


NEWEST_FILE = NewestFile(NAME, lambda path: read_state(path).newest, resolve_state_path)
