"""Object stores and web servers: `s3://`, `gs://`, `az://`, `http(s)://`, through obstore (the extra `remote`).

obstore takes credentials, regions and endpoints from the environment variables of each provider (`AWS_*`, `GOOGLE_*`,
`AZURE_*`). What it leaves out is added here: AWS' configuration files, and the variable by which Google's emulators
are named.
"""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ckpt_inspect.errors import (
    ChangedFileError,
    CkptInspectError,
    DamagedFileError,
    NotFoundError,
    RequestError,
    UnsupportedError,
)
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.interface import ABSENT, Entry, OpenFile, Stat, Storage, missing
from ckpt_inspect.storage.read_ahead import ReadAhead
from ckpt_inspect.storage.stream import Bytes
from ckpt_inspect.storage.web_folder import names_in_page

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config

GIVE_UP = 20.0
"""Seconds after which a server that doesn't answer is given up."""
REQUEST = 60.0
"""Seconds that one answer may take, all its bytes included."""
RETRIES = 6
"""How often a request is made anew that failed for a reason that may pass."""
REMEMBERED = 60.0
"""Seconds for which what a listing said of its files is believed."""
_MOMENT = 5.0
"""Seconds for which a look at one path is: opening a checkpoint asks several times, and every answer to a reader is
compared with it."""
_READERS = 8
"""Files of which what was read is remembered."""
_PAGE = 1 << 20
"""Bytes up to which an answer can be a web server's list of a folder."""

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
        self._store: ObjectStore | None = None
        self._listings: dict[str, _Listing] = {}
        self._looks: dict[str, tuple[float, Stat]] = {}
        self._readers: OrderedDict[tuple[Path, Stat], ReadAhead] = OrderedDict()
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

    def _look(self, path: Path, key: str) -> Stat:
        import obstore

        found = self._ask(path, lambda store: obstore.head(store, key), may_be_absent=True)
        if found is not None and not (self.is_web and self._names_of_page(path, key, found) is not None):
            return _stat_of(found)
        if self.is_web:
            return Stat("folder") if found is not None else ABSENT
        return Stat("folder") if self._has_below(path, key) else ABSENT

    def _has_below(self, path: Path, key: str) -> bool:
        """Return whether any object's key begins with this one and a slash: then it is a folder."""
        import obstore

        def first(store: ObjectStore) -> bool:
            return any(batch for batch in obstore.list(store, prefix=f"{key}/", chunk_size=1))

        return bool(self._ask(path, first))

    def forget(self) -> None:
        with self._lock:
            self._listings.clear()
            self._looks.clear()

    def list_folder(self, folder: Path) -> list[Entry]:
        key = _key(folder)
        with self._lock:
            held = self._listings.get(key)
        if held is None or time.monotonic() - held.at > REMEMBERED:
            entries = self._list_web(folder, key) if self.is_web else self._list(folder, key)
            held = _Listing(entries, time.monotonic())
            with self._lock:
                self._listings[key] = held
        return [Entry(name, stat.kind == "folder") for name, stat in held.entries.items()]

    def _list(self, folder: Path, key: str) -> dict[str, Stat]:
        import obstore

        found = self._ask(folder, lambda store: obstore.list_with_delimiter(store, prefix=f"{key}/" if key else None))
        assert found is not None
        entries = {prefix.rpartition("/")[2]: Stat("folder") for prefix in found["common_prefixes"]}
        files = {meta["path"].rpartition("/")[2]: _stat_of(meta) for meta in found["objects"] if meta["path"] != key}
        return entries | files

    def _list_web(self, folder: Path, key: str) -> dict[str, Stat]:
        names = self._names_of_page(folder, key, None)
        if names is None:
            raise NotFoundError(
                f"{folder}: this web server doesn't list its folders; name the checkpoints themselves, or give an "
                "s3://, gs:// or az:// address"
            )
        return {name.rstrip("/"): Stat("folder") if name.endswith("/") else Stat("other") for name in names}

    def _names_of_page(self, path: Path, key: str, head: ObjectMeta | None) -> list[str] | None:
        """Return the names in the list that a web server gives of a folder; None if this is a file, or nothing."""
        import obstore

        if head is not None and (head["size"] > _PAGE or head["last_modified"].timestamp() > 0 or head["e_tag"]):
            return None  # a list is made when it is asked for, and carries neither
        found = self._ask(path, lambda store: bytes(obstore.get(store, key).bytes()), may_be_absent=True)
        return None if found is None else names_in_page(found[:_PAGE])

    def _remembered(self, key: str) -> Stat | None:
        """Return what a listing of the folder said of it a moment ago; None if none did."""
        folder, _, name = key.rpartition("/")
        with self._lock:
            held = self._listings.get(folder)
        if held is None or time.monotonic() - held.at > REMEMBERED:
            return None
        known = held.entries.get(name, ABSENT)
        return None if known.kind == "other" else known  # a web server's list tells neither size nor time

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
            while len(self._readers) > _READERS:
                self._readers.popitem(last=False)
            return reader

    def find_matches(self, pattern: Path) -> Iterator[Entry]:
        root = self._root
        yield from _matches(self, root, pattern.parts[len(root.parts) :])

    def fetch(self, path: Path, expected: Stat, start: int, stop: int) -> Bytes:
        """Return bytes `start:stop` of what `stat` returned for the path.

        Raises DamagedFileError if something else lies there by now, or the answer is too short.
        """
        import obstore

        key = _key(path)

        def get(store: ObjectStore) -> tuple[ObjectMeta, Bytes]:
            answer = obstore.get(store, key, options={"range": (start, stop)})
            return answer.meta, np.frombuffer(memoryview(answer.bytes()), np.uint8)

        found = self._ask(path, get, may_be_absent=True)
        if found is None:
            raise ChangedFileError(f"{path}: is gone since its checkpoint was opened; open the checkpoint again")
        meta, data = found
        if _stat_of(meta) != expected:
            raise ChangedFileError(
                f"{path}: was replaced while its checkpoint was being read; open the checkpoint again"
            )
        if len(data) != stop - start:
            raise DamagedFileError(f"{path}: the server sent {len(data)} bytes of {stop - start}; try again")
        return data

    def _ask(
        self, path: Path, request: Callable[[ObjectStore], Result], *, may_be_absent: bool = False
    ) -> Result | None:
        """Return what a request gives; None for something that isn't there. Raises a CkptInspectError in one
        sentence."""
        from obstore import exceptions

        failed = 0
        begun = time.monotonic()
        while True:
            try:
                return request(self._client())
            except (exceptions.NotFoundError, FileNotFoundError) as error:  # noqa: PERF203 - nothing beside a request
                if may_be_absent and not _names_bucket(error):
                    return None
                raise NotFoundError(f"{path}: {_cause(error, self._root)}") from error
            except exceptions.BaseError as error:
                failed += 1
                if failed > RETRIES or time.monotonic() - begun > GIVE_UP or not _may_pass(error):
                    raise NotFoundError(f"{path}: {_cause(error, self._root)}") from error
                time.sleep(min(0.1 * 2**failed, 2.0))

    def _client(self) -> ObjectStore:
        if self._store is None:
            with self._lock:
                if self._store is None:
                    with _configuration_errors(self._root):
                        self._store = _connect(self._root)
        return self._store


class ObjectFile(OpenFile):
    """A file in an object store; every answer is compared with what it was when it was opened."""

    def __init__(self, storage: ObjectStorage, path: Path, found: Stat) -> None:
        self.path, self.stat = path, found
        self._reader = storage.reader_of(path, found)
        self._is_closed = False

    def read_into(self, buffer: Bytes, offset: int) -> None:
        if self._is_closed:
            raise RequestError(f"{self.path}: its checkpoint has been closed; open it again")
        if offset + len(buffer) > self.size:
            raise self.too_short(offset + len(buffer))
        if len(buffer):
            self._reader.read_into(buffer, offset)

    def close(self) -> None:
        self._is_closed = True
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


def _key(path: Path) -> str:
    assert isinstance(path, Address)
    return path.key


def _stat_of(meta: ObjectMeta) -> Stat:
    modified: datetime = meta["last_modified"]
    whole = int(modified.timestamp()) * 10**9  # listings give fractions of a second, the headers of an answer don't
    return Stat("file", meta["size"], whole, (meta["e_tag"] or "").strip('"'))


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


# --- connecting


def _connect(root: Address) -> ObjectStore:
    from obstore import store

    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=REQUEST),
        "allow_http": True,
    }
    retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=GIVE_UP)}
    scheme, place = root.scheme, root.place
    if scheme in ("http", "https"):
        web: ObjectStore = store.HTTPStore.from_url(f"{scheme}://{place}", client_options=client, retry_config=retry)
        return web
    if scheme == "s3":
        return store.S3Store(place, config=_aws_settings(), client_options=client, retry_config=retry)
    if scheme == "gs":
        return store.GCSStore(place, config=_google_settings(), client_options=client, retry_config=retry)
    return store.AzureStore(place, client_options=client, retry_config=retry)


def aws_settings() -> S3Config:
    """Return what is passed on to whoever opens a bucket of S3 by itself; see `_aws_settings`."""
    return _aws_settings()


def _aws_settings() -> S3Config:
    """Return what AWS' configuration files say of the profile in use, where no environment variable says it.

    Without any credentials at all requests are not signed, as public buckets want them.
    """
    env = os.environ
    folder = Path.home() / ".aws"
    profile = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"
    found: dict[str, str] = {}
    for variable, name, section in (
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
    ):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(env.get(variable) or folder / name, "utf-8")
        except (configparser.Error, OSError, UnicodeError):
            continue
        if parser.has_section(section):
            found |= dict(parser.items(section))

    def of_file(ours: str, *variables: str) -> str | None:
        return None if any(env.get(variable) for variable in variables) else found.get(ours)

    settings: S3Config = {}
    if (key := of_file("aws_access_key_id", "AWS_ACCESS_KEY_ID")) is not None:
        settings["access_key_id"] = key
        settings["secret_access_key"] = found.get("aws_secret_access_key", "")
        if token := found.get("aws_session_token"):
            settings["session_token"] = token
    if region := of_file("region", "AWS_REGION", "AWS_DEFAULT_REGION"):
        settings["region"] = region
    if endpoint := of_file("endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        settings["endpoint"] = endpoint
    if not _has_aws_credentials(settings):
        settings["skip_signature"] = True
    return settings


def _has_aws_credentials(settings: S3Config) -> bool:
    """Return whether anything names credentials: keys, a role of a container, of a pod or of the machine."""
    if "access_key_id" in settings:
        return True
    named = (
        "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EXECUTION_ENV", "AWS_METADATA_ENDPOINT",
    )  # fmt: skip
    return any(os.environ.get(name) for name in named) or _is_ec2()


def _is_ec2() -> bool:
    """Return whether this is a machine of EC2, whose role then speaks for it."""
    try:
        return Path("/sys/hypervisor/uuid").read_text("ascii")[:3].lower() == "ec2" or (
            Path("/sys/class/dmi/id/sys_vendor").read_text("ascii").startswith("Amazon EC2")
        )
    except (OSError, UnicodeError):
        return False


def _google_settings() -> GCSConfig:
    """Return the emulator's address, where one is named as Google's own libraries want it, and no signature then."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        url = emulator if "://" in emulator else f"http://{emulator}"
        return {"base_url": url, "skip_signature": True}
    named = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH")
    keys = ("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN", "GOOGLE_BASE_URL")
    well_known = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    if any(os.environ.get(name) for name in (*named, *keys)) or well_known.exists() or _is_google():
        return {}
    return {"skip_signature": True}


def _is_google() -> bool:
    try:
        return "Google" in Path("/sys/class/dmi/id/product_name").read_text("ascii")
    except (OSError, UnicodeError):
        return False


@contextmanager
def _configuration_errors(root: Address) -> Iterator[None]:
    from obstore import exceptions

    try:
        yield
    except (exceptions.BaseError, ValueError, TypeError) as error:
        raise RequestError(f"{root}: its settings can't be used ({_first_line(error)})") from error


# --- errors, in one sentence


def _may_pass(error: Exception) -> bool:
    from obstore import exceptions

    final = (
        exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, exceptions.NotSupportedError,
        exceptions.InvalidPathError, exceptions.PreconditionError,
    )  # fmt: skip
    is_tried = re.search(r"after \d+ retries", _text(error)) is not None
    return not isinstance(error, final) and not is_tried and _status(error) not in range(400, 500)


def _status(error: Exception) -> int | None:
    found = re.search(r"status code: (\d{3})", _text(error))
    return int(found[1]) if found else None


def _names_bucket(error: Exception) -> bool:
    return "NoSuchBucket" in _text(error) or "specified bucket does not exist" in _text(error)


def _cause(error: Exception, root: Address) -> str:
    from obstore import exceptions

    text, what = _text(error), "host" if root.scheme.startswith("http") else "bucket"
    if _names_bucket(error):
        return f"there is no bucket {root.place!r}; see that its name and the endpoint are right"
    if isinstance(error, (exceptions.NotFoundError, FileNotFoundError)):
        return "is not there; see that its name is right"
    if isinstance(error, exceptions.UnauthenticatedError) or _status(error) == 401:
        return f"{root} wants credentials, and those found are none that it takes; give them as its provider's tools do"
    if isinstance(error, exceptions.PermissionDeniedError) or _status(error) == 403:
        return f"{root} refuses access; see that the credentials are right and may read this {what}"
    lowered = text.lower()
    if "timed out" in lowered:
        return f"{root} didn't answer in time; see that it can be reached, and try again"
    if "connect" in lowered or "dns" in lowered or "error sending request" in lowered:
        return f"{root} can't be reached; see that the address, the endpoint and the network are right"
    if "metadata" in lowered and "credential" in lowered:
        return f"no credentials for {root} were found; give them as its provider's tools do"
    return f"{root} could not be read ({_first_line(error)}); try again"


def _text(error: Exception) -> str:
    """Return what obstore says to people, without what it adds for its developers."""
    return str(error).partition("\nDebug source:")[0]


def _first_line(error: Exception) -> str:
    said = re.search(r"<Message>([^<]*)</Message>", _text(error))  # by the server, in what S3 and its kin answer
    line = said[1] if said else " ".join(_text(error).split("\n")[0].split())
    return line if len(line) <= 200 else f"{line[:197]}..."
