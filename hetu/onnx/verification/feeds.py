"""Inputs given for a verification, checked against the model's."""

from collections.abc import Mapping
from typing import Any

import onnx

from hetu.convert import to_numpy
from hetu.errors import UsageError, show
from hetu.ir import Value
from hetu.onnx.proto import read_type
from hetu.runtime.device import torch_device
from hetu.runtime.feeds import convert_feed


def check_inputs(model: onnx.ModelProto, inputs: Mapping[Any, Any]) -> dict[str, Any]:
    """The inputs by name, as numpy arrays (or lists, dicts and None of them) of the model's types.

    Raises `UsageError` for a name, type or shape that the model does not have.
    """
    infos = {info.name: info for info in model.graph.input}
    checked = {}
    for key, content in inputs.items():
        name = key if isinstance(key, str) else getattr(key, "name", key)
        if name not in infos:
            known = ", ".join(map(show, infos)) or "none"
            raise UsageError(f"inputs: the model has no input {show(name)}; it has {known}")
        value = Value(name, read_type(infos[name].type))
        checked[name] = _plain(convert_feed(value, content, torch_device(None)))
    return checked


def _plain(content: Any) -> Any:
    if isinstance(content, tuple):
        return [_plain(element) for element in content]
    return content if content is None or isinstance(content, Mapping) else to_numpy(content)
