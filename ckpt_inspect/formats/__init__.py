"""Formats: bytes on disk -> named tensors. One module each, registered in `registry`."""

from ckpt_inspect.formats.format import Claim, Format, NewestFile
from ckpt_inspect.formats.grouping import (
    claims_in,
    explain_nothing_found,
    find_claims,
    find_claims_among,
    find_left_over,
)
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.formats.opening import is_recognised, open_checkpoint
from ckpt_inspect.formats.registry import FORMATS, NEWEST_FILES

__all__ = [
    "FORMATS",
    "NEWEST_FILES",
    "Claim",
    "Format",
    "Listing",
    "NewestFile",
    "claims_in",
    "explain_nothing_found",
    "find_claims",
    "find_claims_among",
    "find_left_over",
    "is_recognised",
    "open_checkpoint",
]
