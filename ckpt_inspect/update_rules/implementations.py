"""Whose arithmetic an update was: what varies inside a rule from one implementation to the other. One row each.

A hyperparameter reaches the update through casts that differ by implementation; so do the powers of beta, the defaults,
the place of epsilon in some rules, what `decay` does, and what the counter counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class Implementation:
    """One implementation of the update rules. The default of each field is what most of them do."""

    id: str
    """As in stores and `OptimizerState.family`."""
    title: str
    """As a person writes it."""
    sources: tuple[str, ...]
    """Upstream files."""

    # --- powers and casts
    has_running_powers: bool = False
    """Whether beta**t is a float32 variable that is multiplied by beta after each update, rather than a power that each
    update computes anew."""
    has_float32_rates: bool = False
    """Whether the learning rate and the weight decay are float32 tensors, whatever the variable's dtype."""
    has_float32_betas: bool = True
    """Whether the betas pass through float32."""
    has_float32_powers: bool = False
    """Whether a bias correction is computed in float32 at least, and then rounded to the variable's dtype."""
    has_float32_epsilon: bool = False
    """Whether epsilon is made a float32 tensor first; else it is converted to the variable's dtype at once."""

    # --- defaults
    default_epsilon: float = 1e-7
    """Of Adam and of what derives from it."""
    default_adamw_decay: float = 0.0
    """Weight decay of its AdamW."""
    hides_decay: bool = False
    """Whether a rule that takes a weight decay may have been given one that no checkpoint holds, or a schedule of it:
    if none is read, it is then unknown."""

    can_extend_decay: bool = False
    """Whether any of its rules may have been given a weight decay by `extend_with_decoupled_weight_decay`, which the
    graph alone shows."""

    is_chained: bool = False
    """Whether a rule is a chain of transformations that the program puts together: weight decay is one of them, scaled
    by α as all that stands before the rate, and how much it is is known only where the file holds it."""

    hides_exclusions: bool = False
    """Whether variables may have been spared from weight decay by a list that is in no object graph, and in no
    configuration but Addons'."""

    has_class_rates: bool = False
    """Whether its classes have the default learning rate that `Traces.keras_rate` tells."""
    adagrad_start: float = 0.1
    """What the accumulator of its Adagrad starts from."""

    # --- the formula
    has_textbook_epsilon: bool = False
    """Whether its Adam is Algorithm 1 of Kingma & Ba itself, which adds epsilon to the root of the corrected second
    moment."""
    has_epsilon_hat: bool = False
    """Whether Nadam adds epsilon to the root of the uncorrected second moment, as Adam does."""
    applies_adamax: Literal["joined", "factor-first", "quotient-first"] = "quotient-first"
    """Order of operations: α·m / (c1·(u + ε)); (α/c1·m) / (u + ε); α/c1 · (m / (u + ε))."""
    corrects_before_maximum: bool = False
    """Whether AMSGrad keeps the maximum of the corrected second moment v/c2, rather than that of v."""
    has_epsilon_in_norm: bool = False
    """Whether Adamax adds epsilon to each gradient's size, inside the maximum, and divides by the norm alone."""
    has_corrected_rate: bool = False
    """Whether Adam computes α·(√c2/c1), rather than (α·√c2)/c1: another last bit."""
    rmsprop_epsilon: Literal["outside", "inside", "inside-with-momentum"] = "outside"
    """Where RMSprop adds epsilon: to the root, or under it; or under it only if it has momentum."""
    adagrad_epsilon: Literal["outside", "inside", "none"] = "outside"
    """Where Adagrad adds epsilon: to the root, or under it; or nowhere."""
    rates_momentum: bool = False
    """Whether RMSprop multiplies its momentum by α, and keeps a centered mean square in the place of the plain one."""
    always_keeps_momentum: bool = False
    """Whether RMSprop keeps an accumulator of momentum where momentum is 0 as well."""
    moves_rows_alone: bool = False
    """Whether RMSprop with momentum, whose momentum stays, and rules that are lazy (`UpdateRule.is_lazy`) move only the
    rows that a sparse gradient touches."""
    takes_weight_decay: bool = False
    """Whether every optimizer takes a `weight_decay`, which shrinks θ by α·wd before the update; else decoupled decay
    shrinks it by wd, and LAMB's is a part of the direction."""

    # --- what it keeps, what its counter counts, and what else is special
    lists_placeholders: bool = False
    """Whether slots of rows and columns are single numbers for a weight without rows, rather than left out."""
    has_listed_rate: bool = False
    """Whether a learning rate that is not a schedule stands second in the list of an optimizer's variables."""
    decays_rate: bool = False
    """Whether `decay` shrinks the learning rate with every update: α/(1 + decay·(t - 1))."""
    has_unordered_counter: bool = False
    """Whether the counter is incremented while the update is computed, so that an update may use t or t + 1."""
    counts_decayed_rates_alone: bool = False
    """Whether some of its classes raise their counter only where the learning rate decays with it."""
    divides_accumulated_since: tuple[int, int] | None = None
    """Release from which the exponent is the counter divided by the number of accumulated gradients; before it, and
    with None, the counter itself."""
    is_lazy: bool = False
    """Whether a sparse gradient leaves all rows alone that it doesn't touch, moments included, whatever the rule."""
    squares_slices: Literal["never", "sometimes", "always"] = "never"
    """Whether the slices of a sparse gradient are squared one by one if a batch repeats a row: then r parts g of a
    row's gradient go into v as r·g², into m as r·g, and |m|/√v may exceed its bound by √r."""
    who_squares_slices: str = ""
    """Which release does, for a person."""

    @property
    def scales_decay(self) -> bool:
        """Return whether decoupled weight decay shrinks θ by α·wd, rather than by wd."""
        return self.takes_weight_decay or self.is_chained


TF1 = Implementation(
    "tf1",
    "tf.train",
    ("tensorflow/python/training/adam.py", "tensorflow/core/kernels/training_ops.cc"),
    has_running_powers=True,
    has_float32_rates=True,  # `convert_to_tensor` of a Python float
    has_float32_epsilon=True,
    default_epsilon=1e-8,
    can_extend_decay=True,
    has_epsilon_hat=True,
    rmsprop_epsilon="inside",
    always_keeps_momentum=True,
    moves_rows_alone=True,
    adagrad_epsilon="none",
)
CONTRIB = Implementation(
    "contrib",
    "tf.contrib.opt",
    ("tensorflow/contrib/opt/python/training/",),
    has_running_powers=True,
    has_float32_rates=True,
    has_float32_epsilon=True,
    default_epsilon=1e-8,
    hides_decay=True,
    can_extend_decay=True,
    has_epsilon_hat=True,
    rmsprop_epsilon="inside",
    always_keeps_momentum=True,
    moves_rows_alone=True,
)
OPTIMIZER_V2 = Implementation(
    "optimizer-v2",
    "Keras' OptimizerV2 (TF 1.15 to 2.10, `legacy` later)",
    ("keras/optimizers/optimizer_v2/",),
    has_float32_rates=True,  # `add_weight` of its hyperparameters
    has_class_rates=True,
    rmsprop_epsilon="inside-with-momentum",
    moves_rows_alone=True,
    decays_rate=True,
)
TFA = Implementation(
    "tfa",
    "TensorFlow Addons, on OptimizerV2",
    ("tensorflow_addons/optimizers/",),
    has_float32_rates=True,
    hides_decay=True,
    hides_exclusions=True,
    moves_rows_alone=True,
    decays_rate=True,
)
KERAS2 = Implementation(
    "keras2",
    "Keras 2.11 to 2.15, tf_keras",
    ("keras/src/optimizers/",),
    # the betas by `cast(0.999, dtype)`, which makes a float32 tensor first
    default_adamw_decay=0.004,
    has_class_rates=True,
    applies_adamax="joined",
    rmsprop_epsilon="inside",
    adagrad_epsilon="inside",
    takes_weight_decay=True,
    hides_exclusions=True,
    squares_slices="sometimes",
    who_squares_slices="an experimental optimizer of TF 2.9",  # 2.11 and later are sound
)
KERAS2_EXPERIMENTAL = replace(
    KERAS2,
    id="keras2-experimental",
    title="an experimental optimizer of TF 2.9 or 2.10",
    sources=("keras/optimizers/optimizer_experimental/",),
    rmsprop_epsilon="outside",
    rates_momentum=True,
)
KERAS3 = Implementation(
    "keras3",
    "Keras 3",
    ("keras/src/optimizers/",),
    default_adamw_decay=0.004,
    has_class_rates=True,
    applies_adamax="joined",
    rmsprop_epsilon="inside",
    adagrad_epsilon="inside",
    takes_weight_decay=True,
    hides_exclusions=True,
    lists_placeholders=True,
    has_listed_rate=True,
    divides_accumulated_since=(3, 5),
    squares_slices="always",  # measured on 3.0 to 3.15 with TensorFlow
    who_squares_slices="Keras 3",
)
KERAS1 = Implementation(
    "keras1",
    "Keras before OptimizerV2",
    ("keras/optimizers.py", "tensorflow/python/keras/optimizers.py"),
    adagrad_start=0.0,
    has_float32_betas=False,  # `K.variable`, of the variables' own dtype
    applies_adamax="factor-first",
    has_corrected_rate=True,
    decays_rate=True,
    has_unordered_counter=True,
    counts_decayed_rates_alone=True,
)
BERT = Implementation(
    "bert",
    "google-research/bert",
    ("google-research/bert optimization.py",),
    has_float32_rates=True,
    has_float32_epsilon=True,
)

SONNET = Implementation(
    "sonnet",
    "Sonnet 2",
    ("sonnet/src/optimizers/adam.py",),
    has_float32_rates=True,  # `tf.cast` of a Python float makes a float32 tensor first
    has_float32_epsilon=True,
    default_epsilon=1e-8,
    has_textbook_epsilon=True,
    is_lazy=True,
)

OPTAX = Implementation(
    "optax",
    "optax",
    ("optax/_src/transform.py", "optax/_src/alias.py"),
    has_float32_betas=False,  # Python floats take the array's dtype
    has_float32_powers=True,  # `1 - decay**count`, `astype` the moment's dtype
    default_epsilon=1e-8,
    is_chained=True,
    has_textbook_epsilon=True,
    corrects_before_maximum=True,
    has_epsilon_in_norm=True,
    rmsprop_epsilon="inside",
    adagrad_epsilon="inside",
)

KERAS = (OPTIMIZER_V2, KERAS1, KERAS2, KERAS2_EXPERIMENTAL, KERAS3)
"""Whoever has what Keras has had since long."""

IMPLEMENTATIONS: tuple[Implementation, ...] = (
    TF1,
    CONTRIB,
    OPTIMIZER_V2,
    TFA,
    KERAS2,
    KERAS2_EXPERIMENTAL,
    KERAS3,
    KERAS1,
    BERT,
    SONNET,
    OPTAX,
)


def find_implementation(identifier: str) -> Implementation | None:
    """Return the implementation of that id, or None."""
    return next((i for i in IMPLEMENTATIONS if i.id == identifier), None)
