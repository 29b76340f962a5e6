"""Servers that fail: what they send is asked for again, or one sentence says what went wrong and what to do."""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from support.bundle_writer import write_bundle
from support.keras_files import Run
from support.object_servers import WebServer, web_server

import ckpt_inspect
from ckpt_inspect.errors import ChangedFileError, NotFoundError, UnsupportedError
from ckpt_inspect.storage import (
    NoAnswerError,
    Stat,
    as_path,
    connecting,
    credentials,
    is_folder,
    is_gone,
    is_there,
    list_folder,
    objects,
)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[float]]:
    """Connect anew in each test, with no settings of whoever runs it; give how long was to be waited for each next
    try, and don't wait."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found: list[float] = []
    monkeypatch.setattr(objects.time, "sleep", found.append)
    objects.forget()
    credentials.forget()
    yield found
    objects.forget()
    credentials.forget()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 3 MB, which takes several requests."""
    folder = tmp_path_factory.mktemp("served") / "runs"
    folder.mkdir()
    return Run(shapes={"dense/kernel": (512, 512)}).train(3).save(folder / "model.h5")


@pytest.fixture
def web(model: Path) -> Iterator[WebServer]:
    """Serve it on the web, and to who knows S3's names."""
    with web_server(model.parent.parent) as server:
        yield server


@pytest.fixture(params=["http", "s3"])
def address(request: pytest.FixtureRequest, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of the file."""
    web.tag = "1"
    if request.param == "http":
        return f"{web.address}/runs/model.h5"
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
    return "s3://runs/model.h5"


def _read(path: str | Path) -> dict[str, np.ndarray]:
    with ckpt_inspect.open_checkpoint(path) as checkpoint:
        return {name: checkpoint.read(name) for name in checkpoint.tensors}


@pytest.mark.parametrize("fault", ["error", "internal", "reset", "truncate", "stall", "silent", "short", "elsewhere"])
def test_every_third_answer_fails(
    fault: str, web: WebServer, address: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read is the same, after some more requests."""
    monkeypatch.setattr(connecting, "STALL", 0.5)
    assert _read(address).keys() == _read(model).keys()
    least = len(web.requests)
    objects.forget()
    web.requests.clear()
    web.fault = fault
    found = _read(address)
    for name, expected in _read(model).items():
        np.testing.assert_array_equal(found[name], expected)
    assert least < len(web.requests) <= 2 * least


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("error", "answered 503 (Service Unavailable) each of 7 times; try again later"),
        ("internal", "answered 500 (Internal Server Error) each of 7 times; try again later"),
        ("reset", "closes the connection without an answer; check whether it is http:// or https://, and try again"),
    ],
)
def test_no_answer_comes(fault: str, sentence: str, web: WebServer, address: str) -> None:
    """It is asked for seven times in all, with longer and longer waits, by obstore itself."""
    web.fault, web.every = fault, 1
    with pytest.raises(NotFoundError) as caught:
        ckpt_inspect.open_checkpoint(address)
    assert str(caught.value) == f"{address}: {_place(address, web, at=True)} {sentence}"
    assert len(web.requests) == 1 + connecting.RETRIES


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("short", "sends other bytes than it was asked for; download the file, and give the local path"),
        ("elsewhere", "sends other bytes than it was asked for; download the file, and give the local path"),
    ],
)
def test_no_answer_is_right(fault: str, sentence: str, web: WebServer, address: str, waits: list[float]) -> None:
    """It is asked for seven times in all, and each wait is twice the one before, up to two seconds."""
    web.fault, web.every = fault, 1
    with pytest.raises(NotFoundError) as caught:
        ckpt_inspect.open_checkpoint(address)
    assert str(caught.value) == f"{address}: {_place(address, web)} {sentence}"
    assert waits == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert [command for command, _ in web.requests].count("GET") == 1 + connecting.RETRIES


def test_every_answer_breaks_off(web: WebServer, address: str, waits: list[float]) -> None:
    """Of a file with a tag obstore asks for the rest, seven times in all, and nobody asks once more."""
    web.fault, web.every = "truncate", 1
    with pytest.raises(NotFoundError) as caught:
        ckpt_inspect.open_checkpoint(address)
    sentence = "ends its answers too early; check the connection, and try again"
    assert str(caught.value) == f"{address}: {_place(address, web)} {sentence}"
    assert not waits
    assert [command for command, _ in web.requests].count("GET") == 1 + connecting.RETRIES


def _place(address: str, web: WebServer, *, at: bool = False) -> str:
    """What the sentence is about: the host or bucket, and where that was sought if the error tells it."""
    return web.address if address.startswith("http") else f"s3://runs (at {web.address})" if at else "s3://runs"


def test_a_server_that_sends_no_parts(web: WebServer, address: str) -> None:
    """It is asked once."""
    web.fault, web.every = "whole", 1
    with pytest.raises(NotFoundError) as caught:
        ckpt_inspect.open_checkpoint(address)
    place = _place(address, web)
    sentence = "doesn't send parts of a file (range requests); download it, and give the local path"
    assert str(caught.value) == f"{address}: {place} {sentence}"
    assert [command for command, _ in web.requests].count("GET") == 1


BROUGHT = "http://NAME:PASSWORD@HOST/.. or the signed address"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("busy", " answered 429 (Too Many Requests) each of 7 times; try again later"),
        ("refused", " refuses the credentials that were found; check that they are right and may read this "),
        (
            "expired",
            " refuses the credentials that were found (The provided token has expired); check that they are right and "
            "may read this ",
        ),
        ("circle", " leads from one address to another without end; check the address"),
        ("packed", "comes compressed (gzip), and parts of what is compressed can't be read; download it, unpack it"),
    ],
)
def test_what_a_server_refuses_is_not_called_damage(
    fault: str, sentence: str, web: WebServer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that was there: nobody knows of it any more than before, so that `check` gives no verdict."""
    monkeypatch.setattr(objects, "_RESTS", 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    web.account = None
    if " refuses the credentials" in sentence and address.startswith("http"):
        sentence = f" refuses it, and the address brings no credentials; give them in it: {BROUGHT}"
    with ckpt_inspect.open_checkpoint(address) as checkpoint:
        web.fault, web.every = fault, 1
        with pytest.raises(UnsupportedError if fault == "packed" else NoAnswerError) as caught:
            checkpoint.read("optimizer_weights/Adam/dense/kernel/m:0")
        assert str(caught.value).startswith(f"{address}: ")
        assert sentence in str(caught.value)
    if fault != "packed":
        web.fault = ""
        objects.forget()
        web.requests.clear()
        ckpt_inspect.check(address)
        web.fault, web.after = fault, len(web.requests) - 1
        objects.forget()
        web.requests.clear()
        with pytest.raises(NoAnswerError, match=f"^{re.escape(address)}: "):
            ckpt_inspect.check(address)


def test_a_file_that_became_shorter(web: WebServer, address: str, model: Path) -> None:
    """What lay behind its new end can't be asked for: it was replaced."""
    whole = model.read_bytes()
    with ckpt_inspect.open_checkpoint(address) as checkpoint:
        model.write_bytes(whole[: len(whole) // 2])
        objects.object_storage(as_path(address)).forget()  # type: ignore[arg-type]
        web.fault, web.every = "beyond", 2
        try:
            with pytest.raises(ChangedFileError) as caught:
                checkpoint.read("optimizer_weights/Adam/dense/kernel/v:0")
        finally:
            model.write_bytes(whole)
    expected = f"{address}: was replaced while its checkpoint was being read; open the checkpoint again"
    assert str(caught.value) == expected


def test_a_server_that_lets_files_only_be_fetched(
    web: WebServer, address: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for addresses that are signed for one method: a part says what there is to know, from the second file on at
    once; what isn't there is absent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    web.account, web.refuses_heads = None, True
    found = _read(address)
    for name, expected in _read(model).items():
        np.testing.assert_array_equal(found[name], expected)
    assert not is_there(as_path(f"{address}.index"))
    assert [command for command, _ in web.requests].count("HEAD") == 1


def test_two_looks_at_a_file() -> None:
    """Show the same if they do in what both of them say: a list or the whole can say more than a part."""
    known = Stat("file", 5, 10, "tag")
    for same in (known, Stat("file", 5, 0, "tag"), Stat("file", 5, 10), Stat("file", 5)):
        assert objects._is_same(same, known)
        assert objects._is_same(known, same)
    for other in (Stat("file", 6, 10, "tag"), Stat("file", 5, 11, "tag"), Stat("file", 5, 10, "other"), Stat("absent")):
        assert not objects._is_same(other, known)


@pytest.mark.parametrize("fault", ["error", "busy", "truncate"])
def test_a_list_is_asked_for_again(fault: str, web: WebServer, model: Path, waits: list[float]) -> None:
    """Of a folder on a web server, like anything else; a part of one is none."""
    web.fault, web.every, web.after = fault, 2, -1
    assert [entry.name for entry in list_folder(as_path(f"{web.address}/runs"))] == [model.name]
    assert waits == [0.2]
    web.every = 1
    objects.forget()
    with pytest.raises(NoAnswerError, match=r"(try again later|check the connection, and try again)$"):
        list_folder(as_path(f"{web.address}/runs"))


def test_a_shard_that_may_not_be_looked_at(web: WebServer, model: Path) -> None:
    """It counts as missing, as whoever may not list a bucket gets the same answer of what isn't there; but what was
    answered is said."""
    write_bundle(model.parent / "ckpt-1", {"a": np.arange(3.0)})
    web.fault, web.every, web.only = "refused", 1, ".data-00000-of-00001"
    with ckpt_inspect.open_checkpoint(f"{web.address}/runs/ckpt-1") as checkpoint:
        (problem,) = checkpoint.problems
        sentence = f"{web.address}/runs/ckpt-1{web.only}: {web.address} refuses it, and the address brings no"
        assert problem.code == "missing-shard"
        assert problem.message.startswith(sentence)
        with pytest.raises(NotFoundError, match=f"^{re.escape(sentence)}"):
            checkpoint.read("a")


@pytest.mark.parametrize("fault", ["stall", "silent"])
def test_a_server_that_stalls_is_given_up(
    fault: str, web: WebServer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one sentence, once nothing has come for a while."""
    monkeypatch.setattr(connecting, "STALL", 0.3)
    monkeypatch.setattr(connecting, "GIVE_UP", 1.0)
    web.fault, web.every = fault, 1
    with pytest.raises(NotFoundError, match=r"^[^\n]* didn't answer in time; check that it can be reached") as caught:
        ckpt_inspect.open_checkpoint(address)
    assert str(caught.value).startswith(f"{address}: {_place(address, web)}")


def test_a_server_that_was_given_up_is_left_alone_for_a_while(
    web: WebServer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run of many each checkpoint would wait as long as the first; then it is asked again."""
    web.fault, web.every = "reset", 1
    with pytest.raises(NoAnswerError) as caught:
        ckpt_inspect.open_checkpoint(address)
    asked = len(web.requests)
    other = address.replace("model", "other")
    with pytest.raises(NoAnswerError, match=f"^{re.escape(other)}: {re.escape(str(caught.value).split(': ')[1])}"):
        ckpt_inspect.open_checkpoint(other)
    assert len(web.requests) == asked
    web.fault = ""
    monkeypatch.setattr(objects, "_RESTS", 0.0)
    assert _read(address)


def test_what_cant_be_asked_for_is_not_called_gone(web: WebServer, address: str) -> None:
    """Nor is it said that it isn't there."""
    web.fault, web.every = "error", 1
    path = as_path(address)
    for ask in (is_there, is_folder):
        with pytest.raises(NoAnswerError):
            ask(path)
    assert not is_gone(path)


def test_a_file_is_replaced_by_one_of_the_same_size_and_time(web: WebServer, address: str) -> None:
    """Its tag tells: the two are never mixed."""
    with ckpt_inspect.open_checkpoint(address) as checkpoint:
        web.tag = "2"
        with pytest.raises(ChangedFileError) as caught:
            checkpoint.read("optimizer_weights/Adam/dense/kernel/m:0")
    expected = f"{address}: was replaced while its checkpoint was being read; open the checkpoint again"
    assert str(caught.value) == expected


def test_a_file_is_deleted_meanwhile(web: WebServer, address: str, model: Path) -> None:
    """It is said that it is gone."""
    with ckpt_inspect.open_checkpoint(address) as checkpoint:
        hidden = model.rename(model.with_name("elsewhere.h5"))
        try:
            with pytest.raises(ChangedFileError) as caught:
                checkpoint.read("optimizer_weights/Adam/dense/kernel/m:0")
        finally:
            hidden.rename(model)
    assert str(caught.value) == f"{address}: is gone since its checkpoint was opened; open the checkpoint again"


class TestPlaces:
    """Addresses at which there is nothing to be had."""

    def test_a_server_that_doesnt_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing listens."""
        monkeypatch.setattr(connecting, "RETRIES", 1)
        with pytest.raises(NotFoundError) as caught:
            ckpt_inspect.open_checkpoint("http://127.0.0.1:9/x.h5")
        sentence = "refuses connections; check that the server runs, and its address and port"
        assert str(caught.value) == f"http://127.0.0.1:9/x.h5: http://127.0.0.1:9 {sentence}"

    def test_a_server_without_tls(self, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other scheme is named."""
        monkeypatch.setattr(connecting, "RETRIES", 1)
        root = web.address.replace("http:", "https:")
        with pytest.raises(NotFoundError) as caught:
            ckpt_inspect.open_checkpoint(f"{root}/runs/model.h5")
        expected = f"{root}/runs/model.h5: {root} doesn't speak TLS; write http:// instead of https://"
        assert str(caught.value) == expected

    def test_a_certificate_that_isnt_trusted(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is said how to trust it, which works."""
        monkeypatch.setattr(connecting, "RETRIES", 1)
        monkeypatch.chdir(model.parent)
        with _server_with_tls(tmp_path) as (root, certificate):
            for place, at in ((root, ""), ("s3://runs", f" (at {root})")):
                monkeypatch.setenv("AWS_ENDPOINT_URL", root)
                sentence = f"{place}/model.h5: {place}{at} has a certificate that isn't trusted here; set SSL_CERT_FILE"
                with pytest.raises(NotFoundError, match=f"^{re.escape(sentence)}"):
                    ckpt_inspect.open_checkpoint(f"{place}/model.h5")
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            objects.forget()
            with pytest.raises(NotFoundError, match="doesn't send parts"):  # but what is in the way of nobody was there
                ckpt_inspect.open_checkpoint(f"{root}/model.h5")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _server_with_tls:  # noqa: N801 - used as a function
    """Serve the current folder, by a certificate of its own; give the address and the certificate."""

    def __init__(self, folder: Path) -> None:
        self._key, self._certificate = folder / "key.pem", folder / "certificate.pem"

    def __enter__(self) -> tuple[str, Path]:
        command = [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self._key, "-out", self._certificate,
            "-days", "2", "-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"https://127.0.0.1:{self._server.server_address[1]}", self._certificate

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
