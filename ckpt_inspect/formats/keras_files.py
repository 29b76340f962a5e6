"""What Keras' two kinds of files share: ambiguous names, and first bytes that show which of the two it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""HDF5 File Format Specification, II.A: the superblock's first 8 bytes, here always at offset 0."""

ZIP_SIGNATURE = b"PK\x03\x04"
"""A zip's first local file header (APPNOTE.TXT, 4.3.7)."""

INDEX_SUFFIX = ".weights.json"
"""Suffix of the file that says which of several `.weights.h5` holds which group."""

SHARD_NAME = re.compile(r"(?P<stem>.+)_(?P<number>\d{5})\.weights\.h5")
MOST_INDEX = 1 << 26
"""Bytes of that file that are read."""

ONE_SHARD = "one-shard"
"""Code of the Problem of a shard that stands for itself."""

CONFIG_FILE, METADATA_FILE, WEIGHTS_FILE = FOLDER_FILES = ("config.json", "metadata.json", "model.weights.h5")
"""What an archive holds, or the folder of an unzipped one."""

_SUFFIXES = (".weights.h5", INDEX_SUFFIX, ".h5", ".hdf5", ".keras")


def split_name(name: str) -> tuple[str, str]:
    """Return a name's stem and its Keras suffix, which may be empty."""
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
    return name.removesuffix(suffix), suffix


def is_named_so(name: str) -> bool:
    """Return whether a file is named like one of Keras' that holds tensors.

    Archives and HDF5 files may carry each other's suffixes.
    """
    return name.endswith((".h5", ".hdf5", ".keras"))


_CHECKPOINTS = (".keras", ".h5", ".hdf5", ".index", "saved_model.pb")
"""How names of files end that are a checkpoint, or one's first file."""


def describe_zip(members: Collection[str]) -> str:
    """Say what a zip archive is that is none of Keras', by the names of its members; nothing in it is opened."""
    # torch.save writes `<name>/data.pkl` beside `<name>/data/0`, ..; TorchScript adds `code/` and `constants.pkl`
    if any(name.rpartition("/")[2] == "data.pkl" for name in members):
        return (
            "is a PyTorch file (a zip archive with a pickle), not a TensorFlow or Keras checkpoint; "
            "nothing in it was opened"
        )
    if members and all(name.endswith(".npy") for name in members):
        return "is a NumPy .npz archive, not a checkpoint"
    config = next((name for name in members if name.endswith("/config.json")), "")
    folder = config.rpartition("/")[0]
    if f"{folder}/model.weights.h5" in members:
        named = folder or "/"
        return f"is a zip archive whose folder {named} holds what Keras archives hold: unpack it, and give that folder"
    inside = next((name for name in members if name.endswith(_CHECKPOINTS)), "")
    if inside and "model.weights.h5" not in members:
        return f"is a zip archive that holds {inside}: unpack it, and give what is in it"
    return "is a zip archive, but not of Keras: it has no config.json"
