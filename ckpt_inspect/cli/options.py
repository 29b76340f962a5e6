"""The options that every command has, and what they mean once parsed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.asked import Common

_NUMBERS = {
    "learning_rate": "Learning rate of the last update, instead of the one in the file.",
    "beta_1": "Decay rate of the first moment, instead of the one in the file.",
    "beta_2": "Decay rate of the second moment, instead of the one in the file.",
    "epsilon": "Constant in the denominator, which most formats don't hold.",
    "weight_decay": "Decoupled weight decay, instead of the one in the file.",
}
_COMMON_OPTIONS: dict[str, tuple[Any, Any]] = {
    "learning_rate": (
        str,
        typer.Option(
            "--learning-rate",
            metavar="RATE|FILE.csv",
            help=f"{_NUMBERS['learning_rate']} A CSV file of step,learning_rate gives one for each step.",
        ),
    ),
    **{
        name: (float, typer.Option(f"--{name.replace('_', '-')}", metavar="X", help=text))
        for name, text in _NUMBERS.items()
        if name != "learning_rate"
    },
    "step": (int, typer.Option("--step", metavar="N", min=0, help="Number of updates that the optimizer has made.")),
    "rule": (
        str,
        typer.Option(
            "--rule",
            metavar="RULE",
            autocompletion=completions.rules,
            help="Update rule, if the file can't tell; `ckpt-inspect explain rule` lists them.",
        ),
    ),
    "epsilon_placement": (
        str,
        typer.Option(
            "--epsilon-placement",
            metavar="PLACE",
            autocompletion=completions.placements,
            help="`textbook`: add epsilon to √(v/c2), as Algorithm 1 of Adam's paper and PyTorch do, to compare.",
        ),
    ),
    "settings": (
        list[str],
        typer.Option(
            "--set",
            metavar="OPTIMIZER.NAME=VALUE",
            help="A value for one of several optimizers: generator.beta_1=0.5. Repeatable.",
        ),
    ),
    "include": (
        list[str],
        typer.Option("--include", metavar="GLOB", help="Only parameters whose names match. Repeatable."),
    ),
    "exclude": (
        list[str],
        typer.Option("--exclude", metavar="GLOB", help="No parameters whose names match. Repeatable."),
    ),
    "json": (bool, typer.Option("--json", help="Print one JSON document instead of tables.")),
    "quiet": (bool, typer.Option("-q", "--quiet", help="No progress and no remarks; errors are still printed.")),
    "verbose": (
        bool,
        typer.Option(
            "-v",
            "--verbose",
            help="More remarks and rows, and findings of severity info; the traceback of an internal error.",
        ),
    ),
}


_RATE_OF_STORES = (
    str,
    typer.Option("--learning-rate", metavar="X", help="Show E as it would be at this rate, instead of the run's own."),
)
"""Stores hold E at each checkpoint's own rate; one other rate can be put in its place, and no table."""

SELECTION = frozenset({"include", "exclude"})
OF_STORES = frozenset({"learning_rate", "include", "exclude", "json", "quiet", "verbose"})
"""What can be given when stores are read: everything else went into them when they were made."""

NoInfer = Annotated[
    bool,
    typer.Option(
        "--no-infer", help="Use defaults where the files don't say, not what several checkpoints show together."
    ),
]
"""An option of commands that infer."""

Run = Callable[..., None]
"""A command's function."""


def with_common_options(*, only: Collection[str] = (), without: Collection[str] = ()) -> Callable[[Run], Run]:
    """Return a decorator that lets a command that takes `common` be called with each common option by name, as Typer
    calls it.

    `only`, `without`: some of them, if the others would always fail.
    """
    return functools.partial(_with_options, only=only, without=without)


def _with_options(command: Run, *, only: Collection[str], without: Collection[str]) -> Run:
    taken = {n: o for n, o in _COMMON_OPTIONS.items() if n not in without and (not only or n in only)}
    if only is OF_STORES:
        taken |= {"learning_rate": _RATE_OF_STORES}

    @functools.wraps(command)
    def called(**options: Any) -> None:
        common = _common({name: options.pop(name, None) for name in _COMMON_OPTIONS})
        command(**options, common=common)

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "common"]
    shared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if kind is bool else None,
            annotation=Annotated[kind if kind is bool else kind | None, option],
        )
        for name, (kind, option) in taken.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + shared
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what typer reads
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def _common(options: dict[str, Any]) -> Common:
    return Common(
        _given(options),
        tuple(options["include"] or ()),
        tuple(options["exclude"] or ()),
        options["json"],
        options["quiet"],
        options["verbose"],
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters, step and rule given on the command line; those of one optimizer as `OPTIMIZER.NAME`."""
    names: tuple[str, ...] = (*_NUMBERS, "step", "rule")
    given = {name: options[name] for name in names if options[name] is not None}
    if "learning_rate" in given:
        given["learning_rate"] = _rate_or_table(given["learning_rate"], "--learning-rate")
    if "rule" in given:
        _check_rule(given["rule"], "--rule")
    if (placement := options["epsilon_placement"]) is not None:
        if placement not in ("implementation", "textbook"):
            raise typer.BadParameter(
                f"{placement!r} is neither implementation nor textbook", param_hint="--epsilon-placement"
            )
        given["epsilon_placement"] = placement
    if options["settings"]:
        from ckpt_inspect.state.given import similar_name
        from ckpt_inspect.state.hyperparameters import FURTHER

        names += FURTHER
    for text in options["settings"] or ():
        target, equals, value = text.partition("=")
        optimizer, dot, name = target.rpartition(".")
        if not (optimizer and dot and equals):
            option = f"--{target.replace('_', '-')} {value}"
            hint = f"; for all optimizers give {option}" if equals and not dot and target in names else ""
            raise typer.BadParameter(f"{text!r} is not of the form OPTIMIZER.NAME=VALUE{hint}", param_hint="--set")
        if name not in names:
            meant = similar_name(name, names)
            hint = "" if meant is None else f"; did you mean {meant}?"
            raise typer.BadParameter(f"{name!r} in {text!r} is none of {', '.join(names)}{hint}", param_hint="--set")
        if name == "rule":
            _check_rule(value, "--set")
        if name == "learning_rate":
            given[target] = _rate_or_table(value, "--set")
            continue
        try:
            given[target] = value if name == "rule" else int(value) if name == "step" else float(value)
        except ValueError as error:
            wanted = "a whole number" if name == "step" else "a number"
            raise typer.BadParameter(f"{value!r} in {text!r} is not {wanted}", param_hint="--set") from error
    return given


def _rate_or_table(text: str, option: str) -> float | str:
    """A learning rate, or the text of a file with one for each step."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        table = Path(text).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"{text!r} is neither a number nor a file that can be read", param_hint=option
        ) from error
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.state.rate_tables import decode_rate_table

    try:
        decode_rate_table(table, text)
    except RequestError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
    return table


def parsed_thresholds(texts: Sequence[str]) -> dict[str, float]:
    """Return thresholds of findings, given as `NAME=VALUE`."""
    if not texts:
        return {}
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.findings.thresholds import Thresholds

    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not of the form NAME=VALUE", param_hint="--threshold")
        try:
            given[name] = float(value)
        except ValueError as error:
            raise typer.BadParameter(f"{value!r} in {text!r} is not a number", param_hint="--threshold") from error
    try:
        Thresholds.of(given)
    except RequestError as error:
        raise typer.BadParameter(str(error), param_hint="--threshold") from error
    return given


def _check_rule(name: str, option: str) -> None:
    from ckpt_inspect.update_rules import RULES

    check_choice(name, [rule.name for rule in RULES], option)


def check_choice(word: str, choices: Sequence[str], option: str) -> None:
    """Refuse a word that is none of an option's choices."""
    if word not in choices:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(choices)}", param_hint=option)
