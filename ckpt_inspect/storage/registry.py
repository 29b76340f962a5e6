"""Functions on paths, each passed to the storage that the path belongs to. Only `storage_of` decides which."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from ckpt_inspect.errors import CkptInspectError, UnsupportedError
from ckpt_inspect.storage import credentials
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.interface import Entry, FolderStats, Identities, NoAnswerError, OpenFile, Stat, Storage
from ckpt_inspect.storage.local import LocalStorage

PathLike = str | os.PathLike[str]
"""A path as a caller passes it."""

SCHEMES = ("s3", "gs", "az", "http", "https")
"""Whose addresses can be read."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
"""A URL: RFC 3986, section 3. Of one letter would be a drive."""

_ADDRESS_IN_PATH = re.compile(rf"({'|'.join(SCHEMES)}):/([^/].*)", re.DOTALL)
"""What `pathlib.Path` makes of one."""

_QUERY = re.compile(r"\?([^/?#]*=[^#]*)(#.*)?$", re.DOTALL)
"""What stands behind the path of a web address (RFC 3986, section 3.4). One without `=` is part of a pattern."""

_LOCAL = LocalStorage()


def as_path(given: PathLike) -> Path:
    """Return a caller's path as a `Path`; of a URL (`s3://bucket/name`) as an `Address`, unless there is a file of
    that name.

    The query of a web address, and the account before its host, are kept out of the path. Raises UnsupportedError for
    a scheme that can't be read.
    """
    text = os.fspath(given)
    if ":/" not in text:  # no address: quick, for runs of many
        return given if isinstance(given, Path) else Path(given)
    found = _ADDRESS.match(text) or (_ADDRESS_IN_PATH.fullmatch(text) if isinstance(given, Path) else None)
    if found is not None and not os.path.lexists(text):  # Path would drop a slash
        scheme, rest = found.groups()
        if scheme.lower() == "file":
            return Path(f"/{rest.partition('/')[2]}")
        if scheme.lower() not in SCHEMES:
            raise UnsupportedError(
                f"{scheme}://{rest}: can't be read; the remote addresses that can be read begin with "
                f"{', '.join(f'{known}://' for known in SCHEMES)}; copy the checkpoint to this machine (all its "
                "files) and give that path"
            )
        if scheme.lower().startswith("http"):
            rest = _without_secrets(scheme.lower(), rest)
        return Address(f"{scheme.lower()}:/{rest}")
    return Path(given)


def _without_secrets(scheme: str, rest: str) -> str:
    """Return what of a web address may be shown, host and path; its query and its account go where requests take them
    from. The path is decoded, as the names in a folder are."""
    query = _QUERY.search(rest)
    before = rest[: query.start()] if query else rest
    place, slash, key = before.partition("/")
    account, _, host = place.rpartition("@")
    key = unquote(key)
    credentials.keep(f"{scheme}://{host}", key.strip("/"), query[1] if query else "", account)
    return f"{host}{slash}{key}"


def name_of(path: PathLike) -> str:
    """Return the last part of an absolute path, as `absolute` gives it."""
    text = os.fspath(path)
    return text.rpartition("/")[2] if ":/" not in text else as_path(text).name


def storage_of(path: Path) -> Storage:
    """Return the storage that the path belongs to: the local disk, or the bucket or host of an address."""
    if not isinstance(path, Address):
        return _LOCAL
    from ckpt_inspect.storage.objects import object_storage  # takes a while to import, and few have addresses

    return object_storage(path)


def stat(path: Path) -> Stat:
    """Return what is at the path, links followed; NotFoundError if the storage refuses to look."""
    return storage_of(path).stat(path)


def look_together(paths: Sequence[Path]) -> None:
    """Look at paths of one storage, of which `stat` will be asked next, side by side; raises nothing."""
    if paths:
        storage_of(paths[0]).look_together(paths)


def is_there(path: Path) -> bool:
    """Return whether anything is at the path; False if the storage refuses to look. Raises NoAnswerError."""
    try:
        return stat(path).kind != "absent"
    except NoAnswerError:
        raise
    except CkptInspectError:
        return False


def is_gone(path: Path) -> bool:
    """Return whether nothing is at the path; False if the storage refuses to look, or can't be asked."""
    try:
        return stat(path).kind == "absent"
    except CkptInspectError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is at the path; False if the storage refuses to look. Raises NoAnswerError."""
    try:
        return stat(path).kind == "folder"
    except NoAnswerError:
        raise
    except CkptInspectError:
        return False


def list_folder(folder: Path) -> list[Entry]:
    """Return the names in a folder, one level, in no particular order; NotFoundError if it can't be listed."""
    return storage_of(folder).list_folder(folder)


def list_stats(folder: Path) -> FolderStats | None:
    """Return a folder's names with sizes and times; see `Storage.list_stats`."""
    return storage_of(folder).list_stats(folder)


def list_identities(folder: Path) -> Identities | None:
    """Return a folder's names and which file each is; see `Storage.list_identities`."""
    return storage_of(folder).list_identities(folder)


def open_file(path: Path, pinned: Stat | None = None) -> OpenFile:
    """Open a file for reading by ranges; see `Storage.open_file`."""
    return storage_of(path).open_file(path, pinned)


def read_head(path: Path, size: int) -> bytes:
    """Return at most `size` bytes from the start of a file; NotFoundError if it can't be read."""
    with open_file(path) as file:
        return file.read(0, min(size, file.size))


def total_size(path: Path) -> int:
    """Return the size of a file, or of all files in a folder and below it, in bytes; 0 if it can't be found out."""
    try:
        found = stat(path)
        return _size_below(path) if found.kind == "folder" else found.size
    except CkptInspectError:
        return 0


def _size_below(folder: Path) -> int:
    """Return the size of all files in and below a folder; links to folders are not followed, because they may loop."""
    size, waiting = 0, [folder]
    while waiting:
        current = waiting.pop()
        for entry in list_folder(current):
            if entry.is_folder:
                waiting.append(current / entry.name)
            else:
                size += stat(current / entry.name).size
    return size


def find_matches(pattern: Path) -> Iterator[Entry]:
    """Find what a glob pattern (`*`, `?`, `[..]`, `**`) matches, links followed; the entries' names are paths."""
    return storage_of(pattern).find_matches(pattern)


def is_pattern(path: Path) -> bool:
    """Return whether a glob pattern is in the path."""
    return glob.has_magic(str(path))


def forget(path: Path) -> None:
    """Have the storage of a path forget what it remembers of listings, for whoever looks again and again."""
    storage_of(path).forget()


def is_far(path: Path) -> bool:
    """Return whether the path lies on another machine, so that each look at it is a request."""
    return isinstance(path, Address)


def native_path(path: Path) -> bytes | None:
    """Return the path as C libraries open it, to look at a file and close it again; None if there is no such path."""
    return storage_of(path).native_path(path)


def hides_folders(path: Path) -> bool:
    """Return whether there may be folders that aren't shown: a web server needn't list them."""
    return isinstance(path, Address) and path.scheme in ("http", "https")


def link_target(path: Path) -> str | None:
    """Return where a symbolic link leads; None for a path that is not a link."""
    return storage_of(path).link_target(path)


def without_links(path: Path) -> str:
    """Return the path from its root with every link resolved, so that one place has one path."""
    return storage_of(path).without_links(path)


def absolutes(paths: Iterable[PathLike]) -> list[str]:
    """Return `absolute` of many paths; folders that they share are looked up once."""
    folders: dict[str, str] = {}
    found = []
    for path in paths:
        text = os.fspath(path)
        folder, slash, name = text.rpartition("/")
        if not slash or name in ("", ".", "..") or ":/" in text:
            found.append(absolute(path))
            continue
        if folder not in folders:
            folders[folder] = absolute(folder or "/").rstrip("/")
        found.append(f"{folders[folder]}/{name}")
    return found


def absolute(path: PathLike) -> str:
    """Return the path from its root, without `..`, and without looking where links lead."""
    if ":/" not in os.fspath(path):
        return _LOCAL.absolute(path)
    place = as_path(path)
    return storage_of(place).absolute(place)
