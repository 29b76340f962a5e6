"""The rows of `benchmark.py` about checkpoints in a bucket: beside a plain download, and the requests of `show`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import benchmark_data as data
from benchmark_runs import Bench, Row, at_most, gigabytes, seconds
from benchmark_server import BUCKET, COUNTS

PLAIN = """
import sys, obstore
from concurrent.futures import ThreadPoolExecutor
from obstore.store import S3Store
store, unit = S3Store(sys.argv[1], client_options={"allow_http": True}), 1 << 22
listed = [meta for batch in obstore.list(store, prefix=sys.argv[2]) for meta in batch]
sizes = {meta["path"]: meta["size"] for meta in listed or [obstore.head(store, sys.argv[2])]}
ranges = [(key, at, min(at + unit, size)) for key, size in sizes.items() for at in range(0, size, unit)]
def fetch(wanted):
    return len(memoryview(obstore.get_range(store, wanted[0], start=wanted[1], end=wanted[2])))
with ThreadPoolExecutor(8) as threads:
    assert sum(threads.map(fetch, ranges)) == sum(sizes.values())
"""
"""As people write it; `analyze` has twice as many requests at a time, of half the size."""

MOST_REQUESTS, MOST_SHARE = 20, 0.01
"""Of `show`: requests, and the share of the checkpoint's bytes."""


SPEEDS = {"a bucket on the loopback": (), "a bucket of 60 MB/s a connection, 20 ms": ("60e6", "0.02")}
"""Without a limit the download takes both cores, and what is computed beside it must wait; with one it waits itself."""


def remote(bench: Bench) -> Iterator[Row]:
    """Each kind of checkpoint, in a bucket."""
    folder = bench.folder / "bucket"
    folder.mkdir()
    width = bench.sizes.width
    shapes, half = data.dense_layers(bench.sizes.layers, width), data.dense_layers(bench.sizes.layers, width // 2)
    kinds: dict[str, tuple[str, str, Callable[[Path], None]]] = {
        "two bundles": ("run", "run/model.ckpt-2000", lambda path: data.write_tf1_run(path, half, (1000, 2000))),
        "a bundle": ("run", "run/model.ckpt-1000", lambda path: data.write_tf1_run(path, shapes, (1000,))),
        "`.keras`": ("model.keras", "model.keras", lambda path: data.write_keras(path, shapes)),
        "`.h5`": ("model.h5", "model.h5", lambda path: data.write_h5(path, shapes)),
        "Orbax": ("orbax", "orbax", lambda path: data.write_orbax(path, shapes, chunk=256)),
    }
    for what, (name, shown, write) in kinds.items():
        path = folder / name
        write(path)
        for place, limits in SPEEDS.items():
            with _bucket(folder, *limits) as address:
                yield _analyzed(bench, path, f"{what} of {{}} in {place}")
                if not limits:
                    yield _shown(bench, address, path, shown, f"`show`, {what} in a bucket")
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _analyzed(bench: Bench, path: Path, what: str) -> Row:
    work = f"`analyze`, {what.format(gigabytes(_size(path)))}"
    address = f"s3://{BUCKET}/{path.name}"
    pairs = bench.compare(
        lambda: bench.ours("analyze", address, "-o", "remote.store", "-q", fresh="remote.store", what=work),
        lambda: bench.python("-c", PLAIN, BUCKET, path.name),
    )
    return at_most(work, "obstore fetching its ranges, 8 at a time", pairs, 1.43)


def _shown(bench: Bench, address: str, path: Path, shown: str, work: str) -> Row:
    _counts(address)
    done = bench.ours("show", f"s3://{BUCKET}/{shown}", what=work)
    requests, sent = _counts(address)
    share = sent / _size(path)
    return Row(
        work, "", seconds(done), "", "", f"{requests} requests, {share:.2%}", "",
        f"at most {MOST_REQUESTS}, {MOST_SHARE:.0%} of the bytes", requests <= MOST_REQUESTS and share <= MOST_SHARE,
    )  # fmt: skip


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


@contextmanager
def _bucket(folder: Path, *limits: str) -> Iterator[str]:
    """Serve a folder as a bucket, to which the environment leads; give the server's address. `limits` are those of
    `benchmark_server.py`."""
    program = Path(__file__).parent / "benchmark_server.py"
    command = [sys.executable, str(program), str(folder), *limits]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        settings = {
            "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
        }  # fmt: skip
        before = dict(os.environ)
        os.environ.update(settings)
        try:
            yield address
        finally:
            os.environ.clear()
            os.environ.update(before)
            server.communicate()


def _counts(address: str) -> tuple[int, int]:
    """Return requests and bytes since the last call."""
    with urllib.request.urlopen(f"{address}{COUNTS}") as answer:
        requests, sent = answer.read().split()
    return int(requests), int(sent)
