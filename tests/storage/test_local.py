"""The local disk: what lies at a path, what is in a folder, ranges of bytes, and files that are replaced meanwhile."""

from __future__ import annotations

import glob
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from ckpt_inspect import storage
from ckpt_inspect.errors import DamagedFileError, NotFoundError, RequestError, UnsupportedError
from ckpt_inspect.storage import ABSENT, Entry, PinnedFiles, local

CONTENTS = bytes(range(256)) * 40


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 10,240 bytes."""
    path = tmp_path / "file"
    path.write_bytes(CONTENTS)
    return path


def replace(path: Path, contents: bytes = b"another") -> None:
    """Put another file in its place, as a trainer does that keeps the newest checkpoint under one name."""
    other = path.with_name("other")
    other.write_bytes(contents)
    other.replace(path)


def test_stat(tmp_path: Path, file: Path) -> None:
    """A file has a size and a time, a folder is one, what isn't there is absent, what can't be read is other."""
    found = storage.stat(file)
    assert (found.kind, found.size, found.modified_ns) == ("file", 10240, file.stat().st_mtime_ns)
    assert storage.stat(tmp_path).kind == "folder"
    os.mkfifo(tmp_path / "pipe")
    assert storage.stat(tmp_path / "pipe").kind == "other"
    for absent in ("nothing", "nothing/deeper", "file/deeper"):
        assert storage.stat(tmp_path / absent) == ABSENT
        assert not storage.is_there(tmp_path / absent)


@pytest.mark.parametrize(
    ("name", "reason"), [("n" * 300, "File name too long"), ("null\0character", "embedded null byte")]
)
def test_names_that_cannot_be(tmp_path: Path, name: str, reason: str) -> None:
    """A name that the operating system refuses is one sentence, and nothing is there."""
    with pytest.raises(NotFoundError) as caught:
        storage.stat(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: can't be read ({reason})"
    assert not storage.is_there(tmp_path / name)
    assert not storage.is_folder(tmp_path / name)


def test_a_stat_is_equal_while_the_file_is_the_same(file: Path) -> None:
    """Writing to a file, or putting another in its place, makes it another."""
    before = storage.stat(file)
    assert storage.stat(file) == before
    replace(file)
    assert storage.stat(file) != before


def test_list_folder(tmp_path: Path, file: Path) -> None:
    """One level of names; a link to a folder is no folder, so that nobody follows it round in circles."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    assert sorted(storage.list_folder(tmp_path)) == [Entry("file", False), Entry("folder", True), Entry("link", False)]
    with pytest.raises(NotFoundError) as caught:
        storage.list_folder(file)
    assert str(caught.value) == f"{file}: can't be read (Not a directory)"


@pytest.mark.parametrize("pattern", ["*", "a*", "?", "[ab]", "**/c", "**", "b/*", "nothing*", "../*/b", ".h*"])
def test_patterns_match_as_the_shell_matches(tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns stand for what is there, folders marked, hidden names only where they are asked for."""
    for name in ("a/c", "b/c", "b/d/c", ".hidden/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    expected = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the oracle
    found = list(storage.find_matches(Path(pattern)))
    assert sorted(entry.name for entry in found) == sorted(expected)
    assert [entry.is_folder for entry in found] == [Path(entry.name).is_dir() for entry in found]


def test_reads_any_range(file: Path) -> None:
    """Bytes come from where they are asked for, into new memory or into the caller's."""
    with storage.open_file(file) as opened:
        assert opened.size == len(CONTENTS)
        assert opened.read(0, opened.size) == CONTENTS
        assert opened.read(300, 0) == b""
        buffer = np.zeros(700, np.uint8)
        opened.read_into(buffer, 5000)
        assert buffer.tobytes() == CONTENTS[5000:5700]


def test_reads_past_the_end(file: Path) -> None:
    """Bytes that aren't there are one sentence, and nothing is allocated for them."""
    with storage.open_file(file) as opened:
        for read in (
            lambda: opened.read(10_000, 1 << 50),
            lambda: opened.read_into(np.zeros(241, np.uint8), 10_000),
        ):
            with pytest.raises(DamagedFileError, match=r"is 10240 bytes long, but bytes up to \d+ are needed"):
                read()


def test_threads_read_at_once(file: Path) -> None:
    """Threads that share a file, opened by whoever reads first, don't disturb each other."""
    wrong = []
    opened = storage.open_file(file, storage.stat(file))

    def read(start: int) -> None:
        wrong.extend(at for at in range(start, 10_000, 7) if opened.read(at, 100) != CONTENTS[at : at + 100])

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.close()
    assert not wrong


def test_closed(file: Path) -> None:
    """A closed file says so; closing twice is harmless."""
    opened = storage.open_file(file)
    opened.close()
    opened.close()
    with pytest.raises(RequestError) as caught:
        opened.read(0, 1)
    assert str(caught.value) == f"{file}: its checkpoint has been closed; open it again"


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """What is missing or no file is one sentence."""
    with pytest.raises(NotFoundError) as missing:
        storage.open_file(tmp_path / "gone")
    assert str(missing.value) == (
        f"{tmp_path / 'gone'}: is missing; copy it to this folder, where the rest of its checkpoint lies"
    )
    with pytest.raises(NotFoundError) as folder:
        storage.open_file(tmp_path)
    assert str(folder.value) == f"{tmp_path}: can't be read (it is not a file)"


def test_an_open_file_stays_what_it_was(file: Path) -> None:
    """A file that is replaced while it is open is still the old one, also for a library that opens it by its name."""
    with storage.open_file(file) as opened:
        replace(file)
        assert opened.read(0, 10240) == CONTENTS
        assert opened.stream().read() == CONTENTS
        name = opened.native_path()
        assert name is not None
        assert Path(name.decode()).read_bytes() == CONTENTS


def test_a_pinned_file_is_the_same_or_an_error(file: Path) -> None:
    """A file that is looked at first and read later is never another that was put in its place meanwhile."""
    sentence = f"{file}: was replaced while its checkpoint was being read; open the checkpoint again"
    pinned = storage.open_file(file, storage.stat(file))
    assert pinned.size == 10240
    assert pinned.read(0, 4) == CONTENTS[:4]
    later = storage.open_file(file, storage.stat(file))
    replace(file)
    assert pinned.read(4, 4) == CONTENTS[4:8]
    with pytest.raises(DamagedFileError) as caught:
        later.read(0, 4)
    assert str(caught.value) == sentence
    file.unlink()
    with pytest.raises(NotFoundError, match="is missing"):
        storage.open_file(file, storage.stat(file)).read(0, 1)


def test_locate(tmp_path: Path, file: Path) -> None:
    """The first look gives the kind, the first 512 bytes and the last 8."""
    found = storage.locate(file)
    assert (found.kind, found.size, found.head, found.tail) == ("file", 10240, CONTENTS[:512], CONTENTS[-8:])
    for size in (0, 5, 8, 512, 513):
        (tmp_path / "short").write_bytes(CONTENTS[:size])
        found = storage.locate(tmp_path / "short")
        assert (found.size, found.head, found.tail) == (size, CONTENTS[: min(size, 512)], CONTENTS[:size][-8:])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedError, match="neither a file nor a folder"):
        storage.locate(tmp_path / "pipe")


def test_total_size(tmp_path: Path, file: Path) -> None:
    """A folder is as large as all files below it; links to folders are not followed."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(bytes(10))
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert storage.total_size(file) == 10240
    assert storage.total_size(tmp_path) == 10250
    assert storage.total_size(tmp_path / "nothing") == 0


def test_links(tmp_path: Path) -> None:
    """Where a link leads is told as it is written."""
    (tmp_path / "link").symlink_to("objects/abc")
    assert storage.link_target(tmp_path / "link") == "objects/abc"
    assert storage.link_target(tmp_path) is None


def test_what_is_kept_temporarily(tmp_path: Path) -> None:
    """Unpacked bytes lie in a file that has no name and is called by its archive's."""
    file = storage.keep_temporarily([b"ab", b"", b"c"], tmp_path / "m.keras")
    assert (file.path, file.size, file.read(0, 3)) == (tmp_path / "m.keras", 3, b"abc")
    file.close()


def test_pinned_files(tmp_path: Path) -> None:
    """A checkpoint's files are those of the moment when it was opened, the missing ones left out."""
    for name in ("index", "shard"):
        (tmp_path / name).write_bytes(name.encode())
    pinned = PinnedFiles()
    pinned.open(tmp_path / "index")
    shard, missing = pinned.pin(tmp_path / "shard"), pinned.pin(tmp_path / "missing")
    assert pinned.pin_if_there(tmp_path / "graph") is None
    assert pinned.paths == (tmp_path / "index", tmp_path / "shard")
    assert [each.size for each in pinned.stats] == [5, 5]
    assert pinned.read_head(3) == b"ind"
    pinned.check(tmp_path / "index")
    replace(tmp_path / "index")
    with pytest.raises(DamagedFileError, match="index: was replaced while its checkpoint was being opened"):
        pinned.check(tmp_path / "index")
    assert shard.read(0, 5) == b"shard"
    with pytest.raises(NotFoundError, match="is missing"):
        missing.read(0, 1)
    pinned.close()
    with pytest.raises(RequestError, match="has been closed"):
        shard.read(0, 1)


@pytest.mark.parametrize("address", ["ftp://host/x", "hdfs://name/run/ckpt-1", "scp://host/model.keras"])
def test_addresses_that_cant_be_read_are_refused_as_they_were_given(address: str) -> None:
    """With what to do instead."""
    with pytest.raises(UnsupportedError, match=f"^{re.escape(address)}: can't be read.*copy"):
        storage.as_path(address)


def test_what_looks_like_an_address_and_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `file://` is one of this machine's."""
    (tmp_path / "gs:" / "bucket").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert storage.as_path("gs://bucket") == Path("gs:/bucket")
    assert storage.as_path("file:///a/b") == Path("/a/b")


def test_small_pieces_are_read_together(file: Path) -> None:
    """Each to its place; what isn't there, or is of no open file, is told of."""
    buffer = np.zeros(10, np.uint8)
    with storage.open_file(file) as opened:
        descriptor = opened.descriptor()
        assert descriptor is not None
        assert storage.read_pieces(descriptor, buffer, [(1000, 0, 3), (7, 5, 2)])
        assert bytes(buffer) == CONTENTS[1000:1003] + bytes(2) + CONTENTS[7:9] + bytes(3)
        assert not storage.read_pieces(descriptor, buffer, [(10238, 0, 3)])
    assert not storage.read_pieces(-1, buffer, [(0, 0, 3)])


@pytest.mark.parametrize("is_compiled", [True, False])
def test_list_stats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_compiled: bool) -> None:
    """Sizes and times are those of `stat`, links to files followed; whatever bytes a name has, and however many there
    are. A link to a folder counts as a file, one that leads nowhere has no size."""
    if is_compiled and local.loops is None:
        pytest.skip("the loops were not compiled")
    if not is_compiled:
        monkeypatch.setattr(local, "loops", None)
    top = tmp_path / "top"
    names = [*(f"file-{number}" for number in range(500)), "ä", os.fsdecode(b"\xff"), "a\nb", ".hidden"]
    (top / "inner").mkdir(parents=True)
    for number, name in enumerate(names):
        (top / name).write_bytes(bytes(number))
        os.utime(top / name, ns=(1, 1_700_000_000_123_456_789 - number * 2**40))
    os.utime(top / names[0], ns=(1, -1_500_000_000))
    (top / "link").symlink_to(top / "ä")
    (top / "link to a folder").symlink_to(top / "inner")
    (top / "link to nothing").symlink_to(top / "nothing")
    found = storage.list_stats(top)
    assert found is not None
    assert found.folders == ["inner"]
    each = {name: (size, time) for name, size, time in zip(found.names, found.sizes, found.modified_ns, strict=True)}
    assert each.pop("link to nothing") == (-1, 0)
    assert each == {
        name: (status.st_size, status.st_mtime_ns)
        for name in (*names, "link", "link to a folder")
        for status in [(top / name).stat()]
    }
    empty = storage.list_stats(top / "inner")
    assert empty is not None
    assert (empty.names, empty.folders, empty.sizes.tolist()) == ([], [], [])
    for other in ("nothing", "ä"):
        with pytest.raises(NotFoundError, match=other):
            storage.list_stats(top / other)
