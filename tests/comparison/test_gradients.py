"""How large a window's gradients were, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from support.adam_runs import SHAPES, AdamRun, Array
from support.silent_runs import save_without_config, silent_rows

from ckpt_inspect import Analyses, analyze, diff
from ckpt_inspect.comparison import gradients
from ckpt_inspect.comparison.gradients import plain_bounds
from ckpt_inspect.measurement.variables import ALONG_CHECKPOINTS, PATHS


class Logged:
    """Gradients of a size that changes over the run, and their squares as a training would have logged them."""

    def __init__(self, size: Callable[[int], float]) -> None:
        self.size, self.squares = size, dict[str, list[float]]()

    def __call__(self, name: str, weight: Array, rng: np.random.Generator) -> Array:
        log = self.squares.setdefault(name, [])
        g = (rng.normal(size=weight.shape) * self.size(len(log))).astype(np.float32)
        log.append(float(np.mean(np.square(g, dtype=np.float64))))
        return g

    def rms(self, name: str, start: int, stop: int, beta_2: float = 1.0) -> float:
        """Of the updates after `start` up to `stop`; weighted as v weights them."""
        squares = np.array(self.squares[name][start:stop])
        weights = beta_2 ** np.arange(len(squares))[::-1]
        return float(np.sqrt((squares * weights).sum() / weights.sum()))


def trained(folder: Path, steps: tuple[int, ...], size: Callable[[int], float], dtype: str = "float32") -> Logged:
    run, logged = AdamRun(dtype=dtype), Logged(size)
    for step in steps:
        run.train(step - run.step, logged).save(folder / f"m-{step:05d}.h5")
    return logged


def figures(run: Analyses, name: str) -> dict[str, list[float]]:
    """By parameter, over the run."""
    (optimizer,) = run.optimizers.values()
    return dict(zip(optimizer.variables["parameter"], optimizer.variables[name].T.tolist(), strict=True))


STEPS = (100, 101, 110, 200, 700, 3000)


@pytest.mark.parametrize("size", [lambda t: 0.1, lambda t: 0.3 / (1 + t / 50), lambda t: 1e-3 * (1 + t)])
def test_it_is_that_of_the_logged_gradients(tmp_path: Path, size: Callable[[int], float]) -> None:
    """Weighted to a thousandth in windows of 1 to 2,300 updates; and the plain one lies within the bounds."""
    logged = trained(tmp_path, STEPS, size)
    run = analyze(tmp_path)
    rms, low, high = (figures(run, f"window_gradient_rms{name}") for name in ("", "_low", "_high"))
    for name in SHAPES:
        assert np.isnan(rms[name][0])
        for row in range(1, len(STEPS)):
            start, stop = STEPS[row - 1 : row + 1]
            assert rms[name][row] == pytest.approx(logged.rms(name, start, stop, 0.999), rel=1e-3)
            assert low[name][row] <= logged.rms(name, start, stop) <= high[name][row]
    assert high["first/kernel"][2] / low["first/kernel"][2] < 1.01
    assert high["first/kernel"][5] / low["first/kernel"][5] > 3


def test_nothing_is_said_across_a_reset_or_between_two_runs(tmp_path: Path) -> None:
    """Second moments that fell faster than they can have no gradients between them."""
    run = AdamRun()
    run.train(200).save(tmp_path / "m-200.h5")
    run.forget().step = 200
    run.train(50).save(tmp_path / "m-250.h5")
    assert np.isnan(list(figures(analyze(tmp_path), "window_gradient_rms").values())).all()


def test_half_precision_tells_nothing(tmp_path: Path) -> None:
    """Its rounding hides the decay."""
    trained(tmp_path, (50, 100), lambda t: 1.0, "float16")
    assert np.isnan(list(figures(analyze(tmp_path), "window_gradient_rms").values())).all()


@pytest.mark.parametrize(("keras", "is_told"), [("3.3.3", False), ("3.5.0", True)])
def test_counted_gradients_are_no_updates(tmp_path: Path, keras: str, is_told: bool) -> None:
    """Before 3.5 Keras' step counts accumulated gradients, four to an update: without a comparison of the moments
    nothing is said; since then it counts updates, and the figures are those of the logged gradients."""
    run, logged = AdamRun(gradient_accumulation_steps=4), Logged(lambda t: 0.1)
    for updates in (50, 100):
        run.train(updates - run.step, logged)
        run.step *= 4
        run.save(tmp_path / f"m-{updates:05d}.h5", keras=keras)
        run.step //= 4
    rms = figures(analyze(tmp_path, infer=False), "window_gradient_rms")
    for name in SHAPES:
        expected = logged.rms(name, 50, 100, 0.999) if is_told else np.nan
        assert rms[name][1] == pytest.approx(expected, rel=1e-3, nan_ok=True)


def test_displacement_is_that_of_the_weights(tmp_path: Path) -> None:
    """Per update, and about that of all elements; where they go to and fro, less than the updates."""
    run = AdamRun()
    before = {n: w.copy() for n, w in run.train(100).weights.items()}
    run.save(tmp_path / "m-100.h5")
    run.train(400).save(tmp_path / "m-500.h5")
    found = analyze(tmp_path)
    displacement, update = (figures(found, name) for name in ("window_displacement", "update_rms"))
    for name in ("first/kernel", "second/kernel", "third/kernel"):
        whole = float(np.sqrt(np.mean((run.weights[name] - before[name]) ** 2))) / 400
        assert displacement[name][1] == pytest.approx(whole, rel=0.6)
        assert displacement[name][1] < update[name][1]


def test_bounds_widen_with_the_window() -> None:
    """One update has none; then the oldest gradient counts less and less."""
    assert plain_bounds(0.999, 1) == pytest.approx((1, 1), rel=1e-4)
    widths = [high / low for low, high in (plain_bounds(0.999, k) for k in (1, 10, 100, 1000))]
    assert widths == sorted(widths)
    assert widths[-1] == pytest.approx(0.999 ** (-999 / 2), rel=1e-3)
    assert np.isnan(plain_bounds(0.9, 10_000)[1])


# --- a run that grows


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Analyses:
    """Thirty checkpoints; in the middle the state is lost."""
    folder, run = tmp_path_factory.mktemp("grown"), AdamRun()
    for number in range(1, 31):
        if number == 15:
            run.forget().step = 10 * number
        run.train(10).save(folder / f"m-{number:02d}.h5")
    return analyze(folder)


def first_rows(run: Analyses, count: int, before: Mapping[str, Array]) -> dict[str, Array]:
    """The columns of the first checkpoints, with figures of paths as an earlier store has them."""
    (optimizer,) = run.optimizers.values()
    columns = {n: c[:count].copy() if n in ALONG_CHECKPOINTS else c for n, c in optimizer.variables.items()}
    for name in PATHS:
        columns[name][:] = np.nan
        kept = before.get(name, columns[name][:0])[:count]
        columns[name][: len(kept)] = kept
    return columns


def test_what_is_known_is_not_computed_again(grown: Analyses, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is what it would be."""
    computed: list[int] = []
    real = gradients._gradients
    monkeypatch.setattr(gradients, "_gradients", lambda *given: (computed.extend(given[1].rows), real(*given))[1])
    known, found = gradients.KnownWindows(), dict[str, Array]()
    for count in (2, 3, 13, 14, 15, 16, 29, 30):
        columns, fingerprints = first_rows(grown, count, found), grown.checkpoints["fingerprint"][:count]
        anew = gradients.window_columns(columns, fingerprints)
        computed.clear()
        before = len(found.get("path_distance", ()))
        found = gradients.window_columns(columns, fingerprints, known)
        assert set(computed) <= set(range(before, count))
        for name, column in anew.items():
            np.testing.assert_array_equal(found[name], column, err_msg=name)


@pytest.mark.parametrize("row", [28, 20, 3])
@pytest.mark.parametrize("what", ["fingerprint", "beta_2", "window_updates", "path_elements"])
def test_what_changed_is_computed_again(grown: Analyses, row: int, what: str) -> None:
    """With all that follows from it."""
    known = gradients.KnownWindows()
    found = gradients.window_columns(first_rows(grown, 30, {}), grown.checkpoints["fingerprint"], known)
    columns, fingerprints = first_rows(grown, 30, found), grown.checkpoints["fingerprint"].copy()
    if what == "fingerprint":
        fingerprints[row] = "another"
        columns["value_sample"][row] += 1
        columns["second_moment_mean"][row] *= 1.5
    else:
        columns[what][row] = {"beta_2": 0.9995, "window_updates": 3, "path_elements": 1e6}[what]
        if what == "window_updates":
            columns["window_from"][row] = fingerprints[row - 2]
    anew = gradients.window_columns(columns, fingerprints)
    for name, column in gradients.window_columns(columns, fingerprints, known).items():
        np.testing.assert_array_equal(column, anew[name], err_msg=name)


def test_a_tensor_that_was_frozen_tells_nothing(tmp_path: Path) -> None:
    """Its moments stay the same, bit for bit, while those of others decay; in the windows beside that one it may have
    been frozen, or set free, in the middle. `diff` gives none either."""
    run, logged = AdamRun(), Logged(lambda t: 0.1)
    paths = []
    for step, (start, stop) in zip(
        (100, 150, 200, 250, 300), ((0, 0), (130, 150), (150, 200), (200, 220), (0, 0)), strict=True
    ):
        while run.step < step:
            held = [m["first/kernel"].copy() for m in (run.first, run.second)] if start <= run.step < stop else None
            run.train(1, logged)
            if held is not None:
                run.first["first/kernel"], run.second["first/kernel"] = held
        paths.append(run.save(tmp_path / f"m-{step}.h5"))
    rms = figures(analyze(tmp_path), "window_gradient_rms")
    assert np.isnan(rms["first/kernel"][:4]).all()
    assert rms["first/kernel"][4] == pytest.approx(logged.rms("first/kernel", 250, 300, 0.999), rel=1e-3)
    assert rms["second/kernel"][1:] == pytest.approx(
        [logged.rms("second/kernel", stop - 50, stop, 0.999) for stop in (150, 200, 250, 300)], rel=1e-3
    )
    changes = {p.parameter: p for p in diff(paths[1], paths[2]).parameters}
    assert np.isnan([changes["first/kernel"].gradient_rms, changes["first/kernel"].starved]).all()
    assert changes["second/kernel"].starved == 0


def test_a_beta_that_changed_in_the_window_tells_nothing(tmp_path: Path) -> None:
    """Neither file's β2 is that of all of its updates; the windows before and after are as they were."""
    run, logged = AdamRun(beta_2=0.99), Logged(lambda t: 0.1)
    paths = []
    for step in (100, 150, 200, 250):
        run.train((step - run.step) // 2, logged)
        if step == 200:
            run.config["beta_2"] = 0.999
        paths.append(run.train(step - run.step, logged).save(tmp_path / f"m-{step}.h5"))
    rms = figures(analyze(tmp_path), "window_gradient_rms")["first/kernel"]
    assert np.isnan([rms[0], rms[2]]).all()
    assert rms[1] == pytest.approx(logged.rms("first/kernel", 100, 150, 0.99), rel=1e-3)
    assert rms[3] == pytest.approx(logged.rms("first/kernel", 200, 250, 0.999), rel=1e-3)
    assert all(np.isnan(p.gradient_rms) for p in diff(paths[1], paths[2]).parameters)


def test_an_assumed_beta_that_one_tensor_contradicts_tells_nothing_of_others(tmp_path: Path) -> None:
    """Whether β2 was smaller, or the state was lost, is not known: then the others' figures would rest on either."""
    run = AdamRun(beta_2=0.99)
    run.train(100, lambda n, w, rng: rng.normal(size=w.shape) * 0.1)
    save_without_config(run, tmp_path / "m-100.h5")
    run.train(60, lambda n, w, rng: rng.normal(size=w.shape) * (1e-4 if n == "third/bias" else 1.0))
    save_without_config(run, tmp_path / "m-160.h5")
    assert np.isnan(list(figures(analyze(tmp_path, infer=False), "window_gradient_rms").values())).all()


def test_gradients_that_vanish_in_rounding_are_not_called_none(tmp_path: Path) -> None:
    """After a huge gradient the squares of ordinary ones don't show in v, while m shows that they came."""
    run, logged = AdamRun(beta_2=0.99), Logged(lambda t: 1e5 if t == 4 else 1e-3)
    run.train(300, logged).save(tmp_path / "m-300.h5")
    run.train(100, logged).save(tmp_path / "m-400.h5")
    run.train(100, lambda n, w, rng: np.zeros(w.shape)).save(tmp_path / "m-500.h5")
    found = analyze(tmp_path)
    rms, high = (figures(found, f"window_gradient_rms{end}")["first/bias"] for end in ("", "_high"))
    assert np.isnan(rms[1]) and high[1] >= logged.rms("first/bias", 300, 400)
    assert rms[2] == 0


def test_squares_of_parts_bound_no_gradient(tmp_path: Path) -> None:
    """Keras 3 squares the parts of a repeated row one by one: what may be an embedding has no bounds."""
    run = AdamRun({"embedding/embeddings": (20, 4), "dense/kernel": (4, 8)})

    def halves(name: str, weight: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        g = rng.normal(size=weight.shape)
        return (g, g * g / 2) if name.startswith("embedding") else (g, g * g)

    for step in (50, 100):
        run.train(step - run.step, halves).save(tmp_path / f"m-{step}.h5", keras="3.5.0")
    found = analyze(tmp_path)
    for end in ("_low", "_high"):
        bounds = figures(found, f"window_gradient_rms{end}")
        assert np.isnan(bounds["embedding/embeddings"][1]) and np.isfinite(bounds["dense/kernel"][1])


def test_an_assumed_beta_that_is_refuted_elsewhere_in_the_run_tells_nothing(tmp_path: Path) -> None:
    """Only the last window contradicts 0.999: it is no better known before that."""
    run = AdamRun(beta_2=0.99)
    for step, size in ((100, 0.1), (120, 0.2), (220, 0.03)):
        run.train(step - run.step, lambda n, w, rng, size=size: rng.normal(size=w.shape) * size)
        save_without_config(run, tmp_path / f"m-{step}.h5")
    found = analyze(tmp_path)
    (optimizer,) = found.optimizers.values()
    assert [bool(text) for text in optimizer.variables["beta_2_contradiction"]] == [False, False, True]
    assert np.isnan(list(figures(found, "window_gradient_rms").values())).all()


def test_an_assumed_beta_that_others_of_the_run_tell_otherwise_tells_nothing(tmp_path: Path) -> None:
    """The last window shows 0.99, and speaks for no checkpoint before it; 0.999 is assumed there all the same."""
    run = AdamRun({"emb/kernel": (60, 8), "dense/kernel": (8, 30)}, beta_2=0.99)
    for step, share in ((100, 0.0), (120, 0.0), (220, 0.4)):
        run.train(step - run.step, silent_rows(share, 1))
        save_without_config(run, tmp_path / f"m-{step}.h5")
    found = analyze(tmp_path)
    (optimizer,) = found.optimizers.values()
    assert optimizer.variables["beta_2_source"].tolist() == ["default", "default", "inferred"]
    rms = figures(found, "window_gradient_rms")["dense/kernel"]
    assert np.isnan(rms[1]) and rms[2] > 0
