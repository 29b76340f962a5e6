"""Why a bucket or a host could not be read: obstore's errors, each as one sentence."""

from __future__ import annotations

import re
from http import HTTPStatus

from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.credentials import hidden


def may_pass(error: Exception) -> bool:
    from obstore import exceptions

    final = (
        exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, exceptions.NotSupportedError,
        exceptions.InvalidPathError, exceptions.PreconditionError,
    )  # fmt: skip
    if isinstance(error, final) or _NO_LOGIN in _text(error):
        return False
    return _tries(error) == 1 and _status(error) not in range(300, 500)


_NO_LOGIN = "az account get-access-token"
"""What obstore says where Azure's own program gives no token."""


def _tries(error: Exception) -> int:
    """Return how often obstore made the request by itself."""
    found = re.search(r"after (\d+) retries", _text(error))
    return 1 + int(found[1]) if found else 1


def _status(error: Exception) -> int | None:
    found = re.search(r"status code: (\d{3})", _text(error))
    return int(found[1]) if found else None


def lacks_ranges(error: Exception) -> bool:
    """Return whether the answer lacked the length without which obstore takes none, or was not the part that was asked
    for."""
    words = "Content-Length Header missing|Range request not supported|non-partial response when range requested"
    return re.search(words, _text(error)) is not None


def is_beyond_end(error: BaseException | None) -> bool:
    """Return whether what was asked for lies behind the end of a file."""
    return isinstance(error, Exception) and _status(error) == 416


BUSY = frozenset({408, 425, 429})
"""Answers (RFC 9110, 6585) that say to ask again later, as those from 500 on do."""

_EXPIRED = re.compile(r"<Code>(ExpiredToken|TokenRefreshRequired|InvalidToken|RequestTimeTooSkewed)</Code>")
"""What S3 says, with the status of a bad request, of credentials that were right some time before."""


def is_unanswered(error: Exception) -> bool:
    """Return whether no answer tells anything of what was asked for: there was none, or the server has failed."""
    text, status = str(error), _status(error)
    if status is not None:
        return status >= 500 or status in BUSY or _EXPIRED.search(text) is not None
    words = "kind: (Timeout|Connect|Interrupted)|timed out|error sending request|IncompleteBody|[Rr]edirect"
    return re.search(words, text) is not None and not ("metadata" in text.lower() and "credential" in text.lower())


def broke_off(error: Exception) -> bool:
    """Return whether an answer ended before all of it had come. obstore asks for the rest of one whose file has a tag,
    by itself."""
    return "IncompleteBody" in str(error)


def names_bucket(error: Exception) -> bool:
    return re.search("NoSuchBucket|specified (bucket|container) does not exist", _text(error)) is not None


_FAILURES = (
    (_NO_LOGIN, "is reached through az login, and az returned no token; log in again, or set "
     "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"),
    (r"InvalidCertificate", "has a certificate that isn't trusted here; set SSL_CERT_FILE to a file with the "
     "certificate of its issuer"),
    (r"InvalidMessage|CorruptMessage", "doesn't speak TLS; write http:// instead of https://"),
    (r"kind: Timeout|timed out", "didn't answer in time; check that it can be reached, and try again"),
    (r"dns error", "can't be found by its name (DNS); check the spelling of the name, and the network"),
    (r"ConnectionRefused", "refuses connections; check that the server runs, and its address and port"),
    (r"IncompleteBody", "ends its answers too early; check the connection, and try again"),
    (r"Requested [\d.]+, got|(?i:content.range)",
     "sends other bytes than it was asked for; download the file, and give the local path"),
    (r"ConnectionReset|IncompleteMessage|ConnectionAborted|BrokenPipe",
     "closes the connection without an answer; check whether it is http:// or https://, and try again"),
    (r"incorrectly configured region|PermanentRedirect|AuthorizationHeaderMalformed",
     "is in another region; set AWS_REGION to that one"),
    (r"kind: Redirect|redirect", "leads from one address to another without end; check the address"),
    (r"kind: Connect|error sending request", "can't be reached; check the address, the endpoint and the network"),
)  # fmt: skip
"""What is in the text that obstore has for its developers, which alone tells these apart -> what it is about a server;
what is found first counts."""


def cause(error: Exception, root: Address, *, is_anonymous: bool = False) -> str:
    """Return why a bucket or host wasn't read, and what to do. `is_anonymous`: requests bring no
    credentials, because there are none."""
    from obstore import exceptions

    what = {"http": "host", "https": "host", "az": "container"}.get(root.scheme, "bucket")
    if names_bucket(error):
        return f"there is no {what} {root.place!r}; check its name and the endpoint"
    if isinstance(error, (exceptions.NotFoundError, FileNotFoundError)):
        return "doesn't exist; check its name"
    status, said = _status(error), _message(error)
    refused = exceptions.UnauthenticatedError, exceptions.PermissionDeniedError
    if isinstance(error, refused) or status in (401, 403) or _EXPIRED.search(str(error)):
        if is_anonymous and root.scheme in ("http", "https"):
            return (
                f"{root} refuses it, and the address brings no credentials; give them in it: "
                f"{root.scheme}://NAME:PASSWORD@HOST/.. or the signed address"
            )
        if is_anonymous:
            return (
                f"{root} is not public, and no credentials for it were found; give them as for its provider's own tools"
            )
        told = f" ({said})" if said else ""
        return (
            f"{root} refuses the credentials that were found{told}; check that they are right and may read this {what}"
        )
    if lacks_ranges(error):
        return f"{root} doesn't send parts of a file (range requests); download it, and give the local path"
    if status is not None and (status >= 500 or status in BUSY):
        return f"{_server(error, root)} answered {_spelled(status)} each of {_tries(error)} times; try again later"
    if "metadata" in _text(error).lower() and "credential" in _text(error).lower():
        return f"no credentials for {root} were found; give them as for its provider's own tools"
    for words, sentence in _FAILURES:
        if re.search(words, str(error)):
            return f"{_server(error, root)} {sentence}"
    if status is not None:
        return f"{root} answered {_spelled(status)}{f': {said}' if said else ''}; check the address"
    return f"{root} could not be read ({first_line(error)}); try again"


def _spelled(status: int) -> str:
    phrases = {each.value: each.phrase for each in HTTPStatus}
    return f"{status} ({phrases[status]})" if status in phrases else str(status)


def _server(error: Exception, root: Address) -> str:
    """Return the bucket or host, and where it was sought if its address doesn't say so."""
    found = re.search(r"\w+://[^/?\s,]+", hidden(str(error).partition("uri: Some(")[2]))
    return f"{root} (at {found[0]})" if found and root.scheme not in ("http", "https") else str(root)


def _text(error: Exception) -> str:
    """Return what obstore says to people, without what it adds for its developers, and without secrets."""
    return hidden(str(error).partition("\nDebug source:")[0])


def _message(error: Exception) -> str:
    """Return what the server says of it, in the way of S3 and its kin; empty if it says nothing."""
    said = re.search(r"<Message>([^<]*)</Message>", _text(error))
    return _shortened(said[1]).rstrip(".") if said else ""


def first_line(error: Exception) -> str:
    return _message(error) or _shortened(_text(error))


def _shortened(text: str) -> str:
    line = " ".join(text.split("\n")[0].split())
    return line if len(line) <= 200 else f"{line[:197]}..."
