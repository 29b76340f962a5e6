"""Why a bucket or a host could not be read: obstore's errors, each as one sentence."""

from __future__ import annotations

import re

from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.credentials import hidden


def may_pass(error: Exception) -> bool:
    from obstore import exceptions

    final = (
        exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, exceptions.NotSupportedError,
        exceptions.InvalidPathError, exceptions.PreconditionError,
    )  # fmt: skip
    is_tried = re.search(r"after \d+ retries", _text(error)) is not None
    return not isinstance(error, final) and not is_tried and _status(error) not in range(400, 500)


def _status(error: Exception) -> int | None:
    found = re.search(r"status code: (\d{3})", _text(error))
    return int(found[1]) if found else None


def lacks_ranges(error: Exception) -> bool:
    """Return whether the answer lacked the length without which obstore takes none, or was not the part that was asked
    for."""
    return "Content-Length Header missing" in _text(error) or "Range request not supported" in _text(error)


def names_bucket(error: Exception) -> bool:
    return re.search("NoSuchBucket|specified (bucket|container) does not exist", _text(error)) is not None


def cause(error: Exception, root: Address) -> str:
    from obstore import exceptions

    text, what = _text(error), {"http": "host", "https": "host", "az": "container"}.get(root.scheme, "bucket")
    if names_bucket(error):
        return f"there is no {what} {root.place!r}; see that its name and the endpoint are right"
    if isinstance(error, (exceptions.NotFoundError, FileNotFoundError)):
        return "is not there; see that its name is right"
    if isinstance(error, exceptions.UnauthenticatedError) or _status(error) == 401:
        return f"{root} wants credentials, and those found are none that it takes; give them as its provider's tools do"
    if isinstance(error, exceptions.PermissionDeniedError) or _status(error) == 403:
        return f"{root} refuses access; see that the credentials are right and may read this {what}"
    if lacks_ranges(error):
        return f"{root} sends no parts of it, so it can't be read by ranges; download it, and give that path"
    lowered = text.lower()
    if "timed out" in lowered or "kind: Timeout" in str(error):  # which is for developers, and the sole place
        return f"{root} didn't answer in time; see that it can be reached, and try again"
    if "connect" in lowered or "dns" in lowered or "error sending request" in lowered:
        return f"{root} can't be reached; see that the address, the endpoint and the network are right"
    if "metadata" in lowered and "credential" in lowered:
        return f"no credentials for {root} were found; give them as its provider's tools do"
    return f"{root} could not be read ({first_line(error)}); try again"


def _text(error: Exception) -> str:
    """Return what obstore says to people, without what it adds for its developers, and without secrets."""
    return hidden(str(error).partition("\nDebug source:")[0])


def first_line(error: Exception) -> str:
    said = re.search(r"<Message>([^<]*)</Message>", _text(error))  # by the server, in what S3 and its kin answer
    line = " ".join((said[1] if said else _text(error)).split("\n")[0].split())
    return line if len(line) <= 200 else f"{line[:197]}..."
