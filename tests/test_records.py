"""Dataclasses that are made quickly, against those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from ckpt_inspect.records import dataclass

T = TypeVar("T")

Decorator = Callable[..., Any]


def body_of(decorator: Decorator) -> dict[str, type]:
    """Classes of each kind that the package has, by their names, made by a decorator."""

    @decorator(frozen=True, slots=True)
    class Plain:
        """A sentence."""

        kind: ClassVar[str] = "plain"
        name: str
        count: int = 3
        names: tuple[str, ...] = field(default=(), compare=False)
        by_name: Mapping[str, int] = field(default_factory=dict, hash=False)
        shown: float = field(default=1.0, repr=False)

    @decorator(frozen=True, slots=True)
    class One(Generic[T]):
        """A sentence."""

        value: T | None

        @property
        def is_known(self) -> bool:
            return self.value is not None

    @decorator(frozen=True, slots=True)
    class Empty:
        """A sentence."""

    @decorator(frozen=True, slots=True, eq=False, repr=False)
    class Odd:
        """A sentence."""

        self: int
        later: int = field(init=False, default=5)

        def __repr__(self_) -> str:  # noqa: N805 - a field has that name
            return f"<{self_.self}>"

    @decorator(frozen=True)
    class Keeping:
        """A sentence."""

        value: int

        @cached_property
        def twice(self) -> int:
            return 2 * self.value

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Keeping) and self.value % 10 == other.value % 10

    @decorator(slots=True)
    class Changing:
        """A sentence."""

        value: int
        doubled: int = field(init=False)
        more: list[int] = field(default_factory=list)
        hidden: list[int] = field(init=False, default_factory=list)

        def __post_init__(self) -> None:
            self.doubled = 2 * self.value

    @decorator(slots=True, eq=False)
    class ChangingAlone:
        """A sentence."""

        value: int = 0

    classes = (Plain, One, Empty, Odd, Keeping, Changing, ChangingAlone)
    return {cls.__name__: cls for cls in classes}


OURS, THEIRS = body_of(dataclass), body_of(dataclasses.dataclass)

ARGUMENTS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Plain", ("a",), {}),
    ("Plain", ("a", 4, ("b",)), {"by_name": {"c": 1}, "shown": 2.0}),
    ("One", (float("nan"),), {}),
    ("One", (None,), {}),
    ("Empty", (), {}),
    ("Odd", (1,), {}),
    ("Keeping", (12,), {}),
    ("Changing", (1,), {"more": [1, 2]}),
    ("ChangingAlone", (), {}),
]

EACH = pytest.mark.parametrize(("name", "positional", "named"), ARGUMENTS)


def both(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    return OURS[name](*positional, **named), THEIRS[name](*positional, **named)


@EACH
def test_they_look_alike(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Printed, as tuples and as dictionaries."""
    ours, theirs = both(name, positional, named)
    assert repr(ours) == repr(theirs)
    assert repr(dataclasses.astuple(ours)) == repr(dataclasses.astuple(theirs))
    assert repr(dataclasses.asdict(ours)) == repr(dataclasses.asdict(theirs))


@pytest.mark.parametrize("name", OURS)
def test_what_is_known_of_a_class_is_the_same(name: str) -> None:
    """Signature, fields, parameters, slots and places for matching; before and after the first is made."""
    ours, theirs = OURS[name], THEIRS[name]
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert [f.name for f in dataclasses.fields(ours)] == [f.name for f in dataclasses.fields(theirs)]
    for attribute in ("__match_args__", "__qualname__", "__module__", "__doc__"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    for parameter in ("init", "repr", "eq", "frozen"):
        assert getattr(ours.__dataclass_params__, parameter) == getattr(theirs.__dataclass_params__, parameter)
    assert getattr(ours, "__slots__", None) == getattr(theirs, "__slots__", None)
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)


@EACH
def test_they_are_equal_to_the_same_others(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    """To one like it, to itself, to one that differs, and to one of another class."""
    answers = []
    for classes in (OURS, THEIRS):
        one, two = (classes[name](*positional, **named) for _ in range(2))
        others = [classes[n](*p, **d) for n, p, d in ARGUMENTS]
        answers.append([one == one, one == two, one != two, *(one == other for other in others)])
    assert answers[0] == answers[1]


@EACH
def test_equal_ones_have_one_hash(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Where the standard library's have one."""
    one, theirs = both(name, positional, named)
    two = OURS[name](*positional, **named)
    if theirs.__class__.__hash__ is None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(one)
    elif theirs.__class__.__hash__ is not object.__hash__:
        assert hash(one) == hash(two) == hash(theirs)
    else:
        assert {one: 1}[one] == 1


@EACH
def test_frozen_ones_stay_as_they_are(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    """No field can be set or deleted, nor an attribute be added."""
    ours, theirs = both(name, positional, named)
    for attribute in [f.name for f in dataclasses.fields(ours)]:
        for change in (lambda each, a=attribute: setattr(each, a, 1), lambda each, a=attribute: delattr(each, a)):
            if theirs.__dataclass_params__.frozen:
                with pytest.raises(FrozenInstanceError, match=f"field '{attribute}'"):
                    change(ours)
            else:
                change(ours)
                change(theirs)
    with pytest.raises((AttributeError, TypeError)):
        ours.something_new = 1


@EACH
def test_one_can_be_replaced_and_copied(name: str, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    """By the standard library's own functions."""
    for each in both(name, positional, named):
        first = next((f.name for f in dataclasses.fields(each) if f.init), None)
        if first is not None:
            assert getattr(dataclasses.replace(each, **{first: 7}), first) == 7
        assert repr(dataclasses.astuple(copy.copy(each))) == repr(dataclasses.astuple(each))


@dataclass(frozen=True, slots=True)
class Sent:
    """One that a process can send to another."""

    name: str
    values: tuple[int, ...] = ()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_one_can_be_sent_to_another_process(protocol: int) -> None:
    """Frozen, with slots."""
    sent = Sent("a", (1, 2))
    assert pickle.loads(pickle.dumps(sent, protocol)) == sent


def test_one_can_be_matched() -> None:
    """By position and by name."""
    match Sent("a", (1,)):
        case Sent(name, values=(one,)):
            assert (name, one) == ("a", 1)
        case _:
            pytest.fail("is not matched")


@pytest.mark.parametrize(
    "arguments", [{"positional": ()}, {"positional": ("a", (), 1)}, {"positional": ("a",), "named": {"other": 1}}]
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    """In the words of any function."""
    with pytest.raises(TypeError, match=r"Sent\.__init__\(\)"):
        Sent(*arguments["positional"], **arguments.get("named", {}))


def test_a_class_that_goes_on_from_one_is_a_dataclass() -> None:
    """With the fields of both."""

    @dataclass(frozen=True, slots=True)
    class More(Sent):
        """A sentence."""

        count: int = 0

    assert dataclasses.astuple(More("a", (1,), 2)) == ("a", (1,), 2)
    with pytest.raises(FrozenInstanceError):
        More("a").count = 1  # type: ignore[misc]  # that is tried


def test_a_plain_class_can_go_on_from_one() -> None:
    """It calls the constructor itself, and what it adds can be set."""

    class Plainly(Sent):
        def __init__(self) -> None:
            super().__init__("b")
            self.added = 1

    found = Plainly()
    assert (found.name, found.added) == ("b", 1)
    with pytest.raises(FrozenInstanceError):
        found.name = "c"  # type: ignore[misc]  # that is tried


def test_values_that_are_kept_are_kept() -> None:
    """A frozen class without slots has room for them."""
    kept = OURS["Keeping"](4)
    assert (kept.twice, vars(kept)) == (8, {"value": 4, "twice": 8})


def test_options_of_the_standard_library_work() -> None:
    """Which make another class."""

    @dataclass(order=True)
    class Ordered:
        """A sentence."""

        value: int

    assert Ordered(1) < Ordered(2)
