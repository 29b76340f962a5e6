"""Buckets and web servers: the same is read from them as from the disk, in few requests, or one sentence says why
not."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.keras_files import Run, save_large_archive
from support.object_servers import (
    AZURITE,
    BUCKET,
    WebServer,
    azure_server,
    google_server,
    s3_server,
    upload,
    web_server,
)

import ckpt_inspect
from ckpt_inspect.errors import CkptInspectError, DamagedFileError, NotFoundError, RequestError, UnsupportedError
from ckpt_inspect.measurement.stored import StoredState
from ckpt_inspect.native import loops
from ckpt_inspect.storage import as_path, connecting, credentials, objects, open_file, storage_of
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.interface import Stat

if TYPE_CHECKING:
    from obstore import ObjectMeta

RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "formats"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of each kind."""
    place = tmp_path_factory.mktemp("runs")
    for name in ("saver", "keras"):
        shutil.copytree(FIXTURES / name, place / name)
    return place


@pytest.fixture(autouse=True)
def _forget_storages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Connect anew in each test, and use no settings of whoever runs it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    objects.forget()
    credentials.forget()
    yield
    objects.forget()
    credentials.forget()


@pytest.fixture(scope="module")
def servers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, dict[str, str]]]]:
    """Start each server with the folder's files; give each one's address and environment."""
    with ExitStack() as stack:
        s3, google = stack.enter_context(s3_server()), stack.enter_context(google_server())
        upload(folder, s3)
        upload(folder, google)
        web = stack.enter_context(web_server(folder))
        found = {"s3": (f"s3://{BUCKET}", s3), "gs": (f"gs://{BUCKET}", google), "http": (web.address, {})}
        if AZURITE is not None:
            azure = stack.enter_context(azure_server(tmp_path_factory.mktemp("azure")))
            upload(folder, azure)
            found["az"] = (f"az://{BUCKET}", azure)
        yield found


HAS_AZURITE = pytest.mark.skipif(AZURITE is None, reason="npm's azurite is not installed")


@pytest.fixture(params=["s3", "gs", "http", pytest.param("az", marks=HAS_AZURITE)])
def address(
    request: pytest.FixtureRequest,
    servers: dict[str, tuple[str, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """Return the address under which a server has the folder."""
    found, environment = servers[request.param]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def web(folder: Path) -> Iterator[WebServer]:
    """Serve the folder on the web."""
    with web_server(folder) as server:
        yield server


def _contents(path: str) -> dict[str, object]:
    with ckpt_inspect.open_checkpoint(path) as checkpoint:
        read = {name: checkpoint.read(name) for name in checkpoint.tensors}
        states = ckpt_inspect.optimizer_states(checkpoint)
        steps = [(s.name, s.rule, s.step.value) for s in states]
        return {"format": checkpoint.format, "states": steps, **read}


def test_a_folder_is_found_and_read_as_on_the_disk(address: str, folder: Path) -> None:
    """Every checkpoint in it, whatever its format: the same names, in the same order, with the same bits."""
    local = ckpt_inspect.find_checkpoints(folder)
    found = ckpt_inspect.find_checkpoints(address)
    assert [str(p).removeprefix(address) for p in found] == [str(p).removeprefix(str(folder)) for p in local]
    for mine, theirs in zip(local, found, strict=True):
        expected, contents = _contents(str(mine)), _contents(str(theirs))
        assert expected.keys() == contents.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(contents[name], value)


def test_a_run_is_analysed_as_on_the_disk(address: str, folder: Path) -> None:
    """The same effective learning rates."""
    run = next(p for p in sorted(folder.iterdir()) if p.name == "saver")
    local, far = ckpt_inspect.analyze(run), ckpt_inspect.analyze(f"{address}/{run.name}")
    assert local.optimizers.keys() == far.optimizers.keys()
    for name, optimizer in local.optimizers.items():
        np.testing.assert_array_equal(
            far.optimizers[name].variables["effective_lr"], optimizer.variables["effective_lr"]
        )


def _large_model(path: Path) -> Path:
    """A file whose tensors are measured by the loops in C."""
    if path.suffix == ".keras":
        return save_large_archive(path)
    return Run(shapes={"dense/kernel": (512, 512), "head/kernel": (512, 300)}).train(3).save(path)


@pytest.mark.skipif(loops is None, reason="the loops in C are not compiled")
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_arrays_are_measured_where_they_arrive(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the loops in C, without a copy; the figures are those of the file on the disk, and no byte is fetched twice
    but a few of headers."""
    path, taken, sweep = _large_model(tmp_path / name), list[bool](), StoredState.sweep

    def counted(*arguments: Any) -> Any:
        found = sweep(*arguments)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(StoredState, "sweep", counted)
    with web_server(tmp_path) as server:
        far = ckpt_inspect.analyze(f"{server.address}/{name}")
        assert server.sent < 1.2 * path.stat().st_size
    assert taken
    assert all(taken)
    for optimizer, expected in ckpt_inspect.analyze(path).optimizers.items():
        for variable, values in expected.variables.items():
            np.testing.assert_array_equal(far.optimizers[optimizer].variables[variable], values)


def test_damage_of_a_remote_archive_is_found(tmp_path: Path) -> None:
    """By the checksum of all of it, whose bytes are checked where they arrived."""
    path = save_large_archive(tmp_path / "model.keras", is_damaged=True)
    with web_server(tmp_path) as server, pytest.raises(DamagedFileError, match="bad CRC"):
        ckpt_inspect.analyze(f"{server.address}/{path.name}")


def test_a_pattern_matches_names_in_a_bucket(address: str, folder: Path) -> None:
    """`*` and `**`, as on the disk."""
    for pattern in ("*", "saver/*", "**/*.h5"):
        try:
            local = [str(p).removeprefix(str(folder)) for p in ckpt_inspect.find_checkpoints(folder / pattern)]
        except CkptInspectError:
            continue
        found = ckpt_inspect.find_checkpoints(f"{address}/{pattern}")
        assert [str(p).removeprefix(address) for p in found] == local


def test_what_is_not_there_is_one_sentence(address: str) -> None:
    """With the address as it was given."""
    with pytest.raises(NotFoundError, match=f"^{re.escape(address)}/nothing/model.h5: there is no such path") as caught:
        ckpt_inspect.open_checkpoint(f"{address}/nothing/model.h5")
    assert "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there(
    servers: dict[str, tuple[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named."""
    for name, value in servers["s3"][1].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotFoundError, match=r"^s3://other/x: there is no bucket 'other'"):
        ckpt_inspect.open_checkpoint("s3://other/x")


@HAS_AZURITE
def test_a_container_that_is_not_there(
    servers: dict[str, tuple[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, in one line."""
    for name, value in servers["az"][1].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotFoundError, match=r"^az://other/x: there is no container 'other'[^\n]*$"):
        ckpt_inspect.open_checkpoint("az://other/x")


def test_settings_of_azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A connection string, or the variables of `az storage`; without credentials nothing is signed."""
    root = Address("az:/runs")
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_"))]:
        monkeypatch.delenv(name)
    with pytest.raises(RequestError, match=r"^az://runs: .*no storage account is known; set AZURE_STORAGE_ACCOUNT"):
        connecting.azure_settings(root)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "lab")
    assert connecting.azure_settings(root) == {"account_name": "lab", "skip_signature": True}
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    assert connecting.azure_settings(root) == {"account_name": "lab", "account_key": "a2V5"}
    text = "DefaultEndpointsProtocol=https;AccountName=other;AccountKey=a2V5Mg==;EndpointSuffix=core.windows.net"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    endpoint = "https://other.blob.core.windows.net"
    expected = {"account_name": "other", "account_key": "a2V5Mg==", "endpoint": endpoint}
    assert connecting.azure_settings(root) == expected
    text = f"BlobEndpoint={endpoint}/;SharedAccessSignature=sv=1&sig=x%3D"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT")
    assert connecting.azure_settings(root) == {
        "account_name": "other",
        "endpoint": endpoint,
        "sas_key": "sv=1&sig=x%3D",
    }
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")
    assert connecting.azure_settings(root) == {"use_emulator": True}


def test_an_address_without_a_bucket() -> None:
    """It is said what is missing."""
    with pytest.raises(RequestError, match="names no bucket"):
        ckpt_inspect.open_checkpoint("s3://")


def test_without_obstore_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra's name, and the way around."""
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'ckpt-inspect\[remote\]', or copy"):
        ckpt_inspect.open_checkpoint("s3://bucket/x")


def test_files_are_looked_at_side_by_side(web: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each look is a request, none waits for another; what isn't there is no error before it is asked for."""
    paths = [as_path(f"{web.address}/{path.relative_to(folder)}") for path in sorted(folder.rglob("*.index"))[:2]]
    storage, meeting, look = storage_of(paths[0]), Barrier(3, timeout=10), objects.ObjectStorage._look

    def meet(self: objects.ObjectStorage, path: Path, key: str) -> Stat:
        meeting.wait()
        return look(self, path, key)

    monkeypatch.setattr(objects.ObjectStorage, "_look", meet)
    storage.look_together([*paths, as_path(f"{web.address}/nothing")])
    asked = len(web.requests)
    assert [storage.stat(path).kind for path in paths] == ["file", "file"]
    assert len(web.requests) == asked


def test_what_was_looked_at_is_remembered_of_many_small_files(web: WebServer, folder: Path) -> None:
    """Whoever opens them again asks for none of it."""
    (folder / "many").mkdir()
    for i in range(50):
        (folder / "many" / f"{i}").write_bytes(bytes([i]) * 100)

    def read(i: int) -> bytes:
        with open_file(as_path(f"{web.address}/many/{i}")) as file:
            return file.read(10, 5)

    first = [read(i) for i in range(50)]
    web.requests.clear()
    assert [read(i) for i in range(50)] == first == [bytes([i]) * 5 for i in range(50)]
    assert web.requests == []


def test_what_is_expected_next_is_read_of_its_own_plan(tmp_path: Path) -> None:
    """Not of an older one that has some of it as well: neither is left waiting, nor over too early."""
    content = bytes(range(200))
    (tmp_path / "data").write_bytes(content)
    with web_server(tmp_path) as server, open_file(as_path(f"{server.address}/data")) as file:
        file.expect([(file, 0, 200)])
        file.expect([(file, 0, 50)])
        (again, first) = file._plans  # type: ignore[attr-defined]
        assert file.read(0, 50) == content[:50]
        assert (again.is_over, first.is_over) == (True, False)
        file.expect([(file, 0, 50)], is_later=True)
        assert file.read(0, 200) == content
        assert [plan.is_over for plan in file._plans] == [True, False]  # type: ignore[attr-defined]


def test_a_list_whose_length_isnt_said(web: WebServer, folder: Path) -> None:
    """nginx sends its lists so: the same checkpoints are found."""
    web.says_length = False
    found = [str(p).removeprefix(web.address) for p in ckpt_inspect.find_checkpoints(web.address)]
    assert found == [str(p).removeprefix(str(folder)) for p in ckpt_inspect.find_checkpoints(folder)]


def test_a_web_servers_list_is_asked_for_once(web: WebServer, folder: Path) -> None:
    """It shows that there is a folder, what is in it, and what isn't."""
    place = as_path(f"{web.address}/saver")
    storage = storage_of(place)
    assert storage.stat(place).kind == "folder"
    asked = len(web.requests)
    assert {entry.name for entry in storage.list_folder(place)} == {path.name for path in (folder / "saver").iterdir()}
    assert storage.stat(place / "nothing").kind == "absent"
    assert len(web.requests) == asked


class TestSecrets:
    """Addresses with a query, or with an account: requests bring them, and nothing shows them."""

    QUERY, ACCOUNT = "X-Signature=s%2Fcret&n=1", "me:pass word"

    def test_a_file_is_read_by_its_signed_address(self, web: WebServer, folder: Path) -> None:
        """The path that is shown ends before the query."""
        web.query = self.QUERY
        path = next(p for p in ckpt_inspect.find_checkpoints(folder) if p.suffix == ".h5")
        address = f"{web.address}/{path.relative_to(folder)}"
        with ckpt_inspect.open_checkpoint(f"{address}?{self.QUERY}") as checkpoint:
            assert str(checkpoint.path) == address
            assert [str(file) for file in checkpoint.files] == [address]
        contents = _contents(f"{address}?{self.QUERY}")
        for name, value in _contents(str(path)).items():
            np.testing.assert_array_equal(contents[name], value)

    def test_the_files_of_a_bundle_are_asked_for_with_the_same_query(self, web: WebServer, folder: Path) -> None:
        """As one that a whole container is signed with lets read them."""
        web.query = self.QUERY
        (index,) = sorted((folder / "saver").glob("*.index"))[:1]
        for name in (index.stem, index.name):
            contents = _contents(f"{web.address}/saver/{name}?{self.QUERY}")
            for key, value in _contents(str(index.with_suffix(""))).items():
                np.testing.assert_array_equal(contents[key], value)

    def test_an_account_goes_with_each_request(self, web: WebServer, folder: Path) -> None:
        """As `Authorization`; folders are listed with it too."""
        web.account = self.ACCOUNT
        address = web.address.replace("://", "://me:pass%20word@")
        found = ckpt_inspect.find_checkpoints(address)
        assert [str(p).removeprefix(web.address) for p in found] == [
            str(p).removeprefix(str(folder)) for p in ckpt_inspect.find_checkpoints(folder)
        ]

    def test_worker_processes_bring_them_too(self, web: WebServer, tmp_path: Path) -> None:
        """They are sent there, and the store holds none of it."""
        web.query, store = self.QUERY, tmp_path / "run.h5"
        paths = [f"{web.address}/keras/{name}?{self.QUERY}" for name in ("ckpt-1", "model.h5")]
        found = ckpt_inspect.analyze(paths, store=store, workers=2)
        assert list(found.checkpoints["checkpoint"]) == ["ckpt-1", "model.h5"]
        assert b"cret" not in store.read_bytes()

    def test_no_message_shows_them(self, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nor does what it was raised from, whatever goes wrong."""
        monkeypatch.setattr(connecting, "RETRIES", 1)
        address = web.address.replace("://", "://me:pass%20word@")
        for fault, every in (("", 1), ("error", 1)):
            web.fault, web.every = fault, every
            objects.forget()
            with pytest.raises(CkptInspectError) as caught:
                ckpt_inspect.open_checkpoint(f"{address}/x.h5?{self.QUERY}")
            error: BaseException | None = caught.value
            while error is not None:
                assert not any(secret in str(error) for secret in ("cret", "pass", "me:"))
                error = error.__cause__

    def test_a_question_mark_of_a_pattern_is_none(self) -> None:
        """A query has an equals sign."""
        assert str(as_path("http://host/run/ckpt-?.h5")) == "http://host/run/ckpt-?.h5"
        assert str(as_path("http://host/my%20run/a.h5?download=1#top")) == "http://host/my run/a.h5"


def test_a_folder_is_listed_once(
    servers: dict[str, tuple[str, dict[str, str]]], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With all below it; where that is too much, each folder by itself, with the same result. To analyse all runs in it
    takes no other list."""
    address, environment = servers["s3"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = [str(p).removeprefix(str(folder)) for p in ckpt_inspect.find_checkpoints(folder)]
    listed: list[str] = []
    list_one = objects.ObjectStorage._list

    def count(storage: objects.ObjectStorage, path: Path, key: str) -> dict[str, Stat]:
        listed.append(key)
        return list_one(storage, path, key)

    monkeypatch.setattr(objects.ObjectStorage, "_list", count)
    for most in (2000, 0):
        monkeypatch.setattr(objects, "MOST_BELOW", most)
        objects.forget()
        listed.clear()
        found = [str(p).removeprefix(address) for p in ckpt_inspect.find_checkpoints(address)]
        assert found == expected
        assert len(listed) == len(set(listed))
        assert most == 0 or listed == [""]
    monkeypatch.setattr(objects, "MOST_BELOW", 2000)
    objects.forget()
    listed.clear()
    assert len(list(ckpt_inspect.analyze_runs([address], folder=tmp_path))) > 1
    assert listed == [""]


def test_folders_from_the_keys_of_objects() -> None:
    """One that is marked by an empty object of its name is a folder; an empty file is a file."""
    time = datetime.fromtimestamp(7, timezone.utc)

    def meta(key: str, size: int) -> ObjectMeta:
        return {"path": key, "size": size, "last_modified": time, "e_tag": None, "version": None}

    keys = [meta("run", 0), meta("run/a", 3), meta("run/b/c", 0), meta("run/b", 0), meta("run/d/e/f", 1)]
    found = {
        folder: {name: stat.kind for name, stat in entries.items()}
        for folder, entries in objects._folders_of(keys, "run").items()
    }
    assert found == {
        "run": {"a": "file", "b": "folder", "d": "folder"},
        "run/b": {"c": "file"},
        "run/d": {"e": "folder"},
        "run/d/e": {"f": "file"},
    }


def test_a_file_that_is_replaced_is_not_mixed_with_the_other(tmp_path: Path, folder: Path) -> None:
    """The next answer isn't of the file that was opened: said, not read on."""
    (index,) = sorted((folder / "saver").glob("*.index"))[:1]
    place = shutil.copytree(index.parent, tmp_path / "run")
    with web_server(tmp_path) as server:
        prefix = f"{server.address}/run/{index.stem}"
        with ckpt_inspect.open_checkpoint(prefix) as checkpoint:
            for shard in place.glob(f"{index.stem}.data-*"):
                shard.write_bytes(shard.read_bytes() + b"more")
            with pytest.raises(DamagedFileError, match="was replaced"):
                for name in checkpoint.tensors:
                    checkpoint.read(name)


def test_a_look_at_a_bundle_takes_few_requests(web: WebServer, folder: Path) -> None:
    """At most twenty."""
    (index,) = sorted((folder / "saver").glob("*.index"))[:1]
    with ckpt_inspect.open_checkpoint(f"{web.address}/saver/{index.stem}") as checkpoint:
        ckpt_inspect.optimizer_states(checkpoint)
    assert len(web.requests) <= 20


def test_a_web_server_that_lists_nothing(web: WebServer, folder: Path) -> None:
    """A checkpoint that is named is read; a folder is refused with what to do."""
    web.lists_folders = False
    (index,) = sorted((folder / "saver").glob("*.index"))[:1]
    with ckpt_inspect.open_checkpoint(f"{web.address}/saver/{index.stem}") as checkpoint:
        assert checkpoint.tensors
    with pytest.raises(NotFoundError):
        ckpt_inspect.find_checkpoints(f"{web.address}/saver")


def test_settings_of_aws_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile's region, endpoint and key are taken where no variable gives them; without any key nothing is
    signed."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert connecting.aws_settings() == {"skip_signature": True}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile lab]\nregion = eu-west-3\nendpoint_url = http://here\n")
    (tmp_path / ".aws" / "credentials").write_text("[lab]\naws_access_key_id = k\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    assert connecting.aws_settings() == {**keys, "region": "eu-west-3", "endpoint": "http://here"}
    monkeypatch.setenv("AWS_REGION", "us-west-1")
    assert connecting.aws_settings() == {**keys, "endpoint": "http://here"}


def test_an_endpoint_that_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    with pytest.raises(RequestError, match=r"AWS_ENDPOINT_URL is '127.0.0.1:9', .*; write http://127.0.0.1:9"):
        ckpt_inspect.open_checkpoint("s3://bucket/x")


def test_a_profile_whose_keys_are_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with the command that brings its keys."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile lab]\nsso_session = here\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(RequestError, match=r"profile 'lab' .* from sso_session, .*export-credentials --profile lab"):
        ckpt_inspect.open_checkpoint("s3://bucket/x")


class TestAddresses:
    """Paths of what lies elsewhere."""

    def test_both_slashes_stay(self) -> None:
        """In the text, and in what is made from it."""
        path = as_path("S3://bucket/run/ckpt-1.index")
        assert isinstance(path, Address)
        assert (path.scheme, path.place, path.key) == ("s3", "bucket", "run/ckpt-1.index")
        made = [path, path.parent, path.parent / "x", path.with_name("y"), path.with_suffix("")]
        tails = ["run/ckpt-1.index", "run", "run/x", "run/y", "run/ckpt-1"]
        assert [str(p) for p in made] == [f"s3://bucket/{tail}" for tail in tails]
        assert as_path(path) == path
        assert str(as_path(Path("s3://bucket/run"))) == "s3://bucket/run"

    def test_two_dots_lead_up(self) -> None:
        """As in a state file that names a checkpoint of another folder; no further than to the bucket."""
        path = as_path("s3://bucket/run/../../other//./x")
        assert isinstance(path, Address)
        assert path.key == "other/x"

    def test_a_state_file_of_a_bucket_may_lead_beside_it(self, tmp_path: Path) -> None:
        """TensorFlow names checkpoints in buckets by their whole address; a copied folder is read from its own."""
        shutil.copytree(FIXTURES / "saver", tmp_path / "run")
        (index,) = sorted((tmp_path / "run").glob("*.index"))[-1:]
        (tmp_path / "run" / "checkpoint").write_text(f'model_checkpoint_path: "gs://elsewhere/run/{index.stem}"\n')
        with ckpt_inspect.open_checkpoint(tmp_path / "run") as checkpoint:
            assert checkpoint.path == tmp_path / "run" / index.stem
