"""Types that a version does not take yet: computed in a wider one that holds all their values."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from hetu.ir import Node, Value
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.schema import Formal, Schemas, Signature
from hetu.types import DType, dtype

WIDER: Mapping[str, Sequence[str]] = {
    "bool": ("uint8", "int32"),
    "int8": ("int32", "int64", "float32"),
    "uint8": ("int32", "int64", "float32"),
    "int16": ("int32", "int64", "float32"),
    "uint16": ("int32", "int64", "float32"),
    "int32": ("int64", "float64"),
    "uint32": ("int64", "float64"),
    "float16": ("float32", "float64"),
    "bfloat16": ("float32", "float64"),
}
"""What carries a type; casting back wraps integers around as arithmetic in their own type does."""

OF_BITS = frozenset({"BitCast", "BitShift", "Cast", "CastLike", "QuantizeLinear"})
"""Operators to which a type is more than a set of values."""

Keep = Callable[[Sequence[Value | None]], Sequence[Value | None]]


def in_known_types(
    rewrite: Rewrite, inputs: Sequence[Value | None], keep: Keep
) -> Sequence[Value | None]:
    """What `keep` makes of the inputs, those of types that the new version lacks in wider ones.

    Fails where no wider type is known that the new version takes.
    """
    assert rewrite.new is not None
    carriers = dict(_carriers(rewrite, rewrite.old, rewrite.new))
    if not carriers:
        return keep(inputs)
    given = [
        _cast(rewrite, value, carriers.get(_constraint(rewrite.new.input_at(i))))
        for i, value in enumerate(inputs)
    ]
    results = [
        _cast(rewrite, value, rewrite.dtype(old))
        if value and old and _constraint(rewrite.new.output_at(i)) in carriers
        else value
        for i, (value, old) in enumerate(zip(keep(given), rewrite.node.outputs, strict=True))
    ]
    return results


def lost_types(
    schemas: Schemas, node: Node, old: Signature, new: Signature
) -> Iterator[tuple[Value, Formal, str]]:
    """The inputs and outputs of types that one version takes and another does not."""
    inputs = [(v, old.input_at(i), new.input_at(i)) for i, v in enumerate(node.inputs)]
    outputs = [(v, old.output_at(i), new.output_at(i)) for i, v in enumerate(node.outputs)]
    for value, before, after in (*inputs, *outputs):
        if value is None or before is None or after is None or before.types <= after.types:
            continue
        name = schemas.type_name(value)
        if name in before.types and name not in after.types:
            yield value, after, name


def _carriers(rewrite: Rewrite, old: Signature, new: Signature) -> Iterator[tuple[str, DType]]:
    """The constraints of types that are lost, with the type to compute in."""
    node = rewrite.node
    formals = [new.input_at(i) for i, value in enumerate(node.inputs) if value is not None]
    of_inputs = set(map(_constraint, formals))
    for value, formal, name in lost_types(rewrite.schemas, node, old, new):
        carrier = _carrier(rewrite, value, formal)
        if carrier is None or formal.constraint not in of_inputs or node.has_graphs:
            rewrite.fail(f"its {formal.name!r} is a {name}, which that version does not take")
        yield formal.constraint, carrier


def _carrier(rewrite: Rewrite, value: Value, formal: Formal) -> DType | None:
    element = rewrite.schemas.element(value)
    if rewrite.node.op_type in OF_BITS or element is None:
        return None
    wider = (dtype(other) for other in WIDER.get(element.name, ()))
    return next((w for w in wider if rewrite.schemas.dtype_name(w) in formal.types), None)


def _constraint(formal: Formal | None) -> str:
    return formal.constraint if formal else ""


def _cast(rewrite: Rewrite, value: Value | None, element: DType | None) -> Value | None:
    if value is None or element is None:
        return value
    return rewrite.op("Cast", value, to=element.code)
