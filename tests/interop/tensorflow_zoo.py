"""Builds models of Keras 3 and of TensorFlow functions and converts them with tf2onnx.

Run as `python tensorflow_zoo.py FOLDER [NAME ...]`, in a process of its own: writes for each model
`NAME.onnx`, and `NAME.npz` with inputs of two sizes, `x0_0` (size, input), and TensorFlow's own
results for them, `y0_0`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers

WORDS = 20
random = np.random.default_rng(0)
Arrays = list[np.ndarray]


def floats(*shape: int) -> np.ndarray:
    return random.normal(0, 1, shape).astype(np.float32)


def words(*shape: int) -> np.ndarray:
    return random.integers(1, WORDS, shape).astype(np.int32)


def boxes(n: int) -> np.ndarray:
    corners = random.uniform(0, 0.6, (n, 2))
    sizes = random.uniform(0.1, 0.4, (n, 2))
    return np.concatenate([corners, corners + sizes], 1).astype(np.float32)


def perceptron() -> keras.Model:
    x = keras.Input((6,))
    y = layers.BatchNormalization()(layers.Dense(16, "swish")(x))
    y = layers.Dense(16, "selu")(layers.Dropout(0.2)(y))
    return keras.Model(x, layers.Dense(4, "softmax")(layers.LayerNormalization()(y)))


def separable() -> keras.Model:
    """As MobileNet's blocks: depthwise convolutions, hard activations, squeeze and excitation."""
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    z = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(y)
    z = layers.Activation("hard_silu")(layers.BatchNormalization()(z))
    y = layers.Add()([y, layers.Conv2D(8, 1)(z)])
    y = layers.SeparableConv2D(12, 3, strides=2, padding="same", activation="swish")(y)
    y = layers.MaxPooling2D(2, padding="same")(y)
    gate = layers.Dense(4, "relu")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    y = layers.Multiply()([y, layers.Dense(12, "sigmoid")(gate)])
    return keras.Model(x, layers.Dense(5)(layers.GlobalMaxPooling2D()(y)))


def unet() -> keras.Model:
    x = keras.Input((16, 16, 3))
    a = layers.Conv2D(4, 3, padding="same", activation="leaky_relu")(x)
    b = layers.GroupNormalization(2)(layers.Conv2D(8, 3, strides=2, padding="same")(a))
    up = [
        layers.Conv2DTranspose(4, 3, strides=2, padding="same")(b),
        layers.UpSampling2D(2, interpolation="bilinear")(b),
        layers.UpSampling2D(2)(b),
    ]
    y = layers.PReLU("uniform", shared_axes=[1, 2])(layers.Concatenate()([a, *up]))
    y = layers.Cropping2D(1)(layers.ZeroPadding2D(2)(y))
    return keras.Model(x, layers.Conv2D(2, 3, dilation_rate=2)(y))


def temporal() -> keras.Model:
    x = keras.Input((None, 4))
    y = layers.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    y = layers.BatchNormalization()(layers.SeparableConv1D(8, 3, padding="same")(y))
    y = layers.Conv1DTranspose(3, 4, strides=2, padding="same")(layers.MaxPooling1D(2)(y))
    return keras.Model(x, y)


def volumes() -> keras.Model:
    x = keras.Input((6, 8, 8, 2))
    y = layers.MaxPooling3D(2)(layers.Conv3D(4, 3, padding="same", activation="elu")(x))
    y = layers.Conv3DTranspose(3, 2, strides=2)(layers.BatchNormalization()(y))
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(layers.AveragePooling3D(2)(y))))


def lstm() -> keras.Model:
    x = keras.Input((None,), dtype="int32")
    y = layers.Embedding(WORDS, 8)(x)
    y = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(y)
    return keras.Model(x, layers.Dense(3)(layers.LSTM(5)(y)))


def gru() -> keras.Model:
    x = keras.Input((None, 4))
    y = layers.Bidirectional(layers.GRU(6, return_sequences=True), merge_mode="sum")(x)
    y, state = layers.GRU(5, return_sequences=True, return_state=True, reset_after=False)(y)
    return keras.Model(x, [layers.Dense(3)(y), state])


def masked() -> keras.Model:
    """Words that are 0 are skipped."""
    x = keras.Input((None,), dtype="int32")
    y = layers.Embedding(WORDS, 8, mask_zero=True)(x)
    return keras.Model(x, layers.Dense(3)(layers.LSTM(5)(y)))


def attention() -> keras.Model:
    x = keras.Input((None,), dtype="int32")
    y = layers.Embedding(WORDS, 16)(x)
    z = layers.MultiHeadAttention(2, 8, dropout=0.1)(y, y, use_causal_mask=True)
    y = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([y, z]))
    z = layers.Dropout(0.1)(layers.Dense(16)(layers.Dense(32, "relu")(y)))
    y = layers.RMSNormalization()(layers.Add()([y, z]))
    y = layers.GroupQueryAttention(8, 4, 2)(y, y)
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))


def branches() -> keras.Model:
    """Two inputs, and a layer that is used twice."""
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    shared = layers.Dense(5)
    y = layers.Concatenate()([layers.Dense(5, "tanh")(a), layers.UnitNormalization()(b)])
    z = layers.Dot(1)([shared(layers.Dense(5)(a)), shared(layers.EinsumDense("ab,bc->ac", 5)(b))])
    return keras.Model([a, b], [layers.Dense(2)(y), z])


MODELS: dict[str, tuple[Callable[[], keras.Model], Arrays, Arrays]] = {
    "perceptron": (perceptron, [floats(3, 6)], [floats(5, 6)]),
    "separable": (separable, [floats(2, 32, 32, 3)], [floats(3, 40, 24, 3)]),
    "unet": (unet, [floats(2, 16, 16, 3)], [floats(3, 16, 16, 3)]),
    "temporal": (temporal, [floats(2, 16, 4)], [floats(3, 24, 4)]),
    "volumes": (volumes, [floats(2, 6, 8, 8, 2)], [floats(3, 6, 8, 8, 2)]),
    "lstm": (lstm, [words(2, 7)], [words(3, 5)]),
    "gru": (gru, [floats(2, 7, 4)], [floats(3, 5, 4)]),
    "masked": (masked, [np.int32([[1, 2, 3, 0], [3, 4, 0, 0]])], [np.int32([[1, 2, 3, 4, 0, 0]])]),
    "attention": (attention, [words(2, 7)], [words(3, 5)]),
    "branches": (branches, [floats(2, 4), floats(2, 3)], [floats(3, 4), floats(3, 3)]),
}

MATRIX = tf.Variable(floats(4, 4) / 2)
VECTOR = tf.Variable(floats(4) / 2)
TABLE = tf.Variable(floats(WORDS, 4))


def loop(x: tf.Tensor) -> Any:
    def body(i: tf.Tensor, h: tf.Tensor, total: tf.Tensor) -> Any:
        h = tf.tanh(h @ MATRIX + VECTOR)
        return i + 1, h, total + tf.reduce_sum(h, 1)

    rows = tf.shape(x)[0]
    return tf.while_loop(lambda i, *_: i < rows, body, [0, x, tf.zeros(rows)])[1:]


def steps(x: tf.Tensor) -> tf.Tensor:
    """A loop of Python that collects what it makes."""
    h, results = tf.zeros([tf.shape(x)[0], 4]), tf.TensorArray(tf.float32, 0, dynamic_size=True)
    for i in tf.range(tf.shape(x)[1]):
        h = tf.tanh(x[:, i] @ MATRIX + h)
        results = results.write(i, h)
    return tf.transpose(results.stack(), [1, 0, 2])


def nested(x: tf.Tensor) -> tf.Tensor:
    """A choice in a loop."""

    def body(i: tf.Tensor, h: tf.Tensor) -> Any:
        return i + 1, tf.cond(tf.reduce_mean(h) > 0, lambda: h @ MATRIX, lambda: h + VECTOR)

    return tf.while_loop(lambda i, h: (i < 5) & (tf.reduce_max(h) < 50.0), body, [0, x])[1]


def mapped(x: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(lambda row: tf.nn.softmax(row @ MATRIX), x)


def resized(x: tf.Tensor) -> Any:
    old = tf.compat.v1.image
    return (
        tf.image.resize(x, [7, 9]) @ MATRIX,
        tf.image.resize(x, [12, 15], "nearest"),
        old.resize_bilinear(x, [7, 9], align_corners=True),
        old.resize_bilinear(x, [12, 5]),
        old.resize_nearest_neighbor(x, [13, 5]),
        tf.nn.depth_to_space(x, 2),
        tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    )


def cropped(x: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
    images = tf.zeros(tf.shape(corners)[0], tf.int32)
    return tf.image.crop_and_resize(x @ MATRIX, corners, images, [4, 5])


def suppressed(corners: tf.Tensor, scores: tf.Tensor) -> Any:
    chosen = tf.image.non_max_suppression(corners, scores, 5, 0.5, 0.1)
    return chosen, tf.gather(corners @ MATRIX, chosen)


def rows(ids: tf.Tensor, x: tf.Tensor) -> Any:
    found = tf.gather(TABLE, ids)
    pairs = tf.stack([ids % 2, ids % 3], 1)
    first = tf.unique(ids)[0]
    return (
        found,
        tf.gather_nd(x, pairs),
        tf.tensor_scatter_nd_update(TABLE, first[:, None], tf.gather(TABLE, first) * 2.0),
        tf.tensor_scatter_nd_add(TABLE, first[:, None], tf.gather(TABLE, first)),
        tf.math.unsorted_segment_sum(found, ids % 3, 3),
        tf.one_hot(ids, WORDS, 0.9, 0.1),
        tf.boolean_mask(ids, ids > 3),
        tf.where(ids > 3),
    )


def products(x: tf.Tensor, y: tf.Tensor) -> Any:
    return (
        tf.einsum("bij,bkj->bik", x, y),
        tf.einsum("bij,jk->bik", x, MATRIX),
        tf.linalg.band_part(x, 1, 0),
        tf.tensordot(x, MATRIX, [[2], [0]]),
        tf.nn.moments(x, 1)[1],
        tf.math.l2_normalize(x, 1),
        tf.math.top_k(x, 2)[0],
        tf.math.cumsum(x, 1, exclusive=True),
        tf.pad(x[:, ::-1], [[0, 0], [1, 2], [0, 0]], "REFLECT"),
        tf.roll(tf.tile(x, [1, 2, 1]), 1, 1),
    )


FUNCTIONS: dict[str, tuple[Callable[..., Any], Arrays, Arrays]] = {
    "loop": (loop, [floats(3, 4)], [floats(5, 4)]),
    "steps": (steps, [floats(2, 5, 4)], [floats(3, 7, 4)]),
    "nested": (nested, [abs(floats(3, 4))], [floats(5, 4)]),
    "mapped": (mapped, [floats(2, 5, 4)], [floats(3, 7, 4)]),
    "resized": (resized, [floats(2, 8, 10, 4)], [floats(3, 4, 6, 4)]),
    "cropped": (cropped, [floats(2, 8, 10, 4), boxes(3)], [floats(3, 9, 6, 4), boxes(2)]),
    "suppressed": (
        suppressed, [boxes(12), abs(floats(12))], [boxes(7), abs(floats(7))]
    ),
    "rows": (rows, [words(5), floats(2, 5, 4)], [words(7), floats(3, 4, 4)]),
    "products": (
        products, [floats(2, 5, 4), floats(2, 3, 4)], [floats(3, 7, 4), floats(3, 2, 4)]
    ),
}  # fmt: skip


def shaken(model: keras.Model) -> keras.Model:
    """The model with other numbers than 0 and 1 in biases, scales and statistics.

    tf2onnx leaves away what adds 0.
    """
    for weight in model.weights:
        weight.assign(weight + 0.1 * np.abs(random.normal(size=weight.shape)))
    return model


def open_spec(first: np.ndarray, second: np.ndarray) -> tf.TensorSpec:
    """A tensor of both sizes."""
    sizes = zip(first.shape, second.shape, strict=True)
    return tf.TensorSpec([a if a == b else None for a, b in sizes], first.dtype)


def write(path: Path, function: Callable[..., Any], *sizes: Arrays) -> None:
    signature = [open_spec(a, b) for a, b in zip(*sizes, strict=True)]
    traced = tf.function(function, input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(traced, signature, opset=17)
    onnx.save(proto, path.with_suffix(".onnx"))
    arrays = {}
    for k, given in enumerate(sizes):
        results = tf.nest.flatten(function(*given))
        arrays |= {f"x{k}_{i}": x for i, x in enumerate(given)}
        arrays |= {f"y{k}_{i}": np.asarray(y) for i, y in enumerate(results)}
    np.savez(path.with_suffix(".npz"), **arrays)


def main(folder: Path, names: list[str]) -> None:
    keras.utils.set_random_seed(0)
    for name, (make, *sizes) in MODELS.items():
        if names and name not in names:
            continue
        model = shaken(make())
        write(folder / name, lambda *x, model=model: model(list(x) if x[1:] else x[0]), *sizes)
    for name, (function, *sizes) in FUNCTIONS.items():
        if names and name not in names:
            continue
        write(folder / name, function, *sizes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
