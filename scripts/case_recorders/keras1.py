"""Cases of Keras before OptimizerV2, in TensorFlow 1 graphs: tf.keras of 1.4-1.15, standalone Keras 2.0-2.3.

    python -m case_recorders.keras1 FLAVOUR PREFIX OUT [REGEX]        (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR: tf.keras or keras.
"""

import os
import sys
import zlib

import numpy as np

from case_recorders.case import Case, plain, run_all, variable_entry
from case_recorders.models import Models

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

FLAVOUR = sys.argv[1] if len(sys.argv) > 1 else "tf.keras"
if FLAVOUR == "keras":
    import keras

    K = keras.backend
else:
    keras = tf.keras
    K = keras.backend
tf.logging.set_verbosity(tf.logging.ERROR)


class Namespace(object):
    layers = keras.layers
    Sequential = keras.models.Sequential
    Model = keras.models.Model

    @staticmethod
    def Input(shape, dtype=None, name=None):
        return keras.layers.Input(shape=shape, dtype=dtype, name=name)


class Old(Models):
    """Those models that Keras 2.0 can build: no input layers in Sequential, no LayerNormalization."""

    def sequential(self):
        L = self.k.layers
        return self.k.Sequential(
            [L.Dense(4, activation="tanh", input_shape=(5,)), L.Dense(4, activation="tanh"), L.Dense(2)]
        ), self.numbers(5)

    def dup(self):
        L = self.k.layers
        i = self.k.Input(shape=(4,))
        x = i
        for _ in range(4):
            x = L.Dense(4, activation="tanh")(x)
        return self.k.Model(i, L.Dense(2)(x)), self.numbers(4)

    def nested(self):
        L = self.k.layers
        j = self.k.Input(shape=(4,))
        inner = self.k.Model(j, L.Dense(4, activation="tanh")(L.Dense(4, activation="tanh")(j)), name="encoder")
        seq = self.k.Sequential([L.Dense(4, activation="tanh", input_shape=(4,)), L.BatchNormalization(), L.Dense(4)])
        i = self.k.Input(shape=(4,))
        return self.k.Model(i, L.Dense(2)(seq(inner(L.Dense(4, activation="tanh")(i))))), self.numbers(4)

    def rnn(self):
        L = self.k.layers
        i = self.k.Input(shape=(3, 4))
        x = L.Bidirectional(L.LSTM(3, return_sequences=True))(i)
        return self.k.Model(i, L.Dense(2)(L.SimpleRNN(3)(L.GRU(3, return_sequences=True)(x)))), self.numbers(3, 4)

    def bn_frozen_stats(self):
        """BatchNorm in the middle of frozen and trained layers of one shape."""
        L = self.k.layers
        i = self.k.Input(shape=(4,))
        parts = [
            L.Dense(4, activation="tanh"),
            L.BatchNormalization(),
            L.Dense(4, activation="tanh"),
            L.BatchNormalization(),
            L.Dense(4),
            L.Dense(2),
        ]
        x = i
        for p in parts:
            x = p(x)
        m = self.k.Model(i, x)
        parts[2].trainable = parts[1].trainable = False
        return m, self.numbers(4)


def versions():
    return dict(tf_version=tf.__version__, keras_version=keras.__version__)


def weights_of(m):
    return list(getattr(m, "_collected_trainable_weights", None) or m.trainable_weights)


def slots_of(opt, variables):
    """[iterations, all m, all v, all vhat] is the order of `weights`; Keras 2.0.x lists no vhat."""
    if hasattr(opt, "get_slot"):  # OptimizerV2 in a graph (tf.keras of 1.15)
        return [{n: opt.get_slot(v, n) for n in opt.get_slot_names()} for v in variables]
    n, held = len(variables), list(opt.weights)
    extra = len(held) % n if n > 1 else 1
    held = held[1:]
    cls = type(opt).__name__
    if cls == "Nadam" and len(held) % n:
        held = held[1:]  # m_schedule
    names = {
        "Adam": ["m", "v", "vhat"],
        "Adamax": ["m", "v"],
        "Nadam": ["m", "v"],
        "RMSprop": ["rms"],
        "SGD": ["momentum"],
        "Adagrad": ["accumulator"],
        "Adadelta": ["accum_grad", "accum_var"],
    }[cls]
    if cls in ("SGD", "RMSprop", "Adagrad", "Adadelta"):
        every = list(opt.weights)  # some releases list the counter, some don't
        held = every[len(every) - len(every) // n * n :] if len(every) >= n else []
    del extra
    return [{s: held[k * n + i] for k, s in enumerate(names) if (k + 1) * n <= len(held)} for i in range(n)]


class Tracked(object):
    def __init__(self, m):
        self.m, self.opt, self.calls = m, m.optimizer, 0
        self.before = self.after = self.lr_used = None

    def lr(self):
        if hasattr(self.opt, "_decayed_lr"):
            return float(K.get_value(self.opt._decayed_lr("float32")))
        lr = self.opt.lr if hasattr(self.opt, "lr") else self.opt.learning_rate
        d = float(K.get_value(self.opt.decay)) if hasattr(self.opt, "decay") else 0.0
        return (
            float(K.get_value(lr)) / (1.0 + d * self.count())
            if type(self.opt).__name__ != "Nadam"
            else float(K.get_value(lr))
        )

    def count(self):
        return int(K.get_value(self.opt.iterations))

    def around(self, step):
        lr, v = self.lr(), weights_of(self.m)
        before = K.batch_get_value(v)
        step()
        self.calls += 1
        self.lr_used, self.before, self.after = lr, before, K.batch_get_value(weights_of(self.m))

    def record(self):
        variables = weights_of(self.m)
        slots = slots_of(self.opt, variables) if self.calls else [{}] * len(variables)
        entries, arrays = [], []
        for i, v in enumerate(variables):
            entries.append(
                variable_entry(
                    i,
                    v.name,
                    K.int_shape(v),
                    v.dtype.base_dtype.name,
                    slots[i],
                    slot_var_names={n: s.name for n, s in slots[i].items()},
                )
            )
            row = dict(value=K.get_value(v), before=self.before and self.before[i], after=self.after and self.after[i])
            row.update({"slot_" + n: K.get_value(s) for n, s in slots[i].items()})
            arrays.append(row)
        cls, n = type(self.opt).__name__, self.count()
        flavour = "v2" if hasattr(self.opt, "_decayed_lr") else "keras1"
        rec = dict(
            cls=cls,
            inner_cls=cls,
            module=type(self.opt).__module__,
            flavor=flavour,
            inner_flavor=flavour,
            config=plain(self.opt.get_config()),
            iterations=n,
            apply_gradients_calls=self.calls,
            t_used_last=n,
            t_used_last_source="race" if flavour == "keras1" else "rule",
            lr_used_last=self.lr_used,
            lr_next=self.lr(),
            scalars={},
            variables=entries,
            optimizer_weight_names=[w.name for w in getattr(self.opt, "weights", [])],
        )
        return rec, arrays


def case(out, kind, optimizer, model="base", saves=(4,), text="Adam", notes="", drop_to=None):
    def make(case_id):
        K.clear_session()
        seed = zlib.crc32(case_id.encode()) % 100000
        np.random.seed(seed)
        tf.set_random_seed(seed)
        K.set_session(tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)))
        rng = np.random.RandomState(seed)
        m, data = getattr(Old(Namespace), model)()
        m.compile(optimizer=optimizer(), loss="mse")
        name, text_ = {
            "h5": ("model_%d.h5", "model.save(.h5)"),
            "weights": ("w_%d.h5", "model.save_weights(.h5)"),
            "saver": ("model.ckpt-%d", "tf.train.Saver V2 (tf.keras model)"),
            "saver_meta": ("model.ckpt-%d", "tf.train.Saver V2 (tf.keras model)"),
            "saveweights_tf": ("w_%d", "model.save_weights(tf)"),
        }[kind]
        c = Case(out, case_id, text_, text, notes, versions())
        track, saver = Tracked(m), None
        for n in range(max(saves) + 1):
            if n in saves:
                if drop_to:
                    K.set_value(m.optimizer.lr, drop_to)
                if kind == "h5":
                    m.save(c.file(name % n))
                elif kind == "weights":
                    m.save_weights(c.file(name % n))
                elif kind == "saveweights_tf":
                    m.save_weights(c.file(name % n), save_format="tf")
                else:
                    saver = saver or tf.train.Saver(max_to_keep=None)
                    saver.save(
                        K.get_session(), c.file("model.ckpt"), global_step=n, write_meta_graph=kind == "saver_meta"
                    )
                c.checkpoint("s%d" % n, name % n, n, {"optimizer": track.record()})
            if n < max(saves):
                x, y = data(rng)
                track.around(lambda: m.train_on_batch(x, y))
        c.write()

    return make


def reloaded(out, optimizer, model="base", notes="saved, loaded again in the same program, trained on"):
    """`load_model` where the first model still lives: Keras gives every name of the second one a number."""

    def make(case_id):
        K.clear_session()
        seed = zlib.crc32(case_id.encode()) % 100000
        np.random.seed(seed)
        tf.set_random_seed(seed)
        K.set_session(tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)))
        rng = np.random.RandomState(seed)
        m, data = getattr(Old(Namespace), model)()
        m.compile(optimizer=optimizer(), loss="mse")
        c = Case(out, case_id, "model.save(.h5)", "Adam", notes, versions())
        for part in (0, 1):
            track = Tracked(m)
            for _ in range(3):
                x, y = data(rng)
                track.around(lambda: m.train_on_batch(x, y))
            name = "model_%d.h5" % (3 * part + 3)
            m.save(c.file(name))
            if part:
                c.checkpoint("s6", name, 6, {"optimizer": track.record()})
            else:
                m = keras.models.load_model(c.file(name))
                os.remove(c.file(name))
        c.write()

    return make


def makers(out):
    made = []
    o = keras.optimizers
    Adam = lambda **kw: lambda: o.Adam(lr=0.01, **kw)
    add = lambda name, *a, **kw: made.append((name, case(out, *a, **kw)))
    add("h5", "h5", Adam(), saves=(2, 4))
    add("h5_adam_eps", "h5", Adam(epsilon=1e-2, beta_1=0.8, beta_2=0.95))
    add("h5_decay", "h5", Adam(decay=0.5), saves=(2, 5))
    add("h5_decay_dup", "h5", Adam(decay=0.1), model="dup", saves=(5,))
    add("h5_lrdropped", "h5", Adam(), drop_to=0.001, notes="learning rate set after the last update")
    add("h5_adamax", "h5", lambda: o.Adamax(lr=0.01), text="Adamax")
    add("h5_nadam", "h5", lambda: o.Nadam(lr=0.01), text="Nadam")
    add("h5_nadam_dup", "h5", lambda: o.Nadam(lr=0.01), model="dup", text="Nadam")
    add("h5_sgd", "h5", lambda: o.SGD(lr=0.01, momentum=0.9), text="SGD")
    add("h5_rmsprop", "h5", lambda: o.RMSprop(lr=0.01), text="RMSprop")
    try:
        o.Adam(amsgrad=True)
        add("h5_amsgrad", "h5", Adam(amsgrad=True))
        add("h5_amsgrad_dup", "h5", Adam(amsgrad=True), model="dup")
        add("h5_amsgrad_many", "h5", Adam(amsgrad=True), model="many")
    except Exception:
        pass
    for form in (
        "sequential",
        "dup",
        "bn_dup",
        "many",
        "named",
        "frozen",
        "frozen_middle",
        "bn_frozen_stats",
        "nested",
        "nested_part_frozen",
        "shared",
        "two_inputs",
        "rnn",
        "bidirectional",
        "conv",
    ):
        add("h5_" + form, "h5", Adam(), model=form)
    if hasattr(keras.models, "load_model"):
        made += [("h5_reloaded_" + form, reloaded(out, Adam(), form)) for form in ("base", "dup", "many")]
    add("h5_adagrad", "h5", lambda: o.Adagrad(lr=0.01), text="Adagrad")
    add("h5_adadelta", "h5", lambda: o.Adadelta(lr=0.5), text="Adadelta")
    add("fresh_h5", "h5", Adam(), saves=(0,))
    add("weights_h5old", "weights", Adam(), text="Adam (not saved)")
    for form in ("base", "dup", "bn_dup", "frozen", "many", "nested"):
        add("saver" + ("" if form == "base" else "_" + form), "saver", Adam(), model=form)
        add("saver_meta" + ("" if form == "base" else "_" + form), "saver_meta", Adam(), model=form)
    add("saver_decay", "saver", Adam(decay=0.5), saves=(2, 5))
    if FLAVOUR == "tf.keras" and tuple(int(n) for n in tf.__version__.split(".")[:2]) >= (1, 12):
        add("saveweights_tf", "saveweights_tf", Adam())
        add("saveweights_tf_dup", "saveweights_tf", Adam(), model="dup")
    return made


if __name__ == "__main__":
    run_all(makers(sys.argv[3]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
