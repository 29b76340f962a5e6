"""The rows of `benchmark.py`: what is done, what it is compared with, and the goal."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import benchmark_data as data
import numpy as np
from benchmark_remote import remote
from benchmark_runs import Bench, Row, Run, absolute, at_most, faster, gigabytes, median, peak, run

HERE = Path(__file__).parent


def helps(bench: Bench) -> Iterator[Row]:
    """Start-up."""
    for option in ("--help", "--version"):
        pairs = bench.compare(
            lambda option=option: bench.ours(option),  # type: ignore[misc]
            lambda: bench.python("-c", "pass"),
            max(bench.repeats, 11),
        )
        yield at_most(f"`{option}`", "`python -c pass`", pairs, 5, limit=0.15)


def show(bench: Bench) -> Iterator[Row]:
    """`show` against the import that everything else begins with."""
    small = small_checkpoint(bench)
    for library, judged in (("numpy", at_most), ("tensorflow", faster)):
        pairs = bench.compare(
            lambda: bench.ours("show", small, what="`show`, small checkpoint"),
            lambda library=library: bench.python("-c", f"import {library}"),  # type: ignore[misc]
        )
        yield judged("`show`, small checkpoint", f"`import {library}`", pairs, 2 if library == "numpy" else 12)


def analyze(bench: Bench) -> Iterator[Row]:
    """Two large checkpoints, warm: without anything to infer, and with."""
    files, prefixes = large(bench)
    what = f"`analyze`, two checkpoints of {gigabytes(files[0].stat().st_size)}, warm"

    def plain() -> Run:
        return bench.ours(
            "analyze", "large", "--no-infer", "-o", "large.h5", "-q", fresh="large.h5", what=f"{what}, `--no-infer`"
        )

    def inferring() -> Run:
        return bench.ours("analyze", "large", "-o", "large.h5", "-q", fresh="large.h5", what=what)

    yield at_most(
        f"{what}, `--no-infer`", "`cat FILES > /dev/null`", bench.compare(plain, lambda: bench.cat(*files)), 2.2
    )
    limit = compiled_limit(bench)
    if limit is not None:
        start_up = start_up_of(bench)
        command = [str(limit), "2", *map(str, files)]
        pairs = bench.compare(plain, lambda: run(command, bench.folder), taken_off=start_up)
        yield at_most(
            f"the same, less {start_up.wall:.2f} s of start-up", "`benchmark_limit.c`, which does less", pairs, 1.5
        )
    yield at_most("the same, inferring", "the same with `--no-infer`", bench.compare(inferring, plain), 1.5)
    naive = (HERE / "benchmark_naive.py", "naive.h5", *prefixes)
    pairs = bench.compare(plain, lambda: bench.python(*naive), min(bench.repeats, 3))
    against = "TensorFlow's reader and numpy (`benchmark_naive.py`), which infers nothing either"
    yield faster("the same, `--no-infer`", against, pairs, 25)


def threads(bench: Bench) -> Iterator[Row]:
    """What a second thread brings: to all of it, to the pass over the elements alone, and to a program that has nothing
    else to do."""
    files, prefixes = large(bench)
    code = "import ckpt_inspect, sys; ckpt_inspect.analyze('large', infer=False, threads=int(sys.argv[1]))"
    pairs = bench.compare(lambda: bench.python("-c", code, "2"), lambda: bench.python("-c", code, "1"))
    yield faster("`analyze(threads=2)` of the two", "`threads=1`", pairs, 1.8)
    paths = [bench.folder / prefix for prefix in prefixes]
    pairs = bench.compare(lambda: swept(paths, 2), lambda: swept(paths, 1))
    yield faster("the pass over their elements alone", "the same in one thread", pairs, 1.8)
    limit = compiled_limit(bench)
    if limit is not None:
        both = [str(limit), "2", *map(str, files)]
        in_turn = ["sh", "-c", " && ".join(f"{shlex.quote(str(limit))} 2 {shlex.quote(str(file))}" for file in files)]
        pairs = bench.compare(lambda: run(both, bench.folder), lambda: run(in_turn, bench.folder))
        yield faster("`benchmark_limit.c`, a thread for each file", "one file after the other", pairs, 1)


def swept(paths: Sequence[Path], threads: int) -> Run:
    """Measure the optimizer state of checkpoints, opened beforehand, in this process."""
    from ckpt_inspect import open_checkpoint, optimizer_states
    from ckpt_inspect.measurement.sweep import Sweep

    wall = cpu = 0.0
    for path in paths:
        with open_checkpoint(path) as checkpoint:
            parameters = [each for state in optimizer_states(checkpoint) for each in state.parameters.values()]
            start, spent = time.perf_counter(), time.process_time()
            Sweep(parameters, threads=threads).run()
            wall, cpu = wall + time.perf_counter() - start, cpu + time.process_time() - spent
    return Run(wall, cpu, 0)


def cold(bench: Bench) -> Iterator[Row]:
    """The same out of the disk."""
    files, _ = large(bench)

    def evicted(command: Callable[[], Run]) -> Callable[[], Run]:
        def call() -> Run:
            evict(files)
            return command()

        return call

    arguments = ("analyze", "large", "-o", "large.h5", "-q")
    pairs = bench.compare(
        evicted(lambda: bench.ours(*arguments, fresh="large.h5")), evicted(lambda: bench.cat(*files)), warm=False
    )
    yield at_most("`analyze` of the two, page cache cold", "`cat`, cold", pairs, 1.3)


def diff(bench: Bench) -> Iterator[Row]:
    """Two large checkpoints against each other."""
    files, prefixes = large(bench)
    pairs = bench.compare(
        lambda: bench.ours("diff", *prefixes, "-q", expected=(1,), what="`diff` of the two"),
        lambda: bench.cat(*files),
    )
    yield at_most("`diff` of the two", "`cat FILES > /dev/null`", pairs, 2.5)


def formulas(bench: Bench) -> Iterator[Row]:
    """The figures of an element that is in the cache, by its type and its rule."""
    usual = Timed("adam", "float32", bench.sizes.elements)
    names = ("adam", "amsgrad", "rmsprop", "adagrad", "nadam", "radam", "lamb", "adamax")
    for dtype in ("float32", "float64", "bfloat16", "float16"):
        for name in names:
            if (name, dtype) != ("adam", "float32"):
                pairs = bench.compare(Timed(name, dtype, bench.sizes.elements), usual)
                yield at_most(f"an element's figures, {name}, {dtype}", "adam, float32", pairs, 3)


class Timed:
    """The figures of some elements of random state; a call returns the time of the quickest of a few runs."""

    def __init__(self, rule: str, dtype: str, size: int) -> None:
        from ckpt_inspect.checkpoint import numpy_dtype
        from ckpt_inspect.measurement.kernels import Buffers, Formula
        from ckpt_inspect.measurement.summaries import FineCounts
        from ckpt_inspect.update_rules import Settings, State, find_rule
        from ckpt_inspect.update_rules.implementations import KERAS3
        from ckpt_inspect.update_rules.rule import Norms

        found = find_rule(rule)
        assert found is not None
        values, kind = data.AdamValues(), numpy_dtype(dtype)
        kept = [name for name in ("first_moment", "second_moment") if name in found.slots]
        arrays = {name: next(values.pieces(name, size)) for name in ("value", *kept)}
        if dtype == "float16":  # whose smallest number is 6e-8
            factors = {"first_moment": np.float32(1e3), "second_moment": np.float32(1e6)}
            arrays = {name: array * factors.get(name, np.float32(1)) for name, array in arrays.items()}
            arrays["second_moment"] = np.minimum(arrays["second_moment"], np.float32(np.finfo(np.float16).max))
        settings = Settings(KERAS3, 1000, 1e-3, 0.9, 0.999, 1e-7, weight_decay=0.0)
        if rule == "adagrad":  # whose sum begins there
            sums = 1000 * arrays["second_moment"].astype(np.float64)
            arrays["second_moment"] = sums + found.untouched_value(settings, kind)
        if rule == "amsgrad":
            arrays["max_second_moment"] = arrays["second_moment"]
        self._state = State(**{name: array.astype(kind) for name, array in arrays.items()})
        norms = Norms(1.0, 1.0, 1.0) if found.needs_norms else None
        self._formula = Formula.of(found, settings, kind, frozenset(arrays), norms)
        self._buffers, self._counts = Buffers(size), FineCounts()

    def __call__(self) -> Run:
        """Return seconds of one pass."""
        from ckpt_inspect.measurement.kernels import pieces

        best = Run(float("inf"), float("inf"), 0)
        for _ in range(5):
            start, spent = time.perf_counter(), time.process_time()
            list(pieces(self._formula, self._state, self._buffers, self._counts))
            done = Run(time.perf_counter() - start, time.process_time() - spent, 0)
            best = min(best, done, key=lambda run: run.wall)
        return best


STORAGE = {
    "contiguous": {},
    "in chunks": {"chunks": True},
    "gzip 1": {"compression": 1},
    "gzip 4": {"compression": 4},
    "gzip 4, shuffled": {"compression": 4, "shuffle": True},
    "Fletcher's checksums": {"chunks": True, "fletcher32": True},
}


def hdf5(bench: Bench) -> Iterator[Row]:
    """HDF5 files, however their arrays are stored."""
    shapes, path = data.dense_layers(bench.sizes.layers, bench.sizes.width), bench.folder / "model.h5"
    for name, storage in STORAGE.items():
        data.write_h5(path, shapes, **storage)
        work = f"`analyze`, `.h5` of {gigabytes(path.stat().st_size)}, {name}"
        yield read_by(bench, work, path, "h5py reading its datasets", ("-c", READ_H5, path), 1.5 if storage else 3)
        path.unlink()


def keras(bench: Bench) -> Iterator[Row]:
    """Archives, stored and deflated."""
    shapes, path = data.dense_layers(bench.sizes.layers, bench.sizes.width), bench.folder / "model.keras"
    plain = bench.folder / "plain.h5"
    data.write_h5(plain, shapes)
    data.write_keras(path, shapes)
    work = f"`analyze`, `.keras` of {gigabytes(path.stat().st_size)}, stored"
    yield read_by(bench, work, path, "h5py reading the same out of an `.h5`", ("-c", READ_H5, plain), 3)
    plain.unlink()
    data.write_keras(path, shapes, is_deflated=True)
    work = f"`analyze`, `.keras` of {gigabytes(path.stat().st_size)}, deflated"
    yield read_by(bench, work, path, "zipfile reading its weights", ("-c", READ_ZIP, path))
    path.unlink()


ORBAX = {
    "zarr, zstd, chunks of 64 rows": {"chunk": 64},
    "zarr, zstd, whole arrays": {},
    "zarr, gzip, chunks of 256 rows": {"chunk": 256, "codec": "gzip"},
    "zarr3, zstd, chunks of 256 rows": {"chunk": 256, "driver": "zarr3"},
    "zarr, uncompressed, chunks of 256 rows": {"chunk": 256, "codec": ""},
}


def orbax(bench: Bench) -> Iterator[Row]:
    """Orbax folders, which both read by tensorstore."""
    shapes, path = data.dense_layers(bench.sizes.layers, bench.sizes.width), bench.folder / "orbax"
    for name, storage in ORBAX.items():
        data.write_orbax(path, shapes, **storage)  # type: ignore[arg-type]  # a table of keyword arguments
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        work = f"`analyze`, Orbax of {gigabytes(size)}, {name}"
        yield read_by(bench, work, path, "tensorstore reading its arrays", ("-c", READ_ORBAX, path))
        shutil.rmtree(path)


def read_by(
    bench: Bench, work: str, path: Path, library: str, command: tuple[str | Path, ...], goal: float = 1.5
) -> Row:
    """Compare `analyze` of one file with a library that reads its arrays."""
    pairs = bench.compare(
        lambda: bench.ours("analyze", path.name, "-o", "one-file.store", "-q", fresh="one-file.store", what=work),
        lambda: bench.python(*command),
    )
    return at_most(work, library, pairs, goal)


READ_H5 = """
import sys, h5py
def read(name, dataset):
    if isinstance(dataset, h5py.Dataset):
        dataset[()]
h5py.File(sys.argv[1], "r").visititems(read)
"""

READ_ZIP = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive, archive.open("model.weights.h5") as weights:
    while weights.read(1 << 22):
        pass
"""

READ_ORBAX = """
import json, sys, tensorstore
folder = sys.argv[1]
with open(folder + "/_METADATA") as file:
    tree = json.load(file)
context = tensorstore.Context({"cache_pool": {"total_bytes_limit": 1 << 24}})
for leaf in tree["tree_metadata"].values():
    name = ".".join(key["key"] for key in leaf["key_metadata"])
    store = {"driver": "ocdbt", "base": "file://" + folder, "path": name + "/"}
    spec = {"driver": "zarr3" if tree["use_zarr3"] else "zarr", "kvstore": store}
    tensorstore.open(spec, context=context, read=True).result().read().result()
"""


def elements(bench: Bench) -> Iterator[Row]:
    """Whole arrays of E."""
    large(bench)
    size = 8 * sum(int(np.prod(shape)) for shape in bench.sizes.large.values())
    pairs = bench.compare(
        lambda: bench.ours("analyze", "large", "--elements", "-o", "elements.h5", "-q", fresh="elements.h5"),
        lambda: bench.python("-c", WRITE, "plain.bin", str(size)),
        min(bench.repeats, 3),
    )
    (bench.folder / "elements.h5").unlink()
    (bench.folder / "plain.bin").unlink()
    yield at_most(f"`analyze --elements` of the two ({gigabytes(size)} of E)", "writing as much", pairs, 4)


WRITE = """
import os, sys
piece = os.urandom(1 << 22)
with open(sys.argv[1], "wb", buffering=0) as file:
    left = int(sys.argv[2])
    while left:
        left -= file.write(piece[:left])
    os.fsync(file.fileno())
"""


def many(bench: Bench) -> Iterator[Row]:
    """A long run of small checkpoints."""
    count = bench.sizes.many
    data.write_tf1_run(bench.folder / "many", data.dense_layers(8, 64), tuple(range(10, 10 * count + 1, 10)))
    half = bench.folder / "half"
    half.mkdir()
    for step in range(10, 10 * (count // 2) + 1, 10):
        for file in (bench.folder / "many").glob(f"model.ckpt-{step}.*"):
            (half / file.name).hardlink_to(file)
    size = sum(f.stat().st_size for f in (bench.folder / "many").glob("model.ckpt-10.*"))
    work = f"`analyze`, {count} checkpoints of {size / 1e6:.1f} MB"

    def whole(*options: str) -> Run:
        arguments = ("analyze", "many", "-o", "many.h5", "-q", *options)
        return bench.ours(*arguments, fresh="many.h5", what=" ".join((work, *options)))

    for options in (("--no-infer",), ()):
        runs = [whole(*options) for _ in range(bench.repeats)]
        yield absolute(" ".join((work, *options)), [r.wall / count * 1e3 for r in runs], "ms each", 2, median(runs))
    pairs = bench.compare(
        whole, lambda: bench.ours("analyze", "half", "-o", "half.h5", "-q", fresh="half.h5"), min(bench.repeats, 3)
    )
    yield at_most("the same", "half as many: linear is 2x", pairs, 2.2)
    again = [bench.ours("analyze", "many", "-o", "many.h5", "-q") for _ in range(bench.repeats)]
    yield absolute("the same again, nothing new", [r.wall for r in again], "s", 0.5, median(again))


def append(bench: Bench) -> Iterator[Row]:
    """One more checkpoint into a long store, and into a short one: its own rows are as many in both."""
    count, folder = bench.sizes.stored, bench.folder / "stored"
    data.write_tf1_run(folder, data.dense_layers(2, 4), tuple(range(1, count + 1)))
    stores = {}
    for length in (max(count // 100, 2), count):
        paths = [folder / f"model.ckpt-{step}" for step in range(1, length)]
        run_folder = bench.folder / f"run-{length}"
        run_folder.mkdir()
        for path in paths:
            for file in (f"{path.name}.index", f"{path.name}.data-00000-of-00001"):
                (run_folder / file).hardlink_to(folder / file)
        stores[length] = bench.folder / f"stored-{length}.h5"
        bench.ours("analyze", run_folder, "-o", stores[length], "-q", fresh=stores[length].name)
        for file in (f"model.ckpt-{length}.index", f"model.ckpt-{length}.data-00000-of-00001"):
            (run_folder / file).hardlink_to(folder / file)
    short, long = stores

    def appending(length: int) -> Run:
        shutil.copyfile(stores[length], bench.folder / "appended.h5")
        what = f"appending to {length - 1} checkpoints"
        return bench.ours("analyze", f"run-{length}", "-o", "appended.h5", "-q", what=what)

    pairs = bench.compare(lambda: appending(long), lambda: appending(short))
    yield at_most(f"appending a checkpoint to a store of {long - 1}", f"to one of {short - 1}", pairs, 1.5)


def memory(bench: Bench) -> Iterator[Row]:
    """One huge tensor, and the highest peak of everything before."""
    folder = bench.folder / "one"
    folder.mkdir()
    size = bench.sizes.one * 4
    data.write_one_tensor(folder / "model.ckpt-10", bench.sizes.one)
    shown = f"one tensor of {gigabytes(size)}"
    yield peak(f"`show`, {shown}", bench.ours("show", "one/model.ckpt-10"))
    yield peak(f"`analyze`, {shown}", bench.ours("analyze", "one", "-o", "one.h5", "-q", fresh="one.h5"))
    yield peak(f"`diff`, {shown}", bench.ours("diff", "one/model.ckpt-10", "one/model.ckpt-10", "-q"))
    shutil.rmtree(folder)
    for what, done in bench.peaks.items():
        yield peak(what, done)


ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "help": helps,
    "show": show,
    "analyze": analyze,
    "threads": threads,
    "cold": cold,
    "diff": diff,
    "formulas": formulas,
    "hdf5": hdf5,
    "keras": keras,
    "orbax": orbax,
    "elements": elements,
    "many": many,
    "append": append,
    "remote": remote,
    "memory": memory,
}


# --- what several rows need


def large(bench: Bench) -> tuple[list[Path], list[str]]:
    """Return the files of data and the prefixes of the two large checkpoints, made once."""
    folder, steps = bench.folder / "large", (1000, 2000)
    if not folder.exists():
        data.write_tf1_run(folder, bench.sizes.large, steps)
    prefixes = [f"large/model.ckpt-{step}" for step in steps]
    return [bench.folder / f"{prefix}.data-00000-of-00001" for prefix in prefixes], prefixes


def small_checkpoint(bench: Bench) -> str:
    """Return the prefix of a checkpoint of 0.1 MB, made once."""
    if not (bench.folder / "small").exists():
        data.write_tf1_run(bench.folder / "small", data.dense_layers(3, 64), (10,))
    return "small/model.ckpt-10"


def start_up_of(bench: Bench) -> Run:
    """Analyse next to nothing."""
    small = small_checkpoint(bench)
    runs = [
        bench.ours("analyze", small, "--no-infer", "-o", "small.h5", "-q", fresh="small.h5")
        for _ in range(bench.repeats + 1)
    ]
    return median(runs[1:])


def compiled_limit(bench: Bench) -> Path | None:
    """Return the cost model of `benchmark_limit.c`, compiled; None if there is no compiler."""
    program = bench.folder / "benchmark_limit"
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        return None
    options = ("-O3", "-march=native", "-ffast-math", "-pthread")
    source = HERE / "benchmark_limit.c"
    built = subprocess.run([compiler, *options, str(source), "-o", str(program), "-lm"], check=False)
    return program if built.returncode == 0 else None


def evict(files: Sequence[Path]) -> None:
    """Have the kernel forget the files' pages."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
