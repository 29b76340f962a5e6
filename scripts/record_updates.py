"""Record real updates: the weights before and after one step of a live optimizer, and the state that the step left.

    OLD_PYTHON scripts/record_updates.py record FOLDER       with each interpreter that has a TensorFlow or Keras
    python scripts/record_updates.py case FOLDER CASE...     from folders that hold a truth.json and truth.npz
    python scripts/record_updates.py merge FOLDER            writes tests/data/recorded_updates.{npz,json}

`record` writes a file a producer into FOLDER, and runs under Python 3.6 with TensorFlow 1.4 as well as under today's.
"""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np

SHAPE = (3, 4)
STEPS = (1, 4, 20)
PLAIN = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999}
OTHER = {"learning_rate": 0.003, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.01}


def start(dtype):
    return (0.05 * np.random.RandomState(7).randn(*SHAPE)).astype(dtype)


def gradient(step, dtype):
    """A column each of ordinary, small and tiny gradients and of none, with a spike at the first step."""
    g = np.random.RandomState(100 + step).randn(*SHAPE) * np.array([1.0, 1e-2, 1e-4, 0.0])
    return (g * (10.0 if step == 1 else 1.0)).astype(dtype)


class Recorder:
    """Collects the records of one producer."""

    def __init__(self, producer):
        self.producer = producer
        self.records = []

    def add(self, rule, family, optimizer, dtype, step, settings, arrays, extra=None):
        arrays = {k: np.asarray(v) for k, v in arrays.items() if v is not None}
        self.records.append(
            {
                "producer": self.producer,
                "rule": rule,
                "family": family,
                "optimizer": optimizer,
                "dtype": dtype,
                "step": step,
                "settings": settings,
                "extra": extra or {},
                "arrays": arrays,
            }
        )

    def write(self, folder):
        path = folder / self.producer.replace(" ", "_")
        arrays, rows = {}, []
        for i, record in enumerate(self.records):
            row = dict(record)
            row["arrays"] = sorted(record["arrays"])
            for name, value in record["arrays"].items():
                arrays[f"{i}/{name}"] = value.view(np.uint16) if record["dtype"] == "bfloat16" else value
            rows.append(row)
        np.savez_compressed(str(path) + ".npz", **arrays)
        Path(str(path) + ".json").write_text(json.dumps(rows))
        sys.stdout.write(f"{self.producer}: {len(rows)} records\n")


def settings_of(arguments, epsilon):
    got = {k: arguments[k] for k in ("learning_rate", "beta_1", "beta_2", "weight_decay") if k in arguments}
    got["epsilon"] = arguments.get("epsilon", epsilon)
    return got


def record_eager(recorder, module, family, plan, dtype, find):
    """OptimizerV2, Addons, Keras 2.11+ and 3: `find` gives the slots."""
    import tensorflow as tf

    cls_name, rule, arguments, extra = plan
    optimizer = getattr(module, cls_name)(**arguments)
    variable = tf.Variable(tf.cast(start("float32"), dtype), name="w")
    for step in range(1, max(STEPS) + 1):
        before = variable.numpy()
        optimizer.apply_gradients([(tf.cast(gradient(step, "float32"), dtype), variable)])
        if step in STEPS:
            arrays = dict(find(optimizer, variable), before=before, after=variable.numpy())
            settings = settings_of(arguments, getattr(optimizer, "epsilon", None))
            settings["learning_rate"] = float(np.asarray(optimizer.learning_rate))  # a variable, of float32
            recorder.add(rule, family, cls_name, dtype, step, settings, arrays, extra)


def slots_v2(names):
    return lambda optimizer, variable: {
        ours: optimizer.get_slot(variable, theirs).numpy()
        for ours, theirs in names.items()
        if theirs in optimizer.get_slot_names()
    }


def slots_keras(names):
    def find(optimizer, variable):
        found = {}
        for ours, theirs in names.items():
            held = getattr(optimizer, theirs, None)
            if held:
                value = held[0].value if hasattr(held[0], "value") and not callable(held[0].value) else held[0]
                found[ours] = np.asarray(value)
        return found

    return find


V2 = {"first_moment": "m", "second_moment": "v", "max_second_moment": "vhat"}
V2_RMS = {"first_moment": "momentum", "second_moment": "rms", "mean_gradient": "mg"}
KERAS = {"first_moment": "_momentums", "second_moment": "_velocities", "max_second_moment": "_velocity_hats"}
KERAS_MAX = {"first_moment": "_m", "second_moment": "_u"}
KERAS_RMS = {"first_moment": "_momentums", "second_moment": "_velocities", "mean_gradient": "_average_gradients"}
RATE_ONLY = {"learning_rate": 0.01}


def eager_plans(is_new):
    """(class, rule, arguments, extra, dtypes, slots) for tf.keras; `is_new`: Keras 2.11+ and 3."""
    adam, biggest, rms = (
        (slots_keras(KERAS), slots_keras(KERAS_MAX), slots_keras(KERAS_RMS))
        if is_new
        else (slots_v2(V2), slots_v2(V2), slots_v2(V2_RMS))
    )
    f32, all_ = ("float32",), ("float32", "float64", "float16", "bfloat16")
    bf16 = dict(PLAIN, beta_2=0.98)
    out = [
        ("Adam", "adam", PLAIN, {}, all_, adam),
        ("Adam", "adam", OTHER, {}, f32, adam),
        ("Adam", "adam", bf16, {}, ("bfloat16",) if is_new else (), adam),
        ("Adam", "amsgrad", dict(PLAIN, amsgrad=True), {}, f32, adam),
        ("Adam", "amsgrad", dict(OTHER, amsgrad=True), {}, ("float32", "float64"), adam),
        ("Adamax", "adamax", PLAIN, {}, f32, biggest),
        ("Adamax", "adamax", OTHER, {}, f32, biggest),
        ("Nadam", "nadam", PLAIN, {}, f32, adam),
        ("RMSprop", "rmsprop", dict(RATE_ONLY, momentum=0.9), {"momentum": 0.9}, f32, rms),
    ]
    if is_new:
        out += [
            ("AdamW", "adamw", dict(PLAIN, weight_decay=0.1), {}, ("float32", "float64"), adam),
            ("AdamW", "adamw", dict(OTHER, weight_decay=0.004), {}, f32, adam),
            ("Adamax", "adamax", dict(PLAIN, weight_decay=0.1), {}, f32, biggest),
            ("Lamb", "lamb", PLAIN, {}, f32, adam),
            ("Lamb", "lamb", dict(OTHER, weight_decay=0.1), {}, f32, adam),
        ]
    return out


def record_family(recorder, module, family, table):
    for cls_name, rule, arguments, extra, dtypes, find in table:
        if not hasattr(module, cls_name):
            continue
        for dtype in dtypes:
            record_eager(recorder, module, family, (cls_name, rule, arguments, extra), dtype, find)


def record_addons(recorder):
    try:
        import tensorflow_addons as tfa
    except ImportError:
        return
    m, f32 = slots_v2(V2), ("float32",)
    decayed = "weight_decay" if "weight_decay" in tfa.optimizers.LAMB.__init__.__code__.co_varnames else None
    decayed = decayed or "weight_decay_rate"
    table = [
        ("AdamW", "adamw", dict(PLAIN, weight_decay=0.01), {}, f32, m),
        ("AdamW", "adamw", dict(OTHER, weight_decay=0.004), {}, f32, m),
        ("LAMB", "lamb", PLAIN, {}, f32, m),
        ("LazyAdam", "lazyadam", PLAIN, {}, f32, m),
        ("RectifiedAdam", "radam", PLAIN, {}, f32, m),
        ("RectifiedAdam", "radam", dict(OTHER, weight_decay=0.01), {}, f32, m),
    ]
    record_family(recorder, tfa.optimizers, "tfa", table)
    keep = len(recorder.records)
    record_family(recorder, tfa.optimizers, "tfa", [("LAMB", "lamb", dict(PLAIN, **{decayed: 0.1}), {}, f32, m)])
    for record in recorder.records[keep:]:
        record["settings"]["weight_decay"] = 0.1


def record_graph(recorder, tf, make, family, cls_name, rule, settings, dtype, names, extra=None):
    """TF1 optimizers, in a graph of their own."""
    with tf.Graph().as_default():
        resource = {"use_resource": True}
        variable = tf.get_variable("w", initializer=tf.cast(tf.constant(start("float32")), dtype), **resource)
        feed = tf.placeholder("float32", SHAPE)
        optimizer = make()
        apply = optimizer.apply_gradients([(tf.cast(feed, dtype), variable)])
        slots = {ours: optimizer.get_slot(variable, theirs) for ours, theirs in names.items()}
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for step in range(1, max(STEPS) + 1):
                before = session.run(variable)
                session.run(apply, {feed: gradient(step, "float32")})
                if step in STEPS:
                    arrays = dict(session.run(slots), before=before, after=session.run(variable))
                    recorder.add(rule, family, cls_name, dtype, step, settings, arrays, extra)


def record_tf1(recorder, tf):
    m = {"first_moment": "m", "second_moment": "v"}

    def arguments(plan):
        return {
            "learning_rate": plan["learning_rate"],
            "beta1": plan["beta_1"],
            "beta2": plan["beta_2"],
            "epsilon": plan.get("epsilon", 1e-8),
        }

    for plan in (PLAIN, OTHER):
        for dtype in ("float32", "float64", "float16") if plan is PLAIN else ("float32",):
            make = partial(tf.train.AdamOptimizer, **arguments(plan))
            record_graph(recorder, tf, make, "tf1", "AdamOptimizer", "adam", settings_of(plan, 1e-8), dtype, m)
    rms = {"first_moment": "momentum", "second_moment": "rms"}
    make = partial(tf.train.RMSPropOptimizer, 0.01, momentum=0.9)
    settings = {"learning_rate": 0.01, "epsilon": 1e-10}
    record_graph(recorder, tf, make, "tf1", "RMSPropOptimizer", "rmsprop", settings, "float32", rms, {"momentum": 0.9})
    try:
        from tensorflow.contrib import opt
    except ImportError:
        return
    for cls_name, rule in (
        ("AdamWOptimizer", "adamw"),
        ("AdaMaxOptimizer", "adamax"),
        ("LazyAdamOptimizer", "lazyadam"),
    ):
        if not hasattr(opt, cls_name):
            continue
        for plan in (PLAIN, OTHER):
            more = {"weight_decay": 0.01} if rule == "adamw" else {}
            make = partial(getattr(opt, cls_name), **dict(arguments(plan), **more))
            settings = settings_of(dict(plan, **more), 1e-8)
            record_graph(recorder, tf, make, "contrib", cls_name, rule, settings, "float32", m)


def record_keras1(recorder, keras):
    """Keras before OptimizerV2, through `get_updates`."""
    k = keras.backend
    for cls_name, rule, amsgrad in (("Adam", "adam", False), ("Adam", "amsgrad", True), ("Adamax", "adamax", False)):
        for plan in (PLAIN, OTHER):
            k.clear_session()
            arguments = dict(plan, lr=plan["learning_rate"], decay=0.05)
            arguments.pop("learning_rate")
            if amsgrad:
                arguments["amsgrad"] = True
            try:
                optimizer = getattr(keras.optimizers, cls_name)(**arguments)
            except TypeError:
                continue
            variable = k.variable(start("float32"), name="w")
            feed = k.placeholder(SHAPE)
            updates = optimizer.get_updates(k.sum(variable * feed), [variable])
            # The first update counts the step, and nothing orders it before or after the others that read the count.
            step_once = k.function([feed], [k.sum(feed)], updates=updates[1:])
            for step in range(1, max(STEPS) + 1):
                before = k.get_value(variable)
                step_once([gradient(step, "float32")])
                k.get_session().run(updates[0])
                if step in STEPS:
                    state = [w for w in map(k.get_value, optimizer.weights) if w.shape == SHAPE]
                    names = ("first_moment", "second_moment", "max_second_moment")
                    arrays = dict(zip(names, state), before=before, after=k.get_value(variable))  # noqa: B905 - Python 3.6
                    settings = settings_of(plan, getattr(optimizer, "epsilon", None))
                    settings["decay"] = 0.05
                    recorder.add(rule, "keras1", cls_name, "float32", step, settings, arrays)


def record(folder):
    import tensorflow as tf

    version = tf.__version__
    recorder = Recorder("tensorflow-" + version)
    if version.startswith("1."):
        record_tf1(recorder, tf)
        if version < "1.15":
            record_keras1(recorder, tf.keras)
        recorder.write(folder)
        return
    keras_version = getattr(tf.keras, "__version__", "2")
    minor = int(version.split(".")[1])
    if minor >= 16:
        import keras

        keras_version = keras.__version__
        recorder.producer += " keras-" + keras_version
        record_family(recorder, keras.optimizers, "keras3", eager_plans(True))
    elif minor >= 11:
        record_family(recorder, tf.keras.optimizers, "keras2", eager_plans(True))
        record_family(recorder, tf.keras.optimizers.legacy, "optimizer-v2", eager_plans(False))
    else:
        record_family(recorder, tf.keras.optimizers, "optimizer-v2", eager_plans(False))
    record_addons(recorder)
    recorder.write(folder)


def case(folder, cases):
    """Records out of a recorded case: BERT's optimizer, which no package holds."""
    for path in cases:
        recorder = Recorder(Path(path).name)
        truth = json.loads((Path(path) / "truth.json").read_text())
        data = np.load(str(Path(path) / "truth.npz"))
        for checkpoint in truth["checkpoints"]:
            for optimizer in checkpoint["optimizers"].values():
                if optimizer["inner_cls"] != "AdamWeightDecayOptimizer":
                    continue
                config = optimizer["config"]
                for variable in optimizer["variables"]:
                    p = checkpoint["tag"] + "/" + variable["npz_prefix"] + "/"
                    is_decayed = not any(x in variable["name"] for x in ("LayerNorm", "layer_norm", "bias"))
                    settings = {
                        "learning_rate": optimizer["lr_used_last"],
                        "beta_1": config["beta_1"],
                        "beta_2": config["beta_2"],
                        "epsilon": config["epsilon"],
                        "weight_decay": config["weight_decay_rate"] if is_decayed else None,
                    }
                    names = {"first_moment": "slot_m", "second_moment": "slot_v", "before": "before", "after": "after"}
                    arrays = {ours: data[p + theirs] for ours, theirs in names.items()}
                    cls_name, step = "AdamWeightDecayOptimizer", optimizer["iterations"]
                    recorder.add("bert-adamw", "bert", cls_name, "float32", step, settings, arrays)
        recorder.write(folder)


def merge(folder):
    """One flat array a dtype, and an index: thousands of small arrays would be mostly headers."""
    flat, rows = {}, []
    for path in sorted(folder.glob("*.json")):
        records = json.loads(path.read_text())
        with np.load(str(path)[:-5] + ".npz") as data:
            for i, record in enumerate(records):
                index = {}
                for array in record["arrays"]:
                    value = data[f"{i}/{array}"]
                    parts = flat.setdefault(record["dtype"], [])
                    index[array] = sum(p.size for p in parts)
                    parts.append(value.ravel())
                    record["shape"] = list(value.shape)
                record["arrays"] = index
                rows.append(record)
    target = Path(__file__).resolve().parent.parent / "tests" / "data"
    joined = {dtype: np.concatenate(parts) for dtype, parts in flat.items()}
    np.savez_compressed(str(target / "recorded_updates.npz"), **joined)
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    (target / "recorded_updates.json").write_text("[\n" + lines + "\n]\n")
    sys.stdout.write(f"{len(rows)} records\n")


if __name__ == "__main__":
    command, target_folder = sys.argv[1], Path(sys.argv[2])
    target_folder.mkdir(parents=True, exist_ok=True)
    if command == "case":
        case(target_folder, sys.argv[3:])
    else:
        {"record": record, "merge": merge}[command](target_folder)
