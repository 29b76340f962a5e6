"""Whole models in HDF5 (`.h5`): mutations of structures, contents and bytes. The format has no checksums."""

from __future__ import annotations

from pathlib import Path

from mutators.byte_spans import byte_mutators
from mutators.companions import folder_mutators
from mutators.hdf5_contents import content_mutators
from mutators.hdf5_fields import OLD_KINDS, field_mutators
from mutators.mutation import Checksum, Mutator, Original


def is_hdf5(name: str) -> bool:
    """Whether it is an HDF5 file."""
    return name.endswith(".h5")


MUTATORS: tuple[Mutator, ...] = (
    *field_mutators(is_hdf5, OLD_KINDS),
    *content_mutators(is_hdf5, has_json=True),
    *byte_mutators("file", is_hdf5, Checksum.NONE),
    *folder_mutators(Checksum.NONE, 0.1, is_one_file=True),
)


def originals(fixtures: Path) -> tuple[Original, ...]:
    """Return whole models of Keras 2.0, 2.2, OptimizerV2 and Keras 3."""
    names = (
        "formats/keras/model.h5",
        "recorded/keras209_tf14_h5_adam_eps/model_4.h5",
        "recorded/keras224_tf115_h5_amsgrad/model_4.h5",
        "recorded/tf24_v2_fit_h5_sched/model_3.h5",
    )
    return tuple(file_original(fixtures, name) for name in names)


def file_original(fixtures: Path, name: str) -> Original:
    """Return a checkpoint of one file of the fixtures."""
    path = fixtures / name
    return Original(name, path.name, {path.name: path.read_bytes()})
