"""The page on damaged input: every promise has a test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ckpt_inspect.formats import FORMATS
from ckpt_inspect.presentation.guide import find_topic

TESTS = Path(__file__).parents[2]

PROMISES = {
    "A flipped bit in a tensor of a bundle": "formats/test_bundle.py::test_flipped_bit_in_data",
    "A flipped bit in a `.keras` file": (
        "formats/test_hdf5.py::test_a_flipped_bit_in_a_small_archive_is_noticed_at_the_first_read"
    ),
    "Slices that leave out": "formats/test_bundle.py::test_slices_that_do_not_cover_the_tensor",
    "A learning rate, beta, epsilon or counter": (
        "findings/test_findings.py::test_nothing_is_computed_with_an_impossible_value"
    ),
    "A store in which anything": "runs/test_stored.py::test_what_cannot_be_is_refused_in_one_sentence",
    "A damaged store can crash HDF5's library": "runs/test_stored.py::test_damaged_bytes_never_end_the_process",
    "HDF5 checkpoints are read by a reader": (
        "formats/test_hdf5_reader.py::test_what_the_library_loops_on_is_called_damaged"
    ),
    "Every index of chunks": "formats/test_hdf5_reader.py::test_a_long_list_of_chunks_that_grows",
    "Arrays of zeros that compress": "formats/test_hdf5_reader.py::test_so_much_of_so_little_is_refused",
    "Sparse companions": "formats/test_bad_input.py::test_a_sparse_companion_is_not_read_into_memory",
    "A large `.keras` file": "runs/test_execution.py::test_the_units_of_a_large_archive_compare_its_checksum_together",
    "A chunk of next to nothing": "formats/test_hdf5.py::test_a_huge_chunk_of_next_to_nothing_is_refused",
    "Groups that are nested too deep": "formats/test_hdf5.py::test_groups_that_are_nested_too_deep_are_refused",
    "A pipe, socket or device": "formats/test_bad_input.py::test_pipe",
    "Folders that lead in circles": "series/test_search.py::test_links_in_circles",
    "Links and external values": "formats/test_hdf5.py::test_strings_in_another_file_are_refused",
    "A name in a file never leads out": "formats/test_hdf5.py::test_a_shard_that_is_no_plain_file_name_is_refused",
    "A checkpoint that is deleted": "runs/test_movement.py::test_a_checkpoint_that_is_deleted_meanwhile_is_gone",
    "One that is replaced or written to": (
        "runs/test_movement.py::test_a_checkpoint_that_is_written_meanwhile_is_read_the_next_time"
    ),
    "One that goes on growing": "runs/test_movement.py::test_a_file_that_still_grows_is_still_being_written",
    "Values of two versions": "formats/test_replaced.py::test_replaced_by_renaming",
    "The exit status is 0": "runs/test_movement.py::test_the_exit_status_of_a_folder_that_moves_is_0",
    "A file that is truncated": "runs/test_movement.py::test_what_is_truncated_and_stays_so_is_at_fault",
    "TensorFlow's own temporary files": "runs/test_movement.py::test_what_tensorflow_renames_later_is_no_checkpoint",
    "A checkpoint that can't be read": "runs/test_analysis.py::test_one_bad_checkpoint_does_not_stop_the_others",
    "A kill at any moment": "runs/test_store.py::test_a_kill_while_writing_leaves_the_old_store_readable",
    "Files that another running process": "runs/test_atomic.py::test_what_killed_processes_left_goes_and_nothing_else",
    "A full disk, a quota": "runs/test_sheltered.py::test_a_full_disk_is_told_and_ends_no_process",
    "Ctrl-C, SIGTERM and SIGHUP": (
        "runs/test_store.py::test_a_signal_while_writing_leaves_the_old_store_and_nothing_else"
    ),
    "Several processes at once": "runs/test_store.py::test_of_many_processes_at_once_none_loses_what_another_stored",
    "A store of a version before": "runs/test_former_stores.py::test_it_grows",
    "Control characters": "presentation/test_reprs.py::test_names_out_of_files_control_no_terminal",
    "No cell of an exported CSV": (
        "presentation/export/test_export.py::test_no_cell_of_a_csv_is_a_formula_or_holds_control_characters"
    ),
    "Long names": "presentation/plots/test_names.py::test_ellipses_replace_whole_components_first",
    "Files that are named after": (
        "presentation/export/test_export.py::test_names_out_of_files_stay_below_the_log_folder"
    ),
}
"""How a promise begins, and the test of it."""


def page() -> str:
    topic = find_topic("damage")
    assert topic is not None
    return topic.text()


def test_every_promise_has_a_test_and_no_test_lacks_its_promise() -> None:
    """A line that is added to the page needs one."""
    lines = re.findall(r"^- (.*)$", page(), re.MULTILINE)
    kept = [[start for start in PROMISES if line.startswith(start)] for line in lines]
    assert [len(starts) for starts in kept] == [1] * len(lines), lines
    assert {start for starts in kept for start in starts} == set(PROMISES)


@pytest.mark.parametrize("place", PROMISES.values())
def test_the_test_of_a_promise_is_there(place: str) -> None:
    """Under the name that is kept here."""
    file, _, name = place.partition("::")
    assert re.search(rf"^    def {name}\(|^def {name}\(", (TESTS / file).read_text(), re.MULTILINE)


def test_every_format_s_checksum_is_named() -> None:
    """Whoever adds a format says whether it has one."""
    words = {"tensor-bundle": "tensor bundle", "saved-model": "SavedModel", "tf1-v1": "TF1 V1", "orbax": "Orbax"}
    words |= {"keras-h5": "`.h5`", "keras-archive": "`.keras`", "keras-weights-h5": "`.weights.h5`"}
    table = page().partition("## Nothing hangs")[0]
    assert [name for known in FORMATS for name in known.names if words.get(name, name) not in table] == []
