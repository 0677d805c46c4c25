"""Directional derivatives of a graph in float64, by autograd and by central differences."""

from typing import Any

import numpy as np
import torch

from hetu.convert import to_torch
from hetu.ir import Graph, Value
from hetu.ops.kinds import Context
from hetu.ops.registry import HOST_KINDS, find
from hetu.passes.inline import inline
from hetu.passes.watch import watch
from hetu.runtime.compile import Compiler
from tests.support.float64 import in_float64

STEP = 1e-6


class Differentiable:
    """A graph as one function of its float inputs, in float64; other inputs stay as they are fed.

    So do floats that only say what a node does, such as the scales of Resize. The function's value
    is a random linear combination of the graph's float outputs.
    """

    def __init__(self, graph: Graph, feeds: list[Any]) -> None:
        graph = watch(in_float64(inline(graph)), is_differentiated=True)
        variables = [value for value in graph.initializers if not value.constant]
        self._context = Context(generator=torch.Generator())
        self._function = Compiler(self._context, {v: i for i, v in enumerate(variables)}).main(
            graph
        )
        self._parameters = [_doubled(to_torch(_array(value))) for value in variables]
        settings = _settings(graph)
        self._feeds = [_doubled(feed) for feed in feeds]
        self._varies = [
            _is_float(feed) and value not in settings
            for value, feed in zip(graph.inputs, self._feeds, strict=True)
        ]
        self._counts = [_is_continuous(value) for value in graph.outputs]
        self._weights: list[torch.Tensor] | None = None

    @property
    def inputs(self) -> list[torch.Tensor]:
        """The float inputs."""
        return [feed for feed, varies in zip(self._feeds, self._varies, strict=True) if varies]

    def __call__(self, inputs: list[torch.Tensor]) -> torch.Tensor | None:
        """The value; None where no output is a float that depends on a float input."""
        given = iter(inputs)
        feeds = [
            next(given) if varies else feed
            for feed, varies in zip(self._feeds, self._varies, strict=True)
        ]
        assert self._context.generator is not None
        self._context.generator.manual_seed(0)
        self._context.seeded.clear()
        outputs = zip(self._function(feeds, self._parameters), self._counts, strict=True)
        results = [result for result, counts in outputs if counts]
        floats = [result for result in _flat(results) if _is_float(result)]
        if self._weights is None:
            random = np.random.default_rng(0)
            self._weights = [torch.from_numpy(random.standard_normal(f.shape)) for f in floats]
        terms = [(f * w).sum() for f, w in zip(floats, self._weights, strict=True)]
        return torch.stack(terms).sum() if terms else None


def check_gradient(function: Differentiable, rtol: float = 1e-4) -> bool:
    """Compare both derivatives; False where there is nothing to differentiate.

    Where the function has a kink at its input, the derivative must lie between the one-sided ones.
    """
    points = [point.clone().requires_grad_() for point in function.inputs]
    value = function(points) if points else None
    if value is None or not value.requires_grad or not torch.isfinite(value):
        return False
    grads = torch.autograd.grad(value, points, allow_unused=True)
    random = np.random.default_rng(1)
    directions = [torch.from_numpy(random.choice([-1.0, 1.0], p.shape)) for p in points]
    directional = sum(
        float((g * d).sum()) for g, d in zip(grads, directions, strict=True) if g is not None
    )
    with torch.no_grad():
        after, before = (_moved(function, points, directions, sign) for sign in (STEP, -STEP))
    center = float(value.detach())
    right, left = (after - center) / STEP, (center - before) / STEP
    scale = max(1.0, abs(directional), abs(center))
    margin = rtol * scale + abs(right - left) / 2
    assert abs(directional - (right + left) / 2) <= margin, (
        f"autograd {directional}, differences {left} from the left, {right} from the right"
    )
    return True


def _moved(
    function: Differentiable,
    points: list[torch.Tensor],
    directions: list[torch.Tensor],
    step: float,
) -> float:
    moved = function([p.detach() + step * d for p, d in zip(points, directions, strict=True)])
    assert moved is not None
    return float(moved)


def _settings(graph: Graph) -> set[Value]:
    """Values that nodes take as numbers on the host: no gradient flows through those."""
    found = set()
    for node in graph.nodes:
        kernel = find(node.domain, node.op_type, node.version)
        for index, value in enumerate(node.inputs):
            parameter = kernel.input_at(index) if kernel else None
            if value is not None and parameter is not None and parameter.kind in HOST_KINDS:
                found.add(value)
    return found


def _is_continuous(value: Value | None) -> bool:
    """Whether an output may be one that moves with the inputs, and not codes of a quantization."""
    element = None if value is None else value.dtype
    return element is None or (element.is_float and element.bits >= 16)


def _array(value: Value) -> np.ndarray:
    return value.data.array  # pyright: ignore


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float64


def _doubled(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_doubled, value))
    is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.double() if is_float and value.dtype.itemsize > 1 else value


def _flat(values: Any) -> list[Any]:
    if isinstance(values, list | tuple):
        return [leaf for value in values for leaf in _flat(value)]
    return [values]
