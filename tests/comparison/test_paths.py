"""How the weights moved over a run, against numpy on the arrays themselves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.adam_runs import AdamRun, Array
from support.silent_runs import save_without_config

from ckpt_inspect import Analyses, analyze, load
from ckpt_inspect.comparison.paths import PathFigures, follow_paths

NAMES = ("window_displacement", "window_cosine", "path_distance", "path_straightness", "path_elements")


def figures(run: Analyses, name: str, parameter: str) -> list[float]:
    """Of one parameter over the run."""
    (optimizer,) = run.optimizers.values()
    place = list(optimizer.variables["parameter"]).index(parameter)
    return [float(x) for x in optimizer.variables[name][:, place]]


def expected(weights: list[Array], updates: list[int]) -> dict[str, list[float]]:
    """The same by numpy, from whole arrays."""
    arrays = [w.astype(np.float64).ravel() for w in weights]
    steps = [b - a for a, b in pairwise(arrays)]
    norms = [float(np.linalg.norm(step)) for step in steps]
    size, nan = arrays[0].size, [np.nan]
    far = [float(np.linalg.norm(a - arrays[0])) for a in arrays[1:]]
    cosines = [float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairwise(steps)]
    return {
        "window_displacement": nan + [n / size**0.5 / k for n, k in zip(norms, updates, strict=True)],
        "window_cosine": nan + nan + cosines,
        "path_distance": nan + [f / size**0.5 for f in far],
        "path_straightness": nan + nan + [f / sum(norms[: i + 1]) for i, f in enumerate(far)][1:],
        "path_elements": nan + [float(size)] * len(steps),
    }


def trained(folder: Path, steps: tuple[int, ...], shapes: dict[str, tuple[int, ...]]) -> dict[str, list[Array]]:
    """Save a run whose files leave epsilon open; return its weights at each save."""
    folder.mkdir(exist_ok=True)
    run, kept = AdamRun(shapes), {name: list[Array]() for name in shapes}
    for step in steps:
        save_without_config(run.train(step - run.step), folder / f"m-{step:04d}.h5")
        for name in shapes:
            kept[name].append(run.weights[name].copy())
    return kept


STEPS = (50, 60, 90, 91, 200)


def test_small_parameters_are_followed_whole(tmp_path: Path) -> None:
    """Where inference reads all elements, the figures are those of the whole arrays."""
    weights = trained(tmp_path, STEPS, {"first/kernel": (40, 30), "first/bias": (7,)})
    run = analyze(tmp_path)
    for parameter in weights:
        wanted = expected(weights[parameter], np.diff(STEPS).tolist())
        for name in NAMES:
            np.testing.assert_allclose(figures(run, name, parameter), wanted[name], rtol=1e-6, atol=1e-9)


def test_without_inference_they_are_estimates_and_say_so(tmp_path: Path) -> None:
    """By the 16 sampled elements; near the truth, and never more than straight."""
    weights = trained(tmp_path, STEPS, {"first/kernel": (40, 30), "first/bias": (7,)})
    run = analyze(tmp_path, infer=False)
    wanted = expected(weights["first/kernel"], np.diff(STEPS).tolist())
    assert figures(run, "path_elements", "first/kernel")[1:] == [16.0] * 4
    assert figures(run, "path_elements", "first/bias")[1:] == [7.0] * 4
    for name in ("window_displacement", "path_distance", "path_straightness"):
        np.testing.assert_allclose(figures(run, name, "first/kernel"), wanted[name], rtol=0.6)
    straight = figures(run, "path_straightness", "first/kernel")[2:]
    assert all(0 < s <= 1 for s in straight)


def test_they_stand_in_the_store_when_files_are_gone(tmp_path: Path) -> None:
    """Figures of all elements are kept; where the path leads over a file that is gone, the sampled ones go on."""
    weights = trained(tmp_path / "run", STEPS, {"first/kernel": (40, 30)})
    last = (tmp_path / "run" / "m-0200.h5").rename(tmp_path / "last.h5")
    analyze(tmp_path / "run", store=tmp_path / "s.h5")
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    last.rename(tmp_path / "run" / "m-0200.h5")
    analyze(tmp_path / "run", store=tmp_path / "s.h5")
    run = load(tmp_path / "s.h5")
    assert figures(run, "path_elements", "first/kernel")[1:] == [1200.0] * 3 + [16.0]
    wanted = expected(weights["first/kernel"], np.diff(STEPS).tolist())["path_straightness"]
    found = figures(run, "path_straightness", "first/kernel")
    np.testing.assert_allclose(found[:4], wanted[:4], rtol=1e-6)
    assert found[4] == pytest.approx(wanted[4], rel=0.6)


def followed(*weights: list[float], before: list[int | None] | None = None) -> list[PathFigures]:
    arrays = [np.array(w) for w in weights]
    origins = before or [None, *range(len(arrays) - 1)]
    return list(follow_paths(origins, lambda place: arrays[place], [len(arrays[0])]))


def test_a_line_is_straight_and_a_circle_is_not() -> None:
    """1, 0, and in between."""
    line = followed([0.0, 0.0], [1.0, 2.0], [1.5, 3.0], [4.0, 8.0])
    assert [p.straightness[0] for p in line[2:]] == pytest.approx([1, 1])
    assert [p.cosine[0] for p in line[2:]] == pytest.approx([1, 1])
    square = followed([0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0])
    assert [p.straightness[0] for p in square[2:]] == pytest.approx([2**0.5 / 2, 1 / 3, 0])
    assert square[4].cosine[0] == pytest.approx(0)
    assert square[3].from_first[0] == pytest.approx(0.5**0.5)


def test_two_runs_in_one_folder_have_their_own_paths() -> None:
    """Each goes on from its own last checkpoint."""
    found = followed([0.0], [9.0], [1.0], [8.0], [2.0], [9.0], before=[None, None, 0, 1, 2, 3])
    assert [p.straightness[0] for p in found[4:]] == pytest.approx([1, 0])
    assert np.isnan(found[1].displacement[0])


def test_what_is_not_finite_begins_anew() -> None:
    """No figure is made of it."""
    found = followed([0.0, 0.0], [np.nan, 1.0], [5.0, 5.0], [6.0, 6.0], [7.0, 7.0])
    assert [int(p.elements[0]) for p in found] == [0, 0, 1, 1, 1]
    assert [p.from_first[0] for p in found][2:] == pytest.approx([4, 5, 6])


def test_a_parameter_may_come_later() -> None:
    """Its path begins where it is first seen; one without elements has none."""
    arrays = [np.array([0.0, np.nan]), np.array([1.0, 4.0]), np.array([2.0, 7.0]), np.array([3.0, 8.0])]
    found = list(follow_paths([None, 0, 1, 2], lambda place: arrays[place], [1, 0, 1]))
    assert [p.elements.tolist() for p in found] == [[0, 0, 0], [1, 0, 0], [1, 0, 1], [1, 0, 1]]
    assert found[3].from_first.tolist()[::2] == [3, 4]
    assert np.isnan(found[3].from_first[1])


def test_what_was_set_back_begins_anew() -> None:
    """The jump is no step of its path."""
    arrays = [np.array([x]) for x in (0.0, 1.0, 50.0, 51.0, 52.0)]
    broken = [None, None, np.array([True]), None, None]
    found = list(follow_paths([None, 0, 1, 2, 3], lambda place: arrays[place], [1], broken))
    assert [int(p.elements[0]) for p in found] == [0, 1, 0, 1, 1]
    assert found[4].from_first[0] == 2
