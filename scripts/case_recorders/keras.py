"""Cases of Keras since TensorFlow 2.0: OptimizerV2, the Keras-2 optimizer, Keras 3 on TensorFlow and JAX.

    python -m case_recorders.keras FLAVOUR PREFIX OUT [REGEX]        (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR: v2 (OptimizerV2 if it is the default, or optimizers.legacy), new (the optimizer of Keras 2.9-2.15),
k3 (Keras 3, whatever the backend), tfk and tfkleg (tf_keras), tfa (tensorflow-addons on top of v2).
"""

import contextlib
import os
import sys
import zlib

import numpy as np

from case_recorders.case import Case, plain, run_all, variable_entry
from case_recorders.models import Models

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Namespace(object):
    """The Keras under test, and the differences between its versions."""

    def __init__(self, flavour):
        self.flavour = flavour
        self.tf = None
        if flavour != "k3" or os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
            import tensorflow as tf

            self.tf = tf
            self.matmul = tf.matmul
            tf.get_logger().setLevel("ERROR")
        if flavour == "k3":
            import keras

            self.ops = keras.ops
        elif flavour in ("tfk", "tfkleg"):
            import tf_keras as keras
        else:
            keras = self.tf.keras
        self.keras = keras
        self.layers, self.Model, self.Sequential, self.Input = keras.layers, keras.Model, keras.Sequential, keras.Input
        o = keras.optimizers
        if flavour in ("v2", "tfa", "tfkleg"):
            o = getattr(o, "legacy", o) if hasattr(getattr(o, "legacy", None), "Adam") else o
        elif flavour == "new" and self.version() < (2, 11):
            o = o.experimental
        self.optimizers = o
        self.schedules = keras.optimizers.schedules
        self.callbacks = keras.callbacks

    def version(self):
        text = getattr(self.keras, "__version__", None) or self.tf.__version__
        return tuple(int("".join(c for c in p if c.isdigit()) or 0) for p in text.split("-")[0].split(".")[:2])

    def versions(self):
        text = getattr(self.keras, "__version__", None)
        if text is None:  # TF 2.13 keeps it in the package beside it
            import keras

            text = keras.__version__
        v = dict(keras_version=text)
        v["tf_version"] = self.tf.__version__ if self.tf else None
        if self.flavour == "k3":
            v["backend"] = self.keras.backend.backend()
        if self.flavour == "tfa":
            import tensorflow_addons

            v["addons_version"] = tensorflow_addons.__version__
        return v

    def set_policy(self, name):
        mp = self.keras.mixed_precision
        if hasattr(mp, "set_global_policy"):
            mp.set_global_policy(name)
        else:
            mp.experimental.set_policy(name)

    def loss_scaled(self, inner):
        mp = self.keras.mixed_precision
        if self.flavour == "k3":
            return self.keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
        if hasattr(mp, "LossScaleOptimizer"):
            return mp.LossScaleOptimizer(inner)
        return mp.experimental.LossScaleOptimizer(inner, "dynamic")


def number(x):
    if hasattr(x, "numpy"):
        x = x.numpy()
    return np.asarray(x)


def inner_most(opt):
    """Out of LossScaleOptimizer, Lookahead, MovingAverage, SWA."""
    while True:
        for name in ("inner_optimizer", "_optimizer"):
            inner = getattr(opt, name, None)
            if inner is not None and inner is not opt and (hasattr(inner, "get_config") or hasattr(inner, "get_slot")):
                opt = inner
                break
        else:
            return opt


class Tracked(object):
    """One optimizer and the variables it trains; remembers the weights around its last real update."""

    SLOTS = [
        ("_momentums", "m"),
        ("_velocities", "v"),
        ("_velocity_hats", "vhat"),
        ("_m", "m"),
        ("_u", "u"),
        ("_accumulated_gradients", "accum_grad"),
        ("_model_variables_moving_average", "ema"),
    ]

    def __init__(self, k, opt, variables):
        self.k, self.opt, self.inner, self.variables = k, opt, inner_most(opt), list(variables)
        self.flavour = "k3" if k.flavour == "k3" else "v2" if hasattr(self.inner, "_hyper") else "k2new"
        self.calls, self.before, self.after, self.lr_used, self.t_used = 0, None, None, None, 0
        self.before_count, self.skipped = None, False

    def values(self):
        return [number(v).copy() for v in self.variables]

    def count(self):
        if self.flavour == "v2":  # asking a wrapped optimizer gives it its own counter, which would be saved as 0
            return int(number(self.opt.iterations))
        raw = getattr(self.inner, "_iterations", None)
        return int(number(self.inner.iterations if raw is None else raw))

    def exponent(self):
        """Return the exponent of the update just made: the counter, perhaps divided by the accumulation steps."""
        raw, n = self.count(), self.accumulation()
        return raw // n if n and self.k.version() >= (3, 5) else raw

    def accumulation(self):
        return getattr(self.inner, "gradient_accumulation_steps", None) or 0

    def lr(self):
        o = self.inner
        if self.flavour == "v2":
            if type(o).__name__ == "Nadam":  # its `decay` is the schedule of the momentum
                return float(number(o._get_hyper("learning_rate")))
            return float(number(o._decayed_lr("float32")))
        if self.flavour == "k3":
            return float(number(o._get_current_learning_rate()))
        lr = o._learning_rate
        return float(number(lr(o.iterations) if callable(lr) and not hasattr(lr, "assign") else lr))

    def around(self, step):
        """Runs one training step between two looks at the weights."""
        lr, count, before = self.lr(), self.count(), self.values()
        result = step()
        self.calls += 1
        n = self.accumulation()
        # OptimizerV2 counts a step that its LossScaleOptimizer skipped
        self.skipped = type(self.opt).__name__ == "LossScaleOptimizer" and all(
            np.array_equal(a, b) for a, b in zip(before, self.values())
        )
        if self.count() != count and not (n and self.count() % n) and not self.skipped:
            self.lr_used, self.before, self.after, self.before_count = lr, before, self.values(), count
            self.t_used = self.exponent()
        return result

    def slots(self, i, v):
        o, found = self.inner, {}
        if self.flavour == "v2":
            for owner in {id(x): x for x in (self.opt, o)}.values():
                for name in owner.get_slot_names() if hasattr(owner, "get_slot_names") else []:
                    try:
                        found[name] = number(owner.get_slot(v, name))
                    except (KeyError, AttributeError, NotImplementedError):  # a LossScaleOptimizer before TF 2.3
                        pass
            return found
        try:
            at = o._get_variable_index(v) if self.flavour == "k3" else o._index_dict[o._var_key(v)]
        except KeyError:
            return {}
        rms = type(o).__name__ == "RMSprop"
        for attribute, name in self.SLOTS:
            held = getattr(o, attribute, None)
            name = {"m": "momentum", "v": "rms"}.get(name, name) if rms else name
            if isinstance(held, (list, tuple)) or (hasattr(held, "__getitem__") and hasattr(held, "__len__")):
                if at < len(held) and held[at] is not None and tuple(held[at].shape) == tuple(v.shape):
                    found[name] = number(held[at])
        return found

    def record(self):
        o, entries, arrays = self.inner, [], []
        for i, v in enumerate(self.variables):
            slots = self.slots(i, v)
            dtype = v.dtype if isinstance(v.dtype, str) else v.dtype.name
            entries.append(
                variable_entry(
                    i, v.name, v.shape, dtype, slots, path=getattr(v, "path", None) if self.flavour == "k3" else None
                )
            )
            row = dict(value=number(v), before=self.before and self.before[i], after=self.after and self.after[i])
            row.update({"slot_" + name: a for name, a in slots.items()})
            arrays.append(row)
        scalars = {}
        if self.flavour == "v2":
            for name, h in o._hyper.items():
                if not callable(h) or hasattr(h, "numpy"):
                    scalars["hyper." + name] = float(number(h))
        if self.flavour == "k3":
            scalars.update(iterations_property=int(number(o.iterations)), iterations_raw_variable=self.count())
        n = self.count()
        rec = dict(
            cls=type(self.opt).__name__,
            inner_cls=type(o).__name__,
            module=type(self.opt).__module__,
            inner_module=type(o).__module__,
            flavor=self.flavour if o is self.opt else "wrap",
            inner_flavor=self.flavour,
            config=plain(self.opt.get_config()),
            iterations=n,
            iterations_before_last_apply=self.before_count,
            apply_gradients_calls=self.calls,
            t_used_last=self.t_used,
            t_used_last_source="rule",
            lr_used_last=self.lr_used,
            lr_next=self.lr(),
            scalars=scalars,
            variables=entries,
        )
        return rec, arrays


# ----------------------------------------------------------------------------------------------------------- training


def seeded(k, case_id):
    """The same numbers for a case in whatever order cases are made."""
    seed = zlib.crc32(case_id.encode()) % 100000
    k.keras.backend.clear_session()
    np.random.seed(seed)
    if k.flavour == "k3":
        k.keras.utils.set_random_seed(seed)
    else:
        k.tf.random.set_seed(seed)
    return np.random.RandomState(seed)


def gradients(k, model, variables, x, y, scale=None):
    tf = k.tf
    with tf.GradientTape() as tape:
        out = model(x, training=True)
        loss = tf.reduce_mean(tf.square(tf.cast(out, "float32") - y))
        if scale is not None:
            loss = scale(loss)
    refs = [getattr(v, "value", v) if k.flavour == "k3" else v for v in variables]
    return tape.gradient(loss, refs)


def trainables(model):
    return list(model.trainable_variables)


# ------------------------------------------------------------------------------------------ tf.train.Checkpoint cases


def ckpt_case(
    k,
    out,
    optimizer,
    model="base",
    saves=(2, 4),
    text="Adam",
    notes="",
    wrap=None,
    reverse=False,
    attributes=None,
    dtype=None,
    write=False,
    only=None,
    change_lr=None,
    inf_at=None,
    build_only=False,
    alone=False,
    manager=True,
):
    """One model, one optimizer, a training loop by hand; `attributes(model, opt)` are what the Checkpoint holds."""

    def make(case_id):
        tf = k.tf
        rng = seeded(k, case_id)
        built = getattr(Models(k), model)
        m, data = built(dtype) if dtype else built()
        opt = optimizer()
        variables = trainables(m)
        if reverse:
            variables = variables[::-1]
        track = Tracked(k, opt, variables)
        case = Case(out, case_id, "tf.train.Checkpoint", text, notes, k.versions())
        held = attributes(m, opt) if attributes else dict(model=m, optimizer=opt)
        ckpt = tf.train.Checkpoint(**held)
        man = tf.train.CheckpointManager(ckpt, case.folder, max_to_keep=None) if not write else None
        step = 0

        def save(number_):
            if change_lr is not None:
                opt.learning_rate = change_lr
            if write:
                path = ckpt.write(case.file("ckpt-%d" % number_))
            else:
                path = man.save(checkpoint_number=number_)
            case.checkpoint("s%d" % number_, os.path.basename(path), number_, {"optimizer": track.record()})

        for target in saves:
            while step < target:
                x, y = data(rng)
                scale = (
                    (getattr(opt, "scale_loss", None) or getattr(opt, "get_scaled_loss", None))
                    if wrap == "lso"
                    else None
                )
                g = gradients(k, m, variables, x, y, scale)
                if wrap == "lso" and k.flavour != "k3":
                    g = opt.get_unscaled_gradients(g)
                if inf_at is not None and step == inf_at:
                    g = [tf.zeros_like(tf.convert_to_tensor(a)) + np.inf for a in g]
                track.around(lambda: opt.apply_gradients(zip(g, variables)))
                step += 1
            save(target)
        case.write()

    return make


def gan_case(k, out, classes=("Adam", "Adam"), shared=False, names=("generator_optimizer", "discriminator_optimizer")):
    def make(case_id):
        tf = k.tf
        rng = seeded(k, case_id)
        L = k.layers
        g = k.Sequential([k.Input(shape=(3,)), L.Dense(4, activation="tanh"), L.Dense(2)])
        d = k.Sequential([k.Input(shape=(2,)), L.Dense(4, activation="tanh"), L.Dense(1)])
        go = getattr(k.optimizers, classes[0])(learning_rate=1e-3, beta_1=0.5, beta_2=0.9)
        do = getattr(k.optimizers, classes[1])(learning_rate=4e-3, beta_1=0.0, beta_2=0.99)
        tg, td = Tracked(k, go, trainables(g)), Tracked(k, do, trainables(d))
        case = Case(
            out, case_id, "tf.train.Checkpoint", "%s, %s" % classes, "two optimizers; D twice per G step", k.versions()
        )
        man = tf.train.CheckpointManager(
            tf.train.Checkpoint(**{"generator": g, "discriminator": d, names[0]: go, names[1]: do}),
            case.folder,
            max_to_keep=None,
        )
        for step in range(1, 5):
            for _ in range(2):
                z, real = rng.randn(4, 3).astype("float32"), rng.randn(4, 2).astype("float32") + 1
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean(tf.square(d(g(z)))) + tf.reduce_mean(tf.square(d(real) - 1))
                grads = tape.gradient(loss, refs(k, d))
                td.around(lambda: do.apply_gradients(zip(grads, trainables(d))))
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(d(g(rng.randn(4, 3).astype("float32"))) - 1))
            grads = tape.gradient(loss, refs(k, g))
            tg.around(lambda: go.apply_gradients(zip(grads, trainables(g))))
            if step % 2 == 0:
                path = man.save(checkpoint_number=step)
                case.checkpoint(
                    "s%d" % step, os.path.basename(path), step, {names[0]: tg.record(), names[1]: td.record()}
                )
        case.write()

    return make


def refs(k, m):
    return [v.value if k.flavour == "k3" else v for v in trainables(m)]


def two_optimizers_case(k, out, overlapping):
    """Two optimizers for one model: over its two halves, or one after the other over all of it."""

    def make(case_id):
        tf = k.tf
        rng = seeded(k, case_id)
        m, data = Models(k).dup()
        variables = trainables(m)
        first, second = (variables, variables) if overlapping else (variables[:4], variables[4:])
        a, b = k.optimizers.Adam(learning_rate=0.01), k.optimizers.Adam(learning_rate=0.002, beta_1=0.8, beta_2=0.95)
        ta, tb = Tracked(k, a, first), Tracked(k, b, second)
        case = Case(
            out,
            case_id,
            "tf.train.Checkpoint",
            "Adam, Adam",
            "two optimizers, "
            + ("one after the other over the same variables" if overlapping else "one for each half of a model"),
            k.versions(),
        )
        man = tf.train.CheckpointManager(
            tf.train.Checkpoint(net=m, body_opt=a, head_opt=b), case.folder, max_to_keep=None
        )
        for step in range(1, 5):
            x, y = data(rng)
            g = gradients(k, m, first, x, y)
            if not overlapping or step < 3:
                ta.around(lambda: a.apply_gradients(zip(g, first)))
            g = gradients(k, m, second, x, y)
            if not overlapping or step >= 3:
                tb.around(lambda: b.apply_gradients(zip(g, second)))
            if step in (2, 4):
                recs = {"body_opt": ta.record()}
                if tb.calls:
                    recs["head_opt"] = tb.record()
                if overlapping and step == 4:
                    # the second optimizer has moved the weights since the first one's last update
                    for row in recs["body_opt"][1]:
                        row.pop("before"), row.pop("after")
                path = man.save(checkpoint_number=step)
                case.checkpoint("s%d" % step, os.path.basename(path), step, recs)
        case.write()

    return make


def shared_iter_case(k, out):
    def make(case_id):
        tf = k.tf
        rng = seeded(k, case_id)
        step = tf.Variable(0, dtype="int64", name="global_step")
        a, b = (
            tf.Variable(rng.randn(3, 2).astype("float32"), name="a"),
            tf.Variable(rng.randn(3, 2).astype("float32"), name="b"),
        )
        oa, ob = k.optimizers.Adam(learning_rate=0.01), k.optimizers.Adam(learning_rate=0.01)
        oa.iterations = step
        ob.iterations = step
        ta, tb = Tracked(k, oa, [a]), Tracked(k, ob, [b])
        case = Case(out, case_id, "tf.train.Checkpoint", "Adam, Adam", "one counter for two optimizers", k.versions())
        ck = tf.train.Checkpoint(a=a, b=b, opt_a=oa, opt_b=ob, step=step)
        for _ in range(3):
            ta.around(lambda: oa.apply_gradients([(tf.constant(rng.randn(3, 2).astype("float32")), a)]))
            tb.around(lambda: ob.apply_gradients([(tf.constant(rng.randn(3, 2).astype("float32")), b)]))
        path = ck.save(case.file("ckpt"))
        case.checkpoint("s3", os.path.basename(path), 3, {"opt_a": ta.record(), "opt_b": tb.record()})
        case.write()

    return make


def order_changes_case(k, out):
    """Two programs of one run: the second builds its optimizer with the variables in the opposite order."""

    def make(case_id):
        tf = k.tf
        rng = seeded(k, case_id)
        m, data = Models(k).dup()
        case = Case(
            out,
            case_id,
            "tf.train.Checkpoint",
            "Adam",
            "rebuilt with another order of variables between the checkpoints",
            k.versions(),
        )
        names = trainables(m)
        for number_, variables in ((3, names), (6, names[::-1])):
            if number_ == 6:
                k.keras.backend.clear_session()  # the same names as in the first program
                m, data = Models(k).dup()
                variables = trainables(m)[::-1]
            opt = k.optimizers.Adam(learning_rate=0.01)
            t = Tracked(k, opt, variables)
            man = tf.train.CheckpointManager(tf.train.Checkpoint(model=m, optimizer=opt), case.folder, max_to_keep=None)
            for _ in range(3):
                x, y = data(rng)
                g = gradients(k, m, variables, x, y)
                t.around(lambda: opt.apply_gradients(zip(g, variables)))
            path = man.save(checkpoint_number=number_)
            rec, arrays = t.record()
            if number_ == 6:
                # the same index for the same parameter in both
                rec["variables"], arrays = rec["variables"][::-1], arrays[::-1]
                for i, e in enumerate(rec["variables"]):
                    e["index"] = i
            case.checkpoint("s%d" % number_, os.path.basename(path), number_, {"optimizer": (rec, arrays)})
        case.write()

    return make


# ------------------------------------------------------------------------------------------------ compile + fit cases


@contextlib.contextmanager
def nothing():
    yield


FORMATS = {
    "h5": ("model_%d.h5", "model.save(.h5)"),
    "keras": ("model_%d.keras", ".keras"),
    "weights_h5": ("model_%d.weights.h5", ".weights.h5"),
    "savedmodel": ("sm_%d", "SavedModel"),
    "saveweights_tf": ("w_%d", "model.save_weights(tf)"),
    "h5_weightsonly": ("w_%d.h5", "model.save_weights(.h5)"),
    "export": ("export_%d", "SavedModel via model.export"),
}


def save_model(k, m, kind, path):
    if kind == "h5":
        m.save(path) if k.flavour == "k3" or k.version() >= (2, 12) else m.save(path, save_format="h5")
    elif kind == "keras":
        m.save(path)
    elif kind in ("weights_h5", "h5_weightsonly"):
        m.save_weights(path)
    elif kind == "saveweights_tf":
        m.save_weights(path, save_format="tf")
    elif kind == "savedmodel":
        m.save(path, save_format="tf")
    elif kind == "export":
        m.export(path)


def fit_case(k, out, kind, optimizer, model="base", saves=(3,), text="Adam", notes="", policy=None, mirrored=False):
    """compile(), train_on_batch(), save."""

    def make(case_id):
        rng = seeded(k, case_id)
        if policy:
            k.set_policy(policy)
        try:
            strategy = k.tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]) if mirrored else None
            with strategy.scope() if mirrored else nothing():
                m, data = getattr(Models(k), model)()
                opt = optimizer()
                more = dict(jit_compile=False) if k.flavour == "k3" and k.tf else {}
                m.compile(optimizer=opt, loss="mse", **more)
            name, text_ = FORMATS[kind]
            case = Case(out, case_id, text_, text, notes, k.versions())
            track, step = Tracked(k, m.optimizer, trainables(m)), 0
            for target in saves:
                while step < target or track.skipped:
                    x, y = data(rng)
                    track.around(lambda: m.train_on_batch(x, y))
                    step += 1
                save_model(k, m, kind, case.file(name % target))
                case.checkpoint("s%d" % target, name % target, target, {"optimizer": track.record()})
            case.write()
        finally:
            if policy:
                k.set_policy("float32")

    return make


def callback_case(
    k,
    out,
    kind,
    callbacks,
    path,
    text_format,
    epochs=2,
    per_epoch=3,
    model="base",
    text="Adam",
    notes="",
    interrupt=False,
    final=None,
):
    """fit() with Keras' own callbacks doing the saving, or changing the learning rate."""

    def make(case_id):
        rng = seeded(k, case_id)
        m, data = getattr(Models(k), model)()
        more = dict(jit_compile=False) if k.flavour == "k3" else {}
        m.compile(optimizer=k.optimizers.Adam(learning_rate=0.01), loss="mse", **more)
        case = Case(out, case_id, text_format, text, notes, k.versions())
        track = Tracked(k, m.optimizer, trainables(m))
        records = []

        class Watch(k.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                self.seen = track.lr(), track.count(), track.values()

            def on_train_batch_end(self, batch, logs=None):
                track.calls += 1
                track.lr_used, track.before_count, track.before = self.seen
                track.after, track.t_used = track.values(), track.exponent()

            def on_epoch_end(self, epoch, logs=None):
                records.append((epoch + 1, track.calls, track.record()))

        class Stop(k.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == epochs:
                    raise KeyboardInterrupt("as when a machine goes away")

        batches = [data(rng) for _ in range(per_epoch)]
        x, y = np.concatenate([b[0] for b in batches]), np.concatenate([b[1] for b in batches])
        try:
            m.fit(
                x,
                y,
                batch_size=4,
                epochs=epochs + interrupt,
                shuffle=False,
                verbose=0,
                callbacks=[Watch()] + callbacks(case) + ([Stop()] if interrupt else []),
            )
        except KeyboardInterrupt:
            pass
        if final:
            save_model(k, m, final, case.file(path))
            case.checkpoint("s%d" % track.calls, path, track.calls, {"optimizer": track.record()})
        else:
            for epoch, calls, record in records:
                case.checkpoint("s%d" % calls, path.format(epoch=epoch), calls, {"optimizer": record})
        case.write()

    return make


# ------------------------------------------------------------------------------------------------------- what to make


def schedules(k):
    s, v = k.schedules, k.version()
    out = {
        "expdecay": lambda: s.ExponentialDecay(0.02, 2, 0.5),
        "expstair": lambda: s.ExponentialDecay(0.02, 2, 0.5, staircase=True),
        "piecewise": lambda: s.PiecewiseConstantDecay([1, 3], [0.02, 0.01, 0.005]),
        "polynomial": lambda: s.PolynomialDecay(0.02, 5, 0.001, power=2.0),
        "polycycle": lambda: s.PolynomialDecay(0.02, 2, 0.001, power=1.5, cycle=True),
        "inversetime": lambda: s.InverseTimeDecay(0.02, 2, 0.7),
    }
    where = s if hasattr(s, "CosineDecay") else getattr(k.keras, "experimental", None)
    if where is not None:
        out["cosine"] = lambda: where.CosineDecay(0.02, 10, alpha=0.1)
        out["cosinerestarts"] = lambda: where.CosineDecayRestarts(0.02, 2, t_mul=2.0, m_mul=0.9)
    if v >= (2, 13):
        out["cosinewarm"] = lambda: s.CosineDecay(0.001, 10, warmup_target=0.02, warmup_steps=3)

    class Custom(s.LearningRateSchedule):
        def __call__(self, step):
            step = step + 1
            if k.flavour == "k3":
                return 0.01 / k.keras.ops.sqrt(k.keras.ops.cast(step, "float32"))
            return 0.01 / k.tf.sqrt(k.tf.cast(step, "float32"))

        def get_config(self):
            return {}

    out["customsched"] = Custom
    return out


def add_adabelief(ck, fit, k):
    """AdaBelief of tensorflow-addons. With beta_2 = 0.999 its rectification begins with the sixth update."""
    import tensorflow_addons as tfa

    AdaBelief = lambda **kw: lambda: tfa.optimizers.AdaBelief(**dict(dict(learning_rate=0.01), **kw))
    text = "tfa AdaBelief"
    ck("tfa_adabelief", AdaBelief(), text=text, saves=(3, 7))
    ck("tfa_adabelief_dup", AdaBelief(), model="dup", text=text, saves=(5, 6))
    ck("tfa_adabelief_long", AdaBelief(beta_2=0.9), text=text, saves=(30, 120))
    ck("tfa_adabelief_eps", AdaBelief(epsilon=1e-3, beta_1=0.8, beta_2=0.95), text=text, saves=(3, 8))
    ck("tfa_adabelief_amsgrad", AdaBelief(amsgrad=True, beta_2=0.9), text=text, saves=(3, 7))
    ck(
        "tfa_adabelief_norect",
        AdaBelief(rectify=False),
        text=text,
        saves=(3, 7),
        notes="rectify=False, which a Checkpoint doesn't tell",
    )
    ck("tfa_adabelief_threshold", AdaBelief(sma_threshold=4.5, beta_2=0.99), text=text, saves=(4, 5, 6))
    warm = dict(total_steps=10, warmup_proportion=0.3, min_lr=1e-3)
    ck("tfa_adabelief_warmup", AdaBelief(weight_decay=0.05, **warm), text=text, saves=(2, 5))
    ck("tfa_adabelief_warmup_over", AdaBelief(weight_decay=0.05, **warm), text=text, saves=(8, 12))
    ck("tfa_adabelief_wd", AdaBelief(weight_decay=0.05), text=text, saves=(3, 7))
    ck(
        "tfa_adabelief_wd_sched",
        lambda: AdaBelief(weight_decay=k.schedules.ExponentialDecay(0.05, 2, 0.5))(),
        text=text,
        saves=(3, 7),
        notes="the decay follows a schedule and is in no tensor",
    )
    ck(
        "tfa_adabelief_sched",
        lambda: AdaBelief(learning_rate=k.schedules.ExponentialDecay(0.02, 2, 0.5))(),
        text=text,
        saves=(3, 7),
    )
    ck("tfa_adabelief_decay", AdaBelief(decay=0.5), text=text, saves=(3, 7))
    ck("tfa_adabelief_named", AdaBelief(name="belief"), text=text, saves=(7,))
    ck("tfa_adabelief_f64", AdaBelief(), text=text, dtype="float64", saves=(3, 7))
    ck("tfa_adabelief_f64_amsgrad_wd", AdaBelief(amsgrad=True, weight_decay=0.05), text=text, dtype="float64")
    ck("tfa_adabelief_f16", AdaBelief(epsilon=1e-3, beta_2=0.9), text=text, dtype="float16", saves=(3, 7))
    ck("tfa_adabelief_bf16", AdaBelief(beta_2=0.9), text=text, dtype="bfloat16", saves=(3, 7))
    ck(
        "tfa_ranger_adabelief",
        lambda: tfa.optimizers.Lookahead(AdaBelief()(), sync_period=4),
        text="tfa Lookahead(AdaBelief)",
        saves=(7,),
    )
    plain = AdaBelief(rectify=False, amsgrad=True, beta_2=0.9, weight_decay=0.05, epsilon=1e-6)
    for kind in ("h5", "savedmodel", "saveweights_tf"):
        fit(kind, "tfa_adabelief", AdaBelief(), text=text, saves=(3, 7))
        fit(kind, "tfa_adabelief_norect", plain, model="single", text=text, saves=(3, 7))
        fit(kind, "tfa_adabelief_warmup", AdaBelief(weight_decay=0.05, **warm), text=text, saves=(2, 5))


def makers(k, out):
    o, made = k.optimizers, []
    Adam = lambda **kw: lambda: o.Adam(**dict(dict(learning_rate=0.01), **kw))
    of = lambda cls, **kw: lambda: getattr(o, cls)(**dict(dict(learning_rate=0.01), **kw))
    f, tf, v = k.flavour, k.tf, k.version()
    new = f in ("new", "tfk", "k3")
    add = lambda name, maker: made.append((name, maker))
    ck = lambda name, opt, **kw: add("ckpt_" + name, ckpt_case(k, out, opt, **kw)) if tf else None
    fit = lambda kind, name, opt, **kw: add(
        "fit_" + kind + ("_" + name if name else ""), fit_case(k, out, kind, opt, **kw)
    )

    # --- tf.train.Checkpoint
    ck("adam", Adam(), saves=(2, 4, 6))
    ck("adam_eps", Adam(epsilon=1e-2, beta_1=0.8, beta_2=0.95))
    ck("amsgrad", Adam(amsgrad=True), saves=(2, 5))
    ck("adamax", of("Adamax"), text="Adamax")
    ck("nadam", of("Nadam"), text="Nadam")
    ck("nadam_dup", of("Nadam"), model="dup", text="Nadam")
    ck("sgdm", of("SGD", momentum=0.9), text="SGD(momentum)")
    ck("rmsprop_mom", of("RMSprop", momentum=0.5, centered=True), text="RMSprop(momentum, centered)")
    ck("clipnorm", Adam(clipnorm=0.1))
    for name in (
        "dup",
        "bn_dup",
        "many",
        "named",
        "frozen",
        "frozen_middle",
        "nested",
        "nested_deep",
        "nested_part_frozen",
        "shared",
        "two_inputs",
        "rnn",
        "bidirectional",
        "attention",
        "custom",
        "same_class",
        "scalar_first",
        "subclass",
        "subclass_nested",
        "timedistributed",
        "conv",
        "dropout",
        "options",
        "siamese",
    ):
        if name == "attention" and not hasattr(k.layers, "MultiHeadAttention"):
            continue
        ck(name, Adam(), model=name)
    ck("reordered", Adam(), model="dup", reverse=True)
    ck("reordered_amsgrad", Adam(amsgrad=True), model="dup", reverse=True)
    ck("many_amsgrad_reordered", Adam(amsgrad=True), model="many", reverse=True)
    ck("f16", Adam(epsilon=1e-3), dtype="float16")
    ck("f64", Adam(), dtype="float64")
    ck("bf16", Adam(), dtype="bfloat16")
    ck("bf16_b2", Adam(beta_2=0.99), dtype="bfloat16")
    ck("f64_amsgrad", Adam(amsgrad=True), dtype="float64")
    ck("write", Adam(), write=True)
    ck("fresh", Adam(), saves=(0,))
    ck(
        "weights_only",
        Adam(),
        attributes=lambda m, p: dict(model=m),
        saves=(3,),
        notes="optimizer not in the Checkpoint",
    )
    ck("opt_only", Adam(), attributes=lambda m, p: dict(optimizer=p), saves=(3,))
    ck("opt_only_amsgrad", Adam(amsgrad=True), model="dup", attributes=lambda m, p: dict(optimizer=p), saves=(3,))
    ck("odd_attribute", Adam(), attributes=lambda m, p: dict(net=m, my_Adam_2=p), saves=(3,))
    ck(
        "lr_changed",
        Adam(),
        change_lr=0.001,
        saves=(3,),
        notes="learning_rate set after the last update, before saving",
    )
    if tf:

        class Holder(getattr(tf, "Module", object)):
            pass

        def held(m, p):
            h = Holder()
            h.opt, h.net = p, m
            return dict(trainer=h, step=tf.Variable(7, dtype="int64"))

        ck("trainer", Adam(), attributes=held, saves=(3,))

        def in_list(m, p):
            return dict(parts=[m, p]) if v >= (2, 3) else dict(model=m, optimizer=p)

        ck("in_list", Adam(), attributes=in_list, saves=(3,))

        def compiled(m, p):
            m.compile(optimizer=p, loss="mse")
            return dict(model=m)

        ck("model_compiled", Adam(), attributes=compiled, saves=(3,))
        add("ckpt_gan", gan_case(k, out))
        add("ckpt_gan_mixed", gan_case(k, out, classes=("Adam", "Nadam"), names=("opt_g", "opt_d")))
        add("ckpt_two_halves", two_optimizers_case(k, out, False))
        add("ckpt_two_overlapping", two_optimizers_case(k, out, True))
        add("ckpt_order_changes", order_changes_case(k, out))
        if f != "k3":
            add("ckpt_shared_iter", shared_iter_case(k, out))
        ck(
            "lso",
            lambda: k.loss_scaled(o.Adam(learning_rate=0.01)),
            wrap="lso",
            inf_at=3,
            saves=(2, 6),
            text="LossScaleOptimizer(Adam)",
        )
        ck(
            "lso_amsgrad_dup",
            lambda: k.loss_scaled(o.Adam(learning_rate=0.01, amsgrad=True)),
            model="dup",
            wrap="lso",
            saves=(3,),
            text="LossScaleOptimizer(Adam)",
        )
        ck(
            "lso_sched",
            lambda: k.loss_scaled(o.Adam(learning_rate=schedules(k)["expdecay"]())),
            wrap="lso",
            saves=(3,),
            text="LossScaleOptimizer(Adam)",
        )
    for name, s in schedules(k).items():
        ck(name, (lambda s: lambda: o.Adam(learning_rate=s()))(s), saves=(2, 5), text="Adam+" + name)
        if name in (
            "expstair",
            "piecewise",
            "polynomial",
            "polycycle",
            "inversetime",
            "cosine",
            "cosinerestarts",
            "cosinewarm",
        ):
            fit(
                "keras" if f == "k3" else "h5",
                name,
                (lambda s: lambda: o.Adam(learning_rate=s()))(s),
                saves=(2, 5),
                text="Adam+" + name,
            )
    if f in ("v2", "tfkleg"):
        ck("decay", Adam(decay=0.5), saves=(2, 5))
        fit("h5", "decay", Adam(decay=0.5), saves=(2, 5))
    if new and (hasattr(o, "AdamW") or hasattr(k.keras.optimizers, "AdamW")):
        ck("adamw", of("AdamW", weight_decay=0.05), text="AdamW")
        ck("wd", Adam(weight_decay=0.05), text="Adam(weight_decay)")

        def excluding():
            p = o.AdamW(learning_rate=0.01, weight_decay=0.05)
            p.exclude_from_weight_decay(var_names=["bias"])
            return p

        if hasattr(o.AdamW, "exclude_from_weight_decay"):
            ck("adamw_excluded", excluding, text="AdamW", notes="biases excluded from the decay, which no file says")
        ck("ema", Adam(use_ema=True, ema_momentum=0.9), saves=(3, 6))
        ck("ema_overwrite", Adam(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3), saves=(3, 5))
        ck("ema_amsgrad_dup", Adam(use_ema=True, ema_momentum=0.9, amsgrad=True), model="dup", saves=(3,))
        fit("h5", "adamw", of("AdamW", weight_decay=0.05), text="AdamW")
        if f == "k3" or v >= (2, 12):
            fit("keras", "adamw", of("AdamW", weight_decay=0.05), text="AdamW")
            fit("weights_h5", "adamw", of("AdamW", weight_decay=0.05), text="AdamW")
            fit("keras", "ema", Adam(use_ema=True), notes="averages before m and v")
            fit("weights_h5", "ema_dup", Adam(use_ema=True), model="dup")
        if f != "k3":
            fit("savedmodel", "adamw", of("AdamW", weight_decay=0.05), text="AdamW")
    if f == "k3":
        for other in ("Lion", "Adafactor", "Muon"):
            if hasattr(o, other):
                ck("other_" + other.lower(), of(other), model="dup", text=other)
                fit("keras", "other_" + other.lower(), of(other), model="dup", text=other)
        if hasattr(o, "Lamb"):
            ck("lamb", of("Lamb"), text="Lamb")
            fit("keras", "lamb", of("Lamb"), text="Lamb")
        if v >= (3, 1):
            ck("gradaccum", Adam(gradient_accumulation_steps=3), saves=(6, 9), text="Adam(grad_accum=3)")
            fit("keras", "gradaccum", Adam(gradient_accumulation_steps=2), saves=(4,), text="Adam(grad_accum=2)")
            fit("h5", "gradaccum", Adam(gradient_accumulation_steps=2), saves=(4,), text="Adam(grad_accum=2)")
            fit("weights_h5", "gradaccum", Adam(gradient_accumulation_steps=2), saves=(4,), text="Adam(grad_accum=2)")
            fit(
                "keras",
                "gradaccum_ema_amsgrad",
                Adam(gradient_accumulation_steps=2, use_ema=True, amsgrad=True),
                model="dup",
                saves=(4,),
            )
    if f == "tfa":
        import tensorflow_addons as tfa

        made = []
        t = tfa.optimizers
        ck("tfa_adamw", lambda: t.AdamW(weight_decay=0.05, learning_rate=0.01), text="tfa AdamW", saves=(3, 5))
        ck("tfa_lamb", lambda: t.LAMB(learning_rate=0.01), text="tfa LAMB")
        ck("tfa_lazyadam", lambda: t.LazyAdam(learning_rate=0.01), text="tfa LazyAdam")
        ck("tfa_lazyadam_dup", lambda: t.LazyAdam(learning_rate=0.01), model="dup", text="tfa LazyAdam")
        ck("tfa_radam", lambda: t.RectifiedAdam(learning_rate=0.01), text="tfa RectifiedAdam", saves=(3, 7))
        ck(
            "tfa_lookahead",
            lambda: t.Lookahead(o.Adam(learning_rate=0.01), sync_period=3),
            text="tfa Lookahead(Adam, sync 3)",
            saves=(5, 6),
        )
        ck(
            "tfa_ranger_lookahead",
            lambda: t.Lookahead(t.RectifiedAdam(learning_rate=0.01), sync_period=4),
            text="Lookahead(RAdam)",
            saves=(7,),
        )
        ck(
            "tfa_swa",
            lambda: t.SWA(o.Adam(learning_rate=0.01), start_averaging=0, average_period=2),
            text="tfa SWA(Adam)",
            saves=(5,),
        )
        ck(
            "tfa_swa_movingaverage",
            lambda: t.MovingAverage(o.Adam(learning_rate=0.01), average_decay=0.9),
            text="tfa MovingAverage(Adam)",
            saves=(4,),
        )
        for kind in ("h5", "savedmodel", "saveweights_tf"):
            fit(
                kind, "tfa_adamw", lambda: t.AdamW(weight_decay=0.05, learning_rate=0.01), model="dup", text="tfa AdamW"
            )
            fit(kind, "tfa_lamb", lambda: t.LAMB(learning_rate=0.01), text="tfa LAMB")
            fit(kind, "tfa_radam", lambda: t.RectifiedAdam(learning_rate=0.01), text="tfa RectifiedAdam", saves=(7,))
            fit(kind, "tfa_lazyadam", lambda: t.LazyAdam(learning_rate=0.01), text="tfa LazyAdam")
            fit(
                kind,
                "tfa_lookahead",
                lambda: t.Lookahead(o.Adam(learning_rate=0.01), sync_period=6),
                text="tfa Lookahead(Adam)",
            )
        add_adabelief(ck, fit, k)
        return made

    # --- compile, train, save
    kinds = ["h5"]
    if f == "k3":
        kinds += ["keras", "weights_h5"]
    else:
        kinds += ["savedmodel", "saveweights_tf"]
        if v >= (2, 12):
            kinds += ["keras", "weights_h5"]
    forms = [
        "sequential",
        "sequential_deferred",
        "dup",
        "bn_dup",
        "many",
        "named",
        "frozen",
        "frozen_middle",
        "nested",
        "nested_deep",
        "nested_frozen",
        "nested_part_frozen",
        "shared",
        "two_inputs",
        "rnn",
        "bidirectional",
        "attention",
        "conv",
        "timedistributed",
        "custom",
        "same_class",
        "scalar_first",
        "subclass",
        "subclass_nested",
        "dropout",
        "options",
        "siamese",
        "two_classes_mixed",
    ]
    for kind in kinds:
        fit(kind, "", Adam(), saves=(3, 6))
        fit(kind, "amsgrad_dup", Adam(amsgrad=True), model="dup")
        fit(kind, "adam_eps", Adam(epsilon=1e-2, beta_1=0.8, beta_2=0.95))
        fit(kind, "nadam", of("Nadam"), model="dup", text="Nadam")
        fit(kind, "adamax", of("Adamax"), text="Adamax")
        if tf and v >= (2, 3) and kind != "h5":
            fit(kind, "mirrored", Adam(), model="bn_dup", mirrored=True)
        fit(kind, "sgd", of("SGD", momentum=0.9), text="SGD(momentum)")
        fit(kind, "rmsprop", of("RMSprop", momentum=0.5), text="RMSprop(momentum)")
        fit(kind, "sched", lambda: o.Adam(learning_rate=schedules(k)["expdecay"]()), text="Adam+ExponentialDecay")
        if tf:
            fit(kind, "lso", Adam(), policy="mixed_float16", text="LossScaleOptimizer(Adam) mixed_float16")
            fit(
                kind,
                "lso_dup_amsgrad",
                Adam(amsgrad=True),
                model="dup",
                policy="mixed_float16",
                text="LossScaleOptimizer(Adam) mixed_float16",
            )
        fit(
            kind,
            "scalar_first_sched",
            lambda: o.Adam(learning_rate=schedules(k)["expdecay"]()),
            model="scalar_first",
            text="Adam+ExponentialDecay",
        )
        for form in forms:
            if form == "attention" and not hasattr(k.layers, "MultiHeadAttention"):
                continue
            if kind == "h5" and (form.startswith("subclass")):
                continue  # HDF5 takes no subclassed models
            if kind == "savedmodel" and form in (
                "rnn",
                "bidirectional",
                "conv",
                "custom",
                "timedistributed",
                "attention",
                "siamese",
                "two_classes_mixed",
            ):
                continue  # each takes half a minute of tracing, and their keys are those of saveweights_tf
            fit(kind, form, Adam(), model=form)
    fit("h5_weightsonly", "", Adam(), text="Adam (not saved)") if f != "k3" else None
    if f == "k3" and tf:
        fit("export", "", Adam(), text="Adam (not saved)")
    if tf:
        cb = k.callbacks
        halve = lambda case: [cb.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))]

        class Drop(cb.Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.optimizer.learning_rate = 0.001

        drop = lambda case: [Drop()]
        formats = (
            ["h5"]
            + (["keras"] if f == "k3" else ["saveweights_tf"])
            + (["keras"] if f != "k3" and v >= (2, 12) else [])
        )
        for kind in formats:
            name, text_ = FORMATS[kind]
            add("fit_%s_lrscheduler" % kind, callback_case(k, out, kind, halve, name % 6, text_, final=kind))
            add(
                "fit_%s_lrdropped" % kind,
                callback_case(
                    k,
                    out,
                    kind,
                    drop,
                    name % 3,
                    text_,
                    epochs=1,
                    final=kind,
                    notes="learning rate set after the last update",
                ),
            )
        if f == "k3":
            add(
                "fit_modelcheckpoint",
                callback_case(
                    k,
                    out,
                    "",
                    lambda c: [cb.ModelCheckpoint(c.file("mc_{epoch:02d}.keras"))],
                    "mc_{epoch:02d}.keras",
                    "ModelCheckpoint .keras",
                ),
            )
            add(
                "fit_modelcheckpoint_wh5",
                callback_case(
                    k,
                    out,
                    "",
                    lambda c: [cb.ModelCheckpoint(c.file("mc_{epoch:02d}.weights.h5"), save_weights_only=True)],
                    "mc_{epoch:02d}.weights.h5",
                    "ModelCheckpoint .weights.h5",
                ),
            )
        else:
            add(
                "fit_modelcheckpoint_h5",
                callback_case(
                    k,
                    out,
                    "",
                    lambda c: [cb.ModelCheckpoint(c.file("mc_{epoch:02d}.h5"))],
                    "mc_{epoch:02d}.h5",
                    "ModelCheckpoint .h5",
                ),
            )
            add(
                "fit_modelcheckpoint_tfw",
                callback_case(
                    k,
                    out,
                    "",
                    lambda c: [cb.ModelCheckpoint(c.file("mc_{epoch:02d}"), save_weights_only=True)],
                    "mc_{epoch:02d}",
                    "ModelCheckpoint weights tf",
                ),
            )
            add(
                "fit_modelcheckpoint_sm",
                callback_case(
                    k, out, "", lambda c: [cb.ModelCheckpoint(c.file("mc_{epoch:02d}"))], "mc_{epoch:02d}", "SavedModel"
                ),
            )
        backup = getattr(cb, "BackupAndRestore", None) or getattr(
            getattr(cb, "experimental", None), "BackupAndRestore", None
        )
        if backup:
            add(
                "fit_backup",
                callback_case(
                    k, out, "", lambda c: [backup(c.file("backup"))], "backup", "BackupAndRestore", interrupt=True
                ),
            )
    return made


def main(argv):
    flavour, prefix, out = argv[:3]
    k = Namespace(flavour)
    if k.tf:
        k.tf.config.threading.set_intra_op_parallelism_threads(1)
        k.tf.config.threading.set_inter_op_parallelism_threads(1)
        cpu = k.tf.config.experimental.list_physical_devices("CPU")[0]  # two of them, for MirroredStrategy
        k.tf.config.experimental.set_virtual_device_configuration(
            cpu, [k.tf.config.experimental.VirtualDeviceConfiguration()] * 2
        )
    run_all(makers(k, out), prefix, out, argv[3] if len(argv) > 3 else None)


if __name__ == "__main__":
    main(sys.argv[1:])
