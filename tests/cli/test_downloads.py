"""What `analyze` says before it fetches much."""

from __future__ import annotations

import pytest

from ckpt_inspect.cli.terminal import telling_downloads


def test_a_large_download_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With its size, for each run; what is small, or on this machine, is not."""
    seen: list[tuple[str, int, int]] = []
    telling = telling_downloads(lambda *step: seen.append(step), ["s3://bucket/run"], is_quiet=False)
    assert telling is not None
    steps = [("run", 0, 2_600_000_000), ("run", 1, 2_600_000_000), ("small", 0, 1000)]
    for step in steps:
        telling(*step)
    assert seen == steps
    assert capsys.readouterr().err == "run: up to 2.6 GB will be fetched\n"
    assert telling_downloads(None, ["runs"], is_quiet=False) is None
    assert telling_downloads(None, ["s3://bucket/run"], is_quiet=True) is None
