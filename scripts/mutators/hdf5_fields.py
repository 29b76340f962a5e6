"""HDF5 files: mutations of single fields of their structures, and of pointers so that they loop."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mutators.hdf5_structures import Structure, lookup3, structures
from mutators.mutation import Checksum, Mutator, NothingToMutateError, of_bytes, whole_numbers

Change = Callable[[bytes, Random], tuple[bytes, str]]

OLD_KINDS = (
    "superblock", "object header", "B-tree", "symbol node", "local heap", "global heap", "dataspace message",
    "datatype message", "layout message", "fill value message", "attribute message", "continuation message",
    "symbol table message", "other message",
)  # fmt: skip
"""What HDF5's library writes by default, as Keras has it do; none of it has a checksum."""

STORE_KINDS = (
    "superblock", "object header", "chunk B-tree", "global heap", "dataspace message", "datatype message",
    "layout message", "fill value message", "filters message", "attribute message", "continuation message",
    "other message",
)  # fmt: skip
"""What a store has without a checksum."""

SEALED_KINDS = (
    "object header", "fractal heap", "B-tree 2", "link message", "link info message", "attribute message",
    "attribute info message", "other message",
)  # fmt: skip
"""What a store has with a checksum."""


def change_field(kind: str, checksum: Checksum) -> Change:
    """Return what changes a field of a structure of that kind; `checksum` says which structures, and what is done."""

    def is_meant(structure: Structure) -> bool:
        return structure.kind == kind and (structure.seal is None) == (checksum is Checksum.NONE)

    def change(data: bytes, rng: Random) -> tuple[bytes, str]:
        found = structures(data)
        meant = [structure for structure in found if is_meant(structure)]
        if not meant:
            raise NothingToMutateError(f"no {kind}")
        structure = rng.choice(meant)
        changed = bytearray(data)
        notes = []
        for field in rng.sample(structure.fields, min(rng.choice((1, 1, 1, 2)), len(structure.fields))):
            before = int.from_bytes(data[field.offset : field.offset + field.width], "little")
            value = whole_numbers(rng, field.width, before)
            if field.width == 8 and rng.random() < 0.5:
                value = rng.choice((rng.choice(found).start, structure.start, (1 << 64) - 1, len(data), len(data) - 1))
            changed[field.offset : field.offset + field.width] = value.to_bytes(field.width, "little")
            notes.append(f"{field.name} {before:#x} becomes {value:#x}")
        if structure.seal is not None and checksum is Checksum.RECOMPUTED:
            sealed = lookup3(bytes(changed[structure.sealed_from : structure.seal]))
            changed[structure.seal : structure.seal + 4] = sealed.to_bytes(4, "little")
        return bytes(changed), f"{kind} at {structure.start:#x}: {', '.join(notes)}"

    return change


def field_mutators(is_meant: Callable[[str], bool], kinds: tuple[str, ...]) -> tuple[Mutator, ...]:
    """Return those of structures without checksums, for the files that are meant."""
    none = Checksum.NONE
    return tuple(of_bytes(f"field: {kind}", change_field(kind, none), is_meant, none) for kind in kinds)


def sealed_field_mutators(is_meant: Callable[[str], bool], kinds: tuple[str, ...]) -> tuple[Mutator, ...]:
    """Return those of structures with checksums, which are kept in some and computed anew in others."""
    return tuple(
        of_bytes(f"field: {kind}", change_field(kind, checksum), is_meant, checksum, weight)
        for kind in kinds
        for checksum, weight in ((Checksum.KEPT, 0.3), (Checksum.RECOMPUTED, 1.0))
    )
