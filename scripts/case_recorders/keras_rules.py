"""Cases of Keras' optimizers beside Adam's family, and of classes that a user derives: OptimizerV2 to Keras 3.

    python -m case_recorders.keras_rules FLAVOUR PREFIX OUT [REGEX]  (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR as in case_recorders.keras. The record also has the gradient of the last update (`grad`) and each slot before it
(`prior_<slot>`): where the state doesn't determine the update, they show whether the effective learning rate is right.
"""

import os
import sys

from case_recorders.case import Case, run_all, variable_entry
from case_recorders.keras import (
    FORMATS,
    Namespace,
    Tracked,
    gradients,
    number,
    save_model,
    schedules,
    seeded,
    trainables,
)
from case_recorders.models import Models


class Witness(Tracked):
    """As Tracked, with every slot of any optimizer, and the gradient of the last update."""

    SINGULAR = {
        "velocities": "velocity", "momentums": "momentum", "accumulators": "accumulator", "linears": "linear",
        "average_gradients": "average_gradient", "accumulated_grads": "accumulated_grad",
        "accumulated_delta_vars": "accumulated_delta_var", "velocity_hats": "velocity_hat", "r": "r", "c": "c",
        "adam_velocities": "velocity",
    }  # fmt: skip

    def __init__(self, k, opt, variables, is_pair=False):
        super(Witness, self).__init__(k, opt, variables)
        self.is_pair, self.grads, self.prior = is_pair, None, None

    def slots(self, i, v):
        if self.flavour == "v2":
            return super(Witness, self).slots(i, v)
        o, found = self.inner, {}
        for attribute, held in sorted(vars(o).items()):
            bare = attribute.lstrip("_")
            if bare in ("trainable_variables", "variables", "model_variables_moving_average"):
                continue
            if not hasattr(held, "__getitem__") or isinstance(held, (dict, str)) or not hasattr(held, "__len__"):
                continue
            try:
                at = o._get_variable_index(v) if self.k.flavour == "k3" else o._index_dict[o._var_key(v)]
                own = held[at]
                array = number(own)
            except Exception:
                continue
            if own is None or array.dtype == object:
                continue
            name = self.SINGULAR.get(bare, bare)
            if name in ("r", "c") and array.shape == ():
                continue  # a placeholder: what has no rows has no mean over them
            if self.is_pair:
                name = {"momentum": "m", "velocity": "v"}.get(name, name)
            found[name] = array
        return found

    def watch(self, grads, step):
        """One training step whose gradients are known, between two looks at everything."""
        prior = [self.slots(i, v) for i, v in enumerate(self.variables)] if self.calls else None
        count = self.count()
        result = self.around(step)
        if self.count() != count:
            self.grads, self.prior = [dense(self.k, g) for g in grads], prior
        return result

    def record(self):
        rec, arrays = super(Witness, self).record()
        for i, row in enumerate(arrays):
            if self.grads is not None:
                row["grad"] = self.grads[i]
            if self.prior is not None:
                row.update({"prior_" + name: a for name, a in self.prior[i].items()})
        return rec, arrays


def dense(k, g):
    return None if g is None else number(k.tf.convert_to_tensor(g)).copy()


def case(k, out, kind, optimizer, model="base", saves=(2, 4), text="", notes="", is_pair=False, change=None):
    """One model, trained by `train_on_batch` (kind: a format of FORMATS) or by hand (kind: ckpt)."""

    def make(case_id):
        rng = seeded(k, case_id)
        m, data = getattr(Models(k), model)()
        if change:
            change(m)
        opt = optimizer()
        case = Case(
            out, case_id, FORMATS[kind][1] if kind != "ckpt" else "tf.train.Checkpoint", text, notes, k.versions()
        )
        if kind == "ckpt":
            man = k.tf.train.CheckpointManager(
                k.tf.train.Checkpoint(model=m, optimizer=opt), case.folder, max_to_keep=None
            )
        else:
            more = dict(jit_compile=False) if k.flavour == "k3" else {}
            m.compile(optimizer=opt, loss="mse", **more)
            opt = m.optimizer
        variables, step = trainables(m), 0
        track = Witness(k, opt, variables, is_pair)
        for target in saves:
            while step < target:
                x, y = data(rng)
                g = gradients(k, m, variables, x, y)
                if kind == "ckpt":
                    track.watch(g, lambda: opt.apply_gradients(zip(g, variables)))
                else:
                    track.watch(g, lambda: m.train_on_batch(x, y))
                step += 1
            if kind == "ckpt":
                path = os.path.basename(man.save(checkpoint_number=target))
            else:
                path = FORMATS[kind][0] % target
                save_model(k, m, kind, case.file(path))
            case.checkpoint("s%d" % target, path, target, {"optimizer": track.record()})
        case.write()

    return make


# ---------------------------------------------------------------------------------------------- classes of one's own


def classes_of_v2(k):
    """Optimizers as people write them on OptimizerV2."""
    tf, o = k.tf, k.optimizers

    class AdamWarmup(o.Adam):
        """As in keras-bert and others: the rate rises to its value; the rest is Adam's."""

        def __init__(self, warmup=10, name="AdamWarmup", **kw):
            super(AdamWarmup, self).__init__(name=name, **kw)
            self.warmup = warmup

        def _decayed_lr(self, var_dtype):
            t = tf.cast(self.iterations + 1, var_dtype)
            rate = super(AdamWarmup, self)._decayed_lr(var_dtype)
            return rate * tf.minimum(1.0, t / self.warmup)

        def get_config(self):
            return dict(super(AdamWarmup, self).get_config(), warmup=self.warmup)

    Base = getattr(o, "Optimizer", None) or tf.keras.optimizers.Optimizer

    class Own(Base):
        def __init__(self, learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7, name=None, **kw):
            super(Own, self).__init__(name or type(self).__name__, **kw)
            self._set_hyper("learning_rate", learning_rate)
            self._set_hyper("beta_1", beta_1)
            self._set_hyper("beta_2", beta_2)
            self.epsilon = epsilon

        def _create_slots(self, var_list):
            for slot in ("m", "v"):
                for v in var_list:
                    self.add_slot(v, slot)

        def _resource_apply_sparse(self, grad, var, indices, apply_state=None):
            whole = tf.scatter_nd(tf.expand_dims(indices, 1), grad, tf.cast(tf.shape(var), indices.dtype))
            return self._resource_apply_dense(whole, var, apply_state)

        def _resource_apply_dense(self, grad, var, apply_state=None):
            b1, b2 = self._get_hyper("beta_1", var.dtype), self._get_hyper("beta_2", var.dtype)
            m, v = self.get_slot(var, "m"), self.get_slot(var, "v")
            m.assign(b1 * m + (1 - b1) * grad)
            v.assign(self.second(v, grad, b2))
            return var.assign_sub(self.step(self._decayed_lr(var.dtype), m, v))

        def get_config(self):
            return dict(
                super(Own, self).get_config(),
                learning_rate=self._serialize_hyperparameter("learning_rate"),
                beta_1=self._serialize_hyperparameter("beta_1"),
                beta_2=self._serialize_hyperparameter("beta_2"),
                epsilon=self.epsilon,
            )

        def second(self, v, g, b2):
            return b2 * v + (1 - b2) * tf.square(g)

        def step(self, rate, m, v):
            return rate * m / (tf.sqrt(v) + self.epsilon)

    class AdaBound(Own):
        def step(self, rate, m, v):
            return tf.clip_by_value(rate / (tf.sqrt(v) + self.epsilon), 1e-3, 1e-1) * m

    class Yogi(Own):
        def second(self, v, g, b2):
            return v - (1 - b2) * tf.sign(v - tf.square(g)) * tf.square(g)

    return dict(adamwarmup=AdamWarmup, adabound=AdaBound, yogi=Yogi)


def classes_since_keras2(k):
    """The same on the optimizer of Keras 2.11 and later, and on Keras 3."""
    o = k.optimizers
    ops = k.ops if k.flavour == "k3" else k.tf
    least, clip = (ops.minimum, ops.clip) if k.flavour == "k3" else (k.tf.minimum, k.tf.clip_by_value)

    class AdamWarmup(o.Adam):
        def __init__(self, warmup=10, name="adam_warmup", **kw):
            super().__init__(name=name, **kw)
            self.warmup = warmup

        def update_step(self, gradient, variable, *rate):
            factor = least(1.0, ops.cast(self.iterations + 1, "float32") / self.warmup)
            return super().update_step(gradient * factor, variable, *rate)

        def get_config(self):
            return dict(super().get_config(), warmup=self.warmup)

    class Own(o.Optimizer):
        def __init__(self, learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7, name=None, **kw):
            name = name or type(self).__name__.lower()
            if k.flavour == "k3":
                super().__init__(learning_rate=learning_rate, name=name, **kw)
            else:
                super().__init__(name=name, **kw)
                self._learning_rate = self._build_learning_rate(learning_rate)
            self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

        def build(self, variables):
            super().build(variables)
            if getattr(self, "_momentums", None):
                return
            self._momentums, self._velocities = [], []
            for v in variables:
                if k.flavour == "k3":
                    self._momentums.append(self.add_variable_from_reference(v, name="momentum"))
                    self._velocities.append(self.add_variable_from_reference(v, name="velocity"))
                else:
                    self._momentums.append(self.add_variable_from_reference(v, "m"))
                    self._velocities.append(self.add_variable_from_reference(v, "v"))

        def update_step(self, gradient, variable, *rate):
            g = k.tf.convert_to_tensor(gradient)  # an embedding's are slices
            at = self._get_variable_index(variable) if k.flavour == "k3" else self._index_dict[self._var_key(variable)]
            m, v = self._momentums[at], self._velocities[at]
            rate = ops.cast(rate[0] if rate else self.learning_rate, "float32")
            m.assign(self.beta_1 * m + (1 - self.beta_1) * g)
            v.assign(self.second(v, g))
            variable.assign(variable - self.step(rate, m, v))

        def get_config(self):
            config = super().get_config()
            if k.flavour != "k3":
                config["learning_rate"] = self._serialize_hyperparameter(self._learning_rate)
            return dict(config, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)

        def second(self, v, g):
            return self.beta_2 * v + (1 - self.beta_2) * ops.square(g)

        def step(self, rate, m, v):
            return rate * m / (ops.sqrt(v) + self.epsilon)

    class AdaBound(Own):
        def step(self, rate, m, v):
            return clip(rate / (ops.sqrt(v) + self.epsilon), 1e-3, 1e-1) * m

    class Yogi(Own):
        def second(self, v, g):
            return v - (1 - self.beta_2) * ops.sign(v - ops.square(g)) * ops.square(g)

    return dict(adamwarmup=AdamWarmup, adabound=AdaBound, yogi=Yogi)


# ------------------------------------------------------------------------------------- optimizers that are a tf.Module


class ByModule(object):
    """What both of these have: lists of variables, made by the first update, and a counter."""

    lists = ()

    def start(self, tf, rate, variables):
        self.rate = rate
        self.count = tf.Variable(0, dtype="int64")
        for name in self.lists:
            setattr(self, name, [tf.Variable(tf.zeros_like(v)) for v in variables])

    def apply(self, tf, grads, variables):
        self.count.assign_add(1)
        for i, (g, v) in enumerate(zip(grads, variables)):
            v.assign_sub(self.step(tf, i, g, tf.cast(self.count, g.dtype)))


class AdamModule(ByModule):
    """As in TensorFlow's guide to its core API."""

    lists = ("v_dvar", "s_dvar")

    def step(self, tf, i, g, t):
        m = self.v_dvar[i].assign(0.9 * self.v_dvar[i] + 0.1 * g)
        v = self.s_dvar[i].assign(0.999 * self.s_dvar[i] + 0.001 * tf.square(g))
        return self.rate * (m / (1 - 0.9**t)) / (tf.sqrt(v / (1 - 0.999**t)) + 1e-8)


class MomentumModule(ByModule):
    lists = ("velocity",)

    def step(self, tf, i, g, t):
        return self.velocity[i].assign(0.9 * self.velocity[i] + self.rate * g)


def module_case(k, out, cls):
    """A model and an optimizer of the program's own, both modules."""

    def make(case_id):
        tf, rng = k.tf, seeded(k, case_id)
        made = type(cls.__name__, (cls, tf.Module), {})

        class Net(tf.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.kernels = [tf.Variable(rng.randn(*s).astype("float32")) for s in ((4, 3), (3, 2))]
                self.biases = [tf.Variable(tf.zeros([n])) for n in (3, 2)]

            def __call__(self, x):
                return tf.tanh(x @ self.kernels[0] + self.biases[0]) @ self.kernels[1] + self.biases[1]

        net, opt = Net(), made()
        variables = [v for pair in zip(net.kernels, net.biases) for v in pair]
        opt.start(tf, 0.01, variables)
        case = Case(out, case_id, "tf.train.Checkpoint", cls.__name__, "an optimizer of one's own", k.versions())
        ckpt = tf.train.Checkpoint(model=net, optimizer=opt)
        state = lambda: [{n: number(getattr(opt, n)[i]).copy() for n in cls.lists} for i in range(len(variables))]
        for t in range(1, 5):
            x, y = rng.randn(4, 4).astype("float32"), rng.randn(4, 2).astype("float32")
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(net(tf.constant(x)) - y))
            grads = tape.gradient(loss, variables)
            before, prior = [number(v).copy() for v in variables], state()
            opt.apply(tf, grads, variables)
            if t in (2, 4):
                entries, arrays = [], []
                for i, v in enumerate(variables):
                    slots = state()[i]
                    entries.append(variable_entry(i, v.name, v.shape, v.dtype.name, slots))
                    row = dict(value=number(v), before=before[i], after=number(v), grad=number(grads[i]))
                    row.update({"slot_" + n: a for n, a in slots.items()})
                    row.update({"prior_" + n: a for n, a in prior[i].items()})
                    arrays.append(row)
                name = cls.__name__
                rec = dict(
                    cls=name, inner_cls=name, module=__name__, flavor="module", inner_flavor="module", config={},
                    iterations=t, apply_gradients_calls=t, t_used_last=t, t_used_last_source="rule", lr_used_last=0.01,
                    lr_next=0.01, scalars={}, variables=entries,
                )  # fmt: skip
                path = ckpt.write(case.file("ckpt-%d" % t))
                case.checkpoint("s%d" % t, os.path.basename(path), t, {"optimizer": (rec, arrays)})
        case.write()

    return make


def add_addons(add, o):
    """Those of tensorflow-addons that have no formula here, and its wrappers in HDF5."""
    import tensorflow_addons as tfa

    t = tfa.optimizers
    add("tfa_novograd", lambda: t.NovoGrad(learning_rate=0.01), text="tfa NovoGrad")
    add("tfa_novograd_dup", lambda: t.NovoGrad(learning_rate=0.01), text="tfa NovoGrad", model="dup")
    add("tfa_yogi", lambda: t.Yogi(learning_rate=0.01), text="tfa Yogi", is_pair=True)
    add("tfa_lookahead", lambda: t.Lookahead(o.Adam(learning_rate=0.01), sync_period=6), text="tfa Lookahead(Adam)")
    add("tfa_lookahead_dup", lambda: t.Lookahead(o.Adam(0.01), sync_period=3), text="tfa Lookahead(Adam)", model="dup")
    add("tfa_lookahead_rmsprop", lambda: t.Lookahead(o.RMSprop(0.01), sync_period=6), text="tfa Lookahead(RMSprop)")
    add("tfa_adamw", lambda: t.AdamW(weight_decay=0.05, learning_rate=0.01), text="tfa AdamW", model="dup")
    add("tfa_sgdw", lambda: t.SGDW(weight_decay=0.05, learning_rate=0.01, momentum=0.9), text="tfa SGDW", model="dup")


# ------------------------------------------------------------------------------------------------------ what to make


def makers(k, out):
    o, f, v, made = k.optimizers, k.flavour, k.version(), []
    kinds = ["ckpt", "h5"]
    kinds += ["keras", "weights_h5"] if f == "k3" or v >= (2, 12) else []
    kinds += ["saveweights_tf", "savedmodel"] if f != "k3" else []
    of = lambda cls, **kw: lambda: getattr(o, cls)(**dict(dict(learning_rate=0.01), **kw))

    def add(name, optimizer, only=None, **kw):
        for kind in only or kinds:
            where = kind if kind == "ckpt" else "fit_" + kind
            made.append(("%s_%s" % (where, name), case(k, out, kind, optimizer, **kw)))

    if f == "tfa":
        add_addons(add, o)
        return made
    for name, fill in (("pair", AdamModule), ("velocity", MomentumModule)):
        made.append(("ckpt_module_" + name, module_case(k, out, fill)))
    rate = lambda: schedules(k)["expdecay"]()
    add("rmsprop", of("RMSprop"), text="RMSprop")
    add("rmsprop_eps", of("RMSprop", rho=0.8, epsilon=1e-3), text="RMSprop(rho, epsilon)")
    add("rmsprop_mom", of("RMSprop", momentum=0.5, rho=0.7), text="RMSprop(momentum)", model="dup")
    add("rmsprop_centered", of("RMSprop", centered=True), text="RMSprop(centered)", model="dup")
    add("rmsprop_both", of("RMSprop", momentum=0.5, centered=True), text="RMSprop(momentum, centered)")
    add("rmsprop_sched", lambda: o.RMSprop(learning_rate=rate()), text="RMSprop+ExponentialDecay")
    add("rmsprop_named", of("RMSprop", name="my_opt"), text="RMSprop, named", model="dup")
    add("adagrad", of("Adagrad"), text="Adagrad")
    add("adagrad_start", of("Adagrad", initial_accumulator_value=0.3, epsilon=1e-3), text="Adagrad", model="dup")
    add("adagrad_sched", lambda: o.Adagrad(learning_rate=rate()), text="Adagrad+ExponentialDecay")
    if f in ("v2", "tfkleg"):
        add("rmsprop_decay", of("RMSprop", decay=0.5), text="RMSprop(decay)")
        add("adagrad_decay", of("Adagrad", decay=0.5), text="Adagrad(decay)")
    if f in ("new", "tfk", "k3"):
        add("rmsprop_wd", of("RMSprop", weight_decay=0.05, momentum=0.5), text="RMSprop(weight_decay)")
        add("rmsprop_ema", of("RMSprop", use_ema=True, ema_momentum=0.9), text="RMSprop(use_ema)", model="dup")
        add("adagrad_ema", of("Adagrad", use_ema=True, ema_momentum=0.9), text="Adagrad(use_ema)", model="dup")
    if f == "k3" and v >= (3, 1):
        add("rmsprop_gradaccum", of("RMSprop", gradient_accumulation_steps=2), text="RMSprop(accumulated)", model="dup")
    add("sgd", of("SGD"), text="SGD")
    add("sgd_mom", of("SGD", momentum=0.9), text="SGD(momentum)", model="dup")
    add("adadelta", of("Adadelta"), text="Adadelta")
    add("adadelta_dup", of("Adadelta"), text="Adadelta", model="dup")
    add("ftrl", of("Ftrl"), text="Ftrl")
    add("nadam", of("Nadam"), text="Nadam", is_pair=True)
    add("nadam_dup", of("Nadam"), text="Nadam", is_pair=True, model="dup")
    add("nadam_sched", lambda: o.Nadam(learning_rate=rate()), text="Nadam+ExponentialDecay", is_pair=True) if f not in (
        "v2", "tfkleg"
    ) else None  # fmt: skip
    for name in ("Lion", "Adafactor", "Muon"):
        if hasattr(o, name):
            add(name.lower(), of(name), text=name)
            add(name.lower() + "_dup", of(name), text=name, model="dup")
    own = (classes_of_v2 if f in ("v2", "tfkleg") else classes_since_keras2)(k)
    for name, cls in own.items():
        add("own_" + name, (lambda cls: lambda: cls(learning_rate=0.01))(cls), text=cls.__name__, is_pair=True)
        add(
            "own_%s_dup" % name, (lambda cls: lambda: cls(learning_rate=0.01))(cls), text=cls.__name__, is_pair=True,
            model="dup",
        )  # fmt: skip
    if f == "k3" and hasattr(k.layers.Dense, "enable_lora"):

        def lora(m):
            for layer in m.layers:
                if hasattr(layer, "enable_lora"):
                    layer.enable_lora(2)

        adam = of("Adam")
        add(
            "lora",
            adam,
            only=["ckpt", "keras", "weights_h5"],
            text="Adam",
            is_pair=True,
            change=lora,
            model="sequential",
        )
        add("lora_dup", adam, only=["ckpt", "keras", "weights_h5"], text="Adam", is_pair=True, change=lora, model="dup")
    return made


def main(argv):
    flavour, prefix, out = argv[:3]
    k = Namespace(flavour)
    k.tf.config.threading.set_intra_op_parallelism_threads(1)
    k.tf.config.threading.set_inter_op_parallelism_threads(1)
    run_all(makers(k, out), prefix, out, argv[3] if len(argv) > 3 else None)


if __name__ == "__main__":
    main(sys.argv[1:])
