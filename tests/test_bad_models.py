"""Files that are no valid model: each its own kind of error, which names the place."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from hetu.errors import ModelError, UnsupportedError, UsageError
from hetu.onnx import export, load_onnx
from hetu.runtime.executor import Executor


def model(text: str, opset: int = 17) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}')


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    data = model("g (float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"cut\.onnx.*cut off"):
        load_onnx(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"\x89PNG\r\n", b"\x00" * 64])
def test_foreign_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"other\.onnx"):
        load_onnx(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_onnx(tmp_path / "none.onnx")


def test_cycle_is_named() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"]),
    ]
    proto.graph.node.extend(nodes)
    with pytest.raises(
        ModelError, match=r"cycle: .*Add 'first'.*Relu 'b'|cycle: .*Relu 'b'.*Add 'first'"
    ):
        load_onnx(proto)


def test_unsorted_nodes_are_sorted() -> None:
    proto = model("g (float[2] x) => (float[2] y) { a = Relu(x) y = Add(a, x) }")
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))
    graph = load_onnx(proto)["y"].node
    assert graph is not None and graph.op_type == "Add"


def test_only_what_comes_too_late_is_moved(tmp_path: Path) -> None:
    """As converters to float16 leave it: a cast at the end that the first node needs."""
    proto = model("""g (float[2] x) => (float[2] y) {
        [first] a = Relu(late) [second] b = Abs(x) [third] c = Add(a, b) [fourth] y = Neg(c) }""")
    proto.graph.node.append(helper.make_node("Exp", ["x"], ["late"], name="last"))
    loaded = load_onnx(proto)
    path = tmp_path / "sorted.onnx"
    written = export(Executor([loaded["y"]]), [loaded["x"]], [loaded["y"]], path)
    names = ["last", "first", "second", "third", "fourth"]
    assert [node.name for node in written.graph.node] == names


def test_undefined_input() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Add(x, gone) }")
    with pytest.raises(ModelError, match=r"Add 'y' uses 'gone'"):
        load_onnx(proto)


def test_undefined_output() -> None:
    proto = model("g (float[2] x) => (float[2] z) { y = Relu(x) }")
    with pytest.raises(ModelError, match="'z'"):
        load_onnx(proto)


def test_undefined_value_in_a_branch() -> None:
    text = """g (bool c, float[2] x) => (float[2] y) {
        y = If(c) <then_branch = t () => (float[2] a) { a = Add(x, gone) },
                   else_branch = e () => (float[2] b) { b = Relu(x) }> }"""
    with pytest.raises(ModelError, match="'gone'"):
        load_onnx(model(text))


def test_duplicate_name() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) y = Add(x, x) }")
    with pytest.raises(ModelError, match=r"'y'.*two values"):
        load_onnx(proto)


def test_wrong_sized_tensor() -> None:
    proto = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    proto.graph.initializer[0].raw_data = b"\0" * 7
    proto.graph.initializer[0].ClearField("float_data")
    with pytest.raises(ModelError, match="tensor 'w'"):
        load_onnx(proto)
    proto.graph.initializer[0].raw_data = b"\0" * 12
    with pytest.raises(ModelError, match="tensor 'w'"):
        load_onnx(proto)


@pytest.mark.parametrize("dims", [[-1, 4], [1 << 40, 1 << 40]])
def test_impossible_dimensions(dims: list[int]) -> None:
    proto = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    with pytest.raises(ModelError, match="tensor 'w'"):
        load_onnx(proto)


def test_unknown_tensor_type() -> None:
    proto = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    proto.graph.initializer[0].data_type = 99
    with pytest.raises(ModelError, match="tensor 'w'.*99"):
        load_onnx(proto)


def test_missing_opset_import() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    del proto.opset_import[:]
    with pytest.raises(ModelError, match="opset_import"):
        load_onnx(proto)


def test_missing_opset_import_of_one_domain() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.node[0].domain = "com.example"
    with pytest.raises(ModelError, match=r"'com\.example'"):
        load_onnx(proto)


def test_newer_opset() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset=99)
    with pytest.raises(UnsupportedError, match="opset 99.*up to opset 28"):
        load_onnx(proto)


def test_every_unknown_operator_is_listed_once() -> None:
    proto = model("g (float[2] x) => (float[2] y) { a = Foo(x) b = Foo(a) y = Bar(b) }")
    with pytest.raises(UnsupportedError, match=r"Bar-17 \(1x\), Foo-17 \(2x\)"):
        load_onnx(proto)


def test_unknown_operator_in_a_branch_and_in_a_function() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
    g (bool c, float[2] x) => (float[2] y) {
        y = If(c) <then_branch = t () => (float[2] a) { a = Foo(x) },
                   else_branch = e () => (float[2] b) { b = f.call(x) }> }
    <domain: "f", opset_import: ["" : 17]> call (x) => (y) { y = Bar(x) }"""
    with pytest.raises(UnsupportedError, match=r"Bar-17 \(1x\), Foo-17 \(1x\)"):
        load_onnx(parser.parse_model(text))


def test_function_that_calls_itself() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x) => (float[2] y) { y = f.call(x) }
    <domain: "f", opset_import: ["" : 17, "f" : 1]> call (x) => (y) { y = f.call(x) }"""
    with pytest.raises(ModelError, match=r"'f\.call' calls itself"):
        load_onnx(parser.parse_model(text))


def test_long_names_are_cut() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.node[0].input[0] = "n" * 10_000
    with pytest.raises(ModelError) as caught:
        load_onnx(proto)
    assert len(str(caught.value)) < 500


def test_names_never_become_code() -> None:
    name = "x); import os; os.abort() #\n"
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.input[0].name = proto.graph.node[0].input[0] = name
    from hetu.runtime.executor import Executor

    executor = Executor(list(load_onnx(proto).outputs.values()))
    (y,) = executor.run(feed_dict={name: np.float32([-1, 2])}, convert_to_numpy_ret_vals=True)
    assert y.tolist() == [0, 2]
    assert "os" not in executor.source()


def test_trainable_names_must_exist() -> None:
    proto = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    with pytest.raises(UsageError, match="'v'.*'w'"):
        load_onnx(proto, trainable=["v"])


def test_tensor_without_name_collides_with_nothing() -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.initializer.extend([tensor, tensor])
    with pytest.raises(ModelError, match="'w'.*two values"):
        load_onnx(proto)


def test_a_call_with_more_inputs_than_the_function_has() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x) => (float[2] y) { y = f.twice (x, x) }
    <domain: "f", opset_import: ["" : 17]> twice (v) => (r) { r = Add (v, v) }"""
    with pytest.raises(ModelError, match="has 2 inputs, the model's function of that name takes 1"):
        load_onnx(onnx.parser.parse_model(text))


def test_output_without_a_name() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.graph.output.add()
    with pytest.raises(ModelError, match="output 1 of the model has no name"):
        load_onnx(proto)


def test_name_that_is_no_text() -> None:
    content = model("g (float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString()
    with pytest.raises(ModelError, match="op_type is no UTF-8"):
        load_onnx(content.replace(b"Relu", b"\xff\xfe\xfd\xfc"))
