"""`ckpt-inspect show`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from ckpt_inspect.cli.answering import print_overviews
from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.options import with_common_options


@with_common_options()
def show(
    common: Common,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Checkpoints, or folders; of a folder the newest checkpoint is shown."),
    ],
    others: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--with",
            metavar="OTHER",
            help="Another checkpoint of the same run, to infer what neither file holds. Repeatable.",
        ),
    ] = None,
    tensors: Annotated[
        bool,
        typer.Option(
            "--tensors",
            help="List every tensor with its minimum, maximum, mean, deviation, zeros and elements that aren't finite.",
        ),
    ] = False,
) -> None:
    """Show what a checkpoint is: format, layout, optimizers, every hyperparameter and where it was read, sizes.

    Reads metadata and scalars only, so it is quick at any size; with --with, some elements as well, and with --tensors
    all. Whatever can be opened can be shown: a checkpoint without Adam's state is described as what it is.
    """
    code = print_overviews(
        paths,
        given=common.given,
        include=common.include,
        exclude=common.exclude,
        others=others or (),
        with_tensors=tensors,
        as_json=common.json,
        quiet=common.quiet,
        verbose=common.verbose,
    )
    raise typer.Exit(code)
