"""The house: which room may import which, read from the code's own imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ckpt_inspect"

# What a room (a module or package of ckpt_inspect/) may import of the others when it runs; _version is open to all.
# Downwards only: a room may import what stands above it in this table
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "usage": set(),
    "terminal": set(),
    "hyperparameters": set(),
    "beta_powers": set(),
    "schedules": {"errors"},
    "wire": {"errors"},
    "natural_order": set(),
    # Loops in C, where they were compiled
    "extension": set(),
    "histograms": {"errors", "extension"},
    "checkpoint": {"errors"},
    "update_rules": {"errors", "checkpoint"},
    "summaries": {"errors", "histograms"},
    "medians": {"errors", "histograms", "summaries", "update_rules"},
    "distances": {"errors", "checkpoint", "extension"},
    "kernels": {"errors", "checkpoint", "extension", "histograms", "summaries", "update_rules"},
    # Three axes: how bytes become tensors and how state is named inside know nothing of each other
    "formats": {"errors", "wire", "natural_order", "checkpoint"},
    "layouts": {"errors", "wire", "natural_order", "checkpoint", "beta_powers"},
    # What layouts found, made into numbers with their sources
    "resolution": {"errors", "checkpoint", "hyperparameters", "beta_powers", "schedules", "update_rules", "layouts"},
    "optimizer_state": {"errors", "checkpoint", "hyperparameters", "update_rules", "layouts", "resolution"},
    # A folder in training order takes formats and the steps in the files
    "series": {"errors", "formats", "optimizer_state"},
    # What a store holds, as a table of variables
    "variables": {"histograms", "hyperparameters"},
    "documents": {"variables"},
    "frames": {"errors", "histograms", "variables"},
    "selection": {"errors", "checkpoint", "formats", "series"},
    "sweep": {
        "errors", "checkpoint", "histograms", "summaries", "kernels", "hyperparameters", "update_rules",
        "optimizer_state",
    },
    # What deserves attention, and what every name means
    "findings": {"errors", "hyperparameters", "variables"},
    "explanations": {"errors", "variables", "findings"},
    # Frames to figures: nothing that opens a checkpoint or a store
    "plots": {"errors"},
    "tables": {"hyperparameters", "variables", "documents", "findings", "explanations"},
    # Frames, findings and figures to one document
    "page": {"checkpoint", "hyperparameters", "findings", "explanations", "tables"},
    "report": {"errors", "checkpoint", "plots", "page"},
    # How the two kinds of results show themselves
    "notebook": {"errors", "selection", "plots", "report", "tables"},
    "analyses": {
        "errors", "checkpoint", "hyperparameters", "histograms", "summaries", "variables", "frames",
        "documents", "findings", "notebook",
    },
    "analysis": {
        "errors", "checkpoint", "hyperparameters", "histograms", "summaries", "kernels", "update_rules",
        "optimizer_state", "selection", "variables", "sweep", "analyses",
    },
    "rescaling": {"errors", "histograms", "analyses"},
    "elements": {"checkpoint", "optimizer_state"},
    "store": {"errors", "checkpoint", "variables", "documents", "frames", "analysis", "analyses", "elements"},
    "runs": {
        "errors", "checkpoint", "formats", "series", "selection", "findings", "analysis", "analyses", "elements",
        "store",
    },
    "differences": {
        "errors", "checkpoint", "hyperparameters", "documents", "optimizer_state", "notebook", "analyses",
    },
    "comparison": {
        "errors", "checkpoint", "hyperparameters", "update_rules", "medians", "distances", "optimizer_state",
        "selection", "differences",
    },
    "show": {"errors", "checkpoint", "hyperparameters", "documents", "optimizer_state", "selection"},
    "coercion": set(),
    "options": {"errors", "update_rules", "findings"},
    "export": {"errors", "checkpoint", "wire", "formats", "variables", "selection", "analyses", "store", "report"},
    "diff_figures": {"errors", "analyses", "runs", "plots", "report"},
    "cli": {
        "errors", "coercion", "options", "usage", "terminal", "series", "selection", "documents", "runs", "store",
        "analyses", "comparison", "findings", "explanations", "rescaling", "show", "plots", "report", "export",
        "tables", "diff_figures",
    },
    "__main__": {"usage", "terminal", "cli"},
    "__init__": set(),  # names are imported when first asked for
}  # fmt: skip

NUMERIC_ROOMS = ("update_rules", "histograms", "summaries", "kernels", "medians", "beta_powers", "schedules", "errors")
"""Mathematics: numpy, the standard library and nothing of other packages."""
HEAVY = {
    "tensorflow", "tensorboard", "keras", "pandas", "pyarrow", "seaborn", "matplotlib", "rich", "xarray", "h5py",
    "h5netcdf",
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
                names = [f"{module}.{a.name}" for a in child.names] if module == "ckpt_inspect" else [module]
            for name in names:
                yield Import(file, child.lineno, name, for_types, at_top)
            types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from walk(child, for_types or types, at_top and not inside)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), False, True)


IMPORTS = [i for file in modules() for i in imports_of(file)]


def test_the_table_goes_one_way() -> None:
    """Every room in the table imports only rooms above it, so that nothing can go round in circles."""
    above: set[str] = set()
    for room, allowed in MAY_IMPORT.items():
        assert allowed <= above, f"{room} would import {sorted(allowed - above)}, which stand below it in the table"
        above.add(room)


def test_every_room_is_in_the_table() -> None:
    """A new room says whom it may import."""
    rooms = {room_of(file) for file in modules()}
    assert rooms - {"_version"} <= set(MAY_IMPORT)


def test_rooms_import_what_they_may() -> None:
    """What the code imports when it runs is what the table allows."""
    wrong = [
        str(i)
        for i in IMPORTS
        if i.target and i.target not in (room_of(i.file), "_version") and not i.is_for_types
        and i.target not in MAY_IMPORT.get(room_of(i.file), set())
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("one, other", [("formats", "layouts"), ("layouts", "formats"), ("update_rules", "layouts")])
def test_the_three_axes_never_mix(one: str, other: str) -> None:
    """Formats, layouts and rules do not know each other, not even each other's types."""
    assert [str(i) for i in IMPORTS if room_of(i.file) == one and i.target == other] == []


def test_figures_never_open_a_checkpoint() -> None:
    """Plots, pages and reports know frames: no format, layout or file reader, not even their types."""
    readers = {"formats", "layouts", "optimizer_state", "series", "runs", "store"}
    assert [str(i) for i in IMPORTS if room_of(i.file) in ("plots", "page", "report") and i.target in readers] == []


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


def test_tensorflow_is_never_imported() -> None:
    """No module imports TensorFlow or Keras, wherever in the code."""
    assert [str(i) for i in IMPORTS if i.module.partition(".")[0] in ("tensorflow", "keras")] == []


def test_nothing_is_unpickled() -> None:
    """No module that turns bytes into code or objects is imported anywhere."""
    forbidden = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert [str(i) for i in IMPORTS if i.module.partition(".")[0] in forbidden] == []


def test_modules_are_nouns() -> None:
    """No module is called by what it isn't."""
    assert [str(file) for file in modules() if file.stem in NO_NOUNS or file.parent.name in NO_NOUNS] == []
