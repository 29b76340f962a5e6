"""What a web address carries beside its path and is never shown: a query, a name with its password.

Signed addresses name who may read them in their query. Paths are printed, stored and compared, so a path never holds
any of this; requests take it from here.
"""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote

_QUERIES: dict[tuple[str, str], str] = {}
"""Root (`https://host`) and key of a path that was given with a query -> the query."""
_ACCOUNTS: dict[str, str] = {}
"""Root -> `name:password`, as it stood in the address."""

_SIBLINGS = (".index", ".meta")
"""Suffixes without which a bundle's name is that of its other files as well."""


def keep(root: str, key: str, query: str, account: str) -> None:
    """Keep what an address of that root and key carried; empty for what it did not."""
    if query:
        stem = next((key.removesuffix(suffix) for suffix in _SIBLINGS if key.endswith(suffix)), key)
        _QUERIES[root, stem] = query
    if account:
        _ACCOUNTS[root] = account


def query_of(root: str, key: str) -> str:
    """Return the query for requests of a key: that of the longest path that was given and that this key begins with,
    because a checkpoint's files do; empty if there is none."""
    found = [stem for place, stem in _QUERIES if place == root and key.startswith(stem)]
    return _QUERIES[root, max(found, key=len)] if found else ""


def authorization_of(root: str) -> str:
    """Return the `Authorization` header for a root (RFC 7617); empty if its address named nobody."""
    account = _ACCOUNTS.get(root, "")
    return f"Basic {b64encode(unquote(account).encode()).decode('ascii')}" if account else ""


def hidden(text: str) -> str:
    """Return a text with all that is kept here blotted out."""
    for secret in (*_QUERIES.values(), *_ACCOUNTS.values()):
        text = text.replace(secret, "...")
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)


def has_any() -> bool:
    """Return whether anything is kept."""
    return bool(_QUERIES or _ACCOUNTS)


def forget() -> None:
    """Forget all."""
    _QUERIES.clear()
    _ACCOUNTS.clear()
