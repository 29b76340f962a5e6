"""Mutations of a checkpoint's folder: files that are missing, empty, of another kind, or another's."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mutators.mutation import Checksum, Content, Files, Mutator, NothingToMutateError, Special, choose_file, contents


def remove(files: Files, rng: Random) -> str:
    """Take one file away, if that leaves another."""
    if len(files) < 2:
        raise NothingToMutateError("one file alone")
    name = choose_file(files, rng, lambda name: True)
    del files[name]
    return f"{name}: removed"


def replace_by_special(files: Files, rng: Random) -> str:
    """Put in its place what is no plain file."""
    name = choose_file(files, rng, lambda name: True)
    size = rng.choice((len(contents(files, name)), 1 << 32, 1 << 42))
    chosen: Content = rng.choice(
        (
            Special("fifo"),
            Special("folder"),
            Special("link", name.rpartition("/")[2]),
            Special("link", "/dev/zero"),
            Special("link", "/dev/null"),
            Special("link", "absent"),
            Special("sparse", size=size),
            b"",
        )
    )
    files[name] = chosen
    kind = f"{chosen.kind} {chosen.target}" if isinstance(chosen, Special) else "an empty file"
    return f"{name}: replaced by {kind}"


def lengthen_sparsely(files: Files, rng: Random) -> str:
    """Put a huge sparse file beside it, under a name that may be asked for."""
    name = choose_file(files, rng, lambda name: True)
    other = rng.choice((f"{name}.meta", f"{name}.index", f"{name}.data-00000-of-00001", "checkpoint", "saved_model.pb"))
    if other in files:
        raise NothingToMutateError("is there")
    companion = rng.choice((Special("sparse", size=1 << 40), Special("fifo"), Special("link", "/dev/zero")))
    files[other] = companion
    return f"{other}: a companion, {companion.kind}"


def exchange(files: Files, rng: Random) -> str:
    """Exchange the contents of two files."""
    names = sorted(files)
    if len(names) < 2:
        raise NothingToMutateError("one file alone")
    a, b = rng.sample(names, 2)
    files[a], files[b] = files[b], files[a]
    return f"{a} and {b}: exchanged"


def lead_astray(files: Files, rng: Random) -> str:
    """Put folders beside it that whoever lists a folder may walk into: loops of links, and very deep ones."""
    how = rng.choice(("loops", "deep", "upwards", "many"))
    if how == "loops":
        files |= {f"loop{i}": Special("link", ".") for i in range(3)}
    elif how == "deep":
        files["d/" * 1500 + "end"] = Special("folder")
    elif how == "upwards":
        files |= {"up": Special("link", ".."), "root": Special("link", "/dev")}
    else:
        files |= {f"run{i:04d}/checkpoint": Special("folder") for i in range(2000)}
    return f"folders beside it: {how}"


def folder_mutators(checksum: Checksum, weight: float = 0.3, *, is_one_file: bool = False) -> tuple[Mutator, ...]:
    """Return those that any format has; `is_one_file`: but for those that need several files."""
    changes: tuple[tuple[str, Callable[[Files, Random], str]], ...] = (
        ("file of another kind", replace_by_special),
        ("odd companion", lengthen_sparsely),
        ("folders beside", lead_astray),
        *(() if is_one_file else (("file removed", remove), ("files exchanged", exchange))),
    )
    return tuple(Mutator(f"folder: {name}", apply, checksum, weight) for name, apply in changes)
