"""Weights that plans have packed let their memory go, and come back when anything asks for them."""

import copy
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu import onednn, pages
from hetu.ir import Tensor
from hetu.runtime import plan

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library packs")

SIZE = 320


def random(*shape: int) -> np.ndarray:
    """Numbers with all that is special among them: they have to come back bit by bit."""
    array = np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32) / 16
    array.reshape(-1)[:3] = -0.0, 1e-41, -1e-45
    return array


def model(nodes: list[onnx.NodeProto], x: tuple[object, ...], **arrays: np.ndarray):
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def product() -> onnx.ModelProto:
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], (None, SIZE), w=random(SIZE, 512))


def turned_product() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    return model(nodes, (None, SIZE), w=random(512, SIZE))


def gemm() -> onnx.ModelProto:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    return model([node], (None, SIZE), w=random(512, SIZE), b=random(512))


def joined_products() -> onnx.ModelProto:
    """Products of one input, which one product computes."""
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"]) for i in range(3)]
    nodes.append(helper.make_node("Concat", ["y0", "y2", "y1"], ["y"], axis=-1))
    weights = {f"w{i}": random(SIZE, SIZE) + np.float32(i) for i in range(3)}
    return model(nodes, (None, SIZE), **weights)


def convolution(op_type: str = "Conv", **attributes: object) -> onnx.ModelProto:
    weight = random(*attributes.pop("shape"))
    inputs = weight.shape[0] if op_type != "Conv" else weight.shape[1] * attributes.get("group", 1)
    node = helper.make_node(op_type, ["x", "w"], ["y"], **attributes)
    return model([node], (None, inputs, *(12,) * (weight.ndim - 2)), w=weight)


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "product": product,
    "turned product": turned_product,
    "gemm": gemm,
    "joined products": joined_products,
    "single pixels": lambda: convolution(shape=(96, 80, 1, 1)),
    "odd channels": lambda: convolution(shape=(67, 35, 3, 3)),
    "strides": lambda: convolution(shape=(64, 48, 3, 3), strides=[2, 2]),
    "groups": lambda: convolution(shape=(64, 24, 3, 3), group=2),
    "each channel": lambda: convolution(shape=(72, 1, 3, 3), group=72),
    "sequence": lambda: convolution(shape=(48, 32, 5)),
    "volume": lambda: convolution(shape=(32, 16, 3, 3, 3)),
    "transposed": lambda: convolution("ConvTranspose", shape=(48, 40, 2, 2), strides=[2, 2]),
    "transposed groups": lambda: convolution("ConvTranspose", shape=(48, 20, 2, 2), group=2),
}


def feeds(proto: onnx.ModelProto, batch: int = 5) -> dict[str, np.ndarray]:
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    generator = np.random.default_rng(batch)
    return {"x": generator.normal(size=(batch, *shape[1:])).astype(np.float32)}


def arrays(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def references(loaded: ht.onnx.LoadedModel) -> dict[str, weakref.ref]:
    """What tells whether the arrays of the matrices and kernels are still there."""
    data = {name: value.data for name, value in loaded.variables.items()}
    return {name: weakref.ref(tensor.array) for name, tensor in data.items() if tensor.shape[1:]}


def executor_of(loaded: ht.onnx.LoadedModel, **options: object) -> ht.Executor:
    return ht.Executor(list(loaded.outputs.values()), **options)


def assert_runs(executor: ht.Executor, proto: onnx.ModelProto, batch: int = 5) -> None:
    given = feeds(proto, batch)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)
    (actual,) = executor.run(feed_dict=given, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)


def assert_same_bits(actual: np.ndarray, wanted: np.ndarray) -> None:
    assert actual.dtype == wanted.dtype and actual.shape == wanted.shape
    assert actual.tobytes() == wanted.tobytes()


IN_ROWS = (turned_product, gemm)
"""Their weights lie in rows, as products want them without vectors of 512 bits: they stay."""


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_memory_goes_and_comes_back(make: Callable[[], onnx.ModelProto]) -> None:
    is_packed = isinstance(onednn.pack_linear(torch.zeros(SIZE, SIZE), 16), onednn.Packed)
    if make in IN_ROWS and not is_packed:
        pytest.skip("weights are not packed where products read them as they lie")
    proto = make()
    loaded = ht.onnx.load_onnx(proto)
    held = references(loaded)
    executor = executor_of(loaded)
    assert_runs(executor, proto)
    assert not any(reference() is not None for reference in held.values())
    for name, array in arrays(proto).items():
        tensor = loaded.variables[name].data
        assert tensor.shape == array.shape and tensor.dtype.numpy == array.dtype
        assert_same_bits(tensor.array, array)
    assert_runs(executor, proto)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_other_batches_and_threads(make: Callable[[], onnx.ModelProto]) -> None:
    proto = make()
    executor = executor_of(ht.onnx.load_onnx(proto))
    threads = torch.get_num_threads()
    try:
        for batch in (5, 1, 5, 16):
            assert_runs(executor, proto, batch)
        torch.set_num_threads(3 - min(threads, 2))
        assert_runs(executor, proto, 5)
        assert_runs(executor, proto, 1)
    finally:
        torch.set_num_threads(threads)
    for name, array in executor.state_dict().items():
        assert_same_bits(array, arrays(proto)[name])


def test_export_after_inference(tmp_path: Path) -> None:
    proto = joined_products()
    loaded = ht.onnx.load_onnx(proto)
    executor = executor_of(loaded)
    assert_runs(executor, proto)
    inputs, outputs = list(loaded.inputs.values()), list(loaded.outputs.values())
    ht.onnx.export(executor, inputs, outputs, tmp_path / "model.onnx")
    written = arrays(onnx.load(tmp_path / "model.onnx"))
    for name, array in arrays(proto).items():
        assert_same_bits(written[name], array)


def test_training_after_inference() -> None:
    proto = product()
    loaded = ht.onnx.load_onnx(proto)
    first = executor_of(loaded)
    assert_runs(first, proto)
    (y,) = loaded.outputs.values()
    step = ht.optim.SGDOptimizer(1.0).minimize(ht.op.ReduceSum(y))
    executor = ht.Executor({"validate": [y], "train": [step]})
    held = references(loaded)
    assert_runs_validation(executor, proto, arrays(proto)["w"])
    assert held["w"]() is not None
    given = feeds(proto)
    executor.run("train", feed_dict=given)
    trained = arrays(proto)["w"] - given["x"].sum(0)[:, None]
    assert_runs_validation(executor, proto, trained)
    assert_runs(first, proto)


def assert_runs_validation(executor: ht.Executor, proto: onnx.ModelProto, w: np.ndarray) -> None:
    given = feeds(proto)
    (actual,) = executor.run("validate", feed_dict=given, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, given["x"] @ w, rtol=1e-3, atol=1e-3)


def test_gradients_after_inference() -> None:
    proto = product()
    loaded = ht.onnx.load_onnx(proto)
    (y,), w = loaded.outputs.values(), loaded.variables["w"]
    (gradient,) = ht.gradients(ht.op.ReduceSum(y), [w])
    executor = ht.Executor({"default": [y], "gradient": [gradient]})
    assert_runs(executor, proto)
    given = feeds(proto)
    (actual,) = executor.run("gradient", feed_dict=given, convert_to_numpy_ret_vals=True)
    wanted = np.repeat(given["x"].sum(0)[:, None], 512, 1)
    np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-5)
    assert_runs(executor, proto)


def test_values_fed_in_the_place_of_weights() -> None:
    proto = joined_products()
    executor = executor_of(ht.onnx.load_onnx(proto))
    assert_runs(executor, proto)
    given, weights = feeds(proto), arrays(proto)
    other = weights["w1"] + 1
    (actual,) = executor.run(feed_dict={**given, "w1": other}, convert_to_numpy_ret_vals=True)
    wanted = [given["x"] @ w for w in (weights["w0"], weights["w2"], other)]
    np.testing.assert_allclose(actual, np.concatenate(wanted, -1), rtol=1e-4, atol=1e-3)
    assert_runs(executor, proto)


def test_values_loaded_over_weights() -> None:
    executor = executor_of(ht.onnx.load_onnx(product()))
    assert_runs(executor, product())
    other = random(SIZE, 512) + 1
    executor.load_dict({"w": other})
    given = feeds(product())
    (actual,) = executor.run(feed_dict=given, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, given["x"] @ other, rtol=1e-4, atol=1e-3)


def test_weights_that_something_else_needs_stay() -> None:
    nodes = [
        helper.make_node("Gather", ["w", "at"], ["row"]),
        helper.make_node("Add", ["x", "row"], ["z"]),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]
    proto = model(nodes, (None, SIZE), w=random(SIZE, SIZE), at=np.array([2]))
    loaded = ht.onnx.load_onnx(proto)
    held = references(loaded)
    executor = executor_of(loaded)
    assert_runs(executor, proto)
    assert held["w"]() is not None


def test_tensors_that_were_handed_out_stay() -> None:
    loaded = ht.onnx.load_onnx(product())
    executor = executor_of(loaded)
    tensor = executor.store[loaded.variables["w"]]
    assert_runs(executor, product())
    assert_same_bits(tensor.numpy(), arrays(product())["w"])


def test_unoptimized_runs_of_the_same_model() -> None:
    proto = product()
    loaded = ht.onnx.load_onnx(proto)
    assert_runs(executor_of(loaded), proto)
    assert_runs(executor_of(loaded, optimize=False), proto)


def test_runs_in_several_threads() -> None:
    proto = joined_products()
    for _ in range(5):
        loaded = ht.onnx.load_onnx(proto)
        executors = [executor_of(loaded) for _ in range(2)] * 2
        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(assert_runs, e, proto, i + 1) for i, e in enumerate(executors)]
        for run in runs:
            run.result()


def test_weights_too_large_to_be_kept_twice_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_COPIED_BYTES", 0)
    proto = product()
    loaded = ht.onnx.load_onnx(proto)
    held = references(loaded)
    executor = executor_of(loaded)
    for batch in (1, 5, 1, 16):
        assert_runs(executor, proto, batch)
        assert held["w"]() is None
    assert_same_bits(executor.state_dict()["w"], arrays(proto)["w"])
    assert_runs(executor, proto, 3)


def test_weights_too_large_to_be_kept_twice_that_train_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "MAX_COPIED_BYTES", 0)
    loaded = ht.onnx.load_onnx(product())
    (y,) = loaded.outputs.values()
    step = ht.optim.SGDOptimizer(1.0).minimize(ht.op.ReduceSum(y))
    executor = ht.Executor({"validate": [y], "train": [step]})
    held = references(loaded)
    assert_runs_validation(executor, product(), arrays(product())["w"])
    assert held["w"]() is not None


def test_an_array_is_kept_only_where_it_stays_in_use() -> None:
    made = []

    def make() -> np.ndarray:
        made.append(random(4, 3))
        return made[-1]

    tensor = Tensor(random(4, 3))
    tensor.give_up(make)
    assert tensor.shape == (4, 3) and not made
    assert tensor.read() is made[0] and tensor.read() is made[1]
    assert tensor.array is made[2] and tensor.array is made[2] and tensor.read() is made[2]


def test_copies_of_a_tensor_have_the_array() -> None:
    array = random(4, 3)
    for copied in (copy.deepcopy, lambda tensor: pickle.loads(pickle.dumps(tensor))):
        tensor = Tensor(array, "w", doc="weights", packed=False)
        tensor.give_up(array.copy)
        made = copied(tensor)
        assert_same_bits(made.array, array)
        assert (made.name, made.doc, made.packed, made.external) == ("w", "weights", False, False)


def test_memory_is_used_again() -> None:
    nbytes = 1 << 20
    with pages.used_again():
        first, second, third = (pages.empty(nbytes) for _ in range(3))
        places = sorted(memory.ctypes.data for memory in (first, second, third))
        del first, second, third
        whole = pages.empty(2 * nbytes)
        assert whole.ctypes.data in places
        rest = pages.empty(nbytes)
        whole[:], rest[:] = 1, 2
        assert rest.ctypes.data in places
        assert whole.min() == whole.max() == 1
    del whole, rest
    apart = pages.empty(nbytes)
    assert not apart.any()


def test_memory_of_any_size() -> None:
    for nbytes in (0, 1, 4096, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, (1 << 20) + 4097):
        memory = pages.empty(nbytes)
        assert memory.nbytes == nbytes
        memory[:] = 7
        assert memory.sum() == 7 * nbytes
    with pytest.raises(MemoryError):
        pages.reserve(1 << 60)
