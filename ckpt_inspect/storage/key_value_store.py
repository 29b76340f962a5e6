"""How tensorstore, which reads Orbax' arrays itself, opens a folder: its key-value store of the same place.

Credentials are found by tensorstore, at the places where AWS' and Google's own libraries look; what it doesn't look at
(endpoints, and that there are none) is passed on. https://google.github.io/tensorstore/kvstore/index.html
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.jsonable import JsonObject, JsonValue
from ckpt_inspect.storage import credentials
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.registry import absolute

AGAIN: JsonObject = {"max_retries": 6, "initial_delay": "100ms", "max_delay": "2s"}
"""How often a request is made again that failed: by itself tensorstore goes on for a quarter of an hour."""


def key_value_store(folder: Path) -> JsonObject:
    """Return tensorstore's specification of a folder, as JSON; UnsupportedError for a place that it can't open."""
    if not isinstance(folder, Address):
        return {"driver": "file", "path": f"{absolute(folder)}/"}
    path = f"{folder.key}/" if folder.key else ""
    if folder.scheme in ("http", "https"):
        root = f"{folder.scheme}://{folder.place}"
        found = _web(f"{root}/{quote(path)}", credentials.query_of(root, folder.key))
        authorization = credentials.authorization_of(root)
        return {**found, "headers": [f"Authorization: {authorization}"]} if authorization else found
    if folder.scheme == "az":  # of which tensorstore doesn't know
        from ckpt_inspect.storage.azure_web import web_address

        address, query = web_address(Address(*folder.parts[:2]))
        query = credentials.query_of(address, "") or query
        credentials.keep(address, "", query, "")  # so that no message shows it
        return _web(f"{address}/{quote(path)}", query)
    if folder.scheme == "s3":
        return {"driver": "s3", "bucket": folder.place, "path": path, "s3_request_retries": AGAIN, **_aws()}
    if folder.scheme == "gs":
        emulator = os.environ.get("STORAGE_EMULATOR_HOST")
        if emulator:  # of which tensorstore knows under another name alone
            os.environ["TENSORSTORE_GCS_HTTP_URL"] = emulator if "://" in emulator else f"http://{emulator}"
            os.environ.setdefault("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")  # or it complains that there is none
        return {"driver": "gcs", "bucket": folder.place, "path": path, "gcs_request_retries": AGAIN}
    raise UnsupportedError(
        f"{folder}: the arrays of an Orbax folder can't be read from {folder.scheme}://, which tensorstore doesn't "
        "open; copy the folder to this machine, and give that path"
    )


def _web(address: str, query: str) -> JsonObject:
    return {"driver": "http", "base_url": f"{address}{'?' if query else ''}{query}", "http_request_retries": AGAIN}


def _aws() -> dict[str, JsonValue]:
    from ckpt_inspect.storage.connecting import aws_settings

    settings = aws_settings()
    environment = (os.environ.get(n) for n in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
    endpoint = settings.get("endpoint") or next(filter(None, environment), None)
    region = settings.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    found: dict[str, JsonValue] = {}
    if endpoint:
        found |= {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    elif region:
        found["aws_region"] = region
    if settings.get("skip_signature"):
        found["aws_credentials"] = {"type": "anonymous"}
    elif os.environ.get("AWS_ACCESS_KEY_ID"):  # so that no file is looked for, of which AWS' library complains
        found["aws_credentials"] = {"type": "environment"}
    return found
