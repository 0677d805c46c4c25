"""Every kernel's signature is the schema that onnx states."""

import builtins
import keyword
import re
from collections.abc import Collection

import onnx
import pytest

from hetu.ops.registry import Kernel, find, kernels

DERIVED = {"part"}
"""Attributes that a file does not hold, because they follow from the others."""

HISTORY = onnx.defs.get_all_schemas_with_history()


def served(kernel: Kernel) -> list[int]:
    """The versions of ONNX's operator that the kernel is found for."""
    return [
        schema.since_version
        for schema in HISTORY
        if (schema.domain, schema.name) == (kernel.domain, kernel.op_type)
        and find(schema.domain, schema.name, schema.since_version) is kernel
    ]


STANDARD = [kernel for kernel in kernels() if served(kernel)]

standard = pytest.mark.parametrize(
    "kernel", STANDARD, ids=lambda kernel: f"{kernel.domain}{kernel.op_type}-{kernel.since}"
)


def schema_of(kernel: Kernel) -> onnx.defs.OpSchema:
    """The schema of the newest version that the kernel serves."""
    return onnx.defs.get_schema(kernel.op_type, max(served(kernel)), kernel.domain)


def snake(op_type: str) -> str:
    """CamelCase as snake_case; runs of capitals stay together, and so do NaN and MoE."""
    op_type = op_type.replace("NaN", "Nan").replace("MoE", "Moe")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", op_type)
    return words.lower()


@standard
def test_name(kernel: Kernel) -> None:
    name = snake(kernel.op_type)
    newest = find(kernel.domain, kernel.op_type, 10**6)
    if newest is not kernel:
        assert kernel.name == f"{name}_{kernel.since}"
        return
    is_taken = keyword.iskeyword(name) or hasattr(builtins, name)
    assert kernel.name == (f"{name}_" if is_taken else name)


@standard
def test_inputs(kernel: Kernel) -> None:
    schema = schema_of(kernel)
    option = onnx.defs.OpSchema.FormalParameterOption
    plain = [i for i in schema.inputs if i.option != option.Variadic]
    names = [argument_name(i.name, schema.attributes) for i in plain]
    assert [p.name for p in kernel.inputs] == names
    for parameter, formal in zip(kernel.inputs, plain, strict=True):
        assert parameter.required == (formal.option == option.Single), parameter.name
    assert (kernel.variadic is not None) == (len(plain) < len(schema.inputs))


def argument_name(name: str, attributes: Collection[str] = ()) -> str:
    """An input's name in Python: lower case, with an underscore where the word is taken."""
    lower = name.lower()
    return f"{lower}_" if keyword.iskeyword(lower) or lower in attributes else lower


@standard
def test_attributes(kernel: Kernel) -> None:
    schema = schema_of(kernel)
    written = set(kernel.attributes) - DERIVED
    assert written == {argument_attribute(name) for name in schema.attributes}
    for name, formal in schema.attributes.items():
        parameter = kernel.attributes[argument_attribute(name)]
        assert parameter.required == formal.required, name
        if formal.default_value.type and parameter.default is not None:
            default = onnx.helper.get_attribute_value(formal.default_value)
            default = default.decode() if isinstance(default, bytes) else default
            assert parameter.default == pytest.approx(default), name


def argument_attribute(name: str) -> str:
    """An attribute's name in Python: ONNX's own spelling."""
    return f"{name}_" if keyword.iskeyword(name) else name


@standard
def test_outputs(kernel: Kernel) -> None:
    schema = schema_of(kernel)
    option = onnx.defs.OpSchema.FormalParameterOption
    if kernel.returns is not None:
        assert len(kernel.returns) == len(schema.outputs)
        required = sum(o.option == option.Single for o in schema.outputs)
        assert kernel.n_required == required
