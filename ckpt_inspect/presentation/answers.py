"""What people ask of a run, each question answered in a word and a sentence: from its figures and findings alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ckpt_inspect.comparison.segments import Segment
from ckpt_inspect.findings.finding import Finding, Severity
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import counted, figure, percent, setting, spoken_name, whole
from ckpt_inspect.presentation.optimizer_series import Floats, OptimizerSeries, breaks, floats, known
from ckpt_inspect.presentation.tables.wording import has_changed, ratio_text, span_text
from ckpt_inspect.presentation.verdict import Value, pace, since, trust
from ckpt_inspect.records import dataclass

Tone = Literal["good", "look", "trouble", "unknown"]
SLOW, FAST = 1e-4, 1e-2
"""‖Δ‖/‖θ‖ of a weight matrix outside of which it is worth a word."""
_DAMAGE = ("nonfinite-state", "negative-second-moment", "moment-bound-violated", "impossible-value")
_MOST_TOLD = 2
"""How many findings an answer quotes in full."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what the checkpoints say to it."""

    question: str
    word: str
    """The answer as short as it can be: `Yes`, `No`, `Can't tell`."""
    text: str
    """The figures behind it, in sentences."""
    tone: Tone
    metrics: tuple[str, ...] = ()
    """The variables that show it: figures of them are where to look."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A run, as questions see it."""

    checkpoints: tuple[str, ...]
    """Names, in training order."""
    series: tuple[OptimizerSeries, ...]
    findings: tuple[Finding, ...]
    segments: tuple[Segment, ...] = ()

    def found(self, *ids: str) -> list[Finding]:
        """Return the findings of these kinds, the most severe first."""
        return sorted((f for f in self.findings if f.id in ids), key=lambda f: -f.severity)

    def of(self, optimizer: str) -> str:
        """Return what begins a sentence about one of several optimizers; empty if there is one."""
        return f"{spoken_name(optimizer)[0].upper()}{spoken_name(optimizer)[1:]}: " if len(self.series) > 1 else ""

    @cached_property
    def values(self) -> dict[str, dict[str, Value]]:
        """Return by optimizer its hyperparameters: the newest value, its source, and whether any is contradicted."""
        return {s.optimizer: hyperparameter_values(s) for s in self.series}

    @property
    def breaks(self) -> list[Segment]:
        """Return the segments that don't go on with the training of the one before."""
        return breaks(self.segments)

    @property
    def is_contradicted(self) -> bool:
        """Return whether the run's own checkpoints refute a value that its figures rest on."""
        return any(wrong for of in self.values.values() for _, _, wrong in of.values())


def answers(asked: Asked) -> tuple[Answer, ...]:
    """Return the answers, in the order in which people ask; none of a run without an optimizer's figures."""
    if not asked.series:
        return ()
    return tuple(answer(asked) for answer in (_learning, _speed, _layers, _resume, _epsilon, _dead, _changed, _trust))


def hyperparameter_values(s: OptimizerSeries) -> dict[str, Value]:
    """Return the newest value, the source, and whether others contradict it, of every hyperparameter by its name."""
    found = {}
    for name in s.hyperparameters:
        sources = s.distinct(f"{name}_source")
        is_without = sources == ["default"] and not floats(s.heads[name]).any()  # a rule has none: nothing is assumed
        if sources and not is_without:
            value = float(floats(s.heads[name])[-1])
            text = "unknown" if np.isnan(value) else setting(value)
            found[name] = (text, sources[-1], any(s.distinct(f"{name}{CONTRADICTION}")))
    return found


def update_ratios(s: OptimizerSeries) -> dict[str, float]:
    """Return the newest checkpoint's ‖Δ‖/‖θ‖ by parameter: of those with two axes or more, if there are any, since the
    ratio of a bias, which begins at zero, says little."""
    ratios = s.newest_values("update_to_weight")
    return {s.parameters[at]: float(ratios[at]) for at in _matrices(s)}


def _is_there(s: OptimizerSeries) -> NDArray[np.bool_]:
    """(P,) whether the newest checkpoint has the parameter: a layer that was frozen is gone from the optimizer."""
    is_there: NDArray[np.bool_] = s.row[s.newest] == len(s.heads) - 1
    return is_there


def _last_values(s: OptimizerSeries, name: str) -> Floats:
    """(P,) values of a column in the newest checkpoint; NaN of parameters that it lacks."""
    return np.where(_is_there(s), s.newest_values(name), np.nan)


def _matrices(s: OptimizerSeries) -> NDArray[np.intp]:
    is_there = _is_there(s)
    is_matrix = is_there & np.array(["," in shape for shape in s.newest_texts("shape")], bool)
    return np.flatnonzero(is_matrix if is_matrix.any() else is_there)


def _learning(asked: Asked) -> Answer:
    question, metrics = "Is it learning?", ("update_rms", "path_distance")
    if broken := asked.found("nonfinite-state"):
        return Answer(question, "No", _told(broken), "trouble", metrics)
    if inert := asked.found("inert-state"):
        is_all = sum(len(set(f.parameters)) for f in inert) >= sum(len(s.parameters) for s in asked.series)
        return Answer(question, "No" if is_all else "Partly", _told(inert), "trouble", metrics)
    updates = np.concatenate([_last_values(s, "update_rms") for s in asked.series])
    is_known = np.isfinite(updates)
    updates, moved = updates[is_known], list(_moved(asked))
    if updates.size and not updates.any():
        return Answer(question, "No", "The last update was 0 in every tensor.", "look", metrics)
    if not moved and not updates.size:
        text = "How far the weights move is not known from these files."
        return Answer(question, "Can't tell", f"{text} {_NO_LOSS}", "unknown", metrics)
    word = "Its weights move"
    tone: Tone = "good"
    if updates.size:
        lost = np.concatenate([s.newest_values("lost_in_rounding") for s in asked.series])[is_known]
        count = int(((updates > 0) & ~(lost >= 1)).sum())
        moved.append(f"The last update changed {count} of {counted(updates.size, 'tensor')}.")
        if count < updates.size:
            word, tone = "Partly", "look"
        elif (ratios := _known_ratios(asked)).size and ratios.max() < SLOW:
            word, tone = "Hardly", "look"
            moved.append(f"It changed no weight matrix by more than {figure(100 * ratios.max(), 2)} % of its norm.")
    return Answer(question, word, f"{' '.join(moved)} {_NO_LOSS}", tone, metrics)


_NO_LOSS = "Checkpoints don't say whether the loss falls."


def _moved(asked: Asked) -> Iterator[str]:
    for s in asked.series:
        at = _matrices(s)
        distances = s.values_of_line("path_distance", asked.segments)[:, at]
        begun = np.flatnonzero(~np.isfinite(distances).any(axis=1)).tolist()
        first = begun[-1] if begun else 0
        when = asked.checkpoints[int(s.indices[first])] if begun else "the first checkpoint"
        with np.errstate(divide="ignore", invalid="ignore"):
            share = distances[-1] / s.values("weight_rms")[first, at]
        own = share[np.isfinite(share)]
        if own.size and own.any():
            estimate = _estimate(s, at, "it" if own.size == 1 else "each")
            middle = float(f"{float(np.median(own)):.{1 if estimate else 2}g}")
            far = f"about {figure(middle, 2)} times" if middle >= _TIMES else f"about {percent(middle)} of"
            its = "its" if own.size == 1 else "their"
            how = "" if own.size == 1 else " (median)"
            told = f"{_tensors(own.size, s, at)} moved by {far} {its} norm since {when}{how}."
            yield asked.of(s.optimizer) + " ".join(filter(None, [told, estimate]))


def _estimate(s: OptimizerSeries, at: NDArray[np.intp], who: str) -> str:
    """How roughly it is known how far the weights moved, in a sentence; empty if that is known well."""
    counts, sizes = s.newest_values("path_elements")[at], s.newest_values("size")[at]
    if ((counts >= sizes) | (counts >= _ENOUGH)).all():
        return ""
    some = "some" if np.isnan(counts).all() else whole(np.nanmin(counts))
    return f"That is a rough estimate from {some} elements of {who}, mostly within a factor of 2."


_ENOUGH = 256
"""Elements of a tensor from which on a distance is reported without doubt. Of 16, measured on seven small runs, nine
distances of ten are 0.5 to 1.7 times what they should be, and down to 0.1 times where few units are alive."""

_TIMES = 3
"""From here on how far weights moved is told as a multiple of their norm."""


def _tensors(count: int, s: OptimizerSeries, at: NDArray[np.intp]) -> str:
    shapes = s.newest_texts("shape")
    return (
        f"The {counted(count, 'weight matrix' if count == 1 else 'weight matrice')}"
        if all("," in shapes[i] for i in at)
        else f"The {counted(count, 'tensor')}"
    )


def _speed(asked: Asked) -> Answer:
    question, metrics = "Are its steps too large, or too small?", ("update_to_weight",)
    large, small = asked.found("updates-too-large"), asked.found("updates-too-small")
    jumped = asked.found("weights-jumped")
    if large or small:
        word = "Both" if large and small else _word_of_large(asked, large) if large else "Too small"
        return Answer(question, word, _told([*large, *small, *jumped], with_since=True), "look", metrics)
    text, ratios = " ".join(pace({s.optimizer: update_ratios(s) for s in asked.series})), _known_ratios(asked)
    if asked.is_contradicted:
        text = f"A value that this rests on is contradicted by the run's own checkpoints. {text}"
        return Answer(question, "Can't tell", text, "unknown", metrics)
    if not ratios.size:
        why = f"The size of the last update is not known{_for_want(asked)}."
        if asked.found("nonfinite-state"):
            why = " ".join([_NOT_FINITE, *_jumps(asked)])
        return Answer(question, "Can't tell", why, "unknown", metrics)
    if jumped:
        tone: Tone = "trouble" if jumped[0].severity == Severity.CRITICAL else "look"
        told = " ".join([_told(jumped), text, *_fast_vectors(asked)])
        return Answer(question, "They were too large", told, tone, metrics)
    if not ratios.any():
        return Answer(question, "They are 0", "The last update changed no weight matrix.", "look", metrics)
    if ratios.max() < SLOW:
        return Answer(question, "They are very small", text, "look", metrics)
    is_usual = bool(((ratios >= SLOW) & (ratios <= FAST)).all())
    text = " ".join([text, *_once_fast(asked)])
    return Answer(question, "No" if is_usual else "Mostly no", text, "good", metrics)


def _once_fast(asked: Asked) -> Iterator[str]:
    """When the last update of a weight matrix was large beside it, though the newest are not, in a sentence."""
    for s in asked.series:
        at = _matrices(s)
        ratios = s.values_of_line("update_to_weight", asked.segments)[:, at]
        rows = np.flatnonzero((ratios > FAST).any(axis=1))
        if rows.size and rows[-1] < len(ratios) - 1:
            last = int(rows[-1])
            name = s.parameters[int(at[int(np.nanargmax(ratios[last]))])]
            where = f"{asked.checkpoints[int(s.indices[last])]}{_step_text(s, last)}"
            yield f"{asked.of(s.optimizer)}Before, it was above {percent(FAST)}, last in {where}: {name}."


def _step_text(s: OptimizerSeries, place: int) -> str:
    return f" (step {whole(s.steps[place])})" if np.isfinite(s.steps[place]) else ""


def _word_of_large(asked: Asked, large: Sequence[Finding]) -> str:
    newest = asked.checkpoints[-1]
    return "Too large" if any(newest in f.checkpoints for f in large) else "Now and then too large"


def _fast_vectors(asked: Asked) -> Iterator[str]:
    """The tensors besides the weight matrices whose last update is large beside them, in a sentence."""
    for s in asked.series:
        ratios = _last_values(s, "update_to_weight")
        ratios[_matrices(s)] = np.nan
        if fast := [i for i in np.flatnonzero(ratios > FAST).tolist() if s.parameters[i] not in update_ratios(s)]:
            worst = max(fast, key=lambda i: float(ratios[i]))
            yield f"That of {s.parameters[worst]} is {percent(float(ratios[worst]))} of its norm."


def _known_ratios(asked: Asked) -> Floats:
    """‖Δ‖/‖θ‖ of the weight matrices of all optimizers, of which it is known."""
    ratios = np.array([ratio for s in asked.series for ratio in update_ratios(s).values()], float)
    found: Floats = ratios[np.isfinite(ratios)]
    return found


def _for_want(asked: Asked) -> str:
    has_no_rate = any(of.get("learning_rate", ("", "", False))[1] == "unknown" for of in asked.values.values())
    return ", because the learning rate is not: give it with --learning-rate" if has_no_rate else ""


def _is_of_the_run(f: Finding) -> bool:
    """Whether tensors are only the witnesses: of a β2 that is refuted, which is a finding of its own."""
    return f.id == "lineage-broken" and f.severity == Severity.INFO


_OF_UNITS = ("untouched-rows", "untouched-elements", "starved-elements")


def _is_of_units(f: Finding) -> bool:
    """Whether another question has the answer: of units and rows without a gradient, which need no attention."""
    return f.id in _OF_UNITS and f.severity == Severity.INFO


def _layers(asked: Asked) -> Answer:
    question = "Which layers stand out, and since when?"
    concerned = [f for f in asked.findings if f.parameters and not _is_of_the_run(f) and not _is_of_units(f)]
    serious = [f for f in concerned if f.severity > Severity.INFO]
    if serious:
        own = set(serious[0].parameters)
        is_all = len(own) >= max(sum(len(s.parameters) for s in asked.series), 2)
        word = "All alike" if is_all else _some_names(serious[0].parameters)
        tone: Tone = "trouble" if serious[0].severity == Severity.CRITICAL else "look"
        return Answer(question, word, " ".join([_named(serious), *_left(asked)]), tone)
    left = list(_left(asked))
    if concerned:
        text = " ".join([f"Worth knowing: {_named(concerned)}", *left])
        return Answer(question, "None that needs attention", text, "good")
    if left:
        return Answer(question, "None of those still trained", " ".join(left), "good")
    return Answer(question, "None", "No finding singles out a tensor.", "good")


def _left(asked: Asked) -> Iterator[str]:
    """Which tensors the optimizer had and has no longer, as when a layer is frozen, in a sentence."""
    for s in asked.series:
        if gone := [s.parameters[i] for i in np.flatnonzero(~_is_there(s)).tolist()]:
            rows = s.row[s.newest][~_is_there(s)]
            last = asked.checkpoints[int(s.indices[int(rows.max())])]
            isnt = "isn't" if len(gone) == 1 else "aren't"
            yield (
                f"{asked.of(s.optimizer)}{_some_names(gone)} {isnt} in the optimizer any more (last in {last}): "
                "frozen, renamed or removed."
            )


def _some_names(parameters: Sequence[str]) -> str:
    more = len(set(parameters)) - 1
    return parameters[0] + (f" and {more} more" if more else "")


def _named(findings: Sequence[Finding]) -> str:
    told = []
    for f in findings[:_MOST_TOLD]:
        when = since(f)
        told.append(f"{f.kind.title}: {_some_names(f.parameters)}{f', {when}' if when else ''}.")
    rest = len(findings) - len(told)
    return " ".join([*told, *([f"{counted(rest, 'further finding')} below."] if rest else [])])


def _resume(asked: Asked) -> Answer:
    question, metrics = "Did a resume lose the optimizer's state?", ("step", "second_moment_mean")
    names = asked.checkpoints
    fallen = asked.found("step-reset", "state-lost")
    if asked.breaks or fallen:
        is_told = fallen and len(asked.breaks) <= 1
        text = "" if is_told else f"The state was not carried on {_where_broken(asked)}."
        tone: Tone = "trouble" if fallen else "look"
        word = _WORDS_OF_LOSS.get(_weights_told(fallen), "Yes, or these are two trainings")
        return Answer(question, word, " ".join(filter(None, [text, _told(fallen)])), tone, metrics)
    if len(names) < 2:
        return Answer(question, "Can't tell", "The checkpoint before it is needed for that.", "unknown", metrics)
    if any(np.isnan(s.steps).any() or (s.steps < 0).any() for s in asked.series):
        text = "Not every checkpoint's step is known, so a loss of state may be hidden. None is visible."
        return Answer(question, "Can't tell", text, "unknown", metrics)
    if any(not np.isfinite(floats(s.heads["beta_2"])).all() if "beta_2" in s.heads else True for s in asked.series):
        text = "No step falls, but β2 is not known, so moments can't be compared from checkpoint to checkpoint."
        return Answer(question, "Can't tell", text, "unknown", metrics)
    if asked.found("lineage-broken") or any(of["beta_2"][2] for of in asked.values.values() if "beta_2" in of):
        text = (
            "No step falls, but second moments fell faster than the β2 that the figures rest on lets them. A smaller "
            "β2 explains that, and so does a state that was lost: --beta-2 gives the one that was used."
        )
        return Answer(question, "Can't tell", text, "unknown", metrics)
    spans = dict.fromkeys(f"from {whole(s.steps[0])} to {whole(s.steps[-1])}" for s in asked.series)
    steps = " and ".join(spans)
    text = (
        f"Nothing was lost, as far as the files show: the step goes {steps} and never falls, and no second moment "
        f"fell faster than β2 lets it"
        f"{', as far as they are finite' if asked.found('nonfinite-state') else ''}. "
        "A resume that restored everything can't be seen."
    )
    return Answer(question, "No", text, "good", metrics)


def _weights_told(fallen: Sequence[Finding]) -> str:
    """What became of the weights where the state was not carried on; empty if that is not known, or differs."""
    told = {str(e.figures["weights"]) for f in fallen for e in f.evidence if "weights" in e.figures}
    return told.pop() if len(told) == 1 else ""


_WORDS_OF_LOSS = {"carried on": "Yes", "others": "No, but these are two trainings"}
"""By what became of the weights."""


def _where_broken(asked: Asked) -> str:
    """Between which checkpoints state was not carried on, in words."""
    names = asked.checkpoints
    places = [f"from {names[s.start - 1]} to {names[s.start]}{_at_step(asked, s.start)}" for s in asked.breaks]
    return f"{', '.join(places[:_MOST_PLACES])}{_more(places)}"


def _at_step(asked: Asked, place: int) -> str:
    for s in asked.series:
        at = np.flatnonzero(s.indices == place)
        if at.size and (text := _step_text(s, int(at[0]))):
            return text
    return ""


def _epsilon(asked: Asked) -> Answer:
    question, metrics = "Is ε in the way?", ("epsilon_dominated",)
    if found := asked.found("epsilon-dominated"):
        return Answer(question, "Yes", _told(found), "look", metrics)
    if asked.found("nonfinite-state"):
        return Answer(question, "Can't tell", _NOT_FINITE, "unknown", metrics)
    largest = _largest(asked, "epsilon_dominated")
    if largest is None:
        return Answer(question, "Can't tell", "ε, or what it is compared with, is not known.", "unknown", metrics)
    share, name = largest
    by_optimizer = {name: of["epsilon"] for name, of in asked.values.items() if "epsilon" in of}
    own = list(dict.fromkeys(by_optimizer.values()))
    told = [
        f"{_whose(asked, name, len(own))}ε = {value} is {_DOUBTS[source]}, because no file holds it."
        for name, (value, source, _) in _first_of_each(by_optimizer)
        if source in _DOUBTS
    ]
    if any(is_contradicted for *_, is_contradicted in own):
        told = ["The run's own checkpoints contradict the ε that this rests on."]
        return Answer(question, "Can't tell", " ".join(told), "unknown", metrics)
    text = "Every touched element's √v is above ε."
    if share:
        text = f"ε is above √v in {percent(share)} of the touched elements of {name}; no tensor has more."
    word = "No" if share < _LITTLE else "Hardly" if share < _SOME else "Partly"
    return Answer(question, word, " ".join([text, *told]), "good", metrics)


def _first_of_each(values: Mapping[str, Value]) -> list[tuple[str, Value]]:
    """Optimizers with their value, of those that share one the first."""
    first: dict[Value, str] = {}
    for name, value in values.items():
        first.setdefault(value, name)
    return [(name, value) for value, name in first.items()]


def _whose(asked: Asked, optimizer: str, different: int) -> str:
    """What begins a sentence about a value that not all optimizers share; empty if they do."""
    return asked.of(optimizer) if different > 1 else ""


_NOT_FINITE = "The newest numbers are not finite. The figure shows those before."
_DOUBTS = {"default": "assumed", "inferred": "inferred"}
_LITTLE, _SOME = 0.01, 0.1
"""Shares of a tensor's elements that are next to nothing, and few."""


def _largest(asked: Asked, column: str) -> tuple[float, str] | None:
    """The largest newest value of a column and the tensor that has it; None if none is known."""
    found = [
        (float(values[at]), s.parameters[at])
        for s in asked.series
        for values in (_last_values(s, column),)
        for at in np.flatnonzero(np.isfinite(values))
    ]
    return max(found, key=lambda each: each[0], default=None)


def _dead(asked: Asked) -> Answer:
    question, metrics = "Are there dead units, or layers that get no gradient?", ("untouched", "untouched_rows")
    whole, rows = asked.found("untouched-tensors", "starved-tensors"), asked.found("untouched-rows")
    untouched, starved = asked.found("untouched-elements"), asked.found("starved-elements")
    faint = [
        f"Gradients come, but those of {_some_names(f.parameters)} are below ε."
        for f in asked.found("epsilon-dominated")
        if f.severity > Severity.INFO
    ]
    if found := sorted([*whole, *untouched, *rows, *starved], key=lambda f: -f.severity):
        is_serious = any(f.severity > Severity.INFO for f in found)
        tone: Tone = "look" if is_serious else "good"
        units = any("dead_units" in e.figures for f in [*untouched, *starved] for e in f.evidence)
        word = "Yes" if whole or is_serious else "Some units" if units else "Some elements" if untouched else ""
        word = word or ("Some rows" if rows else "Many elements")
        return Answer(question, word, " ".join([_told(found), *faint]), tone, metrics)
    if asked.found("nonfinite-state"):
        return Answer(question, "Can't tell", _NOT_FINITE, "unknown", metrics)
    largest = _largest(asked, "untouched")
    if largest is None:
        return Answer(question, "Can't tell", "Which elements a gradient reached is not known.", "unknown", metrics)
    share, name = largest
    text = (
        f"A gradient has reached all elements but {percent(share)} of {name}."
        if share
        else "A gradient has reached every element."
    )
    return Answer(question, "No", " ".join([text, *faint]), "good", metrics)


def _changed(asked: Asked) -> Answer:
    question, metrics = "What changed during the run?", ("learning_rate", "effective_lr")
    if len(asked.checkpoints) < 2:
        return Answer(question, "Can't tell", "Several checkpoints are needed for that.", "unknown", metrics)
    found = asked.found("hyperparameters-changed", "layer-drifted", "spread-growing")
    rates = {s.optimizer: known(floats(s.heads["learning_rate"])) for s in asked.series}
    scalings = {s.optimizer: _rates_moved(asked, s) for s in asked.series}
    broken, fallen = asked.found("nonfinite-state"), asked.found("step-reset", "state-lost")
    words = (
        ("Its numbers are no longer finite", bool(broken)),
        ("Another training begins", bool(asked.breaks) and _weights_told(fallen) == "others"),
        ("The optimizer's state was not carried on", bool(asked.breaks)),
        ("Hyperparameters", any(f.id == "hyperparameters-changed" for f in found)),
        ("The learning rate", any(map(has_changed, rates.values()))),
        ("Adam's scaling of gradients", any(scalings.values())),
        ("Nothing that is known", True),
    )
    told = [f"{asked.of(name)}{_course(own)}{scalings[name]}." for name, own in rates.items()]
    jumps = list(_jumps(asked))
    told += jumps
    told += [f"Not finite {since(f)}." for f in broken[:1]]
    told += [f"The state was not carried on {_where_broken(asked)}."] if asked.breaks and not fallen else []
    is_odd = broken or asked.breaks or jumps or any(f.severity > Severity.INFO for f in found)
    tone: Tone = "look" if is_odd else "good"
    word = next(word for word, is_so in words if is_so)
    if asked.is_contradicted and any(scalings.values()):
        told.append("What Adam's scaling did rests on a value that the run's own checkpoints contradict.")
        if word == "Adam's scaling of gradients":
            word, tone = "Can't tell", "unknown"
    return Answer(question, word, " ".join([*told, _told(found)]).strip(), tone, metrics)


_MOST_PLACES = 3
"""Checkpoints that are named of those at which something happened."""


def _jumps(asked: Asked) -> Iterator[str]:
    """Where the learning rate jumped, in a sentence; nothing if it didn't."""
    if places := [asked.checkpoints[s.start] for s in asked.segments[1:] if s.begins == "rate-jumped"]:
        yield f"α jumped at {', '.join(places[:_MOST_PLACES])}{_more(places)}."


def _more(places: Sequence[str]) -> str:
    rest = len(places) - _MOST_PLACES
    return f" and {counted(rest, 'more time')}" if rest > 0 else ""


def _course(rates: Floats) -> str:
    if not rates.size:
        return "α is not known"
    return f"α went {span_text(rates)}" if has_changed(rates) else f"α stayed {figure(float(rates[0]))}"


def _rates_moved(asked: Asked, s: OptimizerSeries) -> str:
    """How the medians of E, over α where it is known, changed from the first checkpoint to the last that has them, on
    the newest line of training."""
    medians = s.values_of_line("effective_lr_median", asked.segments)
    divisor = np.where(s.is_relative, 1.0, floats(s.heads["learning_rate"]))
    with np.errstate(divide="ignore", invalid="ignore"):
        medians = medians / divisor[:, None]
    ratios = {name: _last_over_first(medians[:, i]) for i, name in enumerate(s.parameters)}
    own = {name: ratio for name, ratio in ratios.items() if np.isfinite(ratio)}
    if not own:
        return ""
    low, high = min(own, key=own.__getitem__), max(own, key=own.__getitem__)
    ends = dict.fromkeys((low, high))
    told = " to ".join(f"{ratio_text(own[name])} ({name})" for name in ends)
    since = asked.checkpoints[asked.breaks[-1].start] if asked.breaks else "the first checkpoint"
    return f"; since {since} the median of E/α changed by {told}"


def _last_over_first(values: Floats) -> float:
    path = known(values)
    return float(path[-1] / path[0]) if len(path) > 1 else np.nan


def _trust(asked: Asked) -> Answer:
    question = "Can these numbers be trusted?"
    text = " ".join([*trust(asked.values), *_apart(asked)])
    sources = {source for of in asked.values.values() for _, source, _ in of.values()}
    if damage := [f for f in asked.found(*_DAMAGE) if f.severity > Severity.INFO]:
        return Answer(question, "No", f"{_told(damage)} {text}".strip(), "trouble")
    if asked.is_contradicted:
        return Answer(question, "Not all", text, "look")
    if sources & {"default", "unknown", "inferred"}:
        return Answer(
            question,
            "With care" if sources & {"default", "unknown"} else "Yes, with inferred values",
            text,
            "good" if not sources & {"default", "unknown"} else "look",
        )
    return Answer(question, "Yes", text, "good")


def _apart(asked: Asked) -> Iterator[str]:
    """What is not to be compared, in a sentence."""
    if asked.breaks:
        name = asked.checkpoints[asked.breaks[-1].start]
        yield f"At {name} state was not carried on: what changed is reported from there on."


def _told(findings: Sequence[Finding], *, with_since: bool = False) -> str:
    """The findings' titles as sentences, of many the first."""
    told = []
    for f in findings[:_MOST_TOLD]:
        when = since(f) if with_since else ""
        is_told = not when or when.partition(" ")[2] in f.title  # "since step 300", by "(step 300)"
        told.append(f"{f.title}{'' if is_told else f' ({when})'}.")
    return " ".join(told)
