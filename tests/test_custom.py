"""Operators that hetu does not have: placeholders, and torch functions that users supply."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import parser

import hetu as ht
from hetu.errors import ModelError, RunError, UnsupportedError, UsageError
from hetu.ops.kinds import Context, Ints, Tensor
from tests.support.compare import assert_same_model

HEADER = """<ir_version: 10, opset_import: ["" : 21, "com.acme" : 3, "f" : 1]>"""
X = np.float32([[1, -2], [3, 0.5]])


def proto(text: str) -> onnx.ModelProto:
    return parser.parse_model(HEADER + text)


def load(text: str, strict: bool = False) -> ht.onnx.LoadedModel:
    return ht.onnx.load_onnx(proto(text), strict=strict)


def run(values: Any, **feeds: Any) -> list[Any]:
    return ht.Executor(values).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)


UNKNOWN = """
g (float[2,2] x, bool c) => (float[2,2] y, float[2,2] z, float[2,2] u)
<float[2,2] w = {1, 2, 3, 4}> {
    a = MatMul (x, w)
    u = Relu (a)
    y = com.acme.Unheard <text = "t", numbers = [1, 2], part = float[1] {1.5}> (a, , w)
    z = If (c) <then_branch = t () => (float[2,2] p) { p = f.wrapped (a) },
                else_branch = e () => (float[2,2] q) { q = Strange (y) }>
}
<domain: "f", opset_import: ["" : 21, "com.acme" : 3]> wrapped (p) => (r) {
    s = com.acme.Unheard (p)
    r = com.acme.Other (s)
}"""


def test_all_that_is_missing_is_one_error() -> None:
    listed = r"Strange-21 \(1x\), com.acme.Other-3 \(1x\), com.acme.Unheard-3 \(2x\).*register"
    with pytest.raises(UnsupportedError, match=f"{listed}.*strict=False"):
        load(UNKNOWN, strict=True)
    model = load(UNKNOWN)
    with pytest.raises(UnsupportedError, match=listed):
        run([model["z"]], x=X, c=True)
    with pytest.raises(UnsupportedError, match=r"for: com.acme.Unheard-3 \(1x\);"):
        run([model["y"]], x=X)


def test_what_does_not_need_it_runs_and_trains(tmp_path: Path) -> None:
    model = load(UNKNOWN)
    assert (list(model.inputs), list(model.variables)) == (["x", "c"], ["w"])
    assert model["y"].node.op_type == "Unheard"
    loss = ht.reduce_sum_op(model["u"], [0, 1])
    executor = ht.Executor({
        "train": [loss, ht.optim.SGDOptimizer(0.5).minimize(loss)],
        "rest": list(model.outputs.values()),
    })  # fmt: skip
    executor.run("train", feed_dict={"x": X})
    exported = ht.onnx.export(
        executor, list(model.inputs.values()), list(model.outputs.values()), tmp_path / "m.onnx"
    )
    weights = onnx.numpy_helper.to_array(exported.graph.initializer[0])
    np.testing.assert_array_equal(weights, executor.state_dict()["w"])
    assert not np.array_equal(weights, [[1, 2], [3, 4]])


def test_it_is_exported_as_it_came(tmp_path: Path) -> None:
    model = load(UNKNOWN)
    ends = list(model.inputs.values()), list(model.outputs.values())
    exported = ht.onnx.export(ht.Executor(ends[1]), *ends, tmp_path / "m.onnx")
    assert_same_model(exported, proto(UNKNOWN))


SWISH = """g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1, 2, 3, 4}> {
    a = Mul (x, w)
    y = com.acme.Swish <beta = 2> (a)
}"""


def test_one_line_for_a_model_that_was_loaded_before(tmp_path: Path) -> None:
    model = load(SWISH)
    ht.onnx.register("com.acme", "Swish", lambda x, *, beta=1.0: x * torch.sigmoid(beta * x))
    w = torch.tensor([[1.0, 2], [3, 4]], requires_grad=True)
    y = torch.tensor(X) * w * torch.sigmoid(2 * torch.tensor(X) * w)
    y.sum().backward()
    result, gradient = run([model["y"], *ht.gradients(model["y"], [model["w"]])], x=X)
    np.testing.assert_allclose(result, y.detach(), rtol=1e-6)
    np.testing.assert_allclose(gradient, w.grad, rtol=1e-5)
    executor = ht.Executor([model["y"]])
    exported = ht.onnx.export(executor, model["x"], model["y"], tmp_path / "m.onnx")
    assert_same_model(exported, proto(SWISH))


def test_registering_again_replaces_and_versions_differ() -> None:
    ht.onnx.register("com.acme", "Swish", lambda x, *, beta: x + beta)
    assert run([load(SWISH, strict=True)["y"]], x=X)[0][0, 0] == 3
    ht.onnx.register("com.acme", "Swish", lambda x, *, beta: x + 2 * beta)
    assert run([load(SWISH)["y"]], x=X)[0][0, 0] == 5
    ht.onnx.register("com.acme", "Swish", lambda x, *, beta: x, since=3)
    ht.onnx.register("com.acme", "Swish", lambda x, *, beta: -x, since=4)
    assert run([load(SWISH)["y"]], x=X)[0][0, 0] == 1


def test_attributes_come_as_they_are() -> None:
    seen: dict[str, Any] = {}

    @ht.onnx.register("com.acme", "Seen")
    def look(x: Any, y: Any = None, *rest: Any, n: Any, default: Any = 7, **others: Any) -> Any:
        seen.update(others, y=y, n=n, rest=rest, default=default)
        return x, x + 1

    text = """g (float[2,2] x) => (float[2,2] b) {
        a, b = com.acme.Seen <n = 3, f = 1.5, s = "text", ns = [1, 2], fs = [0.5, 2.0],
            ss = ["a", "b"], t = float[2] {1, 2}, ty: type_proto = float[3]> (x, , x, x)
    }"""
    assert run([load(text)["b"]], x=X)[0][0, 0] == 2
    t = seen.pop("t")
    assert isinstance(t, torch.Tensor) and t.tolist() == [1, 2]
    rest = seen.pop("rest")
    assert len(rest) == 2 and str(seen.pop("ty")) == "float32[3]"
    assert seen == {
        "y": None, "n": 3, "default": 7, "f": 1.5, "s": "text", "ns": (1, 2), "fs": (0.5, 2.0),
        "ss": ("a", "b"),
    }  # fmt: skip


def test_graphs_are_functions() -> None:
    @ht.onnx.register("com.acme", "Twice")
    def twice(x: Any, *, body: Any) -> Any:
        (x,) = body(x)
        return body(x)

    text = """g (float[2,2] x, float[2,2] k) => (float[2,2] y) {
        y = com.acme.Twice <body = b (float[2,2] p) => (float[2,2] q) { q = Mul (p, k) }> (x)
    }"""
    model = load(text)
    y, gradient = run([model["y"], *ht.gradients(model["y"], [model["k"]])], x=X, k=X)
    np.testing.assert_allclose(y, X**3)
    np.testing.assert_allclose(gradient, 2 * X**2)


def test_annotations_make_it_a_kernel() -> None:
    @ht.onnx.register("com.acme", "Shifted", fixed=("by",))
    def shifted(x: Tensor, by: Ints, *, ctx: Context) -> Tensor:
        return torch.roll(x, by, tuple(range(len(by)))) * (2 if ctx.training else 1)

    text = """g (uint16[3] x) => (uint16[3] y) <int64[1] one = {1}> {
        y = com.acme.Shifted (x, one)
    }"""
    (y,) = run([load(text)["y"]], x=np.uint16([1, 2, 65535]))
    assert y.dtype == np.uint16 and y.tolist() == [65535, 1, 2]


def test_functions_of_autograd() -> None:
    class Reversed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return -grads[0]

    ht.onnx.register("com.acme", "Reversed", lambda x: Reversed.apply(x))
    model = load("g (float[2,2] x) => (float[2,2] y) { y = com.acme.Reversed (x) }")
    (gradient,) = run(ht.gradients(model["y"], [model["x"]]), x=X)
    assert (gradient == -1).all()


CALL = """g (float[2,2] x) => (float[2,2] y) { y = f.double (x) }
<domain: "f", opset_import: ["" : 21]> double (x) => (y) { y = Add (x, x) }"""


def test_it_goes_before_a_function_of_the_model(tmp_path: Path) -> None:
    model = load(CALL, strict=True)
    assert run([model["y"]], x=X)[0][0, 0] == 2
    ht.onnx.register("f", "double", lambda x: x * 20)
    executor = ht.Executor([model["y"]])
    assert executor.run(feed_dict={"x": X}, convert_to_numpy_ret_vals=True)[0][0, 0] == 20
    exported = ht.onnx.export(executor, model["x"], model["y"], tmp_path / "m.onnx")
    assert_same_model(exported, proto(CALL))


def test_graphs_built_by_hand(tmp_path: Path) -> None:
    ht.onnx.register("com.hand", "Scaled", lambda x, *, by, **rest: x * by)
    x = ht.Variable("x")
    y = ht.op.Scaled(ht.relu_op(x), by=2.5, names=["a", "b"], mixed=[1, 2.5], t=np.float32([1]))
    executor = ht.Executor([y])
    assert executor.run(feed_dict={x: [2.0]}, convert_to_numpy_ret_vals=True)[0] == [5]
    exported = ht.onnx.export(executor, x, y, tmp_path / "m.onnx")
    assert {entry.domain for entry in exported.opset_import} == {"", "com.hand"}
    (loaded,) = ht.onnx.load_onnx(exported).outputs.values()
    assert run([loaded], x=np.float32([2]))[0] == [5]
    assert {a.name: a.type for a in exported.graph.node[-1].attribute} == {
        "by": onnx.AttributeProto.FLOAT, "names": onnx.AttributeProto.STRINGS,
        "mixed": onnx.AttributeProto.FLOATS, "t": onnx.AttributeProto.TENSOR,
    }  # fmt: skip


def test_constants_do_not_fix_its_result() -> None:
    """A user's function may draw numbers: it is called in every run."""
    ht.onnx.register("com.acme", "Drawn", lambda shape: torch.rand(tuple(shape.tolist())))
    text = "g () => (float[2] y) <int64[1] s = {2}> { y = com.acme.Drawn (s) }"
    executor = ht.Executor([load(text)["y"]])
    first, second = (executor.run(convert_to_numpy_ret_vals=True)[0] for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, "A", torch.relu), "strings"),
        (("com.acme", "", torch.relu), "strings"),
        (("hetu", "A", lambda x: x), "hetu's own"),
        (("com.acme", "A", "relu"), "no function"),
        (("com.acme", "A", torch.sigmoid), "signature cannot be read.*lambda"),
        (("com.acme", "A", eval("lambda x, *, since=0: x")), None),
    ],
)
def test_wrong_calls(arguments: Any, message: str | None) -> None:
    if message is None:
        ht.onnx.register(*arguments)
        return
    with pytest.raises(UsageError, match=message):
        ht.onnx.register(*arguments)


def test_wrong_signatures() -> None:
    def annotated(x: "list[str]") -> Any: ...

    with pytest.raises(UsageError, match="hetu.ops.kinds"):
        ht.onnx.register("com.acme", "A", annotated)
    with pytest.raises(UsageError, match="'z' is no input"):
        ht.onnx.register("com.acme", "A", lambda x: x, fixed=("z",))
    with pytest.raises(UsageError, match="since"):
        ht.onnx.register("com.acme", "A", lambda x: x, since=0)


def test_wrong_use() -> None:
    ht.onnx.register("com.acme", "Number", lambda x: 3.0)
    ht.onnx.register("com.acme", "Raises", lambda x: x @ torch.ones(7))
    ht.onnx.register("com.acme", "Strict", lambda x: x)
    text = """g (float[2,2] x) => (float[2,2] y) {{ y = com.acme.{} (x) }}"""
    with pytest.raises(UsageError, match=r"Number-3 'y' on .*must return tensors"):
        run([load(text.format("Number"))["y"]], x=X)
    with pytest.raises(RunError, match=r"Raises-3 'y' on \(float32\[2, 2\]\)"):
        run([load(text.format("Raises"))["y"]], x=X)
    with pytest.raises(ModelError, match="unknown attribute 'k'"):
        run([load(text.format("Strict <k = 1>"))["y"]], x=X)
