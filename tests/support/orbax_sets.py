"""The Orbax folders in fixtures/orbax, and tensorstore's own answer to them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "orbax"
SETS = tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))


def truth(name: str) -> dict[str, Any]:
    """The live arrays at the newest step."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def copied(name: str, to: Path) -> Path:
    """A set to damage."""
    return Path(shutil.copytree(FOLDER / name, to / name))


def tree_folders(folder: Path) -> list[Path]:
    """Every folder in and below one that holds a tree with arrays."""
    found = [path.parent for path in sorted(folder.rglob("_METADATA"))]
    return [path for path in found if path.name != "model_config"]


def by_tensorstore(folder: Path) -> dict[str, Any]:
    """Every array of a tree's folder as tensorstore reads it whole, by Orbax' name."""
    import tensorstore

    metadata = json.loads((folder / "_METADATA").read_text())
    has_store = (folder / "manifest.ocdbt").exists()
    arrays = {}
    for entry in metadata["tree_metadata"].values():
        if entry["value_metadata"].get("skip_deserialize"):
            continue
        name = ".".join(str(key["key"]) for key in entry["key_metadata"])
        files = {"driver": "file", "path": f"{folder}/" if has_store else f"{folder}/{name}/"}
        spec = {
            "driver": "zarr3" if metadata.get("use_zarr3") else "zarr",
            "kvstore": {"driver": "ocdbt", "base": files, "path": f"{name}/"} if has_store else files,
        }
        arrays[name] = tensorstore.open(spec).result().read().result()
    return arrays


def edit_metadata(folder: Path, edit: Any) -> None:
    """Rewrite `_METADATA` by a function of its JSON."""
    path = folder / "_METADATA"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(edit(content) or content))
