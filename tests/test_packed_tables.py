"""Tables that are a product's weight, too, in inference: ONNX Runtime's results."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

import hetu as ht
from hetu import onednn
from hetu.errors import RunError
from hetu.ops import native
from hetu.passes import tied

ROWS, WIDTH = 131, 37

needs_library = pytest.mark.skipif(not onednn.is_available(), reason="weights are not packed")


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tied, "LEAST_PACKED", 1)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


TABLE = random(ROWS, WIDTH)
FEEDS = {
    "i": np.array([[0, 3, 3], [-1, 64, -ROWS]]), "j": np.array([5, 130, 63]),
    "h": random(4, WIDTH), "one": random(1, WIDTH),
}  # fmt: skip
PRODUCTS = {
    "MatMul": "s = Transpose<perm = [1, 0]>(t) y = MatMul(h, s)",
    "Gemm": "y = Gemm<transB = 1>(h, t)",
}


def proto_of(nodes: str, results: str) -> onnx.ModelProto:
    proto = parser.parse_model(f"""
    <ir_version: 8, opset_import: ["": 17]>
    g (int64[2, 3] i, int64[3] j, float[4, {WIDTH}] h, float[1, {WIDTH}] one)
        => ({", ".join(f"float[] {name}" for name in results.split())}) {{ {nodes} }}
    """)
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(TABLE, "t"))
    return proto


def check(nodes: str, results: str = "y r") -> tuple[Any, ht.Executor]:
    """Two runs of a model, and the model and the executor after them."""
    proto = proto_of(nodes, results)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    wanted = session.run(None, FEEDS)
    model = ht.onnx.load_onnx(proto)
    executor = ht.Executor(list(model.outputs.values()))
    for _ in range(2):
        found = executor.run(feed_dict=FEEDS, convert_to_numpy_ret_vals=True)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    return model, executor


def notes(executor: ht.Executor) -> int:
    return sum(note.fusion == "packed table" for note in executor.explain())


@needs_library
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("axis", ["", "<axis = 0>", "<axis = -2>"])
@pytest.mark.parametrize("is_first", [True, False])
def test_look_ups_beside_a_product(product: str, axis: str, is_first: bool) -> None:
    nodes = f"r = Gather{axis}(t, i)", PRODUCTS[product]
    _, executor = check(" ".join(nodes if is_first else nodes[::-1]))
    assert notes(executor) == 1


@needs_library
def test_several_look_ups_around_the_product() -> None:
    nodes = f"a = Gather(t, i) {PRODUCTS['Gemm']} b = Gather(t, j) r = Add(a, b)"
    _, executor = check(nodes)
    assert notes(executor) == 2


@needs_library
def test_indices_that_the_product_decides() -> None:
    nodes = f"{PRODUCTS['Gemm']} best = ArgMax<axis = 1, keepdims = 0>(y) r = Gather(t, best)"
    _, executor = check(nodes)
    assert notes(executor) == 1


@needs_library
def test_the_product_of_one_row() -> None:
    _, executor = check("y = Gemm<transB = 1>(one, t) r = Gather(t, i)")
    assert notes(executor) == 1


@pytest.mark.parametrize(
    ("nodes", "results"),
    [
        ("r = Gather(t, i) y = Identity(h)", "y r"),
        (f"r = Gather<axis = 1>(t, i) {PRODUCTS['Gemm']}".replace("(t, i)", "(t, j0)"), "y r"),
        (f"r = Gather(t, i) {PRODUCTS['Gemm']} z = Tanh(t)", "y r z"),
        (f"r = Gather(t, i) {PRODUCTS['Gemm']} z = Gemm<transB = 1>(one, t)", "y r z"),
        ("r = Gather(t, i) u = Gather(t, j) y = Gemm<transB = 1>(u, u)", "y r"),
    ],
)
def test_other_uses(nodes: str, results: str) -> None:
    few = "j0 = Constant<value_ints = [0, 36, 5]>()"
    _, executor = check(f"{few} {nodes}", results)
    assert notes(executor) == 0


@needs_library
def test_the_table_is_kept_once_and_there_for_who_asks(tmp_path: Path) -> None:
    model, executor = check(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    # where products read weights as they lie, the table is one of them itself
    is_packed = isinstance(onednn.pack_linear(torch.from_numpy(TABLE), 16), onednn.Packed)
    wanted = {executor.store.positions[model.variables["t"]]} if is_packed else set()
    assert executor.store._given_up == wanted
    ht.onnx.export(executor, list(model.inputs.values()), list(model.outputs.values()),
                   str(tmp_path / "again.onnx"))  # fmt: skip
    (stored,) = onnx.load(tmp_path / "again.onnx").graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored), TABLE)
    np.testing.assert_array_equal(executor.state_dict()["t"], TABLE)
    executor.load_dict({"t": -TABLE})
    found = executor.run(feed_dict=FEEDS, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(found[1], -TABLE[FEEDS["i"]])


@pytest.mark.parametrize("index", [ROWS, -ROWS - 1])
def test_indices_outside_of_the_table(index: int) -> None:
    _, executor = check(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    with pytest.raises(RunError, match="'r'"):
        executor.run(feed_dict={**FEEDS, "i": np.full((2, 3), index)})


@needs_library
@settings(deadline=None, max_examples=60, derandomize=True)
@given(rows=st.integers(1, 300), width=st.integers(1, 200), is_row=st.booleans(), data=st.data())
def test_rows_of_packed_weights(rows: int, width: int, is_row: bool, data: st.DataObject) -> None:
    table = torch.from_numpy(random(rows, width))
    packed = onednn.pack_row(table) if is_row else onednn.pack_linear(table, 16)
    indices = data.draw(st.lists(st.integers(-rows, rows - 1), max_size=5))
    numbers = torch.tensor(indices, dtype=torch.int64)
    assert torch.equal(native.table_rows(packed, numbers), table[numbers])
