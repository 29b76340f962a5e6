"""What every command is asked for besides its own, once the command line has been parsed. Needs no Typer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ckpt_inspect.cli.answering import answering
from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class Common:
    """Options that every command has, parsed."""

    given: Mapping[str, float | int | str]
    """Hyperparameters, `step` and `rule` by name; those of one of several optimizers as `OPTIMIZER.NAME`."""
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    json: bool
    quiet: bool
    verbose: bool

    @property
    def learning_rate(self) -> float | None:
        """Return the learning rate given for all optimizers."""
        rate = self.given.get("learning_rate")
        if isinstance(rate, str):
            import typer

            raise typer.BadParameter(
                "a table can be given to analyze, show and diff only", param_hint="--learning-rate"
            )
        return None if rate is None else float(rate)

    @contextmanager
    def answering(self, *, trouble: int, as_json: bool | None = None) -> Iterator[None]:
        """Turn whatever goes wrong inside into one sentence and the exit code `trouble`; with --json, unless `as_json`
        says otherwise, into a document as well. What Typer answers itself passes."""
        is_json = self.json if as_json is None else as_json
        with answering(trouble=trouble, verbose=self.verbose, as_json=is_json, passing=_typers()):
            yield


def _typers() -> tuple[type[Exception], ...]:
    """Typer's exceptions; none if nobody has asked it to parse anything."""
    typer = sys.modules.get("typer")
    return () if typer is None else (typer.Exit, typer.Abort, typer.BadParameter)
