"""Which files and folders are Keras' archives. What reads them is imported when one is met: most folders hold none."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_inspect.formats.format import Claim, Format, late
from ckpt_inspect.formats.keras_files import FOLDER_FILES, HDF5_SIGNATURE, ZIP_SIGNATURE, split_name
from ckpt_inspect.formats.listing import Listing
from ckpt_inspect.storage import Location


def recognises(location: Location) -> bool:
    """Recognise a zip that has a `config.json` or is named `.keras`, and a folder with the files of such a zip.

    A zip is found from its end. If other bytes lie before it, Keras reads it too; only those named `.keras` are looked
    into for that.
    """
    if location.kind == "folder":
        return all(map(location.has, FOLDER_FILES))
    is_named_so = location.path.suffix == ".keras"
    if location.head.startswith(ZIP_SIGNATURE):
        if is_named_so:
            return True
    elif location.kind == "absent" or not is_named_so or location.head.startswith(HDF5_SIGNATURE):
        return False
    from ckpt_inspect.formats.keras_archive import has_config

    return has_config(location.path)


def claims(listing: Listing) -> Iterator[Claim]:
    """Claim the folder if it holds the files of an archive, and each archive among the files."""
    folder = listing.folder
    if all(name in listing.names for name in FOLDER_FILES):
        yield Claim(folder, listing.names, folder, *split_name(folder.name))
        return
    for name in listing.unclear():
        location = listing.look(name)
        if recognises(location):
            yield Claim(folder, (name,), location.path, *split_name(name))


FORMAT = Format(
    ("keras-archive",),
    "Keras archive (.keras)",
    recognises,
    late("ckpt_inspect.formats.keras_archive", "open_archive"),
    claims,
)
