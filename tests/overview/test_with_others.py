"""What `show --with OTHER` says of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from support.command_line import Answer
from support.silent_runs import save_run

from ckpt_inspect import describe


def test_others_tell_what_no_file_holds(tmp_path: Path) -> None:
    """Inferred values stand in for defaults, with the evidence; alone it stays assumed."""
    one, two, three = save_run(tmp_path, (100, 120, 150), beta_2=0.98)
    (alone,) = describe(one).optimizers
    assert alone.hyperparameters["beta_2"].source == "default"
    for others in (two, [two, three]):
        (shown,) = describe(one, others=others).optimizers
        assert shown.hyperparameters["beta_2"].source == "inferred"
        assert shown.hyperparameters["beta_2"].value == 0.98
        assert "m-0120.h5" in shown.hyperparameters["beta_2"].where
        assert shown.description.startswith("no file holds, and the checkpoints tell together: beta_1, beta_2")


def test_it_is_an_option_of_show(tmp_path: Path) -> None:
    """It may be given several times."""
    one, two, three = map(str, save_run(tmp_path, (100, 120, 150), beta_2=0.98))
    result = Answer("show", one, "--with", two, "--with", three)
    assert result.code == 0
    assert "inferred" in result.out
    assert "0.98" in result.out
