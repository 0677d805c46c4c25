"""The operator set versions of an exported model."""

from collections.abc import Mapping, Sequence

import onnx

from hetu.api.opset import DEFAULT_OPSET
from hetu.errors import UnsupportedError
from hetu.ir import Graph, Model, nested_graphs
from hetu.passes.restamp import different_nodes, restamp
from hetu.runtime.bind import describe


def settle_versions(
    graph: Graph, sources: Sequence[Model], opset: int | None
) -> tuple[Mapping[str, int], Graph]:
    """One version per domain, and the graph with its nodes at these versions.

    `opset` is taken for ai.onnx where no node's meaning changes on the way there; else the version
    is the files' or the newest of the nodes. Raises `UnsupportedError` where nodes cannot agree.
    """
    opsets = _opsets(graph, sources)
    if opset is not None and "" in opsets and not different_nodes(graph, "", opset):
        opsets[""] = opset
    for domain, version in opsets.items():
        conflicts = different_nodes(graph, domain, version)
        if conflicts:
            raise UnsupportedError(
                f"{describe(conflicts[0])} and {len(conflicts) - 1} more nodes differ at "
                f"version {version}, which the rest of the graph is made for"
            )
        if any(
            n.domain == domain and n.version != version
            for g in nested_graphs(graph)
            for n in g.nodes
        ):
            graph = restamp(graph, domain, version)
    _check_against_schemas(graph)
    return opsets, graph


def _check_against_schemas(graph: Graph) -> None:
    """Refuse what a node made by hand has, but its operator has only in another version.

    One kernel serves several versions, so it says nothing about what a version lacks.
    """
    nodes = (node for inner in nested_graphs(graph) for node in inner.nodes)
    for node in nodes:
        is_from_file = any(value is not None and value.model is not None for value in node.outputs)
        if is_from_file or not onnx.defs.has(node.op_type, node.version, node.domain):
            continue
        schema = onnx.defs.get_schema(node.op_type, node.version, node.domain)
        unknown = sorted(node.attributes.keys() - schema.attributes.keys())
        if unknown:
            raise UnsupportedError(
                f"{describe(node)} has no attribute {unknown[0]!r} in this opset"
            )
        if len(node.inputs) > schema.max_input:
            raise UnsupportedError(
                f"{describe(node)} takes {schema.max_input} inputs in this opset, not "
                f"{len(node.inputs)}"
            )


def _opsets(graph: Graph, sources: Sequence[Model]) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for model in sources:
        for domain, version in model.opsets.items():
            opsets[domain] = max(version, opsets.get(domain, 0))
    from_files = set(opsets)
    for inner in nested_graphs(graph):
        for node in inner.nodes:
            domain = "" if node.domain == "ai.onnx" else node.domain
            if domain not in from_files:
                opsets[domain] = max(node.version, opsets.get(domain, 0))
    if "hetu" in opsets:  # the bodies of hetu's operators are made of ai.onnx
        opsets.setdefault("", DEFAULT_OPSET)
    return opsets


def convert_proto(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model at another opset of ai.onnx, by onnx's version converter.

    Raises `UnsupportedError` where it has no rule, or where its result is no valid model.
    """
    try:
        converted = onnx.version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise UnsupportedError(
            f"the graph cannot be converted to opset {opset}: {error}"
        ) from error
    return converted
