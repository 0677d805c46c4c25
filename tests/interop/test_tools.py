"""Models of torch as ONNX Runtime's tools rewrite them: results, gradients, training, export."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime import GraphOptimizationLevel, quantization
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16

import hetu as ht
from hetu.onnx import LoadedModel, export, load_onnx
from tests.interop.zoo.cases import Case, Exported
from tests.support.compare import assert_same_model

FAMILIES = {
    "separable": "convolutional", "unet": "convolutional", "lstm": "sequential",
    "decoder": "sequential",
}  # fmt: skip

Tool = Callable[[Path, Path], object]
Feeds = dict[str, np.ndarray]


def session(
    path: Path, level: str = "ALL", written: Path | None = None
) -> onnxruntime.InferenceSession:
    """ONNX Runtime on one thread: several share a batch, and each quantizes in its own range."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.optimized_model_filepath = str(written or "")
    return onnxruntime.InferenceSession(path, options)


def optimize(level: str, source: Path, target: Path) -> None:
    session(source, level, target)


def to_bytes(source: Path, target: Path) -> None:
    """Weights of 8 bits, of which 7 are used: see `test_quantized.quantize`."""
    element = quantization.QuantType.QInt8
    quantization.quantize_dynamic(source, target, weight_type=element, reduce_range=True)


def to_nibbles(source: Path, target: Path) -> None:
    quantizer = MatMulNBitsQuantizer(onnx.load(source), bits=4, block_size=16, is_symmetric=False)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target))


def to_float16(keeps_inputs: bool, source: Path, target: Path) -> None:
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=keeps_inputs), target)


def then_optimized(tool: Tool, source: Path, target: Path) -> None:
    between = target.with_suffix(".between.onnx")
    tool(source, between)
    optimize("ALL", between, target)


TOOLS: dict[str, Tool] = {
    "basic": partial(optimize, "BASIC"),
    "extended": partial(optimize, "EXTENDED"),
    "all": partial(optimize, "ALL"),
    "int8": to_bytes,
    "int8-all": partial(then_optimized, to_bytes),
    "int4": to_nibbles,
    "float16": partial(to_float16, False),
    "float16-inputs": partial(to_float16, True),
    "float16-all": partial(then_optimized, partial(to_float16, True)),
}

ROWS = {
    "basic": "ONNX Runtime optimizer, basic",
    "extended": "ONNX Runtime optimizer, extended",
    "all": "ONNX Runtime optimizer, all",
    "int8": "quantized, dynamic",
    "int8-all": "quantized, dynamic",
    "int4": "quantized, 4 and 8 bits in blocks",
    "float16": "converted to float16",
    "float16-inputs": "converted to float16",
    "float16-all": "converted to float16",
}
"""What the README calls the tools."""

CASES = [
    (name, tool)
    for name in FAMILIES
    for tool in TOOLS
    if not (name == "lstm" and tool.startswith("float16"))  # ONNX Runtime's own process ends
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """What torch exports, once for each architecture."""
    folder, made = tmp_path_factory.mktemp("exported"), dict[str, Exported]()

    def export_once(name: str) -> Exported:
        if name not in made:
            made[name] = Exported(Case(FAMILIES[name], name, "script"), folder / f"{name}.onnx")
        return made[name]

    return export_once


def typed(feeds: Feeds, runtime: onnxruntime.InferenceSession) -> Feeds:
    """The feeds, in float16 where the model takes that."""
    halves = {info.name for info in runtime.get_inputs() if info.type == "tensor(float16)"}
    return {name: x.astype(np.float16) if name in halves else x for name, x in feeds.items()}


def tolerance(tool: str) -> tuple[float, float]:
    """Of float16, which has 11 bits, some ten are lost over the layers of sums in float32."""
    return (1e-2, 5e-3) if tool.startswith("float16") else (1e-3, 1e-5)


def agree(executor: ht.Executor, target: str, path: Path, feeds: Feeds, tool: str) -> None:
    rtol, atol = tolerance(tool)
    ours = executor.run(target, feed_dict=feeds, convert_to_numpy_ret_vals=True)
    for actual, expected in zip(ours, session(path).run(None, feeds), strict=True):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol, atol)


@pytest.mark.verifies(
    "results", "sizes", "gradients", "training", "export",
    exporter=lambda parameters: ROWS[parameters["tool"]],
)  # fmt: skip
@pytest.mark.xdist_group("tools")
@pytest.mark.parametrize(("name", "tool"), CASES)
def test_rewritten(
    name: str, tool: str, exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer advises on the root logger
    case, path, again = exported(name), tmp_path / "rewritten.onnx", tmp_path / "again.onnx"
    TOOLS[tool](case.path, path)
    runtime, model = session(path), load_onnx(path)
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    given = [typed(case.feeds(sizes), runtime) for sizes in case.architecture.sizes]
    loss = distance(outputs, given[0])
    train_op = ht.optim.SGDOptimizer(0.02).minimize(loss)
    executor = ht.Executor({"train": [loss, train_op], "eval": outputs})
    for feeds in given:
        agree(executor, "eval", path, feeds, tool)
    export(executor, inputs, outputs, again)
    assert_same_nodes(onnx.load(again), onnx.load(path))
    check_gradients(model, loss, given[0])
    results = [executor.run("train", feed_dict=given[0])[0].asnumpy() for _ in range(8)]
    assert results[-1] < results[0]
    export(executor, inputs, outputs, again)
    agree(executor, "eval", again, given[0], tool)


def distance(outputs: list[ht.Value], feeds: Feeds) -> ht.Value:
    """How far the outputs are from some numbers of their size."""
    results = ht.Executor(outputs).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    random = np.random.default_rng(1)
    apart = [
        y - random.normal(size=result.shape).astype(result.dtype)
        for y, result in zip(outputs, results, strict=True)
    ]
    return ht.op.Sum(*(ht.op.ReduceMean(d * d, keepdims=0) for d in apart))


def check_gradients(model: LoadedModel, loss: ht.Value, feeds: Feeds) -> None:
    """What is still float trains, all of it."""
    weights = [value for value in model.variables.values() if value.trainable]
    gradients = ht.Executor(ht.gradients(loss, weights)).run(
        feed_dict=feeds, convert_to_numpy_ret_vals=True
    )
    assert weights
    for weight, gradient in zip(weights, gradients, strict=True):
        assert np.isfinite(gradient).all() and gradient.any(), weight.name


def assert_same_nodes(actual: onnx.ModelProto, expected: onnx.ModelProto) -> None:
    """Equal models; the nodes that float16 converters add at the end come where they are needed."""
    order = {node.output[0]: i for i, node in enumerate(actual.graph.node)}
    expected.graph.node.sort(key=lambda node: order[node.output[0]])
    assert_same_model(actual, expected)
