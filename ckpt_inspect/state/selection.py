"""Which parameters a person asked for."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import NamedTuple


class Selection(NamedTuple):
    """Glob patterns on parameters' names; matching minds case, and `*` crosses `/`."""

    include: tuple[str, ...] = ()
    """At least one must match; none given: every name does."""
    exclude: tuple[str, ...] = ()
    """None of them may match."""

    @classmethod
    def of(cls, include: Iterable[str] | None, exclude: Iterable[str] | None) -> Selection:
        """Return the selection that a caller asked for; None for no patterns."""
        return cls(tuple(include or ()), tuple(exclude or ()))

    def has(self, name: str) -> bool:
        """Return whether the parameter of that name was asked for."""
        included = not self.include or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.include)
        return included and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)
