"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Tab]:
    """One browser for all tests of a module."""
    with chromium.Tab(tmp_path_factory.mktemp("profile")) as tab:
        yield tab
