"""Dataclasses that are compiled late against the standard library's own of the same fields."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckpt_inspect
from ckpt_inspect.records.deferred import dataclass

PACKAGE = Path(ckpt_inspect.__file__).parent


def modules() -> list[str]:
    """The dotted names of the package's modules that make dataclasses."""
    files = [f for f in sorted(PACKAGE.rglob("*.py")) if "records import dataclass" in f.read_text("utf-8")]
    return [".".join(f.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for f in files]


def classes() -> list[type]:
    """Every dataclass of the package."""
    found: dict[type, None] = {}
    for module in map(importlib.import_module, modules()):
        own = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__)
        found.update((each, None) for each in own if isinstance(each, type) and dataclasses.is_dataclass(each))
    return list(found)


def test_every_signature_is_the_standard_librarys() -> None:
    """Names, order and defaults of what each class of the package is made with."""
    every = classes()
    assert len(every) > 200
    for cls in every:
        if any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:]):
            continue
        fields = [(f.name, f.type, copy.copy(f)) for f in dataclasses.fields(cls)]
        twin = dataclasses.make_dataclass(cls.__name__, fields)
        ours, theirs = (inspect.signature(each).parameters.values() for each in (cls, twin))
        assert [(p.name, p.kind, repr(p.default)) for p in ours] == [
            (p.name, p.kind, repr(p.default)) for p in theirs
        ], cls


def made(decorate: Any, **options: Any) -> type:
    """One class, decorated."""

    class Point:
        """A point."""

        x: int
        y: list[int] = dataclasses.field(default_factory=list)
        name: str = dataclasses.field(default="p", compare=False)
        secret: float = dataclasses.field(default=0.5, repr=False)
        doubled: int = dataclasses.field(init=False)
        counted: list[int] = dataclasses.field(init=False, default_factory=list)
        fixed: int = dataclasses.field(init=False, default=7)

        def __post_init__(self) -> None:
            object.__setattr__(self, "doubled", 2 * self.x)

    Point.__qualname__ = "Point"
    return decorate(**options)(Point)  # type: ignore[no-any-return]


OPTIONS = [
    {"frozen": frozen, "slots": slots, "eq": eq, "repr": text}
    for frozen in (False, True) for slots in (False, True) for eq in (False, True) for text in (False, True)
]  # fmt: skip


def outcome(action: Callable[[], object]) -> object:
    """What an action raises, or that it is done."""
    try:
        action()
    except (AttributeError, TypeError) as error:
        return type(error), str(error)
    return "done"


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_instances_are_the_standard_librarys(options: dict[str, bool]) -> None:
    """Values, text, equality, hash and what is refused are the same with each combination of options."""
    ours, theirs = made(dataclass, **options), made(dataclasses.dataclass, **options)

    def told(cls: type) -> list[Any]:
        one, same, named = cls(3, [1]), cls(3, [1]), cls(3, [1], name="q")
        other = cls(x=4, secret=1.0)
        facts: list[Any] = [dataclasses.asdict(each) for each in (one, same, named, other)]
        facts += [one == same, one == named, one == other, one == 3, one != same, cls(1).y is cls(1).y]
        facts += [repr(one) if options["repr"] else "", cls.__match_args__, hasattr(one, "__dict__")]
        facts += [dataclasses.asdict(dataclasses.replace(one, x=9)), cls.__hash__ is None]
        for action in (lambda: setattr(one, "x", 5), lambda: delattr(one, "x"), lambda: cls(), lambda: cls(1, z=2)):
            facts.append(outcome(action))
        return facts

    assert told(ours) == told(theirs)


def test_what_is_equal_hashes_alike() -> None:
    """Frozen instances are keys, as tuples of what is compared."""
    first, second = Whole(1, ("a",)), Whole(1, ("a",))
    assert first == second
    assert hash(first) == hash(second)
    assert {first: 1}[second] == 1
    assert first != Whole(2, ("a",))


@dataclass(frozen=True, slots=True)
class Whole:
    """Pickled and copied below."""

    number: int
    rest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Further(Whole):
    """Has its base's fields first."""

    more: int = 3


@dataclass(frozen=True)
class Own:
    """Defines itself what would be made."""

    number: int

    def __repr__(self) -> str:
        return "mine"

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize("instance", [Whole(1, ("a",)), Further(1, ("b",), 2)])
def test_instances_are_pickled_and_copied(instance: Whole) -> None:
    """Between processes and in this one, before and after the class was first used."""
    assert pickle.loads(pickle.dumps(instance)) == instance
    assert copy.copy(instance) == copy.deepcopy(instance) == instance


def test_a_subclass_begins_with_its_bases_fields() -> None:
    """And differs from an instance of its base."""
    assert repr(Further(1)) == "Further(number=1, rest=(), more=3)"
    assert Further(1) != Whole(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'number'"):
        Further(1).number = 2  # type: ignore[misc]


def test_what_a_class_defines_itself_stays() -> None:
    """Its text and equality; its hash is of the fields, as in the standard library."""
    assert repr(Own(1)) == "mine"
    assert Own(1) == Own(2)
    assert hash(Own(1)) == hash((1,))
