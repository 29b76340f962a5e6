"""`--json` says the same of a checkpoint in a bucket, on a web server and on the disk: for each kind, each command."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.adam_bundles import save_bundle
from support.command_line import Answer
from support.keras_files import Run
from support.object_servers import AZURITE, BUCKET, azure_server, google_server, s3_server, upload, web_server

from ckpt_inspect.storage import credentials, objects

FIXTURES = Path(__file__).parents[2] / "fixtures"

KINDS = {
    "bundle": ("bundle/ckpt-10", "bundle/ckpt-20"),
    "keras": ("keras/model-1.keras", "keras/model-2.keras"),
    "h5": ("h5/model-10.h5", "h5/model-20.h5"),
    "saved-model": ("saved_model/1", "saved_model/2"),
    "orbax": ("orbax/5", "orbax/10"),
}
"""Of each kind, two checkpoints of a folder."""

PLACES = ("s3", "gs", "http", pytest.param("az", marks=pytest.mark.skipif(AZURITE is None, reason="no azurite")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each kind."""
    place = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        (place / Path(KINDS[kind][0]).parent).mkdir()
    model = Run()
    for step in (10, 20):
        model.train(10).save(place / f"h5/model-{step}.h5")
        save_bundle(model, place / f"bundle/ckpt-{step}")
    shutil.copy(FIXTURES / "formats/keras/model.keras", place / "keras/model-1.keras")
    _save_later(place / "keras/model-1.keras", place / "keras/model-2.keras")
    shutil.copytree(FIXTURES / "formats/keras/saved_model", place / "saved_model/1")
    shutil.copytree(FIXTURES / "recorded/tf20_v2_fit_savedmodel/sm_6", place / "saved_model/2")
    shutil.copytree(FIXTURES / "orbax/run", place / "orbax", dirs_exist_ok=True)
    return place


def _save_later(path: Path, later: Path) -> None:
    """Save an archive again with other numbers in it."""
    weights = later.with_suffix(".h5")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(later, "w") as other:
        weights.write_bytes(archive.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            file["optimizer/vars/0"][...] += 3
            for array in file["optimizer/vars"].values():
                if array.ndim:
                    array[...] *= 0.5
        for name in archive.namelist():
            other.writestr(name, weights.read_bytes() if name == "model.weights.h5" else archive.read(name))
    weights.unlink()


@pytest.fixture(scope="module")
def servers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, dict[str, str]]]]:
    """Start each server with the folder's files; give each one's address and environment."""
    with ExitStack() as stack:
        found = {"http": (stack.enter_context(web_server(folder)).address, {})}
        starts = {"s3": s3_server, "gs": google_server}
        if AZURITE is not None:
            starts["az"] = lambda: azure_server(tmp_path_factory.mktemp("azure"))
        for scheme, start in starts.items():
            environment = stack.enter_context(start())
            upload(folder, environment)
            found[scheme] = (f"{scheme}://{BUCKET}", environment)
        yield found


@pytest.fixture
def address(
    request: pytest.FixtureRequest,
    servers: dict[str, tuple[str, dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[str]:
    """Return the address under which a server has the folder."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", "")
    found, environment = servers[request.param]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    objects.forget()
    credentials.forget()
    yield found
    objects.forget()
    credentials.forget()


def _document(base: str | Path, command: str, names: tuple[str, ...], store: Path) -> Any:
    """What a command prints, without the place of the files and what a copy of them has of its own: when it was
    written, and the fingerprint, which covers that."""
    options = ("-o", store) if command == "analyze" else ()
    answer = Answer(command, *(f"{base}/{name}" for name in names), "--json", *options)
    text = answer.out.replace(str(base), "PLACE").replace(str(store), "STORE")
    for run in json.loads(text).get("runs", ()):
        for checkpoint in run.get("checkpoints", ()) if command == "analyze" else ():
            text = text.replace(checkpoint["fingerprint"], f"fingerprint of {checkpoint['checkpoint']}")
            text = text.replace(f'"modified": {checkpoint["modified"]!r}', '"modified": "some time"')
    return answer.code, json.loads(text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "orbax"])
def test_a_look_takes_few_requests(kind: str, folder: Path) -> None:
    """At most twenty, where each file is looked at by one of its own."""
    objects.forget()
    with web_server(folder) as web:
        assert Answer("show", f"{web.address}/{KINDS[kind][1]}").code == 0
        assert 0 < len(web.requests) <= 20


@pytest.mark.parametrize("address", PLACES, indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["show", "check", "diff", "analyze"])
def test_the_same_is_said(command: str, kind: str, address: str, folder: Path, tmp_path: Path) -> None:
    """Code and document; of `analyze`, the folder with both, unless they are of two models."""
    one, other = KINDS[kind]
    run = one if kind == "saved-model" else str(Path(one).parent)
    names = {"show": (other,), "check": (one, other), "diff": (one, other), "analyze": (run,)}
    expected = _document(folder, command, names[command], tmp_path / "here.h5")
    assert expected[0] in (0, 1)
    assert expected[1]
    assert _document(address, command, names[command], tmp_path / "there.h5") == expected
