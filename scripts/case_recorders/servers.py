"""Cases of ParameterServerStrategy, whose variables and slots are sharded over servers: a cluster in one process.

    python -m case_recorders.servers FLAVOUR PREFIX OUT [REGEX]      (in scripts/; scripts/record_cases.py calls it so)

FLAVOUR is `v2`: OptimizerV2 of TF 2.4 to 2.10. The file holds whole tensors, so that whole ones are recorded.
"""

import os
import socket
import sys

import numpy as np

from case_recorders.case import Case, plain, run_all, variable_entry

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


def cluster(workers=1, servers=2):
    """Return a strategy over servers of this process, on ports of the loopback interface."""

    def port():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return "127.0.0.1:%d" % s.getsockname()[1]

    spec = tf.train.ClusterSpec({"worker": [port() for _ in range(workers)], "ps": [port() for _ in range(servers)]})
    started = [
        tf.distribute.Server(spec, job_name=job, task_index=i, protocol="grpc", start=True)
        for job, n in (("worker", workers), ("ps", servers))
        for i in range(n)
    ]
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, rpc_layer="grpc")
    partitioner = tf.distribute.experimental.partitioners.FixedShardsPartitioner(servers)
    return tf.distribute.experimental.ParameterServerStrategy(resolver, variable_partitioner=partitioner), started


CLUSTER = []


def whole(shards):
    return np.concatenate([np.asarray(s.numpy()) for s in shards], axis=0)


def parts(v):
    return list(v.variables) if hasattr(v, "variables") else [v]


def case(out, optimizer, text):
    def make(case_id):
        if not CLUSTER:
            CLUSTER.extend(cluster())
        strategy = CLUSTER[0]
        rng = np.random.RandomState(7)
        with strategy.scope():
            w = tf.Variable(rng.randn(6, 3).astype("float32"), name="dense/kernel")
            b = tf.Variable(np.zeros(4, "float32"), name="dense/bias")
            opt = optimizer()
        variables = [w, b]
        shards = [p for v in variables for p in parts(v)]
        case_ = Case(out, case_id, "tf.train.Checkpoint", text, "", dict(tf_version=tf.__version__, keras_version=None))
        ckpt = tf.train.Checkpoint(w=w, b=b, optimizer=opt)
        state = lambda v: {n: whole([opt.get_slot(p, n) for p in parts(v)]) for n in opt.get_slot_names()}
        for t in range(1, 5):
            grads = [rng.randn(*[int(n) for n in p.shape]).astype("float32") for p in shards]
            before, prior = [whole(parts(v)) for v in variables], [state(v) for v in variables] if t > 1 else [{}, {}]
            opt.apply_gradients([(tf.constant(g), p) for g, p in zip(grads, shards)])
            if t not in (2, 4):
                continue
            entries, arrays, at = [], [], 0
            for i, v in enumerate(variables):
                slots, n = state(v), len(parts(v))
                after = whole(parts(v))
                entries.append(variable_entry(i, ("w", "b")[i], after.shape, "float32", slots))
                row = dict(value=after, before=before[i], after=after, grad=np.concatenate(grads[at : at + n], axis=0))
                row.update({"slot_" + name: a for name, a in slots.items()})
                row.update({"prior_" + name: a for name, a in prior[i].items()})
                arrays.append(row)
                at += n
            cls, rate = type(opt).__name__, float(opt._decayed_lr("float32").numpy())
            rec = dict(
                cls=cls, inner_cls=cls, module=type(opt).__module__, flavor="v2", inner_flavor="v2",
                config=plain(opt.get_config()), iterations=t, apply_gradients_calls=t, t_used_last=t,
                t_used_last_source="rule", lr_used_last=rate, lr_next=rate, scalars={}, variables=entries,
            )  # fmt: skip
            path = ckpt.write(case_.file("ckpt-%d" % t))
            case_.checkpoint("s%d" % t, os.path.basename(path), t, {"optimizer": (rec, arrays)})
        case_.write()

    return make


def makers(out):
    o = tf.keras.optimizers
    return [
        ("ckpt_servers_adam", case(out, lambda: o.Adam(0.01, epsilon=1e-3), "Adam")),
        ("ckpt_servers_amsgrad", case(out, lambda: o.Adam(0.01, amsgrad=True), "Adam")),
        ("ckpt_servers_rmsprop", case(out, lambda: o.RMSprop(0.01), "RMSprop")),
        ("ckpt_servers_adagrad", case(out, lambda: o.Adagrad(0.01), "Adagrad")),
    ]


if __name__ == "__main__":
    run_all(makers(sys.argv[3]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
