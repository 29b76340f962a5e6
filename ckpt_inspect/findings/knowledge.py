"""What the figures rest on that the files don't say: hyperparameters assumed, a rate not known, a rule not read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ckpt_inspect.findings.finding import Finding, Kind, Severity
from ckpt_inspect.findings.history import History
from ckpt_inspect.findings.thresholds import Thresholds
from ckpt_inspect.measurement.variables import CONTRADICTION
from ckpt_inspect.measurement.wording import counted, setting
from ckpt_inspect.sourced import shown_source
from ckpt_inspect.state.hyperparameters import HYPERPARAMETERS
from ckpt_inspect.update_rules import find_implementation, find_rule

INFERRED = Kind(
    id="hyperparameters-inferred",
    title="Hyperparameters inferred, and not the default",
    severity=Severity.INFO,
    condition="beta_1, beta_2, epsilon or weight_decay has the source inferred in the newest checkpoint, by what it "
    "and others of the run tell together, and differs from the implementation's default.",
    why="The figures are right only with these values, and no file holds them: pass them on to whoever reads a single "
    "checkpoint or resumes the training.",
    action="Check that the training's code says the same",
    source="elements that no gradient reached between two checkpoints decay, and move, by these values alone",
    metrics=("beta_1", "beta_2", "epsilon", "weight_decay"),
)

ASSUMED = Kind(
    id="hyperparameters-assumed",
    title="Hyperparameters assumed",
    severity=Severity.INFO,
    condition="beta_1, beta_2, epsilon or weight_decay has the source default in the newest checkpoint, and no other "
    "checkpoint of the run holds it.",
    why="The file doesn't hold them, so the implementation's defaults are used. If the training used others, the "
    "figures are wrong.",
    action="Give those that were used",
    source="measured: with wrong betas the last update was 76 % off, with an ε of 0.01 in place of 10⁻⁷ 2.7 times",
    metrics=("beta_1", "beta_2", "epsilon", "weight_decay"),
)

RATE_UNKNOWN = Kind(
    id="learning-rate-unknown",
    title="Learning rate not known",
    severity=Severity.INFO,
    condition="The learning rate has the source unknown in the newest checkpoint.",
    why="Effective learning rates are given as E/α, which is exact but relative. How large the updates were is not "
    "known.",
    action="Give the learning rate of the last update with --learning-rate",
    source="the layouts that save no learning rate: TF1 without .meta, BERT, schedules in TensorFlow's checkpoints",
    metrics=("learning_rate",),
)

AMBIGUOUS = Kind(
    id="rule-ambiguous",
    title="Update rule not read: the usual one is assumed",
    severity=Severity.INFO,
    condition="The rule has the source default in the newest checkpoint.",
    why="Other rules name their state alike, and the formula of the wrong one can be off by a factor of 30.",
    action="Say which rule it was with --rule",
    source="measured: LAMB read as Adam is 31 times off, RAdam 30, Nadam 1.4",
    metrics=("rule",),
)

ONE_RATE = Kind(
    id="one-rate-for-all",
    title="One learning rate given for all checkpoints",
    severity=Severity.INFO,
    condition="The learning rate has the source given in two or more checkpoints, is the same in all, and is of "
    "no table.",
    why="Schedules and callbacks change the rate during a run. Where it was different, effective learning rates and "
    "updates are wrong by the same factor.",
    action="If it was not constant, give a table: --learning-rate FILE.csv, with lines step,learning_rate",
    source="E has the rate of each checkpoint's own last update",
    metrics=("learning_rate", "effective_lr"),
)

CONTRADICTED = Kind(
    id="hyperparameter-contradicted",
    title="A hyperparameter that the checkpoints contradict",
    severity=Severity.WARNING,
    condition="Between two checkpoints of the run moments or weights changed as they can't have with the value that is "
    "assumed, or read: v fell further than β2^k lets it, or a weight moved further than the rate lets it.",
    why="Every figure that depends on this value is wrong: the effective learning rate, the last update, and findings "
    "about them.",
    action="Give the value that was used. If it is the one in the file, a callback changed it since, or these are "
    "checkpoints of several trainings",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v2 = β2^k·v1 + (what is not negative)",
    metrics=("learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"),
)

KINDS = (CONTRADICTED, INFERRED, ASSUMED, RATE_UNKNOWN, ONE_RATE, AMBIGUOUS)


def find_assumptions(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find what is assumed of the newest checkpoint's hyperparameters."""
    names = [n for n in history.hyperparameters if n != "learning_rate" and _is_assumed(history, n)]
    if names:
        values = ", ".join(f"{n} = {setting(float(history.newest(n)))}{_seen_elsewhere(history, n)}" for n in names)
        options = " ".join(_option(history.name, n) for n in names)
        yield history.finding(
            ASSUMED,
            f"Assumed, because the file doesn't say: {values}",
            thresholds,
            evidence=[history.evidence(-1, **{n: float(history.newest(n)) for n in names})],
            action=f"{ASSUMED.action}: {options}",
        )
    if told := [name for name in history.hyperparameters if _is_told(history, name)]:
        values = ", ".join(f"{name} = {setting(float(history.newest(name)))}" for name in told)
        where = str(history.newest(f"{told[0]}_where"))
        yield history.finding(
            INFERRED,
            f"No file holds {values}, but the checkpoints show it ({told[0]}: {where})",
            thresholds,
            evidence=[history.evidence(-1, **{name: float(history.newest(name)) for name in told})],
        )
    if history.newest("learning_rate_source") == "unknown":
        where = str(history.newest("learning_rate_where"))
        yield history.finding(
            RATE_UNKNOWN,
            f"The learning rate is not known ({where}), so effective learning rates are given as E/α",
            thresholds,
            evidence=[history.evidence(-1, learning_rate_where=where)],
        )
    yield from _find_one_rate(history, thresholds)
    if history.newest("rule_source") == "default":
        rule, where = str(history.newest("rule")), str(history.newest("rule_where"))
        yield history.finding(
            AMBIGUOUS,
            f"The rule is taken for {rule}: {where}",
            thresholds,
            evidence=[history.evidence(-1, rule=rule, rule_where=where)],
        )


def find_contradictions(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Find values that other checkpoints of the run refute, over the whole run: one finding for each hyperparameter."""
    for name in history.hyperparameters:
        against = history[f"{name}{CONTRADICTION}"]
        rows = np.flatnonzero(against != "").tolist()
        if not rows:
            continue
        last = rows[-1]
        value, source = float(history[name][last]), str(history[f"{name}_source"][last])
        figures: dict[str, float | str | None] = {name: value, f"{name}_source": source}
        more = f" (in {counted(len(rows), 'checkpoint')} of {len(history)})" if len(rows) > 1 else ""
        yield history.finding(
            CONTRADICTED,
            f"{name} = {setting(value)} is {shown_source(source, against[last])}: {against[last]}{more}",
            thresholds,
            rows=rows,
            evidence=[history.evidence(last, None, **figures)],
            action=CONTRADICTED.action.replace("was used", f"was used ({_option(history.name, name)})", 1),
        )


def _find_one_rate(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    rates = history["learning_rate"]
    if len(history) < 2 or not (history["learning_rate_source"] == "given").all() or not (rates == rates[0]).all():
        return
    if not any(str(text).startswith(_OF_A_TABLE) for text in history["learning_rate_where"]):
        yield history.finding(
            ONE_RATE,
            f"The one learning rate given, {setting(rates[0])}, is taken for every one of "
            f"{counted(len(history), 'checkpoint')}, from {history.at(0)} to {history.at(-1)}: right only "
            "if no schedule changed it",
            thresholds,
            rows=range(len(history)),
            evidence=[history.evidence(-1, learning_rate=float(rates[0]))],
        )


_OF_A_TABLE = "given by the caller, in a table"
"""How the place of a rate out of a table begins."""


def _option(optimizer: str, name: str) -> str:
    """What gives it on the command line."""
    return f"--{name.replace('_', '-')}" if name in HYPERPARAMETERS else f"--set {optimizer}.{name}=.."


def _is_told(history: History, name: str) -> bool:
    """Whether a value was inferred from several checkpoints, and is not what would have been assumed."""
    rule = find_rule(str(history.newest("rule")))
    implementation = find_implementation(str(history.newest("family")))
    if name == "learning_rate" or history.newest(f"{name}_source") != "inferred" or not rule or not implementation:
        return False
    default = rule.defaults(implementation).get(name)
    return default is not None and not np.isclose(float(history.newest(name)), default, rtol=1e-4, atol=0)


def _seen_elsewhere(history: History, name: str) -> str:
    """Return what the last checkpoint that doesn't leave a value to be assumed has; empty if all do."""
    sources = history[f"{name}_source"]
    (known,) = np.nonzero((sources != "default") & (sources != "unknown"))
    if not known.size:
        return ""
    row = int(known[-1])
    return f" (but {setting(float(history[name][row]))}, {sources[row]}, in {history.at(row)})"


def _is_assumed(history: History, name: str) -> bool:
    """Whether a default stands in for what the training used, and no other checkpoint of the run says the same.

    That a rule has no weight decay, or no momentum, is no assumption.
    """
    if history.newest(f"{name}_source") != "default" or history.newest(name) == 0:
        return False
    if history.newest(f"{name}{CONTRADICTION}"):  # which says more
        return False
    sources = history[f"{name}_source"]
    is_read = (sources != "default") & (sources != "unknown")
    return not np.isclose(history[name][is_read], history.newest(name), rtol=1e-4, atol=0).any()
