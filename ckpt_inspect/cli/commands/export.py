"""`ckpt-inspect export`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from ckpt_inspect.cli import completions
from ckpt_inspect.cli.answering import print_json, remark_on
from ckpt_inspect.cli.asked import Common
from ckpt_inspect.cli.options import OF_STORES, with_common_options


@with_common_options(only=OF_STORES)
def export(
    common: Common,
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Stores that analyze wrote.")],
    target: Annotated[
        str,
        typer.Option("--to", metavar="TARGET", autocompletion=completions.targets, help="csv, parquet or tensorboard."),
    ],
    output: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, or TensorBoard's log folder; by default parameters.csv, parameters.parquet or tensorboard.",
        ),
    ] = None,
    frame: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--frame",
            metavar="KIND",
            autocompletion=completions.frames,
            help="Kind of table: parameters (a row per checkpoint and parameter; the default), histogram, sample, "
            "checkpoints, problems or findings.",
        ),
    ] = None,
    figures: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--figures",
            metavar="NAME,..",
            autocompletion=completions.charts,
            help="For TensorBoard: figures by name, or all; by default learning_rate, effective_lr_median, "
            "effective_lr_log10 and update_to_weight.",
        ),
    ] = None,
    steps_per_epoch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--steps-per-epoch",
            metavar="N",
            min=1,
            help="For TensorBoard: count epochs of N steps on the horizontal axis, as Keras' callback does.",
        ),
    ] = None,
) -> None:
    """Write one or several runs as a table (csv, parquet), or as TensorBoard's scalars, histograms and findings.

    TensorBoard shows them beside a training's own curves if PATH is its log folder: each optimizer of a run becomes a
    separate run. The horizontal axis is the optimizer's steps; Keras' callback logs epochs, for which there is
    --steps-per-epoch.
    """
    with common.answering(trouble=1):
        from ckpt_inspect.api import export as export_runs
        from ckpt_inspect.cli.terminal import print_line

        written = export_runs(
            stores,
            target,
            output,
            frame=frame,
            figures=None if figures is None else figures.split(","),
            steps_per_epoch=steps_per_epoch,
            learning_rate=common.learning_rate,
            include=common.include,
            exclude=common.exclude,
        )
        files = [str(file) for file in written.files]
        if common.json:
            print_json({"files": files})
        else:
            for file in files:
                print_line(file)
        remark_on(written.problems, quiet=common.quiet, verbose=True)
