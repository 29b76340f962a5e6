#!/usr/bin/env python3
"""Record Orbax folders with the live optimizer's own arrays beside them, for tests/formats and tests/layouts.

    python record_orbax.py OUT SET ...      (an interpreter that has orbax-checkpoint, optax and jax; for keras-* Keras)

Each SET becomes a folder OUT/SET and OUT/SET.npz: of the newest step each parameter's `value/PATH`, its slots as optax
or Keras names them (`mu/PATH`, `nu/PATH`, ..), and `update/PATH`, what the last update added to it; `step`. It uses
nothing of the package. fixtures/orbax/README.md says which version wrote which set.
"""

# ruff: noqa: T201 - a program that prints

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")

import numpy as np

UPDATES = 5
FIELDS = ("mu", "nu", "nu_max", "sum_of_squares")


def parameters():
    """Layers whose names are those of optax' fields, a list and a tuple, and names with underscores."""
    import jax.numpy as jnp

    draw = np.random.RandomState(0)
    return {
        "enc": {"mu": {"kernel": jnp.asarray(draw.randn(3, 2), jnp.float32), "bias": jnp.zeros(2)}},
        "nu": [jnp.asarray(draw.randn(4, 2), jnp.float32), (jnp.ones(2),)],
    }


def labels(params):
    """Two optimizers, by parameter."""
    return {"enc": {"mu": {"kernel": "fast", "bias": "slow"}}, "nu": ["slow", ("fast",)]}


def path_of(keys):
    return "/".join(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in keys)


def leaves(tree):
    import jax

    return {path_of(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def trained(transformation, updates=UPDATES):
    """Yield (updates made, parameters, state, last update) after each."""
    import jax
    import optax

    params = parameters()
    state = transformation.init(params)
    for i in range(updates):
        draw = np.random.RandomState(i + 5)
        gradients = jax.tree_util.tree_map(lambda p, d=draw, n=i: np.float32(d.randn(*p.shape) * (0.1 + n)), params)
        update, state = transformation.update(gradients, state, params)
        params = optax.apply_updates(params, update)
        yield i + 1, params, state, update


def truth_of(params, state, update, step):
    """What is compared: by field of the optimizer's state, below which the parameters' paths lie."""
    truth = {f"value/{path}": array for path, array in leaves(params).items()}
    truth |= {f"update/{path}": np.asarray(array, np.float32) for path, array in leaves(update).items()}
    for path, array in leaves(state).items():
        keys = path.split("/")
        at = next((i for i, key in enumerate(keys) if key in FIELDS), None)  # the first: layers are named so as well
        if at is not None:
            truth["/".join(keys[at:])] = array
    return truth | {"step": np.int64(step)}


def save_truth(folder, truth):
    np.savez_compressed(f"{folder}.npz", **truth)


def optax_sets():
    import optax

    inject = optax.inject_hyperparams
    decay = optax.exponential_decay(1e-2, 2, 0.5)
    return {
        "adam-chain": optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2, b1=0.8, b2=0.95, eps=1e-3)),
        "adamw-inject": inject(optax.adamw)(decay, weight_decay=0.1, eps_root=1e-3),
        "amsgrad": optax.amsgrad(1e-2) if hasattr(optax, "amsgrad") else None,
        "lamb-inject": inject(optax.lamb)(1e-2, weight_decay=0.01),
        "adamax": optax.adamax(1e-2) if hasattr(optax, "adamax") else None,
        "radam-inject": inject(optax.radam)(1e-2),
        "multi": optax.multi_transform({"fast": optax.adam(1e-2), "slow": inject(optax.adam)(2e-2)}, labels),
        "multisteps": optax.MultiSteps(optax.adam(1e-2), 2),
        "adagrad": optax.adagrad(1e-2),
        "momentum": optax.sgd(1e-2, momentum=0.9),
    }


def handler(name):
    """The folder's kind is the end of the set's name: -z3 zarr3, -plain no OCDBT, -plain3 both."""
    import orbax.checkpoint as ocp

    kind = name.rpartition("-")[2]
    options = {
        "z3": {"use_zarr3": True},
        "plain": {"use_ocdbt": False},
        "plain3": {"use_ocdbt": False, "use_zarr3": True},
    }
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options.get(kind, {})))


def record_optax(name, folder):
    transformation = optax_sets()[next(n for n in sorted(optax_sets(), key=len, reverse=True) if name.startswith(n))]
    *_, (step, params, state, update) = trained(transformation, 4 if name.startswith("multisteps") else UPDATES)
    if name.startswith("multisteps"):
        step //= 2
    handler(name).save(folder, {"params": params, "opt_state": state, "step": step})
    save_truth(folder, truth_of(params, state, update, step))


def record_run(name, folder):
    """A manager's run: an item for the parameters, one for the state, one of JSON."""
    import optax
    import orbax.checkpoint as ocp

    manager = ocp.CheckpointManager(folder)
    for made in trained(optax.adam(1e-2), 2):
        step, params, state, update = made
        manager.save(
            step * 5,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(params), opt_state=ocp.args.PyTreeSave(state), meta=ocp.args.JsonSave({})
            ),
        )
    manager.wait_until_finished()
    save_truth(folder, truth_of(params, state, update, step))


def record_sharded(name, folder):
    """Four devices, each with a quarter of a matrix, in chunks of 16 bytes."""
    import jax
    import optax
    import orbax.checkpoint as ocp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    *_, (step, params, state, update) = trained(optax.adam(1e-2))
    mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("a", "b"))
    tree = {"params": params, "opt_state": state}
    placed = jax.tree_util.tree_map(
        lambda x: jax.device_put(
            x, NamedSharding(mesh, PartitionSpec("a", "b") if x.shape == (4, 2) else PartitionSpec())
        ),
        tree,
    )
    arguments = jax.tree_util.tree_map(lambda _: ocp.SaveArgs(chunk_byte_size=16), tree)
    handler(name).save(folder, placed, save_args=arguments)
    save_truth(folder, truth_of(params, state, update, step))


def record_aggregate(name, folder):
    """Before 0.6, values that are told to be aggregated are in the msgpack file itself."""
    import jax
    import optax
    import orbax.checkpoint as ocp

    *_, (step, params, state, update) = trained(optax.adam(1e-2))
    tree = {"params": params, "opt_state": state}
    handler(name).save(folder, tree, save_args=jax.tree_util.tree_map(lambda _: ocp.SaveArgs(aggregate=True), tree))
    save_truth(folder, truth_of(params, state, update, step))


def record_keras(name, folder):
    """Layers of which one's name continues another's; a schedule, amsgrad, or the weights alone."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(2, activation="tanh", name="hidden")(keras.layers.Dense(2, name="hidden_layer")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(hidden))
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5) if "sched" in name else 0.05
    optimizer = keras.optimizers.Adam(rate, beta_2=0.99, epsilon=1e-4, amsgrad="amsgrad" in name)
    model.compile(optimizer=optimizer, loss="mse")
    draw = np.random.RandomState(1)
    for epoch in range(2):  # of one batch each; in the midst of an epoch, JAX' backend keeps the weights elsewhere
        before = {v.path: np.asarray(v).copy() for v in model.trainable_variables}
        saver = keras.callbacks.OrbaxCheckpoint(
            directory=folder, max_to_keep=None, save_on_background=False, save_weights_only="weightsonly" in name
        )
        data = {"x": draw.randn(4, 3), "y": draw.randn(4, 1)}
        model.fit(**data, batch_size=4, initial_epoch=epoch, epochs=epoch + 1, verbose=0, callbacks=[saver])
    truth = {f"value/{v.path}": np.asarray(v) for v in model.trainable_variables}
    truth |= {f"update/{path}": truth[f"value/{path}"] - array for path, array in before.items()}
    slots = {"momentum": "mu", "velocity": "nu", "velocity_hat": "nu_max"}
    for v in optimizer.variables:
        for w in model.trainable_variables:
            slot = v.path.rpartition("/")[2].removeprefix(w.path.replace("/", "_") + "_")
            if slot in slots:
                truth[f"{slots[slot]}/{w.path}"] = np.asarray(v)
    save_truth(folder, truth | {"step": np.int64(int(optimizer.iterations))})


SPECIAL = {"run": record_run, "sharded": record_sharded, "aggregate": record_aggregate, "keras": record_keras}


def main():
    out = Path(sys.argv[1]).resolve()
    for name in sys.argv[2:]:
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        SPECIAL.get(name.partition("-")[0], record_optax)(name, folder)
        for note in folder.rglob("commit_success.txt"):
            note.write_text("Checkpoint commit was successful")  # without the path that it names
        print(name)


if __name__ == "__main__":
    main()
