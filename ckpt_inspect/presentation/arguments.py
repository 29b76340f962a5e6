"""What callers hand to the public functions and methods: checked, so that what can't be meant is a RequestError."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from ckpt_inspect.checkpoint import Checkpoint
from ckpt_inspect.errors import RequestError
from ckpt_inspect.state.given import Given
from ckpt_inspect.state.rate_tables import decode_rate_table, encode_rate_table

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ckpt_inspect.runs.workers import Spare

PathLike = str | os.PathLike[str]
"""A path of the local file system."""

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


def path_in(value: object, name: str) -> PathLike:
    """Return a path. Raises RequestError, as all functions here do, if it isn't one."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise _wrong(value, name, "a path (text or pathlib.Path)")
    if value == "":
        raise RequestError(f"{name} is empty: name a path")
    return value


def path_if_any(value: object, name: str) -> PathLike | None:
    """Return a path, or None."""
    return None if value is None else path_in(value, name)


def paths_in(value: object, name: str) -> Iterator[PathLike]:
    """Yield several paths; a single one may stand by itself. An open checkpoint stands for its path."""
    is_one = isinstance(value, (str, os.PathLike, Checkpoint))
    for path in [value] if is_one else iterable_in(value, name, "a path or several"):
        yield path.path if isinstance(path, Checkpoint) else path_in(path, name)


def iterable_in(value: object, name: str, wanted: str) -> Iterable[object]:
    """Return what has several elements; text is none."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _wrong(value, name, wanted)
    return value


def text_in(value: object, name: str) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise _wrong(value, name, "text")
    return value


def text_if_any(value: object, name: str) -> str | None:
    """Return a text, or None."""
    return None if value is None else text_in(value, name)


def texts_if_any(value: object, name: str) -> tuple[str, ...] | None:
    """Return several texts, such as patterns; a single one may stand by itself. Or None."""
    if value is None:
        return None
    each = (value,) if isinstance(value, str) else iterable_in(value, name, "text or several")
    return tuple(text_in(text, name) for text in each)


def flag_in(value: object, name: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise _wrong(value, name, "True or False")
    return value


def count_if_any(value: object, name: str) -> int | None:
    """Return a whole number from 1 on, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise _wrong(value, name, "a whole number from 1 on")
    return int(value)


def workers_if_any(value: object) -> int | Literal["auto"] | None:
    """Return a number of workers, "auto" or None."""
    return "auto" if isinstance(value, str) and value == "auto" else count_if_any(value, "workers")


def seconds_if_any(value: object, name: str) -> float | None:
    """Return a number of seconds above 0, or None."""
    if value is None:
        return None
    if not _is_number(value) or not 0 < float(value) < math.inf:  # type: ignore[arg-type]  # a number has a float
        raise _wrong(value, name, "a number of seconds above 0")
    return float(value)  # type: ignore[arg-type]  # a number has a float


def failing_if_any(value: object) -> str | None:
    """Return a severity or the id of a kind of finding, or None. Raises RequestError also for an unknown one."""
    if value is None:
        return None
    from ckpt_inspect.findings.checks import KINDS
    from ckpt_inspect.findings.finding import SEVERITIES
    from ckpt_inspect.state.given import similar_name

    known = (*SEVERITIES, *(kind.id for kind in KINDS))
    if (name := text_in(value, "fail_on")) not in known:
        meant = similar_name(name, known)
        hint = "" if meant is None else f"; did you mean {meant}?"
        raise RequestError(f"fail_on: {name!r} is none of {', '.join(SEVERITIES)}, nor the id of a finding{hint}")
    return name


def executor_if_any(value: object) -> Executor | Spare | None:
    """Return what takes work as a `concurrent.futures.Executor` does, or starts one when it is needed; or None."""
    if value is not None and not any(callable(getattr(value, own, None)) for own in ("submit", "executor_for")):
        raise _wrong(value, "executor", "a concurrent.futures.Executor")
    return cast("Executor | Spare | None", value)


def indices_if_any(value: object, name: str) -> tuple[int, ...] | None:
    """Return several whole numbers from 0 on, or None."""
    if value is None:
        return None
    each = tuple(iterable_in(value, name, "whole numbers from 0 on"))
    for index in each:
        if isinstance(index, bool) or not isinstance(index, numbers.Integral) or index < 0:
            raise _wrong(index, f"each of {name}", "a whole number from 0 on")
    return tuple(int(index) for index in each if isinstance(index, numbers.Integral))


def number_if_any(value: object, name: str) -> float | None:
    """Return a finite number, or None."""
    if value is None:
        return None
    if not _is_number(value) or not math.isfinite(float(value)):  # type: ignore[arg-type]  # a number has a float
        raise _wrong(value, name, "a number")
    return float(value)  # type: ignore[arg-type]  # a number has a float


def given_if_any(value: object, name: str = "given") -> Given | None:
    """Return numbers and texts by name, or None; which names and values there are is known where they are used."""
    named = dict(_mapping_in(value, name))
    for key, each in named.items():
        if isinstance(each, Mapping) and key.rpartition(".")[2] == "learning_rate":
            named[key] = _rate_table_in(each, f"{name}[{key!r}]")
        elif key.rpartition(".")[2] == "learning_rate" and not _is_number(each):
            if not isinstance(each, str) or "," not in each:  # else a table's text, as the command line has it
                wanted = "a number, a table of rates by step ({step: rate, ..}), or a function of the step"
                raise _wrong(each, f"{name}[{key!r}]", wanted)
        elif not isinstance(each, str) and not _is_number(each):
            raise _wrong(each, f"{name}[{key!r}]", "a number or text")
    return None if value is None else named  # type: ignore[return-value]  # the loop looked at each


def with_rates_of(given: object, steps: Callable[[], Iterable[int]] | None) -> object:
    """Return the given values, with a table instead of each function that gives a learning rate for a step.

    `steps` are those of the checkpoints; it is called only if there is such a function. Without it, functions are
    left out.
    """
    functions = {
        key: each
        for key, each in (given.items() if isinstance(given, Mapping) else ())
        if callable(each) and isinstance(key, str) and key.rpartition(".")[2] == "learning_rate"
    }
    if not functions or not isinstance(given, Mapping):
        return given
    known = None if steps is None else tuple(dict.fromkeys(steps()))
    if known is None:
        return {key: each for key, each in given.items() if key not in functions}
    if not known:
        raise RequestError(
            "no checkpoint's step is known, so that a function can't be asked for its learning rate: give a number"
        )
    return {**given, **{key: {step: _asked(each, step, key) for step in known} for key, each in functions.items()}}


def _asked(function: Callable[[int], object], step: int, name: str) -> float:
    """Return the rate that a caller's function gives for a step; RequestError if it gives none."""
    try:
        rate = function(step)
    except Exception as error:
        raise RequestError(
            f"given[{name!r}]: the function of the step failed at step {step}: {type(error).__name__}: {error}"
        ) from error
    try:
        return float(rate)  # type: ignore[arg-type]  # what it can't take is refused
    except (TypeError, ValueError) as error:
        raise _wrong(rate, f"what given[{name!r}] returns for step {step}", "a number") from error


def _rate_table_in(rates: Mapping[object, object], name: str) -> str:
    """Return the text of a table of learning rates by step."""
    for step, rate in rates.items():
        if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0:
            raise _wrong(step, f"a step in {name}", "a whole number from 0 on")
        if not _is_number(rate):
            raise _wrong(rate, f"{name}[{step}]", "a number")
    text = encode_rate_table({int(step): float(rate) for step, rate in rates.items()})  # type: ignore[call-overload,arg-type]  # the loop looked at each
    decode_rate_table(text, name)
    return text


def thresholds_if_any(value: object, name: str = "thresholds") -> Mapping[str, float] | None:
    """Return thresholds by name, or None. Raises RequestError also for a name or a value that can't be one."""
    named: Mapping[str, float] = _mapping_in(value, name)  # type: ignore[assignment]  # `of` looks at each
    if named:
        from ckpt_inspect.findings.thresholds import Thresholds

        Thresholds.of(named)
    return None if value is None else named


def function_if_any(value: F | None, name: str) -> F | None:
    """Return a function that is called with what is done and what there is in all, or None."""
    if value is not None and not callable(value):
        raise _wrong(value, name, "a function of what is done and what there is in all")
    return value


def instance_in(value: object, name: str, kind: type[T], wanted: str) -> T:
    """Return a result of that type."""
    if not isinstance(value, kind):
        raise _wrong(value, name, wanted)
    return value


def _mapping_in(value: object, name: str) -> Mapping[str, object]:
    """What there is by name; nothing for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(value, name, "a mapping of names to values")
    for key in value:
        text_in(key, f"a name in {name}")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _wrong(value: object, name: str, wanted: str) -> RequestError:
    text = repr(value)
    told = text if len(text) <= 60 else text[:57] + "..."
    return RequestError(f"{name} must be {wanted}, not {told} ({type(value).__name__})")
