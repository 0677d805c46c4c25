"""Models for training as models for inference."""

from collections.abc import Iterable

import onnx

from hetu.onnx.nested import subgraphs
from hetu.types import short_domain

Scope = onnx.GraphProto | onnx.FunctionProto

_TRAINING_MODE = {
    ("", "Dropout"): 2,
    ("com.microsoft", "BiasDropout"): 4,
    ("com.microsoft", "BitmaskDropout"): 2,
    ("com.microsoft", "BitmaskBiasDropout"): 4,
}
"""Where the operators have the input that says that they are on."""

_STATES_TEST = 7
"""Until this version of ai.onnx, dropout is on unless the attribute `is_test` is set."""


def without_dropout(model: onnx.ModelProto) -> None:
    """Let dropout be off, whatever a model says."""
    for scope, version in _scopes(model):
        for node in scope.node:
            operator = short_domain(node.domain), node.op_type
            if operator in _TRAINING_MODE:
                del node.input[_TRAINING_MODE[operator] :]
            if operator == ("", "Dropout") and version < _STATES_TEST:
                _set(node, "is_test", 1)


def without_training(model: onnx.ModelProto) -> None:
    """Let dropout be off, and normalizations of batches use the running statistics."""
    without_dropout(model)
    for scope, _ in _scopes(model):
        nodes = [new for node in scope.node for new in (node, *_use_statistics(node))]
        if len(nodes) > len(scope.node):
            del scope.node[:]
            scope.node.extend(nodes)


def _use_statistics(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Let a node normalize by its running statistics; what makes its other outputs of them."""
    if node.op_type != "BatchNormalization" or short_domain(node.domain):
        return []
    named = [(position, name) for position, name in enumerate(node.output) if position and name]
    del node.output[1:]
    if any(attribute.name == "training_mode" for attribute in node.attribute):
        _set(node, "training_mode", 0)
    mean, var = node.input[3:5]
    return [
        onnx.helper.make_node("Identity", [mean if position % 2 else var], [name])
        for position, name in named
    ]


def _set(node: onnx.NodeProto, name: str, number: int) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, number)])


def _scopes(model: onnx.ModelProto) -> list[tuple[Scope, int]]:
    """Graphs and bodies of functions with their version of ai.onnx, inner ones first."""
    found: list[tuple[Scope, int]] = [(model.graph, _version(model.opset_import))]
    found += [(function, _version(function.opset_import)) for function in model.functions]
    for scope, version in found:  # which grows meanwhile
        found += [(graph, version) for node in scope.node for graph in subgraphs(node)]
    return found[::-1]


def _version(opsets: Iterable[onnx.OperatorSetIdProto]) -> int:
    return next((o.version for o in opsets if not short_domain(o.domain)), 1)
