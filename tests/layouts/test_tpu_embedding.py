"""Tables of a TPUEmbedding, as TensorFlow saves them on any machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ckpt_inspect import open_checkpoint, optimizer_states


def test_the_tables_and_their_slots_are_found(tmp_path: Path) -> None:
    """Two tables of Adam and one of Adagrad: slots beside each, equal to what TensorFlow reads; no step, no rate."""
    tf = pytest.importorskip("tensorflow")
    e = tf.tpu.experimental.embedding
    tables = [
        e.TableConfig(8, 4, name="users"),
        e.TableConfig(6, 4, name="words"),
        e.TableConfig(8, 4, name="items", optimizer=e.Adagrad(0.1)),
    ]
    embedding = e.TPUEmbedding([e.FeatureConfig(table=t) for t in tables], e.Adam(1e-3))
    embedding.build([tf.TensorShape([2])] * 3)
    prefix = tf.train.Checkpoint(embedding=embedding).save(str(tmp_path / "ckpt"))
    reader = tf.train.load_checkpoint(prefix)
    with open_checkpoint(prefix) as checkpoint:
        states = {s.name: s for s in optimizer_states(checkpoint)}
        assert {n: list(s.parameters) for n, s in states.items()} == {
            "embedding/adam": ["users", "words"],
            "embedding/adagrad": ["items"],
        }
        assert {(s.rule, s.step.source) for s in states.values()} == {("tpuadam", "unknown"), ("tpuadagrad", "unknown")}
        users, items = states["embedding/adam"].parameters["users"], states["embedding/adagrad"].parameters["items"]
        value = "/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_array_equal(users.first_moment(), reader.get_tensor(f"embedding/users.Smomenta{value}"))
        np.testing.assert_array_equal(users.value(), reader.get_tensor(f"embedding/users{value}"))
        assert items.found.slots == {"accumulator": f"embedding/items.Saccumulators{value}"}
        assert users.effective_lr() is None
