"""Which version of the operators hand-built graphs are made of."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hetu.errors import UsageError
from hetu.ir import Value

DEFAULT_OPSET = 20
"""Runs in every ONNX Runtime since 1.17 (January 2024), in OpenVINO 2024 and in TensorRT 10, and is
the first with Gelu as one operator."""

_chosen: ContextVar[int | None] = ContextVar("hetu_opset", default=None)


@contextmanager
def opset(version: int) -> Iterator[None]:
    """Inside of the `with` block, new nodes of the domain `ai.onnx` are made for this opset."""
    if version < 7:
        raise UsageError(f"opset {version}: graphs are built for opset 7 or newer")
    token = _chosen.set(version)
    try:
        yield
    finally:
        _chosen.reset(token)


def version_for(domain: str, inputs: Iterable[Value]) -> int:
    """The version for a new node: the one chosen, else the newest its inputs are made for."""
    chosen = _chosen.get()
    if domain == "" and chosen is not None:
        return chosen
    versions = (_version_of(domain, value) for value in inputs)
    default = DEFAULT_OPSET if domain == "" else 1
    return max((version for version in versions if version is not None), default=default)


def _version_of(domain: str, value: Value) -> int | None:
    if value.model is not None:
        return value.model.opsets.get(domain)
    node = value.node
    if node is None or node.domain not in (domain, "hetu"):
        return None
    if node.domain == domain:
        return node.version
    versions = (_version_of(domain, used) for used in node.inputs if used is not None)
    return max((version for version in versions if version is not None), default=None)
