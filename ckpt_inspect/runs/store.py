"""Stores as files: their names, and how they are opened, read, written and added to.

h5py alone writes and reads them; xarray and every netCDF-4 reader finds labelled dimensions (dimension scales). A store
is written beside its place and moved there when it is whole: whoever reads sees the old one or the new one. What is in
it is `store_writing`'s and `store_reading`'s.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect.errors import CkptInspectError, StoreError
from ckpt_inspect.formats import is_recognised
from ckpt_inspect.measurement.columns import Column, Rows, RunColumns
from ckpt_inspect.measurement.variables import CHECKPOINT, FILE_STAMPS, FINDINGS, group_names
from ckpt_inspect.records import dataclass
from ckpt_inspect.runs.apart import DiedReading, apart, expect
from ckpt_inspect.runs.atomic import Temporary, remove_left, replacing
from ckpt_inspect.runs.bin_room import Spans, have_room
from ckpt_inspect.runs.netcdf import Dimensions
from ckpt_inspect.runs.planning import LONG
from ckpt_inspect.runs.sheltered import ShelteredFile, SignalShelter
from ckpt_inspect.runs.store_reading import read, read_memory
from ckpt_inspect.runs.store_seen import SEEN, SEEN_FILES, Seen, seen_of
from ckpt_inspect.runs.store_writing import CONVENTIONS, write
from ckpt_inspect.runs.stored import is_own, own_dataset, own_group, read_values, text_attribute
from ckpt_inspect.runs.stored_runs import LENGTH, Pick, PinnedFile, StoredRun, picked
from ckpt_inspect.series.search import find_checkpoints
from ckpt_inspect.storage import absolute, as_path, locate

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

    from ckpt_inspect.runs.elements import ElementsFile
    from ckpt_inspect.series.run import Run

SUFFIX = ".ckpt-inspect.h5"
"""How a store's name ends."""

_OF_KERAS = ("layer_names", "model_weights", "layers", "_layer_checkpoint_dependencies", "keras_version", "vars")
"""Groups or attributes of the root that Keras' own HDF5 files have: one of them."""

_SECONDS = 6.0

_SLOWEST = 2e6
"""How long the reading of a store may take, beside its bytes at so many a second."""

_ROOM = 1 << 28
"""Bytes of memory that reading may take beside what the store says that it holds."""

LARGE = 1 << 22
"""Bytes of a long run's store whose columns are read when they are asked for."""

_SHORT_RUN = 4
"""How many times as large a store must be for that if its run isn't long: one reading of all takes less than the dozen
that a second analysis asks for."""


def default_store(folder: str | os.PathLike[str]) -> Path:
    """Return where the store of a folder's run goes: `<folder>.ckpt-inspect.h5` in the current directory."""
    name = Path(absolute(folder)).name
    return Path(f"{name or 'root'}{SUFFIX}")


def store_for(run: Run, place: Path) -> Path:
    """Return the store in `place` that is the run's own: `<run>.ckpt-inspect.h5`.

    If that holds the run of another folder, for folders are often called alike, the names of the folders above come in
    front, as many as are needed.
    """
    found = default = place / default_store(run.name)
    folders = {str(as_path(absolute(path)).parent) for path in run.checkpoints}
    above = [part for part in as_path(absolute(run.folder)).parent.parts if part.strip("/")]
    for count in range(1, len(above) + 1):
        if not _is_of_others(found, folders):
            return found
        found = place / default_store("-".join((*above[-count:], run.name)))
    return default


def _is_of_others(store: Path, folders: Collection[str]) -> bool:
    """Return whether there is a store of checkpoints in other folders alone."""
    if not store.is_file():
        return False
    try:
        held = _apart(store, lambda: _load(store, lambda file: read(file, pick={None: ("path",)})))
    except StoreError:
        return False  # whoever writes there says what is wrong with it
    before = {str(as_path(absolute(path)).parent) for path in held.checkpoints["path"]}
    return bool(before) and before.isdisjoint(folders)


def check_writable(path: Path) -> None:
    """Raise StoreError, before any work is done, if a store can't be written there."""
    folder = path.parent
    if path.is_dir():
        raise StoreError(f"{path}: is a folder; give the store another name")
    if not folder.is_dir():
        raise StoreError(f"{path}: there is no folder {folder}; make it, or write the store elsewhere")
    remove_left(path)
    try:
        Temporary(path).close()
    except OSError as error:
        raise StoreError(f"{path}: can't be written ({error.strerror}); write the store elsewhere") from error


def save(
    analyses: RunColumns, path: str | os.PathLike[str], elements: ElementsFile | None = None, *, is_final: bool = True
) -> None:
    """Write a store, replacing one of that name in one step. Raises StoreError if that can't be done.

    `elements` holds whole arrays of checkpoints that are new; those of others are taken over from the store before.
    If `is_final`, its file becomes the store, and can take no more.
    """
    path = Path(path)
    check_writable(path)
    taken_over = elements if is_final else None
    with replacing(path, None if taken_over is None else taken_over.temporary) as temporary:
        try:
            with new_file(temporary) if taken_over is None else taken_over.released() as file:
                dimensions = write(analyses, file)
                if elements is not None:
                    fresh = file if taken_over is not None else elements.file
                    _write_elements(analyses, file, path, fresh, dimensions)
        except OSError as error:
            raise StoreError(
                f"{path}: can't be written ({error.strerror or error}); write the store elsewhere"
            ) from error
        except (ValueError, KeyError, RuntimeError) as error:
            if elements is None:
                raise
            raise StoreError(
                f"{path}: its arrays of elements are damaged ({_short(error)}); remove it and analyse again"
            ) from error


@contextlib.contextmanager
def new_file(path: Path, *, is_growing: bool = False) -> Iterator[h5py.File]:
    """Give an empty HDF5 file, to be written; raises OSError at the end if the disk wouldn't take it.

    One that `is_growing` remembers the room in it that is free, so that what is appended later takes that.
    """
    kept = {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1} if is_growing else {}
    with _written(ShelteredFile(path), "w", track_order=True, **kept) as file:
        yield file


@contextlib.contextmanager
def grown_file(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file, to be changed; raises OSError at the end if the disk wouldn't take it."""
    with _written(ShelteredFile(path, is_new=False), "r+") as file:
        yield file


@contextlib.contextmanager
def _written(content: ShelteredFile, mode: str, **how: object) -> Iterator[h5py.File]:
    import h5py

    shelter = SignalShelter()
    try:
        with h5py.File(content, mode, libver=("earliest", "v110"), **how) as file:
            yield file
    finally:
        content.close()
        shelter.close()
    content.check()


def _write_elements(
    analyses: RunColumns, file: h5py.File, path: Path, fresh: h5py.File, dimensions: Dimensions
) -> None:
    from ckpt_inspect.runs.elements import place_elements

    groups = group_names(analyses.optimizers)
    columns = analyses.checkpoints
    names = dict(zip(columns["fingerprint"], columns["checkpoint"], strict=True))
    if path.exists():
        _check_elements(path, list(groups.values()))
    with opened(path) if path.exists() else contextlib.nullcontext() as previous:
        place_elements(file, groups, names, fresh, previous, dimensions)


def _check_elements(path: Path, group_names: list[str]) -> None:
    """See in a copy of this process that the arrays of a store can be copied; raises StoreError, ValueError."""
    from ckpt_inspect.runs.elements import check_arrays

    def check() -> list[bytes]:
        with opened(path) as store:
            try:
                check_arrays(store, group_names)
            except Exception as error:  # libhdf5's own can be of any kind
                raise StoreError(
                    f"{path}: its arrays of elements are damaged ({_short(error)}); remove it and analyse again"
                ) from error
        return []

    try:
        apart(check, _SECONDS + path.stat().st_size / _SLOWEST, _ROOM)
    except DiedReading as error:
        raise ValueError(str(error)) from error


def identity(path: Path) -> tuple[int, ...] | None:
    """Return what another file in the place of a store doesn't share; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def load_seen(path: Path) -> Seen | None:
    """Return what was seen of a run's files when its store was written; None if there is no such store, or nothing."""
    return seen_of(_load_text(path, lambda file: text_attribute(file, SEEN) or "") if path.is_file() else "")


@dataclass(frozen=True, slots=True)
class Known:
    """What of a large store is needed by whoever appends to it, or finds nothing new."""

    run: StoredRun
    """With its end, what it remembers of the whole run, and the stamps of the checkpoints' files."""
    seen: Seen | None
    """What was seen of the run's files when the store was written."""
    files: bytes
    """What `write_seen` kept of the files in the run's folder; empty if there is nothing."""


def load_known(path: Path, first_of_end: Callable[[int], int], digest: str = "") -> Known | None:
    """Return what a large store holds, all of it read at once; None if there is no such store, or it is damaged, which
    whoever loads it says. `first_of_end`: the first row of the end of a run of so many checkpoints; where nothing has
    come since the survey of this `digest`, the newest is enough, without stamps and files."""
    try:
        pinned = _pinned(path)
        size = pinned.path.stat().st_size
    except (StoreError, OSError):
        return None
    if size <= LARGE:
        return None

    def found() -> list[bytes | memoryview]:
        with opened(path, pinned.path) as file:
            outline = _outline(file)
            count = len(outline.checkpoints[LENGTH])
            seen = text_attribute(file, SEEN) or ""
            was_seen = seen_of(seen)
            is_same = bool(digest) and was_seen is not None and was_seen.digest == digest
            end = read(file, slice(count - 1 if is_same else max(first_of_end(count), 0), count), picked(outline))
            stamps = b""
            if is_own(file, FILE_STAMPS.name) and not is_same:
                stamps = read_values(file, FILE_STAMPS.name, "integer", (count,)).tobytes()
            texts = (text.encode("utf-8", "surrogatepass") for text in (seen, read_memory(own_group(file, FINDINGS))))
            files = b"" if is_same else _files_in(file)
            return framed([b"".join(carried(outline)), b"".join(carried(end)), *texts, stamps, files])

    _import_for_copies()
    from ckpt_inspect.runs.carried import arrived, carried, framed, unframed

    try:
        answer = apart(found, _SECONDS + size / _SLOWEST, _ROOM + 4 * size)
        outline, end, seen, memory, stamps, files = unframed(answer)
        run = stored(path, arrived(outline), pinned=pinned)
        run.tail = run.with_lasting(arrived(end))
        run.known_memory = memory.decode("utf-8", "surrogatepass")
        run.known_stamps = np.frombuffer(stamps, np.int64) if stamps else None
        return Known(run, seen_of(seen.decode("utf-8", "surrogatepass")), base64.b64decode(files))
    except (StoreError, DiedReading, ValueError):
        return None


def _files_in(file: h5py.File) -> bytes:
    if not is_own(file, SEEN_FILES):
        return b""
    dataset = own_dataset(file, SEEN_FILES)
    if dataset.shape != () or dataset.dtype.kind != "S":
        raise ValueError(f"{SEEN_FILES} is not one text")
    expect(3 * dataset.dtype.itemsize)
    return bytes(dataset[()])


def _load_text(path: Path, find: Callable[[h5py.File], str], at: Path | None = None) -> str:
    """Return a text that is found in a store; empty if there is no such store, or it is damaged, which whoever loads it
    says."""

    def found() -> list[bytes | memoryview]:
        with opened(path, at) as file:
            return [find(file).encode("utf-8", "surrogatepass")]

    try:
        return apart(found, _SECONDS, _ROOM).decode("utf-8", "surrogatepass")
    except (StoreError, DiedReading, ValueError):
        return ""


def load_stamps(path: Path) -> Column | None:
    """Return (C,) what `write_seen` kept of the checkpoints' files; None if there is nothing."""

    def found() -> list[bytes | memoryview]:
        with opened(path) as file:
            if not is_own(file, FILE_STAMPS.name):
                return []
            count = len(own_dataset(file, CHECKPOINT))
            return [read_values(file, FILE_STAMPS.name, "integer", (count,)).tobytes()]

    try:
        return np.frombuffer(apart(found, _SECONDS, _ROOM), np.int64)
    except (StoreError, DiedReading):
        return None


def is_growing(path: Path, bins: Mapping[str, Spans]) -> bool:
    """Return whether rows can be appended to the store: it was made for it, and has these bins of each optimizer."""
    import h5py

    groups = group_names(bins)
    try:
        with h5py.File(path, "r") as file:
            if not file.id.get_create_plist().get_file_space_strategy()[1]:
                return False
            return all(groups[name] in file and have_room(file[groups[name]], own) for name, own in bins.items())
    except (OSError, RuntimeError):
        return False


def load(path: str | os.PathLike[str]) -> RunColumns:
    """Return what `analyze` returned when the store was written; raises StoreError with one sentence if there is
    none.

    What a store of an earlier version lacks is NaN, -1, 0 (counts) or empty. A store that can't be is refused.
    """
    import h5py  # noqa: F401 - here, or every copy would import it anew

    path = as_path(path)
    if not path.is_file():
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path}: is not a store: no file of bytes; give another name")
        return _load(path)  # which says what is there instead
    if path.stat().st_size > LARGE:
        return load_large(path)
    return _apart(path, lambda: _load(path))


def _import_for_copies() -> None:
    """Import all that a copy of this process needs: otherwise every copy would import it anew."""
    import h5py  # noqa: F401

    from ckpt_inspect import findings  # noqa: F401
    from ckpt_inspect.runs.assembly import blank  # noqa: F401


def _apart(path: Path, load: Callable[[], RunColumns], at: Path | None = None) -> RunColumns:
    _import_for_copies()
    from ckpt_inspect.runs.carried import arrived, carried

    size = (at or path).stat().st_size
    try:
        return arrived(apart(lambda: carried(load()), _SECONDS + size / _SLOWEST, _ROOM + 4 * size))
    except DiedReading as error:
        raise StoreError(f"{path}: the store is damaged ({error}); remove it and analyse again") from error


def is_very_large(path: Path) -> bool:
    """Return whether a store is there that is larger than those of which all is read if they are of a short run."""
    try:
        return path.stat().st_size > _SHORT_RUN * LARGE
    except OSError:
        return False


def load_large(path: Path) -> RunColumns:
    """Return what a store holds, unless that is little each column read when it is asked for; then little is read yet,
    but all of it looked at: types, lengths, names."""

    def outline(file: h5py.File) -> RunColumns:
        (count,) = own_dataset(file, CHECKPOINT).shape
        return read(file) if is_middling and count <= LONG else _outline(file)

    pinned = _pinned(path)
    is_middling = not is_very_large(path)
    found = _apart(path, lambda: _load(path, outline, pinned.path), pinned.path)
    return found if len(found) else stored(path, found, pinned=pinned).columns()


def _outline(file: h5py.File) -> RunColumns:
    """What `StoredRun` takes for its outline."""
    (count,) = own_dataset(file, CHECKPOINT).shape
    found = read(file, slice(0, 0))
    return replace(found, checkpoints={**found.checkpoints, LENGTH: read_values(file, LENGTH, "integer", (count,))})


def stored(path: Path, outline: RunColumns, *, is_ours: bool = False, pinned: PinnedFile | None = None) -> StoredRun:
    """Return a store of which the outline is known. One that `is_ours`, since it was written just now, is read by this
    process itself."""
    file = pinned or _pinned(path)
    how = (lambda path, load, at: load()) if is_ours else _apart

    def some(pick: Pick, rows: Rows) -> RunColumns:
        return how(path, lambda: _load(path, lambda opened: read(opened, rows, pick), file.path), file.path)

    def memory() -> str:
        return _load_text(path, lambda opened: read_memory(own_group(opened, FINDINGS)), file.path)

    return StoredRun(outline, some, memory, is_ours=is_ours)


def _pinned(path: Path) -> PinnedFile:
    try:
        return PinnedFile(path)
    except OSError as error:
        raise StoreError(f"{path}: can't be read ({error.strerror})") from error


def _load(path: Path, find: Callable[[h5py.File], RunColumns] | None = None, at: Path | None = None) -> RunColumns:
    """Return what `find` finds in the store, by default everything; `at` is another name of the file."""
    with opened(path, at) as file:
        try:
            return (find or read)(file)
        except StoreError:
            raise
        except Exception as error:  # libhdf5's own can be of any kind
            reason = f"the store is damaged ({_short(error)})"
            if isinstance(error, KeyError) and (writer := _writer(file)) is not None:
                reason = f"the store lacks what this version needs: ckpt-inspect {writer} wrote it, or it is damaged"
            raise StoreError(f"{path}: {reason}; remove it and analyse again") from error


def _writer(file: h5py.File) -> str | None:
    try:
        return text_attribute(file, "ckpt_inspect_version")
    except Exception:  # so damaged that not even that can be told
        return None


def _short(error: Exception) -> str:
    return str(error).replace("\n", " ")[:200] or type(error).__name__


@contextlib.contextmanager
def opened(path: Path, at: Path | None = None) -> Iterator[h5py.File]:
    """Return an open h5py file that is a store of this schema; `at` is another name of it."""
    import h5py

    stack = contextlib.ExitStack()
    if at is None and not path.exists() and not _is_checkpoint(path):
        raise StoreError(f"{path}: there is no such store; `ckpt-inspect analyze` makes one")
    if at is None and path.is_dir():
        told = "a folder of checkpoints" if _holds_checkpoints(path) else "a folder"
        raise StoreError(f"{path}: is {told}, not a store; run `ckpt-inspect analyze {path}` first, which writes one")
    is_named_store = path.suffix in (".h5", ".hdf5")  # also of a damaged store, which no longer says what it was
    try:
        # a file object, since libhdf5 would lock what may be locked by whoever writes it
        file = h5py.File(path if at is None else stack.enter_context(at.open("rb")), "r")
    except (OSError, RuntimeError, ValueError) as error:
        if not is_named_store and _is_checkpoint(path):
            raise _not_analyzed(path) from error
        raise StoreError(f"{path}: is not a store, or a damaged one ({_first_sentence(error)})") from error
    with stack, file:
        try:
            conventions = text_attribute(file, "Conventions")
        except Exception as error:  # libhdf5's own can be of any kind
            raise StoreError(f"{path}: is not a store, or a damaged one ({_short(error)})") from error
        if conventions != CONVENTIONS:
            if conventions is None and any(name in file or name in file.attrs for name in _OF_KERAS):
                raise StoreError(
                    f"{path}: is not a store but some other HDF5 file, a Keras checkpoint; `ckpt-inspect analyze "
                    f"{path}` writes a store of it, which must have another name"
                )
            told = (
                f"its Conventions attribute is {conventions[:40]!r}"
                if conventions is not None
                else "it is some other HDF5 file"
            )
            raise StoreError(f"{path}: is not a store of schema 1 ({told}); give another name, or analyse again")
        yield file


def _not_analyzed(path: Path) -> StoreError:
    return StoreError(
        f"{path}: is a checkpoint, not a store; run `ckpt-inspect analyze {path}` first, which writes a store"
    )


def _is_checkpoint(path: Path) -> bool:
    """Whether a format would open what is there."""
    try:
        return is_recognised(locate(path))
    except CkptInspectError:
        return False


def _holds_checkpoints(folder: Path) -> bool:
    try:
        return _is_checkpoint(folder) or bool(find_checkpoints(folder))
    except CkptInspectError:
        return False


def _first_sentence(error: Exception) -> str:
    return str(error).split("(")[-1].rstrip(")") or str(error)
