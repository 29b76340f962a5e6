"""Exports: other programs' own readers find in the files what the run holds."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.adam_bundles import save_series
from typer.testing import CliRunner

from ckpt_inspect import Analyses, analyze
from ckpt_inspect.cli.app import app
from ckpt_inspect.errors import RequestError, StoreError
from ckpt_inspect.measurement.columns import OptimizerColumns
from ckpt_inspect.measurement.variables import FURTHER_VARIABLES, QUANTILE_NAMES, ROOT_VARIABLES
from ckpt_inspect.presentation.export import TARGETS, export
from ckpt_inspect.presentation.export.csv import _cell, _line
from ckpt_inspect.presentation.export.frames import joined_frame
from ckpt_inspect.presentation.export.target import Order
from ckpt_inspect.runs.store import save
from ckpt_inspect.state.selection import Selection

GIVEN = {"learning_rate": 0.01, "epsilon": 1e-7}
KINDS = ("parameters", "histogram", "sample", "checkpoints", "problems", "findings")
Q05, MEDIAN = QUANTILE_NAMES.index("q05"), QUANTILE_NAMES.index("median")


@pytest.fixture
def run(tmp_path: Path) -> Analyses:
    """Three checkpoints, of steps that rise."""
    save_series(tmp_path / "run", 3)
    return analyze(tmp_path / "run", given=GIVEN)


@pytest.fixture
def relative(tmp_path: Path) -> Analyses:
    """Three checkpoints of which no learning rate is known."""
    save_series(tmp_path / "unknown", 3)
    return analyze(tmp_path / "unknown")


def with_columns(run: Analyses, optimizer: str = "Adam", **columns: object) -> Analyses:
    """The same run with other columns of one optimizer."""
    changed = dataclasses.replace(
        run.optimizers[optimizer], variables={**run.optimizers[optimizer].variables, **columns}
    )
    return dataclasses.replace(run, optimizers={**run.optimizers, optimizer: changed})


def lengthened(run: Analyses, count: int) -> Analyses:
    """The run's first checkpoint that many times, one step apart."""
    per_checkpoint = {v.name for v in ROOT_VARIABLES}
    checkpoints = {name: np.repeat(run.checkpoints[name][:1], count) for name in per_checkpoint}
    optimizers = {}
    for name, optimizer in run.optimizers.items():
        length = len(run)
        variables = {
            k: np.repeat(v[:1], count, axis=0) if len(v) == length and k not in ("parameter", "shape", "size") else v
            for k, v in optimizer.variables.items()
        }
        variables["step"] = np.arange(1, count + 1)
        optimizers[name] = dataclasses.replace(optimizer, variables=variables)
    return dataclasses.replace(run, checkpoints=checkpoints, optimizers=optimizers)


# --- tables


@pytest.mark.parametrize("kind", KINDS)
def test_pandas_reads_the_csv_back(tmp_path: Path, run: Analyses, kind: str) -> None:
    """The frame, bit for bit, after a column that names the run."""
    export(run, "csv", tmp_path / "t.csv", frame=kind)
    wanted = run.to_frame(kind)
    # As text, for how exactly pandas reads decimals is a matter of its version
    read = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert set(read.pop("run")) <= {"run"}
    assert list(read) == list(wanted)
    for name in wanted:
        if wanted[name].dtype == np.float64:
            assert [float(x or "nan") for x in read[name]] == pytest.approx(
                list(wanted[name]), rel=0, abs=0, nan_ok=True
            )
        else:
            assert list(read[name]) == ["" if x is pd.NA else str(x) for x in wanted[name]]


@pytest.mark.parametrize("kind", KINDS)
def test_pandas_reads_the_parquet_back(tmp_path: Path, run: Analyses, kind: str) -> None:
    """The frame with its types, after a column that names the run."""
    pytest.importorskip("pyarrow")
    export(run, "parquet", tmp_path / "t.parquet", frame=kind)
    read, wanted = pd.read_parquet(tmp_path / "t.parquet"), run.to_frame(kind)
    assert (read.pop("run") == "run").all()
    texts = [name for name in wanted if wanted[name].map(type).eq(str).all()]
    same = dict.fromkeys(texts, object)
    pd.testing.assert_frame_equal(read.astype(same), wanted.astype(same), check_exact=True)


@pytest.mark.parametrize("kind", ["parameters", "histogram", "sample"])
def test_parquet_in_pieces_is_that_of_one_frame(
    tmp_path: Path, run: Analyses, relative: Analyses, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Few rows at a time, of runs of which one has columns of numbers and of texts more than the others."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("ckpt_inspect.presentation.export.frames._CELLS", 1)
    monkeypatch.setattr("ckpt_inspect.presentation.export.parquet._GROUP_ROWS", 3)
    variables = dict(run.optimizers["Adam"].variables)
    more = {v.name: np.full(3, 0.5) if v.kind == "float" else np.full(3, "x", object) for v in FURTHER_VARIABLES["rho"]}
    other = dataclasses.replace(run, optimizers={"Adam": OptimizerColumns("Adam", {**variables, **more})})
    export([run, relative, other], "parquet", tmp_path / "t.parquet", frame=kind)
    order = Order((run, relative, other), ("run", "unknown", "run (2)"), kind)
    joined_frame(order).to_parquet(tmp_path / "whole.parquet", index=False)
    read, whole = (parquet.read_table(tmp_path / name) for name in ("t.parquet", "whole.parquet"))
    assert read.schema == whole.schema
    pd.testing.assert_frame_equal(read.to_pandas(), whole.to_pandas(), check_exact=True)
    assert parquet.ParquetFile(tmp_path / "t.parquet").num_row_groups > 3


def test_several_runs_are_one_table(tmp_path: Path, run: Analyses, relative: Analyses) -> None:
    """One below the other, told apart by their names, also where those are alike."""
    export([run, relative, run], "csv", tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv")
    assert list(read["run"].unique()) == ["run", "unknown", "run (2)"]
    assert len(read) == 3 * len(run.to_frame())


def test_chosen_parameters_alone_are_exported(tmp_path: Path, run: Analyses) -> None:
    """Patterns choose rows; patterns that leave none are refused."""
    export(run, "csv", tmp_path / "t.csv", selection=Selection(("head/*",)))
    assert set(pd.read_csv(tmp_path / "t.csv")["parameter"]) == {"head/kernel", "head/bias"}
    with pytest.raises(RequestError, match=r"^there is nothing to export: no parameter, or none of a name"):
        export(run, "csv", tmp_path / "t.csv", selection=Selection(("nothing",)))


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, run: Analyses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, and no file."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RequestError) as error:
        export(run, "parquet", tmp_path / "t.parquet")
    assert str(error.value) == ("pyarrow, which writes Parquet, is not installed: pip install 'ckpt-inspect[parquet]'")
    assert not (tmp_path / "t.parquet").exists()


# --- TensorBoard


def accumulated(file: Path) -> object:
    """TensorBoard's view of an event file, nothing left out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    view = EventAccumulator(str(file), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    view.Reload()
    return view


def test_tensorboard_reads_the_scalars_back(tmp_path: Path, run: Analyses) -> None:
    """Every figure of every parameter at the optimizer's own steps, dated as the checkpoints are."""
    (file,) = export(run, "tensorboard", tmp_path / "logs", figures=["all"]).files
    assert file.parent == tmp_path / "logs" / "run" / "Adam"
    view, v = accumulated(file), run.optimizers["Adam"].variables
    tags = set(view.Tags()["scalars"])  # type: ignore[attr-defined]
    figures = {
        "effective_lr_median": v["effective_lr"][:, :, MEDIAN], "effective_lr_q05": v["effective_lr"][:, :, Q05],
        "effective_lr_mean": v["effective_lr_mean"], "update_to_weight": v["update_to_weight"],
        "signal_to_noise": v["signal_to_noise"], "untouched": v["untouched"],
    }  # fmt: skip
    for figure, columns in figures.items():
        for i, parameter in enumerate(v["parameter"]):
            events = view.Scalars(f"{figure}/{parameter}")  # type: ignore[attr-defined]
            assert [e.step for e in events] == list(v["step"])
            assert [e.wall_time for e in events] == list(run.checkpoints["modified"])
            assert [e.value for e in events] == list(columns[:, i].astype(np.float32).astype(float))
    assert "learning_rate" in tags
    assert {tag.partition("/")[2] for tag in tags - {"learning_rate"}} == set(v["parameter"])


def test_tensorboard_reads_the_histograms_back(tmp_path: Path, run: Analyses) -> None:
    """The store's bins themselves, and the same bins over log10 E."""
    (file,) = export(run, "tensorboard", tmp_path, figures=["all"]).files
    view, v = accumulated(file), run.optimizers["Adam"].variables
    for i, parameter in enumerate(v["parameter"]):
        linear = view.Histograms(f"effective_lr_values/{parameter}")  # type: ignore[attr-defined]
        logarithmic = view.Histograms(f"effective_lr_log10/{parameter}")  # type: ignore[attr-defined]
        for row, (event, log_event) in enumerate(zip(linear, logarithmic, strict=True)):
            counts = v["effective_lr_histogram"][row, i]
            (filled,) = counts.nonzero()
            bins = slice(filled[0], filled[-1] + 1)
            histogram = event.histogram_value
            assert histogram.bucket == list(counts[bins])
            assert histogram.bucket_limit == list(v["bin_edges"][1:][bins])
            assert (histogram.min, histogram.max) == (v["effective_lr"][row, i, 0], v["effective_lr"][row, i, -1])
            assert histogram.num == counts.sum()
            assert histogram.sum == pytest.approx(v["effective_lr_mean"][row, i] * counts.sum(), rel=1e-12)
            assert log_event.histogram_value.bucket == histogram.bucket
            assert log_event.histogram_value.bucket_limit == list(np.log10(v["bin_edges"][1:])[bins])


def test_histograms_reach_the_dashboard_whole(tmp_path: Path, run: Analyses) -> None:
    """What TensorBoard shows lies between the smallest and the largest E, in bins that touch, all elements counted."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    (file,) = export(run, "tensorboard", tmp_path, figures=["all"]).files
    v = run.optimizers["Adam"].variables
    events = [event for event in EventFileLoader(str(file)).Load() if event.summary.value]
    assert len(events) == len(run)
    for row, event in enumerate(events):
        shown = {value.tag: tensor_util.make_ndarray(value.tensor) for value in event.summary.value}
        for i, parameter in enumerate(v["parameter"]):
            bins = shown[f"effective_lr_values/{parameter}"]
            assert bins[0, 0] == np.float32(v["effective_lr"][row, i, 0])
            assert bins[-1, 1] == np.float32(v["effective_lr"][row, i, -1])
            assert (bins[1:, 0] == bins[:-1, 1]).all()
            assert bins[:, 2].sum() == v["effective_lr_histogram"][row, i].sum()


def test_charts_say_what_they_show(tmp_path: Path, run: Analyses) -> None:
    """The first value of a tag has a description."""
    (file,) = export(run, "tensorboard", tmp_path).files
    metadata = accumulated(file).SummaryMetadata("effective_lr_median/head/bias")  # type: ignore[attr-defined]
    assert metadata.plugin_data.plugin_name == "scalars"
    assert metadata.summary_description == (
        "Median of the effective learning rate E over touched elements (v > 0), from the optimizer's state in the "
        "checkpoint. Horizontal axis: steps of the optimizer."
    )


def test_few_figures_are_exported_unless_others_are_asked_for(tmp_path: Path, run: Analyses) -> None:
    """Three for each parameter, the rate and the findings; names choose others."""

    def figures(folder: str, **asked: Any) -> set[str]:
        tags = accumulated(export(run, "tensorboard", tmp_path / folder, **asked).files[0]).Tags()  # type: ignore[attr-defined]
        return {tag.partition("/")[0] for kind in ("scalars", "histograms", "tensors") for tag in tags[kind]}

    assert figures("few") == {
        "learning_rate", "effective_lr_median", "effective_lr_log10", "update_to_weight", "findings",
    }  # fmt: skip
    assert figures("chosen", figures=["untouched", "effective-lr-q05"]) == {"untouched", "effective_lr_q05", "findings"}
    with pytest.raises(RequestError, match=r"^there is no figure 'loss': there are learning_rate, .*, and all$"):
        export(run, "tensorboard", tmp_path, figures=["loss"])
    with pytest.raises(RequestError, match=r"^csv is a table, with every figure and step: leave out figures and"):
        export(run, "csv", tmp_path / "t.csv", figures=["untouched"])


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")  # of TensorBoard's own copy
def test_tensorboard_shows_the_findings_as_text(tmp_path: Path, run: Analyses) -> None:
    """What its text page gets: the verdict, and each finding with what to do, at the newest checkpoint."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.text.text_plugin import text_array_to_html

    export(run, "tensorboard", tmp_path)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider, context = MultiplexerDataProvider(multiplexer, str(tmp_path)), RequestContext()
    of_text = {"experiment_id": "", "plugin_name": "text"}
    listed = provider.list_tensors(context, **of_text)
    assert {name: set(tags) for name, tags in listed.items()} == {"run/Adam": {"findings"}}
    (point,) = provider.read_tensors(context, **of_text, downsample=10)["run/Adam"]["findings"]
    assert point.step == run.optimizers["Adam"].variables["step"][-1]
    shown = text_array_to_html(point.numpy, enable_markdown=True)
    assert "Healthy: nothing in 3 checkpoints needs attention." in shown
    assert [finding.kind.title in shown for finding in run.findings] == [True] * len(run.findings) != []
    assert shown.count("<em>What to do:</em>") == len(run.findings)


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs", "rows"), [(10, [0, 1, 2], [0, 1, 2]), (15, [0, 1], [0, 2]), (7, [1, 2, 4], [0, 1, 2])]
)
def test_epochs_can_stand_on_the_axis(
    tmp_path: Path, run: Analyses, steps_per_epoch: int, epochs: list[int], rows: list[int]
) -> None:
    """Counted as Keras counts them: update n of n in each is the last of epoch 0; of each epoch the last checkpoint."""
    written = export(run, "tensorboard", tmp_path, steps_per_epoch=steps_per_epoch)
    view = accumulated(written.files[0])
    events = view.Scalars("effective_lr_median/head/bias")  # type: ignore[attr-defined]
    assert [e.step for e in events] == epochs
    assert [e.wall_time for e in events] == list(run.checkpoints["modified"][rows])
    metadata = view.SummaryMetadata("effective_lr_median/head/bias")  # type: ignore[attr-defined]
    assert metadata.summary_description.endswith(
        f"Horizontal axis: epochs of {steps_per_epoch} steps, counted from 0 as Keras' TensorBoard callback does."
    )
    assert [p.message for p in written.problems] == [
        "run: 1 checkpoint of optimizer Adam left out: a later one is of the same epoch"
    ] * (len(rows) < 3)


def test_relative_rates_have_tags_of_their_own(tmp_path: Path, relative: Analyses) -> None:
    """E/α is never in a chart of E, and what needs α is not there."""
    (file,) = export(relative, "tensorboard", tmp_path / "logs", figures=["all"]).files
    tags = accumulated(file).Tags()  # type: ignore[attr-defined]
    figures = {tag.partition("/")[0] for tag in tags["scalars"]}
    assert "relative_effective_lr_median" in figures
    assert not figures & {"effective_lr_median", "effective_lr_mean", "learning_rate", "update_to_weight"}
    assert {tag.partition("/")[0] for tag in tags["histograms"]} == {
        "relative_effective_lr_values", "relative_effective_lr_log10",
    }  # fmt: skip


@pytest.mark.parametrize(
    "steps, why", [([-1, 20, 30], "are not known in every checkpoint"), ([30, 20, 40], "do not rise throughout")]
)
def test_without_steps_checkpoints_stand_at_their_index(
    tmp_path: Path, run: Analyses, steps: list[int], why: str
) -> None:
    """And a remark says so."""
    written = export(with_columns(run, step=np.array(steps)), "tensorboard", tmp_path, figures=["all"])
    events = accumulated(written.files[0]).Scalars("untouched/head/bias")  # type: ignore[attr-defined]
    assert [e.step for e in events] == [0, 1, 2]
    (problem,) = written.problems
    assert problem.code == "steps-not-exported"
    assert problem.message == f"run: the steps of optimizer Adam {why}"


def test_exporting_again_replaces_the_events(tmp_path: Path, run: Analyses) -> None:
    """One file a run, the same bytes for the same run, also where the first checkpoint's date has changed."""
    (file,) = export(run, "tensorboard", tmp_path / "logs").files
    before = file.read_bytes()
    assert export(run, "tensorboard", tmp_path / "logs").files == (file,)
    assert file.read_bytes() == before
    run.checkpoints["modified"][0] += 10
    (later,) = export(run, "tensorboard", tmp_path / "logs").files
    assert list(file.parent.iterdir()) == [later]


def test_log_folders_of_a_training_can_be_shared(tmp_path: Path, run: Analyses) -> None:
    """Other runs in the log folder are left alone; a run's folder with other events is refused."""
    own = tmp_path / "logs" / "train" / "events.out.tfevents.1.host"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    (file,) = export(run, "tensorboard", tmp_path / "logs").files
    foreign = file.parent / "events.out.tfevents.1.host"
    foreign.write_bytes(b"")
    with pytest.raises(StoreError, match="holds event files of another program"):
        export(run, "tensorboard", tmp_path / "logs")
    assert own.exists()
    assert foreign.exists()


def test_names_out_of_files_stay_below_the_log_folder(tmp_path: Path, run: Analyses) -> None:
    """A run or optimizer of a hostile name is a folder like any other."""
    optimizers = dict.fromkeys(("../../up", "a/b", "..", "A.B"), run.optimizers["Adam"])
    hostile = dataclasses.replace(run, run="../../../etc", optimizers=optimizers)
    logs = tmp_path / "logs"
    files = export(hostile, "tensorboard", logs).files
    assert [file.parent.relative_to(logs).parts for file in files] == [
        ("_.._.._etc", "up"), ("_.._.._etc", "a.b"), ("_.._.._etc", "optimizer"), ("_.._.._etc", "A.B-2"),
    ]  # fmt: skip


def test_a_rate_of_zero_and_infinite_rates_can_be_exported(tmp_path: Path, run: Analyses) -> None:
    """No logarithm of nothing, no infinite edge."""
    v = run.optimizers["Adam"].variables
    zero = with_columns(run, effective_lr=np.zeros_like(v["effective_lr"]))
    (file,) = export(zero, "tensorboard", tmp_path / "zero", figures=["all"]).files
    tags = accumulated(file).Tags()["histograms"]  # type: ignore[attr-defined]
    assert {tag.partition("/")[0] for tag in tags} == {"effective_lr_values"}
    quantiles = v["effective_lr"].copy()
    quantiles[..., -1] = np.inf
    (file,) = export(
        with_columns(run, effective_lr=quantiles), "tensorboard", tmp_path / "infinite", figures=["all"]
    ).files
    (event, *_) = accumulated(file).Histograms("effective_lr_log10/head/bias")  # type: ignore[attr-defined]
    assert np.isfinite(event.histogram_value.max)


def test_long_runs_are_exported_whole(tmp_path: Path, run: Analyses) -> None:
    """A thousand checkpoints are a thousand points of every chart."""
    (file,) = export(lengthened(run, 1000), "tensorboard", tmp_path, selection=Selection(("head/bias",))).files
    events = accumulated(file).Scalars("effective_lr_median/head/bias")  # type: ignore[attr-defined]
    assert [e.step for e in events] == list(range(1, 1001))


# --- what can't be done


def test_unknown_targets_and_kinds_are_named(tmp_path: Path, run: Analyses) -> None:
    """One sentence that lists what there is."""
    with pytest.raises(RequestError, match=r"^nothing is exported to 'excel': there are csv, parquet, tensorboard$"):
        export(run, "excel", tmp_path / "t")
    with pytest.raises(RequestError, match=r"^there is no frame of kind 'none': there are parameters, "):
        export(run, "csv", tmp_path / "t", frame="none")
    with pytest.raises(RequestError, match=r"^tensorboard is not a table: a kind of frame \(sample\) can't be chosen"):
        export(run, "tensorboard", tmp_path / "t", frame="sample")
    with pytest.raises(RequestError, match=r"^there is nothing to export: no run was given$"):
        export([], "csv", tmp_path / "t")


@pytest.mark.parametrize("target", [target.name for target in TARGETS])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, run: Analyses, target: str) -> None:
    """A file stands where a folder would have to be."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"(there is no folder|can't be made)"):
        export(run, target, tmp_path / "file" / "t")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_table_is_no_folder(tmp_path: Path, run: Analyses) -> None:
    """The sentence says to name a file."""
    with pytest.raises(StoreError) as error:
        export(run, "csv", tmp_path)
    assert str(error.value) == f"{tmp_path}: is a folder; name a file to write"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, run: Analyses) -> None:
    """With the system's reason."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        export(run, "csv", tmp_path / "t.csv")


def test_no_target_needs_tensorflow_or_tensorboard(tmp_path: Path) -> None:
    """Not even the one that writes TensorBoard's files imports either."""
    package = Path(__file__).parents[3] / "ckpt_inspect" / "presentation" / "export"
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
        for file in package.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert not {name for name in imported if name.partition(".")[0] in ("tensorflow", "tensorboard", "keras")}


# --- the command


@pytest.fixture
def store(tmp_path: Path, run: Analyses) -> Path:
    """The run's store."""
    save(run, tmp_path / "run.h5")
    return tmp_path / "run.h5"


def answer(*arguments: object) -> Any:
    """What the command says."""
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_names_the_files(tmp_path: Path, store: Path) -> None:
    """A line each on stdout, or one JSON document."""
    result = answer(store, "--to", "csv", "-o", tmp_path / "t.csv", "--include", "head/*")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{tmp_path / 't.csv'}\n", "")
    assert set(pd.read_csv(tmp_path / "t.csv")["parameter"]) == {"head/kernel", "head/bias"}
    result = answer(store, "--to", "csv", "-o", tmp_path / "h.csv", "--frame", "histogram", "--json")
    assert json.loads(result.stdout) == {"files": [str(tmp_path / "h.csv")]}


def test_the_command_exports_for_another_rate(tmp_path: Path, store: Path, run: Analyses) -> None:
    """Effective learning rates as they would be."""
    answer(store, "--to", "csv", "-o", tmp_path / "t.csv", "--learning-rate", "0.1")
    medians = pd.read_csv(tmp_path / "t.csv")["effective_lr_median"]
    assert list(medians) == pytest.approx(list(10 * run.to_frame()["effective_lr_median"]), rel=1e-6)


def test_without_a_path_the_target_names_it(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current directory."""
    monkeypatch.chdir(tmp_path)
    assert answer(store, "--to", "csv", "--frame", "sample").stdout == "sample.csv\n"
    assert answer(store, "--to", "tensorboard").stdout.startswith("tensorboard/run/Adam/events.out.tfevents.")


def test_what_the_command_cannot_do_is_one_sentence(tmp_path: Path, store: Path) -> None:
    """On stderr, with exit status 1; 2 for a command line that can't be meant."""
    result = answer(store, "--to", "excel")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "ckpt-inspect: nothing is exported to 'excel': there are csv, parquet, tensorboard\n"
    assert answer(tmp_path / "none.h5", "--to", "csv").exit_code == 1
    assert answer(store).exit_code == 2
    assert answer(store, "--to", "csv", "--beta-1", "0.5").exit_code == 2


def test_no_cell_of_a_csv_is_a_formula_or_holds_control_characters() -> None:
    """Numbers stay numbers, and innocent names as they are."""
    assert _cell("=1+1") == "'=1+1"
    assert _cell("@SUM(1)") == "'@SUM(1)"
    assert _cell("\x1b[31m") == "\\x1b[31m"
    for text in (" =1", '"=1', "'=1", "＝1", "＋1", "－1", "＠A1", "﹦1"):
        assert _cell(text) == f"'{text}"
    assert [_cell(text) for text in ("\t=1", "\r=1", "\xa0=1")] == ["\\t=1", "\\r=1", "\\xa0=1"]
    assert _cell("a; =1") == "a;' =1"
    assert [_line(v) for v in ("a\nb", "\n=1", 3)] == ["a\\nb", "\\n=1", 3]
    assert [_cell(v) for v in ("-1.5", "dense/kernel", "a\nb", 3)] == ["-1.5", "dense/kernel", "a\nb", 3]
