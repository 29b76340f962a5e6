"""Cases of TensorFlow 1 graphs beside Adam: RMSProp, Adagrad and others, `optimize_loss`, and updates written by hand.

    python -m case_recorders.tf1_rules FLAVOUR PREFIX OUT [REGEX]    (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR as in case_recorders.tf1. The record also has the gradient of the last update (`grad`) and each slot before it
(`prior_<slot>`), as in case_recorders.keras_rules.
"""

import os
import sys

import numpy as np

from case_recorders.case import Case, run_all
from case_recorders.tf1 import FLAVOUR, Tracked, batch, network, session, start, tf, trained, versions

CONFIG = ("_decay", "_momentum", "_centered", "_epsilon", "_initial_accumulator_value", "_rho")


class ByHand(tf.train.Optimizer):
    """Moments as variables of the program's own, named as people name them."""

    def __init__(self, rate, names, beta_1=0.9, beta_2=0.999, epsilon=1e-6):
        super(ByHand, self).__init__(False, type(self).__name__)
        self.rate, self.names, self.beta_1, self.beta_2, self.epsilon = rate, names, beta_1, beta_2, epsilon
        self.moments = {}

    def pair(self, p):
        made = {
            slot: tf.get_variable(
                p.op.name + "/" + name, p.shape.as_list(), tf.float32, tf.zeros_initializer(), trainable=False
            )
            for slot, name in self.names.items()
        }
        self.moments[p.op.name] = made
        return made["m"], made["v"]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        ops = []
        for g, p in grads_and_vars:
            m, v = self.pair(p)
            g = tf.convert_to_tensor(g)
            m2 = self.beta_1 * m + (1.0 - self.beta_1) * g
            v2 = self.beta_2 * v + (1.0 - self.beta_2) * tf.square(g)
            ops += [p.assign(p - self.step(m2, v2, p)), m.assign(m2), v.assign(v2)]
        return tf.group(*(ops + ([global_step.assign_add(1)] if global_step is not None else [])))

    def step(self, m, v, p):
        return self.rate * m / (tf.sqrt(v) + self.epsilon)


class LambByHand(ByHand):
    """As in ALBERT: `lamb_m` and `lamb_v` under the variable."""

    def __init__(self, rate):
        super(LambByHand, self).__init__(rate, dict(m="lamb_m", v="lamb_v"))

    def step(self, m, v, p):
        u = m / (tf.sqrt(v) + self.epsilon)
        w, n = tf.norm(p), tf.norm(u)
        return self.rate * tf.where(w > 0, tf.where(n > 0, w / n, 1.0), 1.0) * u


class NamelessAdam(ByHand):
    """As in openai/improved-gan's `adam_updates`, whose variables never got the names that were meant for them."""

    def __init__(self, rate):
        super(NamelessAdam, self).__init__(rate, {})

    def pair(self, p):
        m, v = tf.Variable(tf.zeros(p.shape.as_list()), False), tf.Variable(tf.zeros(p.shape.as_list()), False)
        self.moments[p.op.name] = dict(m=m, v=v)
        return m, v


class AMSGrad(tf.train.AdamOptimizer):
    """As published for TensorFlow 1: Adam's slots and a third one, all under one name."""

    def _create_slots(self, var_list):
        super(AMSGrad, self)._create_slots(var_list)
        for v in var_list:
            self._zeros_slot(v, "vhat", self._name)

    def _apply_dense(self, g, var):
        p1, p2 = self._get_beta_accumulators() if hasattr(self, "_get_beta_accumulators") else (
            self._beta1_power, self._beta2_power
        )  # fmt: skip
        m, v, top = (self.get_slot(var, n) for n in ("m", "v", "vhat"))
        m2 = m.assign(self._beta1 * m + (1 - self._beta1) * g)
        v2 = v.assign(self._beta2 * v + (1 - self._beta2) * tf.square(g))
        top2 = top.assign(tf.maximum(top, v2))
        rate = self._lr * tf.sqrt(1 - p2) / (1 - p1)
        return var.assign_sub(rate * m2 / (tf.sqrt(top2) + self._epsilon))

    def _resource_apply_dense(self, g, var):
        return self._apply_dense(g, var)

    def _apply_sparse(self, g, var):
        return self._apply_dense(tf.convert_to_tensor(g), var)


def of_addons(name, **settings):
    """An optimizer of tensorflow-addons, which is one of Keras' OptimizerV2, in a graph; None where there is none."""
    try:
        import tensorflow_addons as tfa
    except ImportError:
        return None
    return lambda lr: getattr(tfa.optimizers, name)(learning_rate=lr, **settings)


class Witness(Tracked):
    """As Tracked, with the gradient of the last update and the slots before it."""

    def __init__(self, opt, variables, lr, grads, config):
        super(Witness, self).__init__(opt, variables, lr, config=config)
        self.grads = [None if g is None else tf.convert_to_tensor(g) for g in grads]
        self.seen = self.prior = None

    def slot_variables(self, v):
        return self.opt.moments[v.op.name] if hasattr(self.opt, "moments") else super(Witness, self).slot_variables(v)

    def around(self, s, op, feed=None):
        self.prior = [s.run(self.slot_variables(v)) if self.slot_variables(v) else {} for v in self.variables]
        self.seen = s.run(self.grads, feed)
        super(Witness, self).around(s, op, feed)

    def record(self, s):
        rec, arrays = super(Witness, self).record(s)
        if isinstance(self.opt, AMSGrad):
            rec["inner_cls"], rec["config"]["amsgrad"] = "AdamOptimizer", True
        if hasattr(self.opt, "get_config"):
            rec.update(flavor="v2", inner_flavor="v2")
            hyper = {n: h for n, h in self.opt._hyper.items() if hasattr(h, "op")}
            rec["config"].update({n: float(x) for n, x in s.run(hyper).items()})
        made = [v for v in tf.global_variables() if v.op.name == "OptimizeLoss/learning_rate"]
        rec["scalars"].update({v.op.name: float(s.run(v)) for v in made})
        for i, row in enumerate(arrays):
            if self.seen is not None:
                row["grad"] = self.seen[i]
                row.update({"prior_" + name: a for name, a in self.prior[i].items()})
        return rec, arrays


def case(out, optimizer, text, meta=True, net=None, saves=(2, 4), notes="", loss_op=False, saver=None, lr=None):
    """`optimizer(rate)`; `loss_op`: by `tf.contrib.layers.optimize_loss`."""

    def make(case_id):
        rng = start(case_id)
        gs = tf.train.get_or_create_global_step()
        ids, y, loss = network(**(net or {}))
        rate = lr(gs) if lr else 0.01
        opt, held = optimizer(rate), {}
        variables = trained()
        grads = tf.gradients(loss, variables)
        if loss_op:

            def optimizer_of(made):
                held["rate"], held["opt"] = made, optimizer(made)
                return held["opt"]

            decay = loss_op if callable(loss_op) else None
            op = tf.contrib.layers.optimize_loss(loss, gs, 0.01, optimizer_of, learning_rate_decay_fn=decay)
            opt, rate = held["opt"], held["rate"]
        elif isinstance(opt, ByHand):
            op = opt.apply_gradients(list(zip(grads, variables)), gs)
        elif hasattr(opt, "get_config"):
            op = tf.group(opt.apply_gradients(list(zip(grads, variables))), gs.assign_add(1))
        else:
            op = opt.minimize(loss, global_step=gs)
        config = {n: getattr(opt, n) for n in CONFIG if isinstance(getattr(opt, n, None), (bool, int, float))}
        if hasattr(opt, "get_config"):
            config.update({n: x for n, x in opt.get_config().items() if isinstance(x, (bool, int, float))})
        track = Witness(opt, variables, rate, grads, config)
        case_ = Case(out, case_id, "tf.train.Saver V2", text, notes, versions())
        with session() as s:
            s.run(tf.global_variables_initializer())
            saver_ = (saver or (lambda: tf.train.Saver(max_to_keep=None)))()
            for n in range(max(saves) + 1):
                if n in saves:
                    path = saver_.save(s, case_.file("model.ckpt"), global_step=n, write_meta_graph=meta)
                    case_.checkpoint(
                        "s%d" % n, os.path.basename(path), n, {"optimizer": track.record(s)}, global_step=int(s.run(gs))
                    )
                if n < max(saves):
                    track.around(s, op, batch(rng, ids, y))
        case_.write()

    return make


def unmerged(out):
    """A sharded save that was interrupted before its parts were merged."""

    def make(case_id):
        rng = start(case_id)
        gs = tf.train.get_or_create_global_step()
        devices = ["/cpu:0", "/cpu:1"]
        ids, y, loss = network(devices=devices, dup=True)
        opt, variables = tf.train.AdamOptimizer(0.01), trained()
        op = opt.minimize(loss, global_step=gs)
        track = Witness(opt, variables, 0.01, tf.gradients(loss, variables), {})
        case_ = Case(
            out,
            case_id,
            "tf.train.Saver V2",
            "AdamOptimizer",
            "a save that broke off before its parts were merged",
            versions(),
        )
        with session() as s:
            s.run(tf.global_variables_initializer())
            saver = tf.train.Saver(max_to_keep=None, sharded=True)
            for _ in range(3):
                track.around(s, op, batch(rng, ids, y))
            graph = tf.get_default_graph()
            saves = [o for o in graph.get_operations() if o.type == "SaveV2"]
            prefix = saver.saver_def.filename_tensor_name
            names = [graph.get_tensor_by_name(o.inputs[0].name) for o in saves]
            paths = s.run([names, saves], {prefix: case_.file("model.ckpt-3")})[0]
            record = track.record(s)
        (folder,) = {os.path.dirname(os.path.relpath(p.decode(), case_.folder)) for p in paths}
        case_.checkpoint("s3", folder, 3, {"optimizer": record}, global_step=3)
        case_.write()

    return make


def makers(out):
    made, t = [("saver_unmerged", unmerged(out))], tf.train

    def add(name, optimizer, text, **kw):
        for suffix, meta in (("", True), ("_nometa", False)):
            made.append(("saver_" + name + suffix, case(out, optimizer, text, meta=meta, **kw)))

    dense, twice = dict(one_hot=True), dict(dup=True)
    R, G = t.RMSPropOptimizer, t.AdagradOptimizer
    add("rms", lambda lr: R(lr), "RMSPropOptimizer")
    add("rms_dense", lambda lr: R(lr, decay=0.7, epsilon=1e-3), "RMSPropOptimizer", net=dense)
    add("rms_mom_dense", lambda lr: R(lr, momentum=0.5), "RMSPropOptimizer", net=dense)
    add("rms_mom", lambda lr: R(lr, momentum=0.5), "RMSPropOptimizer", net=twice)
    add("rms_centered", lambda lr: R(lr, centered=True), "RMSPropOptimizer", net=twice)
    add("rms_both_dense", lambda lr: R(lr, momentum=0.5, centered=True), "RMSPropOptimizer", net=dense)
    add("rms_named", lambda lr: R(lr, momentum=0.5, name="my_opt"), "RMSPropOptimizer", net=dense)
    add("rms_resource", lambda lr: R(lr, momentum=0.5), "RMSPropOptimizer", net=dict(resource=True))
    add("rms_lrdecay", lambda lr: R(lr), "RMSPropOptimizer", lr=lambda gs: t.exponential_decay(0.02, gs, 2, 0.5))
    add("ada", lambda lr: G(lr), "AdagradOptimizer")
    add("ada_start", lambda lr: G(lr, initial_accumulator_value=0.3), "AdagradOptimizer", net=twice)
    add("ada_named", lambda lr: G(lr, name="my_opt"), "AdagradOptimizer", net=twice)
    add("ada_resource", lambda lr: G(lr), "AdagradOptimizer", net=dict(resource=True))
    add("ada_lrdecay", lambda lr: G(lr), "AdagradOptimizer", lr=lambda gs: t.exponential_decay(0.02, gs, 2, 0.5))
    add("adadelta", lambda lr: t.AdadeltaOptimizer(lr), "AdadeltaOptimizer", net=dense)
    add("ftrl_dense", lambda lr: t.FtrlOptimizer(lr), "FtrlOptimizer", net=dense)
    add("hand_lamb", LambByHand, "LAMB by hand", net=twice)
    add("hand_adam", lambda lr: ByHand(lr, dict(m="adam_m_t", v="adam_v_t")), "Adam by hand", net=twice)
    add("hand_moments", lambda lr: ByHand(lr, dict(m="exp_avg", v="exp_avg_sq")), "Adam by hand")
    add("hand_nameless", NamelessAdam, "Adam by hand, unnamed", net=twice)
    add("amsgrad_slots", lambda lr: AMSGrad(lr), "AMSGrad of one's own", net=dense)
    if FLAVOUR == "contrib" and hasattr(tf.contrib.layers, "optimize_loss"):
        decay = lambda rate, gs: t.exponential_decay(rate, gs, 2, 0.5)
        for name, of in (("rms", lambda lr: R(lr, momentum=0.5)), ("ada", G), ("adam", t.AdamOptimizer)):
            add("loss_" + name, of, "by optimize_loss", net=dense, loss_op=True)
            add("loss_%s_decay" % name, of, "by optimize_loss", net=dense, loss_op=decay)
    for name, of in (("adamw", of_addons("AdamW", weight_decay=0.05)), ("lamb", of_addons("LAMB"))):
        if of is not None:
            add("tfa_" + name, of, "tfa " + name, net=dict(one_hot=True, resource=True))
            add("tfa_%s_dup" % name, of, "tfa " + name, net=dict(dup=True, one_hot=True, resource=True))
    renamed = lambda: t.Saver({"old/" + v.op.name: v for v in tf.global_variables()}, max_to_keep=None)
    add("rms_renamed", lambda lr: R(lr, momentum=0.5), "RMSPropOptimizer", net=dense, saver=renamed)
    add("ada_renamed", lambda lr: G(lr), "AdagradOptimizer", net=dense, saver=renamed)
    return made


if __name__ == "__main__":
    np.seterr(all="ignore")
    run_all(makers(sys.argv[3]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
