"""Every format, one line each."""

from __future__ import annotations

from ckpt_inspect.formats import bundle, hdf5_claims, keras_archive_claims, orbax_claims, saved_model, tf1_v1_claims
from ckpt_inspect.formats.format import Format, NewestFile

FORMATS: tuple[Format, ...] = (
    saved_model.FORMAT,
    orbax_claims.FORMAT,
    bundle.FORMAT,
    hdf5_claims.SHARDED_FORMAT,
    keras_archive_claims.FORMAT,
    hdf5_claims.FORMAT,
    tf1_v1_claims.FORMAT,
)
"""In the order in which they are tried and claim names. A prefix that is both V1 and V2 is opened as V2. A file in a
SavedModel or an unzipped archive, or named by an index of shards, is not a checkpoint by itself."""

NEWEST_FILES: tuple[NewestFile, ...] = tuple(known.newest_file for known in FORMATS if known.newest_file is not None)
"""The files that name the newest checkpoint of a folder."""
