"""Both ways of computing: the loops in C where they were compiled, and numpy in their place."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from ckpt_inspect.native import loops


def ways_of(module: ModuleType) -> Any:
    """A fixture that has every test of a test module run by both ways of a module of ours."""

    @pytest.fixture(scope="module", autouse=True, params=["compiled", "numpy"])
    def way(request: pytest.FixtureRequest) -> Iterator[None]:
        if request.param == "compiled" and loops is None:
            pytest.skip("the loops were not compiled")
        with pytest.MonkeyPatch.context() as patch:
            if request.param == "numpy":
                patch.setattr(module, "loops", None)
            yield

    return way
