"""What pyproject.toml can't say of the distributions: named there, under `[tool.setuptools.cmdclass]`.

A source distribution holds all that a checkout does, so that its own tests run from it (setuptools by itself takes the
package and no more; a MANIFEST.in would have to stand at the top). The description that an index shows has no relative
links or pictures, which lead nowhere there: an index renders pictures from https addresses only, neither relative
ones nor `data:` ones, and there is no public address yet.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools.command.egg_info import egg_info
from setuptools.command.sdist import sdist

_FOLDERS = ("tests", "fixtures", "scripts")
_FILES = (".ci/run", ".gitignore")
_LEFT_BEHIND = re.compile(r"__pycache__|\.(?!zarray$).*|.*\.(pyc|so|ckpt-inspect\.h5)")
"""Names of what tests and editors leave in a checkout."""

_PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https:)([^)]*)\)")
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)[^)]*\)")


class SourceDistribution(sdist):
    """`sdist`, with what the package's tests need."""

    def make_distribution(self) -> None:
        """Write the archive, of everything that a checkout holds."""
        root = Path()
        self.filelist.extend([name for name in _FILES if (root / name).is_file()])
        self.filelist.extend(sorted(str(path) for folder in _FOLDERS for path in _kept(root / folder)))
        self.filelist.remove_duplicates()
        super().make_distribution()


class Metadata(egg_info):
    """`egg_info`, which every kind of distribution takes its metadata from, with a description for an index."""

    def finalize_options(self) -> None:
        """Set the description."""
        super().finalize_options()
        metadata = self.distribution.metadata
        metadata.long_description = described(metadata.long_description or "")


def described(readme: str) -> str:
    """Return the README's text with relative pictures and links as words: a picture's caption and place."""
    with_captions = _PICTURE.sub(r"*Picture, `\2` in the source distribution: \1*", readme)
    return _LINK.sub(r"\1", with_captions)


def _kept(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(_LEFT_BEHIND.fullmatch(part) for part in path.parts)
    ]
