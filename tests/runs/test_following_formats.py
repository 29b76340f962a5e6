"""Checkpoints of each kind that arrive piece by piece, in folders and buckets: each complete one is taken once."""

from __future__ import annotations

import itertools
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store
from support.adam_bundles import save_bundle
from support.keras_files import Run
from support.object_servers import BUCKET, s3_server

import ckpt_inspect as ci
from ckpt_inspect import Followed
from ckpt_inspect.runs import following, movement
from ckpt_inspect.series import watch
from ckpt_inspect.storage import credentials, objects

FIXTURES = Path(__file__).parents[2] / "fixtures"
SHARD = ".data-00000-of-00001"

Piece = Callable[[], object]
"""Something that a writer does between two looks."""


def in_pieces(source: Path, target: Path) -> Iterator[Piece]:
    """Write a file's beginning, more of it, then all of it."""
    content = source.read_bytes()
    for size in (len(content) // 3, len(content) // 2, len(content)):
        yield lambda size=size: (target.parent.mkdir(parents=True, exist_ok=True), target.write_bytes(content[:size]))


def file_by_file(source: Path, target: Path) -> Iterator[Piece]:
    """Write a folder's files in the order of their names, each at once."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        place = target / path.relative_to(source)
        yield lambda path=path, place=place: (place.parent.mkdir(parents=True, exist_ok=True), shutil.copy(path, place))


def renamed(source: Path, target: Path, temporary: str) -> Iterator[Piece]:
    """Write a folder under another name, file by file, then rename it."""
    written = target.with_name(temporary)
    yield from file_by_file(source, written)
    yield lambda: written.rename(target)


def weights_of(archive: Path, folder: Path) -> Path:
    """The `.weights.h5` in a `.keras`."""
    with zipfile.ZipFile(archive) as file:
        return Path(file.extract("model.weights.h5", folder / archive.stem))


def keras_files(run: Path, _: Path) -> Iterable[Piece]:
    for name in ("epoch-01.keras", "epoch-02.keras", "epoch-03.keras"):
        yield from in_pieces(FIXTURES / "digits" / name, run / name)


def weights_files(run: Path, scratch: Path) -> Iterable[Piece]:
    for number in (1, 2, 3):
        source = weights_of(FIXTURES / "digits" / f"epoch-0{number}.keras", scratch)
        yield from in_pieces(source, run / f"epoch-{number}.weights.h5")


def backup_and_restore(run: Path, scratch: Path) -> Iterable[Piece]:
    """Keras 3 writes over one file, and its metadata after it."""
    for number in (1, 2, 3):
        source = weights_of(FIXTURES / "digits" / f"epoch-0{number}.keras", scratch)
        yield from in_pieces(source, run / "latest.weights.h5")
        yield lambda: (run / "training_metadata.json").write_text("{}")


def former_backup_and_restore(run: Path, scratch: Path) -> Iterable[Piece]:
    """Before, a checkpoint manager in a folder of the worker's keeps one."""
    trained, before = Run(), None
    for number in (1, 2, 3):
        made = save_bundle(trained.train(2), scratch / f"ckpt-{number}")
        for suffix in (SHARD, ".index"):
            yield from in_pieces(Path(f"{made}{suffix}"), run / "chief" / f"{made.name}{suffix}")
        for suffix in (SHARD, ".index") if before else ():
            yield Path(f"{before}{suffix}").unlink
        before = run / "chief" / made.name


def orbax_steps(run: Path, _: Path) -> Iterable[Piece]:
    for step in ("5", "10"):
        yield from renamed(FIXTURES / "orbax" / "run" / step, run / step, f"{step}.orbax-checkpoint-tmp-17")


def orbax_steps_without_renaming(run: Path, _: Path) -> Iterable[Piece]:
    for step in ("5", "10"):
        yield from file_by_file(FIXTURES / "orbax" / "run" / step, run / step)


def saved_model(run: Path, _: Path) -> Iterable[Piece]:
    return file_by_file(FIXTURES / "recorded" / "tf20_v2_fit_savedmodel" / "sm_6", run / "sm_6")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for; what fails is reported at the end, or when it is gone."""
    monkeypatch.setattr(watch, "YOUNG", 1e9)
    monkeypatch.setattr(movement, "_PATIENCE", 0.0)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[Piece]], list[float]]:
    """Do one piece of work between two looks; give the seconds that each look was waited for."""

    def take(pieces: Iterable[Piece]) -> list[float]:
        left, waited = iter(pieces), list[float]()

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            next(left, lambda: None)()

        monkeypatch.setattr(following.time, "sleep", sleep)
        return waited

    return take


def taken(events: Iterable[Followed]) -> list[tuple[str, int | None]]:
    found = list(events)
    assert [each.problem for each in found] == [None] * len(found)
    return [(each.checkpoint, each.step) for each in found]


def quiet(count: int) -> Sequence[Piece]:
    """Looks between which nothing happens."""
    return [lambda: None] * count


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (keras_files, [("epoch-01.keras", 22), ("epoch-02.keras", 44), ("epoch-03.keras", 66)]),
        (weights_files, [("epoch-1.weights.h5", 22), ("epoch-2.weights.h5", 44), ("epoch-3.weights.h5", 66)]),
        (backup_and_restore, [("latest.weights.h5", 22), ("latest.weights.h5", 44), ("latest.weights.h5", 66)]),
        (former_backup_and_restore, [("ckpt-1", 2), ("ckpt-2", 4), ("ckpt-3", 6)]),
        (orbax_steps, [("5", 1), ("10", 2)]),
        (orbax_steps_without_renaming, [("5", 1), ("10", 2)]),
        (saved_model, [("sm_6", 6)]),
    ],
)
def test_each_is_taken_once_when_it_is_whole(
    tmp_path: Path,
    between: Callable[..., list[float]],
    pieces: Callable[[Path, Path], Iterable[Piece]],
    expected: list[tuple[str, int]],
) -> None:
    """Whatever is there of it at the looks before; nothing is reported."""
    (tmp_path / "scratch").mkdir()
    writing = (each for piece in pieces(tmp_path / "run", tmp_path / "scratch") for each in (piece, *quiet(1)))
    waited = between(itertools.chain(writing, quiet(3)))
    events = ci.follow(tmp_path / "run", store=tmp_path / "a.h5", every=1, idle=1e9)
    found = taken(itertools.islice(events, len(expected)))
    assert found == expected
    assert len(waited) > len(expected)


def test_what_was_taken_may_go_file_by_file(tmp_path: Path, between: Callable[..., list[float]]) -> None:
    """Nobody has to be told that a folder, on its way out, can't be read."""
    shutil.copytree(FIXTURES / "orbax" / "run", tmp_path / "run")
    files = sorted(p for p in (tmp_path / "run" / "5").rglob("*") if p.is_file())
    between([*quiet(2), *(file.unlink for file in files), lambda: shutil.rmtree(tmp_path / "run")])
    events = ci.follow(tmp_path / "run", store=tmp_path / "a.h5", every=1, idle=0.5)
    assert taken(events) == [("5", 1), ("10", 2)]


# --- a bucket


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    """An empty one, to which this process has the keys."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with s3_server() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        objects.forget()
        credentials.forget()
        yield S3Store(BUCKET, client_options={"allow_http": True})
    objects.forget()
    credentials.forget()


def test_a_bucket_into_which_checkpoints_are_uploaded(
    tmp_path: Path, bucket: S3Store, between: Callable[..., list[float]]
) -> None:
    """Each is taken when its index and all its data are there, again if it is replaced; it stays when it is deleted."""
    trained, made = Run(), tmp_path / "made"

    def put(*names: str) -> Piece:
        """Upload these of what was made."""

        def piece() -> None:
            for name in names:
                obstore.put(bucket, f"run/{name}", (made / name).read_bytes())

        return piece

    def make(name: str) -> None:
        made.mkdir(exist_ok=True)
        save_bundle(trained.train(2), made / name)

    def pieces() -> Iterator[Piece]:
        yield from quiet(1)
        make("ckpt-1")
        yield put(f"ckpt-1{SHARD}")  # the data first
        yield from quiet(1)
        yield put("ckpt-1.index")
        make("ckpt-2")
        yield put("ckpt-2.index")  # the index first
        yield from quiet(1)
        yield put(f"ckpt-2{SHARD}")
        make("ckpt-2")
        yield put(f"ckpt-2{SHARD}", "ckpt-2.index")
        yield lambda: obstore.delete(bucket, [f"run/ckpt-1{SHARD}", "run/ckpt-1.index"])
        make("ckpt-3")
        yield put(f"ckpt-3{SHARD}", "ckpt-3.index")

    waited = between(pieces())
    events = ci.follow(f"s3://{BUCKET}/run", store=tmp_path / "a.h5", until=8)
    assert taken(events) == [("ckpt-1", 2), ("ckpt-2", 4), ("ckpt-2", 6), ("ckpt-3", 8)]
    assert set(waited) == {30.0}
    stored = ci.load(tmp_path / "a.h5")
    assert [int(step) for step in stored.optimizers["Adam"].variables["step"]] == [2, 6, 8]
