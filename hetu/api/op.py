"""ONNX's operators as functions: `op.Conv(x, w, pads=[2, 2, 2, 2])`.

Each takes the operator's inputs, values or constants, by position or by name, and its attributes by
name, and returns its output or the tuple of its outputs. `outputs` asks for optional or variadic
outputs, `name` names the node, `domain` chooses among operator sets where ai.onnx, or the first in
alphabetical order that has the operator, is not meant. The signatures are those of the kernels;
`op.pyi` beside this file lists them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from hetu.api.value import make
from hetu.ops.registry import Kernel, custom_kernels, find, kernels

NEWEST = 1 << 30


def __getattr__(op_type: str) -> Callable[..., Any]:
    domains = [kernel.domain for kernel in _operators() if kernel.op_type == op_type]
    if op_type.startswith("_") or not domains:
        raise AttributeError(f"there is no ONNX operator {op_type!r}")
    return partial(make, op_type, domain=min(domains))


def __dir__() -> list[str]:
    return sorted({kernel.op_type for kernel in _operators()})


def _operators() -> Iterator[Kernel]:
    """The operators that have a constructor; those that later versions lack have none."""
    own = (k for k in kernels() if k.domain != "hetu" and find(k.domain, k.op_type, NEWEST) is k)
    return chain(own, custom_kernels())
