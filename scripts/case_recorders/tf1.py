"""Cases of TensorFlow 1 graphs: tf.train.*Optimizer, tf.contrib.opt, Saver in all its forms, Estimator.

    python -m case_recorders.tf1 FLAVOUR PREFIX OUT [REGEX]        (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR: contrib (TensorFlow 1) or compat (tensorflow.compat.v1 of TensorFlow 2).
"""

import os
import sys
import zlib

import numpy as np

from case_recorders.case import Case, run_all, variable_entry

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
FLAVOUR = sys.argv[1] if len(sys.argv) > 1 else "contrib"
if FLAVOUR == "compat":
    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()
else:
    import tensorflow as tf
import tensorflow as plain_tf  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)
VERSION = tuple(int(n) for n in plain_tf.__version__.split(".")[:2])
WORDS = 11


def versions():
    k = getattr(plain_tf, "keras", None)
    return dict(tf_version=plain_tf.__version__, keras_version=getattr(k, "__version__", None))


class AdamWeightDecay(tf.train.Optimizer):
    """The update of google-research/bert: no bias correction, decay inside the step, moments as ordinary variables."""

    def __init__(
        self,
        learning_rate,
        weight_decay_rate=0.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        exclude=(),
        name="AdamWeightDecayOptimizer",
    ):
        super(AdamWeightDecay, self).__init__(False, name)
        self.lr, self.weight_decay_rate, self.beta_1, self.beta_2, self.epsilon, self.exclude = (
            learning_rate,
            weight_decay_rate,
            beta_1,
            beta_2,
            epsilon,
            exclude,
        )
        self.moments = {}

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        ops = []
        for g, p in grads_and_vars:
            key = p.op.name
            zeros = tf.zeros_initializer()
            m = tf.get_variable(key + "/adam_m", p.shape.as_list(), tf.float32, zeros, trainable=False)
            v = tf.get_variable(key + "/adam_v", p.shape.as_list(), tf.float32, zeros, trainable=False)
            self.moments[key] = dict(m=m, v=v)
            g = tf.convert_to_tensor(g)
            m2 = self.beta_1 * m + (1.0 - self.beta_1) * g
            v2 = self.beta_2 * v + (1.0 - self.beta_2) * tf.square(g)
            u = m2 / (tf.sqrt(v2) + self.epsilon)
            if self.weight_decay_rate and not any(x in key for x in self.exclude):
                u += self.weight_decay_rate * p
            ops += [p.assign(p - self.lr * u), m.assign(m2), v.assign(v2)]
        return tf.group(*ops)


class Tracked(object):
    """One optimizer in a session, and the variables that it trains."""

    def __init__(self, opt, variables, lr, flavour="tf1", config=None):
        self.opt, self.variables, self.lr, self.flavour, self.extra = opt, variables, lr, flavour, config or {}
        self.calls, self.before, self.after, self.lr_used = 0, None, None, None

    def rate(self, s):
        lr = self.lr() if callable(self.lr) else self.lr
        return float(s.run(lr)) if hasattr(lr, "graph") or hasattr(lr, "op") else float(lr)

    def around(self, s, op, feed=None):
        lr, before = self.rate(s), s.run(self.variables)
        s.run(op, feed)
        self.calls += 1
        self.lr_used, self.before, self.after = lr, before, s.run(self.variables)

    def slot_variables(self, v):
        if self.flavour == "bert":
            return self.opt.moments[v.op.name]
        found = {}
        for name in self.opt.get_slot_names():
            slot = self.opt.get_slot(v, name)
            if slot is not None:
                found[name] = slot
        return found

    def powers(self, s):
        out = {}
        for name in ("beta1_power", "beta2_power"):
            p = getattr(self.opt, "_" + name, None)
            if p is None and hasattr(self.opt, "_get_beta_accumulators"):
                try:
                    got = self.opt._get_beta_accumulators()
                    got = got if isinstance(got, (tuple, list)) else [got]
                    p = dict(zip(("beta1_power", "beta2_power"), got)).get(name)
                except Exception:
                    p = None
            if p is not None:
                out[name] = float(s.run(p))
        return out

    def config(self):
        c = {}
        for name in (
            "_beta1",
            "_beta2",
            "_epsilon",
            "_lr",
            "_weight_decay",
            "_name",
            "beta_1",
            "beta_2",
            "epsilon",
            "weight_decay_rate",
            "_learning_rate",
            "_momentum",
            "_decay",
        ):
            x = getattr(self.opt, name, None)
            if isinstance(x, (int, float, str)):
                c[name] = x
        c.update(self.extra)
        return c

    def record(self, s):
        entries, arrays = [], []
        for i, v in enumerate(self.variables):
            slots = self.slot_variables(v)
            values = s.run(slots) if slots else {}
            more = dict(slot_var_names={n: x.op.name for n, x in slots.items()})
            info = getattr(v, "_save_slice_info", None) or (
                v._get_save_slice_info() if hasattr(v, "_get_save_slice_info") else None
            )
            if info is not None:
                more["slice"] = dict(
                    full_name=info.full_name,
                    full_shape=[int(n) for n in info.full_shape],
                    var_offset=[int(n) for n in info.var_offset],
                    var_shape=[int(n) for n in info.var_shape],
                )
            entries.append(variable_entry(i, v.op.name, v.shape.as_list(), v.dtype.base_dtype.name, slots, **more))
            row = dict(value=s.run(v), before=self.before and self.before[i], after=self.after and self.after[i])
            row.update({"slot_" + n: a for n, a in values.items()})
            arrays.append(row)
        cls = "AdamWeightDecayOptimizer" if self.flavour == "bert" else type(self.opt).__name__
        rec = dict(
            cls=cls,
            inner_cls=cls,
            module=type(self.opt).__module__,
            flavor=self.flavour,
            inner_flavor=self.flavour,
            config=self.config(),
            iterations=self.calls,
            apply_gradients_calls=self.calls,
            t_used_last=self.calls,
            t_used_last_source="rule",
            lr_used_last=self.lr_used,
            lr_next=self.rate(s),
            scalars=self.powers(s) if self.flavour == "tf1" else {},
            variables=entries,
        )
        return rec, arrays


# ------------------------------------------------------------------------------------------------------------- models


def network(dtype=tf.float32, partitioner=None, devices=(), scope="", resource=False, dup=False, one_hot=False):
    """Embedding, two dense layers; gives the placeholders and the loss."""
    ids, y = tf.placeholder(tf.int32, [None, 3]), tf.placeholder(tf.float32, [None, 2])
    devices = list(devices) or [""]
    at = lambda n: tf.device(devices[n % len(devices)])
    with tf.variable_scope(
        scope or tf.get_variable_scope(), partitioner=partitioner, use_resource=resource, dtype=dtype
    ):
        with tf.variable_scope("emb"), at(0):
            table = tf.get_variable("table", [WORDS, 4], initializer=tf.random_normal_initializer(stddev=0.5))
            rows = (
                tf.matmul(tf.one_hot(tf.reshape(ids, [-1]), WORDS), table)
                if one_hot
                else tf.nn.embedding_lookup(table, ids)
            )
            x = tf.reshape(rows, [-1, 12])
        with tf.variable_scope("dense"), at(1):
            x = tf.nn.relu(
                tf.matmul(x, full(tf.get_variable("kernel", [12, 3])))
                + tf.get_variable("bias", [3], initializer=tf.zeros_initializer())
            )
        for n in range(3 if dup else 0):
            with tf.variable_scope("hidden_%d" % n), at(n):
                x = tf.nn.tanh(
                    tf.matmul(x, tf.get_variable("kernel", [3, 3]))
                    + tf.get_variable("bias", [3], initializer=tf.zeros_initializer())
                )
        with tf.variable_scope("out"), at(2):
            x = tf.matmul(x, full(tf.get_variable("kernel", [3, 2]))) + tf.get_variable(
                "bias", [2], initializer=tf.zeros_initializer()
            )
    loss = tf.reduce_mean(tf.square(tf.cast(x, tf.float32) - y))
    return ids, y, loss


def full(v):
    return tf.convert_to_tensor(v)


def batch(rng, ids, y):
    return {ids: rng.randint(0, WORDS, (4, 3)), y: rng.randn(4, 2)}


def start(case_id):
    tf.reset_default_graph()
    seed = zlib.crc32(case_id.encode()) % 100000
    tf.set_random_seed(seed)
    return np.random.RandomState(seed)


def session():
    return tf.Session(
        config=tf.ConfigProto(device_count={"CPU": 3}, intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    )


def trained():
    return tf.trainable_variables()


# ------------------------------------------------------------------------------------------------------------- makers


def saver_case(
    out,
    optimizer,
    text="AdamOptimizer",
    saves=(2, 4),
    notes="",
    meta=True,
    saver=None,
    net=None,
    scope=None,
    step0=0,
    count=True,
    lr=None,
    more=None,
    format="tf.train.Saver V2",
    flavour="tf1",
    config=None,
    saved=None,
    devices=(),
    minimize=None,
    prefix="model.ckpt",
):
    """`optimizer(lr)` and `lr(global_step)`; one training in a session, saved by a Saver."""

    def make(case_id):
        rng = start(case_id)
        gs = tf.train.get_or_create_global_step()
        ids, y, loss = network(devices=devices, **(net or {}))
        rate = lr(gs) if lr else 0.01
        opt = optimizer(rate)
        variables = trained()
        if scope:
            with tf.variable_scope(scope):
                op = opt.minimize(loss, global_step=gs if count else None)
        elif flavour == "bert":
            grads = tf.gradients(loss, variables)
            op = tf.group(opt.apply_gradients(list(zip(grads, variables))))
            with tf.control_dependencies([op]):
                op = gs.assign_add(1)
        elif minimize:
            op = minimize(opt, loss, gs)
        else:
            op = opt.minimize(loss, global_step=gs if count else None)
        if more:
            op = more(op)
        track = Tracked(opt, variables, rate, flavour, config)
        case = Case(out, case_id, format, text, notes, versions())
        with session() as s:
            s.run(tf.global_variables_initializer())
            if step0:
                s.run(gs.assign(step0))
            saver_ = (
                (saver or (lambda: tf.train.Saver(max_to_keep=None)))()
                if not saved
                else tf.train.Saver(saved(), max_to_keep=None)
            )
            for n in range(max(saves) + 1):
                if n in saves:
                    at = n + step0 if count else n
                    path = saver_.save(s, case.file(prefix), global_step=at, write_meta_graph=meta)
                    case.checkpoint(
                        "s%d" % n,
                        os.path.basename(path),
                        at,
                        {"optimizer": track.record(s)},
                        global_step=int(s.run(gs)),
                    )
                if n < max(saves):
                    track.around(s, op, batch(rng, ids, y))
        case.write()

    return make


def longrun(out, meta=False):
    def make(case_id):
        rng = start(case_id)
        gs = tf.train.get_or_create_global_step()
        w = tf.get_variable("w", [3, 2])
        x = tf.placeholder(tf.float32, [4, 3])
        loss = tf.reduce_mean(
            tf.square(
                tf.matmul(x, w) - tf.reduce_sum(x, 1, keep_dims=True)
                if VERSION < (1, 5)
                else tf.matmul(x, w) - tf.reduce_sum(x, 1, keepdims=True)
            )
        )
        opt = tf.train.AdamOptimizer(0.001)
        op = opt.minimize(loss, global_step=gs)
        track = Tracked(opt, [w], 0.001)
        case = Case(
            out,
            case_id,
            "tf.train.Saver V2",
            "AdamOptimizer",
            "beta1_power is 0 from t=830 on, beta2_power from 87000",
            versions(),
        )
        saver = tf.train.Saver(max_to_keep=None)
        data = rng.randn(64, 4, 3)
        with session() as s:
            s.run(tf.global_variables_initializer())
            run = s.make_callable(op, feed_list=[x]) if hasattr(s, "make_callable") else None
            done = 0
            for target in (700, 900, 3000, 40000, 90000):
                while done < target - 1:
                    run(data[done % 64]) if run else s.run(op, {x: data[done % 64]})
                    done += 1
                track.calls = done
                track.around(s, op, {x: data[done % 64]})
                done += 1
                path = saver.save(s, case.file("model.ckpt"), global_step=done, write_meta_graph=meta)
                case.checkpoint(
                    "s%d" % done, os.path.basename(path), done, {"optimizer": track.record(s)}, global_step=done
                )
        case.write()

    return make


def gan(out, named=False, meta=False, shared=False, third=False, same=False, g_first=False):
    """Two optimizers: over separate variables, or (`shared`) over the same ones."""

    def make(case_id):
        rng = start(case_id)
        gs = tf.train.get_or_create_global_step()
        z, real = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.float32, [None, 2])

        def dense(x, n_in, n_out, k):
            return tf.matmul(x, tf.get_variable("w%d" % k, [n_in, n_out])) + tf.get_variable(
                "b%d" % k, [n_out], initializer=tf.zeros_initializer()
            )

        with tf.variable_scope("generator"):
            fake = dense(tf.tanh(dense(z, 3, 4, 1)), 4, 2, 2)

        def disc(x, reuse=None):
            with tf.variable_scope("discriminator", reuse=reuse):
                return dense(tf.tanh(dense(x, 2, 4, 1)), 4, 1, 2)

        loss_d = tf.reduce_mean(tf.square(disc(real) - 1)) + tf.reduce_mean(tf.square(disc(fake, True)))
        loss_g = tf.reduce_mean(tf.square(disc(fake, True) - 1))
        dv = [v for v in trained() if v.op.name.startswith("discriminator")]
        gv = [v for v in trained() if v.op.name.startswith("generator")]
        if shared:
            dv = gv = trained()
        A = tf.train.AdamOptimizer
        do = A(0.004, 0.0 if not same else 0.5, 0.9, **(dict(name="Adam_D") if named else {}))
        go = A(0.001, 0.5, 0.9, **(dict(name="Adam_G") if named else {}))
        if g_first:
            gop = go.minimize(loss_g, global_step=gs, var_list=gv)
            dop = do.minimize(loss_d, global_step=gs, var_list=dv)
        else:
            dop = do.minimize(loss_d, global_step=gs, var_list=dv)
            gop = go.minimize(loss_g, global_step=gs, var_list=gv)
        td, tg = Tracked(do, dv, 0.004), Tracked(go, gv, 0.001)
        case = Case(out, case_id, "tf.train.Saver V2", "AdamOptimizer x2", "", versions())
        saver = tf.train.Saver(max_to_keep=None)
        with session() as s:
            s.run(tf.global_variables_initializer())
            for step in range(1, 5):
                for _ in range(2):
                    td.around(s, dop, {z: rng.randn(4, 3), real: rng.randn(4, 2) + 1})
                tg.around(s, gop, {z: rng.randn(4, 3)})
                if step % 2 == 0:
                    d, g = td.record(s), tg.record(s)
                    if shared:
                        for row in d[1]:
                            row.pop("before"), row.pop("after")
                    path = saver.save(s, case.file("model.ckpt"), global_step=step, write_meta_graph=meta)
                    case.checkpoint(
                        "s%d" % step, os.path.basename(path), step, {"d": d, "g": g}, global_step=int(s.run(gs))
                    )
        case.write()

    return make


def rebuilt(out, meta=False):
    """A second optimizer over the same variables: the first was made, and saved, but never stepped."""

    def make(case_id):
        rng = start(case_id)
        gs = tf.train.get_or_create_global_step()
        ids, y, loss = network(dup=True)
        idle, live = tf.train.AdamOptimizer(0.1), tf.train.AdamOptimizer(0.01)
        idle.minimize(loss)
        op = live.minimize(loss, global_step=gs)
        ti, tl = Tracked(idle, trained(), 0.1), Tracked(live, trained(), 0.01)
        case = Case(out, case_id, "tf.train.Saver V2", "AdamOptimizer x2", "the first one never stepped", versions())
        saver = tf.train.Saver(max_to_keep=None)
        with session() as s:
            s.run(tf.global_variables_initializer())
            for _ in range(3):
                tl.around(s, op, batch(rng, ids, y))
            path = saver.save(s, case.file("model.ckpt"), global_step=3, write_meta_graph=meta)
            case.checkpoint(
                "s3", os.path.basename(path), 3, {"live": tl.record(s), "idle": ti.record(s)}, global_step=3
            )
        case.write()

    return make


def target_network(out, meta=False, doubled=True):
    """Deep Q-learning: a copy of the network that nothing trains, of the same shapes; the slots' scope doubled."""

    def make(case_id):
        rng = start(case_id)
        x, y = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.float32, [None, 2])

        def net():
            h = x
            for n, width in enumerate((4, 4, 2)):
                with tf.variable_scope("fc%d" % n):
                    h = tf.matmul(h, tf.get_variable("weights", [int(h.shape[1]), width])) + tf.get_variable(
                        "biases", [width], initializer=tf.zeros_initializer()
                    )
                    h = tf.tanh(h)
            return h

        with tf.variable_scope("target"):
            net()
        with tf.variable_scope("main"):
            out_ = net()
            opt = tf.train.AdamOptimizer(0.01)
            mine = [v for v in trained() if v.op.name.startswith("main")]
            loss = tf.reduce_mean(tf.square(out_ - y))
            op = opt.minimize(loss, var_list=mine) if doubled else None
        op = op or opt.minimize(loss, var_list=mine)
        copy = tf.group(*[a.assign(b) for a, b in zip([v for v in trained() if v not in mine], mine)])
        track = Tracked(opt, mine, 0.01)
        case = Case(out, case_id, "tf.train.Saver V2", "AdamOptimizer", "main and target network", versions())
        saver = tf.train.Saver(max_to_keep=None)
        with session() as s:
            s.run(tf.global_variables_initializer())
            for n in range(1, 6):
                track.around(s, op, {x: rng.randn(4, 4), y: rng.randn(4, 2)})
                if n == 3:
                    s.run(copy)  # at the save the target holds the very values of the network
                if n in (3, 5):
                    path = saver.save(s, case.file("model.ckpt"), global_step=n, write_meta_graph=meta)
                    case.checkpoint("s%d" % n, os.path.basename(path), n, {"optimizer": track.record(s)})
        case.write()

    return make


def v1_format(sharded=False):
    def make():
        proto = tf.train.SaverDef.V1
        return tf.train.Saver(max_to_keep=None, sharded=sharded, write_version=proto)

    return make


def estimator(out, keras=None, notes=""):
    """An Estimator of `tf.train.AdamOptimizer`, or of a Keras optimizer, which is lent the global step as its counter,
    as `model_to_estimator` and the canned Estimators do."""

    def make(case_id):
        rng = start(case_id)
        records, held = {}, {}
        data = [(rng.randint(0, WORDS, (4, 3)).astype("int32"), rng.randn(4, 2).astype("float32")) for _ in range(6)]
        case = Case(out, case_id, "tf.estimator", "Adam" if keras else "AdamOptimizer", notes, versions())

        class Watch(tf.train.SessionRunHook):
            def after_create_session(self, session, coord):
                t = held["track"]
                t.before = session.run(t.variables)

            def after_run(self, context, values):
                t, s = held["track"], context.session
                now = s.run(t.variables)
                t.calls, t.lr_used = t.calls + 1, 0.01
                if t.after is not None:
                    t.before = t.after
                t.after = now
                records[t.calls] = t.record(s)

        def model_fn(features, labels, mode):
            with tf.variable_scope(tf.get_variable_scope(), use_resource=bool(keras)):
                with tf.variable_scope("emb"):
                    table = tf.get_variable("table", [WORDS, 4])
                    x = tf.reshape(tf.nn.embedding_lookup(table, features["ids"]), [-1, 12])
                x = tf.layers.dense(x, 3, tf.nn.relu, name="dense")
                x = tf.layers.dense(x, 2, name="out")
            loss = tf.reduce_mean(tf.square(x - labels))
            if keras:
                opt = keras()
                opt.iterations = tf.train.get_global_step()
                op = tf.group(*opt.get_updates(loss, trained()))
                numbers = {name: opt.get_config()[name] for name in ("beta_1", "beta_2", "epsilon", "amsgrad")}
                held["track"] = Tracked(opt, trained(), 0.01, "v2", numbers)
            else:
                opt = tf.train.AdamOptimizer(0.01)
                op = opt.minimize(loss, global_step=tf.train.get_global_step())
                held["track"] = Tracked(opt, trained(), 0.01)
            return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=op)

        def input_fn():
            ids = tf.data.Dataset.from_tensor_slices(np.stack([d[0] for d in data])) if hasattr(tf, "data") else None
            y = tf.data.Dataset.from_tensor_slices(np.stack([d[1] for d in data]))
            both = tf.data.Dataset.zip((ids, y)).make_one_shot_iterator().get_next()
            return {"ids": both[0]}, both[1]

        config = tf.estimator.RunConfig(
            model_dir=case.file("model_dir"), save_checkpoints_steps=3, save_summary_steps=1000, tf_random_seed=3
        )
        tf.estimator.Estimator(model_fn, config=config).train(input_fn, steps=6, hooks=[Watch()])
        for name in os.listdir(case.file("model_dir")):
            if name.startswith("events"):
                os.remove(case.file("model_dir", name))
        indexes = sorted(
            int(n[len("model.ckpt-") : -len(".index")])
            for n in os.listdir(case.file("model_dir"))
            if n.endswith(".index")
        )
        for n in indexes:
            if n in records:
                case.checkpoint("s%d" % n, "model_dir/model.ckpt-%d" % n, n, {"optimizer": records[n]}, global_step=n)
        case.write()

    return make


def object_based(out):
    """tf.train.Checkpoint (1.12: tf.train.Checkpoint in a graph) of a TF1 optimizer."""

    def make(case_id):
        rng = start(case_id)
        w, b = tf.get_variable("w", [3, 2], use_resource=True), tf.get_variable("b", [2], use_resource=True)
        x, y = tf.placeholder(tf.float32, [4, 3]), tf.placeholder(tf.float32, [4, 2])
        opt = tf.train.AdamOptimizer(0.01)
        op = opt.minimize(tf.reduce_mean(tf.square(tf.matmul(x, w) + b - y)))
        track = Tracked(opt, [w, b], 0.01)
        case = Case(out, case_id, "tf.train.Checkpoint", "tf.train.AdamOptimizer", "", versions())
        ck = tf.train.Checkpoint(w=w, b=b, optimizer=opt)
        with session() as s:
            s.run(tf.global_variables_initializer())
            for n in range(1, 5):
                track.around(s, op, {x: rng.randn(4, 3), y: rng.randn(4, 2)})
                if n in (2, 4):
                    path = ck.save(case.file("ckpt"), session=s)
                    case.checkpoint("s%d" % n, os.path.basename(path), n, {"optimizer": track.record(s)})
        case.write()

    return make


def makers(out):
    made = []
    add = lambda name, maker: made.append((name, maker))
    A = tf.train.AdamOptimizer
    adam = lambda **kw: lambda lr: A(lr, **kw)
    sv = lambda name, opt=None, **kw: add("saver_" + name, saver_case(out, opt or adam(), **kw))
    sv("adam", saves=(2, 4, 6))
    sv("adam_nometa", meta=False)
    sv("adam_eps", adam(beta1=0.8, beta2=0.95, epsilon=1e-2))
    sv("adam_eps_nometa", adam(beta1=0.8, beta2=0.95, epsilon=1e-2), meta=False)
    sv("dup", net=dict(dup=True))
    sv("named", adam(name="my_opt"))
    sv("named_odd", adam(name="Adam_1"), meta=False)
    sv("scoped", scope="train")
    sv("scoped_twice", scope="train/inner", meta=False)
    sv("scoped_all", net=dict(scope="model/tower"), scope="model/tower")
    sv("oneletter", prefix="m")
    sv("v1fmt", saver=v1_format(), format="tf.train.Saver V1")
    sv(
        "v1fmt_sharded",
        saver=v1_format(True),
        format="tf.train.Saver V1 sharded",
        devices=["/cpu:0", "/cpu:1", "/cpu:2"],
    )
    sv("sharded", saver=lambda: tf.train.Saver(max_to_keep=None, sharded=True), devices=["/cpu:0", "/cpu:1", "/cpu:2"])
    parts = lambda n: dict(partitioner=tf.fixed_size_partitioner(n))
    sv("partitioned", net=parts(2))
    sv("partitioned3_nometa", net=parts(3), meta=False, saves=(3,))
    sv("partitioned_v1fmt", net=parts(2), saver=v1_format(), format="tf.train.Saver V1", saves=(3,))
    sv(
        "partitioned_sharded",
        net=parts(2),
        saver=lambda: tf.train.Saver(max_to_keep=None, sharded=True),
        devices=["/cpu:0", "/cpu:1"],
    )
    sv("resource", net=dict(resource=True), meta=True)
    sv("resource_nometa", net=dict(resource=True), meta=False)
    for name, dtype in (("f16", tf.float16), ("f64", tf.float64)):
        sv(name, adam(epsilon=1e-3) if name == "f16" else adam(), net=dict(dtype=dtype))
        sv(name + "_nometa", adam(epsilon=1e-3) if name == "f16" else adam(), net=dict(dtype=dtype), meta=False)
    sv("lrdecay", lr=lambda gs: tf.train.exponential_decay(0.02, gs, 2, 0.5))
    sv("lrdecay_nometa", lr=lambda gs: tf.train.exponential_decay(0.02, gs, 2, 0.5), meta=False)
    sv("lrstair", lr=lambda gs: tf.train.exponential_decay(0.02, gs, 2, 0.5, staircase=True), saves=(2, 5))
    sv("lrpoly", lr=lambda gs: tf.train.polynomial_decay(0.02, gs, 5, 0.001), saves=(2, 5))
    sv(
        "lrpiece",
        lr=lambda gs: tf.train.piecewise_constant(tf.cast(gs, tf.int32), [1, 3], [0.02, 0.01, 0.005]),
        saves=(2, 5),
    )
    sv(
        "lrvariable",
        lr=lambda gs: tf.get_variable("learning_rate", [], initializer=tf.constant_initializer(0.03), trainable=False),
    )
    sv("lrplaceholder", lr=lambda gs: tf.placeholder_with_default(np.float32(0.02), [], name="lr"))
    sv("gs_offset", step0=1000)
    sv("gs_noinc", count=False)
    sv("fresh", saves=(0,))
    sv("weights_only", saved=trained, saves=(3,))
    sv("ema", more=lambda op: with_average(op))
    sv("clip", minimize=clipped)
    sv("momentum", lambda lr: tf.train.MomentumOptimizer(lr, 0.9), text="MomentumOptimizer")
    sv("rmsprop", lambda lr: tf.train.RMSPropOptimizer(lr, momentum=0.5), text="RMSPropOptimizer")
    sv(
        "rmsprop_centered",
        lambda lr: tf.train.RMSPropOptimizer(lr, momentum=0.5, centered=True),
        text="RMSPropOptimizer",
    )
    sv("adagrad", lambda lr: tf.train.AdagradOptimizer(lr), text="AdagradOptimizer")
    sv("ftrl", lambda lr: tf.train.FtrlOptimizer(lr), text="FtrlOptimizer")
    warm = lambda gs: tf.minimum(1.0, tf.cast(gs, tf.float32) / 3.0) * tf.train.polynomial_decay(0.02, gs, 20, 0.0)
    sv(
        "bert",
        lambda lr: AdamWeightDecay(lr, 0.01, exclude=("bias",)),
        text="AdamWeightDecayOptimizer",
        lr=warm,
        flavour="bert",
        format="tf.train.Saver V2 (BERT style)",
        net=dict(scope="bert"),
        saves=(2, 4),
    )
    sv(
        "bert_nowd",
        lambda lr: AdamWeightDecay(lr),
        text="AdamWeightDecayOptimizer",
        flavour="bert",
        format="tf.train.Saver V2 (BERT style)",
        meta=False,
    )
    add("saver_gan", gan(out))
    add("saver_gan_meta", gan(out, meta=True))
    add("saver_gan_meta_gfirst", gan(out, meta=True, g_first=True))
    add("saver_gan_named", gan(out, named=True))
    add("saver_gan_named_meta", gan(out, named=True, meta=True))
    add("saver_gan_sharedvars", gan(out, shared=True))
    add("saver_gan_sharedvars_meta", gan(out, shared=True, meta=True))
    add("saver_rebuilt", rebuilt(out))
    add("saver_rebuilt_meta", rebuilt(out, meta=True))
    add("saver_target", target_network(out))
    add("saver_target_meta", target_network(out, meta=True))
    add("saver_target_plain", target_network(out, doubled=False))
    renamed = lambda: tf.train.Saver({"old/" + v.op.name: v for v in tf.global_variables()}, max_to_keep=None)
    sv("renamed", saver=renamed, meta=False)
    layers = getattr(getattr(tf, "contrib", None), "layers", None)
    if layers is not None:
        held = {}

        def optimize(opt, loss, gs):
            held["op"] = layers.optimize_loss(loss, gs, 0.01, lambda lr: opt, clip_gradients=1.0)
            return held["op"]

        sv("optimize_loss", minimize=optimize)
        sv("optimize_loss_nometa", minimize=optimize, meta=False)
    add("saver_longrun", longrun(out))
    add("estimator_adam", estimator(out))
    if VERSION >= (1, 15):
        adam = getattr(plain_tf.keras.optimizers, "legacy", plain_tf.keras.optimizers).Adam
        add("estimator_keras", estimator(out, lambda: adam(0.01)))
        add("estimator_keras_ams", estimator(out, lambda: adam(0.01, epsilon=1e-4, amsgrad=True)))
    opt = getattr(getattr(tf, "contrib", None), "opt", None)
    if opt is not None:
        if hasattr(opt, "AdamWOptimizer"):
            sv("contrib_adamw", lambda lr: opt.AdamWOptimizer(0.05, learning_rate=lr), text="contrib AdamW")
            sv(
                "contrib_adamw_nometa",
                lambda lr: opt.AdamWOptimizer(0.05, learning_rate=lr),
                text="contrib AdamW",
                meta=False,
                net=dict(dup=True),
            )
        if hasattr(opt, "LazyAdamOptimizer"):
            sv("contrib_lazyadam", lambda lr: opt.LazyAdamOptimizer(lr), text="contrib LazyAdam")
        if hasattr(opt, "NadamOptimizer"):
            sv("contrib_nadam", lambda lr: opt.NadamOptimizer(lr), text="contrib Nadam", net=dict(one_hot=True))
        if hasattr(opt, "AdaMaxOptimizer"):
            sv("contrib_adamax", lambda lr: opt.AdaMaxOptimizer(lr), text="contrib AdaMax")
    if hasattr(tf.train, "Checkpoint"):
        add("ckpt_tf1opt", object_based(out))
    if VERSION >= (1, 15):
        sv("bf16", net=dict(dtype=tf.bfloat16))
    return made


def with_average(op):
    average = tf.train.ExponentialMovingAverage(0.9)
    with tf.control_dependencies([op]):
        return average.apply(trained())


def clipped(opt, loss, gs):
    pairs = opt.compute_gradients(loss)
    return opt.apply_gradients([(tf.clip_by_norm(tf.convert_to_tensor(g), 0.1), v) for g, v in pairs], global_step=gs)


if __name__ == "__main__":
    run_all(makers(sys.argv[3]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
