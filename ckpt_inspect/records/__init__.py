"""The dataclasses of the package: the standard library's, made when they are needed rather than when imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes the same, and does the same
    from dataclasses import dataclass as dataclass
else:
    from ckpt_inspect.records.deferred import dataclass as dataclass
