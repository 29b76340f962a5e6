"""Small whole files, of which those that a store's tags prove to be the same are fetched once."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from ckpt_inspect.storage.interface import OpenFile


def read_contents(files: Sequence[OpenFile]) -> list[bytes]:
    """Return all bytes of each file; far away they are fetched together, and equal ones once.

    S3 and Google tag an object with the MD5 of its contents (but not each object, and not every store does): where the
    tag of a file that was read is its MD5, a file of the same tag and size holds the same. Raises as `OpenFile.read`
    does.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for i, file in enumerate(files):
        groups.setdefault((file.stat.version or f"file {i}", file.size), []).append(i)
    firsts = [group[0] for group in groups.values()]
    found = dict(zip(firsts, _read([files[i] for i in firsts]), strict=True))
    first_of = {i: group[0] for group in groups.values() for i in group}
    rest = [i for i, first in first_of.items() if i != first and not _is_md5(files[i].stat.version, found[first])]
    found |= zip(rest, _read([files[i] for i in rest]), strict=True)
    return [found[i] if i in found else found[first_of[i]] for i in range(len(files))]


def _read(files: Sequence[OpenFile]) -> list[bytes]:
    if files:
        files[0].expect([(file, 0, file.size) for file in files])
    return [file.read(0, file.size) for file in files]


def _is_md5(version: str, contents: bytes) -> bool:
    import hashlib  # and with it OpenSSL: few files are asked of another machine

    digest = hashlib.md5(contents, usedforsecurity=False)
    return version in (digest.hexdigest(), base64.b64encode(digest.digest()).decode())
