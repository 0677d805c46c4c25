"""ONNX's operators as functions: `op.Conv(x, w, pads=[2, 2, 2, 2])`.

Each takes the operator's inputs, values or constants, by position or by name, and its attributes by
name, and returns its output or the tuple of its outputs. `outputs` asks for optional or variadic
outputs, `name` names the node, `domain` chooses another operator set. The signatures are those of
the kernels; `op.pyi` beside this file lists them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from hetu.api.value import make
from hetu.ops.registry import find, kernels

NEWEST = 1 << 30


def __getattr__(op_type: str) -> Callable[..., Any]:
    if op_type.startswith("_") or op_type not in __dir__():
        raise AttributeError(f"there is no ONNX operator {op_type!r}")
    return partial(make, op_type)


def __dir__() -> list[str]:
    newest = [k for k in kernels() if find(k.domain, k.op_type, NEWEST) is k]
    return sorted({kernel.op_type for kernel in newest if kernel.domain != "hetu"})
