"""Errors for paths that hold no checkpoint: each says in one sentence what is there instead."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from ckpt_inspect.errors import (
    CkptInspectError,
    DamagedFileError,
    NotFoundError,
    TruncatedFileError,
    UnsupportedError,
)
from ckpt_inspect.formats.keras_files import HDF5_SIGNATURE, ZIP_SIGNATURE, describe_zip, is_named_so
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.storage import Location, hides_folders, is_folder, link_target, list_folder, open_file

_POINTERS = (b"version https://git-lfs.github.com/spec/", b"/annex/objects/")
_PARTS = re.compile(r"\.(?:index|meta|data-[0-9]{5}-of-[0-9]{5})$")
_ALIKE = 0.8  # of the letters, as difflib counts them
_MOST_COMPARED = 1000
_PACKED = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "7-Zip": b"7z\xbc\xaf\x27\x1c",
    "RAR": b"Rar!\x1a\x07",
}
"""How files begin that hold others, packed."""
_TAR_MAGIC_AT = 257
_FIRST_FIELD = b"\n"
"""The tag of a message as field 1, with which graphs and graphs' files begin."""
_OTHERS = {
    "a NumPy .npy file": b"\x93NUMPY",
    "a GGUF file": b"GGUF",
    "an HDF4 file, which no release of Keras wrote": b"\x0e\x03\x13\x01",
    "a MATLAB file": b"MATLAB ",
    "a PNG picture": b"\x89PNG\r\n",
    "a JPEG picture": b"\xff\xd8\xff",
    "a PDF document": b"%PDF-",
    "an SQLite database": b"SQLite format 3\0",
    "a program": b"\x7fELF",
}
_PAGES = re.compile(rb"\s*(?:<!doctype html|<html|(?P<xml><\?xml))", re.IGNORECASE)
_PICKLE_STARTS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def name_foreign(location: Location) -> CkptInspectError:
    """Return the error for a location that no format recognises."""
    path = location.path
    if location.kind == "absent":
        if (target := link_target(path)) is not None:
            return NotFoundError(f"{path}: is a symbolic link to {target}, which is not there")
        if not is_folder(path.parent):
            unseen = ", or the web server doesn't list it: name the checkpoints themselves"
            hint = unseen if hides_folders(path) else ""
            return NotFoundError(f"{path}: there is no such path; {path.parent} is not a folder either{hint}")
        meant = _similar_name(path)
        question = f"; did you mean {meant}?" if meant else ""
        return NotFoundError(f"{path}: there is no such file or folder, and no checkpoint of that prefix{question}")
    if location.kind == "folder":
        return NotFoundError(f"{path}: no checkpoint is in this folder or below it")
    if is_placeholder(location):
        return _name_placeholder(location)
    return UnsupportedError(f"{path}: {_describe(location)}")


def _similar_name(path: Path) -> str | None:
    """Return the name in the folder that was probably meant: the last that begins so, or one that is spelled like it;
    of a checkpoint in several files its prefix."""
    try:
        names = {_PARTS.sub("", entry.name) for entry in list_folder(path.parent)}
    except (CkptInspectError, OSError):
        return None
    longer = [name for name in names if name.startswith(path.name)]
    if longer:
        return max(longer, key=natural_key)
    if len(names) > _MOST_COMPARED:
        return None
    from difflib import get_close_matches

    return next(iter(get_close_matches(path.name, names, 1, _ALIKE)), None)


def is_placeholder(location: Location) -> bool:
    """Return whether the file stands in for another one, or is empty."""
    return location.kind == "file" and (not location.head.strip(b"\0") or location.head.startswith(_POINTERS))


def _name_placeholder(location: Location) -> CkptInspectError:
    path, head = location.path, location.head
    if not location.size:
        return TruncatedFileError(f"{path}: is empty (0 bytes): it was not written or not copied; restore it")
    if not head.strip(b"\0"):
        if block := _user_block(location):
            return UnsupportedError(
                f"{path}: is an HDF5 file behind a user block of {block} bytes, which Keras doesn't write; take that "
                "off with HDF5's h5unjam"
            )
        return TruncatedFileError(f"{path}: starts with zero bytes only: it was not written or not copied whole")
    tool = "Git LFS" if head.startswith(_POINTERS[0]) else "git-annex"
    command = "git lfs pull" if tool == "Git LFS" else "git annex get"
    return DamagedFileError(f"{path}: is a {tool} pointer, not the file it stands for; run `{command}` to fetch that")


_MOST_USER_BLOCK = 1 << 20


def _user_block(location: Location) -> int:
    """Return how many bytes stand before an HDF5 file's own: 512, or twice that, ..; 0 if it is none.

    HDF5 File Format Specification 3.0, II.A.
    """
    with open_file(location.path) as file:
        at = 512
        while at + len(HDF5_SIGNATURE) <= min(file.size, _MOST_USER_BLOCK):
            if file.read(at, len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                return at
            at *= 2
    return 0


def _describe(location: Location) -> str:
    name, head = location.path.name.lower(), location.head
    if head.startswith(ZIP_SIGNATURE):
        return _describe_zip(location)
    if packer := next((packer for packer, start in _PACKED.items() if head.startswith(start)), None):
        return f"is packed with {packer}: unpack it first"
    if head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        return "is a tar archive: unpack it, and give what is in it"
    if other := next((what for what, start in _OTHERS.items() if head.startswith(start)), None):
        return f"is {other}, not a checkpoint"
    if text := _PAGES.match(head):
        what = "an XML text" if text["xml"] else "a web page"
        return f"is {what}, as a server sends it in place of a file that it doesn't give: download the file again"
    if head.startswith(_PICKLE_STARTS):
        if name.endswith((".pt", ".pth", ".bin", ".ckpt")):
            return "is a PyTorch file (a pickle), not a TensorFlow or Keras checkpoint"
        return "is a Python pickle, which is not opened because that would run its code; save with TensorFlow or Keras"
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < location.size:
        return "is a safetensors file, which holds weights and no optimizer of TensorFlow or Keras"
    if name.endswith(".onnx"):
        return "is an ONNX model, not a TensorFlow or Keras checkpoint"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model, which has no optimizer"
    if name.endswith(".pb") and head[:1] == _FIRST_FIELD:
        return "is a frozen TensorFlow graph, not a checkpoint: its variables are constants, and no optimizer is in it"
    if name.endswith(".meta") and head[:1] == _FIRST_FIELD:
        return (
            "is a TensorFlow graph whose checkpoint is not beside it; copy its .index and .data files (or V1 file) too"
        )
    if ".tfevents." in name:
        return "is a TensorBoard event file, not a checkpoint"
    if head.startswith((b"{", b"[")):
        return "is a JSON file, not a checkpoint"
    if is_named_so(name):
        return "is named like a Keras file, but starts neither like an HDF5 file nor like a zip archive"
    return "is not a checkpoint of TensorFlow or Keras that this package knows"


def _describe_zip(location: Location) -> str:
    import zipfile  # and three libraries with it, for what is rarely met

    with open_file(location.path) as file:
        try:
            with zipfile.ZipFile(file.stream()) as archive:
                return describe_zip(archive.namelist())
        except (CkptInspectError, zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError):
            # its list of members stands at the end, and its first file's name at the start
            return describe_zip(["data.pkl"] if b"/data.pkl" in location.head else [])
