"""Says which node failed, and on what."""

from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import torch

from hetu.errors import HetuError, RunError
from hetu.ir import describe
from hetu.runtime.compile import Source


def explain(error: Exception, sources: Mapping[str, Source]) -> Exception:
    """The error to raise instead: it names the path of nodes that led to it, and their inputs."""
    path: list[str] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        source = sources.get(trace.tb_frame.f_code.co_filename)
        if source is not None:
            path += _title(source, trace.tb_lineno - 1, trace.tb_frame)
        trace = trace.tb_next
    if not path:
        return error
    kind = type(error) if isinstance(error, HetuError) else RunError
    return kind(f"{' > '.join(path)}: {error}")


def _title(source: Source, line: int, frame: FrameType) -> list[str]:
    node = source.nodes[line]
    if node is None:
        return []
    inputs = [describe_value(_look_up(name, frame)) for name in source.arguments[line]]
    return [f"{describe(node)} on ({', '.join(inputs)})"]


def _look_up(name: str, frame: FrameType) -> Any:
    """The value of an argument in the generated source."""
    return frame.f_locals.get(name, frame.f_globals.get(name, name))


def describe_value(value: Any) -> str:
    """A run-time value's type and shape."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"string{list(value.shape)}"
    if isinstance(value, str):
        return value
    return type(value).__name__
