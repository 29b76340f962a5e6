"""Orbax folders in buckets and on web servers, of which tensorstore reads the arrays itself."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tensorstore
from support.object_servers import AZURITE, BUCKET, azure_server, google_server, s3_server, upload, web_server
from support.orbax_sets import FOLDER

from ckpt_inspect import analyze, find_checkpoints, open_checkpoint, optimizer_states
from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.formats.orbax_library import Place, is_zarr3_store, open_together
from ckpt_inspect.storage import (
    Bytes,
    NoAnswerError,
    Stat,
    as_path,
    connecting,
    credentials,
    hidden,
    key_value_store,
    objects,
)

key_values = importlib.import_module("ckpt_inspect.storage.key_value_store")  # whose function has its name
HAS_AZURITE = pytest.mark.skipif(AZURITE is None, reason="npm's azurite is not installed")
CHOSEN = ("sharded", "adamax-plain", "run")


@pytest.fixture(autouse=True)
def _forget_storages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Connect anew in each test, and use no settings of whoever runs it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", "")
    objects.forget()
    credentials.forget()
    yield
    objects.forget()
    credentials.forget()


@pytest.mark.parametrize("scheme", ["s3", "gs", "http", pytest.param("az", marks=HAS_AZURITE)])
def test_the_same_is_read_as_from_the_disk(scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every array of a step, and its optimizer."""
    with ExitStack() as stack:
        if scheme == "http":
            base = stack.enter_context(web_server(FOLDER)).address
        else:
            starts = {"s3": s3_server, "gs": google_server, "az": lambda: azure_server(tmp_path / "azure")}
            environment = stack.enter_context(starts[scheme]())
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            for name in CHOSEN:
                shutil.copytree(FOLDER / name, tmp_path / "chosen" / name)
            upload(tmp_path / "chosen", environment)
            base = f"{scheme}://{BUCKET}"
        for name in CHOSEN:
            here, there = find_checkpoints(FOLDER / name), find_checkpoints(f"{base}/{name}")
            assert [path.name for path in here] == [path.name for path in there]
            with open_checkpoint(here[-1]) as ours, open_checkpoint(there[-1]) as theirs:
                assert dict(ours.tensors) == dict(theirs.tensors)
                for key in ours.tensors:
                    np.testing.assert_array_equal(ours.read(key), theirs.read(key))
                assert [s.step for s in optimizer_states(ours)] == [s.step for s in optimizer_states(theirs)]
                theirs.finish_reading()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("error", r"503\]?\); try again later$"),
        ("refused", r"403\]?\); check that the address and the credentials are right, and not out of date$"),
        (
            "circle",
            r"302\]?\); tensorstore doesn't follow where it leads: copy the folder to this machine, and give that",
        ),
    ],
)
def test_a_server_that_refuses_an_array_is_not_called_damage(
    fault: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tensorstore says of it names the answer; it asks no more often than anyone else."""
    monkeypatch.setattr(key_values, "AGAIN", {**key_values.AGAIN, "initial_delay": "1ms", "max_delay": "1ms"})
    with web_server(FOLDER) as server:
        path = as_path(f"{server.address}/sharded")
        server.fault, server.every = fault, 1
        for ask in (
            lambda: is_zarr3_store(tensorstore, path),
            lambda: open_together(tensorstore, {"x": Place(path, "x", True, False, True)}),
        ):
            server.requests.clear()
            with pytest.raises(NoAnswerError, match=rf"^{path}: the server doesn't let it be read \(.*{words}"):
                ask()
            assert len(server.requests) == (7 if fault == "error" else 1)


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_arrays_that_were_announced_are_read_the_same(piece: int) -> None:
    """Whatever is read of them, and in which pieces: all of one are there before they are asked for."""
    with (
        web_server(FOLDER) as server,
        open_checkpoint(FOLDER / "sharded") as ours,
        open_checkpoint(f"{server.address}/sharded") as theirs,
    ):
        theirs.expect((key, 0, spec.size) for key, spec in theirs.tensors.items())
        for key, spec in theirs.tensors.items():
            for start in range(0, spec.size, piece):
                stop = min(start + piece, spec.size)
                np.testing.assert_array_equal(ours.read_range(key, start, stop), theirs.read_range(key, start, stop))


def test_an_analysis_is_that_of_the_disk() -> None:
    """The same figures of a run whose arrays were read ahead."""
    with web_server(FOLDER) as server:
        far, local = analyze(f"{server.address}/run"), analyze(FOLDER / "run")
    for optimizer, expected in local.optimizers.items():
        for variable, values in expected.variables.items():
            if values.dtype.kind == "f":
                np.testing.assert_array_equal(far.optimizers[optimizer].variables[variable], values)


def test_a_query_and_an_account_go_with_each_request() -> None:
    """tensorstore's too; the path shows neither."""
    with web_server(FOLDER) as server:
        server.query, server.account = "signature=s%2Fx", "me:pass word"
        address = f"{server.address.replace('://', '://me:pass%20word@')}/sharded"
        with open_checkpoint(f"{address}?{server.query}") as theirs, open_checkpoint(FOLDER / "sharded") as ours:
            assert str(theirs.path) == f"{server.address}/sharded"
            for key in ours.tensors:
                np.testing.assert_array_equal(ours.read(key), theirs.read(key))


def test_credentials_that_tensorstore_cant_use_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no driver for Azure, and a web server takes no token of a login."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "lab")
    monkeypatch.setenv("AZURE_STORAGE_TOKEN", "t")
    with pytest.raises(UnsupportedError, match=r"^az://container: .*key or a SAS token alone; set AZURE_STORAGE_KEY"):
        key_value_store(as_path("az://container/run"))


def test_an_azure_container_is_read_as_from_a_web_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key signs a query for the container, a token is one, and a public container needs none."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "lab")
    url = "https://lab.blob.core.windows.net/container/a%20run/"
    assert key_value_store(as_path("az://container/a run")) == {
        "driver": "http",
        "base_url": url,
        "http_request_retries": key_values.AGAIN,
    }
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=x%3D")
    assert key_value_store(as_path("az://container/a run"))["base_url"] == f"{url}?sv=1&sig=x%3D"
    credentials.forget()
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    signed = key_value_store(as_path("az://container/a run"))
    assert str(signed["base_url"]).startswith(f"{url}?sp=rl&se=20")
    assert key_value_store(as_path("az://container/a run")) == signed
    assert "sig" not in hidden(str(signed))


def test_a_bucket_without_credentials_is_asked_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As public ones want it; endpoint and region are those of the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connecting, "_is_ec2", lambda: False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://here")
    assert key_value_store(as_path("s3://bucket/run/5")) == {
        "driver": "s3",
        "bucket": "bucket",
        "path": "run/5/",
        "s3_request_retries": key_values.AGAIN,
        "endpoint": "http://here",
        "aws_region": "us-east-1",
        "aws_credentials": {"type": "anonymous"},
    }


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_types_that_stand_beside_each_array_take_a_request_for_each_kind(
    scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without OCDBT each array has a small file with its shape and type: equal ones are fetched once."""
    name = "adamax-plain"
    kinds = {file.read_bytes() for file in (FOLDER / name).rglob(".zarray")}
    shutil.copytree(FOLDER / name, tmp_path / "chosen" / name)
    fetched: list[str] = []
    fetch = objects.ObjectStorage.fetch

    def count(self: objects.ObjectStorage, path: Path, expected: Stat, start: int, stop: int) -> Bytes:
        fetched.append(path.name)
        return fetch(self, path, expected, start, stop)

    monkeypatch.setattr(objects.ObjectStorage, "fetch", count)
    with {"s3": s3_server, "gs": google_server}[scheme]() as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        upload(tmp_path / "chosen", environment)
        with open_checkpoint(f"{scheme}://{BUCKET}/{name}") as there, open_checkpoint(FOLDER / name) as here:
            assert dict(there.tensors) == dict(here.tensors)
    assert fetched.count(".zarray") == len(kinds) < 14
