"""The tiny models of the Keras cases, each built from whatever Keras namespace is handed in."""

import numpy as np

WORDS = 11  # rows of the embedding; conformance knows the sparse parameter by it


class Models(object):
    """`k` offers layers, Model, Sequential, Input; each method gives (model, batch) with batch(rng) -> x, y."""

    def __init__(self, k):
        self.k = k

    def words(self, rng, n=4, length=3):
        return rng.randint(0, WORDS, (n, length)).astype("int32"), rng.randn(n, 2).astype("float32")

    def numbers(self, *shape):
        return lambda rng: (rng.randn(4, *shape).astype("float32"), rng.randn(4, 2).astype("float32"))

    def base(self, dtype=None):
        k, L = self.k, self.k.layers
        d = dict(dtype=dtype) if dtype else {}
        i = k.Input(shape=(3,), dtype="int32")
        x = L.Flatten(**d)(L.Embedding(WORDS, 4, **d)(i))
        return k.Model(i, L.Dense(2, **d)(L.Dense(3, activation="relu", **d)(x))), self.words

    def sequential(self):
        k, L = self.k, self.k.layers
        return k.Sequential(
            [k.Input(shape=(5,)), L.Dense(4, activation="tanh"), L.Dense(4, activation="tanh"), L.Dense(2)]
        ), self.numbers(5)

    def single(self):
        """One layer, for a small file."""
        k = self.k
        return k.Sequential([k.Input(shape=(3,)), k.layers.Dense(2)]), self.numbers(3)

    def sequential_deferred(self):
        """Without an input layer: built by the first batch."""
        k, L = self.k, self.k.layers
        m = k.Sequential([L.Dense(4, activation="tanh"), L.Dense(2)])
        m.build((None, 5))
        return m, self.numbers(5)

    def dup(self):
        """Four layers of one shape, in two classes: order and shape decide nothing."""
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,))
        x = i
        for n in range(4):
            x = L.Dense(4, activation="tanh")(x)
            x = L.LayerNormalization()(x) if n % 2 else x
        return k.Model(i, L.Dense(2)(x)), self.numbers(4)

    def bn_dup(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,))
        x = i
        for _ in range(3):
            x = L.BatchNormalization()(L.Dense(4, activation="tanh")(x))
        return k.Model(i, L.Dense(2)(x)), self.numbers(4)

    def many(self, n=13):
        """More than ten layers: dense_10 sorts before dense_2, vars/10 before vars/2."""
        k, L = self.k, self.k.layers
        i = k.Input(shape=(3,))
        x = i
        for _ in range(n):
            x = L.Dense(3, activation="tanh")(x)
        return k.Model(i, L.Dense(2)(x)), self.numbers(3)

    def named(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,), name="in_put")
        x = L.Dense(4, activation="tanh", name="zeta")(i)
        x = L.Dense(4, activation="tanh", name="dense_7")(x)
        x = L.Dense(4, activation="tanh", name="block1_conv")(x)
        return k.Model(i, L.Dense(2)(L.Dense(4, name="alpha")(x)), name="my_model"), self.numbers(4)

    def frozen(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,))
        a, b, c, d = L.Dense(4, activation="tanh"), L.BatchNormalization(), L.Dense(4, activation="tanh"), L.Dense(2)
        m = k.Model(i, d(c(b(a(i)))))
        a.trainable = False
        return m, self.numbers(4)

    def frozen_middle(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,))
        layers = [L.Dense(4, activation="tanh") for _ in range(4)] + [L.BatchNormalization(), L.Dense(2)]
        x = i
        for y in layers:
            x = y(x)
        m = k.Model(i, x)
        layers[1].trainable = layers[4].trainable = False
        return m, self.numbers(4)

    def nested(self):
        """A functional model and a Sequential inside a functional model, all with layers of the same classes."""
        k, L = self.k, self.k.layers
        j = k.Input(shape=(4,))
        inner = k.Model(j, L.Dense(4, activation="tanh")(L.Dense(4, activation="tanh")(j)), name="encoder")
        seq = k.Sequential([k.Input(shape=(4,)), L.Dense(4, activation="tanh"), L.LayerNormalization(), L.Dense(4)])
        i = k.Input(shape=(4,))
        x = L.Dense(4, activation="tanh")(i)
        return k.Model(i, L.Dense(2)(seq(inner(x)))), self.numbers(4)

    def nested_deep(self):
        k, L = self.k, self.k.layers
        core = k.Sequential([k.Input(shape=(4,)), L.Dense(4, activation="tanh")], name="core")
        mid = k.Sequential(
            [k.Input(shape=(4,)), core, L.Dense(4, activation="tanh"), L.BatchNormalization()], name="mid"
        )
        return k.Sequential([k.Input(shape=(4,)), L.Dense(4), mid, L.Dense(2)]), self.numbers(4)

    def nested_frozen(self):
        """Transfer learning: the whole inner model is frozen, but for nothing."""
        m, data = self.nested()
        m.layers[2].trainable = False
        return m, data

    def nested_part_frozen(self):
        m, data = self.nested()
        m.layers[2].layers[1].trainable = False
        return m, data

    def shared(self):
        k, L = self.k, self.k.layers
        i, j = k.Input(shape=(4,)), k.Input(shape=(4,))
        tower = L.Dense(4, activation="tanh", name="tower")
        x = L.Concatenate()([tower(i), tower(tower(j))])
        return k.Model([i, j], L.Dense(2)(x)), lambda r: (
            [r.randn(4, 4).astype("float32"), r.randn(4, 4).astype("float32")],
            r.randn(4, 2).astype("float32"),
        )

    def two_inputs(self):
        """Branches of unequal depth: the order of creation is not the topological order of model.layers."""
        k, L = self.k, self.k.layers
        i, j = k.Input(shape=(4,)), k.Input(shape=(4,))
        a = L.Dense(4, activation="tanh")(i)
        late = L.Dense(4, activation="tanh")(j)
        b = L.Dense(4, activation="tanh")(L.Dense(4, activation="tanh")(a))
        return k.Model([i, j], L.Dense(2)(L.Add()([b, late]))), lambda r: (
            [r.randn(4, 4).astype("float32"), r.randn(4, 4).astype("float32")],
            r.randn(4, 2).astype("float32"),
        )

    def rnn(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(3, 4))
        x = L.Bidirectional(L.LSTM(3, return_sequences=True))(i)
        x = L.GRU(3, return_sequences=True)(x)
        x = L.RNN([L.LSTMCell(3), L.GRUCell(3)], return_sequences=True)(x)
        return k.Model(i, L.Dense(2)(L.SimpleRNN(3)(x))), self.numbers(3, 4)

    def bidirectional(self):
        """Forward and backward hold equal shapes; twice."""
        k, L = self.k, self.k.layers
        i = k.Input(shape=(3, 6))
        x = L.Bidirectional(L.LSTM(3, return_sequences=True))(i)
        x = L.Bidirectional(L.LSTM(3), merge_mode="sum")(x)
        return k.Model(i, L.Dense(2)(x)), self.numbers(3, 6)

    def attention(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(3, 4))
        x = L.Add()([i, L.MultiHeadAttention(2, 2)(i, i)])
        x = L.LayerNormalization()(x)
        x = L.Add()([x, L.MultiHeadAttention(2, 2)(x, x)])
        x = L.Dense(4, activation="tanh")(L.LayerNormalization()(x))
        return k.Model(i, L.Dense(2)(L.GlobalAveragePooling1D()(x))), self.numbers(3, 4)

    def conv(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(6, 6, 2))
        x = L.BatchNormalization()(L.Conv2D(3, 3, activation="relu", padding="same")(i))
        x = L.SeparableConv2D(3, 3, padding="same")(x)
        x = L.DepthwiseConv2D(3, padding="same")(L.PReLU()(x))
        x = L.GlobalAveragePooling2D()(L.Conv2DTranspose(3, 3)(x))
        return k.Model(i, L.Dense(2)(x)), self.numbers(6, 6, 2)

    def timedistributed(self):
        k, L = self.k, self.k.layers
        i = k.Input(shape=(3, 4))
        x = L.TimeDistributed(L.Dense(4, activation="tanh"))(i)
        x = L.TimeDistributed(k.Sequential([k.Input(shape=(4,)), L.Dense(4, activation="tanh"), L.Dense(4)]))(x)
        return k.Model(i, L.Dense(2)(L.Flatten()(x))), self.numbers(3, 4)

    def custom(self):
        """A layer with its own weights, a list and a dictionary of sublayers, twice."""
        k, L = self.k, self.k.layers

        class Block(L.Layer):
            def __init__(self, width=4, **kw):
                super().__init__(**kw)
                self.width = width
                self.stack = [L.Dense(width, activation="tanh") for _ in range(2)]
                self.heads = {"b": L.Dense(width), "a": L.Dense(width)}
                self.norm = L.LayerNormalization()

            def build(self, shape):
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
                self.shift = self.add_weight(name="shift", shape=(self.width,), initializer="zeros")
                for part in [*self.stack, self.heads["b"], self.heads["a"]]:
                    part.build((shape[0], self.width))
                self.norm.build((shape[0], self.width))
                super().build(shape)

            def call(self, x):
                for part in self.stack:
                    x = part(x)
                return self.norm(self.heads["b"](x) - self.heads["a"](x)) * self.scale + self.shift

            def get_config(self):
                return dict(super().get_config(), width=self.width)

        i = k.Input(shape=(4,))
        return k.Model(i, L.Dense(2)(Block()(L.Dense(4)(Block()(i))))), self.numbers(4)

    def same_class(self):
        """Another class that is called Dense as well."""
        k, L = self.k, self.k.layers

        class Dense(L.Layer):
            def __init__(self, units=4, **kw):
                super().__init__(**kw)
                self.units = units

            def build(self, shape):
                self.kernel = self.add_weight(
                    name="kernel", shape=(int(shape[-1]), self.units), initializer="glorot_uniform"
                )
                self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
                super().build(shape)

            def call(self, x):
                from_keras = getattr(k, "ops", None)
                return (from_keras.matmul(x, self.kernel) if from_keras else k.matmul(x, self.kernel)) + self.bias

            def get_config(self):
                return dict(super().get_config(), units=self.units)

        i = k.Input(shape=(4,))
        x = L.Dense(4, activation="tanh")(Dense()(L.Dense(4, activation="tanh")(i)))
        return k.Model(i, L.Dense(2)(Dense()(x))), self.numbers(4)

    def dropout(self):
        """Layers with state that nothing trains: seeds, adapted statistics."""
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,))
        x = i
        if hasattr(L, "Normalization"):
            norm = L.Normalization()
            norm.adapt(np.random.RandomState(5).randn(20, 4).astype("float32"))
            x = norm(x)
        for _ in range(2):
            x = L.Dropout(0.2)(L.Dense(4, activation="tanh")(x))
            x = L.GaussianNoise(0.1)(x)
        return k.Model(i, L.Dense(2)(L.Dense(4)(x))), self.numbers(4)

    def options(self):
        """Without biases, scales, centres: the roles that a class has by default are not all there."""
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4,))
        x = L.BatchNormalization(scale=False)(L.Dense(4, use_bias=False, activation="tanh")(i))
        x = L.BatchNormalization(center=False)(L.Dense(4, activation="tanh")(x))
        x = L.BatchNormalization(center=False, scale=False)(L.Dense(4, use_bias=False)(x))
        return k.Model(i, L.Dense(2)(x)), self.numbers(4)

    def siamese(self):
        """One inner model called twice, and one of its layers called from outside as well."""
        k, L = self.k, self.k.layers
        i, j = k.Input(shape=(4,)), k.Input(shape=(4,))
        inside = L.Dense(4, activation="tanh")
        a = k.Input(shape=(4,))
        tower = k.Model(a, L.Dense(4)(inside(a)))
        x = L.Concatenate()([tower(i), tower(j), inside(i)])
        return k.Model([i, j], L.Dense(2)(x)), lambda r: (
            [r.randn(4, 4).astype("float32"), r.randn(4, 4).astype("float32")],
            r.randn(4, 2).astype("float32"),
        )

    def two_classes_mixed(self):
        """Six layers of two classes whose variables have the same shapes, interleaved unevenly."""
        k, L = self.k, self.k.layers
        i = k.Input(shape=(4, 4))
        x = i
        for c in "ADDADAA":
            x = L.Dense(4, activation="tanh")(x) if c == "D" else L.Conv1D(4, 1, activation="tanh")(x)
        return k.Model(i, L.Dense(2)(L.Flatten()(x))), self.numbers(4, 4)

    def scalar_first(self):
        k, L = self.k, self.k.layers

        class Scale(L.Layer):
            def build(self, shape):
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
                super().build(shape)

            def call(self, x):
                return x * self.scale

        i = k.Input(shape=(4,))
        return k.Model(i, L.Dense(2)(L.Dense(3, activation="tanh")(Scale()(i)))), self.numbers(4)

    def subclass(self):
        """Attributes in another order than the calls, a list and a dictionary of layers."""
        k, L = self.k, self.k.layers

        class Net(k.Model):
            def __init__(self, **kw):
                super().__init__(**kw)
                self.out = L.Dense(2)
                self.body = [L.Dense(4, activation="tanh") for _ in range(2)]
                self.side = {"z": L.Dense(4), "y": L.Dense(4)}
                self.first = L.Dense(4, activation="tanh")

            def call(self, x):
                x = self.first(x)
                for part in self.body:
                    x = part(x)
                return self.out(self.side["z"](x) * self.side["y"](x))

        m = Net()
        m(np.zeros((1, 4), "float32"))
        return m, self.numbers(4)

    def subclass_nested(self):
        """A subclassed model with a functional, a Sequential and another subclassed model inside."""
        k, L = self.k, self.k.layers

        class Tail(k.Model):
            def __init__(self, **kw):
                super().__init__(**kw)
                self.d1, self.d2 = L.Dense(4, activation="tanh"), L.Dense(2)

            def call(self, x):
                return self.d2(self.d1(x))

        class Net(k.Model):
            def __init__(self, **kw):
                super().__init__(**kw)
                j = k.Input(shape=(4,))
                self.tail = Tail()
                self.front = k.Model(j, L.Dense(4, activation="tanh")(j))
                self.middle = k.Sequential([k.Input(shape=(4,)), L.Dense(4), L.BatchNormalization()])

            def call(self, x, training=False):
                return self.tail(self.middle(self.front(x), training=training))

        m = Net()
        m(np.zeros((1, 4), "float32"))
        return m, self.numbers(4)
