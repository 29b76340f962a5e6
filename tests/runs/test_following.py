"""A training that goes on: each complete checkpoint is taken once, whatever else happens in its folder."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.adam_bundles import save_bundle, save_series
from support.keras_files import Run
from support.object_servers import web_server

import ckpt_inspect as ci
from ckpt_inspect import Followed
from ckpt_inspect.errors import RequestError, StoreError
from ckpt_inspect.measurement.columns import RunColumns
from ckpt_inspect.runs import following, movement
from ckpt_inspect.runs import store as stores
from ckpt_inspect.runs.analyze import analyze as analyze_run
from ckpt_inspect.series import watch
from ckpt_inspect.series.run import Run as Run_
from ckpt_inspect.storage import NoAnswerError

SHARD = ".data-00000-of-00001"


class Training:
    """A run that is saved into a folder as a CheckpointManager does: the index comes last, five are kept."""

    def __init__(self, folder: Path, kept: int = 5) -> None:
        self.folder, self.kept = folder, kept
        self.run = Run()
        self.saved: list[Path] = []

    def save(self, name: str = "") -> Path:
        self.folder.mkdir(exist_ok=True)
        self.run.train(2)
        path = save_bundle(self.run, self.folder / (name or f"ckpt-{self.run.step}"))
        if path not in self.saved:
            self.saved.append(path)
        while len(self.saved) > self.kept:
            delete(self.saved.pop(0))
        return path


def delete(prefix: Path) -> None:
    for file in prefix.parent.glob(f"{prefix.name}.*"):
        file.unlink()


def damage(prefix: Path) -> None:
    data = Path(f"{prefix}{SHARD}")
    raw = bytearray(data.read_bytes())
    raw[7] ^= 1
    data.write_bytes(raw)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is no longer young at once, and nothing is waited for."""
    monkeypatch.setattr(watch, "YOUNG", 0.0)
    monkeypatch.setattr(movement, "_PATIENCE", 0.0)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[object]], None]:
    """Have something happen between two looks: the next of an iterator; after its end, nothing."""

    def take(events: Iterator[object]) -> None:
        monkeypatch.setattr(following.time, "sleep", lambda _: next(events, None))

    return take


def taken(events: list[Followed]) -> list[str]:
    return [each.checkpoint for each in events if each.problem is None]


def steps_in(store: Path) -> list[int]:
    return [int(step) for step in ci.load(store).optimizers["Adam"].variables["step"]]


# --- what comes


def test_every_complete_checkpoint_is_taken_once(tmp_path: Path, between: Callable[..., None]) -> None:
    """Of forty saves of which five stay; one is damaged, one left unfinished, one replaced; the folder comes late."""
    training = Training(tmp_path / "run")

    def events() -> Iterator[object]:
        yield None
        (tmp_path / "run").mkdir()
        yield None
        for number in range(40):
            path = training.save()
            if number == 7:
                damage(path)
            if number == 11:  # killed in the middle: the shard is there, the index is not
                (training.folder / f"ckpt-{training.run.step + 1}{SHARD}").write_bytes(b"half")
            yield None
            if number == 20:
                save_bundle(training.run.train(1), path)
                yield None

    between(events())
    found = list(ci.follow(tmp_path / "run", folder=tmp_path, until=81, every=1))
    steps = [each.step for each in found if each.problem is None]
    expected = [*range(2, 16, 2), *range(18, 44, 2), 43, *range(45, 82, 2)]
    assert steps == expected
    (problem,) = [each.problem for each in found if each.problem is not None]
    assert "bad CRC" in problem.message
    assert steps_in(tmp_path / "run.ckpt-inspect.h5") == [step for step in expected if step != 42]


def test_the_store_is_that_of_an_analysis(tmp_path: Path, between: Callable[..., None]) -> None:
    """Every column, when all files are still there."""
    training = Training(tmp_path / "run", kept=100)
    between(iter(lambda: training.save() and None, 0))
    list(ci.follow(tmp_path / "run", store=tmp_path / "a.h5", until=24, every=1))
    assert ci.load(tmp_path / "a.h5") == ci.analyze(tmp_path / "run", store=tmp_path / "b.h5")


def test_what_the_store_has_is_not_yielded(tmp_path: Path, between: Callable[..., None]) -> None:
    """A following that begins again goes on where the last one stopped."""
    training = Training(tmp_path / "run")
    for _ in range(3):
        training.save()
    ci.analyze(tmp_path / "run", store=tmp_path / "run.ckpt-inspect.h5")
    between(iter(lambda: training.save() and None, 0))
    assert taken(list(ci.follow(tmp_path / "run", folder=tmp_path, until=8, every=1))) == ["ckpt-8"]


def test_a_young_file_is_looked_at_twice(
    tmp_path: Path, between: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read when it is as it was at the look before."""
    monkeypatch.setattr(watch, "YOUNG", 30.0)
    path = Run().train(3).save(tmp_path / "model.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    grown = (path.write_bytes(whole[:size]) for size in (2000, 3000, len(whole)))
    opened: list[int] = []
    real = following.Following._taken
    monkeypatch.setattr(
        following.Following,
        "_taken",
        lambda self, *given, **named: (opened.append(path.stat().st_size), real(self, *given, **named))[1],
    )
    between(grown)
    assert taken(list(ci.follow(path, store=tmp_path / "a.h5", until=3))) == ["model.h5"]
    assert opened == [len(whole)]


def test_damage_is_reported_once_and_tried_again_when_it_changes(tmp_path: Path, between: Callable[..., None]) -> None:
    """The repaired one is taken in its place."""
    training = Training(tmp_path / "run")
    training.save()
    bad = training.save()
    content = Path(f"{bad}{SHARD}").read_bytes()
    damage(bad)

    def events() -> Iterator[object]:
        for _ in range(3):
            yield None
        yield training.save()
        yield None
        yield Path(f"{bad}{SHARD}").write_bytes(content)

    between(events())
    found = list(itertools.islice(ci.follow(tmp_path / "run", folder=tmp_path, every=1), 4))
    assert [each.problem is not None for each in found].count(True) == 1
    assert taken(found) == ["ckpt-2", "ckpt-6", "ckpt-4"]
    assert steps_in(tmp_path / "run.ckpt-inspect.h5") == [2, 4, 6]


def test_the_folder_may_go_and_come_back(tmp_path: Path, between: Callable[..., None]) -> None:
    """The trainer began anew: other contents under the same names are taken in the place of the old ones."""
    training = Training(tmp_path / "run")
    training.save()
    again = Training(tmp_path / "run")
    again.run = Run(1)

    def events() -> Iterator[object]:
        yield shutil.rmtree(tmp_path / "run")
        yield None
        yield again.save("ckpt-2")
        yield again.save()

    between(events())
    assert taken(list(ci.follow(tmp_path / "run", folder=tmp_path, until=4, every=1))) == ["ckpt-2", "ckpt-2", "ckpt-4"]
    assert steps_in(tmp_path / "run.ckpt-inspect.h5") == [2, 4]


def test_two_runs_have_a_store_each(tmp_path: Path, between: Callable[..., None]) -> None:
    """Of which each goes on by itself."""
    runs = [Training(tmp_path / name) for name in ("a", "b")]
    between(iter(lambda: [run.save() for run in runs] and None, 0))
    found = ci.follow([run.folder for run in runs], folder=tmp_path, every=1)
    assert sorted((each.run, each.step) for each in itertools.islice(found, 4)) == [
        ("a", 2), ("a", 4), ("b", 2), ("b", 4),
    ]  # fmt: skip
    with pytest.raises(RequestError, match="one store can't hold 2 runs"):
        list(ci.follow([run.folder for run in runs], store=tmp_path / "one.h5", every=1))


# --- how it ends


def test_it_ends_when_nothing_changes(tmp_path: Path) -> None:
    """After so many seconds; what can't be read is reported by then, and in the store."""
    (_, bad) = save_series(tmp_path / "run", 2)
    damage(bad)
    found = list(ci.follow(tmp_path / "run", folder=tmp_path, idle=0.05, every=0.01))
    assert taken(found) == ["model.ckpt-10"]
    assert sum(each.problem is not None for each in found) == 1
    assert len(ci.load(tmp_path / "run.ckpt-inspect.h5").failures) == 1


def test_work_is_no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved while a checkpoint is read, or a page drawn of it, is taken, however long that took."""
    monkeypatch.setattr(watch, "YOUNG", 30.0)
    training = Training(tmp_path / "run")
    names = [training.save().name]
    found = []
    for event in ci.follow(tmp_path / "run", folder=tmp_path, idle=0.05, every=0.01):
        found.append(event)
        if len(names) < 3:
            names.append(training.save().name)
        time.sleep(0.1)
    assert taken(found) == names


def test_it_ends_although_nothing_ever_came(tmp_path: Path) -> None:
    """No store is written."""
    assert list(ci.follow(tmp_path / "run", folder=tmp_path, idle=0.05, every=0.01)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fail_on", "ids"), [("no-progress", 0), ("critical", 1), ("nonfinite-state", 1)])
def test_it_ends_by_a_finding(tmp_path: Path, between: Callable[..., None], fail_on: str, ids: int) -> None:
    """Of a severity, or by its id; the last that is yielded names it."""
    training = Training(tmp_path / "run")
    if not ids:
        with pytest.raises(RequestError, match="nor the id of a finding"):
            ci.follow(tmp_path / "run", fail_on=fail_on)
        return

    def events() -> Iterator[object]:
        yield training.save()
        next(iter(training.run.second.values()))[:] = float("nan")
        while True:
            yield training.save()

    between(events())
    found = list(ci.follow(tmp_path / "run", folder=tmp_path, fail_on=fail_on, every=1))
    assert [bool(each.fails_on) for each in found] == [False, True]
    assert "nonfinite-state" in found[-1].fails_on


def test_an_interrupt_leaves_a_whole_store(tmp_path: Path, between: Callable[..., None]) -> None:
    """With what was taken by then."""
    training = Training(tmp_path / "run")

    def events() -> Iterator[object]:
        yield training.save()
        yield training.save()
        raise KeyboardInterrupt

    between(events())
    with pytest.raises(KeyboardInterrupt):
        list(ci.follow(tmp_path / "run", folder=tmp_path, every=1))
    assert steps_in(tmp_path / "run.ckpt-inspect.h5") == [2, 4]


# --- a disk that is full for a while


def test_a_full_disk_is_waited_for(
    tmp_path: Path, between: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported once, and what came meanwhile is taken when there is room again."""
    training = Training(tmp_path / "run", kept=100)
    real, is_full = stores.save, []

    def save(*given: object, **named: object) -> None:
        if is_full:
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise StoreError("run.ckpt-inspect.h5: can't be written (No space left on device)") from error
        real(*given, **named)  # type: ignore[arg-type]  # as they were given

    def events() -> Iterator[object]:
        yield training.save()
        yield is_full.append(True)
        for _ in range(3):
            yield training.save()
        yield is_full.clear()
        while True:
            yield training.save()

    monkeypatch.setattr(stores, "save", save)
    between(events())
    found = list(ci.follow(tmp_path / "run", folder=tmp_path, until=10, every=1))
    assert [each.problem.code for each in found if each.problem is not None] == ["not-written"]
    assert steps_in(tmp_path / "run.ckpt-inspect.h5") == [2, 4, 6, 8, 10]


def test_it_does_not_end_well_while_the_disk_is_full(
    tmp_path: Path, between: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would say that the store lacks what came last."""
    training = Training(tmp_path / "run")
    training.save()

    def save(*_: object, **__: object) -> None:
        raise StoreError("a.h5: can't be written") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stores, "save", save)
    events = ci.follow(tmp_path / "run", store=tmp_path / "a.h5", idle=0.05, every=0.01)
    problem = next(events).problem
    assert problem is not None
    assert problem.code == "not-written"
    with pytest.raises(StoreError, match="can't be written"):
        list(events)


# --- what is refused


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"every": 0}, "every must be a number of seconds above 0"),
        ({"idle": "x"}, "idle must be a number of seconds above 0"),
        ({"until": 0}, "until must be a whole number from 1 on"),
        ({"given": {"learning_rate": lambda step: 0.1}}, "give the rates as a table"),
        ({"workers": 2, "cluster": "tcp://x"}, "choose one"),
    ],
)
def test_wrong_arguments(tmp_path: Path, given: dict[str, object], told: str) -> None:
    """At once, or when it begins."""
    with pytest.raises(RequestError, match=told):
        list(ci.follow(tmp_path, **given))  # type: ignore[arg-type]  # on purpose


def test_old_files_are_read_at_the_first_look(tmp_path: Path, between: Callable[..., None]) -> None:
    """Those of a training that was there before."""
    for path in save_series(tmp_path / "run", 3):
        for file in path.parent.glob(f"{path.name}.*"):
            os.utime(file, (1e9, 1e9))
    between(iter([]))
    assert len(list(itertools.islice(ci.follow(tmp_path / "run", folder=tmp_path), 3))) == 3


def test_what_is_deleted_between_listing_and_planning_stays_in_the_store(
    tmp_path: Path, between: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read before, and is as any other that was deleted since."""
    training = Training(tmp_path / "run", kept=100)
    paths = [training.save() for _ in range(3)]
    real = following.Following._taken

    def delete_first(self: following.Following, *given: object, **named: object) -> Iterator[following.Taken]:
        if len(training.saved) > 3:
            delete(paths[0])
        return real(self, *given, **named)  # type: ignore[arg-type]  # as they were given

    monkeypatch.setattr(following.Following, "_taken", delete_first)
    between(iter(lambda: training.save() and None, 0))
    list(ci.follow(tmp_path / "run", folder=tmp_path, until=10, every=1))
    assert steps_in(tmp_path / "run.ckpt-inspect.h5") == [2, 4, 6, 8, 10]


def test_damage_that_is_deleted_while_it_is_young_is_reported(
    tmp_path: Path, between: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was tried while it might have been written still; nobody can try again."""
    monkeypatch.setattr(watch, "YOUNG", 1e9)
    training = Training(tmp_path / "run")
    training.save()
    damage(bad := training.save())

    def events() -> Iterator[object]:
        yield None
        yield None
        yield delete(bad)
        while True:
            yield training.save() if training.run.step < 6 else None

    between(events())
    found = list(ci.follow(tmp_path / "run", folder=tmp_path, until=6, every=1))
    assert [each.problem is not None for each in found] == [False, True, False]


def test_what_a_server_refuses_is_said_once_and_taken_when_it_gives_it(
    tmp_path: Path, between: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of the folder names a checkpoint whose files it doesn't let be read."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(watch, "UPLOADING", 0.0)
    Training(tmp_path / "run").save()
    with web_server(tmp_path) as server:
        server.fault, server.every, server.only = "refused", 1, SHARD

        def events() -> Iterator[object]:
            yield None
            yield None
            server.fault = ""
            yield None

        between(events())
        found = list(ci.follow(f"{server.address}/run", folder=tmp_path, until=1, every=1, idle=60))
    problems = [each.problem for each in found if each.problem is not None]
    assert [problem.code for problem in problems] == [following.CANT_LOOK]
    assert "refuses" in problems[0].message
    assert [each.step for each in found if each.problem is None] == [2]


def test_what_can_t_be_read_for_the_moment_is_said_once_and_tried_again(
    tmp_path: Path, between: Callable[..., None]
) -> None:
    """Whoever lists a checkpoint, and gives none of its bytes, may give them later."""
    Training(tmp_path / "run").save()
    refusals = iter(["refuses it", "refuses it"])

    def analyze(run: Run_, **options: object) -> RunColumns:
        for refusal in refusals:
            raise NoAnswerError(refusal)
        return analyze_run(run, **options)  # type: ignore[arg-type]

    between(itertools.repeat(None))
    found = list(
        following.follow([tmp_path / "run"], tmp_path, analyze, lambda taken: bool(taken.rows), every=1, idle=60)
    )
    problems = [problem for each in found for problem in each.problems]
    assert [(problem.code, problem.message) for problem in problems] == [(following.CANT_LOOK, "refuses it")]
    assert found[-1].rows == (0,)
