"""Types, tensors and attributes between protobuf and the graph, both directions side by side."""

import math
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, Protocol, cast, get_args

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import numpy_helper

from hetu.errors import ModelError, UsageError, show
from hetu.ir import Attribute, SparseTensor, Tensor
from hetu.onnx.raw import check_raw_size, raw_pieces, read_raw
from hetu.types import (
    STRING,
    AttributeKind,
    Dim,
    DType,
    MapType,
    OpaqueType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
    dtype,
)


class TensorReader(Protocol):
    """Reads tensors whose data is not in their messages."""

    def __call__(self, proto: onnx.TensorProto, element: DType, /) -> np.ndarray:
        """The array of a tensor; what it contains may be read later."""
        ...

    def settle(self) -> None:
        """Have read what all arrays contain."""
        ...


class NoTensorReader:
    """Stands where the data of every tensor has to be in its message."""

    def __call__(self, proto: onnx.TensorProto, _: DType, /) -> np.ndarray:
        """Raise `ModelError`."""
        raise ModelError(f"the tensor {show(proto.name)} of a schema lies in another file")

    def settle(self) -> None:
        """There is nothing to read."""


def read_text(data: bytes) -> str:
    """Text of a file; bytes that are no UTF-8 survive the way back."""
    return data.decode("utf-8", "surrogateescape")


def write_text(text: str) -> bytes:
    """The inverse of `read_text`."""
    return text.encode("utf-8", "surrogateescape")


def read_metadata(entries: Iterable[onnx.StringStringEntryProto]) -> dict[str, str]:
    """Key-value pairs as a dict."""
    return {entry.key: entry.value for entry in entries} if entries else {}


def write_metadata(metadata: Mapping[str, str], entries: Any) -> None:
    """Append the pairs to a repeated field."""
    for key, value in metadata.items():
        entries.add(key=key, value=value)


def copies(messages: Iterable[Any]) -> tuple[Any, ...]:
    """Messages on their own: a part of a file's message keeps all of the file in memory."""
    return tuple(map(deepcopy, messages)) if messages else ()


def fill(proto: Any, **fields: str | int) -> Any:
    """Set the fields that are not empty: ONNX tells an absent field from an empty one."""
    for name, content in fields.items():
        if content:
            setattr(proto, name, content)
    return proto


def read_dtype(code: int) -> DType:
    """The element type of a code. Raises `ModelError` for one that ONNX does not have."""
    try:
        return dtype(code)
    except UsageError as error:
        raise ModelError(str(error)) from error


# Types ------------------------------------------------------------------------------------------


def read_type(proto: onnx.TypeProto) -> ValueType | None:
    """A value's type; None where the file gives none."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        return _read_tensor_type(
            getattr(proto, kind), kind == "sparse_tensor_type", proto.denotation
        )
    if kind == "sequence_type":
        return SequenceType(read_type(proto.sequence_type.elem_type), proto.denotation)
    if kind == "optional_type":
        return OptionalType(read_type(proto.optional_type.elem_type), proto.denotation)
    if kind == "map_type":
        key = read_dtype(proto.map_type.key_type)
        return MapType(key, read_type(proto.map_type.value_type), proto.denotation)
    if kind == "opaque_type":
        return OpaqueType(proto.opaque_type.domain, proto.opaque_type.name, proto.denotation)
    return None


def _read_tensor_type(proto: onnx.TypeProto.Tensor, sparse: bool, denotation: str) -> TensorType:
    element = read_dtype(proto.elem_type) if proto.elem_type else None
    if not proto.HasField("shape"):
        return TensorType(element, None, sparse, denotation)
    shape = tuple(_read_dim(dim) for dim in proto.shape.dim)
    denotations = tuple(dim.denotation for dim in proto.shape.dim)
    return TensorType(element, shape, sparse, denotation, denotations if any(denotations) else ())


def _read_dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    kind = dim.WhichOneof("value")
    return getattr(dim, kind) if kind else None


def write_type(value_type: ValueType | None) -> onnx.TypeProto:
    """The inverse of `read_type`."""
    proto = onnx.TypeProto()
    if value_type is None:
        return proto
    fill(proto, denotation=value_type.denotation)
    match value_type:
        case TensorType():
            kind = proto.sparse_tensor_type if value_type.sparse else proto.tensor_type
            _write_tensor_type(value_type, kind)
        case SequenceType(element):
            proto.sequence_type.elem_type.CopyFrom(write_type(element))
        case OptionalType(element):
            proto.optional_type.elem_type.CopyFrom(write_type(element))
        case MapType(key, element):
            proto.map_type.key_type = key.code
            proto.map_type.value_type.CopyFrom(write_type(element))
        case OpaqueType(domain, name):
            proto.opaque_type.SetInParent()
            fill(proto.opaque_type, domain=domain, name=name)
    return proto


def _write_tensor_type(tensor_type: TensorType, proto: Any) -> None:
    proto.elem_type = tensor_type.dtype.code if tensor_type.dtype else 0
    if tensor_type.shape is None:
        return
    proto.shape.SetInParent()
    for dim in tensor_type.shape:
        target = proto.shape.dim.add()
        if isinstance(dim, str):
            target.dim_param = dim
        elif dim is not None:
            target.dim_value = dim
    for target, denotation in zip(proto.shape.dim, tensor_type.dim_denotations, strict=False):
        fill(target, denotation=denotation)


def check_texts(proto: Message) -> None:
    """Raise `ModelError` where a text, at any depth, is no UTF-8: protobuf gives it as bytes."""
    pending = [proto]
    while pending:
        for field, content in pending.pop().ListFields():
            parts = content if field.is_repeated else [content]
            if field.type == field.TYPE_MESSAGE:
                pending.extend(parts)
            elif field.type == field.TYPE_STRING and any(isinstance(p, bytes) for p in parts):
                raise ModelError(f"{field.full_name} is no UTF-8: {show(repr(content))}")


# Tensors ----------------------------------------------------------------------------------------


def read_tensor(proto: onnx.TensorProto, read_external: TensorReader) -> Tensor:
    """A tensor of a file. Raises `ModelError` where its data does not fit its type and shape."""
    try:
        array = _read_array(proto, read_dtype(proto.data_type), read_external)
    except (ModelError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"tensor {show(proto.name)}: {error}") from error
    is_apart = proto.data_location == onnx.TensorProto.EXTERNAL
    return Tensor(
        array,
        proto.name,
        proto.doc_string,
        read_metadata(proto.metadata_props),
        packed=is_apart or proto.HasField("raw_data"),
        external=is_apart and bool(proto.external_data),
    )


def _read_array(proto: onnx.TensorProto, element: DType, read_external: TensorReader) -> np.ndarray:
    shape = tuple(proto.dims)
    if any(dim < 0 for dim in shape):
        raise ValueError(f"negative dimension in {list(shape)}")
    if proto.HasField("segment"):
        raise ValueError("it is a segment of a tensor, a form that ONNX has given up")
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        return read_external(proto, element)
    if element is STRING:
        texts = [read_text(data) for data in proto.string_data]
        return np.array(texts, dtype=object).reshape(shape)
    if not proto.HasField("raw_data"):
        return numpy_helper.to_array(proto)
    data = proto.raw_data
    check_raw_size(len(data), shape, element)
    return read_raw(data, element, shape)


def describe_tensor(tensor: Tensor, name: str | None = None) -> onnx.TensorProto:
    """A tensor in protobuf, all but its data."""
    proto = onnx.TensorProto(dims=tensor.shape, data_type=tensor.dtype.code)
    fill(proto, name=tensor.name if name is None else name, doc_string=tensor.doc)
    write_metadata(tensor.metadata, proto.metadata_props)
    return proto


def write_data(tensor: Tensor, proto: onnx.TensorProto) -> None:
    """Give a described tensor its data in the form, raw or typed, that the tensor came in."""
    array, element = tensor.read(), tensor.dtype
    if element is STRING:
        proto.string_data.extend(write_text(str(text)) for text in array.reshape(-1))
    elif tensor.packed:
        proto.raw_data = b"".join(raw_pieces(array, element))
    else:
        typed = onnx.helper.make_tensor("", element.code, array.shape, array.reshape(-1), raw=False)
        proto.MergeFrom(_data_only(typed))


def write_tensor(tensor: Tensor, name: str | None = None) -> onnx.TensorProto:
    """The inverse of `read_tensor`, with the data inside."""
    proto = describe_tensor(tensor, name)
    write_data(tensor, proto)
    return proto


def _data_only(proto: onnx.TensorProto) -> onnx.TensorProto:
    for field in ("dims", "data_type", "name"):
        proto.ClearField(field)
    return proto


def read_sparse(proto: onnx.SparseTensorProto, read_external: TensorReader) -> SparseTensor:
    """A sparse tensor in ONNX's COO form."""
    values = read_tensor(proto.values, read_external)
    indices = read_tensor(proto.indices, read_external)
    sparse = SparseTensor(values, indices, tuple(proto.dims))
    read_external.settle()
    fault = _fault(sparse)
    if fault:
        raise ModelError(f"sparse tensor {show(values.name)}: {fault}")
    return sparse


def _fault(sparse: SparseTensor) -> str | None:
    """What is wrong with a sparse tensor, found without its dense form, which may be huge."""
    values, indices, shape = sparse.values.array, sparse.indices.array, sparse.shape
    if any(dim < 0 for dim in shape):
        return f"negative dimension in {list(shape)}"
    if indices.dtype != np.int64:
        return f"its indices are {indices.dtype}, not int64"
    if values.ndim != 1 or indices.shape not in ((values.size,), (values.size, len(shape))):
        return f"{list(values.shape)} values have indices of shape {list(indices.shape)}"
    limits = math.prod(shape) if indices.ndim == 1 else shape
    if not np.all((indices >= 0) & (indices < limits)):
        return f"its indices lead out of its shape {list(shape)}"
    return None


def write_sparse(tensor: SparseTensor, name: str | None = None) -> onnx.SparseTensorProto:
    """The inverse of `read_sparse`."""
    proto = onnx.SparseTensorProto(dims=tensor.shape)
    proto.values.CopyFrom(write_tensor(tensor.values, name))
    proto.indices.CopyFrom(write_tensor(tensor.indices))
    return proto


# Attributes -------------------------------------------------------------------------------------

_SHORT_FIELDS = {"float": "f", "int": "i", "string": "s", "tensor": "t", "graph": "g", "type": "tp"}

_FIELDS: Mapping[str, str] = {
    kind: "type_protos" if kind == "types" else _SHORT_FIELDS.get(kind) or str(kind)
    for kind in get_args(AttributeKind)
}
_CODES: Mapping[str, int] = {
    kind: getattr(onnx.AttributeProto, kind.upper().replace("TYPE", "TYPE_PROTO"))
    for kind in get_args(AttributeKind)
}
_NUMBERS = frozenset({"float", "int", "floats", "ints"})
_KINDS = {code: kind for kind, code in _CODES.items()}


def read_attribute(
    proto: onnx.AttributeProto,
    read_external: TensorReader,
    read_graph: Callable[[onnx.GraphProto], Any],
) -> Attribute:
    """A node's attribute; `read_graph` reads what it holds of graphs."""
    if proto.ref_attr_name:
        kind = _KINDS.get(proto.type, "int")
        return Attribute(cast(AttributeKind, kind), None, proto.ref_attr_name, proto.doc_string)
    kind = _KINDS.get(proto.type) or _kind_by_content(proto)
    content = getattr(proto, _FIELDS[kind])
    if kind in _NUMBERS:
        value = tuple(content) if kind.endswith("s") else content
        return Attribute(cast(AttributeKind, kind), value, doc=proto.doc_string)
    readers: dict[str, Callable[[Any], Any]] = {
        "string": read_text,
        "tensor": lambda tensor: read_tensor(tensor, read_external),
        "sparse_tensor": lambda tensor: read_sparse(tensor, read_external),
        "graph": read_graph,
        "type": read_type,
    }
    read = readers[kind.removesuffix("s")]
    value = tuple(map(read, content)) if kind.endswith("s") else read(content)
    return Attribute(cast(AttributeKind, kind), value, doc=proto.doc_string)


def read_default(proto: onnx.AttributeProto) -> Attribute:
    """The default that a schema gives an attribute, with the data of its tensors inside."""
    return read_attribute(proto, NoTensorReader(), _no_graph)


def _no_graph(graph: onnx.GraphProto) -> None:
    raise ModelError(f"the default of an attribute is the graph {show(graph.name)}")


def _kind_by_content(proto: onnx.AttributeProto) -> str:
    """The kind of an attribute of an early file, which does not state it."""
    by_field = {field: kind for kind, field in _FIELDS.items()}
    filled = [field.name for field, _ in proto.ListFields() if field.name in by_field]
    if len(filled) != 1:
        raise ModelError(f"attribute {show(proto.name)} has no type and no single value")
    return by_field[filled[0]]


def write_attribute(
    name: str,
    attribute: Attribute,
    write_graph: Callable[[Any], onnx.GraphProto],
    write_tensor: Callable[[Tensor], onnx.TensorProto],
) -> onnx.AttributeProto:
    """The inverse of `read_attribute`."""
    proto = fill(onnx.AttributeProto(name=name), doc_string=attribute.doc)
    proto.type = cast(Any, _CODES[attribute.kind])
    if attribute.reference:
        proto.ref_attr_name = attribute.reference
        return proto
    writers: dict[str, Callable[[Any], Any]] = {
        "string": write_text,
        "tensor": write_tensor,
        "sparse_tensor": write_sparse,
        "graph": write_graph,
        "type": write_type,
    }
    field, value = _FIELDS[attribute.kind], attribute.value
    write = writers.get(attribute.kind.removesuffix("s"), lambda plain: plain)
    if attribute.kind.endswith("s"):
        getattr(proto, field).extend(map(write, value))
    elif attribute.kind in ("float", "int", "string"):
        setattr(proto, field, write(value))
    else:
        getattr(proto, field).CopyFrom(write(value))
    return proto
