"""The registry: what it finds, and that nothing outside it knows a rule or an implementation by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from support.package_strings import IMPLEMENTATION_IDS, PACKAGE, ROOM, RULE_NAMES, strings_outside, trees

from ckpt_inspect.update_rules import (
    HYPERPARAMETERS,
    IMPLEMENTATIONS,
    OPTIMIZERS,
    RULES,
    SCALAR_NAMES,
    STATE_SLOTS,
    USUAL_RULE,
    State,
    UpdateRule,
    find_implementation,
    find_optimizer,
    find_rule,
    has_moment_pair,
    implementation_among,
    implementations,
    optimizer_of_class,
    optimizer_of_slots,
    rules_of_scalars,
    second_slot,
)
from ckpt_inspect.update_rules.implementations import BERT, CONTRIB, KERAS3, OPTIMIZER_V2, TF1, TFA

ALLOWED_STRINGS = {
    ("layouts/keras_variables.py", "momentum"): "a slot's spelling in Keras, not TF1's MomentumOptimizer",
    ("layouts/optax.py", "optax"): "the layout's own id, which is called as its writer is",
    ("layouts/optimizer_v2.py", "optimizer-v2"): "the layout's own id, which is called as its writer is",
}
ROWS = {name for name, value in vars(implementations).items() if value in IMPLEMENTATIONS}


def test_no_other_file_names_a_rule() -> None:
    """No string outside update_rules/ is a rule's name or an implementation's id, but for those that are another's."""
    found = strings_outside(RULE_NAMES | IMPLEMENTATION_IDS)
    assert {(file, value) for file, _, value in found} == set(ALLOWED_STRINGS)


def comparisons(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, code) of each comparison that has a row of the implementations, or a `family`, on one of its sides."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [n for side in (node.left, *node.comparators) for n in ast.walk(side)]
            names = {n.id for n in sides if isinstance(n, ast.Name)}
            names |= {n.attr for n in sides if isinstance(n, ast.Attribute)}
            names |= {n.value for n in sides if isinstance(n, ast.Constant) and isinstance(n.value, str)}
            if names & (ROWS | IMPLEMENTATION_IDS | {"family"}):
                yield node.lineno, ast.unparse(node)


def test_no_implementation_is_compared_with() -> None:
    """What differs between implementations is a field of their row: nowhere an `if family in (..)`."""
    files = [*trees(), *((f.relative_to(PACKAGE), ast.parse(f.read_text())) for f in (PACKAGE / ROOM).glob("*.py"))]
    assert [f"{file}:{line}: {code}" for file, tree in files for line, code in comparisons(tree)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_stands_in_a_file_of_update_rules(rule: UpdateRule) -> None:
    """With its hyperparameters, each once, and slots that are fields of `State`."""
    assert Path(PACKAGE / ROOM / f"{type(rule).__module__.rpartition('.')[2]}.py").is_file()
    names = [h.name for h in rule.hyperparameters]
    assert names[0] == "learning_rate"
    assert len(set(names)) == len(names)
    assert set(rule.slots) <= set(State.__slots__)
    assert set(rule.traces.implementations) <= set(IMPLEMENTATIONS)
    assert all(find_rule(name) for name in (rule.with_maximum, rule.with_decay) if name)


def test_names_are_unique() -> None:
    """No two optimizers share a name or a class, and no two implementations an id."""
    assert len({o.name for o in OPTIMIZERS}) == len(OPTIMIZERS)
    assert len({i.id for i in IMPLEMENTATIONS}) == len(IMPLEMENTATIONS)
    for one, other in combinations(OPTIMIZERS, 2):
        assert not set(one.traces.class_names) & set(other.traces.class_names)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("Custom>AdamW", "adamw"), ("Addons>RectifiedAdam", "radam"), ("adam_1", "adam"), ("RMSPropOptimizer", "rmsprop"),
     ("SGD", "sgd"), ("keras.optimizers.Lion", "lion"), ("adamw_1_1", "adamw"),
     ("ProximalAdagrad", "proximaladagrad"), ("AdagradDA", "adagradda"), ("PowerSignOptimizer", "powersign")],
)  # fmt: skip
def test_an_optimizer_is_known_by_its_class(name: str, rule: str) -> None:
    """However upstream spells the class, or the slots that are named for it."""
    found = optimizer_of_class(name)
    assert found is not None
    assert found.name == rule


def test_unknown_names_are_nobody_s() -> None:
    """None, and nothing is presumed of them."""
    assert optimizer_of_class("MyOptimizer") is None
    assert find_optimizer("myoptimizer") is None
    assert find_implementation("mine") is None
    assert not has_moment_pair("myoptimizer")
    assert second_slot("myoptimizer") == USUAL_RULE.second_slot


@pytest.mark.parametrize(
    ("slots", "name", "is_certain"),
    [
        ({"rms", "momentum"}, "rmsprop", True),
        ({"accumulator"}, "adagrad", True),
        ({"accumulator", "linear"}, "ftrl", True),
        ({"velocity", "momentum"}, "rmsprop", True),
        ({"second_moment"}, "rmsprop", False),
        ({"first_moment"}, "sgd", False),
    ],
)  # fmt: skip
def test_slots_tell_an_optimizer(slots: set[str], name: str, is_certain: bool) -> None:
    """The most of them, and what only one keeps before what one usually keeps."""
    told = optimizer_of_slots(slots)
    assert told is not None
    assert (told[0].name, told[1]) == (name, is_certain)
    assert optimizer_of_slots({"m", "v"}) is None


def test_scalars_tell_a_rule() -> None:
    """What only RAdam or Nadam keep."""
    assert "radam" in [r.name for r in rules_of_scalars({"sma_threshold", "beta_1"})]
    assert [r.name for r in rules_of_scalars({"momentum_cache"})] == ["nadam"]
    assert rules_of_scalars({"beta_1"}) == ()
    assert {"sma_threshold", "momentum_cache", "rho", "weight_decay_rate"} <= set(SCALAR_NAMES)


def test_whose_a_rule_is() -> None:
    """contrib's and Addons' where tf.train and Keras have none; the first where nobody is known to have it."""
    assert implementation_among("adam", (TF1, CONTRIB)) is TF1
    assert implementation_among("nadam", (TF1, CONTRIB)) is CONTRIB
    assert implementation_among("lamb", (OPTIMIZER_V2, TFA)) is TFA
    assert implementation_among("myoptimizer", (OPTIMIZER_V2, TFA)) is OPTIMIZER_V2


def test_every_slot_has_its_field() -> None:
    """Adamax's norm stands where others keep a second moment."""
    assert STATE_SLOTS["second_moment"][:2] == ("second_moment", "infinity_norm")
    assert STATE_SLOTS["first_moment"] == ("first_moment",)


def test_a_rule_has_the_hyperparameters_of_its_own() -> None:
    """RMSprop has rho and momentum and no beta; RAdam a threshold; every one of them is explained."""
    names = {rule.name: [h.name for h in rule.hyperparameters] for rule in RULES}
    assert names["rmsprop"] == ["learning_rate", "rho", "momentum", "centered", "epsilon", "weight_decay"]
    assert names["adagrad"] == ["learning_rate", "initial_accumulator_value", "epsilon", "weight_decay"]
    assert names["radam"][-4:] == ["sma_threshold", "total_steps", "warmup_proportion", "min_lr"]
    assert all(h.meaning.endswith(".") for h in HYPERPARAMETERS.values())


@pytest.mark.parametrize(
    ("rule", "implementation", "default"),
    [("adam", TF1, 1e-8), ("adam", KERAS3, 1e-7), ("lamb", TFA, 1e-6), ("lamb", KERAS3, 1e-7), ("rmsprop", TF1, 1e-10),
     ("adagrad", TF1, 0.0), ("adagrad", KERAS3, 1e-7), ("bert-adamw", BERT, 1e-6)],
    ids=str,
)  # fmt: skip
def test_epsilon_s_default_is_the_implementation_s(rule: str, implementation: object, default: float) -> None:
    """One number a rule and row."""
    found = find_rule(rule)
    assert found is not None
    assert found.defaults(implementation)["epsilon"] == default  # type: ignore[arg-type]
