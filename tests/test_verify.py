"""Verification: what differs is found and named, what cannot be compared is said."""

import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

import hetu as ht
from hetu.errors import ModelError, UsageError, VerificationError
from hetu.onnx import load_onnx, verify
from hetu.onnx.verification import runtime
from hetu.onnx.verification import verify as verify_module
from hetu.onnx.verification.compare import Tolerance, compare
from hetu.onnx.verification.hetu_side import HetuSide
from hetu.ops import registry
from hetu.ops.kinds import Tensor
from hetu.ops.registry import find, op
from hetu.types import DTYPES, STRING, DType
from tests.interop import transformer

MLP = """g (float[N, 4] x) => (float[N, 3] y)
<float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[3] b = {1, 2, 3}> {
   h = MatMul (x, w)
   e = Elu (h)
   y = Add (e, b)
}"""


def model(text: str, opset: int = 17, domains: str = "", ir_version: int = 8) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: {ir_version}, opset_import: ["" : {opset}{domains}]> {text}'
    )


@pytest.fixture
def wrong_elu(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Callable[[Tensor], Tensor]], None]]:
    """Lets Elu compute something else for the time of a test."""
    right = find("", "Elu", 17)
    assert right is not None

    def replace(function: Callable[[Tensor], Tensor]) -> None:
        @op("Elu", since=right.since)
        def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
            return function(right.function(x, alpha=alpha))

    monkeypatch.setattr(registry, "_registry", deepcopy(registry._registry))
    monkeypatch.setattr(registry, "_newest", {})
    return replace


# What differs -----------------------------------------------------------------------------------


def test_wrong_kernel_is_named(wrong_elu: Any) -> None:
    wrong_elu(lambda y: y * 1.5)
    report = verify(model(MLP), {"x": np.float32([[1, 0, 0, 0]])}, intermediates=True)
    assert report.status == "different" and not report.ok
    assert [c.name for c in report.comparisons] == ["h", "e", "y"]
    assert [c.ok for c in report.comparisons] == [True, False, False]
    first = report.first_difference
    assert first is not None and (first.name, first.op_type, first.is_output) == ("e", "Elu", False)
    assert first.max_abs_error == pytest.approx(1.5)  # of 1, 2 and 3, half is added
    assert first.mean_abs_error == pytest.approx(1.0)
    assert first.max_rel_error == pytest.approx(0.5)
    assert (first.mismatches, first.size, first.first_mismatch) == (3, 3, (0, 0))
    assert "'e' of Elu" in report.summary and str(report).startswith("different: ")


def test_nan_positions(wrong_elu: Any) -> None:
    def with_nan(y: Tensor) -> Tensor:
        y = y.clone()
        y[1, 2], y[0, 1] = float("nan"), float("inf")
        return y

    wrong_elu(with_nan)
    report = verify(model(MLP))
    output = report.outputs["y"]
    assert (output.nan_mismatches, output.nan_positions) == (1, ((1, 2),))
    assert (output.infinity_mismatches, output.infinity_positions) == (1, ((0, 1),))
    assert output.mismatches == 2 and output.max_abs_error < 1e-4
    assert "NaN on one side 1x: [1, 2]" in str(report)


def test_corrupted_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = model(MLP)
    damaged.graph.initializer[1].float_data[2] = 4
    monkeypatch.setattr(verify_module, "load_onnx", lambda path: load_onnx(damaged))
    with pytest.raises(VerificationError, match=r"'y' of Add") as caught:
        verify(model(MLP), raise_on_failure=True)
    output = caught.value.report.outputs["y"]
    assert (output.mismatches, output.size, output.first_mismatch) == (2, 6, (0, 2))
    assert output.max_abs_error == pytest.approx(1, rel=1e-3)


def test_other_shape(wrong_elu: Any) -> None:
    wrong_elu(lambda y: y[None])
    report = verify(model(MLP))
    assert report.outputs["y"].problem == "float32[1, 2, 3], ONNX Runtime has float32[2, 3]"
    assert report.status == "different"


# What agrees ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [transformer.bert, transformer.gpt])
def test_transformers(make: Callable[[], Any], tmp_path: Path) -> None:
    module, example = make()
    transformer.export(module, example, tmp_path / "model.onnx", opset=17, dynamo=False)
    report = verify(tmp_path / "model.onnx", intermediates=True)
    assert report.ok, report
    assert len(report.comparisons) > 100
    assert report.inputs["ids"].max() > 2 * transformer.WORDS // 3
    assert {a.shape for a in report.inputs.values()} == {(2, 8)}
    if make is transformer.bert:
        mask = report.inputs["mask"]
        assert set(np.unique(mask)) == {0, 1} and mask.any(axis=1).all()
        assert set(np.unique(report.inputs["segments"])) == {0, 1}


FUNCTIONS = """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
g (float[N, 4] x) => (float[N, 4] y) { y = f.outer (x) }
<domain: "f", opset_import: ["" : 17, "f" : 1]> outer (v) => (r) { s = Elu (v) r = f.inner (s) }
<domain: "f", opset_import: ["" : 17]> inner (v) => (r) { s = Neg (v) r = Exp (s) }
"""


def test_values_inside_functions(wrong_elu: Any) -> None:
    wrong_elu(lambda y: y + 1)
    report = verify(parser.parse_model(FUNCTIONS), intermediates=True)
    assert [c.op_type for c in report.comparisons] == ["Elu", "Neg", "outer"]
    assert report.first_difference is not None and report.first_difference.op_type == "Elu"


def test_sources(tmp_path: Path) -> None:
    proto = model(MLP)
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    assert verify(str(path)).ok
    assert verify(proto.SerializeToString()).ok
    assert verify(load_onnx(proto)).ok
    with path.open("rb") as file:
        assert verify(file).ok


def test_external_data(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = model(MLP)
    for tensor in proto.graph.initializer:  # only raw data goes into files
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    onnx.save(
        proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    assert (tmp_path / "weights.bin").exists()
    report = verify(path, intermediates=True)
    assert report.ok and len(report.comparisons) == 3, report


# Types ------------------------------------------------------------------------------------------


def numbers(element: DType) -> np.ndarray:
    """Different numbers, or texts, that the type has."""
    if element is STRING:
        return np.array(["a", "ü", "", "c"], dtype=object)
    return np.array([1, 0, 1, 1]).astype(element.numpy)


@pytest.mark.parametrize("element", DTYPES, ids=str)
def test_every_type_is_compared(element: DType) -> None:
    theirs, ours = numbers(element), numbers(element)
    assert compare(ours, theirs, Tolerance(1e-3, 1e-5)).mismatches == 0
    ours[[0, 1]] = ours[[1, 0]]
    errors = compare(ours, theirs, Tolerance(1e-3, 1e-5))
    assert errors.mismatches == 2, errors  # float8_e8m0fnu has no 0: there it is NaN
    assert compare(ours, theirs, Tolerance(0, 0)).mismatches == 2
    other = DTYPES[0] if element is not DTYPES[0] else DTYPES[1]
    assert compare(numbers(other), theirs, Tolerance(1, 1)).problem


@pytest.mark.parametrize(
    ("name", "epsilon"), [("float16", 2.0**-10), ("bfloat16", 2.0**-7), ("float8_e4m3fn", 0.125)]
)
def test_rounding_steps(name: str, epsilon: float) -> None:
    theirs, tolerance = np.ones(4).astype(name), Tolerance(1e-5, 1e-5)
    assert not compare((theirs * (1 + epsilon)).astype(name), theirs, tolerance).mismatches
    assert compare((theirs * (1 + 3 * epsilon)).astype(name), theirs, tolerance).mismatches == 4
    assert compare((theirs * (1 + epsilon)).astype(name), theirs, Tolerance(0, 0)).mismatches == 4


def test_large_integers() -> None:
    theirs = np.array([2**63 - 1, -(2**63), 2**53 + 1])
    errors = compare(theirs - np.array([0, -1, 1]), theirs, Tolerance(1, 1))
    assert (errors.mismatches, errors.max_abs) == (2, 1.0)
    unsigned = np.array([2**64 - 1], np.uint64)
    assert compare(np.array([0], np.uint64), unsigned, Tolerance(1, 1)).max_abs == 2.0**64


RUNTIME_LACKS = {"complex64", "complex128", "float6_e2m3fn", "float6_e3m2fn"}
"""Types that ONNX Runtime has no tensors of."""


def test_strings() -> None:
    report = verify(passing([STRING], opset=17), sizes={"N": 20})
    assert report.ok and report.outputs["y_string"].size == 20
    assert len(set(report.inputs["x_string"].tolist())) > 3


def passing(elements: list[DType], opset: int) -> onnx.ModelProto:
    """A model that hands an input of each type on."""
    infos = {
        kind: [helper.make_tensor_value_info(f"{kind}_{e}", e.code, ["N"]) for e in elements]
        for kind in "xy"
    }
    body = helper.make_graph(
        [helper.make_node("Identity", [f"x_{e}"], [f"y_{e}"]) for e in elements],
        "g", infos["x"], infos["y"],
    )  # fmt: skip
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_every_type_is_handed_over() -> None:
    """Identity has them up to bfloat16 and float8; casts make the smaller ones."""
    numeric = [e for e in DTYPES if e.code <= 20 and e is not STRING]
    passed = [e for e in numeric if e.name not in RUNTIME_LACKS]
    assert len(passed) == 17
    report = verify(passing(passed, opset=21))
    assert report.ok and len(report.comparisons) == 17, report
    assert [c.dtype for c in report.comparisons] == [e.name for e in passed]
    small = [e for e in DTYPES if e.name in ("int4", "uint4", "int2", "uint2", "float8_e8m0fnu")]
    sources = ["p" if e.name == "float8_e8m0fnu" else "x" for e in small]
    pairs = zip(small, sources, strict=True)
    nodes = [helper.make_node("Cast", [source], [f"y_{e}"], to=e.code) for e, source in pairs]
    nodes.append(helper.make_node("Cast", ["i"], ["z"], to=onnx.TensorProto.FLOAT))
    outputs = [helper.make_tensor_value_info(f"y_{e}", e.code, [4]) for e in small]
    outputs.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [3]))
    inputs = [
        helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4]),
        helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, [4]),
        helper.make_tensor_value_info("i", onnx.TensorProto.INT4, [3]),
    ]
    body = helper.make_graph(nodes, "g", inputs, outputs)
    casts = helper.make_model(body, opset_imports=[helper.make_opsetid("", 25)], ir_version=12)
    report = verify(casts, {"x": np.float32([1, 0, 1, 0]), "p": np.float32([1, 0.5, 4, 8])})
    assert report.ok and len(report.comparisons) == 6, report


def test_type_that_the_runtime_lacks() -> None:
    elements = [e for e in DTYPES if e.name == "complex64"]
    report = verify(passing(elements, opset=17))
    assert report.status == "failed" and not report.hetu_error
    assert "complex64" in report.runtime_error


def test_sequences_optionals_and_maps() -> None:
    text = """g (float[2, 3] x, int64 n, seq(float[N]) s, optional(float[2]) o)
    => (seq(float[2, 3]) y, seq(map(int64, float)) z, seq(float[N]) t, bool h) {
        p = Exp (x)
        y = SequenceConstruct (x, p)
        z = ai.onnx.ml.ZipMap <classlabels_int64s: ints = [3, 5, 9]> (p)
        t = SequenceInsert (s, r, n)
        r = OptionalGetElement (o)
        h = OptionalHasElement (o)
    }"""
    proto = model(text, opset=18, domains=', "ai.onnx.ml" : 3')
    proto.graph.node.insert(0, proto.graph.node.pop(4))
    report = verify(proto)
    assert report.ok, report
    assert [report.outputs[n].size for n in "yzth"] == [12, 6, 8, 1]
    assert len(report.inputs["s"]) == 2


def test_differences_inside_of_sequences_and_maps() -> None:
    tolerance = Tolerance(1e-3, 1e-5)
    theirs = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]
    ours = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 5.0}]
    errors = compare(ours, theirs, tolerance)
    assert (errors.mismatches, errors.size, errors.first) == (1, 4, (1, "b"))
    assert compare([{"a": 1.0}], [{"b": 1.0}], tolerance).problem == (
        "[0]: keys of one side only: 'a', 'b'"
    )
    assert "sequence of 1" in compare([np.ones(2)], [], tolerance).problem
    assert compare(None, np.ones(1), tolerance).problem.startswith("nothing")
    assert not compare(None, None, tolerance).problem


# What cannot be compared ------------------------------------------------------------------------


def test_crash_of_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import os; print('last words', flush=True); os.kill(os.getpid(), 11)")
    monkeypatch.setattr(runtime, "_CHILD", child)
    report = verify(model(MLP))
    assert report.status == "failed" and not report.hetu_error
    assert "SIGSEGV" in report.runtime_error and "last words" in report.runtime_error
    assert report.inputs["x"].shape == (2, 4)


def test_timeout() -> None:
    report = verify(model(MLP), timeout=0.01)
    assert report.status == "failed" and "0.01 seconds" in report.runtime_error


def test_unknown_operator() -> None:
    proto = model("g (float[2] x) => (float[2] y) { y = Foo (x) }")
    with pytest.raises(VerificationError, match=r"(?s)hetu failed: .*Foo-17.*ONNX Runtime failed"):
        verify(proto, raise_on_failure=True)


def test_both_fail_on_given_inputs() -> None:
    proto = model("g (float[N] x, float[M] z) => (float[K] y) { y = Add (x, z) }")
    report = verify(proto, {"x": np.ones(2, np.float32), "z": np.ones(3, np.float32)})
    assert report.status == "failed" and report.hetu_error and report.runtime_error


def test_random_outputs_are_not_claimed() -> None:
    text = """g (float[2] x, bool t) => (float[2] y, float[2] z, float[2] u) {
        r = RandomNormalLike (x)
        y = Add (r, x)
        z = Neg (x)
        p = Constant <value: tensor = float {0.5}> ()
        u, m = Dropout (x, p, t)
    }"""
    report = verify(model(text), intermediates=True)
    assert (report.status, report.ok, report.random) == ("incomplete", False, ("y",))
    assert {c.name for c in report.comparisons} == {"z", "p", "u", "m"}
    training = verify(model(text), {"t": np.array(True)})
    assert training.random == ("y", "u") and list(training.outputs) == ["z"]


def test_random_in_a_branch_and_in_a_function() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x, bool c) => (float[2] y, float[2] z, float[2] u) {
        y = f.noise (x)
        z = If (c) <then_branch = a () => (float[2] r) { r = RandomUniformLike (x) },
                    else_branch = b () => (float[2] s) { s = Neg (x) }>
        u = Exp (x)
    }
    <domain: "f", opset_import: ["" : 17]> noise (v) => (r) { r = RandomNormalLike (v) }"""
    assert verify(parser.parse_model(text)).random == ("y", "z")


# Bad calls --------------------------------------------------------------------------------------


def test_bad_calls(tmp_path: Path) -> None:
    proto = model(MLP)
    with pytest.raises(UsageError, match="no input 'q'; it has 'x'"):
        verify(proto, {"q": np.ones(2)})
    with pytest.raises(UsageError, match=r"'x': expected float32\[N, 4\], got float64\[2, 4\]"):
        verify(proto, {"x": np.ones((2, 4))})
    with pytest.raises(UsageError, match="no input has a dimension 'M'; open are 'N'"):
        verify(proto, sizes={"M": 2})
    with pytest.raises(UsageError, match="rtol"):
        verify(proto, rtol=float("nan"))
    with pytest.raises(ModelError, match="no ONNX model"):
        verify(b"\x00" * 64)
    with pytest.raises(UsageError, match="No such file"):
        verify(tmp_path / "none.onnx")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UsageError, match="'x' has no shape"):
        verify(proto)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    verify(model(MLP))

    def interrupt(self: HetuSide, feeds: object) -> None:
        assert list(tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(HetuSide, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verify(model(MLP))
    assert not list(tmp_path.iterdir())


def test_trained_model(tmp_path: Path) -> None:
    x = ht.Variable(name="x")
    w = ht.init.random_normal((4, 3), stddev=0.1, name="w")
    y = ht.relu_op(ht.matmul_op(x, w))
    loss = ht.reduce_mean_op(y, [0, 1])
    train = ht.optim.SGDOptimizer(0.1).minimize(loss)
    executor = ht.Executor({"train": [loss, train], "run": [y]}, seed=1)
    executor.run("train", feed_dict={x: np.ones((2, 4), np.float32)})
    shapes = {x: ("batch", 4)}
    ht.onnx.export(executor, [x], [y], tmp_path / "tuned.onnx", input_shapes=shapes)
    report = verify(tmp_path / "tuned.onnx", sizes={"batch": 5})
    assert report.ok and report.inputs["x"].shape == (5, 4)


def test_initializers_that_are_inputs() -> None:
    proto = model(MLP)
    proto.graph.input.append(helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [3]))
    assert list(verify(proto).inputs) == ["x"]
    report = verify(proto, {"b": np.float32([7, 8, 9])})
    assert report.ok and set(report.inputs) == {"x", "b"}


def test_sparse_weights() -> None:
    proto = model(MLP)
    values = numpy_helper.from_array(np.float32([2, 3]), "b")
    del proto.graph.initializer[1]
    proto.graph.sparse_initializer.append(
        onnx.SparseTensorProto(
            values=values, indices=numpy_helper.from_array(np.array([0, 2])), dims=[3]
        )
    )
    assert verify(proto).ok
