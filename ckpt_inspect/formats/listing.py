"""A folder's names, in which each format looks for its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, KeysView
from copy import copy
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError
from ckpt_inspect.storage import Location, list_folder, locate

_STORE_SUFFIX = ".ckpt-inspect.h5"
_NEVER = re.compile(
    r"\.(meta|pb|pbtxt|json|txt|md|rst|csv|tsv|ya?ml|toml|ini|cfg|lock|log|out|err|py|pyc|ipynb|sh|js|css|html?|png|jpe?g|bmp|tiff?|webp|"
    r"gif|svg|pdf|npy|npz|pkl|pickle|pt|pth|onnx|tflite|safetensors|tfrecords?|parquet|arrow|jsonl|mat|db|gz|tar|tgz|bz2|xz|7z|zip|mp[34]|wav|avi|so|whl)$"
    r"|\.tfevents\.|\.tmp|^checkpoint$",
    re.IGNORECASE,
)
"""Suffixes of files that are not checkpoints, unless a format knows them; all other files are looked into."""


class Listing:
    """A folder's names, and a look into what they name."""

    def __init__(self, folder: Path, files: Collection[str], folders: Collection[str] = ()) -> None:
        """All names in the folder, one level."""
        self.folder = folder
        self.files: KeysView[str] = dict.fromkeys(sorted(files)).keys()
        """Every file in the folder, sorted; a link to a folder counts as one."""
        self.folders: KeysView[str] = dict.fromkeys(sorted(folders)).keys()
        """Every folder in it, sorted."""
        self.names = tuple(name for name in self.files if not name.endswith(_STORE_SUFFIX))
        """The files to claim; other files in the folder may belong to them."""
        self._looks: dict[str, Location] = {}

    @classmethod
    def of(cls, folder: Path) -> Listing:
        """Return the names in a folder; NotFoundError if it can't be listed."""
        entries = list_folder(folder)
        return cls(folder, [e.name for e in entries if not e.is_folder], [e.name for e in entries if e.is_folder])

    def only(self, names: Iterable[str]) -> Listing:
        """Return the same folder with only these names to claim."""
        wanted = set(names)
        return self._with(tuple(name for name in self.names if name in wanted))

    def without(self, names: Collection[str]) -> Listing:
        """Return the same folder without these names to claim."""
        return self._with(tuple(name for name in self.names if name not in names))

    def _with(self, names: tuple[str, ...]) -> Listing:
        """The same with other names to claim; what was seen by one of the two, the other knows."""
        chosen = copy(self)
        chosen.names = names
        return chosen

    def look(self, name: str) -> Location:
        """Return what `locate` finds at a file; a file that can't be read looks absent."""
        found = self._looks.get(name)
        if found is None:
            path = self.folder / name
            try:
                found = locate(path)
            except CkptInspectError:
                found = Location(path, "absent")
            self._looks[name] = found
        return found

    def unclear(self) -> Iterator[str]:
        """Yield the names to claim whose suffix doesn't rule out a checkpoint."""
        return (name for name in self.names if not _NEVER.search(name))
