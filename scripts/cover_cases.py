#!/usr/bin/env python3
"""Count recorded cases by rule, layout and implementation, and say what the package gets wrong in any.

    python cover_cases.py DIR... [-k REGEX] [-v]

DIR holds one folder a case, as record_cases.py or keep_cases.py leave it. Rule and class are the record's; layout and
implementation are what the package reads the checkpoint as. A checkpoint counts as exact if its slots are found bit for
bit under the right weights, no number that is said to be read differs from the record, and both the effective learning
rate and the last update agree with what the live optimizer did, to rounding (tests/support/recorded_cases.py).
"""

# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.recorded_cases import RecordedCase, RecordedOptimizer, cases_in

from ckpt_inspect import find_checkpoints, open_checkpoint, optimizer_states


def cells(case: RecordedCase) -> list[tuple[str, str, str]]:
    """Return (class in the record, layout, implementation) of each recorded optimizer."""
    with open_checkpoint(case.path) as checkpoint:
        states = optimizer_states(checkpoint)
    found = []
    for i, optimizer in enumerate(case.optimizers):
        state = states[min(i, len(states) - 1)] if states else None
        layout, family = (state.layout, state.family) if state is not None else ("none found", "-")
        found.append((named(optimizer), layout, family))
    return found


def named(optimizer: RecordedOptimizer) -> str:
    """Return the class, with the switches that change what it keeps."""
    switches = ("amsgrad", "centered", "momentum", "_momentum", "use_ema", "gradient_accumulation_steps")
    on = sorted({s.strip("_") for s in switches if optimizer.option(s) and optimizer.option(s) is not False})
    wrapper = optimizer.record["cls"]
    inner = optimizer.record["inner_cls"]
    return (f"{wrapper}({inner})" if wrapper != inner else inner) + (f" [{', '.join(on)}]" if on else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-k", default="", help="only cases whose name matches this regular expression")
    parser.add_argument("-v", action="store_true", help="say what is wrong, a line each")
    arguments = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    exact: Counter[tuple[str, str, str]] = Counter()
    for folder in arguments.folders:
        for truth in sorted(folder.glob("*/truth.json")):
            if arguments.k and not re.search(arguments.k, truth.parent.name):
                continue
            for case in cases_in(truth.parent):
                try:
                    if (
                        case.path.is_dir()
                        and not (case.path / "saved_model.pb").exists()
                        and "_temp_" not in case.path.name
                    ):
                        case = RecordedCase(case.name, Path(find_checkpoints(case.path)[-1]), case.optimizers)
                    with np.errstate(all="ignore"):
                        faults, own = case.faults(), cells(case)
                except Exception as error:  # a case that stops must not hide the others
                    faults, own = (
                        [f"{type(error).__name__}: {error} {traceback.format_exc()[-400:]}"],
                        [("?", "?", "?")],
                    )
                for cell in own:
                    counts[cell] += 1
                    exact[cell] += not faults
                if faults and arguments.v:
                    print(f"{case.name} {case.path.name}: {'; '.join(faults[:3])}")
    width = max(len(c[0]) for c in counts)
    print(f"\n{'recorded class':{width}s}  {'layout':18s} {'implementation':14s} checkpoints  exact")
    for cell in sorted(counts):
        print(f"{cell[0]:{width}s}  {cell[1]:18s} {cell[2]:14s} {counts[cell]:11d}  {exact[cell]:5d}")
    print(f"{'all':{width}s}  {'':18s} {'':14s} {counts.total():11d}  {exact.total():5d}")
    return 0 if exact.total() == counts.total() else 1


if __name__ == "__main__":
    sys.exit(main())
