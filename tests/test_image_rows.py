"""Products with flattened images: ONNX Runtime's results."""

import numpy as np
import pytest

from hetu import onednn
from tests.test_replay import Pair, graph_of, random

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is not there")

WEIGHTS = {"w": random(6, 3, 3, 3), "rows": random(6 * 4 * 5, 7), "bias": random(7)}


def fused(pair: Pair, fusion: str = "image rows") -> bool:
    return any(n.fusion == fusion and not n.reason for n in pair.executor.explain())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "flatten", ["Flatten b", "Reshape b shape", "Reshape b shape ! allowzero=0"]
)
@pytest.mark.parametrize(
    "product", ["MatMul c rows", "Gemm c rows bias", "Gemm c turned ! transB=1"]
)
def test_flattened_images(product: str, flatten: str, batch: int) -> None:
    turned = np.ascontiguousarray(WEIGHTS["rows"].T)
    nodes = f"a = Conv x w\nb = Relu a\nc = {flatten}\ny = {product}"
    pair = Pair(graph_of(nodes, ["y"], **WEIGHTS, turned=turned, shape=np.int64([0, -1])))
    for seed in range(5):
        pair.check(random(batch, 3, 6, 7, seed=seed))
    assert fused(pair)


def test_pooled_images() -> None:
    nodes = """a = Conv x w ! pads=[1, 1, 1, 1]
        b = MaxPool a ! kernel_shape=[2, 2], strides=[2, 2]
        c = Flatten b
        d = Gemm c rows bias
        y = Relu d"""
    pair = Pair(graph_of(nodes, ["y", "c"], **WEIGHTS))
    for seed in range(5):
        pair.check(random(2, 3, 8, 10, seed=seed))
    assert fused(pair)


@pytest.mark.parametrize(
    "nodes",
    [
        "b = Relu x\nc = Flatten b\ny = MatMul c rows",
        "a = Conv x w\nc = Reshape a half\ny = MatMul c few",
        "a = Conv x w\nc = Reshape a apart\ny = MatMul c pixels",
    ],
)
def test_other_rows(nodes: str) -> None:
    given = {
        **WEIGHTS, "half": np.int64([-1, 60]), "few": random(60, 7), "pixels": random(20, 3),
        "apart": np.int64([-1, 6, 20]),
    }  # fmt: skip
    pair = Pair(graph_of(nodes, ["y"], **given))
    shape = (2, 3, 6, 7) if "Conv" in nodes else (2, 6, 4, 5)
    for seed in range(4):
        pair.check(random(*shape, seed=seed))
    assert not fused(pair)
