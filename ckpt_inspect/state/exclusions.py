"""Which variables an optimizer's configuration excludes from weight decay and from LAMB's trust ratio.

TensorFlow Addons' AdamW, SGDW and LAMB keep lists of regular expressions, `exclude_from_weight_decay` and (LAMB)
`exclude_from_layer_adaptation`, each of which is searched in a variable's name, `:0` included; LAMB took that off in
earlier releases (tensorflow_addons/optimizers/{weight_decay_optimizers,lamb,utils}.py). Keras 2.11+ and 3 keep such
lists as well and don't save them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from ckpt_inspect.checkpoint import Problem
from ckpt_inspect.jsonable import JsonObject, JsonValue
from ckpt_inspect.sourced import Sourced, quoted
from ckpt_inspect.update_rules import UpdateRule
from ckpt_inspect.update_rules.rule import Settings

FROM_DECAY, FROM_ADAPTATION = "exclude_from_weight_decay", "exclude_from_layer_adaptation"
MOST_PATTERNS, LONGEST_PATTERN, LONGEST_NAME = 100, 200, 1000
"""A file may hold any pattern: these bounds, and those of `_is_plain`, keep the search short."""


class Exclusions(NamedTuple):
    """The configuration's lists, ready to be searched with."""

    patterns: Mapping[str, tuple[re.Pattern[str], ...] | None]
    """By the configuration's name of the list; None for a list that can't be searched with."""

    @classmethod
    def of(cls, config: JsonObject | None) -> Exclusions:
        """Read them from an optimizer's configuration."""
        saved = {name: (config or {}).get(name) for name in (FROM_DECAY, FROM_ADAPTATION)}
        return cls({name: _compiled(value) for name, value in saved.items() if value})

    def applied(self, settings: Settings, rule: UpdateRule, parameter: str) -> Settings:
        """Return the settings of that parameter; if it isn't known whether it is excluded, the weight decay is unknown,
        and the rate too if E depends on the weights (LAMB)."""
        is_excluded = {name: self._is_excluded(name, parameter) for name in self.patterns}
        if None in is_excluded.values():
            rate = None if rule.needs_norms else settings.learning_rate
            return replace(settings, weight_decay=None, learning_rate=rate)
        if is_excluded.get(FROM_DECAY) and settings.weight_decay:
            settings = replace(settings, weight_decay=0.0)
        if is_excluded.get(FROM_ADAPTATION):
            settings = replace(settings, others={**settings.others, "is_adapted": 0.0})
        return settings

    def _is_excluded(self, name: str, parameter: str) -> bool | None:
        """None: not known, because the list can't be searched with, or because it depends on the release."""
        patterns = self.patterns[name]
        if patterns is None or len(parameter) > LONGEST_NAME:
            return None
        shown = re.sub(r"#\d+$", "", parameter)  # of a second variable of the same name
        found = {any(p.search(spelled) for p in patterns) for spelled in (shown, f"{shown}:0")}
        return found.pop() if len(found) == 1 else None

    def open_for(self, rule: UpdateRule, parameter: str, quantity: str, where: str) -> str | None:
        """Return why `effective_lr` or `last_update` of that parameter is left open; None if no list is the reason."""
        is_concerned = quantity == "last_update" or rule.needs_norms
        name = next((n for n in self.patterns if self._is_excluded(n, parameter) is None), None)
        if name is None or not is_concerned:
            return None
        why = "can't be searched with" if self.patterns[name] is None else "finds it in some releases and not in others"
        return f"whether {name} ({where}) spares it isn't known: the list {why}"

    def problems(self, where: str) -> tuple[Problem, ...]:
        """Return a remark for each list that can't be searched with; `where` names the configuration."""
        return tuple(
            Problem(
                "exclusions-unreadable",
                f"{where}: {name} is not a list of short, plain patterns",
                "which variables are excluded isn't known, so that their last updates are left out",
            )
            for name, patterns in self.patterns.items()
            if patterns is None
        )


def _compiled(value: JsonValue) -> tuple[re.Pattern[str], ...] | None:
    if not isinstance(value, list) or len(value) > MOST_PATTERNS:
        return None
    found = []
    for pattern in value:
        if not isinstance(pattern, str) or not _is_plain(pattern):
            return None
        try:
            found.append(re.compile(pattern))
        except re.error:
            return None
    return tuple(found)


def _is_plain(pattern: str) -> bool:
    """Return whether a search takes a time that is no more than the square of the name's length: no groups, and at most
    two repetitions."""
    return (
        len(pattern) <= LONGEST_PATTERN
        and not re.search(r"[({]", pattern)
        and sum(pattern.count(c) for c in "*+?") <= 2
    )


def unsaved(
    rule: UpdateRule, settings: Settings, decay: Sourced[float] | None, config: JsonObject | None, name: str
) -> tuple[Problem, ...]:
    """Return the remark that variables may have been excluded from weight decay, or from Addons' LAMB's trust ratio,
    without a trace in the file, and what that would change; none where there is neither, or where a configuration has
    such lists. `decay`: the resolved one."""
    is_inside = rule.needs_norms and not settings.implementation.takes_weight_decay
    if not settings.implementation.hides_exclusions or FROM_DECAY in (config or {}):
        return ()
    if is_inside and not settings.weight_decay:
        return (
            Problem(
                "exclusions-not-saved",
                f"{name}: which variables {FROM_ADAPTATION} spares from the trust ratio is not in the file",
                "none is taken to be spared; of those that were, the effective learning rate and the last update are "
                "others",
                "info",
            ),
        )
    if not settings.weight_decay:
        return ()
    told = quoted(settings.weight_decay, "" if decay is None else decay.source)
    is_twice = rule.has_own_weight_decay and not settings.implementation.takes_weight_decay
    return (
        Problem(
            "exclusions-not-saved",
            f"{name}: which variables exclude_from_weight_decay spares from the weight decay ({told})"
            + (f", and {FROM_ADAPTATION} from the trust ratio," if is_inside else "")
            + " is not in the file"
            + (", nor whether extend_with_decoupled_weight_decay takes it once more" if is_twice else ""),
            "none is taken to be spared; of those that were, the effective learning rate and the last update are others"
            if is_inside
            else "none is taken to be spared; of those that were, the last update lacks the decay, and the effective "
            "learning rate is the same",
            "info",
        ),
    )
