"""What every reason of `check` means, beside what figures and findings mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ckpt_inspect.findings.explanations import EXPLANATIONS as FIGURES_AND_FINDINGS
from ckpt_inspect.findings.explanations import Explanation, explain_kind
from ckpt_inspect.soundness.kinds import REASONS

EXPLANATIONS: Mapping[str, Explanation] = {
    **FIGURES_AND_FINDINGS,
    **{kind.id: replace(explain_kind(kind), sort="reason") for kind in REASONS},
}
"""Every explanation, by name."""
