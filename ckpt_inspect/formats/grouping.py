"""A folder -> its checkpoints in training order, and the runs that they belong to."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import bundle, hdf5, keras_archive, sstable, tf1_v1
from ckpt_inspect.formats.foreign import is_placeholder, name_foreign
from ckpt_inspect.formats.hdf5_library import is_keras
from ckpt_inspect.formats.saved_model import METADATA_FILE, MODEL_FILE
from ckpt_inspect.formats.state_file import NAME as STATE_FILE
from ckpt_inspect.formats.state_file import read_state
from ckpt_inspect.natural_order import natural_key
from ckpt_inspect.storage import Location, list_folder, locate

StepOf = Callable[[Path], "int | None"]
"""The step that a checkpoint's own tensors tell, None where they don't; asked only where names don't order a run."""

STORE_SUFFIX = ".ckpt-inspect.h5"

_KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
_NEVER = re.compile(
    r"\.(meta|pb|pbtxt|json|txt|md|rst|csv|tsv|ya?ml|toml|ini|cfg|lock|log|out|err|py|pyc|ipynb|sh|js|css|html?|png|jpe?g|bmp|tiff?|webp|"
    r"gif|svg|pdf|npy|npz|pkl|pickle|pt|pth|onnx|tflite|safetensors|tfrecords?|parquet|arrow|jsonl|mat|db|gz|tar|tgz|bz2|xz|7z|zip|mp[34]|wav|avi|so|whl)$"
    r"|\.tfevents\.|\.tmp|^checkpoint$",
    re.IGNORECASE,
)
"""Names that are never a checkpoint's own; whatever else there is gets looked into."""

_JSON_SUFFIX = ".weights.json"
_SHARD_OF_JSON = re.compile(r"(?P<stem>.+)_\d{5}\.weights\.h5")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_UNIMPORTANT_FOLDERS = {"__pycache__", "node_modules", "site-packages"}
_INSIDE_SAVED_MODEL = {"variables", "assets", "assets.extra"}


@dataclass(frozen=True, slots=True)
class Run:
    """The checkpoints of one training: those of one folder that are named alike."""

    name: str
    """The folder's name; with the checkpoints' own where the folder holds several runs; unique among those found."""
    folder: Path
    checkpoints: tuple[Path, ...]
    """In training order, each as `open_checkpoint` takes it."""


def find_checkpoints(folder_or_glob: str | os.PathLike[str], step_of: StepOf | None = None) -> tuple[Path, ...]:
    """The checkpoints in a folder and below it, behind a glob pattern, or at a path, in training order, none twice.

    Order: folder by folder; in a folder by the number that grows in the names, else by `step_of`, else by time of
    writing. A file that is named like a checkpoint and is damaged is listed: opening it says what is wrong. Raises
    NotFoundError where there is none.
    """
    return tuple(c for run in find_runs([folder_or_glob], step_of) for c in run.checkpoints)


def find_runs(paths: Iterable[str | os.PathLike[str]], step_of: StepOf | None = None) -> tuple[Run, ...]:
    """The runs in folders, behind glob patterns and at paths; raises NotFoundError for a path that holds none."""
    found: dict[str, Path] = {}
    for given in paths:
        path = Path(given)
        below = list(_expand(path))
        if not below:
            raise _nothing_found(path)
        for checkpoint in below:
            found.setdefault(os.path.abspath(checkpoint), checkpoint)  # noqa: PTH100 - Path.absolute keeps `..`
    groups: dict[tuple[Path, str], list[Path]] = {}
    for checkpoint in found.values():
        groups.setdefault((checkpoint.parent, _stem(checkpoint.name)), []).append(checkpoint)
    by_folder: dict[Path, list[tuple[str, list[Path]]]] = {}
    for (folder, stem), group in groups.items():
        by_folder.setdefault(folder, []).append((stem, _in_training_order(group, step_of)))
    runs = []
    names = _folder_names(list(by_folder))
    for folder in sorted(by_folder, key=lambda f: natural_key(str(f))):
        several = _in_order_of_steps(by_folder[folder], step_of)
        labels = _labels([group for _, group in several])
        for label, (_, group) in zip(labels, several, strict=True):
            name = names[folder] if len(several) == 1 else f"{names[folder]}.{label}"
            runs.append(Run(name, folder, tuple(group)))
    return tuple(runs)


def _expand(path: Path) -> Iterator[Path]:
    """The checkpoints that a given path stands for, in no particular order."""
    location = locate(path)
    if location.kind == "folder":
        yield from _scan(path)
    elif location.kind == "file":
        if path.name == STATE_FILE:
            yield from _scan(path.parent)
        elif path.name in (MODEL_FILE, METADATA_FILE):
            yield path.parent
        else:
            yield _own_path(path)
    elif glob.has_magic(str(path)) and not tf1_v1.SHARD_NAME.fullmatch(path.name):
        names: dict[Path, list[str]] = {}
        for match in map(Path, glob.iglob(str(path), recursive=True)):  # noqa: PTH207 - takes absolute patterns as well
            if match.is_dir():
                yield from _scan(match)
            else:
                names.setdefault(match.parent, []).append(match.name)
        for folder, matches in names.items():
            yield from _among(folder, matches)
    elif bundle.recognises(location) or tf1_v1.recognises(location):
        yield tf1_v1.as_pattern(path)


def _own_path(path: Path) -> Path:
    """What a file's checkpoint is opened by: the prefix of an index or shard, the pattern of a V1 shard."""
    if found := bundle.DATA_NAME.fullmatch(path.name) or bundle.INDEX_NAME.fullmatch(path.name):
        return path.with_name(found["prefix"]) if found["prefix"] else path.parent
    return tf1_v1.as_pattern(path)


def _scan(folder: Path) -> Iterator[Path]:
    """The checkpoints in a folder and below it. Symbolic links to folders are not followed: they'd give some twice."""
    files: list[str] = []
    folders: list[str] = []
    for entry in list_folder(folder):
        (folders if entry.is_folder else files).append(entry.name)
    is_saved_model = MODEL_FILE in files or (METADATA_FILE in files and "variables" in folders)
    if is_saved_model or keras_archive.recognises_names(files):
        yield folder
        files = []
    if any(bundle.PART_NAME.fullmatch(name) for name in files):
        # A writer that was stopped before it merged its parts. What is incomplete, or was merged since, is nothing.
        if bundle.is_complete(bundle.part_prefixes(folder)) and not bundle.is_merged(folder):
            yield folder
    else:
        yield from _among(folder, files)
    for name in folders:
        is_inside = is_saved_model and name in _INSIDE_SAVED_MODEL
        if not (name.startswith(".") or name in _UNIMPORTANT_FOLDERS or is_inside):
            with suppress(NotFoundError):  # a folder that can't be listed hides what it holds
                yield from _scan(folder / name)


def _among(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """The checkpoints that files of these names in a folder belong to, each once."""
    present = set(names)
    prefixes = {m["prefix"] for name in names if (m := bundle.DATA_NAME.fullmatch(name))}
    sharded = {name[: -len(_JSON_SUFFIX)] for name in names if name.endswith(_JSON_SUFFIX)}
    found: dict[Path, None] = {}
    for name in names:
        path = folder / name
        if index := bundle.INDEX_NAME.fullmatch(name):
            if index["prefix"] in prefixes or _is_table(path):
                found[path.with_name(index["prefix"]) if index["prefix"] else folder] = None
        elif data := bundle.DATA_NAME.fullmatch(name):
            if f"{data['prefix']}.index" not in present and (folder / f"{data['prefix']}.index").exists():
                found[path.with_name(data["prefix"]) if data["prefix"] else folder] = None
        elif name.endswith(_JSON_SUFFIX):
            if hdf5.recognises_shards(_look(path)):
                found[path] = None
        elif shard := tf1_v1.SHARD_NAME.fullmatch(name):
            if _is_table(path):
                found[folder / f"{shard['stem']}-?????-of-{shard['count']}"] = None
        elif name.endswith(_KERAS_SUFFIXES):
            part = _SHARD_OF_JSON.fullmatch(name)
            if not name.endswith(STORE_SUFFIX) and not (part and part["stem"] in sharded) and _is_keras(path):
                found[path] = None
        elif not _NEVER.search(name) and f"{name}.index" not in present and _is_checkpoint(path):
            found[path] = None
    yield from found


def _is_table(path: Path) -> bool:
    """For an index without data, or a V1 shard: whether it is a table, or was to be one."""
    location = _look(path)
    return location.tail == sstable.MAGIC or is_placeholder(location)


def _look(path: Path) -> Location:
    """As `locate`; what can't be read looks like nothing."""
    try:
        return locate(path)
    except CkptInspectError:
        return Location(path, "absent")


def _is_keras(path: Path) -> bool:
    """For a file that is named like one: False only if it is soundly something else."""
    location = _look(path)
    if location.head.startswith(hdf5.SIGNATURE):
        return is_keras(path, if_damaged=True)
    return not location.head.startswith(keras_archive.SIGNATURE) or keras_archive.recognises(location)


def _is_checkpoint(path: Path) -> bool:
    """For a file whose name says nothing."""
    location = _look(path)
    if location.head.startswith(hdf5.SIGNATURE):
        return is_keras(path, if_damaged=False)
    return keras_archive.recognises(location) or (location.kind == "file" and location.tail == sstable.MAGIC)


def _stem(name: str) -> str:
    """A checkpoint's name without its numbers and what separates them."""
    name = tf1_v1.SHARD_NAME.sub(r"\g<stem>", name)
    suffix = next((s for s in (".weights.h5", _JSON_SUFFIX, *_KERAS_SUFFIXES) if name.endswith(s)), "")
    return re.sub(r"[-_.=@ ]*\d+(\.\d+)?", "", name.removesuffix(suffix)) + suffix


def _labels(groups: Sequence[Sequence[Path]]) -> list[str]:
    """What tells the runs of one folder apart, for a person: their names up to where the checkpoints' own differ."""
    labels = []
    for group in groups:
        shared = os.path.commonprefix([p.name for p in group])  # noqa: RUF071 - of names, which are no paths
        plain = (
            shared.removesuffix(Path(shared).suffix) if shared.endswith((*_KERAS_SUFFIXES, _JSON_SUFFIX)) else shared
        )
        labels.append(re.sub(r"[-_.=@ ]+\d*$", "", plain) if len(group) > 1 else plain)
    return [
        label if label and labels.count(label) == 1 else _stem(group[0].name)
        for label, group in zip(labels, groups, strict=True)
    ]


def _in_training_order(group: Sequence[Path], step_of: StepOf | None) -> list[Path]:
    """One run's checkpoints: by the first whole number that differs in all names, by all of them, by step, by time."""
    named = sorted(group, key=lambda p: natural_key(p.name))
    if len(group) == 1:
        return named
    numbers = [_NUMBER.findall(tf1_v1.SHARD_NAME.sub(r"\g<stem>", p.name)) for p in named]
    if len({len(n) for n in numbers}) == 1:
        whole = [column for column in zip(*numbers, strict=True) if not any("." in number for number in column)]
        columns: list[list[tuple[int, ...]]] = [[(int(number),) for number in column] for column in whole]
        columns.append([tuple(map(int, row)) for row in zip(*whole, strict=True)])
        for keys in columns:
            if len(set(keys)) == len(named):
                return [p for _, p in sorted(zip(keys, named, strict=True))]
    return _by_step(named, step_of)


def _by_step(named: Sequence[Path], step_of: StepOf | None) -> list[Path]:
    steps = {p: step_of(p) for p in named} if step_of else {}
    if steps and all(step is not None for step in steps.values()):
        return sorted(named, key=lambda p: steps[p] or 0)
    return sorted(named, key=_modified)


def _modified(checkpoint: Path) -> float:
    path = next((p for p in (checkpoint, Path(f"{checkpoint}.index")) if p.exists()), None)
    return path.stat().st_mtime if path else 0.0


def _in_order_of_steps(runs: list[tuple[str, list[Path]]], step_of: StepOf | None) -> list[tuple[str, list[Path]]]:
    """The runs of one folder: by the step of their last checkpoint where all tell it, else by name."""
    runs = sorted(runs, key=lambda run: natural_key(run[0]))
    if len(runs) > 1 and step_of:
        steps = [step_of(group[-1]) for _, group in runs]
        if None not in steps:
            return [run for _, run in sorted(zip(steps, runs, strict=True), key=lambda pair: pair[0] or 0)]
    return runs


def _folder_names(folders: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of the folders' paths that tell them apart, joined by dots."""
    parts = {folder: [p for p in folder.absolute().parts if p != folder.anchor] or ["root"] for folder in folders}
    names: dict[Path, str] = {}
    for folder, own in parts.items():
        for length in range(1, len(own) + 1):
            end = own[-length:]
            if sum(other[-length:] == end for other in parts.values()) == 1:
                break
        names[folder] = ".".join(end)
    return names


def _nothing_found(path: Path) -> CkptInspectError:
    location = locate(path)
    if location.kind == "absent" and glob.has_magic(str(path)):
        return NotFoundError(f"{path}: no checkpoint matches this pattern")
    state = next(path.rglob(STATE_FILE), None) if location.kind == "folder" else None
    if state and state.is_file() and (newest := read_state(state).newest):
        return NotFoundError(
            f"{state}: names {newest}, which is not here, and no other checkpoint is in {path} or below it"
        )
    return name_foreign(location)
