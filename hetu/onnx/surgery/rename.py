"""Other names for the values of a loaded model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import onnx

from hetu.errors import UsageError, show
from hetu.ir import Graph, Model, Value, graph_values, nested_graphs, remade
from hetu.onnx.onnx2hetu import LoadedModel


def rename(model: LoadedModel, names: Mapping[str, str]) -> LoadedModel:
    """The model with other names for some of its values: inputs, outputs, weights, inner ones.

    `names` maps old names to new ones. The model given stays as it is; the new one has variables of
    its own. Raises `UsageError` for a name that the model does not have, or has already.
    """
    source = model.ir
    assert source.graph is not None
    _check(source, source.graph, names)
    copy = replace(source)
    graph = remade(source.graph, lambda value: _renamed(value, names, copy))
    copy.graph = replace(graph, carried=tuple(_annotation(a, names) for a in graph.carried or ()))
    return LoadedModel(copy)


def _renamed(value: Value, names: Mapping[str, str], model: Model) -> Value:
    name = names.get(value.name, value.name)
    owner = model if value.model is not None else None
    return replace(value, name=name, model=owner)


def _check(model: Model, graph: Graph, names: Mapping[str, str]) -> None:
    outer = {value.name for value in graph_values(graph)}
    everywhere = {v.name for inner in nested_graphs(graph) for v in graph_values(inner)}
    kept = everywhere - names.keys()
    for old, new in names.items():
        if old not in outer:
            raise UsageError(f"rename: the model has no value called {show(old)}")
        if not isinstance(new, str) or not new:
            raise UsageError(f"rename: {show(old)} cannot be called {show(new)}: not a name")
        if new in kept or list(names.values()).count(new) > 1:
            raise UsageError(f"rename: {show(new)} would be the name of two values")
    referred = names.keys() & set(_names_in_training(model))
    if referred:
        raise UsageError(f"rename: the model's training_info refers to {show(min(referred))}")


def _names_in_training(model: Model) -> Iterator[str]:
    """The names that a model's training_info uses; some are of the main graph."""
    for info in (model.carried or {}).get("training_info", ()):
        for graph in (info.initialization, info.algorithm):
            yield from (name for node in graph.node for name in node.input)
        for binding in (*info.initialization_binding, *info.update_binding):
            yield from (binding.key, binding.value)


def _annotation(
    annotation: onnx.TensorAnnotation, names: Mapping[str, str]
) -> onnx.TensorAnnotation:
    copy = onnx.TensorAnnotation()
    copy.CopyFrom(annotation)
    copy.tensor_name = names.get(copy.tensor_name, copy.tensor_name)
    for entry in copy.quant_parameter_tensor_names:
        entry.value = names.get(entry.value, entry.value)
    return copy
