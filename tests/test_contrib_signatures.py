"""Kernels of operators that onnx does not know have the signature of ONNX Runtime's schema."""

import builtins
import keyword
from typing import Any

import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from hetu.ops.registry import Kernel, kernels
from tests.test_signatures import argument_attribute, argument_name, snake

SCHEMAS: dict[tuple[str, str, int], Any] = {
    (s.domain, s.name, s.since_version): s for s in get_all_operator_schema()
}

contributed = pytest.mark.parametrize(
    "kernel",
    [
        kernel
        for kernel in kernels()
        if kernel.domain != "hetu" and not onnx.defs.has(kernel.op_type, kernel.domain)
    ],
    ids=lambda kernel: f"{kernel.domain}.{kernel.op_type}",
)


def option(parameter: Any) -> str:
    """Single, Optional or Variadic."""
    return str(parameter.option).rpartition(".")[2]


@contributed
def test_name(kernel: Kernel) -> None:
    name = snake(kernel.op_type)
    is_taken = keyword.iskeyword(name) or hasattr(builtins, name)
    assert kernel.name == (f"{name}_" if is_taken else name)


@contributed
def test_inputs(kernel: Kernel) -> None:
    schema = SCHEMAS[kernel.domain, kernel.op_type, kernel.since]
    plain = [formal for formal in schema.inputs if option(formal) != "Variadic"]
    assert [p.name for p in kernel.inputs] == [argument_name(formal.name) for formal in plain]
    for parameter, formal in zip(kernel.inputs, plain, strict=True):
        assert parameter.required == (option(formal) == "Single"), parameter.name
    assert (kernel.variadic is not None) == (len(plain) < len(schema.inputs))


@contributed
def test_attributes(kernel: Kernel) -> None:
    schema = SCHEMAS[kernel.domain, kernel.op_type, kernel.since]
    assert set(kernel.attributes) == {argument_attribute(name) for name in schema.attributes}
    for name, formal in schema.attributes.items():
        parameter = kernel.attributes[argument_attribute(name)]
        assert parameter.required == formal.required, name
        if formal._default_value and parameter.default is not None:
            assert parameter.default == pytest.approx(default(formal)), name


def default(formal: Any) -> Any:
    """The value that an attribute has where it is not given."""
    proto = onnx.AttributeProto.FromString(formal._default_value)
    value = onnx.helper.get_attribute_value(proto)
    return value.decode() if isinstance(value, bytes) else value


@contributed
def test_outputs(kernel: Kernel) -> None:
    schema = SCHEMAS[kernel.domain, kernel.op_type, kernel.since]
    if kernel.returns is not None:
        assert len(kernel.returns) == len(schema.outputs)
        assert kernel.n_required == sum(option(formal) == "Single" for formal in schema.outputs)
