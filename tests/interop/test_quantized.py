"""What ONNX Runtime's quantizers and its layout optimizer write: results, gradients, round trip."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime import quantization
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from hetu.api.gradients import gradients
from hetu.onnx import load_onnx
from hetu.onnx.hetu2onnx import export
from hetu.runtime.executor import Executor
from tests.support.compare import assert_same_model
from tests.support.exceptions import expect_failure
from tests.test_versions import options

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Every test draws the same numbers, whatever ran before it in its process."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def floats(*shape: int, scale: float = 0.5) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def model(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[Any]) -> Any:
    """A model from x to y."""
    x = onnx.helper.make_tensor_value_info("x", 1, shape)
    y = onnx.helper.make_tensor_value_info("y", 1, None)
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = onnx.helper.make_graph(nodes, "network", [x], [y], tensors)
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def cnn() -> onnx.ModelProto:
    """Convolutions with a shortcut, pools, a Gemm, activations."""
    node = onnx.helper.make_node
    weights = {
        "w1": floats(16, 3, 3, 3), "b1": floats(16), "w2": floats(16, 16, 3, 3, scale=0.1),
        "w3": floats(16, 1, 3, 3), "w4": floats(32, 10), "b4": floats(10),
    }  # fmt: skip
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], **pads),
        node("Relu", ["c1"], ["r1"]),
        node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "w2"], ["c2"], **pads),
        node("Add", ["c2", "p1"], ["a2"]),
        node("LeakyRelu", ["a2"], ["r2"], alpha=0.1),
        node("Conv", ["r2", "w3"], ["c3"], group=16, **pads),
        node("Sigmoid", ["c3"], ["s3"]),
        node("Mul", ["c3", "s3"], ["m3"]),
        node("Concat", ["m3", "r2"], ["j3"], axis=1),
        # Both means are of nine steps: those lie nowhere in the middle of two, where luck rounds.
        node("AveragePool", ["j3"], ["p3"], kernel_shape=[3, 3]),
        node("GlobalAveragePool", ["p3"], ["g3"]),
        node("Flatten", ["g3"], ["f3"]),
        node("Gemm", ["f3", "w4", "b4"], ["z"]),
        node("Softmax", ["z"], ["y"], axis=-1),
    ]
    return model(nodes, weights, ["n", 3, 10, 10])


def mlp() -> onnx.ModelProto:
    node = onnx.helper.make_node
    weights = {"w1": floats(32, 64), "b1": floats(64), "w2": floats(64, 10), "b2": floats(10)}
    nodes = [
        node("MatMul", ["x", "w1"], ["h1"]),
        node("Add", ["h1", "b1"], ["a1"]),
        node("Relu", ["a1"], ["r1"]),
        node("MatMul", ["r1", "w2"], ["h2"]),
        node("Add", ["h2", "b2"], ["y"]),
    ]
    return model(nodes, weights, ["n", 32])


NETWORKS = {"cnn": (cnn(), (4, 3, 10, 10)), "mlp": (mlp(), (4, 32))}
networks = pytest.mark.parametrize("network", NETWORKS)


class Batches(quantization.CalibrationDataReader):
    """A few batches to calibrate with."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.batches: Iterator[np.ndarray] = iter([floats(*shape, scale=1) for _ in range(4)])

    def get_next(self) -> Any:
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


def quantize(how: str, network: str, folder: Path) -> onnx.ModelProto:
    """A network as one of ONNX Runtime's tools rewrites it.

    Weights have 7 bits: where the processor has no VNNI, ONNX Runtime adds products of 8 bits in
    pairs, in 16 bits, which these do not overflow.
    """
    float_model, shape = NETWORKS[network]
    source, target = folder / "float.onnx", folder / "quantized.onnx"
    onnx.save(float_model, source)
    kind, _, form = how.partition(" ")
    element = quantization.QuantType.QUInt8 if form == "uint8" else quantization.QuantType.QInt8
    if kind == "dynamic":
        quantization.quantize_dynamic(source, target, weight_type=element, reduce_range=True)
    elif kind == "static":
        quantization.quantize_static(
            source, target, Batches(shape), quant_format=quantization.QuantFormat[form],
            activation_type=quantization.QuantType.QUInt8, weight_type=element,
            per_channel=network == "cnn", reduce_range=True,
        )  # fmt: skip
    else:
        optimize(source, target)
    return onnx.load(target)


def optimize(source: Path, target: Path) -> None:
    """Write what ONNX Runtime makes of a model before it runs it on this machine."""
    session_options = onnxruntime.SessionOptions()
    session_options.optimized_model_filepath = str(target)
    session_options.log_severity_level = 4
    onnxruntime.InferenceSession(str(source), session_options)


def operators(model: onnx.ModelProto) -> set[str]:
    """The operators of ONNX Runtime's own domains."""
    return {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain}


def check(model: onnx.ModelProto, x: np.ndarray, path: Path) -> None:
    """hetu's results are ONNX Runtime's, and what it exports is what it loaded.

    Sums of few-bit products are exact: not one result may be rounded to another step.
    """
    session = onnxruntime.InferenceSession(model.SerializeToString(), options())
    (expected,) = session.run(None, {"x": x})
    loaded = load_onnx(model)
    outputs = list(loaded.outputs.values())
    executor = Executor(outputs, inference=None)
    (actual,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert_same_model(export(executor, list(loaded.inputs.values()), outputs, path), model)


def check_gradient(model: onnx.ModelProto, x: np.ndarray) -> None:
    """Gradients reach the input."""
    loaded = load_onnx(model)
    (fed,), (y,) = loaded.inputs.values(), loaded.outputs.values()
    (gradient,) = gradients(y * y, [fed])
    (value,) = Executor([gradient]).run(feed_dict={fed: x}, convert_to_numpy_ret_vals=True)
    assert np.isfinite(value).all()
    assert np.abs(value).max() > 0


ROWS = {
    "dynamic int8": "quantized, dynamic",
    "dynamic uint8": "quantized, dynamic",
    "static QDQ": "quantized, static QDQ",
    "static QOperator": "quantized, static QOperator",
    "optimized": "ONNX Runtime optimizer, all",
}
"""What the README calls the tools."""

quantized = pytest.mark.verifies(
    "results", "export", exporter=lambda parameters: ROWS[parameters["how"]]
)


@quantized
@networks
@pytest.mark.parametrize(
    "how",
    ["dynamic int8", "dynamic uint8", "static QDQ", "static QOperator", "optimized"],
)
def test_quantizers(network: str, how: str, tmp_path: Path) -> None:
    model = quantize(how, network, tmp_path)
    x = floats(*NETWORKS[network][1], scale=1)
    check(model, x, tmp_path / "exported.onnx")
    if how in ("static QDQ", "optimized"):
        check_gradient(model, x)


def test_layout(tmp_path: Path) -> None:
    """ONNX Runtime blocks channels where the processor makes that worth while."""
    model = quantize("optimized", "cnn", tmp_path)
    blocked = {name for name in operators(model) if name.startswith("com.microsoft.nchwc")}
    if not blocked:
        pytest.skip("ONNX Runtime does not block channels on this processor")
    assert {"com.microsoft.nchwc.Conv", "com.microsoft.nchwc.ReorderOutput"} <= blocked


def test_scales_are_no_weights(tmp_path: Path) -> None:
    model = load_onnx(quantize("static QOperator", "cnn", tmp_path))
    assert not [name for name, value in model.variables.items() if value.trainable]


OPTIMIZED = {
    ("cnn", "dynamic int8"): {"com.microsoft.DynamicQuantizeMatMul"},
    ("mlp", "dynamic int8"): {"com.microsoft.DynamicQuantizeMatMul"},
    ("cnn", "static QDQ"): {"com.microsoft.QLinearAveragePool", "com.microsoft.QGemm"},
    ("mlp", "static QDQ"): set(),
    ("cnn", "static QOperator"): {"com.microsoft.QLinearConcat", "com.microsoft.QLinearAdd"},
    ("mlp", "static QOperator"): {"com.microsoft.QLinearAdd"},
}
"""Some of the operators that optimized quantized models have."""


@quantized
@pytest.mark.parametrize(("network", "how"), OPTIMIZED)
def test_optimized(network: str, how: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    expect_failure(request, "optimized", f"{network} {how}")
    quantize(how, network, tmp_path)
    optimize(tmp_path / "quantized.onnx", tmp_path / "optimized.onnx")
    model = onnx.load(tmp_path / "optimized.onnx")
    assert OPTIMIZED[network, how] <= operators(model)
    x = floats(*NETWORKS[network][1], scale=1)
    check(model, x, tmp_path / "exported.onnx")


@pytest.mark.verifies(
    "results", "gradients", "export", exporter="quantized, 4 and 8 bits in blocks"
)
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("is_symmetric", [True, False])
def test_blocks(bits: int, is_symmetric: bool, tmp_path: Path) -> None:
    float_model, shape = NETWORKS["mlp"]
    quantizer = MatMulNBitsQuantizer(
        onnx.ModelProto.FromString(float_model.SerializeToString()), bits=bits, block_size=16,
        is_symmetric=is_symmetric,
    )  # fmt: skip
    quantizer.process()
    model = quantizer.model.model
    assert operators(model) == {"com.microsoft.MatMulNBits"}
    x = floats(*shape, scale=1)
    check(model, x, tmp_path / "exported.onnx")
    check_gradient(model, x)
