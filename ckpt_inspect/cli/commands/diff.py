"""`ckpt-inspect diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ckpt_inspect.cli.answering import print_json, remark_on
from ckpt_inspect.cli.options import Common, NoInfer, with_common_options

if TYPE_CHECKING:
    from ckpt_inspect.presentation.results import Diff


@with_common_options()
def diff(
    common: Common,
    a: Annotated[str, typer.Argument(metavar="A", help="The first checkpoint, or a folder: its newest.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The second one, usually the later of the two.")],
    output: Annotated[
        Optional[str], typer.Option("-o", "--output", metavar="FILE.png", help="Also draw the diff into this file.")  # noqa: UP045
    ] = None,
    no_infer: NoInfer = False,
) -> None:
    """Compare two checkpoints, paired by optimizer and parameter name; what changed most comes first.

    For each parameter: the relative change of the weights and their cosine, the ratio of the median effective learning
    rates, the relative change of both moments. Exit status: 0 the same, 1 different, 2 trouble.
    """
    if output is not None:
        _check_figure_name(output)
    with common.answering(trouble=2):
        from ckpt_inspect.api import diff as compare
        from ckpt_inspect.cli.terminal import print_tables, progress_bar
        from ckpt_inspect.presentation.tables.changes import diff_tables

        with progress_bar("comparing", is_quiet=common.quiet) as progress:
            result = compare(
                a,
                b,
                given=common.given,
                include=common.include,
                exclude=common.exclude,
                infer=not no_infer,
                progress=progress,
            )
        if not common.json:
            print_tables(diff_tables(result, all_rows=common.verbose))
        if output is not None:
            _draw_diff(result, output, common)
        if common.json:
            from ckpt_inspect.presentation.documents import diff_document

            print_json(diff_document(result))
        remark_on(result.problems, quiet=common.quiet, verbose=common.verbose)
        raise typer.Exit(0 if result.is_same else 1)


def _check_figure_name(name: str) -> None:
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.presentation.diff_figures import format_of

    try:
        format_of(Path(name))
    except RequestError as error:
        raise typer.BadParameter(str(error), param_hint="-o") from error


def _draw_diff(result: Diff, output: str, common: Common) -> None:
    from ckpt_inspect.api import draw_diff
    from ckpt_inspect.cli.terminal import remark

    files = draw_diff(result, output, given=common.given, include=common.include, exclude=common.exclude)
    if not common.quiet:
        remark(f"drawn into {', '.join(map(str, files))}")
