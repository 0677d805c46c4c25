"""Builds the CNN in TensorFlow's graph mode, freezes it and converts it with tf2onnx.

Run as `python tensorflow_cnn.py FOLDER`, in a process of its own: writes `model.onnx`, and
`run.npz` with a batch and TensorFlow's own results for it.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from tf2onnx.tfonnx import process_tf_graph

tf1 = tf.compat.v1


def build() -> tf1.Graph:
    """Placeholder (None, 784) to logits (None, 10), over NHWC convolutions."""
    random = np.random.default_rng(0)

    def variable(name: str, *shape: int) -> tf.Tensor:
        initial = random.normal(0, 0.1, shape).astype(np.float32)
        return tf1.get_variable(name, initializer=initial)

    graph = tf1.Graph()
    with graph.as_default():
        x = tf1.placeholder(tf.float32, [None, 784], name="input")
        z = tf.reshape(x, [-1, 28, 28, 1])
        z = stage(z, variable("W1", 5, 5, 1, 32))
        z = stage(z, variable("W2", 5, 5, 32, 64))
        z = tf.reshape(tf.transpose(z, [0, 3, 1, 2]), [-1, 7 * 7 * 64])
        y = tf.matmul(z, variable("W3", 7 * 7 * 64, 10)) + variable("b3", 10)
        tf.identity(y, name="output")
    return graph


def stage(x: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Convolution, ReLU, pooling."""
    z = tf.nn.relu(tf.nn.conv2d(x, weight, [1, 1, 1, 1], padding="SAME"))
    return tf.nn.avg_pool2d(z, 2, 2, padding="SAME")


def main(folder: Path) -> None:
    tf1.disable_eager_execution()
    graph = build()
    x = np.random.default_rng(1).normal(0, 0.1, (16, 784)).astype(np.float32)
    with tf1.Session(graph=graph) as session:
        with graph.as_default():
            session.run(tf1.global_variables_initializer())
        y = session.run("output:0", {"input:0": x})
        frozen = tf1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["output"]
        )
    with tf1.Graph().as_default() as plain:
        tf.import_graph_def(frozen, name="")
        converted = process_tf_graph(plain, input_names=["input:0"], output_names=["output:0"])
    onnx.save(converted.make_model("cnn"), folder / "model.onnx")
    np.savez(folder / "run.npz", x=x, y=y)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
