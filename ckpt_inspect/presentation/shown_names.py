"""Names as people see them: they come from files that anybody may have written, and several may be alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def printable(text: str) -> str:
    r"""Return the text with what can't be shown, or would change how the rest is shown, escaped: `\x1b`, `\u202e`.

    That is control characters, line breaks, changes of the writing direction, halves of surrogate pairs. Two different
    names stay different.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def _in_brackets(name: str, ordinal: int) -> str:
    return f"{name} ({ordinal})"


def distinct(
    names: Sequence[str],
    numbered: Callable[[str, int], str] = _in_brackets,
    key: Callable[[str], str] = str,
) -> list[str]:
    """Return the names with an ordinal, from 2 up, in those that repeat an earlier one, so that no two are alike.

    `numbered` puts the ordinal into a name; names of the same `key` count as alike.
    """
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, ordinal = name, 1
        while key(candidate) in taken:
            ordinal += 1
            candidate = numbered(name, ordinal)
        taken.add(key(candidate))
        result.append(candidate)
    return result
