"""Each figure's answer, in a sentence or two: its second line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.measurement.wording import percent, whole
from ckpt_inspect.presentation.figures import questions
from ckpt_inspect.presentation.figures.chapter import Chapter
from ckpt_inspect.presentation.figures.names import shorten
from ckpt_inspect.presentation.figures.questions import LEAST_SHARE, SHARE_LABELS, UPDATE_TO_WEIGHT, Usual
from ckpt_inspect.presentation.figures.spread import NEWEST, decades, newest, positive, spread_words, where_known
from ckpt_inspect.presentation.figures.wording import number
from ckpt_inspect.presentation.optimizer_series import Floats


def answer_of(figure: str, chapter: Chapter) -> str:
    """Return the answer of the figure of that id, in words."""
    return _ANSWERS[figure](chapter)


def _words(chapter: Chapter, column: str) -> tuple[str, str]:
    """In words which checkpoints the newest values of a column are of, and what they are."""
    values = [run.column(column) for run in chapter.runs]
    return where_known(chapter, values), spread_words(chapter, values)


def _last_update(where: str) -> str:
    """Begin a sentence about the last update."""
    comma = "," if where.startswith("at ") else ""
    return "The newest update" if where == NEWEST else f"The last update {where}{comma}"


def _movement(chapter: Chapter) -> str:
    where, words = _words(chapter, "update_rms")
    return f"{_last_update(where)} moved an element by (RMS): {words}."


def _update_to_weight(chapter: Chapter) -> str:
    """How many of each kind are outside the usual band, and which."""
    usual = UPDATE_TO_WEIGHT.usual
    assert usual is not None
    where, words = _words(chapter, "update_to_weight")
    if len(chapter.runs) > 1:
        return f"{where.capitalize()}: {words}."
    ratios = newest(positive(chapter.runs[0].column("update_to_weight")))
    told, inside = [], []
    for kind, members in chapter.kinds().items():
        known = members[np.isfinite(ratios[members])]
        off = [*_outside(chapter, ratios, known, usual)]
        told += [f"{part} of {known.size} {kind.lower()} {text}" for part, text in off]
        inside += [] if off or not known.size else [f"{known.size} {kind.lower()}"]
    if not told:
        return f"All known ratios lie in the usual band {where}: {', '.join(inside)}." if inside else "Not known."
    rest = f" In the usual band: all {inside[0]}." if inside else ""
    return f"{_last_update(where)} changed {'; '.join(told)}.{rest}"


def _outside(chapter: Chapter, ratios: Floats, known: NDArray[np.intp], usual: Usual) -> Iterator[tuple[int, str]]:
    """How many of these parameters are above the usual band, and below it, and which."""
    for is_off, word in (
        (ratios[known] > usual.high, "by more than 0.01: too fast"),
        (ratios[known] < usual.low, "by less than 0.0001: hardly learning"),
    ):
        if is_off.any():
            off = known[is_off][np.argsort(-np.abs(np.log10(ratios[known[is_off]] / usual.line)), kind="stable")]
            named = zip(chapter.labels(off[:3]), ratios[off[:3]], strict=True)
            text = ", ".join(f"{label} {number(value)}" for label, value in named)
            yield off.size, f"{word} ({text}{', ..' if off.size > 3 else ''})"


def _effective_lr(chapter: Chapter) -> str:
    medians = [chapter.effective_lr(run, "effective_lr_median") for run in chapter.runs]
    return f"Medians of E/α, per unit of gradient, {where_known(chapter, medians)}: {spread_words(chapter, medians)}."


def _gradients(chapter: Chapter) -> str:
    where, words = _words(chapter, "window_gradient_rms")
    return f"{'In the newest window' if where == NEWEST else f'In the window that ends {where}'} (RMS): {words}."


def _path(chapter: Chapter) -> str:
    where, words = _words(chapter, "path_distance")
    comma = "" if where == NEWEST else ","
    text = f"{where[0].upper()}{where[1:]}{comma} an element is this far from its first value (RMS): {words}."
    return " ".join([text, *_fewer_followed(chapter)])


def _fewer_followed(chapter: Chapter) -> Iterator[str]:
    """Of how many elements the path is estimated, or from which checkpoint of a long run on of fewer, in words."""
    for run in chapter.runs:
        counts, sizes = run.column("path_elements"), run.column("size")
        falls = np.flatnonzero((counts[1:] < counts[:-1]).any(axis=1)) + 1
        if falls.size:
            first, last = (int(np.nanmax(counts[at])) for at in (falls[0] - 1, falls[0]))
            since = f"From {chapter.x_word} {whole(chapter.x(run)[falls[0]])} on"
            since += f" in {shorten(run.name, 30)}" if len(chapter.runs) > 1 else ""
            yield (
                f"{since} it is estimated from at most {whole(last)} elements of a parameter, before from up to "
                f"{whole(first)}: a kink, or rougher curves, there are no change of the training."
            )
        elif (is_part := counts < sizes).any():
            most, affected = whole(float(counts[is_part].max())), int(is_part.any(axis=0).sum())
            yield f"Of {affected} of {len(chapter.parameters)} parameters it is estimated from {most} elements at most."


def _shares(chapter: Chapter) -> str:
    """By share how many parameters it concerns, and the worst of them."""
    told, known = [], {}
    for column, label in SHARE_LABELS.items():
        of_runs = [run.column(column) for run in chapter.runs]
        if all(np.isnan(values).all() for values in of_runs):
            continue
        known[label] = of_runs
        values = np.stack([np.nan_to_num(newest(each)) for each in of_runs]).max(axis=0)
        if concerns := int((values >= LEAST_SHARE).sum()):
            word, worst = label.partition(" (")[0], int(values.argmax())
            name = shorten(chapter.names[worst], 40)
            told.append(f"{word}: {concerns} of {len(values)} parameters, most in {name} ({percent(values[worst])})")
    where = where_known(chapter, [np.concatenate(of_run, axis=1) for of_run in zip(*known.values(), strict=True)])
    text = f"{where[0].upper()}{where[1:]}: {'; '.join(told)}." if told else f"Nowhere {where}; earlier, some elements."
    unknown = ", ".join(label for label in SHARE_LABELS.values() if label not in known)
    return text + (f" Not known from this state: {unknown}." if unknown else "")


def _distributions(chapter: Chapter) -> str:
    """The parameters whose elements' rates differ most and least."""
    wide = decades(chapter)
    known = np.flatnonzero(np.isfinite(wide))
    if not known.size:
        return "Not known in any checkpoint."
    most, least = known[wide[known].argmax()], known[wide[known].argmin()]
    ends = [f"in {shorten(chapter.names[at], 40)} ({number(10 ** wide[at])}-fold)" for at in (most, least)]
    return f"E differs most {ends[0]}, least {ends[1]}, over the middle 90 % of a parameter's elements."


def _elements(chapter: Chapter) -> str:
    wide = decades(chapter)
    if not np.isfinite(wide).any():
        return "Not known in any checkpoint."
    text = number(float(10 ** np.nanmedian(wide)))
    return f"Within a parameter E differs {text}-fold over the middle 90 % of its elements (median of all parameters)."


_ANSWERS: Mapping[str, Callable[[Chapter], str]] = {
    questions.MOVEMENT.id: _movement,
    questions.UPDATE_TO_WEIGHT.id: _update_to_weight,
    questions.EFFECTIVE_LR.id: _effective_lr,
    questions.LAYERS_BY_STEP.id: _effective_lr,
    questions.GRADIENTS.id: _gradients,
    questions.PATH.id: _path,
    questions.SHARES.id: _shares,
    questions.DISTRIBUTIONS.id: _distributions,
    questions.ELEMENTS.id: _elements,
}
