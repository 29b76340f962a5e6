"""What several checkpoints of a run tell that none of them holds: betas, numbers of updates, epsilon, rates."""

from ckpt_inspect.comparison.inference.evidence import Contradiction, Inference, Interval, WindowEvidence
from ckpt_inspect.comparison.inference.gradients import GradientRms, window_gradient_rms
from ckpt_inspect.comparison.inference.infer import infer
from ckpt_inspect.comparison.inference.observations import Moments, Observation

__all__ = [
    "Contradiction",
    "GradientRms",
    "Inference",
    "Interval",
    "Moments",
    "Observation",
    "WindowEvidence",
    "infer",
    "window_gradient_rms",
]
