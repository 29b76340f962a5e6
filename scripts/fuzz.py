#!/usr/bin/env python3
"""Mutate small healthy checkpoints and stores, and see that ckpt-inspect neither hangs nor crashes nor is silent.

usage: scripts/fuzz.py [--count N] [--minutes M] [--seed S] [--formats NAME,..] [--jobs J] [--log LOG | --resume LOG]
       scripts/fuzz.py --again SEED:INDEX [--keep DIR]

Case number INDEX of seed SEED is the same whenever it is made, so that one can be made again: its files are written to
DIR, and its outcome is printed. A campaign keeps a line of JSON for each case in its log, and goes on where it
was stopped with --resume. Exit status 1 if a case ended in an exception, a hang, a crash, or took too much memory.

The outcomes: same (as of the healthy file); reported (a Problem, remark or finding says so); clean error
(CkptInspectError); silent (another result, and nothing says so); exception (any other); hang; crash; memory.
For Linux: memory is read from /proc. Run it with a Python that has ckpt-inspect's dependencies.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package beside this script, whatever is installed

from fuzz_pool import Done, Pool, Setting, record_of  # noqa: E402 - behind the path that it needs
from fuzz_work import FAULTS, OUTCOMES, Observed, judge  # noqa: E402
from mutators import MUTATED, format_of, make_case, originals_of  # noqa: E402
from mutators.mutation import write_files  # noqa: E402

FIXTURES = ROOT / "fixtures"
_CHECKPOINTS = ("epoch-01.keras", "epoch-02.keras", "epoch-03.keras")
_MODIFIED = 1_700_000_000  # seconds since 1970: a store keeps when its checkpoints were written
_SHOWN_FAULTS = 40

Row = dict[str, object]
"""A line of a log."""


@contextlib.contextmanager
def prepared(seed: int, seconds: float, memory: float) -> Iterator[Setting]:
    """Make the stores that are mutated, and a place for the cases; it is removed at the end.

    Stores hold their checkpoints' paths and times. That the same are made each time, these lie in a folder whose name
    is always the same.
    """
    import ckpt_inspect

    runs = Path(tempfile.gettempdir()) / f"ckpt-inspect-fuzz-{os.getuid()}" / "digits"
    runs.mkdir(parents=True, exist_ok=True)
    for name in _CHECKPOINTS:
        content, path = (FIXTURES / "digits" / name).read_bytes(), runs / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
        os.utime(path, (_MODIFIED, _MODIFIED))
    with tempfile.TemporaryDirectory(prefix="ckpt-inspect-fuzz-", ignore_cleanup_errors=True) as scratch:
        stores = Path(scratch) / "stores"
        stores.mkdir()
        first = [runs / name for name in _CHECKPOINTS[:2]]
        ckpt_inspect.analyze(first, store=stores / "run.h5")
        ckpt_inspect.analyze(first[:1], store=stores / "with-elements.h5", elements=True)
        yield Setting(seed, FIXTURES, stores, runs / _CHECKPOINTS[2], Path(scratch), seconds, memory)


def observe_originals(pool: Pool, setting: Setting, formats: Sequence[str]) -> dict[tuple[str, str], Observed]:
    """Return what comes of the healthy files; they are what the cases are compared with."""
    jobs = [(name, o.name) for name in formats for o in originals_of(name, setting.fixtures, setting.stores)]
    found = {}
    for done in pool.run(jobs):
        if done.observed is None or done.observed.exceptions:
            raise RuntimeError(f"{done.job}: the healthy file itself failed: {done.verdict or done.observed}")
        found[str(done.record["format"]), str(done.record["original"])] = done.observed
    return found


def row_of(done: Done, healthy: Observed, setting: Setting) -> Row:
    """Return a case's line of the log."""
    verdict = done.verdict
    if verdict is None:
        verdict = judge(done.observed or Observed(), healthy, setting.memory)
    row: Row = {**done.record, "outcome": verdict.outcome, "seconds": round(done.seconds, 3)}
    if done.observed is not None:
        row["peak_mb"] = round(done.observed.peak / 1e6, 1)
    if verdict.where:
        row["where"] = verdict.where
    if verdict.text and verdict.outcome != "same":
        # a traceback ends with what matters, a dump of a process that was lost begins with it
        row["text"] = verdict.text[-4000:] if verdict.outcome == "exception" else verdict.text[:4000]
    return row


def indices(formats: Sequence[str], done: set[int], count: int, deadline: float) -> Iterator[int]:
    """Yield the indices of a campaign's cases, `count` with those that are done, until the time is over."""
    index = found = 0
    while found < count and time.monotonic() < deadline:
        if format_of(index).name in formats:
            found += 1
            if index not in done:
                yield index
        index += 1


@dataclass(frozen=True)
class Log:
    """A campaign's log, as far as it is written."""

    head: Row
    rows: list[Row]


def read_log(path: Path) -> Log:
    """Read a log; a last line that was not written whole is left out."""
    rows = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    if not rows or "campaign" not in rows[0]:
        raise SystemExit(f"{path}: is not the log of a campaign")
    return Log(rows[0]["campaign"], rows[1:])


def campaign(options: argparse.Namespace) -> int:
    """Do the cases, keep the log, print the table; return the exit status."""
    path = options.resume or options.log or Path(f"fuzz-{options.seed}.jsonl")
    if not options.resume and path.exists():
        raise SystemExit(f"{path}: is there; go on with --resume {path}, or name another with --log")
    before = read_log(path) if options.resume else Log({}, [])
    seed = int(str(before.head.get("seed", options.seed)))
    kept = before.head.get("formats")
    formats: list[str] = options.formats or (kept if isinstance(kept, list) else [mutated.name for mutated in MUTATED])
    rows = list(before.rows)
    deadline = time.monotonic() + 60 * options.minutes
    with prepared(seed, options.seconds, options.megabytes * 1e6) as setting, path.open("a") as log:
        if before.head:
            log.write("\n")  # behind a line that was not written whole
        else:
            _write(log, {"campaign": {"seed": seed, "formats": formats}})
        with Pool(setting, options.jobs) as pool:
            healthy = observe_originals(pool, setting, formats)
            known = {int(str(row["index"])) for row in rows}
            for done in pool.run(indices(formats, known, options.count, deadline)):
                key = str(done.record["format"]), str(done.record["original"])
                rows.append(row_of(done, healthy[key], setting))
                _write(log, rows[-1])
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{len(rows)} cases ")
    sys.stdout.write(f"{table(rows, is_short=options.brief)}\n{faults(rows)}")
    return int(any(row["outcome"] in FAULTS for row in rows))


def _write(log: TextIO, row: Row) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()


def again(options: argparse.Namespace) -> int:
    """Make one case again, keep its files, and print what becomes of it; return the exit status."""
    seed, index = options.again
    with prepared(seed, options.seconds, options.megabytes * 1e6) as setting:
        case = make_case(seed, index, setting.fixtures, setting.stores)
        if options.keep:
            write_files(case.files, options.keep)
            sys.stdout.write(f"opened: {options.keep / case.original.target}\n")
        with Pool(setting, 1) as pool:
            healthy = next(iter(pool.run([(case.format, case.original.name)])))
            done = next(iter(pool.run([index])))
        row = row_of(done, healthy.observed or Observed(), setting)
    text = str(row.pop("text", ""))
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in {**record_of(case, seed), **row}.items()))
    sys.stdout.write(f"{text}\n" if text else "")
    return int(row["outcome"] in FAULTS)


# --- tables


def table(rows: Sequence[Row], *, is_short: bool = False) -> str:
    """Return the outcomes by format, mutator and state of the checksum, as a Markdown table."""
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        name, checksum = str(row["format"]), str(row["checksum"])
        counts[name, "", checksum][str(row["outcome"])] += 1
        if not is_short:
            counts[name, str(row["mutator"]), checksum][str(row["outcome"])] += 1
        counts["", "", checksum][str(row["outcome"])] += 1
    order = ["", *(mutated.name for mutated in MUTATED)]
    lines = [f"| format | mutator | checksum | {' | '.join(OUTCOMES)} |", f"|---|---|---|{'---:|' * len(OUTCOMES)}"]
    for name, mutator, checksum in sorted(counts, key=lambda key: (order.index(key[0]), key[1], key[2])):
        cells = [str(counts[name, mutator, checksum][outcome] or "") for outcome in OUTCOMES]
        lines.append(f"| {name or 'all'} | {mutator or 'all'} | {checksum} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def faults(rows: Sequence[Row]) -> str:
    """Return the faults, one of a kind, with how often it was met and how to make it again."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["outcome"] in FAULTS:
            found[str(row["outcome"]), str(row.get("where", ""))].append(row)
    lines = []
    for (outcome, where), same in sorted(found.items(), key=lambda item: -len(item[1]))[:_SHOWN_FAULTS]:
        one = same[0]
        lines.append(
            f"{len(same)} x {outcome}: {where}\n"
            f"    {one['format']}, {one['mutator']}: {one['note']}\n"
            f"    scripts/fuzz.py --again {one['seed']}:{one['index']} --keep DIR\n"
        )
    return "".join(lines)


# --- command line


def _case(text: str) -> tuple[int, int]:
    seed, _, index = text.partition(":")
    return int(seed), int(index)


def _names(text: str) -> list[str]:
    names, known = text.split(","), [mutated.name for mutated in MUTATED]
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose of {', '.join(known)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign, or one case again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="cases in all, those of a log included")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no case after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", type=_names, help=f"of {', '.join(mutated.name for mutated in MUTATED)}")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="worker processes")
    parser.add_argument("--seconds", type=float, default=20, help="limit of time for a case")
    parser.add_argument("--megabytes", type=float, default=300, help="limit of memory for a case")
    parser.add_argument("--log", type=Path, help="default: fuzz-SEED.jsonl in this folder")
    parser.add_argument("--brief", action="store_true", help="print a row for each format, not for each mutator")
    parser.add_argument("--resume", type=Path, metavar="LOG", help="go on with a campaign")
    parser.add_argument("--table", type=Path, metavar="LOG", help="print the table of a campaign, and do nothing")
    parser.add_argument("--again", type=_case, metavar="SEED:INDEX", help="make one case again")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --again: keep its files there")
    options = parser.parse_args(arguments)
    if options.table:
        rows = read_log(options.table).rows
        sys.stdout.write(f"{table(rows)}\n{faults(rows)}")
        return int(any(row["outcome"] in FAULTS for row in rows))
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # the fork server imports by it
    os.environ["MPLBACKEND"] = "agg"
    return again(options) if options.again else campaign(options)


if __name__ == "__main__":
    sys.exit(main())
