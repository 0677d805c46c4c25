"""Steps that follow from the schemas: what a version lacks, has renamed sides of, or defaults to.

They are right where the two versions mean the same by the same inputs and attributes: where one
kernel of hetu serves both, which the tests hold against ONNX Runtime in either version, or where
all that changed is that attributes became inputs.
"""

from collections.abc import Iterator, Sequence

from hetu.ir import Attribute, Value
from hetu.ops.registry import LEGACY_HINT, find
from hetu.passes.opset.carry import in_known_types
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results
from hetu.passes.opset.schema import Formal, Setting, Signature
from hetu.types import FLOAT32, INT64


def is_derivable(domain: str, op_type: str, old: Signature, new: Signature) -> bool:
    """Whether a step between two versions follows from their schemas."""
    if new.deprecated:
        return False
    kernels = {find(domain, op_type, old.since), find(domain, op_type, new.since)}
    return len(kernels) == 1 or bool(_moved(old, new) or _moved(new, old))


def is_same_form(old: Signature, new: Signature) -> bool:
    """Whether any node of one version is one of the other, types apart."""
    sides = ((old.inputs, new.inputs), (old.outputs, new.outputs))
    return (
        all([f.name for f in a] == [f.name for f in b] for a, b in sides)
        and (old.max_inputs, old.max_outputs) == (new.max_inputs, new.max_outputs)
        and old.settings == new.settings
    )


def plain(rewrite: Rewrite, given: Sequence[Value | None] | None = None) -> Results:
    """The node, over other inputs if `given`, with its parts where the other version has them."""
    old, new = rewrite.old, rewrite.new
    assert new is not None
    attributes = dict(_kept_attributes(rewrite, new))
    inputs = list(rewrite.node.inputs if given is None else given)
    for name in _moved(old, new):
        _to_input(rewrite, name, inputs)
    for name in _moved(new, old):
        _to_attribute(rewrite, name, inputs, attributes)
    _check_counts(rewrite, inputs, new)
    _keep_defaults(old, new, attributes)
    gone = tuple(rewrite.node.attributes)
    return in_known_types(
        rewrite, inputs, lambda given: rewrite.keep(given, gone, None, None, **attributes)
    )


def _moved(old: Signature, new: Signature) -> list[str]:
    """The names of the attributes that are inputs in the other version."""
    before = {formal.name for formal in old.inputs}
    after = {formal.name for formal in new.inputs}
    return [name for name in old.settings if name in after - before]


def _kept_attributes(rewrite: Rewrite, new: Signature) -> Iterator[tuple[str, Attribute]]:
    old, moved = rewrite.old, _moved(rewrite.old, new)
    for name, attribute in rewrite.node.attributes.items():
        if name in new.settings and new.settings[name].kind == attribute.kind:
            yield name, attribute
        elif (
            name not in moved
            and name != LEGACY_HINT
            and not _is_default(attribute, old.settings.get(name))
        ):
            state = "of another kind" if name in new.settings else "unknown"
            rewrite.fail(f"its attribute {name!r} is {state} in that version")


def _is_default(attribute: Attribute, setting: Setting | None) -> bool:
    """Whether the other version does by nature what the attribute asks for."""
    default = setting.default if setting else None
    return default is not None and not attribute.reference and default.value == attribute.value


def _keep_defaults(old: Signature, new: Signature, attributes: dict[str, Attribute]) -> None:
    """State the old version's defaults where the new one has others, or wants them stated."""
    for name, setting in old.settings.items():
        other = new.settings.get(name)
        if other is None or setting.default is None or name in attributes:
            continue
        if other.required or (other.default and other.default.value != setting.default.value):
            attributes[name] = setting.default


def _to_input(rewrite: Rewrite, name: str, inputs: list[Value | None]) -> None:
    assert rewrite.new is not None
    position = [formal.name for formal in rewrite.new.inputs].index(name)
    inputs += [None] * (position + 1 - len(inputs))
    inputs[position] = _as_input(rewrite, name, rewrite.new.inputs[position])


def _as_input(rewrite: Rewrite, name: str, formal: Formal) -> Value | None:
    """An attribute, or its default, as a constant of the type that the input has."""
    attribute = rewrite.node.attributes.get(name) or rewrite.old.settings[name].default
    if attribute is None:
        return None
    if attribute.reference:
        return rewrite.reference(name)
    return constant_input(rewrite, attribute, formal)


def constant_input(rewrite: Rewrite, attribute: Attribute, formal: Formal) -> Value:
    """A constant of the type that the input has: that of the data where they share one."""
    assert rewrite.new is not None
    if formal.constraint == rewrite.new.inputs[0].constraint:
        element = rewrite.dtype(rewrite.given(0))
    else:
        element = INT64 if attribute.kind in ("int", "ints") else FLOAT32
    return rewrite.constant(attribute.value, element)


def _to_attribute(
    rewrite: Rewrite, name: str, inputs: list[Value | None], attributes: dict[str, Attribute]
) -> None:
    position = [formal.name for formal in rewrite.old.inputs].index(name)
    value = inputs[position] if position < len(inputs) else None
    if value is not None:
        assert rewrite.new is not None
        kind = rewrite.new.settings[name].kind
        content = rewrite.ints(value, name)
        attributes[name] = Attribute(kind, tuple(content) if kind.endswith("s") else content[0])
        inputs[position] = None


def _check_counts(rewrite: Rewrite, inputs: Sequence[Value | None], new: Signature) -> None:
    for index, value in enumerate(inputs):
        if value is not None and new.input_at(index) is None:
            formal = rewrite.old.input_at(index)
            rewrite.fail(f"that version has no input {formal.name if formal else index!r}")
    for index in range(new.max_outputs, len(rewrite.node.outputs)):
        if rewrite.is_used(index):
            formal = rewrite.old.output_at(index)
            rewrite.fail(f"that version has no output {formal.name if formal else index!r}")
