"""The address of something in an object store or on a web server, as a path."""

from __future__ import annotations

from pathlib import PosixPath


class Address(PosixPath):
    """`s3://bucket/run/ckpt-5`: a path whose text keeps both slashes, and from which others are made as from any.

    Its first part is the scheme, its second the bucket or the host. It names nothing on this machine: only the
    storage that it belongs to can look at it.
    """

    def __str__(self) -> str:
        """Return the URL."""
        scheme, _, rest = super().__str__().partition(":/")
        return f"{scheme.removesuffix(':')}://{rest}"

    def __fspath__(self) -> str:
        """Return the URL, which is what it is passed on as."""
        return str(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def scheme(self) -> str:
        """Return what stands before the colon, in lower case: `s3`."""
        return self.parts[0].removesuffix(":").lower()

    @property
    def place(self) -> str:
        """Return the bucket or the host with its port; empty if the address ends before it."""
        return self.parts[1] if len(self.parts) > 1 else ""

    @property
    def key(self) -> str:
        """Return what stands behind the bucket or host, without a slash at either end, and with each `..` followed."""
        found: list[str] = []
        for part in self.parts[2:]:
            if part != "..":
                found.append(part)
            elif found:
                found.pop()
        return "/".join(found)
