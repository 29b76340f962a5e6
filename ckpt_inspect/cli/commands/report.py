"""`ckpt-inspect report`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.answering import print_json
from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.options import OF_STORES, check_choice, with_common_options
from ckpt_inspect.cli.writing import write_figures


@with_common_options(only=OF_STORES)
def report(
    common: Common,
    stores: Annotated[
        list[str],
        typer.Argument(metavar="STORE...", help="Stores that analyze wrote; several runs are drawn over each other."),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Folder for the page and its figures.")
    ] = "report",
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=completions.file_formats,
            help="File format of the figures: png, svg or pdf.",
        ),
    ] = "png",
    figures: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--figures",
            metavar="NAME,..",
            help="Figures to draw, by name, or all; by default the few that a person acts on.",
        ),
    ] = None,
) -> None:
    """Write a page with findings, figures and all parameters of one or several runs, and the figures as files.

    The page, index.html, opens in any browser and needs no network; the checkpoints are not needed any more.

    --learning-rate draws them as they would be at that rate; other hyperparameters can be given to analyze only.
    """
    _check_file_format(file_format)
    with common.answering(trouble=1):
        from ckpt_inspect.cli.terminal import print_line

        chosen = None if figures is None else figures.split(",")
        written = write_figures(stores, output, common, file_format, chosen)
        if common.json:
            print_json(
                {
                    "page": str(written.page),
                    "figures": [{"id": f.id, "optimizer": f.optimizer, "file": str(f.file)} for f in written.figures],
                }
            )
        else:
            print_line(f"{written.page}: findings, figures and all parameters on one page")
            for figure in written.figures:
                print_line(f"{figure.file}: {figure.question}")


def _check_file_format(name: str) -> None:
    from ckpt_inspect.presentation.report import FILE_FORMATS

    check_choice(name, FILE_FORMATS, "--format")
