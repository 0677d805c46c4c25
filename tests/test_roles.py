"""Which initializers are trained."""

import re

import numpy as np
import onnx
import pytest
import torch
from onnx import parser

import hetu as ht

MODEL = """<ir_version: 9, opset_import: ["" : 17, "f" : 1]>
g (float[N, 2, H, W] x, bool c) => (float[N, 2, P, Q] y)
<float[2, 2, 1, 1] kernel, float[2] scale, float[2] shift, float[2] mean, float[2] variance,
 float[4] sizes, float[1] one, float factor, int64[1] axes = {0}, float[2] unused, float[1] inner>
{
    a = Conv (x, kernel)
    b = BatchNormalization (a, scale, shift, mean, variance)
    s = Mul (sizes, one)
    u = Resize (b, , s)
    v = f.multiply (u, factor)
    y = If (c) <
        then_branch = t () => (float[N, 2, P, Q] p) <float[1] own = {1}> { p = Mul (v, own) },
        else_branch = e () => (float[N, 2, P, Q] q) { q = Mul (v, inner) }>
}
<domain: "f", opset_import: ["" : 17]> multiply (p, q) => (r) { r = Mul (p, q) }"""

SHAPES = {"kernel": (2, 2, 1, 1), "sizes": (4,), "factor": (), "one": (1,), "inner": (1,)}
WEIGHTS = {"kernel", "scale", "shift", "inner", "own"}


def load(trainable: object = True) -> ht.onnx.LoadedModel:
    return ht.onnx.load_onnx(model_proto(), trainable=trainable)  # pyright: ignore


def model_proto() -> onnx.ModelProto:
    proto = parser.parse_model(MODEL)
    names = (
        "kernel",
        "scale",
        "shift",
        "mean",
        "variance",
        "sizes",
        "one",
        "factor",
        "unused",
        "inner",
    )
    del proto.graph.value_info[:]
    present = {tensor.name for tensor in proto.graph.initializer}
    for name in names:
        if name not in present:
            array = np.ones(SHAPES.get(name, (2,)), np.float32)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def trained(model: ht.onnx.LoadedModel) -> set[str]:
    (y,) = model.outputs.values()
    return {value.name for value in ht.optim.SGDOptimizer().get_var_list(y)}


def test_weights_are_what_gradients_reach() -> None:
    model = load()
    assert trained(model) == WEIGHTS
    assert model.variables["mean"].constant is False
    assert model.variables["axes"].constant is True


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        (False, set()),
        ("s.*", {"scale", "shift"}),
        (re.compile("kernel|own"), {"kernel", "own"}),
        (["kernel", "factor"], {"kernel", "factor"}),
        (lambda name: name.startswith("k"), {"kernel"}),
    ],
    ids=["false", "regex", "pattern", "names", "predicate"],
)
def test_selection(trainable: object, expected: set[str]) -> None:
    assert trained(load(trainable)) == expected


ORIGIN = "pkg.torch.export.graph_signature.InputSpec.kind"
FOLDED = "pkg.onnxscript.optimizer.folded_from"
NOTES = {
    "kernel": (ORIGIN, "PARAMETER"),
    "factor": (ORIGIN, "PARAMETER"),
    "shift": (ORIGIN, "BUFFER"),
    "scale": (FOLDED, "['val_12', 'norm.weight']"),
    "inner": (FOLDED, "['val_12', 'val_3']"),
}


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [(True, {"kernel", "factor", "scale", "own"}), (["shift", "inner"], {"shift", "inner"})],
)
def test_notes_of_the_exporter_say_what_a_parameter_was(
    trainable: object, expected: set[str]
) -> None:
    """Parameters of any rank train; buffers and what was computed do where they are asked for."""
    proto = model_proto()
    for name, (key, value) in NOTES.items():
        info = onnx.helper.make_tensor_value_info(name, 1, None)
        info.metadata_props.add(key=key, value=value)
        proto.graph.value_info.append(info)
    assert trained(ht.onnx.load_onnx(proto, trainable=trainable)) == expected  # pyright: ignore


def test_what_was_a_constant_node_is_no_parameter() -> None:
    """Optimizers make initializers of the nodes that torch writes for numbers in code."""
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 2] x) => (float[n, 2] y)
        <float[2] "head.weight" = {1, 2}, float[1] "/body/Constant_3_output_0" = {-1}> {
            h = Mul (x, "head.weight") y = Max (h, "/body/Constant_3_output_0") }""")
    assert trained(ht.onnx.load_onnx(model)) == {"head.weight"}
    chosen = ht.onnx.load_onnx(model, trainable=["/body/Constant_3_output_0"])
    assert trained(chosen) == {"/body/Constant_3_output_0"}


def test_what_one_hot_marks_with_is_no_weight() -> None:
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n] x) => (float[n, 2] y)
        <int64 depth = {3}, float[2] marks = {0.1, 0.9}, float[3, 2] kernel = {1, 2, 3, 4, 5, 6}> {
            h = OneHot (x, depth, marks) y = MatMul (h, kernel) }""")
    assert trained(ht.onnx.load_onnx(model)) == {"kernel"}


STANDARDIZED = """<ir_version: 9, opset_import: ["" : 17]>
g (float[N, 3] x) => (float[N, 4] y) <float[3, 4] w, float[3, 4] copy, float[4] one, float[4] zero>
{
    mean = ReduceMean <axes = [0], keepdims = 0> (copy)
    apart = Sub (copy, mean)
    squares = Mul (apart, apart)
    variance = ReduceMean <axes = [0], keepdims = 0> (squares)
    standard = BatchNormalization (w, one, zero, mean, variance)
    y = MatMul (x, standard)
}"""


def test_statistics_that_the_graph_computes_train() -> None:
    """A standardized weight as exporters spell it, with a copy of it: a step goes torch's way."""
    proto, random = parser.parse_model(STANDARDIZED), np.random.default_rng(0)
    shapes = {"w": (3, 4), "copy": (3, 4), "one": (4,), "zero": (4,)}
    arrays = {name: random.standard_normal(shapes[name]).astype(np.float32) for name in shapes}
    for name, array in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model = ht.onnx.load_onnx(proto)
    assert trained(model) == set(shapes)
    x = random.standard_normal((5, 3)).astype(np.float32)
    loss = ht.op.ReduceSum(model.outputs["y"] * model.outputs["y"], keepdims=False)
    train = ht.optim.SGDOptimizer(0.01).minimize(loss)
    executor = ht.Executor({"train": [loss, train]})
    (ours,) = executor.run("train", (), {"x": x}, convert_to_numpy_ret_vals=True)[:1]

    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    variance, mean = torch.var_mean(leaves["copy"], 0, correction=0)
    standard = (leaves["w"] - mean) / (variance + 1e-5).sqrt() * leaves["one"] + leaves["zero"]
    theirs = (torch.tensor(x) @ standard).square().sum()
    theirs.backward()
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5)
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        wanted = leaf.detach() - 0.01 * leaf.grad
        stepped = executor.store[model.variables[name]].numpy()
        np.testing.assert_allclose(stepped, wanted, rtol=1e-4, atol=1e-5)
