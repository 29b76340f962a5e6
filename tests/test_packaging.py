"""What is handed on: the source distribution is the checkout, the wheel is the package, and an index can show both."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

from ckpt_inspect._version import __version__

ROOT = Path(__file__).parent.parent
_MADE_BY_SETUPTOOLS = re.compile(r"PKG-INFO|setup\.cfg|ckpt_inspect\.egg-info/.*")


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command and return what it prints; a failure shows all of it."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`python -m build`, without an index: the source distribution of a copy of this checkout, and its wheel."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "build", "dist", "*.egg-info", "*.so"))
    # what tests and editors leave there
    (copy / "tests" / "__pycache__" / "x.pyc").parent.mkdir(exist_ok=True)
    (copy / "tests" / "__pycache__" / "x.pyc").touch()
    (copy / "fixtures" / "digits.ckpt-inspect.h5").touch()
    run(sys.executable, "-m", "build", "--no-isolation", cwd=copy)
    return copy / "dist"


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution's one folder."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(dist / f"ckpt_inspect-{__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)
    (inside,) = folder.iterdir()
    return inside


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel."""
    (path,) = dist.glob(f"ckpt_inspect-{__version__}-*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What an index shows."""
    with zipfile.ZipFile(wheel) as archive:
        return message_from_string(archive.read(f"ckpt_inspect-{__version__}.dist-info/METADATA").decode())


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_the_source_distribution_is_the_checkout(unpacked: Path) -> None:
    """Every file that git knows, byte for byte, and executable if it was; beside them setuptools' own, and no other."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    known = {name for name in listed if name and (ROOT / name).exists()}
    held = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {name for name in held if not _MADE_BY_SETUPTOOLS.fullmatch(name)} == known
    for name in known:
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes(), name
        assert os.access(unpacked / name, os.X_OK) == os.access(ROOT / name, os.X_OK), name


def test_the_tests_run_from_the_source_distribution(unpacked: Path) -> None:
    """Those of the fixtures, for which it needs tests/, tests/support/, fixtures/ and scripts/."""
    modules = ("tests/test_fixtures.py", "tests/formats/test_fixtures.py")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *modules)
    assert re.search(r"^\d+ passed", run(*command, cwd=unpacked, PYTHONPATH=str(unpacked)), re.MULTILINE)


def test_the_wheel_is_the_package(wheel: Path) -> None:
    """All its modules and data, the compiled loops and the manual's page; neither C sources, tests nor fixtures."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.startswith(f"ckpt_inspect-{__version__}.dist-info/")}
    compiled = {name for name in held if re.fullmatch(r"ckpt_inspect/native/loops\..*\.so", name)}
    manual = {f"ckpt_inspect-{__version__}.data/data/share/man/man1/ckpt-inspect.1"}
    ignored = (".c", ".h", ".so", ".pyc", ".1")
    package = [path for path in (ROOT / "ckpt_inspect").rglob("*") if path.is_file() and path.suffix not in ignored]
    assert held - compiled == manual | {path.relative_to(ROOT).as_posix() for path in package}
    assert len(compiled) == 1 or shutil.which("cc") is None


def test_an_index_takes_them(dist: Path) -> None:
    """twine finds no fault, nor anything to warn of."""
    run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *sorted(dist.iterdir()), cwd=dist)


def test_the_description_leads_nowhere_that_an_index_has_not(metadata: Message) -> None:
    """No relative link, and no picture but from an https address: of others an index shows an empty frame."""
    description = metadata.get_payload()
    assert isinstance(description, str)
    assert description.startswith("# ckpt-inspect")
    assert [target for target in re.findall(r"\]\(([^)]*)\)", description) if not re.match("https?:|#", target)] == []
    assert re.findall(r"!\[[^\]]*\]\((?!https:)", description) == []


def test_metadata_says_what_is_supported(metadata: Message) -> None:
    """Linux, and the Pythons that scripts/wheel tries; no addresses as long as there are none."""
    classifiers = metadata.get_all("Classifier", [])
    assert [c for c in classifiers if c.startswith("Operating System")] == ["Operating System :: POSIX :: Linux"]
    tried = re.search(r"for minor in ([\d. ]+);", (ROOT / "scripts" / "wheel").read_text(encoding="utf-8"))
    assert tried is not None
    named = [c.rpartition(" ")[2] for c in classifiers if re.search(r":: 3\.\d+$", c)]
    assert tried[1].split() == named
    assert metadata["Requires-Python"] == f">={named[0]}"
    assert metadata.get_all("Project-URL") is None


def test_every_import_is_a_dependency(metadata: Message) -> None:
    """Whatever the package imports is declared, an extra's included, and nothing else is."""
    required = {re.split(r"[ ;<>=!\[]", text)[0].lower() for text in metadata.get_all("Requires-Dist", [])}
    named = {"PIL": "pillow", "ml_dtypes": "ml-dtypes", "google_crc32c": "google-crc32c", "zlib_ng": "zlib-ng"}
    imported = {module for path in (ROOT / "ckpt_inspect").rglob("*.py") for module in _imported(path)}
    # _typeshed exists for type checkers alone
    found = {named.get(name, name) for name in imported - {*sys.stdlib_module_names, "ckpt_inspect", "_typeshed"}}
    assert found - required == set(), "not declared"
    declared = {re.split(r"[<>=]", text)[0] for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text}
    assert declared - found == set(), "not imported"


def _imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def test_lower_bounds_are_whole_versions(metadata: Message) -> None:
    """Each dependency has one, and no upper bound, which would keep others' fixes away."""
    declared = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert [text for text in declared if not re.fullmatch(r"[\w-]+>=\d+(\.\d+)*", text)] == []
