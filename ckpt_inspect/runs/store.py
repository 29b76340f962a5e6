"""RunColumns <-> HDF5, by netCDF-4's conventions, schema 1.

h5py alone writes and reads it; xarray and every netCDF-4 reader finds labelled dimensions (dimension scales). A store
is written beside its place and moved there when it is whole: whoever reads sees the old one or the new one.

The file: attributes of the root; the root's variables along `checkpoint`; a group for each optimizer, whose own
`checkpoint` repeats the names so that the group can be opened by itself; groups `problems` and `findings`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ckpt_inspect._version import __version__
from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.errors import CkptInspectError, StoreError
from ckpt_inspect.formats import is_recognised
from ckpt_inspect.jsonable import json_object
from ckpt_inspect.measurement.columns import Column, OptimizerColumns, Remark, Rows, RunColumns
from ckpt_inspect.measurement.histograms import QUANTILE_LEVELS, Grid
from ckpt_inspect.measurement.summaries import SAMPLES
from ckpt_inspect.measurement.variables import (
    ALONG_CHECKPOINTS,
    BINS,
    CHECKPOINT,
    CONTRADICTION,
    FILE_STAMPS,
    FINDING_VARIABLES,
    FINDINGS,
    FURTHER_VARIABLES,
    KEPT,
    METRICS,
    OPTIMIZER_VARIABLES,
    PARAMETER,
    PROBLEM_VARIABLES,
    PROBLEMS,
    ROOT_VARIABLES,
    WINDOW_METRICS,
    Variable,
    group_names,
    variables_in,
)
from ckpt_inspect.runs.apart import DiedReading, apart, expect
from ckpt_inspect.runs.atomic import Temporary, remove_left, replacing
from ckpt_inspect.runs.figures import GRIDS
from ckpt_inspect.runs.netcdf import Dimensions
from ckpt_inspect.runs.quick_writing import add_number, add_texts, create, fill
from ckpt_inspect.runs.sheltered import ShelteredFile, SignalShelter
from ckpt_inspect.runs.stored import (
    count_rows,
    is_own,
    own_dataset,
    own_group,
    own_groups,
    read_values,
    storable,
    text_attribute,
)
from ckpt_inspect.runs.stored_runs import LENGTH, Pick, PinnedFile, StoredRun
from ckpt_inspect.series.search import find_checkpoints
from ckpt_inspect.storage import absolute, as_path, locate

if TYPE_CHECKING:
    import h5py  # no type stubs exist: a type checker takes its classes for Any

    from ckpt_inspect.findings import Finding
    from ckpt_inspect.runs.elements import ElementsFile
    from ckpt_inspect.series.run import Run

CONVENTIONS = "ckpt-inspect-1"
"""Root attribute `Conventions`; the number is the schema's."""

SUFFIX = ".ckpt-inspect.h5"
"""How a store's name ends."""

_OF_KERAS = ("layer_names", "model_weights", "layers", "_layer_checkpoint_dependencies", "keras_version", "vars")
"""Groups or attributes of the root that Keras' own HDF5 files have: one of them."""

NOT_IN_STORE = "not-in-store"
"""Code of the Problem that stands for figures that a store of another version lacks."""

_LABELS = frozenset({"quantile", "bin", "second_moment_bin"})
"""Variables that label a dimension and follow from the rest."""

_CHUNK_BYTES = 1 << 20

_CHUNK_ROWS = 256
"""Checkpoints of a chunk of a store that grows: the last chunk is written anew with each that is appended."""

_SEEN, _MOST_ATTRIBUTE = "seen", 60_000
"""Root attribute that holds a `Seen`, and the bytes that an attribute may have."""

_SEEN_FILES = "seen_files"
"""Variable of the root that holds the files of a survey."""

_MEMORY = "remembered"
"""Variable of the group `findings` that holds what a long run's `Remembered` is made of."""

_OF_EVERY_ROOT = frozenset({CHECKPOINT, "path", "fingerprint"})
_OF_EVERY_OPTIMIZER = frozenset({"parameter", "shape", "size", "step", "rule", "nonfinite"})
"""What tells rows and columns from one another, and which of them there are: a store without it is none."""

_SEVERITIES = frozenset({"info", "warning", "error"})

_SECONDS = 6.0
_SLOWEST = 2e6
"""How long the reading of a store may take, beside its bytes at so many a second."""

_FILL_VALUES = {"float": math.nan, "integer": -1, "count": 0}
"""By a variable's kind; texts have none."""

_SHAPE = re.compile(r"(\d{1,19}(,\d{1,19})*)?", re.ASCII)

_ROOM = 1 << 28
"""Bytes of memory that reading may take beside what the store says that it holds."""


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


# --- writing


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


def write(analyses: RunColumns, file: h5py.File) -> Dimensions:
    """Write everything into an open, empty h5py file; return what numbers its dimensions."""
    dimensions = write_outline(analyses, file)
    write_problems(analyses.remarks, file, dimensions)
    from ckpt_inspect.findings import find_findings

    write_findings(finding_columns(find_findings(analyses)), analyses.thresholds, file, dimensions)
    return dimensions


def write_outline(analyses: RunColumns, file: h5py.File, rows: int | None = None) -> Dimensions:
    """Write everything but problems and findings; `rows`: of how many checkpoints these are the first, to be grown."""
    from ckpt_inspect.runs.frames import axes_of

    file.attrs["Conventions"] = CONVENTIONS
    file.attrs["ckpt_inspect_version"] = __version__
    file.attrs["title"] = "Effective learning rates, reconstructed from checkpoints"
    file.attrs["run"] = storable(analyses.run)
    file.attrs["options"] = storable(analyses.options)
    dimensions = Dimensions()
    _write_group(file, ROOT_VARIABLES, analyses.checkpoints, dimensions, rows)
    for name, group_name in group_names(analyses.optimizers).items():
        optimizer = analyses.optimizers[name]
        group = file.create_group(group_name, track_order=True)
        group.attrs["optimizer"] = storable(name)
        columns = {"checkpoint": analyses.checkpoints["checkpoint"], **axes_of(optimizer), **optimizer.variables}
        _write_group(group, (ROOT_VARIABLES[0], *variables_in(columns)), columns, dimensions, rows)
    return dimensions


def write_problems(remarks: Iterable[Remark], file: h5py.File, dimensions: Dimensions | None = None) -> None:
    """Write the group `problems`; without `dimensions` in place of the one that is there."""
    if dimensions is None:
        dimensions = Dimensions.like(file[PROBLEMS]["problem"])
        del file[PROBLEMS]
    group = file.create_group(PROBLEMS, track_order=True)
    _write_group(group, PROBLEM_VARIABLES, _problem_columns(tuple(remarks)), dimensions)


def write_findings(
    columns: Mapping[str, Column],
    thresholds: Mapping[str, float],
    file: h5py.File,
    dimensions: Dimensions | None = None,
) -> None:
    """Write the group `findings`; without `dimensions` in place of the one that is there."""
    if dimensions is None:
        dimensions = Dimensions.like(file[FINDINGS]["finding"])
        del file[FINDINGS]
    group = file.create_group(FINDINGS, track_order=True)
    group.attrs["thresholds"] = json.dumps(dict(thresholds), sort_keys=True)
    _write_group(group, FINDING_VARIABLES, columns, dimensions)


def write_memory(text: str, file: h5py.File) -> None:
    """Write what is to be remembered of the whole run into the group `findings` that has just been written."""
    import h5py

    dataset = file[FINDINGS].create_dataset(_MEMORY, (), h5py.string_dtype("utf-8"), data=storable(text))
    dataset.attrs["long_name"] = "what was found"
    dataset.attrs["description"] = "JSON: the findings and the segments of the run, for the version that found them."


def _read_memory(group: h5py.Group) -> str:
    return str(read_values(group, _MEMORY, "text", ())) if is_own(group, _MEMORY) else ""


# --- what was seen of a run's files


@dataclass(frozen=True, slots=True)
class Seen:
    """A run's files as they were when all of them had been analysed."""

    folder: str
    """That was looked into, from the root."""
    digest: str
    """Of a survey; empty if the run isn't all that can be found there, or not all of it was analysed."""
    run_folder: str
    """Of the checkpoints, from the root."""
    gone: int
    """Checkpoints of the store whose files aren't there any more."""
    is_numbered_on: bool = False
    """Whether all checkpoints lie in `run_folder` itself, and are called by names whose numbers grow."""
    writer: str = __version__
    """Another version may find other runs, and other figures."""


def write_seen(file: h5py.File, seen: Seen | None, stamps: Column | None, files: bytes = b"") -> None:
    """Write what was seen in place of what a store that grows has of it; `stamps`: (C,) of the checkpoints' files;
    `files`: `Files.to_bytes` of all of the survey, if `seen` has its digest."""
    if _SEEN in file.attrs:
        del file.attrs[_SEEN]
    if _SEEN_FILES in file:
        del file[_SEEN_FILES]
    if files:
        packed = base64.b64encode(files)
        dataset = file.create_dataset(_SEEN_FILES, data=np.array(packed, f"S{len(packed)}"))
        dataset.attrs["long_name"] = "what lay in the folder"
        dataset.attrs["description"] = "Names, sizes and times of all files, packed, for the version that saw them."
    if seen is not None and len(text := json.dumps(asdict(seen))) < _MOST_ATTRIBUTE:
        file.attrs[_SEEN] = storable(text)
    if stamps is None:  # nothing is known of the rows by now
        if FILE_STAMPS.name not in file:
            return
        stamps = np.zeros(len(file[CHECKPOINT]), np.int64)
    if FILE_STAMPS.name not in file:
        dataset = file.create_dataset(
            FILE_STAMPS.name, (0,), np.int64, chunks=(_CHUNK_BYTES // 64,), maxshape=(None,), fillvalue=0
        )
        dataset.attrs["units"] = FILE_STAMPS.units
        dataset.attrs["long_name"] = FILE_STAMPS.long_name
        dataset.attrs["description"] = FILE_STAMPS.description
        dataset.dims[0].attach_scale(file[CHECKPOINT])
    file[FILE_STAMPS.name].resize(len(stamps), axis=0)
    file[FILE_STAMPS.name][...] = stamps


def seen_before(file: h5py.File) -> tuple[Seen | None, Column, bytes]:
    """Return what `write_seen` wrote into a store of ours that is open; (0,) stamps if there are none."""
    stamps: Column = file[FILE_STAMPS.name][...] if FILE_STAMPS.name in file else np.empty(0, np.int64)
    files = base64.b64decode(bytes(file[_SEEN_FILES][()])) if _SEEN_FILES in file else b""
    return _seen_of(text_attribute(file, _SEEN) or ""), stamps, files


def load_seen(path: Path) -> Seen | None:
    """Return what was seen of a run's files when its store was written; None if there is no such store, or nothing."""
    return _seen_of(_load_text(path, lambda file: text_attribute(file, _SEEN) or "") if path.is_file() else "")


def load_files(path: Path) -> bytes:
    """Return what `write_seen` kept of the files in a run's folder; empty if there is nothing."""

    def find(file: h5py.File) -> str:
        if not is_own(file, _SEEN_FILES):
            return ""
        dataset = own_dataset(file, _SEEN_FILES)
        if dataset.shape != () or dataset.dtype.kind != "S":
            raise ValueError(f"{_SEEN_FILES} is not one text")
        expect(3 * dataset.dtype.itemsize)
        return bytes(dataset[()]).decode("ascii")

    try:
        return base64.b64decode(_load_text(path, find))
    except ValueError:
        return b""


def _seen_of(text: str) -> Seen | None:
    try:
        known = json.loads(text) if text else {}
        return Seen(**known) if set(known) == {field.name for field in fields(Seen)} else None
    except (ValueError, TypeError, AttributeError):
        return None


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


# --- growing


def is_growing(path: Path) -> bool:
    """Return whether rows can be appended to the store: it was made for it."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return bool(file.id.get_create_plist().get_file_space_strategy()[1])
    except (OSError, RuntimeError):
        return False


def resize(file: h5py.File, rows: int) -> None:
    """Make room for so many checkpoints in an open store."""
    for dataset in _along_checkpoints(file):
        dataset.resize(rows, axis=0)


def _along_checkpoints(file: h5py.File) -> Iterator[h5py.Dataset]:
    groups = [file, *(group for name, group in own_groups(file) if name not in (FINDINGS, PROBLEMS))]
    for group in groups:
        yield from (own_dataset(group, name) for name in group if name in ALONG_CHECKPOINTS)


def write_rows(analyses: RunColumns, file: h5py.File, start: int) -> None:
    """Write the checkpoints of these columns into the rows of an open store from `start` on."""
    _put(file, analyses.checkpoints, start)
    for name, group_name in group_names(analyses.optimizers).items():
        columns = {CHECKPOINT: analyses.checkpoints[CHECKPOINT], **analyses.optimizers[name].variables}
        _put(file[group_name], {n: c for n, c in columns.items() if n in ALONG_CHECKPOINTS}, start)


def write_others(optimizers: Mapping[str, OptimizerColumns], file: h5py.File) -> None:
    """Write what doesn't lie along the checkpoints over what an open store has of it; lengths stay."""
    for name, group_name in group_names(optimizers).items():
        variables = optimizers[name].variables
        _put(file[group_name], {n: c for n, c in variables.items() if n not in ALONG_CHECKPOINTS})


def _put(group: h5py.Group, columns: Mapping[str, Column], start: int = 0) -> None:
    for name, column in columns.items():
        if column.size:
            values = [storable(text) for text in column] if column.dtype == object else column
            group[name][start : start + len(column)] = values


def _problem_columns(remarks: Sequence[Remark]) -> dict[str, Column]:
    fields = {
        "code": [r.problem.code for r in remarks],
        "severity": [r.problem.severity for r in remarks],
        "checkpoint": [r.checkpoint for r in remarks],
        "optimizer": [r.optimizer for r in remarks],
        "message": [r.problem.message for r in remarks],
        "resolution": [r.problem.resolution for r in remarks],
    }
    return {name: np.array(values, object) for name, values in fields.items()}


def finding_columns(findings: Iterable[Finding]) -> dict[str, Column]:
    """Return the variables of the group `findings`."""
    rows: list[dict[str, object]] = []
    for finding in findings:
        row = dict(json_object(finding.to_json()))
        texts = {name: json.dumps(row[name], ensure_ascii=False) for name in ("evidence", "thresholds")}
        lines = {"parameters": "\n".join(finding.parameters), "checkpoints": "\n".join(finding.checkpoints)}
        rows.append({**row, **texts, **lines})
    return {v.name: np.array([row[v.name] for row in rows], object) for v in FINDING_VARIABLES}


def _write_group(
    group: h5py.Group,
    variables: Iterable[Variable],
    columns: Mapping[str, Column],
    dimensions: Dimensions,
    rows: int | None = None,
) -> None:
    """Write a group's variables and the scales of their dimensions; `rows`: make room for so many checkpoints, whose
    own values are written later."""
    variables = [v for v in variables if v.name in columns]
    lengths: dict[str, int] = {}
    for variable in variables:
        lengths.update(zip(variable.dimensions, columns[variable.name].shape, strict=True))
    written = {v.name: _write_variable(group, v, columns[v.name], rows) for v in variables}
    scales = {}
    for dimension, length in lengths.items():
        if dimension not in written:
            blank = {"shape": (length,), "dtype": np.dtype(">f4")}
            if dimension == CHECKPOINT:
                blank |= {"maxshape": (None,), "chunks": (max(length, 1),)}
            scales[dimension] = group.create_dataset(dimension, **blank)
            dimensions.leave_blank(scales[dimension])
        else:
            scales[dimension] = written[dimension]
            dimensions.label(scales[dimension], dimension)
    for variable in variables:
        if variable.dimensions == (variable.name,):
            continue
        for axis, dimension in enumerate(variable.dimensions):
            written[variable.name].dims[axis].attach_scale(scales[dimension])


def _write_variable(group: h5py.Group, variable: Variable, column: Column, rows: int | None) -> h5py.Dataset:
    import h5py

    is_text = variable.kind == "text"
    is_growing = variable.dimensions[0] == CHECKPOINT
    shape = column.shape
    if is_growing and rows is not None:
        shape = (rows, *shape[1:])
    is_chunked = is_growing or column.nbytes > _CHUNK_BYTES
    dataset = create(
        group,
        variable.name,
        shape,
        h5py.string_dtype("utf-8") if is_text else column.dtype,
        chunks=_chunks(shape, column.dtype.itemsize, None if rows is None else _CHUNK_ROWS) if is_chunked else None,
        # a chunk may not be longer than a dimension that can't grow, and none may be 0 long
        maxshape=(None, *(length or None for length in column.shape[1:])) if is_growing else None,
        fillvalue=_FILL_VALUES.get(variable.kind),
        is_compressed=is_chunked and not is_text and column.ndim > 1,
    )
    if column.size and shape == column.shape:
        fill(dataset, np.array([storable(text) for text in column], object) if is_text else column)
    if variable.kind == "float":  # a fill value would turn integers into floats wherever they are decoded
        add_number(dataset, "_FillValue", math.nan, column.dtype)
    about = {"long_name": variable.long_name, "description": variable.description}
    texts = {name: text for name, text in about.items() if text}
    add_texts(dataset, texts if is_text else {"units": variable.units, **texts})
    return dataset


def _chunks(shape: tuple[int, ...], itemsize: int, most: int | None) -> tuple[int, ...]:
    """A chunk spans as many checkpoints as fit, or at `most`, and everything else as far as it fits."""
    inner = [max(length, 1) for length in shape[1:]]
    while inner and int(np.prod(inner)) * itemsize > _CHUNK_BYTES:
        longest = int(np.argmax(inner))
        inner[longest] = -(-inner[longest] // 2)
    each = int(np.prod(inner)) * itemsize if inner else itemsize
    rows = max(shape[0], 1) if most is None else most
    return (max(1, min(rows, _CHUNK_BYTES // each)), *inner)


# --- reading


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


LARGE = 1 << 24
"""Bytes of a store whose columns are read when they are asked for."""


def _apart(path: Path, load: Callable[[], RunColumns], at: Path | None = None) -> RunColumns:
    # all that the copy needs: otherwise every copy would import it anew
    from ckpt_inspect import findings  # noqa: F401
    from ckpt_inspect.runs.assembly import blank  # noqa: F401
    from ckpt_inspect.runs.carried import arrived, carried

    size = (at or path).stat().st_size
    try:
        return arrived(apart(lambda: carried(load()), _SECONDS + size / _SLOWEST, _ROOM + 4 * size))
    except DiedReading as error:
        raise StoreError(f"{path}: the store is damaged ({error}); remove it and analyse again") from error


def load_large(path: Path, *, is_ours: bool = False) -> RunColumns:
    """Return what a store holds, each column read when it is asked for.

    One that `is_ours`, since it was written just now, is read by this process itself.
    """
    return _large(path, (lambda path, load, at: load()) if is_ours else _apart).columns()


def _large(path: Path, how: Callable[[Path, Callable[[], RunColumns], Path], RunColumns]) -> StoredRun:
    """Return a store of which little is read yet, but all of it looked at: types, lengths, names."""
    try:
        pinned = PinnedFile(path)
    except OSError as error:
        raise StoreError(f"{path}: can't be read ({error.strerror})") from error

    def outline(file: h5py.File) -> RunColumns:
        found = read(file, slice(0, 0))
        (count,) = own_dataset(file, CHECKPOINT).shape
        return replace(found, checkpoints={**found.checkpoints, LENGTH: read_values(file, LENGTH, "integer", (count,))})

    def some(pick: Pick, rows: Rows) -> RunColumns:
        return how(path, lambda: _load(path, lambda file: read(file, rows, pick), pinned.path), pinned.path)

    def memory() -> str:
        return _load_text(path, lambda file: _read_memory(own_group(file, FINDINGS)), pinned.path)

    return StoredRun(how(path, lambda: _load(path, outline, pinned.path), pinned.path), some, memory)


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


def read(file: h5py.File, rows: Rows = slice(None), pick: Pick | None = None) -> RunColumns:
    """Return everything out of an open store, or of some of its checkpoints, or some columns and nothing else.

    Raises KeyError for what every store has, ValueError for what can't be.
    """
    count, checkpoints = _read_checkpoints(file, rows, None if pick is None else pick.get(None, ()))
    optimizers: dict[str, OptimizerColumns] = {}
    lacking: list[Remark] = []
    for group_name, group in own_groups(file):
        if group_name in (FINDINGS, PROBLEMS):
            continue
        name = _text_of(group, "optimizer")
        if name in optimizers:
            raise ValueError(f"two groups are of the optimizer {name}")
        if pick is not None and name not in pick:
            continue
        columns = _read_optimizer(group, count, rows, None if pick is None else pick[name])
        optimizers[name] = OptimizerColumns(name, columns)
        if absent := [figure.name for figure in (*METRICS, *WINDOW_METRICS) if not is_own(group, figure.name)]:
            lacking.append(Remark("", name, _not_stored(absent)))
    run, options = _text_of(file, "run"), _text_of(file, "options")
    if pick is not None:
        return RunColumns(run, options, checkpoints, optimizers, ())
    remarks = (*_read_remarks(own_group(file, PROBLEMS)), *lacking)
    return RunColumns(run, options, checkpoints, optimizers, remarks, _read_thresholds(own_group(file, FINDINGS)))


def _not_stored(names: Sequence[str]) -> Problem:
    """Return the Problem for figures that an earlier version, or another program, left out."""
    verb = "is" if len(names) == 1 else "are"
    return Problem(
        NOT_IN_STORE,
        f"{', '.join(names)} {verb} not in this store",
        "they count as not known (NaN); analysing the checkpoints into a new store determines them",
        "info",
    )


def _text_of(thing: h5py.Group, name: str) -> str:
    text = text_attribute(thing, name)
    if text is None:
        raise KeyError(f"there is no attribute {name}")
    return text


def _read_thresholds(group: h5py.Group) -> dict[str, float]:
    try:
        found = json.loads(_text_of(group, "thresholds"))
    except RecursionError as error:
        raise ValueError("the thresholds are nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("the thresholds are not names with numbers")
    for name, value in found.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"the threshold {name} is no number")
    from ckpt_inspect.findings import Thresholds

    try:
        return Thresholds.of(found).given()
    except CkptInspectError as error:
        raise ValueError(str(error)) from error


def _read_checkpoints(file: h5py.File, rows: Rows, only: Container[str] | None) -> tuple[int, dict[str, Column]]:
    """Return how many there are, and the columns, or only some."""
    if only is not None:
        count = len(own_dataset(file, CHECKPOINT))
        wanted = [v for v in ROOT_VARIABLES if v.name in only]
        return count, {v.name: _read_variable(file, v, {CHECKPOINT: count}, _OF_EVERY_ROOT, rows) for v in wanted}
    names = read_values(file, CHECKPOINT, "text", (None,))
    if not len(names):
        raise ValueError("it has no checkpoint")
    lengths = {CHECKPOINT: len(names)}
    columns = {v.name: _read_variable(file, v, lengths, _OF_EVERY_ROOT, rows) for v in ROOT_VARIABLES}
    if len(set(names)) < len(names):
        raise ValueError("two checkpoints have the same name")
    return len(names), columns


def _read_optimizer(group: h5py.Group, checkpoints: int, rows: Rows, only: Container[str] | None) -> dict[str, Column]:
    names = read_values(group, PARAMETER, "text", (None,))
    if len(set(names)) < len(names):
        raise ValueError("two parameters have the same name")
    lengths = {
        CHECKPOINT: checkpoints, PARAMETER: len(names), "quantile": len(QUANTILE_LEVELS), "sample": SAMPLES,
    }  # fmt: skip
    columns = {}
    for histogram, grid in GRIDS.items():
        bins = BINS[histogram]
        edges = _read_edges(group, f"{bins}_edges", grid)
        columns[f"{bins}_edges"] = edges
        lengths |= {bins: len(edges) - 1, f"{bins}_edge": len(edges)}
    if is_own(group, "kept_checkpoint"):
        lengths |= _kept_lengths(group)
    for variable in _variables_of(group):
        is_wanted = only is None or variable.name in only
        if is_wanted and variable.name not in _LABELS and variable.name not in columns:
            columns[variable.name] = _read_variable(group, variable, lengths, _OF_EVERY_OPTIMIZER, rows)
    for parameter, shape, size in zip(names, columns.get("shape", ()), columns.get("size", ()), strict=False):
        if not _SHAPE.fullmatch(shape) or math.prod(int(length) for length in shape.split(",") if length) != size:
            raise ValueError(f"{parameter!r} has the shape {shape!r} and {size} elements")
    return {v.name: columns[v.name] for v in variables_in(columns)}


def _kept_lengths(group: h5py.Group) -> dict[str, int]:
    counts = read_values(group, "kept_parameter_count", "integer", (None,))
    if (counts < 0).any():
        raise ValueError("kept_parameter_count has a negative count")
    kept = len(read_values(group, "kept_checkpoint", "text", (None,)))
    return {"kept": kept, "kept_parameter": len(counts), "kept_element": int(counts.sum())}


def _read_edges(group: h5py.Group, name: str, grid: Grid) -> Column:
    """Return the edges of a histogram's bins, which are some of the grid's, one after another."""
    if not is_own(group, name):
        none: Column = grid.edges[:1].copy()
        return none
    edges: Column = read_values(group, name, "float", (None,))
    start = int(np.searchsorted(grid.edges, edges[0])) if len(edges) else 0
    if not len(edges) or not np.array_equal(edges, grid.edges[start : start + len(edges)]):
        raise ValueError(f"{name} are not those of our bins")
    return edges


def _variables_of(group: h5py.Group) -> tuple[Variable, ...]:
    """What every optimizer has, and of what some have that which the group holds."""
    further = {
        v.name
        for own in FURTHER_VARIABLES.values()
        if all(is_own(group, v.name) for v in own if not v.name.endswith(CONTRADICTION))
        for v in own
    }
    kept = {v.name for v in KEPT} if is_own(group, "kept_checkpoint") else set()
    return variables_in({*further, *kept, *(v.name for v in OPTIMIZER_VARIABLES)})


def _read_variable(
    group: h5py.Group, variable: Variable, lengths: Mapping[str, int], required: frozenset[str], rows: Rows
) -> Column:
    """Return the variable, of one along checkpoints the rows; blank if the store lacks it and not every store has
    it."""
    from ckpt_inspect.runs.assembly import blank

    shape = tuple(lengths[dimension] for dimension in variable.dimensions)
    own = rows if variable.dimensions[0] == CHECKPOINT else slice(None)
    if variable.name not in required and not is_own(group, variable.name):
        return blank(variable.kind, count_rows(own, shape[0]), *shape[1:])
    values: Column = read_values(group, variable.name, variable.kind, shape, own)
    return values


def _read_remarks(group: h5py.Group) -> Iterator[Remark]:
    count = len(read_values(group, "code", "text", (None,)))
    columns = {v.name: read_values(group, v.name, "text", (count,)) for v in PROBLEM_VARIABLES}
    for i in range(count):
        at = {name: str(column[i]) for name, column in columns.items()}
        if at["severity"] not in _SEVERITIES:
            raise ValueError(f"a problem is of the severity {at['severity'][:40]!r}")
        text = (at["code"], at["message"], at["resolution"], at["severity"])
        yield Remark(at["checkpoint"], at["optimizer"], Problem(*text))  # type: ignore[arg-type]  # severity as written
