"""Records what a function would run: primitives, and functions of torch that write where told.

While they are recorded they compute nothing, and what is in their results means nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from hetu import pages
from hetu.dispatch import DispatchMode
from hetu.onednn.common import LAYOUTS, Ints
from hetu.onednn.recording import RECORDINGS, Form, Recording, form_of

aten = torch.ops.aten


@contextmanager
def recorded() -> Iterator[Recording]:
    """Where what would be computed is recorded instead."""
    recording = RECORDINGS.current = Recording()
    try:
        with _Watch(recording):
            yield recording
    finally:
        RECORDINGS.current = None


def _same_everywhere(*given: Any, **_: Any) -> torch.Tensor | None:
    """The result of a function of each element, in the order of an operand of its shape."""
    tensors = _tensors(given)
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except ValueError:
        return None
    like = next((tensor for tensor in tensors if tensor.shape == shape), None)
    return torch.empty(shape) if like is None else torch.empty_like(like)


def _end_to_end(tensors: Sequence[torch.Tensor], axis: int = 0) -> torch.Tensor | None:
    """The result of putting tensors one after the other, in the order that they all have."""
    shapes = [list(tensor.shape) for tensor in tensors]
    length = sum(shape.pop(axis) for shape in shapes)
    if any(shape != shapes[0] for shape in shapes):
        return None
    shape = list(tensors[0].shape)
    shape[axis] = length
    order = LAYOUTS.get(len(shape), torch.contiguous_format)
    has_order = all(tensor.is_contiguous(memory_format=order) for tensor in tensors)
    return torch.empty(shape, memory_format=order if has_order else torch.contiguous_format)


def _copied(
    x: torch.Tensor, *, memory_format: torch.memory_format = torch.preserve_format
) -> torch.Tensor:
    """The memory for a copy of a tensor."""
    return torch.empty_like(x, memory_format=memory_format)


def _copy(x: torch.Tensor, *, out: torch.Tensor, **_: Any) -> None:
    out.copy_(x)


def _itself(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return x


def _in_one_piece(x: torch.Tensor, *_: Any) -> torch.Tensor:
    """The memory for a result of the shape of `x`, whose last axis is innermost."""
    return torch.empty(x.shape)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor | None:
    """The memory for the product of two matrices, or of as many pairs of them."""
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        return None
    return torch.empty(*a.shape[:-1], b.shape[-1])


_OF_ONE = (
    "celu", "clamp", "clamp_min", "elu", "erf", "exp", "gelu", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "mish", "neg", "reciprocal", "relu", "sigmoid", "silu", "softplus",
    "sqrt", "tanh",
)  # fmt: skip
_OF_TWO = "add", "div", "mul", "sub"

_FUNCTIONS: dict[Any, tuple[Callable[..., Any], Callable[..., torch.Tensor | None]]] = {
    aten.cat.default: (aten.cat.out, _end_to_end),
    aten.clone.default: (_copy, _copied),
    aten.add_.Tensor: (aten.add.out, _itself),
    aten.bmm.default: (aten.bmm.out, _product),
    aten.mm.default: (aten.mm.out, _product),
    aten._softmax.default: (aten._softmax.out, _in_one_piece),
    **{getattr(aten, n).default: (getattr(aten, n).out, _same_everywhere) for n in _OF_ONE},
    **{getattr(aten, n).Tensor: (getattr(aten, n).out, _same_everywhere) for n in _OF_TWO},
}
"""By what torch calls: a function that takes memory for its result, and what makes such memory.

The latter makes none where torch is to say what is wrong.
"""

_MAKERS = frozenset({aten.empty.memory_format, aten.empty_strided.default})


def record_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    options: Mapping[str, Any],
) -> torch.Tensor:
    """Record torch's attention of (batch, heads, length, size).

    Its result lies in memory as torch's kernel makes it: (batch, length, heads, size).
    """
    (batch, heads, length, _), size = q.shape, v.shape[3]
    result = torch.empty(batch, length, heads, size, dtype=torch.float32).transpose(1, 2)
    tensors = [result, *_tensors([q, k, v, mask])]
    assert RECORDINGS.current is not None
    call = _Call(_attend, (q, k, v, mask), options, result)
    RECORDINGS.current.add(call, [(tensor, 0) for tensor in tensors])
    return result


def _attend(*tensors: Any, out: torch.Tensor, **options: Any) -> None:
    out.copy_(F.scaled_dot_product_attention(*tensors, **options))


class _Watch(DispatchMode):
    """Records functions of torch, and takes note of those that cannot be."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func.is_view or func is aten._unsafe_view.default:
            return func(*args, **given)
        if func in _MAKERS:
            made = func(*args, **given)
            self._recording.made(made)
            return made
        result = self._recorded(func, args, given)
        if result is None:
            self._recording.is_whole = False
            return func(*args, **given)
        return result

    def _recorded(
        self, func: Any, args: Sequence[Any], given: Mapping[str, Any]
    ) -> torch.Tensor | None:
        """The memory for the result of a function that has been recorded."""
        tensors = _tensors(args)
        if func not in _FUNCTIONS or _tensors([*given.values()]):
            return None
        if not all(map(_is_usual, tensors)):
            return None
        function, result_of = _FUNCTIONS[func]
        result = result_of(*args, **given)
        if result is not None:
            if result_of is not _itself:
                self._recording.made(result)
            places = [(tensor, 0) for tensor in (result, *tensors)]
            self._recording.add(_Call(function, args, given, result), places)
        return result


def _is_usual(tensor: torch.Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.is_cpu and tensor.layout is torch.strided


def _tensors(args: Sequence[Any]) -> list[torch.Tensor]:
    """The tensors among arguments, and in lists among them."""
    lists = (arg if isinstance(arg, list | tuple) else (arg,) for arg in args)
    return [each for listed in lists for each in listed if isinstance(each, torch.Tensor)]


class _Call:
    """A step that calls a function of torch."""

    scratchpad = 0
    is_small = True

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        given: Mapping[str, Any],
        result: torch.Tensor,
    ) -> None:
        self._function = function
        self._args = [_without_tensors(arg) for arg in args]
        self._given = {**given, "out": None}
        self._forms = [form_of(tensor) for tensor in (result, *_tensors(args))]

    def arguments(self) -> "_Slots":
        """Places for tensors."""
        return _Slots(self._args, self._given, self._forms)

    def execute(self, slots: "_Slots") -> int:
        """Call the function."""
        self._function(*slots.args, **slots.given)
        return 0


def _without_tensors(arg: Any) -> Any:
    if isinstance(arg, list | tuple):
        return [_without_tensors(each) for each in arg]
    return _SLOT if isinstance(arg, torch.Tensor) else arg


_SLOT = object()
"""In the place of a tensor among arguments."""


class _Slots:
    """The arguments of a function, among them tensors of some forms that lie where they are put."""

    def __init__(
        self, args: Sequence[Any], given: Mapping[str, Any], forms: Sequence[Form]
    ) -> None:
        self.args = [list(arg) if isinstance(arg, list) else arg for arg in args]
        self.given = dict(given)
        self.address = self
        self._forms = forms
        self._pointers = [0] * len(forms)
        self._slots: list[tuple[Any, Any]] = [(self.given, "out")]
        for index, arg in enumerate(self.args):
            if isinstance(arg, list):
                self._slots += [(arg, i) for i, each in enumerate(arg) if each is _SLOT]
            elif arg is _SLOT:
                self._slots.append((self.args, index))

    def put(self, index: int, pointer: int) -> None:
        """Say where a tensor lies, which is not kept alive here."""
        if pointer != self._pointers[index]:
            self._pointers[index] = pointer
            holder, key = self._slots[index]
            holder[key] = _at(pointer, *self._forms[index])

    def put_workspace(self, pointer: int) -> None:
        """There is nothing to say: it works with no other memory."""


def _at(pointer: int, shape: torch.Size, strides: Ints) -> torch.Tensor:
    """A tensor of float32 that lies somewhere."""
    count = 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    memory = torch.from_numpy(pages.at(pointer, 4 * count)).view(torch.float32)
    return memory.as_strided(shape, strides)
