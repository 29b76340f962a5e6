"""Does a folder's state file name the checkpoint that a resume should take?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ckpt_inspect.errors import CkptInspectError, NotFoundError
from ckpt_inspect.formats import NEWEST_FILES, open_checkpoint
from ckpt_inspect.series.run import Run
from ckpt_inspect.soundness import kinds
from ckpt_inspect.soundness.verdicts import Reason
from ckpt_inspect.storage import absolute


def judge_state_files(folder: Path, runs: Sequence[Run]) -> Iterator[Reason]:
    """Yield what is odd about files in this folder, and beside its runs' checkpoints, that name the newest one."""
    beside = (path.parent for run in runs for path in run.checkpoints)
    below = (place for place in beside if f"{absolute(place)}/".startswith(f"{absolute(folder)}/"))
    for place in dict.fromkeys([folder, *below]):
        for known in NEWEST_FILES:
            file = place / known.name
            try:
                name = known.read(file)
            except (CkptInspectError, OSError):  # there is none, or it is something else
                continue
            if name:
                yield from _judge(file, name, known.resolve(name, place)[0], runs)


def _judge(file: Path, name: str, path: Path, runs: Sequence[Run]) -> Iterator[Reason]:
    own = absolute(path)
    run = next((run for run in runs if own in map(absolute, run.checkpoints)), None)
    if run is None:
        try:
            open_checkpoint(path).close()
        except NotFoundError:
            yield Reason(kinds.STATE_FILE_ASTRAY, str(file), f"{file} names {name}, which is not there")
        except CkptInspectError:  # it is there
            pass
        return
    last = run.checkpoints[-1]
    if last.parent == path.parent and absolute(last) != own:
        what = f"{file} names {name}, and {last.name} comes after it in the order of training"
        yield Reason(kinds.STATE_FILE_BEHIND, str(file), what)
