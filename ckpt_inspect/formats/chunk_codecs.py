"""Chunks that are compressed with zstd (RFC 8878) or gzip (RFC 1952), or aren't: bytes -> bytes of a known length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.formats import deflate
from ckpt_inspect.formats.zarr_metadata import Codec
from ckpt_inspect.storage import Bytes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PART = 1 << 20
"""Bytes that are decompressed at a time of a large chunk."""
_READ = 1 << 17
"""Bytes that a decompressor takes at a time."""
_GZIP = 31
"""Window bits by which zlib knows gzip's header."""


def find_zstandard() -> ModuleType | None:
    """Return the library that decompresses zstd; None if it isn't installed."""
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def decode(codec: Codec, pieces: Iterator[Bytes], target: Bytes) -> None:
    """Fill `target` with what is decompressed of bytes that come in pieces; ValueError if that is damaged or of another
    length."""
    with _errors():
        reader, count = _reader(codec, pieces), 0
        while count < len(target) and (some := reader.readinto(target[count:])):
            count += some
        _check_end(reader, count, len(target))


def decode_parts(codec: Codec, pieces: Iterator[Bytes], size: int) -> Iterator[bytes]:
    """Yield what is decompressed of bytes that come in pieces, of that length, in parts of 1 MiB; raises ValueError as
    `decode` does."""
    with _errors():
        reader, count = _reader(codec, pieces), 0
        while count < size and (part := reader.read(min(size - count, _PART))):
            count += len(part)
            yield part
        _check_end(reader, count, size)


def _reader(codec: Codec, pieces: Iterator[Bytes]) -> Any:
    """Return a Python file of what is decompressed."""
    source = _Pieces(pieces)
    if codec == "zstd":
        zstandard = find_zstandard()
        assert zstandard is not None
        # across frames, so that what lies behind the first is damage
        return zstandard.ZstdDecompressor().stream_reader(source, read_size=_READ, read_across_frames=True)
    return BufferedReader(_Gunzipped(source) if codec == "gzip" else source, _READ)


class _Pieces(RawIOBase):
    """Pieces of bytes as a Python file."""

    def __init__(self, pieces: Iterator[Bytes]) -> None:
        super().__init__()
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> Any:
        """Return the next bytes where they are in memory, valid until the next call; none at the end."""
        if not self._left:
            piece = next(self._pieces, None)
            self._left = memoryview(b"") if piece is None else piece.data
        size = len(self._left) if size < 0 else size
        found, self._left = self._left[:size], self._left[size:]
        return found

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the start of a buffer; return the number of bytes, 0 at the end."""
        target = memoryview(buffer)
        found = self.read(len(target))
        target[: len(found)] = found
        return len(found)


class _Gunzipped(RawIOBase):
    """What one member of gzip holds, with nothing behind it."""

    def __init__(self, source: _Pieces) -> None:
        super().__init__()
        self._source, self._left = source, b""
        self._decoder = deflate.decompressobj(_GZIP)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the start of a buffer; return the number of bytes, 0 at the end."""
        target = memoryview(buffer)
        found = b""
        while not found and not self._decoder.eof:
            some = self._left or self._source.read(_READ)
            if not some:
                raise EOFError("it ends too early")
            found = self._decoder.decompress(some, len(target))
            self._left = self._decoder.unconsumed_tail
        if not found and (self._decoder.unused_data or self._source.read(1)):
            raise EOFError("it doesn't end where its data does")
        target[: len(found)] = found
        return len(found)


def _check_end(reader: Any, count: int, size: int) -> None:
    """Raise ValueError if fewer bytes came than belong, or there are more."""
    if count != size or reader.read(1):
        raise ValueError(_length(count if count < size else count + 1, size))


def _length(found: int, wanted: int) -> str:
    return f"holds {found} bytes{' or more' if found > wanted else ''}, where {wanted} belong"


@contextmanager
def _errors() -> Iterator[None]:
    zstandard = find_zstandard()
    errors: tuple[type[Exception], ...] = (deflate.error, EOFError, OSError)
    if zstandard is not None:
        errors += (zstandard.ZstdError,)
    try:
        yield
    except CkptInspectError:
        raise
    except errors as error:
        raise ValueError(f"can't be decompressed ({error})") from error
