"""The operator set versions of an exported model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import onnx

from hetu.api.opset import DEFAULT_OPSET
from hetu.errors import UnsupportedError, UsageError, show
from hetu.ir import Function, Graph, Model, Node, Value, describe, nested_graphs
from hetu.onnx.schemas import OnnxSchemas
from hetu.passes.opset import Conversion
from hetu.passes.opset.convert import OLDEST_TARGET
from hetu.types import ValueType, short_domain

ML = "ai.onnx.ml"

Opset = int | Mapping[str, int] | None
"""A version of ai.onnx, or versions by domain."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a model is made of, every node at the version that `opsets` has for its domain.

    `functions` leads from the old ones to the new; those that have none are no longer called.
    """

    opsets: Mapping[str, int]
    graph: Graph
    functions: Mapping[Function, Function]


def settle_versions(
    graph: Graph,
    functions: Sequence[Function],
    sources: Sequence[Model],
    opset: Opset,
    types: Mapping[Value, ValueType],
) -> Settled:
    """One version per domain: what `opset` asks for, else the files' or the newest of the nodes.

    A number is ai.onnx's; other domains keep their versions, which are independent of it.
    `types` are what is known of values beside what they say themselves. Raises `UnsupportedError`,
    listing all, where nodes have no form in the version they have to be at.
    """
    wanted = check_opset(opset)
    _check_against_schemas(graph)
    opsets = {**_opsets(graph, sources), **wanted}
    if _is_settled(graph, opsets) and all(
        _imports(f, opsets, sources, not wanted) for f in functions
    ):
        return Settled(opsets, graph, {function: function for function in functions})
    opsets.setdefault("", DEFAULT_OPSET)  # nodes beside those of other domains are made of ai.onnx
    conversion = Conversion(opsets, OnnxSchemas(types, graph.outputs))
    graph = conversion.graph(graph)
    pairs = [(function, conversion.function(function)) for function in functions]
    if conversion.failures:
        listed = "\n".join(f"  {failure}" for failure in conversion.failures)
        raise UnsupportedError(
            f"{len(conversion.failures)} nodes have no form in {_spelled(opsets, wanted)}; "
            f"export at another opset, or change them first:\n{listed}"
        )
    return Settled(opsets, graph, {old: new for old, new in pairs if new is not None})


def check_opset(opset: Opset) -> Mapping[str, int]:
    """The versions asked for by domain. Raises `UsageError` where one does not exist."""
    if opset is None:
        return {}
    wanted = {"": opset} if isinstance(opset, int) else opset
    for domain, version in wanted.items():
        newest = _newest().get(short_domain(domain), 0)
        if not 1 <= version <= newest:
            oldest = OLDEST_TARGET if not short_domain(domain) else 1
            raise UsageError(
                f"opset {version}: {domain or 'ai.onnx'} has opsets {oldest} to {newest} to export"
                if newest
                else f"opset of {show(domain)}: only those of ai.onnx and ai.onnx.ml are known"
            )
    return {short_domain(domain): version for domain, version in wanted.items()}


@cache
def _newest() -> Mapping[str, int]:
    """The newest opset of the domains that onnx says the steps of."""
    schemas = onnx.defs.get_all_schemas_with_history()
    ml = max(schema.since_version for schema in schemas if schema.domain == ML)
    return {"": onnx.defs.onnx_opset_version(), ML: ml}


def _spelled(opsets: Mapping[str, int], wanted: Mapping[str, int]) -> str:
    domains = dict.fromkeys(("", *wanted))
    return ", ".join(f"opset {opsets.get(d, 0)} of {d or 'ai.onnx'}" for d in domains)


def _is_settled(graph: Graph, opsets: Mapping[str, int]) -> bool:
    nodes = (node for inner in nested_graphs(graph) for node in inner.nodes)
    return all(
        node.version == opsets[short_domain(node.domain)] for node in nodes if not _is_call(node)
    )


def _imports(
    function: Function, opsets: Mapping[str, int], sources: Sequence[Model], is_free: bool
) -> bool:
    """Whether a function may stay as it is: its file's, where no other opset is asked for."""
    owner = next((model for model in sources if function in model.functions), None)
    is_file_kept = is_free and owner is not None and owner.opsets.get("") == opsets.get("")
    return is_file_kept or function.opsets.get("", opsets.get("")) == opsets.get("")


def _is_call(node: Node) -> bool:
    return node.function is not None and node.function.local


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
            domain = short_domain(node.domain)
            if domain not in from_files:
                opsets[domain] = max(node.version, opsets.get(domain, 0))
    if "hetu" in opsets:  # the bodies of hetu's operators are made of ai.onnx
        opsets.setdefault("", DEFAULT_OPSET)
    return opsets
