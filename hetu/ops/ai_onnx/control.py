"""Control flow: operators that run graphs.

Whether a loop goes on is decided on the host, so iteration numbers and conditions stay there. What
the iterations yield is collected and stacked once, at the end.
"""

from collections.abc import Sequence
from itertools import count

import numpy as np
import torch

from hetu.errors import ModelError
from hetu.ops.join import concat, stack
from hetu.ops.kinds import Any, Body, Context, Ints
from hetu.ops.registry import op
from hetu.types import STRING, TensorType, ValueType


@op("If")
def if_(cond: bool, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    return then_branch() if cond else else_branch()


@op("Loop")
def loop(
    m: int | None = None, cond: bool | None = None, *v_initial: Any, body: Body, ctx: Context
) -> tuple[Any, ...]:
    goes_on = cond is None or cond
    states, steps = v_initial, []
    for number in count() if m is None else range(m):
        if not goes_on:
            break
        counters = _scalar(number, body.input_types[0]), _scalar(goes_on, body.input_types[1])
        condition, *results = body(*counters, *states)
        goes_on = cond is None or bool(condition)
        states = results[: len(v_initial)]
        steps.append(results[len(v_initial) :])
    types = body.output_types[1 + len(v_initial) :]
    return (*states, *_scan_outputs(steps, types, (0,) * len(types), ctx))


@op("Scan", since=9)
def scan(
    *initial_state_and_scan_inputs: Any,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: Ints = (),
    scan_input_directions: Ints = (),
    scan_output_axes: Ints = (),
    scan_output_directions: Ints = (),
    ctx: Context,
) -> tuple[Any, ...]:
    n_states = len(initial_state_and_scan_inputs) - num_scan_inputs
    states, inputs = _split(initial_state_and_scan_inputs, n_states)
    axes = _filled(scan_input_axes, num_scan_inputs)
    directions = _filled(scan_input_directions, num_scan_inputs)
    steps = []
    for elements in zip(*map(_elements, inputs, axes, directions), strict=True):
        states, outputs = _split(body(*states, *elements), n_states)
        steps.append(outputs)
    types = body.output_types[n_states:]
    axes = _filled(scan_output_axes, len(types))
    directions = _filled(scan_output_directions, len(types))
    return (*states, *_scan_outputs(steps, types, axes, ctx, directions))


@op("Scan", since=8)
def scan_8(
    sequence_lens: Ints | None = None,
    *initial_state_and_scan_inputs: Any,
    body: Body,
    num_scan_inputs: int,
    directions: Ints = (),
    ctx: Context,
) -> tuple[Any, ...]:
    """The first axis of all inputs and outputs is the batch; each sample is scanned by itself."""
    n_states = len(initial_state_and_scan_inputs) - num_scan_inputs
    batch_size, longest = initial_state_and_scan_inputs[-1].shape[:2]
    samples = []
    for i, length in enumerate(sequence_lens or (longest,) * batch_size):
        states, inputs = _split([x[i] for x in initial_state_and_scan_inputs], n_states)
        results = scan(
            *states, *(x[:length] for x in inputs), body=body, num_scan_inputs=num_scan_inputs,
            scan_input_directions=directions, ctx=ctx,
        )  # fmt: skip
        states, outputs = _split(results, n_states)
        samples.append((*states, *(_padded(output, longest) for output in outputs)))
    return tuple(map(stack, zip(*samples, strict=True)))


@op("SequenceMap", since=17)
def sequence_map(input_sequence: Any, *additional_inputs: Any, body: Body) -> tuple[Any, ...]:
    inputs = (input_sequence, *additional_inputs)
    samples = [
        body(*(x[i] if isinstance(x, tuple) else x for x in inputs))
        for i in range(len(input_sequence))
    ]
    return tuple(zip(*samples, strict=True)) if samples else ((),) * len(body.output_types)


def _scalar(value: int, value_type: ValueType | None) -> torch.Tensor:
    """A loop's counter or condition; some bodies declare it with one dimension."""
    shape = value_type.shape if isinstance(value_type, TensorType) else None
    return torch.tensor(value).reshape((1,) * len(shape or ()))


def _split(values: Sequence[Any], position: int) -> tuple[Sequence[Any], Sequence[Any]]:
    return values[:position], values[position:]


def _filled(flags: Ints, length: int) -> Ints:
    return (*flags, *(0,) * (length - len(flags)))


def _elements(value: Any, axis: int, is_reversed: int) -> Sequence[Any]:
    """The slices of a scan's input, in the order they are consumed."""
    if isinstance(value, np.ndarray):
        elements = [np.asarray(element, dtype=object) for element in np.moveaxis(value, axis, 0)]
    else:
        elements = value.unbind(axis)
    return elements[::-1] if is_reversed else elements


def _scan_outputs(
    steps: Sequence[Sequence[Any]],
    types: Sequence[ValueType | None],
    axes: Ints,
    ctx: Context,
    directions: Ints | None = None,
) -> list[Any]:
    if not steps:
        return [_no_steps(*pair, ctx.device) for pair in zip(types, axes, strict=True)]
    columns = list(zip(*steps, strict=True))
    if directions is not None:
        pairs = zip(columns, directions, strict=True)
        columns = [column[::-1] if is_reversed else column for column, is_reversed in pairs]
    return [stack(column, axis) for column, axis in zip(columns, axes, strict=True)]


def _no_steps(value_type: ValueType | None, axis: int, device: torch.device) -> Any:
    """What a scan output is when nothing ran; dimensions that the body leaves open are 0."""
    if not isinstance(value_type, TensorType) or value_type.dtype is None:
        raise ModelError("no iteration ran, and the body does not state its scan outputs' types")
    shape = [dim if isinstance(dim, int) else 0 for dim in value_type.shape or ()]
    shape.insert(axis % (len(shape) + 1), 0)
    if value_type.dtype is STRING:
        return np.empty(shape, dtype=object)
    return torch.empty(shape, dtype=value_type.dtype.torch, device=device)


def _padded(value: Any, length: int) -> Any:
    """A scan's output for a sequence that may be shorter than the longest one."""
    shape = (length - value.shape[0], *value.shape[1:])
    if not shape[0]:
        return value
    if isinstance(value, np.ndarray):
        return concat([value, np.full(shape, "", dtype=object)])
    return concat([value, torch.zeros(shape, dtype=value.dtype, device=value.device)])
