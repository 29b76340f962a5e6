"""`dataclass`, in a fifth of the time: a start makes more than a hundred of them, few of which are ever compared.

The standard library compiles up to six methods for each class. Here most are one function that all classes share, and
the constructor is compiled when one is first called, or looked at. In all else it is the standard library's: what comes
out has fields, and can be replaced, matched, copied and pickled as any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_OPTIONS = ("frozen", "slots", "eq", "repr")
"""Of the decorator, those that are known here."""

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # no type checker need know the difference
else:

    def dataclass(cls=None, /, **asked):
        """Return a dataclass as the standard library's decorator does, which makes those that are asked for more of."""
        if cls is None:
            return lambda own: dataclass(own, **asked)
        is_known = asked.keys() <= set(_OPTIONS) and "__setattr__" not in cls.__dict__
        if not is_known or any(dataclasses.is_dataclass(base) for base in cls.__bases__):
            return dataclasses.dataclass(**asked)(cls)
        return _made(cls, *(asked.get(name, name in ("eq", "repr")) for name in _OPTIONS))


def _made(cls: type, is_frozen: bool, has_slots: bool, is_compared: bool, is_shown: bool) -> type:
    own = frozenset(cls.__dict__)
    has_hash = cls.__dict__.get("__hash__") is not None
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
    fields = dataclasses.fields(made)
    names = tuple(field.name for field in fields)
    if has_slots:
        made = _slotted(made, names)
    about = made.__dataclass_params__
    about.init, about.repr, about.eq, about.frozen = True, is_shown, is_compared, is_frozen
    methods: dict[str, object] = {"__init__": _LateConstructor(made, fields, has_slots)}
    if is_shown:
        methods["__repr__"] = _shown
    if is_compared:
        methods["__eq__"] = _equality(_values_of([field.name for field in fields if field.compare]))
    if is_frozen:
        methods["__setattr__"], methods["__delattr__"] = _guards(made, frozenset(names))
        if has_slots:
            methods["__getstate__"], methods["__setstate__"] = _state_of, _set_state
    for name, method in methods.items():
        if name not in own:
            setattr(made, name, method)
    if is_compared and not has_hash:
        hashed = [f.name for f in fields if (f.compare if f.hash is None else f.hash)]
        made.__hash__ = _hash(_values_of(hashed)) if is_frozen else None
    return made  # type: ignore[no-any-return]  # it is one


def _slotted(cls: type, names: Sequence[str]) -> type:
    """Return the class with slots, which only a new one can have."""
    contents = {name: value for name, value in cls.__dict__.items() if name not in (*names, "__dict__", "__weakref__")}
    made = type(cls)(cls.__name__, cls.__bases__, {**contents, "__slots__": tuple(names)})
    made.__qualname__ = cls.__qualname__
    return made


class _LateConstructor:
    """Stands for `__init__` until that is called or looked at."""

    def __init__(self, cls: type, fields: Sequence[dataclasses.Field[Any]], has_slots: bool) -> None:
        self._cls, self._fields, self._has_slots = cls, fields, has_slots

    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., None]:
        made = self._compiled()
        self._cls.__init__ = made  # type: ignore[misc]  # in place of this
        return made.__get__(instance, owner)  # type: ignore[no-any-return]  # a method

    def _compiled(self) -> Any:
        known: dict[str, object] = {
            "__name__": self._cls.__module__,
            "_made_anew": _MADE_ANEW,
            "_set": object.__setattr__,
        }
        this = "self" if all(field.name != "self" for field in self._fields) else "_self"
        parameters, lines = [this], []
        for field in self._fields:
            name, value = field.name, field.name
            known[f"_default_{name}"], known[f"_new_{name}"] = field.default, field.default_factory
            if field.default_factory is not dataclasses.MISSING:
                parameter, value = f"{name}=_made_anew", f"_new_{name}() if {name} is _made_anew else {name}"
            else:
                parameter = name if field.default is dataclasses.MISSING else f"{name}=_default_{name}"
            if field.init:
                parameters.append(parameter)
            elif field.default_factory is not dataclasses.MISSING:
                value = f"_new_{name}()"
            elif field.default is not dataclasses.MISSING and self._has_slots:
                value = f"_default_{name}"
            else:
                continue
            if self._has_slots:
                known[f"_set_{name}"] = self._cls.__dict__[name].__set__
                lines.append(f" _set_{name}({this}, {value})")
            else:
                lines.append(f" _set({this}, {name!r}, {value})")
        if hasattr(self._cls, "__post_init__"):
            lines.append(f" {this}.__post_init__()")
        exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), known)
        made: Any = known["__init__"]
        made.__qualname__ = f"{self._cls.__qualname__}.__init__"
        made.__annotations__ = {**{f.name: f.type for f in self._fields if f.init}, "return": None}
        return made


class _Anew:
    """The default of what is made anew for each."""

    def __repr__(self) -> str:
        return "<factory>"


_MADE_ANEW = _Anew()


def _values_of(names: Sequence[str]) -> Callable[[Any], tuple[object, ...]]:
    """Return what gives the values of attributes as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda each: tuple(getattr(each, name) for name in names)


def _equality(values_of: Callable[[Any], tuple[object, ...]]) -> Callable[[Any, object], bool]:
    def is_equal(self: Any, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented  # type: ignore[no-any-return]  # as Python has it
        return bool(values_of(self) == values_of(other))

    return is_equal


def _hash(values_of: Callable[[Any], tuple[object, ...]]) -> Callable[[Any], int]:
    def hash_of(self: Any) -> int:
        return hash(values_of(self))

    return hash_of


def _shown(self: Any) -> str:
    values = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(values)})"


def _guards(cls: type, names: frozenset[str]) -> tuple[Callable[..., None], Callable[..., None]]:
    def set_attribute(self: Any, name: str, value: object) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)  # type: ignore[arg-type]  # it is one: of what goes on from it

    def delete_attribute(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)  # type: ignore[arg-type]  # as above

    return set_attribute, delete_attribute


def _state_of(self: Any) -> list[object]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: Sequence[object]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
