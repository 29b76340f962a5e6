"""`ckpt-inspect check`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.answering import print_json
from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.options import SELECTION, with_common_options


@with_common_options(without=SELECTION)
def check(
    common: Common,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Checkpoints, which count as one run, or folders and patterns of them."),
    ],
    reader: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--reader",
            metavar="NAME",
            autocompletion=completions.readers,
            help="Read every tensor again with tensorflow, which must be installed, and compare the bits.",
        ),
    ] = None,
) -> None:
    """Check whether checkpoints are whole and complete, and whether each continues the one before.

    Whole: every byte is read, checksums agree, no part is missing, every number is finite. Complete: what a resume
    needs is there. Continues: its state grew out of the one before in the run, rather than being lost or reset.
    Exit status: 0 all are sound, 1 some are not, 2 trouble.
    """
    with common.answering(trouble=2):
        from ckpt_inspect.api import check as check_soundness
        from ckpt_inspect.cli.terminal import print_tables, progress_bar
        from ckpt_inspect.presentation.tables.soundness import soundness_tables

        with progress_bar("checking", is_quiet=common.quiet) as progress:
            result = check_soundness(paths, given=common.given, reader=reader, progress=progress)
        if common.json:
            print_json(result.to_json())
        else:
            print_tables(soundness_tables(result, with_info=common.verbose))
        raise typer.Exit(0 if result.is_sound else 1)
