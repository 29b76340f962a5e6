"""Object stores and web servers: `s3://`, `gs://`, `az://`, `http(s)://`, through obstore (the extra `remote`)."""

from __future__ import annotations

import fnmatch
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ckpt_inspect.errors import (
    ChangedFileError,
    CkptInspectError,
    NotFoundError,
    RequestError,
    UnsupportedError,
)
from ckpt_inspect.storage import connecting
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.causes import (
    broke_off,
    cause,
    is_beyond_end,
    is_unanswered,
    lacks_ranges,
    may_pass,
    names_bucket,
)
from ckpt_inspect.storage.connecting import configuration_errors, connect
from ckpt_inspect.storage.credentials import authorization_of, has_any, query_of
from ckpt_inspect.storage.fetch_plan import LEAST_WINDOW, UNPACKED_WINDOW, WINDOW, FetchPlan
from ckpt_inspect.storage.interface import ABSENT, LENT, Entry, NoAnswerError, OpenFile, Stat, Storage, missing
from ckpt_inspect.storage.read_ahead import LOOKS, THREADS, ReadAhead
from ckpt_inspect.storage.stream import Bytes
from ckpt_inspect.storage.web_folder import PageError, names_in_page, read_page

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

REMEMBERED = 60.0
"""Seconds for which what a listing said of its files is believed."""
_MOMENT = 5.0
"""Seconds for which a look at one path is: opening a checkpoint asks several times, and every answer to a reader is
compared with it."""
MOST_BELOW = 2000
"""Objects in and below a folder up to which all are listed at once."""
_KEPT = 8 << 20
"""Bytes of files that were looked at which are remembered, beside those of the file that was opened last."""
_LEAST_KEPT = 1 << 12
"""Bytes that a reader takes at least."""
_PAGE = 1 << 20
"""Bytes up to which an answer can be a web server's list of a folder."""

_PACKINGS = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
"""Names that `Content-Encoding` has for bytes that aren't the file's own (RFC 9110, 8.4.1)."""
_RESTS = 30.0
"""Seconds for which a server that was given up is not asked again: of a run of many, each would wait as long."""
_NEVER = (-math.inf, "")

Result = TypeVar("Result")


class _Listing(NamedTuple):
    entries: dict[str, Stat]
    """What is in the folder, by name."""
    at: float
    """When it was listed, by `time.monotonic`."""


class ObjectStorage(Storage):
    """One bucket, or one host."""

    def __init__(self, root: Address) -> None:
        """Take the address of the bucket or host; nothing is asked of it yet."""
        self._root = root
        self._stores: dict[str, ObjectStore] = {}
        self._listings: dict[str, _Listing] = {}
        self._looks: dict[str, tuple[float, Stat]] = {}
        self._readers: OrderedDict[tuple[Path, Stat], ReadAhead] = OrderedDict()
        self._pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None
        """Threads for requests that the network limits, and for small ones, which all take as long as an answer
        does."""
        self._plans: list[FetchPlan] = []
        """Those that are followed, in the order in which they were made."""
        self._refuses_heads = False
        """Whether it sends parts of files of which it tells nothing otherwise: some are open to one method."""
        self._given_up = _NEVER
        """When it was given up last, unless something was answered since, and why: in words."""
        self._lock = Lock()

    @property
    def is_web(self) -> bool:
        """Return whether this is a web server, which has no folders but what it shows as such."""
        return self._root.scheme in ("http", "https")

    def stat(self, path: Path) -> Stat:
        key = _key(path)
        if not key:
            return Stat("folder")
        if (known := self._remembered(key)) is not None:
            return known
        at, found = self._looks.get(key, (-_MOMENT, ABSENT))
        if time.monotonic() - at > _MOMENT:
            found = self._look(path, key)
            self._looks[key] = time.monotonic(), found
        return found

    def look_together(self, paths: Iterable[Path]) -> None:
        unknown = [path for path in paths if self._remembered(_key(path)) is None]
        if len(unknown) > 1:
            with ThreadPoolExecutor(LOOKS, "ckpt-inspect-look") as pool:
                list(pool.map(self._look_quietly, unknown))

    def _look_quietly(self, path: Path) -> None:
        with suppress(CkptInspectError):  # which whoever asks for it raises again
            self.stat(path)

    def _look(self, path: Path, key: str) -> Stat:
        import obstore

        def by_part(store: ObjectStore) -> ObjectMeta:
            return obstore.get(store, key, options={"range": (0, 1)}).meta

        ways: list[Callable[[ObjectStore], ObjectMeta]] = [lambda store: obstore.head(store, key), by_part]
        if query_of(str(self._root), key) or self._refuses_heads:  # a query may be signed for one method alone
            del ways[0]
        refusal: NotFoundError | None = None
        for way in ways:
            try:
                found = self._ask(path, way, may_be_absent=True)
            except NoAnswerError:  # noqa: PERF203 - nothing beside a request
                raise
            except NotFoundError as error:
                if isinstance(error, NoRangesError) and self.is_web and self._is_web_folder(path, key):
                    return Stat("folder")
                refusal = refusal or error
            else:
                self._refuses_heads |= refusal is not None
                break
        else:
            assert refusal is not None
            raise refusal
        if not self.is_web:
            return _stat_of(found) if found is not None else self._folder_or_nothing(path)
        if found is not None and not (_may_be_page(found) and self._is_web_folder(path, key)):
            return _stat_of(found)
        return Stat("folder") if found is not None else ABSENT

    def _folder_or_nothing(self, path: Path) -> Stat:
        """A folder is what any object's key begins with, and a slash; whoever asks of one asks next what is in it."""
        return Stat("folder") if self.list_folder(path) else ABSENT

    def forget(self) -> None:
        with self._lock:
            self._listings.clear()
            self._looks.clear()
            self._given_up = _NEVER

    def list_folder(self, folder: Path) -> list[Entry]:
        key = _key(folder)
        with self._lock:
            held = self._listings.get(key)
        if held is None or time.monotonic() - held.at > REMEMBERED:
            entries = self._list_web(folder) if self.is_web else self._list(folder, key)
            held = _Listing(entries, time.monotonic())
            with self._lock:
                self._listings[key] = held
        return [Entry(name, stat.kind == "folder") for name, stat in held.entries.items()]

    def _list(self, folder: Path, key: str) -> dict[str, Stat]:
        """Return what is in a folder; if all below it isn't much, remember that as well: a request lists a thousand."""
        import obstore

        before = f"{key}/" if key else ""

        def below(store: ObjectStore) -> list[ObjectMeta] | None:
            found: list[ObjectMeta] = []
            for batch in obstore.list(store, prefix=before or None, chunk_size=1000):
                found += batch
                if len(found) > MOST_BELOW:
                    return None
            return found

        found = self._ask(folder, below)
        if found is not None:
            listings = _folders_of(found, key)
            now = time.monotonic()
            with self._lock:
                self._listings |= {place: _Listing(entries, now) for place, entries in listings.items()}
            return listings[key]
        level = self._ask(folder, lambda store: obstore.list_with_delimiter(store, prefix=before or None))
        assert level is not None
        entries = {prefix.rpartition("/")[2]: Stat("folder") for prefix in level["common_prefixes"]}
        files = {meta["path"].rpartition("/")[2]: _stat_of(meta) for meta in level["objects"] if meta["path"] != key}
        return entries | files

    def _list_web(self, folder: Path) -> dict[str, Stat]:
        names = self._names_of_page(folder)
        if names is None:
            raise NotFoundError(
                f"{folder}: this web server doesn't list its folders; name the checkpoints themselves, or give an "
                "s3://, gs:// or az:// address"
            )
        return _entries_named(names)

    def _is_web_folder(self, path: Path, key: str) -> bool:
        """Return whether a web server lists a folder there; what it lists is remembered, for who asks next."""
        names = self._names_of_page(path)
        if names is None:
            return False
        with self._lock:
            self._listings[key] = _Listing(_entries_named(names), time.monotonic())
        return True

    def _names_of_page(self, path: Path) -> list[str] | None:
        """Return the names in the list that a web server gives of a folder; None if it gives none."""
        assert isinstance(path, Address)
        failed, begun = 0, time.monotonic()
        while True:
            try:
                page = read_page(path, connecting.GIVE_UP)
            except PageError as error:  # noqa: PERF203 - nothing beside a request
                failed += 1
                if error.is_final or failed > connecting.RETRIES or time.monotonic() - begun > connecting.GIVE_UP:
                    raise NoAnswerError(f"{path}: {self._root} {error}") from _shown(error)
                time.sleep(min(0.1 * 2**failed, 2.0))
            else:
                return None if page is None else names_in_page(page)

    def _remembered(self, key: str) -> Stat | None:
        """Return what a listing of the folder said of it a moment ago, or of a folder above: what isn't there has
        nothing in it. None if none did."""
        folder, name = key, ""
        while folder:
            folder, _, name = folder.rpartition("/")
            with self._lock:
                held = self._listings.get(folder)
            if held is None or time.monotonic() - held.at > REMEMBERED:
                continue
            known = held.entries.get(name, ABSENT)
            if key == f"{folder}/{name}".lstrip("/"):
                return None if known.kind == "other" else known  # a web server's list tells neither size nor time
            return ABSENT if known.kind in ("absent", "file") and not self.is_web else None
        return None

    def open_file(self, path: Path, pinned: Stat | None = None) -> ObjectFile:
        if pinned is None:
            pinned = self.stat(path)
            if pinned.kind == "absent":
                raise missing(path)
            if pinned.kind != "file":
                raise NotFoundError(f"{path}: can't be read (it is not a file)")
        return ObjectFile(self, path, pinned)

    def reader_of(self, path: Path, found: Stat) -> ReadAhead:
        """Return the reader of a file as it was found: while that is so, whoever opens it again gets the same one."""
        with self._lock:
            reader = self._readers.pop((path, found), None)
            if reader is None:
                reader = ReadAhead(lambda start, stop: self.fetch(path, found, start, stop), found.size)
            self._readers[path, found] = reader
            while len(self._readers) > 1 and sum(r.held + _LEAST_KEPT for r in self._readers.values()) > _KEPT:
                self._readers.popitem(last=False)
            return reader

    def plan(self, ranges: Iterable[tuple[ObjectFile, int, int]], window: int, *, is_later: bool) -> FetchPlan:
        """Begin to fetch ranges of files, in that order, with so many bytes of room. If `is_later` it comes after all
        plans that are followed, whatever for."""
        with self._lock:
            if self._pools is None:
                named = ((THREADS, "ckpt-inspect-fetch"), (LOOKS, "ckpt-inspect-look"))
                self._pools = ThreadPoolExecutor(*named[0]), ThreadPoolExecutor(*named[1])
            large, small = self._pools
            before = [plan for plan in self._plans if not plan.is_over]
            if not is_later:
                window = max(window - sum(plan.held_too_early for plan in before), LEAST_WINDOW)
            after = before if is_later else ()
            plan = FetchPlan(ranges, large, window, small=small, after=after, is_later=is_later)
            self._plans = [*before, plan]
            return plan

    def find_matches(self, pattern: Path) -> Iterator[Entry]:
        root = self._root
        yield from _matches(self, root, pattern.parts[len(root.parts) :])

    def fetch(self, path: Path, expected: Stat, start: int, stop: int) -> Bytes:
        """Return bytes `start:stop` of what `stat` returned for the path.

        Raises ChangedFileError if something else lies there by now, NoAnswerError if the server refuses what it showed
        before: that says nothing of the file.
        """
        import obstore

        key = _key(path)

        def get(store: ObjectStore) -> tuple[ObjectMeta, Bytes]:
            answer = obstore.get(store, key, options={"range": (start, stop)})
            if (packing := answer.attributes.get("Content-Encoding", "")) in _PACKINGS:
                raise UnsupportedError(
                    f"{path}: comes compressed ({packing}), and parts of what is compressed can't be read; download "
                    "it, unpack it, and give the local path"
                )
            return answer.meta, np.frombuffer(memoryview(answer.bytes()), np.uint8)

        try:
            found = self._ask(path, get, may_be_absent=True, is_resumed=bool(expected.version))
        except NoAnswerError:
            raise
        except NotFoundError as error:
            if is_beyond_end(error.__cause__) and not _is_same(self._look(path, key), expected):
                raise _replaced(path) from error
            raise NoAnswerError(str(error)) from error.__cause__
        if found is None:
            raise ChangedFileError(f"{path}: is gone since its checkpoint was opened; open the checkpoint again")
        meta, data = found
        if not _is_same(_stat_of(meta), expected):
            raise _replaced(path)
        if len(data) != stop - start:
            raise NoAnswerError(f"{path}: the server sent {len(data)} bytes of {stop - start}; try again")
        return data

    def _ask(
        self,
        path: Path,
        request: Callable[[ObjectStore], Result],
        *,
        may_be_absent: bool = False,
        is_resumed: bool = False,
    ) -> Result | None:
        """Return what a request gives; None for something that isn't there. `is_resumed`: obstore asks for the rest of
        what broke off. Raises a CkptInspectError in one sentence."""
        from obstore import exceptions

        failed = 0
        begun = time.monotonic()

        def why(error: Exception) -> str:
            return cause(error, self._root, is_anonymous=not self._brings_credentials(path))

        at, reason = self._given_up
        if begun - at < _RESTS:
            raise NoAnswerError(f"{path}: {reason}")
        while True:
            try:
                found = request(self._client(path))
            except (exceptions.NotFoundError, FileNotFoundError) as error:  # noqa: PERF203 - nothing beside a request
                if may_be_absent and not names_bucket(error):
                    return None
                raise NotFoundError(f"{path}: {why(error)}") from _shown(error)
            except exceptions.BaseError as error:
                if lacks_ranges(error):
                    raise NoRangesError(f"{path}: {why(error)}") from _shown(error)
                failed += 1
                is_final = not may_pass(error) or (is_resumed and broke_off(error))
                if is_final or failed > connecting.RETRIES or time.monotonic() - begun > connecting.GIVE_UP:
                    if not is_unanswered(error):
                        raise NotFoundError(f"{path}: {why(error)}") from _shown(error)
                    self._given_up = time.monotonic(), why(error)
                    raise NoAnswerError(f"{path}: {self._given_up[1]}") from _shown(error)
                time.sleep(min(0.1 * 2**failed, 2.0))
            else:
                self._given_up = _NEVER
                return found

    def _brings_credentials(self, path: Path) -> bool:
        """Whether requests of the path are signed, or bring a name or a query."""
        if self.is_web:
            return bool(authorization_of(str(self._root)) or query_of(str(self._root), _key(path)))
        return "skip_signature" not in getattr(self._client(path), "config", {})

    def _client(self, path: Path) -> ObjectStore:
        query = query_of(str(self._root), _key(path)) if self.is_web else ""
        if query not in self._stores:
            with self._lock:
                if query not in self._stores:
                    with configuration_errors(self._root):
                        self._stores[query] = connect(self._root, query)
        return self._stores[query]


def _replaced(path: Path) -> ChangedFileError:
    return ChangedFileError(f"{path}: was replaced while its checkpoint was being read; open the checkpoint again")


class NoRangesError(NotFoundError):
    """A server that sends no parts of something, as of the list of a folder."""


def _shown(error: Exception) -> Exception | None:
    """Return an error as the cause of ours; None if its text may hold secrets."""
    return None if has_any() else error


def _may_be_page(found: ObjectMeta) -> bool:
    """Return whether this may be a list, which is made when it is asked for and carries neither time nor tag."""
    return found["size"] <= _PAGE and found["last_modified"].timestamp() <= 0 and not found["e_tag"]


class ObjectFile(OpenFile):
    """A file in an object store; every answer is compared with what it was when it was opened."""

    def __init__(self, storage: ObjectStorage, path: Path, found: Stat) -> None:
        self.path, self.stat = path, found
        self._storage = storage
        self._reader = storage.reader_of(path, found)
        self._plans: tuple[FetchPlan, ...] = ()
        self._is_closed = False

    def read_into(self, buffer: Bytes, offset: int) -> None:
        if self._is_closed:
            raise RequestError(f"{self.path}: its checkpoint has been closed; open it again")
        if offset + len(buffer) > self.size:
            raise self.too_short(offset + len(buffer))
        if len(buffer) and not any(plan.read_into(self, buffer, offset) for plan in self._plans):
            self._reader.read_into(buffer, offset)

    def fetch(self, start: int, stop: int) -> Bytes:
        """Return bytes `start:stop`, as `ObjectStorage.fetch` does."""
        return self._storage.fetch(self.path, self.stat, start, stop)

    def expect(
        self, ranges: Iterable[tuple[OpenFile, int, int]], *, is_later: bool = False, is_unpacked: bool = False
    ) -> None:
        mine = [(file, start, stop) for file, start, stop in ranges if isinstance(file, ObjectFile)]
        files = {file for file, _, _ in mine}
        others = {plan for file in files for plan in file._plans if not plan.is_over}
        window = (UNPACKED_WINDOW if is_unpacked else WINDOW) // (1 + len(others))
        plan = self._storage.plan(mine, window, is_later=is_later)
        for file in files:
            still = tuple(other for other in file._plans if not other.is_over)
            file._plans = (*still, plan) if is_later else (plan, *still)
            file._reader.rest()  # what was looked at so far takes memory

    @property
    def is_far(self) -> bool:
        return True

    def borrow(self, offset: int, size: int) -> Bytes | None:
        found = (plan.borrow(self, offset, offset + size) for plan in self._plans)
        return next((data for data in found if data is not None), None)

    def give_back(self, offset: int, size: int) -> None:
        for plan in self._plans:
            plan.give_back(self, offset, offset + size)

    def lend(self, offset: int, size: int) -> Iterator[Bytes]:
        at, stop = offset, offset + size
        while at < stop:
            lent = ((plan, plan.borrow_some(self, at, stop)) for plan in self._plans)
            plan, piece = next(((plan, piece) for plan, piece in lent if piece is not None), (None, None))
            if plan is None or piece is None:
                piece = np.empty(min(LENT, stop - at), np.uint8)
                self.read_into(piece, at)
            try:
                yield piece
            finally:
                if plan is not None:
                    plan.give_back(self, at, at + len(piece))
            at += len(piece)

    def look_ahead(self, places: Iterable[int]) -> None:
        if not self._is_closed:
            self._reader.look_ahead(places)

    def close(self) -> None:
        self._is_closed = True
        for plan in self._plans:
            plan.end()
        self._plans = ()
        self._reader.rest()


_STORAGES: dict[str, ObjectStorage] = {}


def object_storage(path: Address) -> ObjectStorage:
    """Return the storage of an address' bucket or host, the same each time.

    Raises UnsupportedError if obstore is not installed, RequestError if the address names no bucket or host.
    """
    if not path.place:
        raise RequestError(f"{path}: names no bucket or host; write {path.scheme}://bucket/folder")
    root = Address(*path.parts[:2])
    storage = _STORAGES.get(str(root))
    if storage is None:
        try:
            import obstore  # noqa: F401
        except ImportError as error:
            raise UnsupportedError(
                f"{path}: reading from {path.scheme}:// needs obstore; run pip install 'ckpt-inspect[remote]', or copy "
                "the checkpoint to this machine (all its files) and give that path"
            ) from error
        storage = _STORAGES[str(root)] = ObjectStorage(root)
    return storage


def forget() -> None:
    """Forget every bucket and host, and what was read of them: settings are then taken anew."""
    _STORAGES.clear()


def _entries_named(names: Iterable[str]) -> dict[str, Stat]:
    """Return what a web server's list tells of a folder: those whose names end in a slash are folders."""
    return {name.rstrip("/"): Stat("folder") if name.endswith("/") else Stat("other") for name in names}


def _key(path: Path) -> str:
    assert isinstance(path, Address)
    return path.key


def _stat_of(meta: ObjectMeta) -> Stat:
    modified: datetime = meta["last_modified"]
    whole = int(modified.timestamp()) * 10**9  # listings give fractions of a second, the headers of an answer don't
    return Stat("file", meta["size"], whole, (meta["e_tag"] or "").removeprefix("W/").strip('"'))


def _is_same(found: Stat, expected: Stat) -> bool:
    """Return whether two looks at a file show the same: in what both of them say, as some servers' answers say more in
    a list or of the whole than of a part."""
    if found.kind != expected.kind or found.size != expected.size:
        return False
    versions, times = (found.version, expected.version), (found.modified_ns, expected.modified_ns)
    return len(set(filter(None, versions))) < 2 and len({t for t in times if t > 0}) < 2


def _folders_of(found: Iterable[ObjectMeta], key: str) -> dict[str, dict[str, Stat]]:
    """Return what is in a folder and in each one below it, from all objects whose keys begin with the folder's."""
    folders: dict[str, dict[str, Stat]] = {key: {}}
    for meta in found:
        if meta["path"] == key:
            continue
        parts = meta["path"].removeprefix(f"{key}/" if key else "").split("/")
        above = key
        for part in parts[:-1]:
            folders[above].setdefault(part, Stat("folder"))
            above = f"{above}/{part}" if above else part
            folders.setdefault(above, {})
        if meta["size"] or parts[-1] not in folders[above]:  # programs mark a folder by an empty object of its name
            folders[above][parts[-1]] = _stat_of(meta)
    for place in [place for place in folders if place != key]:
        above, _, name = place.rpartition("/")
        if folders[above][name].size == 0:
            folders[above][name] = Stat("folder")
    return folders


def _matches(storage: ObjectStorage, folder: Path, parts: tuple[str, ...]) -> Iterator[Entry]:
    """Yield what the rest of a pattern matches in and below a folder."""
    if not parts:
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matches(storage, folder, rest)
        for entry in sorted(storage.list_folder(folder)):
            if entry.is_folder and not entry.name.startswith("."):
                yield from _matches(storage, folder / entry.name, parts)
            elif not rest:
                yield Entry(str(folder / entry.name), entry.is_folder)
        return
    if not re.search(r"[*?[]", part):
        here = folder / part
        if rest:
            yield from _matches(storage, here, rest)
        elif (kind := storage.stat(here).kind) != "absent":
            yield Entry(str(here), kind == "folder")
        return
    try:
        entries = sorted(storage.list_folder(folder))
    except CkptInspectError:  # as for any pattern, nothing matches
        return
    for entry in entries:
        if fnmatch.fnmatchcase(entry.name, part) and not entry.name.startswith("."):
            if not rest:
                yield Entry(str(folder / entry.name), entry.is_folder)
            elif entry.is_folder:
                yield from _matches(storage, folder / entry.name, rest)
