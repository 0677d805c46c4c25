"""Structure and types against ONNX Runtime: functions, branches, names, inputs with defaults."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy.sparse
import torch
from onnx import helper, numpy_helper, parser

import hetu as ht
from hetu.errors import LimitError
from hetu.types import DTYPES, DType
from tests.support.backend import assert_equal
from tests.support.compare import assert_same_model
from tests.test_versions import options

HEADER = '<ir_version: 10, opset_import: ["" : 21, "f" : 1]>'
X = np.float32([1, -2])


def run(proto: onnx.ModelProto, feeds: dict[str, Any], tmp_path: Path) -> list[Any]:
    """hetu's results; the model goes out as it came in."""
    model = ht.onnx.load_onnx(proto)
    outputs = list(model.outputs.values())
    executor = ht.Executor(outputs)
    results = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    exported = ht.onnx.export(executor, list(model.inputs.values()), outputs, tmp_path / "m.onnx")
    assert_same_model(exported, proto)
    return results


CASES = {
    "an integer that is overridden": (
        """g (float[4] x, int64[2] s) => (float[a,b] y) <int64[2] s = {2, 2}> {
            y = Reshape (x, s) }""",
        {"x": np.float32([1, 2, 3, 4]), "s": np.int64([4, 1])},
    ),
    "a loop that hands values on under other dimensions": (
        """g (float[n] x, int64 trips, bool go) => (float[m] y) {
            y = Loop (trips, go, x) <body = b (int64 i, bool c, float[p] v)
                => (bool o, float[q] v) { o = Identity (c) }> }""",
        {"x": X, "trips": np.array(2), "go": np.array(True)},
    ),
    "strings that are overridden": (
        'g (string[2] s) => (string[2] y) <string[2] s = {"a", "b"}> { y = Identity (s) }',
        {"s": np.array(["c", "d"], object)},
    ),
    "a default that is not needed and fed": (
        "g (float[2] x, float[2] k) => (float[2] y) <float[2] k = {1, 2}> { y = Neg (x) }",
        {"x": X, "k": X},
    ),
    "an initializer in a branch of a function": (
        """g (float[2] x, bool c) => (float[2] y) { y = f.p (x, c) }
        <domain: "f", opset_import: ["" : 21]> p (a, c) => (d) {
            d = If (c) <then_branch = t () => (float[2] p) <float[2] k = {1, 2}> { p = Mul (a, k) },
                        else_branch = e () => (float[2] q) { q = Neg (a) }> }""",
        {"x": X, "c": np.array(True)},
    ),
    "a reference to an attribute in a branch": (
        """g (float[2] x, bool c) => (float[2] y) { y = f.p <slope = 0.25> (x, c) }
        <domain: "f", opset_import: ["" : 21]> p <slope> (a, c) => (d) {
            d = If (c) <
                then_branch = t () => (float[2] p) { p = LeakyRelu <alpha: float = @slope> (a) },
                else_branch = e () => (float[2] q) { q = Neg (a) }> }""",
        {"x": X, "c": np.array(True)},
    ),
    "a default that is handed on to another function": (
        """g (float[2] x) => (float[2] y) { y = f.o (x) }
        <domain: "f", opset_import: ["" : 21, "f" : 1]> o <al: float = 0.5> (a) => (d) {
            d = f.i <be: float = @al> (a) }
        <domain: "f", opset_import: ["" : 21]> i <be> (a) => (d) {
            d = LeakyRelu <alpha: float = @be> (a) }""",
        {"x": X},
    ),
    "one name in two branches": (
        """g (float[2] x, bool c) => (float[2] y) {
            a = Neg (x)
            y = If (c) <then_branch = t () => (float[2] p) { b = Add (a, a) p = Neg (b) },
                        else_branch = e () => (float[2] q) { b = Mul (a, a) q = Neg (b) }> }""",
        {"x": X, "c": np.array(False)},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_as_in_onnx_runtime(case: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    text, feeds = case
    proto = parser.parse_model(HEADER + text)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options())
    for ours, theirs in zip(run(proto, feeds, tmp_path), session.run(None, feeds), strict=True):
        assert_equal(ours, theirs)


def test_a_function_hands_an_input_through(tmp_path: Path) -> None:
    text = """g (float[2] x) => (float[2] y, float[2] z) { y, z = f.p (x, x) }
    <domain: "f", opset_import: ["" : 21]> p (a, b) => (a, c) { c = Add (b, b) }"""
    y, z = run(parser.parse_model(HEADER + text), {"x": X}, tmp_path)
    assert y.tolist() == [1, -2] and z.tolist() == [2, -4]


def test_a_function_is_of_its_own_opset(tmp_path: Path) -> None:
    """Before opset 13, Softmax goes over all axes from the one given on."""
    text = """g (float[1,2,2] x) => (float[1,2,2] y) { y = f.p (x) }
    <domain: "f", opset_import: ["" : 12]> p (a) => (c) { c = Softmax (a) }"""
    x = np.float32([[[1, 2], [3, 4]]])
    (y,) = run(parser.parse_model(HEADER + text), {"x": x}, tmp_path)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(), rtol=1e-6)


def test_functions_that_double_with_every_level() -> None:
    functions = ['<domain: "f", opset_import: ["" : 21]> p0 (a) => (c) { c = Neg (a) }']
    functions += [
        f"""<domain: "f", opset_import: ["" : 21, "f" : 1]> p{i} (a) => (c) {{
            b = f.p{i - 1} (a) c = f.p{i - 1} (b) }}"""
        for i in range(1, 40)
    ]
    text = "g (float[2] x) => (float[2] y) { y = f.p39 (x) }" + "\n".join(functions)
    (y,) = ht.onnx.load_onnx(parser.parse_model(HEADER + text)).outputs.values()
    with pytest.raises(LimitError, match="1,000,000 nodes"):
        ht.Executor([y]).run(feed_dict={"x": X})


@pytest.mark.parametrize("name", ["ünï 名", "a b", "q\"'", "new\nline", "x" * 5000], ids=ascii)
def test_any_name(name: str, tmp_path: Path) -> None:
    info, result = (helper.make_tensor_value_info(n, 1, [2]) for n in (name, f"y{name}"))
    node = helper.make_node("Neg", [name], [f"y{name}"])
    proto = model([node], [info], [result])
    assert run(proto, {name: X}, tmp_path)[0].tolist() == [-1, 2]


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    tensors: list[onnx.TensorProto] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors or [])
    opsets = [helper.make_opsetid("", 25), helper.make_opsetid("f", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=13, functions=functions or [])


@pytest.mark.parametrize("element", DTYPES, ids=str)
def test_every_type_everywhere(element: DType, tmp_path: Path) -> None:
    """As a feed, an initializer, a constant, a loop's state and a default of a function."""
    is_text = element.name == "string"
    array = np.array(["a", ""], object) if is_text else np.array([1, 0]).astype(element.numpy)
    tensor = numpy_helper.from_array(array, "w")

    def info(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, element.code, [2])

    flags = [helper.make_tensor_value_info(n, 9, []) for n in ("going", "on")]
    number = helper.make_tensor_value_info("i", 7, [])
    steps = [helper.make_node("Identity", *pair) for pair in ((["going"], ["on"]), (["s"], ["t"]))]
    body = helper.make_graph(steps, "b", [number, flags[0], info("s")], [flags[1], info("t")])
    constant = helper.make_node("Constant", [], ["o"])
    reference = constant.attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "value", "v", reference.TENSOR
    function = helper.make_function(
        "f", "D", [], ["o"], [constant], [helper.make_opsetid("", 25)], [],
        [helper.make_attribute("v", tensor)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Identity", ["x"], ["fed"]),
        helper.make_node("Identity", ["w"], ["kept"]),
        helper.make_node("Constant", [], ["constant"], value=tensor),
        helper.make_node("Loop", ["n", "", "x"], ["state"], body=body),
        helper.make_node("D", [], ["default"], domain="f"),
    ]
    outputs = [info(name) for node in nodes for name in node.output]
    tensors = [tensor, helper.make_tensor("n", 7, [], [2])]
    proto = model(nodes, [info("x")], outputs, tensors, [function])
    for result in run(proto, {"x": array}, tmp_path):
        assert result.dtype == array.dtype
        same = result.tolist() if is_text else result.tobytes()  # 0 is NaN where there is no 0
        assert same == (array.tolist() if is_text else array.tobytes())


def test_sparse_inputs_and_outputs(tmp_path: Path) -> None:
    """What is fed may be dense or sparse, what comes out is dense."""
    sparse = helper.make_sparse_tensor_type_proto(1, [2, 2])
    infos = [helper.make_value_info(name, sparse) for name in ("x", "y")]
    proto = model([helper.make_node("Identity", ["x"], ["y"])], infos[:1], infos[1:])
    x = np.float32([[1, 0], [0, 2]])
    for feed in (x, torch.tensor(x).to_sparse(), scipy.sparse.csr_matrix(x)):
        np.testing.assert_array_equal(run(proto, {"x": feed}, tmp_path)[0], x)
