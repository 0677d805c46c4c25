"""Large graphs: no recursion along the depth, and cost linear in the number of nodes."""

import numpy as np
import onnx
from onnx import helper

from hetu.onnx import export, load_onnx
from hetu.runtime.executor import Executor

DEPTH = 100_000


def chain(length: int) -> onnx.ModelProto:
    info = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2])
        for name in ("v0", f"v{length}")
    ]
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]
    graph = helper.make_graph(nodes, "chain", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_deep_chain(tmp_path) -> None:
    proto = chain(DEPTH)
    model = load_onnx(proto)
    x, y = model
    executor = Executor([y])
    (result,) = executor.run(feed_dict={x: np.float32([-1, 2])}, convert_to_numpy_ret_vals=True)
    assert result.tolist() == [0, 2]
    exported = export(executor, [x], [y], tmp_path / "chain.onnx")
    assert exported.graph == proto.graph
