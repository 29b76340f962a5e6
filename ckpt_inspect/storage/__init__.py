"""Where checkpoints lie: look at a path, list a folder, read a range of bytes.

Nothing else in the package opens, lists or looks at a checkpoint. Local files so far; another storage is one file that
implements `interface.Storage`, and one line in `registry.storage_of`.
"""

from ckpt_inspect.storage.contents import read_contents
from ckpt_inspect.storage.credentials import hidden
from ckpt_inspect.storage.interface import (
    ABSENT,
    Entry,
    FolderStats,
    Identities,
    NoAnswerError,
    OpenFile,
    Stat,
    Storage,
)
from ckpt_inspect.storage.key_value_store import key_value_store
from ckpt_inspect.storage.local import keep_temporarily, read_pieces
from ckpt_inspect.storage.location import HEAD_SIZE, Location, locate
from ckpt_inspect.storage.pinned_files import PinnedFiles
from ckpt_inspect.storage.registry import (
    PathLike,
    absolute,
    absolutes,
    as_path,
    find_matches,
    forget,
    hides_folders,
    is_far,
    is_folder,
    is_gone,
    is_pattern,
    is_there,
    link_target,
    list_folder,
    list_identities,
    list_stats,
    look_together,
    name_of,
    native_path,
    open_file,
    read_head,
    stat,
    storage_of,
    total_size,
    without_links,
)
from ckpt_inspect.storage.stream import Bytes
from ckpt_inspect.storage.unpacked import keep_unpacked, unpacking_once

__all__ = [
    "ABSENT",
    "HEAD_SIZE",
    "Bytes",
    "Entry",
    "FolderStats",
    "Identities",
    "Location",
    "NoAnswerError",
    "OpenFile",
    "PathLike",
    "PinnedFiles",
    "Stat",
    "Storage",
    "absolute",
    "absolutes",
    "as_path",
    "find_matches",
    "forget",
    "hidden",
    "hides_folders",
    "is_far",
    "is_folder",
    "is_gone",
    "is_pattern",
    "is_there",
    "keep_temporarily",
    "keep_unpacked",
    "key_value_store",
    "link_target",
    "list_folder",
    "list_identities",
    "list_stats",
    "locate",
    "look_together",
    "name_of",
    "native_path",
    "open_file",
    "read_contents",
    "read_head",
    "read_pieces",
    "stat",
    "storage_of",
    "total_size",
    "unpacking_once",
    "without_links",
]
