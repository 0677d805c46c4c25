"""Placement, on torch's meta device: it computes shapes only, but refuses to mix devices."""

import numpy as np
import torch

import hetu as ht
from hetu.ir import graph_of
from hetu.ops.kinds import Context
from hetu.runtime.compile import Compiler

META = torch.device("meta")


def run(outputs: list[ht.Value], feeds: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    graph = graph_of(outputs)
    variables = [value for value in graph.initializers if not value.constant]
    compiler = Compiler(Context(device=META), {v: i for i, v in enumerate(variables)})
    parameters = [torch.empty(v.shape, device=META) for v in variables]
    return compiler.main(graph)(feeds, parameters)


def test_shapes_stay_on_the_host_and_follow_where_they_meet_the_device() -> None:
    x = ht.Variable(name="x")
    w = ht.Variable(name="w", value=np.zeros((5, 3)))
    size = ht.op.Shape(x)
    doubled = ht.op.Mul(size, np.array([2, 1]))
    scaled = (x @ w) * ht.op.Cast(ht.op.Gather(size, 0), to="float32") + np.float32([1, 2, 3])
    tiled = ht.op.Expand(ht.op.Unsqueeze(scaled, axes=[0]), [2, 1, 1])
    host, device = run([doubled, tiled], [torch.empty(4, 5, device=META)])
    assert host.device.type == "cpu" and host.tolist() == [8, 5]
    assert device.device.type == "meta" and device.shape == (2, 4, 3)


def test_bodies_are_placed_node_by_node() -> None:
    x = ht.Variable(name="x")

    def step(i: ht.Value, going: ht.Value, state: ht.Value) -> list[ht.Value]:
        return [going, state + ht.op.Cast(i, to="float32"), state * np.float32([2])]

    body = ht.body(step, "int64", "bool", x)
    state, rows = ht.op.Loop(np.array(3), None, x, body=body, outputs=2)
    state, rows = run([state, rows], [torch.empty(1, device=META)])
    assert state.device.type == rows.device.type == "meta"
    assert rows.shape == (3, 1)
