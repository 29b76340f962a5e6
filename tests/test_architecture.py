"""The house: which room may import which, read from the code's own imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ckpt_inspect"

ROOMS = (
    # pure: values, bytes and names, no file; the loops in C
    "records",
    "errors",
    "_version",
    "sourced",
    "jsonable",
    "wire",
    "natural_order",
    "checkpoint",
    "native",
    # one checkpoint: bytes -> tensors, what the numbers mean, names -> state, state -> numbers with sources
    "storage",
    "formats",
    "update_rules",
    "layouts",
    "state",
    # several checkpoints, and figures
    "series",
    "measurement",
    "comparison",
    "findings",
    "soundness",
    "runs",
    "overview",
    # people
    "presentation",
    "api",
    "cli",
    "__main__",
    "__init__",
)
"""Rooms (packages of ckpt_inspect/, and the modules beside them) in their order: a room imports only rooms above it."""

APART = (("formats", "layouts"), ("formats", "update_rules"), ("layouts", "formats"), ("update_rules", "layouts"))
"""Rooms that never import each other, whatever their order: the three axes."""

NUMERIC_ROOMS = ("native", "update_rules", "measurement", "errors")
"""Mathematics: numpy, the standard library and nothing of other packages."""
MOST_ROOT_FILES = 11
HEAVY = {
    "tensorflow", "tensorboard", "keras", "pandas", "pyarrow", "seaborn", "matplotlib", "rich", "xarray", "h5py",
    "h5netcdf", "jinja2",
}  # fmt: skip
NO_NOUNS = {"utils", "util", "helpers", "helper", "base", "common", "manager", "managers", "misc", "core", "lib"}


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands in the code."""

    file: Path
    line: int
    module: str
    is_for_types: bool
    """Under `if TYPE_CHECKING:`."""
    is_at_top: bool
    """Done when the module is imported, not inside a function."""

    @property
    def target(self) -> str:
        """The room of ours that it names; empty for others' packages."""
        package, _, rest = self.module.partition(".")
        return rest.partition(".")[0] if package == "ckpt_inspect" else ""

    def __str__(self) -> str:
        return f"{self.file.relative_to(PACKAGE.parent)}:{self.line} imports {self.module}"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    """The module's dotted name."""
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(file: Path) -> Iterator[Import]:
    """Every import of a module."""

    def walk(node: ast.AST, for_types: bool, at_top: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            names: list[str] = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{file}:{child.lineno}: relative import"
                module = child.module or ""
                names = [f"{module}.{a.name}" for a in child.names] if module.startswith("ckpt_inspect") else [module]
            for name in names:
                yield Import(file, child.lineno, name, for_types, at_top)
            types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, for_types or types, at_top and not inside)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), False, True)


IMPORTS = [i for file in modules() for i in imports_of(file)]
FILES = {name_of(file): file for file in modules()}


def test_every_room_is_in_the_order() -> None:
    """A new room says where it stands."""
    assert {room_of(file) for file in modules()} == set(ROOMS)


def test_few_files_stand_at_the_root() -> None:
    """A stranger has to read them all."""
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_FILES


def test_rooms_import_rooms_above_them() -> None:
    """Lazy imports and those for types alone included, so that nothing can go round in circles."""
    order = {room: place for place, room in enumerate(ROOMS)}
    wrong = [str(i) for i in IMPORTS if i.target and order[i.target] > order[room_of(i.file)]]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_part_of_a_circle() -> None:
    """Within a room as well: what a module imports never leads back to it."""
    names = {name_of(file) for file in modules()}
    graph = {name_of(file): set[str]() for file in modules()}
    for i in IMPORTS:
        if i.target:
            graph[name_of(i.file)].add(i.module if i.module in names else i.module.rpartition(".")[0])
    while free := [name for name, targets in graph.items() if not targets & graph.keys() - {name}]:
        for name in free:
            del graph[name]
    assert not graph, "\n".join(f"{name} -> {', '.join(sorted(t & graph.keys()))}" for name, t in graph.items())


BY_THREADS = ("ckpt_inspect.runs.analyze", "ckpt_inspect.soundness.check", "ckpt_inspect.comparison.diff")
"""What has threads that import: while another reads, or as they read themselves."""

BY_THE_MAIN_THREAD = ("presentation", "cli")
"""Rooms that are imported once all is read."""


@pytest.mark.parametrize("entry", BY_THREADS)
def test_a_package_that_imports_its_modules_is_there_before_threads_are(entry: str) -> None:
    """One thread imports the package, another one of its modules: each waits for the other, and Python gives one of
    them an error (`_DeadlockError`) in the place of the module."""
    code = f"import sys, {entry}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    late = {
        str(i)
        for i in IMPORTS
        if i.file.name == "__init__.py" and i.is_at_top and not i.is_for_types
        if i.module.startswith(f"{name_of(i.file)}.") and room_of(i.file) not in BY_THE_MAIN_THREAD
        if name_of(i.file) not in loaded
    }
    assert not late, "\n".join(sorted(late))


@pytest.mark.parametrize("one, other", APART)
def test_the_three_axes_never_mix(one: str, other: str) -> None:
    """Formats, layouts and rules do not know each other, not even each other's types."""
    assert [str(i) for i in IMPORTS if room_of(i.file) == one and i.target == other] == []


def test_figures_never_open_a_checkpoint() -> None:
    """Plots, pages and reports know frames: no format, layout or file reader, not even their types."""
    readers = {"storage", "formats", "layouts", "series", "runs"}
    drawing = [PACKAGE / "presentation" / name for name in ("figures", "plots", "page", "report.py")]
    wrong = [str(i) for i in IMPORTS if any(i.file.is_relative_to(d) for d in drawing) and i.target in readers]
    assert wrong == []


def test_mathematics_imports_numpy_alone() -> None:
    """Of other packages the rooms of numbers import numpy, and ml_dtypes for its dtypes."""
    allowed = sys.stdlib_module_names | {"numpy", "ml_dtypes", "ckpt_inspect"}
    wrong = [
        str(i)
        for i in IMPORTS
        if room_of(i.file) in NUMERIC_ROOMS and not i.is_for_types and i.module.partition(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_imports_stand_in_functions() -> None:
    """What takes long to import is imported by the function that needs it."""
    wrong = [str(i) for i in IMPORTS if i.is_at_top and not i.is_for_types and i.module.partition(".")[0] in HEAVY]
    assert not wrong, "\n".join(wrong)


SECOND_READER = PACKAGE / "soundness" / "second_reader.py"


def test_tensorflow_is_imported_by_the_second_reader_alone() -> None:
    """No other module imports TensorFlow or Keras, wherever in the code; that one does when it is asked to read."""
    found = [i for i in IMPORTS if i.module.partition(".")[0] in ("tensorflow", "keras")]
    assert [str(i) for i in found if i.file != SECOND_READER or i.is_at_top] == []


READING_ROOMS = ("formats", "layouts", "state", "series")
"""Rooms that get at checkpoints through `storage` alone."""

PATH_METHODS = {
    "absolute", "chmod", "cwd", "exists", "expanduser", "glob", "group", "hardlink_to", "is_block_device",
    "is_char_device", "is_dir", "is_fifo", "is_file", "is_mount", "is_socket", "is_symlink", "iterdir", "lchmod",
    "lstat", "mkdir", "open", "owner", "read_bytes", "read_text", "readlink", "rename", "resolve", "rglob", "rmdir",
    "samefile", "stat", "symlink_to", "touch", "unlink", "walk", "write_bytes", "write_text",
}  # fmt: skip
"""What a `pathlib.Path` does with files."""

SYSTEM_MODULES = {"glob", "io", "mmap", "os", "shutil", "tempfile"}
LIBRARY_OPENERS = {"h5py.File", "h5py.h5f.open", "zipfile.ZipFile"}
THROUGH = {"storage", "pinned", "self._pinned", "archive", "known", "tensorstore", "tensorstore.KvStore"}
"""What may be asked to open something: our storage, what it opened, a format, and what reads Orbax' arrays."""


def system_calls(file: Path) -> list[str]:
    """Every call in a module that opens, lists or looks at a file by itself."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    from_storage = {  # names of values that storage gave for libraries
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.NamedExpr | ast.Assign) and "native_path(" in ast.unparse(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }

    def is_own(call: ast.Call) -> bool:
        name = ast.unparse(call.func)
        owner, _, method = name.rpartition(".")
        if name in LIBRARY_OPENERS:
            given = ast.unparse(call.args[0])
            return ".stream(" not in given and given not in from_storage
        if owner.startswith("h5py."):
            return False
        return (
            name == "open"
            or owner.partition(".")[0] in SYSTEM_MODULES
            or (bool(owner) and method in PATH_METHODS and owner not in THROUGH)
        )

    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_own(node))
    return [f"{file.relative_to(PACKAGE.parent)}:{call.lineno} {ast.unparse(call.func)}" for call in calls]


def test_one_room_opens_and_lists_checkpoints() -> None:
    """Formats, layouts, states and series touch no file: another storage is one file in the room of storages."""
    found = [
        call for room in READING_ROOMS for file in sorted((PACKAGE / room).rglob("*.py")) for call in system_calls(file)
    ]
    assert found == []


def test_nothing_is_unpickled() -> None:
    """No module that turns bytes into code or objects is imported anywhere."""
    forbidden = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert [str(i) for i in IMPORTS if i.module.partition(".")[0] in forbidden] == []


def test_modules_are_nouns() -> None:
    """No module is called by what it isn't."""
    assert [str(file) for file in modules() if file.stem in NO_NOUNS or file.parent.name in NO_NOUNS] == []


# --- types


def annotations_of(name: str, module: str) -> Iterator[tuple[str, ast.AST]]:
    """What another room sees of a name's types: a function's signature; a class' public fields and methods."""
    file = FILES.get(module)
    if file is None:
        return
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names):
            yield from annotations_of(name, node.module or "")  # an `__init__` that re-exports
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            yield from ((name, a) for a in signature_of(node))
        elif isinstance(node, ast.ClassDef) and node.name == name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and not (part.name.startswith("_") and part.name != "__init__"):
                    yield from ((f"{name}.{part.name}", a) for a in signature_of(part))
                elif isinstance(part, ast.AnnAssign) and not ast.unparse(part.target).startswith("_"):
                    yield f"{name}.{ast.unparse(part.target)}", part.annotation


def signature_of(function: ast.FunctionDef) -> Iterator[ast.AST]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    yield from (a.annotation for a in every if a is not None and a.annotation is not None)
    if function.returns is not None:
        yield function.returns


def test_no_signature_between_rooms_has_any() -> None:
    """What one room imports of another says what it takes and gives. Arrays' element types are known at run time only:
    `Array`, `DType` and `Scalar` stand for those."""
    wrong = {
        f"{module}: {where}: {ast.unparse(annotation)}"
        for i in IMPORTS
        if i.target and i.target != room_of(i.file)
        for module, _, name in [i.module.rpartition(".")]
        for where, annotation in annotations_of(name, module)
        if any(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(annotation))
    }
    assert not wrong, "\n".join(sorted(wrong))
