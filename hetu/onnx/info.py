"""What is in a model, also where hetu cannot run it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import onnx

from hetu.onnx.array_reader import ArrayReader
from hetu.onnx.bodies import SchemaBodies
from hetu.onnx.external import ExternalReader
from hetu.onnx.nested import nested_nodes
from hetu.onnx.onnx2hetu import ModelSource, read_proto
from hetu.onnx.proto import read_metadata, read_type
from hetu.onnx.roles import Role, find_roles
from hetu.ops.registry import find
from hetu.progress import Progress
from hetu.types import short_domain


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's inputs and outputs (types as texts), operators and parameters.

    `operators` counts the nodes of each operator, in functions and bodies too; `unsupported` has
    those among them that hetu cannot run. `parameters` are the elements of all float initializers,
    `trainable` those that training changes by default.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    unsupported: Mapping[str, int]
    functions: tuple[str, ...]
    parameters: int
    trainable: int
    ir_version: int
    producer: str
    metadata: Mapping[str, str]


def inspect_model(source: ModelSource) -> ModelInfo:
    """Read what a model holds, without its weights' data.

    Raises `ModelError` for a file that is no model and `UsageError` for one that cannot be read.
    """
    proto, folder = read_proto(source)
    defaults = {tensor.name for tensor in proto.graph.initializer}
    with ArrayReader(Progress("reading")) as arrays:
        schemas = SchemaBodies(proto, ExternalReader(folder, arrays))
        operators, unsupported = _operators(proto, schemas)
    parameters, trainable = _parameters(proto)
    return ModelInfo(
        inputs=_types(info for info in proto.graph.input if info.name not in defaults),
        outputs=_types(proto.graph.output),
        opsets={entry.domain or "ai.onnx": entry.version for entry in proto.opset_import},
        operators=operators,
        unsupported=unsupported,
        functions=tuple(f"{f.domain}.{f.name}" for f in proto.functions),
        parameters=parameters,
        trainable=trainable,
        ir_version=proto.ir_version,
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        metadata=read_metadata(proto.metadata_props),
    )


def _types(infos: Iterable[onnx.ValueInfoProto]) -> dict[str, str]:
    return {info.name: str(read_type(info.type) or "?") for info in infos}


def _operators(
    proto: onnx.ModelProto, schemas: SchemaBodies
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How often each operator is used, and those of them that nothing here can run."""
    functions = {(f.domain, f.name, f.overload) for f in proto.functions}
    opsets = {short_domain(entry.domain): entry.version for entry in proto.opset_import}
    counts: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    graphs = [proto.graph.node, *(function.node for function in proto.functions)]
    for node in (node for nodes in graphs for node in nested_nodes(nodes)):
        if (node.domain, node.op_type, node.overload) in functions:
            continue
        domain = short_domain(node.domain)
        operator, version = f"{domain}.{node.op_type}".lstrip("."), opsets.get(domain, 1)
        counts[operator] += 1
        if find(domain, node.op_type, version) is None and schemas.find(node, version) is None:
            missing[f"{operator}-{version}"] += 1
    return dict(sorted(counts.items())), dict(sorted(missing.items()))


def _parameters(proto: onnx.ModelProto) -> tuple[int, int]:
    """The elements of all weights and state, and of what training changes."""
    roles = find_roles(proto, trainable=True)
    sizes = {tensor.name: prod(tensor.dims) for tensor in proto.graph.initializer}
    sizes |= {sparse.values.name: prod(sparse.dims) for sparse in proto.graph.sparse_initializer}
    total = sum(size for name, size in sizes.items() if roles[name] is not Role.CONSTANT)
    return total, sum(size for name, size in sizes.items() if roles[name] is Role.WEIGHT)
