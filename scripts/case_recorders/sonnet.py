"""Cases of Sonnet 2's own Adam under tf.train.Checkpoint.

    python -m case_recorders.sonnet FLAVOUR PREFIX OUT [REGEX]       (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR is `adam`. Sonnet's optimizers have no configuration: what the record calls so are the live attributes, under
the names that other implementations give them.
"""

import os
import sys
import zlib

import numpy as np

from case_recorders.case import Case, run_all, variable_entry
from case_recorders.models import WORDS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

import sonnet as snt

ATTRIBUTES = {"learning_rate": "learning_rate", "beta_1": "beta1", "beta_2": "beta2", "epsilon": "epsilon"}


def number(x):
    """A Python float or a variable: the value of either."""
    return float(x.numpy() if hasattr(x, "numpy") else x)


def array(x):
    """A variable's values now; a copy, which later updates leave alone."""
    return np.asarray(x.numpy()).copy()


class Tracked(object):
    """One optimizer and the variables it trains; remembers the weights around its last update."""

    def __init__(self, opt, variables):
        self.opt, self.variables = opt, list(variables)
        self.before = self.after = self.rate = None
        self.calls = 0

    def apply(self, updates, apply=None):
        """One update between two looks at the weights."""
        rate, before = number(self.opt.learning_rate), [array(v) for v in self.variables]
        (apply or self.opt.apply)(updates, self.variables)
        self.rate, self.before, self.after = rate, before, [array(v) for v in self.variables]
        self.calls += 1

    def record(self):
        o, entries, arrays = self.opt, [], []
        for i, v in enumerate(self.variables):
            slots = dict(m=array(o.m[i]), v=array(o.v[i])) if o.m else {}
            entries.append(variable_entry(i, v.name, v.shape, v.dtype.name, slots))
            row = dict(value=array(v), before=self.before and self.before[i], after=self.after and self.after[i])
            row.update({"slot_" + name: a for name, a in slots.items()})
            arrays.append(row)
        held = {n: getattr(o, n) for n in ATTRIBUTES.values()}
        rec = dict(
            cls=type(o).__name__,
            inner_cls=type(o).__name__,
            module=type(o).__module__,
            inner_module=type(o).__module__,
            flavor="sonnet",
            inner_flavor="sonnet",
            config={ours: number(held[theirs]) for ours, theirs in ATTRIBUTES.items()},
            iterations=int(o.step.numpy()),
            apply_gradients_calls=self.calls,
            t_used_last=int(o.step.numpy()) if self.calls else 0,
            t_used_last_source="rule",
            lr_used_last=self.rate,
            lr_next=number(o.learning_rate),
            scalars={"hyper." + n: number(x) for n, x in held.items() if isinstance(x, tf.Variable)},
            variables=entries,
        )
        return rec, arrays


# ------------------------------------------------------------------------------------------------------------- models


def linear_pair(dtype):
    """Two layers of one name, as Sonnet names them unless told otherwise."""
    return snt.Sequential([snt.Linear(3), tf.nn.tanh, snt.Linear(2)]), numbers(4, dtype)


def same_shapes(dtype):
    """Four layers of one name and one shape: neither says whose a moment is."""
    return snt.Sequential([snt.Linear(4) for _ in range(4)] + [snt.Linear(2)]), numbers(4, dtype)


def mlp(dtype):
    return snt.nets.MLP([4, 4, 2], activation=tf.tanh), numbers(4, dtype)


def deep(dtype):
    """More than ten variables, so that `m/10` sorts before `m/2`."""
    return snt.nets.MLP([3] * 7 + [2], activation=tf.tanh), numbers(3, dtype)


class Attributes(snt.Module):
    """Attributes made in another order than the alphabet's, which is the order of Sonnet's trainable variables."""

    def __init__(self):
        super().__init__()
        self.zeta, self.alpha, self.last = snt.Linear(4), snt.Linear(4), snt.Linear(2)
        self.gain = tf.Variable(tf.ones([4]), name="gain")

    def __call__(self, x):
        return self.last(self.alpha(tf.tanh(self.zeta(x))) * self.gain)


class Containers(snt.Module):
    """A dictionary and a list of layers, and a list of variables."""

    def __init__(self):
        super().__init__()
        self.stack = [snt.Linear(4) for _ in range(11)]
        self.sides = {"b": snt.Linear(4), "a": snt.Linear(4)}
        self.last = snt.Linear(2)
        self.gains = [tf.Variable(tf.ones([4]), name="gain") for _ in range(2)]

    def __call__(self, x):
        for part in self.stack:
            x = tf.tanh(part(x)) * self.gains[0]
        return self.last(self.sides["a"](x) * self.gains[1] - self.sides["b"](x))


def attributes(dtype):
    return Attributes(), numbers(4, dtype)


def containers(dtype):
    return Containers(), numbers(4, dtype)


class Words(snt.Module):
    """An embedding, whose gradient is sparse."""

    def __init__(self):
        super().__init__()
        self.table, self.out = snt.Embed(vocab_size=WORDS, embed_dim=4), snt.Linear(2)

    def __call__(self, x):
        return self.out(tf.reduce_mean(self.table(x), 1))


def words(dtype):
    return Words(), lambda rng: (
        tf.constant(rng.randint(0, WORDS, (3, 2))),
        tf.constant(rng.randn(3, 2), tf.float32),
    )


def numbers(width, dtype):
    return lambda rng: (tf.constant(rng.randn(4, width), dtype), tf.constant(rng.randn(4, 2), dtype))


# -------------------------------------------------------------------------------------------------------------- cases


def seeded(case_id):
    seed = zlib.crc32(case_id.encode()) % 100000
    tf.random.set_seed(seed)
    return np.random.RandomState(seed)


def gradients(model, variables, x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - y))
    return tape.gradient(loss, variables)


def versions():
    return dict(tf_version=tf.__version__, sonnet_version=snt.__version__, keras_version=None)


def adam_case(
    out,
    model=linear_pair,
    saves=(2, 4),
    dtype="float32",
    notes="",
    reverse=False,
    is_graph=False,
    skipped=None,
    change_rate=None,
    held=None,
    **hyperparameters,
):
    """One module, one optimizer; `skipped` is the index of a variable that gets no update from the third step on."""

    def make(case_id):
        rng = seeded(case_id)
        net, data = model(dtype)
        net(data(rng)[0])
        values = {n: x() if callable(x) else x for n, x in dict(dict(learning_rate=0.01), **hyperparameters).items()}
        opt = snt.optimizers.Adam(**values)
        variables = list(net.trainable_variables)
        if reverse:
            variables = variables[::-1]
        track = Tracked(opt, variables)
        case = Case(out, case_id, "tf.train.Checkpoint", "Sonnet Adam", notes, versions())
        ckpt = tf.train.Checkpoint(**(held(net, opt) if held else dict(module=net, optimizer=opt)))
        man = tf.train.CheckpointManager(ckpt, case.folder, max_to_keep=None)
        apply = tf.function(lambda updates, parameters: opt.apply(updates, parameters)) if is_graph else None
        step = 0
        for target in saves:
            while step < target:
                g = list(gradients(net, variables, *data(rng)))
                if skipped is not None and step >= 2:
                    g[skipped] = None
                track.apply(g, apply and (lambda updates, _: apply(updates, variables)))
                step += 1
            if change_rate is not None:
                opt.learning_rate.assign(change_rate)
            path = man.save(checkpoint_number=target)
            case.checkpoint("s%d" % target, os.path.basename(path), target, {"optimizer": track.record()})
        case.write()

    return make


def two_case(out):
    """Two networks of the same names, each with an optimizer of its own."""

    def make(case_id):
        rng = seeded(case_id)
        (g, data), (d, _) = mlp("float32"), mlp("float32")
        x, _ = data(rng)
        g(x), d(x)
        tracks = {
            "opt_g": Tracked(snt.optimizers.Adam(1e-3, beta1=0.5, name="first"), g.trainable_variables),
            "opt_d": Tracked(snt.optimizers.Adam(4e-3, beta1=0.0, beta2=0.99, name="second"), d.trainable_variables),
        }
        case = Case(out, case_id, "tf.train.Checkpoint", "Sonnet Adam, Adam", "D twice for each G", versions())
        ckpt = tf.train.Checkpoint(gen=g, dis=d, **{n: t.opt for n, t in tracks.items()})
        man = tf.train.CheckpointManager(ckpt, case.folder, max_to_keep=None)
        for step in range(1, 5):
            for name, net in (("opt_d", d), ("opt_d", d), ("opt_g", g)):
                tracks[name].apply(gradients(net, tracks[name].variables, *data(rng)))
            if step % 2 == 0:
                path = man.save(checkpoint_number=step)
                records = {n: t.record() for n, t in tracks.items()}
                case.checkpoint("s%d" % step, os.path.basename(path), step, records)
        case.write()

    return make


def makers(out):
    variable = lambda x, name: lambda: tf.Variable(x, trainable=False, name=name)
    odd = dict(learning_rate=0.003, beta1=0.8, beta2=0.95, epsilon=1e-2)
    as_variables = {n: variable(x, n) for n, x in odd.items()}
    # fmt: off
    cases = {
        "adam": dict(saves=(2, 4, 6)),
        "adam_defaults": dict(learning_rate=0.001, model=mlp, saves=(1, 3)),
        "adam_eps": dict(odd, model=mlp),
        "adam_variables": dict(as_variables, notes="hyperparameters given as variables are saved"),
        "adam_rate_changed": dict(
            learning_rate=variable(0.01, "rate"), change_rate=0.001, notes="set after the last update, before saving"
        ),
        "adam_same_shapes": dict(model=same_shapes, saves=(3,)),
        "adam_attributes": dict(model=attributes, saves=(3,)),
        "adam_containers": dict(model=containers, saves=(3,)),
        "adam_reversed": dict(model=mlp, reverse=True, saves=(3,)),
        "adam_deep": dict(model=deep, saves=(3, 40)),
        "adam_embedding": dict(model=words, saves=(1, 5)),
        "adam_skipped": dict(model=mlp, skipped=2, saves=(5,), notes="one variable got no update since the second"),
        "adam_graph": dict(model=mlp, is_graph=True, saves=(3, 5)),
        "adam_f64": dict(dtype="float64", saves=(3,)),
        "adam_f64_eps": dict(odd, dtype="float64", saves=(3,)),
        "adam_f16": dict(dtype="float16", epsilon=1e-3, saves=(3,)),
        "adam_bf16": dict(dtype="bfloat16", beta2=0.99, saves=(3,)),
        "adam_named": dict(name="my_opt", saves=(3,)),
        "adam_fresh": dict(saves=(0,)),
        "adam_opt_only": dict(model=mlp, held=lambda net, opt: dict(optimizer=opt), saves=(3,)),
        "adam_weights_only": dict(held=lambda net, opt: dict(module=net), saves=(3,)),
        "adam_trainer": dict(
            held=lambda net, opt: dict(learner=tf.train.Checkpoint(net=net, adam=opt), step=tf.Variable(7)), saves=(3,)
        ),
        "adam_long": dict(saves=(300,)),
    }
    # fmt: on
    made = [("ckpt_" + name, adam_case(out, **options)) for name, options in cases.items()]
    return [*made, ("ckpt_adam_two", two_case(out))]


def main(argv):
    _, prefix, out = argv[:3]
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    run_all(makers(out), prefix, out, argv[3] if len(argv) > 3 else None)


if __name__ == "__main__":
    main(sys.argv[1:])
