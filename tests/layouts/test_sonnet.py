"""Sonnet 2's Adam: what its record in fixtures/recorded doesn't show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ckpt_inspect import open_checkpoint, optimizer_states

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "recorded"


def test_variables_of_one_name_are_paired_in_the_modules_order() -> None:
    """Every Linear is called `linear`: `alpha` comes before `zeta`, though `zeta` was made first; a remark says so."""
    (folder,) = FIXTURES.glob("*_snt_ckpt_adam_attributes")
    (index,) = folder.glob("*.index")
    with open_checkpoint(index) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        assert (state.layout, state.rule, state.rule_source.source) == ("sonnet-lists", "adam", "checkpoint")
        taken = [p.found.value for p in state.parameters.values() if "linear/w" in p.name and p.shape == (4, 4)]
        assert [str(key).split("/")[1] for key in taken] == ["alpha", "zeta"]
        assert {p.code for p in state.problems} == {"variables-of-one-name"}


def test_hyperparameters_that_are_variables_are_read() -> None:
    """Epsilon among them, which TensorFlow and Keras never save; it stands where Algorithm 1 has it."""
    (folder,) = FIXTURES.glob("*_snt_ckpt_adam_variables")
    (index,) = folder.glob("*.index")
    with open_checkpoint(index) as checkpoint:
        (state,) = optimizer_states(checkpoint)
        names = ("learning_rate", "beta_1", "beta_2", "epsilon")
        assert {state.hyperparameters[name].source for name in names} == {"checkpoint"}
        rate, _, beta_2, epsilon = (float(state.hyperparameters[name].value or 0) for name in names)
        parameter = next(iter(state.parameters.values()))
        v, e = parameter.second_moment(), parameter.effective_lr()
        assert v is not None and e is not None
        c2 = 1 - beta_2 ** int(state.step.value or 0)
        np.testing.assert_allclose(e, rate / (np.sqrt(v / c2) + epsilon), rtol=1e-5)
