#!/usr/bin/env python3
"""Serve a folder on the loopback by ranges, as a web server and as one bucket of S3, at little cost: by sendfile.

usage: scripts/benchmark_server.py FOLDER [RATE WAIT]

RATE is in bytes a second of each connection, WAIT in seconds before each answer; without them it answers as fast as it
can. Prints its port, and ends with its standard input. `http://127.0.0.1:PORT/NAME` is a file; as S3 it has the one
bucket `runs` and checks no signature. `/-/counts` tells requests and bytes since it was last asked.
"""

from __future__ import annotations

import http.server
import math
import os
import socket
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "runs"
COUNTS = "/-/counts"
_PIECE = 1 << 20
"""Bytes that are sent at a time."""


class Server(http.server.ThreadingHTTPServer):
    """One folder."""

    daemon_threads, request_queue_size = True, 128

    def __init__(self, folder: Path, rate: float = math.inf, wait: float = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.rate, self.wait = folder, rate, wait
        self.requests = self.sent = 0
        self.lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Send answers at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """Answer without the bytes."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with a file's range, a list, or the counts."""
        url = urlsplit(self.path)
        if url.path == COUNTS:
            with self.server.lock:
                text = f"{self.server.requests} {self.server.sent}".encode()
                self.server.requests = self.server.sent = 0
            return self._send(text)
        time.sleep(self.server.wait)
        query = parse_qs(url.query)
        if "list-type" in query:
            text = self._listed(query.get("prefix", [""])[0]).encode()
            self._count(len(text))
            return self._send(text)
        path = self.server.folder / unquote(url.path).lstrip("/").removeprefix(f"{BUCKET}/")
        if path.is_dir() and not url.path.startswith(f"/{BUCKET}/"):
            links = "".join(f'<a href="{p.name}{"/" * p.is_dir()}"></a>' for p in sorted(path.iterdir()))
            self._count(len(links))
            return self._send(f"<!doctype html>{links}".encode())
        if not path.is_file():
            self._count(0)
            return self.send_error(404)
        return self._send_file(path)

    def _send(self, text: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text if self.command == "GET" else b"")

    def _send_file(self, path: Path) -> None:
        status = path.stat()
        start, stop = 0, status.st_size
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or stop) + 1, stop)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{status.st_size}")
        self.send_header("Last-Modified", self.date_time_string(status.st_mtime))
        self.send_header("ETag", f'"{status.st_mtime_ns:x}"')
        self.end_headers()
        self._count(stop - start if self.command == "GET" else 0)
        if self.command == "GET":
            with path.open("rb") as file:
                begun, first = time.perf_counter(), start
                while start < stop:
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, min(stop - start, _PIECE))
                    late = begun + (start - first) / self.server.rate - time.perf_counter()
                    if late > 0:
                        time.sleep(late)

    def _listed(self, prefix: str) -> str:
        """Return S3's list of all keys with that beginning."""
        folder = self.server.folder
        files = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if path.is_file()}
        objects = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{self._time(status)}</LastModified>"
            f'<ETag>"{status.st_mtime_ns:x}"</ETag><Size>{status.st_size}</Size></Contents>'
            for key, status in sorted(files.items())
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"

    @staticmethod
    def _time(status: os.stat_result) -> str:
        return f"{datetime.fromtimestamp(int(status.st_mtime), timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}"

    def _count(self, size: int) -> None:
        with self.server.lock:
            self.server.requests += 1
            self.server.sent += size


def main() -> None:
    """Serve until standard input ends."""
    with Server(Path(sys.argv[1]), *map(float, sys.argv[2:])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
