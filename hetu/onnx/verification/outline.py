"""A model without its weights: what can be known of it before it runs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import inliner, numpy_helper

from hetu.errors import HetuError
from hetu.onnx.nested import subgraphs
from hetu.onnx.proto import TensorReader, read_dtype, read_tensor

_SMALL = 1024
"""Initializers up to this many elements may be shapes or settings: their content is kept."""

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """A value as the input of a node at `index`, in the graph of `scope`."""

    scope: "Scope"
    node: onnx.NodeProto
    index: int


@dataclass(slots=True, eq=False)
class Scope:
    """A graph, the node of the graph around it that it is a body of, and who uses its values.

    `uses` are by name, those in bodies of its nodes included; `bodies` the scopes by node.
    """

    graph: onnx.GraphProto
    owner: Use | None = None
    uses: dict[str, list[Use]] = field(default_factory=lambda: defaultdict(list))
    bodies: list[tuple[onnx.NodeProto, "Scope"]] = field(default_factory=list)


class Outline:
    """The graphs of a model with its functions inlined and its large weights left out.

    `constants` are the small initializers and constants by name.
    """

    def __init__(self, model: onnx.ModelProto, external: TensorReader) -> None:
        self.model = _inlined(_without_weights(model, external))
        self.main = _scope(self.model.graph, None)
        self.constants = dict(_constants(self.model.graph))

    def version(self, domain: str) -> int:
        """The operator set version of a domain."""
        aliases = ("", "ai.onnx") if domain in ("", "ai.onnx") else (domain,)
        return next((e.version for e in self.model.opset_import if e.domain in aliases), 1)

    def infer(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, onnx.TypeProto]:
        """The types of all values, as far as onnx can tell, where inputs have these shapes."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for info in model.graph.input:
            if info.name in shapes:
                _set_shape(info.type.tensor_type, shapes[info.name])
        with suppress(onnx.shape_inference.InferenceError):  # what it cannot tell stays unknown
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        return dict(_types(model.graph))


def _without_weights(model: onnx.ModelProto, external: TensorReader) -> onnx.ModelProto:
    outline = onnx.ModelProto(
        ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions
    )
    graph = model.graph
    outline.graph.CopyFrom(
        onnx.GraphProto(
            name=graph.name,
            input=graph.input,
            output=graph.output,
            value_info=graph.value_info,
            node=graph.node,
            initializer=[_light(tensor, external) for tensor in graph.initializer],
        )
    )
    for sparse in graph.sparse_initializer:
        outline.graph.initializer.append(
            onnx.TensorProto(
                name=sparse.values.name, data_type=sparse.values.data_type, dims=sparse.dims
            )
        )
    return outline


def _light(tensor: onnx.TensorProto, external: TensorReader) -> onnx.TensorProto:
    """A tensor with its data, if it is small, in the file itself."""
    bare = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    if np.prod(tensor.dims, dtype=np.float64) > _SMALL:
        return bare
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return tensor
    try:
        return numpy_helper.from_array(read_tensor(tensor, external).array, tensor.name)
    except HetuError:
        return bare


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    return inliner.inline_local_functions(model) if model.functions else model


def _scope(graph: onnx.GraphProto, owner: Use | None) -> Scope:
    scope = Scope(graph, owner)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name:
                scope.uses[name].append(Use(scope, node, index))
        for inner in subgraphs(node):
            body = _scope(inner, Use(scope, node, 0))
            scope.bodies.append((node, body))
            defined = {info.name for info in inner.input} | {
                o for n in inner.node for o in n.output
            }
            for name, uses in body.uses.items():
                if name not in defined:
                    scope.uses[name].extend(uses)
    return scope


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    """Small constants; a scalar's cast is one too."""
    for tensor in graph.initializer:
        if np.prod(tensor.dims, dtype=np.float64) <= _SMALL:
            yield tensor.name, _array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute:
            array = _constant(onnx.helper.get_attribute_value(node.attribute[0]))
            if array is not None and array.size <= _SMALL:
                yield node.output[0], array
        for inner in subgraphs(node):
            yield from _constants(inner)


def _array(tensor: onnx.TensorProto) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError):  # its data was left out
        return np.zeros(0, read_dtype(tensor.data_type).numpy)


def _constant(content: Any) -> np.ndarray | None:
    if isinstance(content, onnx.TensorProto):
        return _array(content)
    return None if isinstance(content, onnx.SparseTensorProto) else np.asarray(content)


def _set_shape(tensor_type: Any, shape: Sequence[int]) -> None:
    tensor_type.ClearField("shape")
    tensor_type.shape.SetInParent()
    for size in shape:
        tensor_type.shape.dim.add().dim_value = size


def _types(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TypeProto]]:
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.name, info.type
    for tensor in graph.initializer:
        yield tensor.name, onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _types(inner)
