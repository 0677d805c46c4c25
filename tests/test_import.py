"""`import hetu` brings what graphs need, and leaves to their first use what only some do."""

import subprocess
import sys
from pathlib import Path

import numpy as np

import hetu as ht

SLOW = ("onnxruntime", "openvino", "sympy", "torch._dynamo", "torch._inductor")


def test_what_an_import_brings() -> None:
    assert imported("import hetu") == "[]"


def test_what_the_first_run_of_a_network_brings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> ht.Value:
        return ht.Variable(name, value=rng.standard_normal(shape).astype(np.float32))

    images = ht.placeholder_op("images")
    features = ht.op.Relu(ht.op.Conv(images, weights("w", 4, 3, 3, 3), pads=(1, 1, 1, 1)))
    pooled = ht.op.MaxPool(features, kernel_shape=(2, 2), strides=(2, 2))
    rows = ht.op.Reshape(pooled, [2, 4, 16])
    normed = ht.op.LayerNormalization(rows, weights("scale", 16), weights("bias", 16))
    scores = ht.op.Softmax(ht.op.MatMul(normed, ht.op.Transpose(normed, perm=(0, 2, 1))))
    mixed = ht.op.Gelu(ht.op.MatMul(scores, normed) + rows)
    logits = ht.op.Gemm(ht.op.ReduceMean(mixed, [1], keepdims=0), weights("v", 16, 5))
    path = str(tmp_path / "model.onnx")
    ht.onnx.export(ht.Executor([logits]), [images], [logits], path)
    run = f"import hetu as ht, numpy as np; m = ht.onnx.load_onnx({path!r}); x, y = m; "
    run += "ht.Executor([y]).run(feed_dict={x: np.ones((2, 3, 8, 8), np.float32)})"
    assert imported(run) == "[]"


def imported(code: str) -> str:
    """Which of the slow libraries a process has that runs some code."""
    code += f"; import sys; print([name for name in {SLOW!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
