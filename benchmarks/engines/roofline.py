"""No engine: what the machine does at best, for a limit to set the figures beside."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

SIZES = (256, 512, 1024, 2048)
COPIED = 256 << 20
SECONDS = 0.5


class Engine:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.threads = threads

    def peaks(self) -> dict[str, float]:
        """The most operations a second, in products of matrices, and bytes a second, in a copy."""
        with torch.inference_mode():
            makers = _matmul, _prepacked, partial(_session, self.threads)
            products = [_product(size, make) for size in SIZES for make in makers]
            return {"flops": max(products), "bytes": _copy()}


def _product(size: int, make: Callable[[torch.Tensor, torch.Tensor], Callable]) -> float:
    return 2 * size**3 / _fastest(make(torch.rand(size, size), torch.rand(size, size)))


def _matmul(x: torch.Tensor, w: torch.Tensor) -> Callable:
    result = torch.empty_like(x)
    return lambda: torch.mm(x, w, out=result)


def _prepacked(x: torch.Tensor, w: torch.Tensor) -> Callable:
    """oneDNN's product with a weight in the layout of its own choice."""
    packed = torch.ops.mkldnn._reorder_linear_weight(w, x.shape[0])
    return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def _session(threads: int, x: torch.Tensor, w: torch.Tensor) -> Callable:
    """ONNX Runtime's product."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    weight = numpy_helper.from_array(w.numpy(), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return partial(session.run, None, {"x": x.numpy()})


def _copy() -> float:
    """Bytes read and written."""
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source)
    return 2 * COPIED / _fastest(lambda: target.copy_(source))


def _fastest(call: Callable) -> float:
    times: list[float] = []
    while sum(times) < SECONDS:
        begin = perf_counter()
        call()
        times.append(perf_counter() - begin)
    return min(times)
