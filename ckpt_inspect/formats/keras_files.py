"""What Keras' two kinds of files share: ambiguous names, and first bytes that show which of the two it is. Pure."""

from __future__ import annotations

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""HDF5 File Format Specification, II.A: the superblock's first 8 bytes, here always at offset 0."""

ZIP_SIGNATURE = b"PK\x03\x04"
"""A zip's first local file header (APPNOTE.TXT, 4.3.7)."""

INDEX_SUFFIX = ".weights.json"
"""Suffix of the file that says which of several `.weights.h5` holds which group."""

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
