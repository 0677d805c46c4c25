"""Bridges to torch modules and to protos in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from hetu.api.value import Value
from hetu.errors import UsageError, show
from hetu.ir import graph_of
from hetu.onnx.hetu2onnx import Shapes, as_list, make_proto
from hetu.onnx.inference import without_dropout
from hetu.onnx.onnx2hetu import LoadedModel, load_onnx
from hetu.onnx.roles import Trainable
from hetu.random import next_seed
from hetu.runtime.device import torch_device
from hetu.runtime.executor import Executor
from hetu.runtime.module import GraphModule, Store
from hetu.runtime.params import ParameterStore
from hetu.runtime.torch_export import export_module

Source = LoadedModel | Executor | GraphModule
Ends = Value | Sequence[Value]


def to_module(
    source: Source, inputs: Ends | None = None, outputs: Ends | None = None
) -> GraphModule:
    """A `torch.nn.Module` that computes `outputs` from `inputs`.

    They default to those of the loaded model, or of the module, that `source` is; an executor gives
    the present values of its variables. The module's values are copies.
    """
    inputs, outputs = _ends(source, inputs, outputs)
    return GraphModule(inputs, outputs, _store(source, outputs))


def to_proto(
    source: Source,
    inputs: Ends | None = None,
    outputs: Ends | None = None,
    *,
    opset: int | None = None,
    input_shapes: Shapes | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The ONNX model that `export` would write.

    `inputs` and `outputs` default to those of the loaded model, or of the module, that `source` is.
    """
    inputs, outputs = _ends(source, inputs, outputs)
    return make_proto(_store(source, outputs), inputs, outputs, opset, input_shapes, metadata)


def from_module(
    module: Any,
    args: Any,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    dynamo: bool = True,
    opset: int | None = None,
    training: bool = True,
    trainable: Trainable = True,
    **options: Any,
) -> LoadedModel:
    """What torch's exporter makes of a `torch.nn.Module`, given example inputs, loaded.

    The weights keep their names and forms (`match_weights` tells). With `training`, the module is
    exported as it trains, so that dropout is there; it is off where the graph or an exported file
    infers. Give `training=False` to a module that does something else when it trains. The module
    itself, its mode included, stays as it is. `dynamo=False` takes torch's older exporter, which
    wants `dynamic_axes` for `dynamic_shapes`; `options` are those of `torch.onnx.export`. Raises
    `UsageError` without `onnxscript`, which the newer exporter needs, and `UnsupportedError` where
    torch fails.
    """
    given = {"dynamic_shapes": dynamic_shapes, "opset_version": opset}
    options |= {name: content for name, content in given.items() if content is not None}
    args = tuple(args) if isinstance(args, list | tuple) else (args,)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_module(
            module, args, kwargs or {}, path, dynamo=dynamo, training=training, options=options
        )
        proto = onnx.load(path)
    without_dropout(proto)
    return load_onnx(proto, trainable=trainable)


def _ends(source: Source, inputs: Ends | None, outputs: Ends | None) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs meant, as lists."""
    if isinstance(source, Executor):
        if inputs is None or outputs is None:
            raise UsageError("give the inputs and outputs: an executor has many values")
        return as_list(inputs), as_list(outputs)
    if not isinstance(source, LoadedModel | GraphModule):
        raise UsageError(f"a loaded model, an executor or a module is needed, not {show(source)}")
    if isinstance(source, LoadedModel):
        own = list(source.inputs.values()), list(source.outputs.values())
    else:
        own = source.inputs, source.outputs
    return (
        own[0] if inputs is None else as_list(inputs),
        own[1] if outputs is None else as_list(outputs),
    )


def _store(source: Source, outputs: Sequence[Value]) -> Store:
    """The values of the variables behind some outputs."""
    if not isinstance(source, LoadedModel):
        return source.store
    variables = [value for value in graph_of(outputs).initializers if not value.constant]
    return ParameterStore(variables, torch_device(None), np.random.default_rng(next_seed()))
