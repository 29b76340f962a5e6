"""An Azure container as a web server has it: the address of its blobs, and a query that lets them be read.

For libraries that know of web servers and not of Azure.
https://learn.microsoft.com/rest/api/storageservices/create-service-sas
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from hmac import new as keyed_hash
from urllib.parse import urlencode

from ckpt_inspect.errors import UnsupportedError
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.connecting import azure_settings

_VERSION = "2020-12-06"
_VALID = timedelta(days=2)
_EMULATOR, _EMULATOR_KEY = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
)
"""The account that every emulator has, as its documentation says."""
_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
_TOKENS = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


def web_address(root: Address) -> tuple[str, str]:
    """Return the address of a container (`az://container`), and the query for requests; empty for a public one.

    Raises UnsupportedError for credentials that no query can carry, RequestError if no account is known.
    """
    settings = azure_settings(root)
    if settings.get("use_emulator"):
        base = os.environ.get("AZURITE_BLOB_STORAGE_URL") or "http://127.0.0.1:10000"
        query = container_query(_EMULATOR, _EMULATOR_KEY, root.place, datetime.now(timezone.utc))
        return f"{base.rstrip('/')}/{_EMULATOR}/{root.place}", query
    account = settings["account_name"]
    given = settings.get("endpoint") or _first(_ENDPOINTS) or f"https://{account}.blob.core.windows.net"
    address = f"{given.rstrip('/')}/{root.place}"
    if key := settings.get("account_key") or _first(_KEYS):
        return address, container_query(account, key, root.place, datetime.now(timezone.utc))
    if token := settings.get("sas_key") or _first(_TOKENS):
        return address, token.lstrip("?")
    if settings.get("skip_signature"):
        return address, ""
    raise UnsupportedError(
        f"{root}: the arrays of an Orbax folder are read from az:// by an account's key or a SAS token alone; set "
        "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or copy the folder to this machine and give that path"
    )


def container_query(account: str, key: str, container: str, now: datetime) -> str:
    """Return a query by which the blobs of a container can be read and listed for two days (a service SAS)."""
    until = f"{now + _VALID:%Y-%m-%dT%H:%M:%SZ}"
    fields = ("rl", "", until, f"/blob/{account}/{container}", "", "", "", _VERSION, "c", *[""] * 7)
    signature = keyed_hash(b64decode(key), "\n".join(fields).encode(), sha256).digest()
    return urlencode({"sp": "rl", "se": until, "sv": _VERSION, "sr": "c", "sig": b64encode(signature).decode("ascii")})


def _first(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)
