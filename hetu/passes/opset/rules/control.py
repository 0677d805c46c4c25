"""Scan's batches, and optionals."""

from collections.abc import Sequence

import numpy as np

from hetu.ir import Graph, Value
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import INT64, OptionalType, TensorType, ValueType

END = np.iinfo(np.int64).max


@up("Scan", 9)
def scan(rewrite: Rewrite) -> Results:
    """Each sample of a batch was scanned by itself: now by a scan over the batch around it."""
    lengths, given = rewrite.input(0), rewrite.node.inputs[1:]
    body: Graph = rewrite.attribute("body")
    n_states = len(given) - rewrite.attribute("num_scan_inputs")
    samples = [
        Value(f"sample_{i}", value.type if i < n_states else _with_steps(value.type))
        for i, value in enumerate(body.inputs)
    ]
    length = None if lengths is None else Value("sample_length", TensorType(INT64, ()))
    inner = rewrite.inner()
    outputs = _scan_sample(inner, samples, length, n_states)
    scanned = (*samples, *([length] if length else []))
    around = Graph(scanned, tuple(outputs), tuple(inner.nodes), name=f"{body.name}_samples")
    batch = [*given, *([lengths] if lengths else [])]
    return rewrite.keep(batch, without=("directions",), body=around, num_scan_inputs=len(batch))


def _scan_sample(
    inner: Rewrite, samples: Sequence[Value], length: Value | None, n_states: int
) -> Sequence[Value | None]:
    """The scan of one sample: of its first steps where it has a length, zeros after them."""
    body, states, inputs = inner.attribute("body"), samples[:n_states], samples[n_states:]
    directions = inner.attribute("directions")
    if length is None:
        return inner.keep(samples, without=("directions",), scan_input_directions=directions)
    stop = inner.op("Unsqueeze", length, axes=[0])
    cut = [inner.op("Slice", x, [0], stop, version=11) for x in inputs]
    results = inner.keep([*states, *cut], without=("directions",), scan_input_directions=directions)
    steps = inner.op("Slice", inner.op("Shape", inputs[0]), [0], [1], version=11)
    missing = inner.op("Sub", steps, stop)
    padded = [
        y and _padded(inner, y, missing, made.type)
        for y, made in zip(results[n_states:], body.outputs[n_states:], strict=True)
    ]
    return [*results[:n_states], *padded]


def _padded(inner: Rewrite, y: Value, missing: Value, made: ValueType | None) -> Value:
    if not isinstance(made, TensorType) or made.dtype is None:
        inner.fail("the type of an output of its body is not stated")
    step = inner.op("Slice", inner.op("Shape", y), [1], [END], version=11)
    zero = np.zeros(1, made.dtype.numpy)
    zeros = inner.op("ConstantOfShape", inner.op("Concat", missing, step, axis=0), value=zero)
    return inner.op("Concat", y, zeros, axis=0)


def _with_steps(element: ValueType | None) -> ValueType | None:
    """The type of what is scanned, from that of a step."""
    if not isinstance(element, TensorType) or element.shape is None:
        return element
    return TensorType(element.dtype, (None, *element.shape))


@down("OptionalHasElement", 18)
def has_element(rewrite: Rewrite) -> Results:
    """Until opset 18 only optionals were asked; of anything else the answer is known."""
    value = rewrite.input(0)
    if value is not None and isinstance(rewrite.type(value), OptionalType):
        return rewrite.keep()
    return rewrite.op("Constant", value=np.array(value is not None))


@down("OptionalGetElement", 18)
def get_element(rewrite: Rewrite) -> Results:
    value = rewrite.given(0)
    is_optional = isinstance(rewrite.type(value), OptionalType)
    return rewrite.keep() if is_optional else rewrite.op("Identity", value)
