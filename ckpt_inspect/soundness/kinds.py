"""The reasons for a verdict, by what they are about. A critical one decides it; the others are worth knowing."""

from __future__ import annotations

from ckpt_inspect.findings.finding import Kind, Severity

_FORMATS = "the formats' own checksums: tensor_bundle.cc, APPNOTE.TXT 4.4.7"

UNREADABLE = Kind(
    id="unreadable",
    title="Checkpoint that can't be opened",
    severity=Severity.CRITICAL,
    condition="The file, or a file that it needs, can't be opened as the checkpoint that it is named as.",
    why="Nothing in it can be restored.",
    action="Copy or restore the file; else resume from the checkpoint before it",
    source=_FORMATS,
)
PART_MISSING = Kind(
    id="part-missing",
    title="Parts of the checkpoint are missing",
    severity=Severity.CRITICAL,
    condition="A shard, slice or dataset that the checkpoint's index names is absent or too short.",
    why="Tensors that lie in it can't be restored.",
    action="Copy the missing file beside the others; else resume from the checkpoint before it",
    source=_FORMATS,
)
NOT_MERGED = Kind(
    id="not-merged",
    title="Writer was stopped before it had finished",
    severity=Severity.CRITICAL,
    condition="The parts of a sharded checkpoint lie in the writer's temporary folder, not merged into one.",
    why="TensorFlow doesn't find it, although every part may be there.",
    action="Resume from the checkpoint before it; if all parts are there, this package still reads it",
    source="MergeV2Checkpoints in tensorflow/core/kernels/save_restore_v2_ops.cc",
)
DAMAGED = Kind(
    id="bytes-damaged",
    title="Bytes that aren't as they were written",
    severity=Severity.CRITICAL,
    condition="A checksum differs, or a tensor or another part of the file can't be read.",
    why="TensorFlow or Keras refuses to restore it, or, where nothing is compared, trains on with wrong numbers.",
    action="Copy the file again from where it was written; else resume from the checkpoint before it",
    source=_FORMATS,
)
NOT_FINITE = Kind(
    id="not-finite",
    title="Numbers that are not finite",
    severity=Severity.CRITICAL,
    condition="A weight, moment, statistic, average or counter is NaN or infinite.",
    why="Every later update of such an element is NaN, and what depends on it follows within a step.",
    action="Resume from the last checkpoint without them, with a lower learning rate or clipped gradients",
    source="IEEE 754: NaN and infinity survive the moving averages",
)
INFINITE_SCALAR = Kind(
    id="infinite-scalar",
    title="Infinite number that no optimizer trains",
    severity=Severity.WARNING,
    condition="A single number that belongs to no optimizer is infinite.",
    why="It may be meant so: the best loss so far starts at infinity. If it is a weight, the model is useless.",
    action="Look at it with ckpt-inspect show; if it is no such record, resume from the checkpoint before",
    source="IEEE 754",
)
IMPOSSIBLE_MOMENTS = Kind(
    id="impossible-moments",
    title="Moments that no gradients leave behind",
    severity=Severity.CRITICAL,
    condition="A second moment is negative; or |m| exceeds √v by more than three times what gradients can make of it, "
    "for the betas that are known, or for any that are possible where they are assumed.",
    why="Both moments see the same gradient in each update, and v sees its square: m and v are not of one training, or "
    "not of one variable, or the file is damaged. The next update is then far too large, or NaN.",
    action="Compare the file with a copy; resume from the checkpoint before",
    source="Cauchy and Schwarz; ckpt-inspect explain moment-bound-violated",
    metrics=("moment_ratio_max", "negative_second_moment"),
)
DOUBTFUL_MOMENTS = Kind(
    id="doubtful-moments",
    title="Moments that hardly any gradients leave behind",
    severity=Severity.WARNING,
    condition="The betas are assumed, and |m| exceeds √v by more than three times what gradients can make of it for "
    "any with β1 < √β2.",
    why="m and v are not of one training, or not of one variable, or the file is damaged, unless betas were used with "
    "which m outlives √v.",
    action="Give the betas that were used (--beta-1, --beta-2), and check again",
    source="Cauchy and Schwarz; ckpt-inspect explain moment-bound-violated",
    metrics=("moment_ratio_max",),
)
OTHER_BITS = Kind(
    id="other-bits",
    title="Another reader gives other numbers",
    severity=Severity.CRITICAL,
    condition="TensorFlow's own reader, asked for with --reader tensorflow, gives other bits for a tensor, or none.",
    why="One of the two readers misreads the file.",
    action="Don't rely on either; please report it with the file",
    source="tf.train.load_checkpoint",
)
NO_CHECKSUM = Kind(
    id="no-checksum",
    title="Bytes that nothing can be compared with",
    severity=Severity.INFO,
    condition="The format keeps no checksum of its tensors (HDF5), or of a file beside them (.meta, saved_model.pb).",
    why="All of it was read; that the numbers are those that were written can't be told.",
    action="Keep a checksum of the file beside it (sha256sum)",
    source="HDF5 File Format Specification 3.0, IV.A.2.f: checksums are an option, which Keras doesn't take",
)
NOT_CHECKED = Kind(
    id="not-checked",
    title="Parts that were not checked",
    severity=Severity.INFO,
    condition="A part is not an array of numbers (a dataset iterator's state), belongs to no tensor, or the reader "
    "that was asked for doesn't apply.",
    why="What was not checked is not vouched for.",
    action="Nothing, unless you need that part",
    source="DT_VARIANT in tensorflow/core/framework/types.proto",
)

NOT_READ = Kind(
    id="not-read",
    title="Values that this package doesn't read",
    severity=Severity.CRITICAL,
    condition="Values of the tree are in a msgpack file of flax that is missing, or are neither arrays nor numbers.",
    why="Whether they are whole is not known, and what isn't known to be whole isn't called sound.",
    action="Copy the file, or save them as arrays",
    source="flax.serialization",
)

WEIGHTS_ONLY = Kind(
    id="weights-only",
    title="No optimizer state",
    severity=Severity.CRITICAL,
    condition="The checkpoint holds weights and neither a counter nor moments of an optimizer.",
    why="A resume starts the optimizer anew, silently: counter 0, moments 0.",
    action="Save the optimizer with the model (tf.train.Checkpoint of both, model.save), or accept that it starts anew",
    source="tensorflow/tensorflow#44670, keras-team/keras#16983",
)
STATE_UNKNOWN = Kind(
    id="state-unknown",
    title="No optimizer state of a known kind",
    severity=Severity.CRITICAL,
    condition="No known layout of optimizer state fits, and tensors have names or shapes as such state has.",
    why="Nothing tells whether a resume finds its counter and moments, or starts them anew.",
    action="List the tensors with ckpt-inspect show; save the optimizer by one tf.train.Checkpoint of it and the model",
    source="tensorflow/tensorflow#44670, keras-team/keras#16983",
)
MOMENTS_MISSING = Kind(
    id="moments-missing",
    title="Moments of some parameters are missing",
    severity=Severity.CRITICAL,
    condition="After at least one update, the optimizer's slots of one or all parameters are not in the file.",
    why="A resume silently starts them at 0, while the counter says that they are old: the next updates are too large.",
    action="Save the optimizer with the model's variables, in a format that keeps its slots",
    source="tensorflow/tensorflow#44670, keras-team/tf-keras#70",
)
MOMENTS_ZERO = Kind(
    id="moments-zero",
    title="All moments are 0 after updates",
    severity=Severity.CRITICAL,
    condition="Every slot of every parameter is 0, and the counter is above 0.",
    why="The state was lost before it was saved, or no gradient ever came: resuming is starting anew.",
    action="Resume from a checkpoint before it whose moments are there; check that the optimizer's variables exist "
    "before it is restored",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v averages g², which is 0 only without gradients",
)
NEVER_STEPPED = Kind(
    id="never-stepped",
    title="Saved before the first update",
    severity=Severity.INFO,
    condition="The optimizer's counter is 0.",
    why="Nothing is lost, and there is nothing to resume: the optimizer starts anew.",
    action="Nothing, if training had not begun; if the weights are trained, their optimizer is elsewhere or lost",
    source="the counter in the file",
)
COUNTER_MISSING = Kind(
    id="counter-missing",
    title="No count of the updates",
    severity=Severity.CRITICAL,
    condition="The moments are there; a counter of the updates, or TF1's powers of the betas, is not.",
    why="A resume starts the bias correction, and a schedule, at step 0 with old moments.",
    action="Save the optimizer's counter (iterations, beta1_power) with it",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: the bias correction needs t",
)
WEIGHTS_MISSING = Kind(
    id="weights-missing",
    title="No weights beside the optimizer's state",
    severity=Severity.CRITICAL,
    condition="The file holds the optimizer's tensors and nothing else.",
    why="A resume needs the weights from elsewhere, of the same step.",
    action="Save the model in the same checkpoint",
    source="tf.train.Checkpoint saves what it is given",
)
LOSS_SCALE_MISSING = Kind(
    id="loss-scale-missing",
    title="No loss scale",
    severity=Severity.CRITICAL,
    condition="The configuration names a LossScaleOptimizer with a dynamic scale, and no tensor holds the scale.",
    why="A resume starts it at its initial value: the first updates overflow and are skipped, or gradients underflow.",
    action="Save in a format that keeps it (tf.train.Checkpoint, .keras)",
    source="keras/src/optimizers/loss_scale_optimizer.py",
)
AVERAGE_MISSING = Kind(
    id="average-missing",
    title="No moving averages of the weights",
    severity=Severity.CRITICAL,
    condition="The configuration says use_ema, and the averages of parameters are not in the file.",
    why="A resume starts the averages anew.",
    action="Save the optimizer with its variables",
    source="keras/src/optimizers/base_optimizer.py",
)
IMPOSSIBLE_VALUE = Kind(
    id="impossible-state",
    title="A counter or hyperparameter that can't be",
    severity=Severity.CRITICAL,
    condition="A rate, beta, power or counter in the file is one that no training can have used.",
    why="What depends on it is NaN or wrong after the resume.",
    action="Compare the file with a copy; if the training diverged, resume from the checkpoint before",
    source="the values that the options of the same name accept",
)

STEP_FELL = Kind(
    id="step-fell",
    title="Counter is behind the one before",
    severity=Severity.CRITICAL,
    condition="The optimizer's counter is smaller than in the checkpoint before.",
    why="The training was resumed without the optimizer's state, these are two trainings, or the order is wrong. The "
    "weights often tell which.",
    action="Restore the optimizer together with the model; check two trainings separately, and the checkpoints of one "
    "in their order",
    source="tensorflow/tensorflow#44670, keras-team/keras#16983",
)
MOMENTS_RESET = Kind(
    id="moments-reset",
    title="Moments that can't have come from those before",
    severity=Severity.CRITICAL,
    condition="v_B < β2^k·v_A beyond rounding, for every usual β2 (0.9 and above) or the one that is known; or a "
    "maximum or sum of squares fell; or all slots became 0.",
    why="v falls no faster than that: the moments were set back, or these are two trainings.",
    action="Restore the optimizer together with the model, and check that its variables exist before it is restored",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v_B = β2^k·v_A + (what is not negative)",
    metrics=("second_moment_sample",),
)
PARTLY_RESTORED = Kind(
    id="partly-restored",
    title="Counter goes on, the state does not",
    severity=Severity.CRITICAL,
    condition="The counter and the learning rate go on from the checkpoint before, while moments, or weights and "
    "moments, can't have come from it.",
    why="The resume restored the scalars alone, silently; or these are two trainings.",
    action="Build the model and the optimizer before restoring, and compare the two checkpoints with ckpt-inspect diff",
    source="Keras 3.15's loading of Orbax checkpoints; tensorflow/tensorflow#44670",
)
OTHER_PARAMETERS = Kind(
    id="other-parameters",
    title="Other parameters than before",
    severity=Severity.CRITICAL,
    condition="Parameters of the checkpoint before are gone, have another shape, or have lost their slots.",
    why="It is another model's, or the model was changed: their state is not carried on.",
    action="Compare the two with ckpt-inspect diff; check different models separately",
    source="names and shapes in both files",
)
WEIGHTS_REPLACED = Kind(
    id="weights-replaced",
    title="Weights that no update can have moved so",
    severity=Severity.CRITICAL,
    condition="Elements that no gradient ever reached (m = v = 0 in both) changed their sign, or moved in this window "
    "and in no other at the same rate.",
    why="They were set by hand, initialised again or taken from another training.",
    action="Restore the weights and the optimizer from one checkpoint",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: without a gradient an update is 0",
)
WEIGHTS_ELSEWHERE = Kind(
    id="weights-elsewhere",
    title="Weights farther away than the rate allows",
    severity=Severity.WARNING,
    condition="Most parameters moved more than three times as far as k updates at the larger of both files' learning "
    "rates can move them, and their cosine with those before is below 0.5.",
    why="Either the rate was much larger in between, or the weights were not restored.",
    action="If no schedule raised the rate in between, restore the weights and the optimizer from one checkpoint",
    source="Kingma & Ba, arXiv 1412.6980, section 2.1; Cauchy and Schwarz: |m|/√v is bounded",
)
WEIGHTS_MOVED = Kind(
    id="weights-moved",
    title="Weights without a gradient moved",
    severity=Severity.INFO,
    condition="Elements with m = v = 0 in both moved: by one factor, as decoupled weight decay does, or otherwise, as "
    "a constraint or pruning does.",
    why="Something else than gradients moved them, which may be meant.",
    action="Nothing, if there is weight decay, a constraint or pruning",
    source="Loshchilov & Hutter, arXiv 1711.05101",
)
RATE_CONTRADICTED = Kind(
    id="decay-rate-too-large",
    title="Second moments fell faster than the assumed β2",
    severity=Severity.WARNING,
    condition="v_B < β2^k·v_A for the β2 that is assumed, while a smaller one, of at least 0.9, explains it.",
    why="Either β2 was smaller, or the state was lost: one of the two.",
    action="Give the β2 that was used (--beta-2); with it the state is judged exactly",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1",
)
SMALLER_RATE = Kind(
    id="decay-rate-smaller",
    title="Second moments fall as a smaller β2 lets them",
    severity=Severity.INFO,
    condition="v_B < β2^k·v_A for the β2 that is assumed, and at least two windows of the run agree on the largest "
    "that explains it.",
    why="β2 is smaller than this implementation's default, which no file of this kind contradicts.",
    action="Give it (--beta-2), so that the state is judged exactly",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1",
)
CONTINUES_ANOTHER = Kind(
    id="continues-another",
    title="Continues an earlier checkpoint",
    severity=Severity.INFO,
    condition="The state can have grown out of a checkpoint further back, and not out of the one before.",
    why="Training was resumed from there, or two trainings lie in one folder.",
    action="Check the two lines separately, by naming their checkpoints",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1",
)
ANOTHER_LINE = Kind(
    id="another-line",
    title="On another line than the checkpoint before",
    severity=Severity.CRITICAL,
    condition="The moments can't have come from the checkpoint before, and this one, or a later one, continues a "
    "checkpoint from further back, across those in between.",
    why="The checkpoints lie on two lines: of two trainings in one folder, or of one that was resumed twice from "
    "the same place, once perhaps without its state.",
    action="Check the lines separately, by naming the checkpoints of each",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: v_B = β2^k·v_A + (what is not negative)",
)
UPDATES_SKIPPED = Kind(
    id="updates-skipped",
    title="Moments decayed less often than the counter counts",
    severity=Severity.INFO,
    condition="Elements that no gradient reached show, in both moments, fewer decays than the counter rose by.",
    why="Loss scaling skips an update whose gradients overflow, and gradients that are accumulated are one update, "
    "while the counter may count each. Nothing of the state is lost.",
    action="Nothing, if there is loss scaling or accumulation; if many are skipped, look at the loss scale",
    source="Kingma & Ba, arXiv 1412.6980, Algorithm 1: each update multiplies m by β1 and v by β2",
)
HYPERPARAMETERS_CHANGED = Kind(
    id="hyperparameters-changed",
    title="Hyperparameters differ from those before",
    severity=Severity.INFO,
    condition="The learning rate, a beta, epsilon, the weight decay or the rule is known in both and differs.",
    why="A schedule or callback does that; a resume with other settings as well.",
    action="Nothing, if it was meant",
    source="both files",
)
SAME_STEP = Kind(
    id="same-step",
    title="Same counter as the one before",
    severity=Severity.INFO,
    condition="The counter did not move.",
    why="Saved twice at one step, if all bits are the same; else something other than counted updates changed it.",
    action="Nothing, if all bits are the same",
    source="both files",
)
RULE_CHANGED = Kind(
    id="rule-changed",
    title="Another update rule than before",
    severity=Severity.INFO,
    condition="The rule of an optimizer is another than in the checkpoint before, and neither its counter nor the "
    "weights speak against a continuation.",
    why="What two rules keep can't be compared: nothing tells whether the state was carried on, or is of another "
    "training.",
    action="Nothing, if the rule was changed on purpose; else see of which training this checkpoint is",
    source="both files",
)
CANNOT_TELL = Kind(
    id="continuity-unknown",
    title="Nothing tells whether it continues",
    severity=Severity.INFO,
    condition="Neither a counter nor a second moment is in both files.",
    why="No proof either way.",
    action="Save the optimizer with its counter",
    source="both files",
)

STATE_FILE_ASTRAY = Kind(
    id="state-file-astray",
    title="State file names a checkpoint that is not there",
    severity=Severity.WARNING,
    condition="The folder's `checkpoint` file names a newest checkpoint, and there is none of that name.",
    why="tf.train.latest_checkpoint finds nothing then, and a training that asks it starts anew, silently.",
    action="Restore the checkpoint by its own name, or write the name of one that is there into the file",
    source="tf.train.latest_checkpoint in tensorflow/python/checkpoint/checkpoint_management.py",
)
STATE_FILE_BEHIND = Kind(
    id="state-file-behind",
    title="State file names an older checkpoint",
    severity=Severity.WARNING,
    condition="The folder's `checkpoint` file names another checkpoint than the last of the run.",
    why="tf.train.latest_checkpoint gives the one that is named: a resume goes on from there, and what was trained "
    "later is not used.",
    action="If that isn't meant, restore the last one by its own name",
    source="tf.train.latest_checkpoint in tensorflow/python/checkpoint/checkpoint_management.py",
)

OTHER_NAMES = Kind(
    id="other-names",
    title="Two runs of a folder train the same shapes under other names",
    severity=Severity.WARNING,
    condition="Checkpoints of a folder are named alike, their parameters differ in names alone, and the names "
    "correspond.",
    why="Keras numbers layers anew where a model is built a second time in a process: dense_2 is what was dense. It "
    "may be one training that was resumed, or two trainings; nothing in the files tells.",
    action="If it is one training, name its checkpoints one by one (ckpt-inspect check A B): they are compared then",
    source="keras/src/utils/naming.py `auto_name`",
)

WHOLE = (
    UNREADABLE, PART_MISSING, NOT_MERGED, DAMAGED, NOT_FINITE, INFINITE_SCALAR, IMPOSSIBLE_MOMENTS, DOUBTFUL_MOMENTS,
    OTHER_BITS, NO_CHECKSUM, NOT_CHECKED, NOT_READ,
)  # fmt: skip
COMPLETE = (
    WEIGHTS_ONLY, STATE_UNKNOWN, MOMENTS_MISSING, MOMENTS_ZERO, NEVER_STEPPED, COUNTER_MISSING, WEIGHTS_MISSING,
    LOSS_SCALE_MISSING, AVERAGE_MISSING, IMPOSSIBLE_VALUE,
)  # fmt: skip
CONTINUES = (
    STEP_FELL, MOMENTS_RESET, PARTLY_RESTORED, OTHER_PARAMETERS, WEIGHTS_REPLACED, WEIGHTS_ELSEWHERE, WEIGHTS_MOVED,
    RATE_CONTRADICTED, SMALLER_RATE, CONTINUES_ANOTHER, ANOTHER_LINE, UPDATES_SKIPPED, HYPERPARAMETERS_CHANGED,
    SAME_STEP, RULE_CHANGED, CANNOT_TELL,
)  # fmt: skip
FOLDER = (STATE_FILE_ASTRAY, STATE_FILE_BEHIND, OTHER_NAMES)
REASONS: tuple[Kind, ...] = (*WHOLE, *COMPLETE, *CONTINUES, *FOLDER)
"""Every reason that a verdict can have, and every remark on a folder."""
