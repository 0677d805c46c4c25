"""Normalizations over the last axis, by oneDNN's library: ONNX Runtime's results."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import hetu as ht
from hetu import onednn

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is not there")

SHAPES = [(5,), (1, 2), (3, 16), (2, 7, 33), (1, 2, 5, 64), (197, 768)]

FUSIONS = {"LayerNormalization": "row layer norm", "RMSNormalization": "row rms norm"}


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return (3 * np.random.default_rng(seed).normal(size=shape) + 1).astype(np.float32)


def model(
    op_type: str,
    shape: tuple[int, ...],
    attributes: str = "epsilon = 1e-3",
    results: str = "y",
    **weights: np.ndarray,
) -> onnx.ModelProto:
    """A model that normalizes twice an input of a shape, whose leading axes may vary."""
    names = ", ".join(["t", *weights])
    text = f"""<ir_version: 10, opset_import: ["" : 23]>
    g (float[{", ".join(["N"] * (len(shape) - 1) + [str(shape[-1])])}] x) => (float[] y) {{
        t = {op_type}<{attributes}>({", ".join(["x", *weights])})
        {results} = {op_type}<{attributes}>({names})
    }}"""
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    return proto


def run(executor: ht.Executor, x: np.ndarray) -> np.ndarray:
    (result,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
    return result


def check(proto: onnx.ModelProto, *inputs: np.ndarray) -> list[str]:
    """Compare results; the reasons why nodes were not fused, empty for those that were."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    outputs = ht.onnx.load_onnx(proto).outputs.values()
    executor, plain = (ht.Executor(list(outputs), optimize=o) for o in (True, False))
    for x in inputs:
        (wanted,) = session.run(["y"], {"x": x})
        for each in (executor, plain):
            np.testing.assert_allclose(run(each, x), wanted, rtol=1e-4, atol=1e-4)
    return [n.reason for n in executor.explain() if n.fusion in FUSIONS.values()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("op_type", FUSIONS)
def test_results(op_type: str, shape: tuple[int, ...]) -> None:
    scale, size = random(shape[-1], seed=1), (2, *shape[1:]) if len(shape) > 1 else shape
    proto = model(op_type, shape, scale=scale)
    assert check(proto, *(random(*shape, seed=i) for i in range(3)), random(*size)) == ["", ""]


@pytest.mark.parametrize("shape", SHAPES)
def test_bias(shape: tuple[int, ...]) -> None:
    weights = {"scale": random(shape[-1], seed=1), "bias": random(shape[-1], seed=2)}
    proto = model("LayerNormalization", shape, "axis = -1", **weights)
    assert check(proto, *(random(*shape, seed=i) for i in range(3))) == ["", ""]


@pytest.mark.parametrize("op_type", FUSIONS)
def test_what_is_far_from_zero(op_type: str) -> None:
    x = np.concatenate([random(2, 8), 1e4 + random(2, 8), 1e-6 * random(2, 8), np.zeros((1, 8))])
    assert check(model(op_type, (7, 8), scale=np.ones(8, "f")), x.astype("f")) == ["", ""]


@pytest.mark.parametrize("op_type", FUSIONS)
def test_any_order_in_memory(op_type: str) -> None:
    outputs = ht.onnx.load_onnx(model(op_type, (5, 6), scale=random(6))).outputs.values()
    executor, plain = (ht.Executor(list(outputs), optimize=o) for o in (True, False))
    whole = torch.from_numpy(random(12, 12))
    for x in (whole[:5, :6], whole[:6, :5].t(), whole[::3, ::2], whole[:1, :6].expand(5, 6)):
        first, second = (
            each.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)[0]
            for each in (executor, plain)
        )
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op_type", "attributes", "size", "reason"),
    [
        ("LayerNormalization", "axis = 1", (3, 4), "several axes"),
        ("RMSNormalization", "axis = -2", (3, 4), "several axes"),
        ("LayerNormalization", "axis = -1", (1,), "repeated"),
        ("RMSNormalization", "axis = -1", (3, 4), "repeated"),
        ("LayerNormalization", "axis = -1", (1, 1, 1), "one number"),
        ("RMSNormalization", "axis = -1", (1, 1, 1), "one number"),
    ],
)
def test_what_the_library_does_not_compute(
    op_type: str, attributes: str, size: tuple[int, ...], reason: str
) -> None:
    shape = (2, 3, 1) if reason == "one number" else (2, 3, 4)
    size = size[2:] if reason == "one number" else size
    proto = model(op_type, shape, attributes, scale=random(*size))
    reasons = check(proto, random(*shape))
    assert len(reasons) == 2 and all(reason in each for each in reasons)


def test_statistics_that_are_wanted() -> None:
    proto = model("LayerNormalization", (3, 4), results="y, m", scale=random(4))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("m", onnx.TensorProto.FLOAT, None))
    executor = ht.Executor(list(ht.onnx.load_onnx(proto).outputs.values()))
    x = random(3, 4)
    wanted = onnxruntime.InferenceSession(proto.SerializeToString()).run(["y", "m"], {"x": x})
    for one, other in zip(executor.run(feed_dict={"x": x}), wanted, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other, rtol=1e-4, atol=1e-4)
    reasons = [n.reason for n in executor.explain() if n.fusion == "row layer norm"]
    assert sorted(map(bool, reasons)) == [False, True]


def test_gradients_are_torchs() -> None:
    """In training the layers stay as they are."""
    loaded = ht.onnx.load_onnx(model("LayerNormalization", (3, 4), scale=random(4)))
    (y,), (x,) = loaded.outputs.values(), loaded.inputs.values()
    (gradient,) = ht.gradients(ht.op.ReduceSum(y * y * y), [x])
    executor = ht.Executor([gradient])
    fed = torch.from_numpy(random(3, 4)).requires_grad_()
    scale = torch.from_numpy(random(4))
    t = torch.nn.functional.layer_norm(fed, (4,), scale, eps=1e-3)
    (torch.nn.functional.layer_norm(t, (4,), scale, eps=1e-3) ** 3).sum().backward()
    assert fed.grad is not None
    actual = run(executor, fed.detach().numpy())
    np.testing.assert_allclose(actual, fed.grad.numpy(), rtol=1e-3, atol=1e-3)
    assert not [n for n in executor.explain() if n.fusion in FUSIONS.values()]
