"""Orbax folders in buckets and on web servers, of which tensorstore reads the arrays itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from support.object_servers import BUCKET, google_server, s3_server, upload, web_server
from support.orbax_sets import FOLDER

from ckpt_inspect import find_checkpoints, open_checkpoint, optimizer_states
from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.storage import as_path, connecting, key_value_store, objects

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
    yield
    objects.forget()


@pytest.mark.parametrize("scheme", ["s3", "gs", "http"])
def test_the_same_is_read_as_from_the_disk(scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every array of a step, and its optimizer."""
    with ExitStack() as stack:
        if scheme == "http":
            base = stack.enter_context(web_server(FOLDER)).address
        else:
            environment = stack.enter_context(s3_server() if scheme == "s3" else google_server())
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


def test_what_tensorstore_has_no_driver_for_is_said() -> None:
    """Azure's containers."""
    with pytest.raises(UnsupportedError, match=r"az://container/run.*can't be read from az://"):
        key_value_store(as_path("az://container/run"))


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
        "endpoint": "http://here",
        "aws_region": "us-east-1",
        "aws_credentials": {"type": "anonymous"},
    }
