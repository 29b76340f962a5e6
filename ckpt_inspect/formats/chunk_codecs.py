"""Chunks that are compressed with zstd (RFC 8878) or gzip (RFC 1952), or aren't: bytes -> bytes of a known length."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from types import ModuleType
from typing import Any

import numpy as np

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats.zarr_metadata import Codec
from ckpt_inspect.storage import Bytes

_PART = 1 << 20
"""Bytes that are decompressed at a time of a large chunk."""
_GZIP = 31
"""Window bits by which zlib knows gzip's header."""


def find_zstandard() -> ModuleType | None:
    """Return the library that decompresses zstd; None if it isn't installed."""
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def decode(codec: Codec, data: Any, target: Bytes) -> None:
    """Fill `target` with what is decompressed of a buffer; ValueError if that is damaged or of another length."""
    with _errors():
        if codec == "gzip":
            decoder = zlib.decompressobj(_GZIP)
            found: Any = np.frombuffer(decoder.decompress(data, len(target) + 1), np.uint8)
            if len(found) == len(target) and (not decoder.eof or decoder.unused_data):
                raise ValueError("doesn't end where its data does")
        elif codec == "zstd":
            with _zstd(data) as reader:
                count = reader.readinto(target)
                if count != len(target) or reader.read(1):
                    raise ValueError(_length(count if count < len(target) else count + 1, len(target)))
                return
        else:
            found = np.frombuffer(data, np.uint8)
        if len(found) != len(target):
            raise ValueError(_length(len(found), len(target)))
        target[...] = found


def decode_parts(codec: Codec, source: BufferedIOBase, size: int) -> Iterator[bytes]:
    """Yield what is decompressed of a stream, of that length, in parts of 1 MiB; raises ValueError as `decode` does."""
    reader: Any = source
    if codec:
        reader = _zstd(source) if codec == "zstd" else gzip.GzipFile(fileobj=source)
    with _errors():
        left = size
        while left:
            part = reader.read(min(left, _PART))
            if not part:
                raise ValueError(_length(size - left, size))
            left -= len(part)
            yield part
        if reader.read(1):
            raise ValueError(_length(size + 1, size))


def _zstd(source: Any) -> Any:
    zstandard = find_zstandard()
    assert zstandard is not None
    return zstandard.ZstdDecompressor().stream_reader(source, read_size=1 << 17)


def _length(found: int, wanted: int) -> str:
    return f"holds {found} bytes{' or more' if found > wanted else ''}, where {wanted} belong"


@contextmanager
def _errors() -> Iterator[None]:
    zstandard = find_zstandard()
    errors: tuple[type[Exception], ...] = (zlib.error, EOFError, OSError)
    if zstandard is not None:
        errors += (zstandard.ZstdError,)
    try:
        yield
    except CkptInspectError:
        raise
    except errors as error:
        raise ValueError(f"can't be decompressed ({error})") from error
