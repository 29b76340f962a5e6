"""The list that a web server shows of a folder."""

from __future__ import annotations

import urllib.error
import urllib.request
from html.parser import HTMLParser
from http.client import HTTPException, InvalidURL
from urllib.parse import quote, unquote, urlsplit

from ckpt_inspect.storage import credentials
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.causes import BUSY

_PAGE = 1 << 22
"""Bytes up to which an answer can be a list: of some 30,000 names."""
_TOO_EARLY = "ends its answers too early; check the connection, and try again"


class PageError(Exception):
    """No answer, or a part of one; `str()` goes on behind the server's name."""

    def __init__(self, what: str, *, is_final: bool = False) -> None:
        """`is_final`: whether it is of no use to ask again."""
        super().__init__(what)
        self.is_final = is_final


def read_page(path: Address, timeout: float) -> bytes | None:
    """Return what a web server answers to a folder's address; None if it refuses, or if that is too long for a list.

    Not by obstore, which takes no answer whose length isn't said beforehand, as most servers don't of their lists.
    Raises PageError.
    """
    root = f"{path.scheme}://{path.place}"
    query, authorization = credentials.query_of(root, path.key), credentials.authorization_of(root)
    url = f"{root}/{quote(path.key)}{'/' if path.key else ''}{'?' if query else ''}{query}"
    headers = {"Authorization": authorization} if authorization else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
            page: bytes = answer.read(_PAGE + 1)
            if len(page) <= _PAGE and answer.length:  # of which `read` says nothing
                raise PageError(_TOO_EARLY)
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code in BUSY:
            raise PageError(f"answered {error.code} ({error.reason}); try again later") from error
        return None
    except TimeoutError as error:
        raise PageError("didn't answer in time; check that it can be reached, and try again", is_final=True) from error
    except (InvalidURL, ValueError):
        return None
    except HTTPException as error:
        raise PageError(_TOO_EARLY) from error
    except OSError as error:
        raise PageError("can't be reached; check the address and the network, and try again") from error
    return page if len(page) <= _PAGE else None


def names_in_page(page: bytes) -> list[str] | None:
    """Return the names that a page links to one level below it, those of folders with a slash at the end.

    None if it is no HTML. Apache, nginx and Python's server write such pages, each its own way; what they have in
    common are relative links to each name.
    """
    start = page.lstrip()[:256].lower()
    if not start.startswith((b"<!doctype html", b"<html")):
        return None
    links = _Links()
    links.feed(page.decode("utf-8", "replace"))
    names = (_name(link) for link in links.found)
    return list(dict.fromkeys(name for name in names if name))


def _name(link: str) -> str | None:
    """Return the name of one thing in the folder, or None for a link to elsewhere."""
    parts = urlsplit(link)
    name = unquote(parts.path.removeprefix("./"))
    if parts.scheme or parts.netloc or parts.query or not name or name.startswith(("/", "../")):
        return None
    return None if "/" in name.rstrip("/") or name.rstrip("/") in (".", "..") else name


class _Links(HTMLParser):
    """Collects where the links of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]
