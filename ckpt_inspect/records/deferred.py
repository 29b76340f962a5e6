"""`dataclass` as of the standard library, but nothing is compiled before the first instance is made.

The standard library writes and compiles up to six methods for each class when its module is imported. That took a third
of the start of a command, which imports a hundred such classes and makes instances of a few. Here `__init__` is
compiled when it is first looked up, and the other methods are closures, which need no compiler.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def dataclass(
    *,
    frozen: bool = False,
    slots: bool = False,
    eq: bool = True,
    repr: bool = True,  # noqa: A002
) -> Callable[[Class], Class]:
    """Return a decorator that makes a dataclass of a class; the options mean what they mean in the standard library.

    What the class defines itself stays, as there. Two instances are equal if their fields are, compared as tuples.
    """

    def decorate(cls: Class) -> Class:
        made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
        methods: dict[str, Any] = {"__init__": _Init(made, frozen)}
        if repr:
            methods["__repr__"] = _repr_of(made)
        if eq:
            methods |= _comparing(made, frozen)
        if frozen:
            methods |= _refusing(made)
            if slots:
                methods |= _pickled(made)
        for name, method in methods.items():
            if vars(made).get(name) is None:  # of a class with an `__eq__` Python itself sets `__hash__` to None
                setattr(made, name, method)
        return made  # type: ignore[no-any-return]  # with `slots` it is another class

    return decorate


class _Init:
    """The `__init__` of a class until somebody looks it up: then the function takes its place."""

    def __init__(self, cls: type, is_frozen: bool) -> None:
        self._class, self._is_frozen = cls, is_frozen

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        function = _compiled_init(self._class, self._is_frozen)
        self._class.__init__ = function  # type: ignore[misc]  # of two threads both set the same
        return function if instance is None else function.__get__(instance, owner)


class _Absent:
    """Stands in a signature where a factory makes the default."""

    def __repr__(self) -> str:
        return "<factory>"


_ABSENT = _Absent()


def _compiled_init(cls: type, is_frozen: bool) -> Any:
    names: dict[str, Any] = {"_absent": _ABSENT, "_set": object.__setattr__}
    parameters, lines = ["self"], []
    for field in dataclasses.fields(cls):
        name = value = field.name
        if field.default_factory is not dataclasses.MISSING:
            names[default := f"_make_{name}"] = field.default_factory
            value = f"{default}() if {name} is _absent else {name}" if field.init else f"{default}()"
            parameter = f"{name}=_absent"
        elif field.default is not dataclasses.MISSING:
            names[default := f"_default_{name}"] = field.default
            parameter = f"{name}={default}"
            value = name if field.init else default
        elif field.init:
            parameter = name
        else:
            continue  # `__post_init__` sets it
        if field.init:
            parameters.append(parameter)
        lines.append(f"_set(self, {name!r}, {value})" if is_frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"]), names)
    function = names["__init__"]
    function.__qualname__, function.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return function


def _repr_of(cls: type) -> Callable[[Any], str]:
    names = [field.name for field in dataclasses.fields(cls) if field.repr]

    @recursive_repr()
    def represented(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return represented


def _comparing(cls: type, is_frozen: bool) -> Mapping[str, Any]:
    fields = dataclasses.fields(cls)
    compared = _values_of([field.name for field in fields if field.compare])

    def is_equal(self: Any, other: object) -> Any:
        return compared(self) == compared(other) if type(other) is type(self) else NotImplemented

    if not is_frozen:
        return {"__eq__": is_equal, "__hash__": None}
    hashed = _values_of([field.name for field in fields if (field.compare if field.hash is None else field.hash)])

    def hash_of(self: Any) -> int:
        return hash(hashed(self))

    return {"__eq__": is_equal, "__hash__": hash_of}


def _values_of(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return a function that returns the values of these attributes."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda instance: tuple(getattr(instance, name) for name in names)


def _refusing(cls: Any) -> Mapping[str, Any]:
    names = frozenset(field.name for field in dataclasses.fields(cls))

    def refuse_assignment(self: object, name: str, value: object) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)  # a subclass' own attribute

    def refuse_deletion(self: object, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return {"__setattr__": refuse_assignment, "__delattr__": refuse_deletion}


def _pickled(cls: type) -> Mapping[str, Any]:
    """Return how instances without a dictionary are taken apart and made again though nothing may be assigned."""
    names = [field.name for field in dataclasses.fields(cls)]

    def state_of(self: object) -> list[Any]:
        return [getattr(self, name) for name in names]

    def take_state(self: object, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": state_of, "__setstate__": take_state}
