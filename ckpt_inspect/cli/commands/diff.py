"""`ckpt-inspect diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.options import NoInfer, with_common_options


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
        from ckpt_inspect.cli.comparing import print_diff

        raise typer.Exit(print_diff(a, b, common, output=output, infer=not no_infer))


def _check_figure_name(name: str) -> None:
    from ckpt_inspect.errors import RequestError
    from ckpt_inspect.presentation.diff_figures import format_of

    try:
        format_of(Path(name))
    except RequestError as error:
        raise typer.BadParameter(str(error), param_hint="-o") from error
