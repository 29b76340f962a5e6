"""The first page of help, printed without importing what the commands need."""

from __future__ import annotations

HELP = """\
Usage: ckpt-inspect COMMAND [OPTIONS] PATH...

  Effective learning rates, reconstructed from TensorFlow and Keras checkpoints:
  the factor on each averaged gradient in the last update, for every parameter,
  and how it changed over the run. The model's code is not needed.

Commands:
  analyze PATH...      every checkpoint of a run into an HDF5 store, and a table;
                       --follow stays with a training that goes on
  show PATH...         what a checkpoint is: optimizers, hyperparameters and
                       their sources, parameters, sizes; --tensors lists all
  diff A B             what changed between two checkpoints, most first
  check PATH...        are they whole and complete, and does each continue the
                       one before; the newest that a resume can rely on
  report STORE...      a page of findings and figures, of one or several runs
  export STORE... --to csv|parquet|tensorboard
                       the same figures for other programs
  explain [NAME]       what a figure or a finding means, or the page on a topic;
                       without a name, a list of all

  A PATH is a checkpoint (prefix, .index, .data-*, SavedModel folder, .keras,
  .h5, .weights.h5, a TF1 file), a folder of them, or a glob pattern.

Options of every command (ckpt-inspect COMMAND --help describes all of them):
  --learning-rate X, --beta-1 X, --beta-2 X, --epsilon X, --weight-decay X,
  --step N, --rule RULE, --set OPTIMIZER.NAME=VALUE
                       what the file doesn't hold, or holds wrongly
  --epsilon-placement textbook
                       epsilon where Adam's paper adds it, to compare
  --include GLOB, --exclude GLOB
                       only these parameters, all but these
  --json               one JSON document on stdout
  -q, --quiet          no progress and no remarks
  -v, --verbose        more remarks
  -V, --version        print the version and exit
  -h, --help           print help and exit

Exit status:
  0  done; diff: both are the same; check: all are sound
  1  the checkpoint or the request is at fault; diff: they differ; check: some
     are not sound; analyze --fail-on: there is such a finding
  2  wrong usage; diff, check: trouble as well

Examples:
  ckpt-inspect analyze ./checkpoints --report figures
  ckpt-inspect show ./checkpoints/ckpt-12
  ckpt-inspect diff ./checkpoints/ckpt-1 ./checkpoints/ckpt-12 -o diff.png
"""
