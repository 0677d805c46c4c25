"""What the library computes on tensors of certain shapes, and the orders in memory of tensors."""

import threading
import weakref
from collections.abc import Callable, Sequence
from ctypes import POINTER, Structure, addressof, byref, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Any, NamedTuple

import torch

from hetu import pages
from hetu.onednn import binding as c
from hetu.onednn.binding import Dims, Library, check
from hetu.onednn.recording import RECORDINGS, Place

Shape = Sequence[int]


class Blocks(NamedTuple):
    """An order of elements: in blocks, so far apart along each axis, which are divided by turns.

    `sizes` and `axes` say into how many parts, and along which axis; the last lie side by side.
    """

    strides: Shape
    sizes: Shape
    axes: Shape


class Order:
    """The order in memory of a float32 tensor of a shape."""

    def __init__(self, library: Library, handle: c_void_p, shape: Shape) -> None:
        self.handle = handle
        self.shape = tuple(shape)
        self.nbytes = library.size(handle)
        self._library = library
        weakref.finalize(self, library.call, "memory_desc_destroy", handle)

    @property
    def form(self) -> bytes:
        """What tells it from other orders of tensors of its shape."""
        return f"{self.blocks or id(self)}".encode()

    @cached_property
    def blocks(self) -> Blocks | None:
        """How the elements lie; None for an order of what is computed from them."""
        count = c_int()
        try:
            self._library.call("memory_desc_query", self.handle, c.INNER_COUNT, byref(count))
        except RuntimeError:
            return None
        fields = (c.STRIDES, len(self.shape)), (c.INNER_SIZES, count.value)
        strides, sizes = (tuple(self._numbers(field)[:number]) for field, number in fields)
        return Blocks(strides, sizes, tuple(self._numbers(c.INNER_AXES)[: count.value]))

    def parts(self, axis: int) -> Sequence[tuple[int, int]]:
        """How an axis is divided: counts and steps, those of blocks first. Its end is padded."""
        assert self.blocks is not None
        strides, sizes, axes = self.blocks
        inside = [(size, prod(sizes[i + 1 :])) for i, size in enumerate(sizes) if axes[i] == axis]
        count = -(-self.shape[axis] // prod(size for size, _ in inside))
        return [(count, strides[axis]), *inside]

    def equals(self, other: "Order") -> bool:
        """Whether another order is the same."""
        return self._library.are_equal(self.handle, other.handle)

    def _numbers(self, field: int) -> Any:
        numbers = POINTER(c_int64)()
        self._library.call("memory_desc_query", self.handle, field, byref(numbers))
        return numbers


def strided(library: Library, shape: Shape, strides: Shape) -> Order:
    """The order of a tensor of torch's."""
    handle = library.make(
        "memory_desc_create_with_strides", len(shape), Dims(*shape), c.F32, Dims(*strides)
    )
    return Order(library, handle, shape)


def tagged(library: Library, shape: Shape, tag: int) -> Order:
    """An order by its number in the library."""
    handle = library.make("memory_desc_create_with_tag", len(shape), Dims(*shape), c.F32, tag)
    return Order(library, handle, shape)


def any_order(library: Library, shape: Shape) -> Order:
    """What leaves the order to a primitive."""
    return tagged(library, shape, c.ANY_ORDER)


Activation = tuple[int, float, float]
"""One of the library's algorithms with its two numbers."""


class Depthwise(NamedTuple):
    """A convolution of each channel with windows of 3 x 3, padded by 1, and what follows it."""

    stride: int
    has_bias: bool
    activation: Activation | None


@dataclass(frozen=True, slots=True)
class After:
    """What a primitive does to its result: adds a tensor of this order, then an activation.

    Then it may convolve each channel. A factor comes before all of that.
    """

    added: Order | None = None
    activation: Activation | None = None
    depthwise: Depthwise | None = None
    factor: float | None = None

    def attributes(self, library: Library) -> c_void_p:
        """A primitive's attributes, which whoever asks for them destroys."""
        made = library.make("primitive_attr_create")
        library.call("primitive_attr_set_scratchpad_mode", made, c.SCRATCHPAD_OF_CALLER)
        operations = library.make("post_ops_create")
        if self.factor is not None:
            library.call("post_ops_append_eltwise", operations, c.LINEAR, self.factor, 0)
        if self.added is not None:
            library.call("post_ops_append_binary", operations, c.ADD, self.added.handle)
        if self.activation is not None:
            library.call("post_ops_append_eltwise", operations, *self.activation)
        if self.depthwise is not None:
            stride, has_bias, activation = self.depthwise
            types = c.F32, c.F32 if has_bias else c.NO_TYPE, c.F32
            library.call("post_ops_append_dw", operations, *types, 3, stride, 1)
            if activation is not None:
                library.call("post_ops_append_eltwise", operations, *activation)
        library.call("primitive_attr_set_post_ops", made, operations)
        library.call("post_ops_destroy", operations)
        return made


class Description:
    """What a primitive computes, and how: `given` is what the function that makes it takes."""

    def __init__(self, library: Library, kind: str, given: Sequence[Any], after: After) -> None:
        self.library = library
        attributes = after.attributes(library)
        handles = [item.handle if isinstance(item, Order | Description) else item for item in given]
        try:
            self.handle = library.make(f"{kind}_primitive_desc_create", *handles, attributes)
        finally:
            library.call("primitive_attr_destroy", attributes)
        weakref.finalize(self, library.call, "primitive_desc_destroy", self.handle)

    @property
    def implementation(self) -> str:
        """What the library calls its way to compute it."""
        name = c_char_p()
        field = c.IMPLEMENTATION
        self.library.call("primitive_desc_query", self.handle, field, 0, byref(name))
        return (name.value or b"").decode()

    @property
    def is_reference(self) -> bool:
        """Whether the library has no fast way to compute it."""
        return self.implementation.startswith("ref")

    @property
    def is_simple(self) -> bool:
        """Whether it is computed one element after the other, for lack of a way for its orders."""
        return self.implementation.startswith("simple")

    @property
    def scratchpad(self) -> int:
        """The bytes of memory that it works with."""
        return self.size(c.SCRATCHPAD)

    def size(self, argument: int) -> int:
        """The bytes of memory that an argument takes."""
        return self.library.size(self.library.argument(self.handle, argument))

    def order(self, argument: int, shape: Shape) -> Order:
        """The order that it wants an argument of a shape in."""
        own = self.library.argument(self.handle, argument)
        return Order(self.library, self.library.make("memory_desc_clone", own), shape)


class _Argument(Structure):
    _fields_ = (("role", c_int), ("memory", c_void_p))


_SMALL = 1 << 16
"""What a primitive works with is its own if it has at most so many bytes."""


_NOTHING = torch.empty(0, dtype=torch.uint8)


class _Workspace(threading.local):
    memory = _NOTHING


_WORKSPACE = _Workspace()


def workspace(nbytes: int) -> int:
    """Where memory lies that the primitives of this thread work with, one after the other."""
    if _WORKSPACE.memory.numel() < nbytes:
        _WORKSPACE.memory = _NOTHING  # one at a time
        _WORKSPACE.memory = torch.from_numpy(pages.empty(nbytes))
    return _WORKSPACE.memory.data_ptr()


class Arguments:
    """Where the tensors of a run lie, in the order of their roles.

    The last is what the primitive works with, of `scratchpad` bytes if it is its own.
    """

    def __init__(self, description: Description, roles: Sequence[int], scratchpad: int) -> None:
        library = description.library
        orders = [library.argument(description.handle, role) for role in roles]
        made = [library.make("memory_create", order, library.engine, None) for order in orders]
        for memory in made:
            weakref.finalize(self, library.call, "memory_destroy", memory)
        self._list = (_Argument * len(roles))(*zip(roles, made, strict=True))
        self._memories = made
        self._pointers = [0] * len(roles)
        self._library = library
        self._scratchpad = torch.empty(scratchpad, dtype=torch.uint8)
        self.address = c_void_p(addressof(self._list))
        if scratchpad:
            self.put_workspace(self._scratchpad.data_ptr())

    def put_workspace(self, pointer: int) -> None:
        """Say where the memory lies that the primitive works with."""
        self.put(len(self._pointers) - 1, pointer)

    def put(self, index: int, pointer: int) -> None:
        """Say where a tensor lies."""
        if pointer != self._pointers[index]:
            self._pointers[index] = pointer
            check("memory_set_data_handle", self._library.place(self._memories[index], pointer))

    def put_all(self, tensors: Sequence[torch.Tensor]) -> None:
        """Say where the tensors lie."""
        pointers = self._pointers
        for index, tensor in enumerate(tensors):
            if tensor.dtype is not torch.float32:
                raise RuntimeError(f"expected float32, got {tensor.dtype}")
            if tensor.data_ptr() != pointers[index]:
                self.put(index, tensor.data_ptr())


Execute = Callable[[c_void_p], int]


class Primitive:
    """Computes a result of a shape and strides from tensors of `roles` whose orders are fixed."""

    def __init__(
        self,
        description: Description,
        roles: Sequence[int],
        shape: Shape,
        strides: Shape,
        result: int = c.RESULT,
    ) -> None:
        self.shape = tuple(shape)
        self.strides = tuple(strides)
        self.description = description
        self._roles = (result, *roles, c.SCRATCHPAD)
        self.scratchpad = description.scratchpad
        self._execute: Execute | None = None
        self._idle: list[Arguments] = []

    @property
    def is_small(self) -> bool:
        """Whether what it works with is its own."""
        return self.scratchpad <= _SMALL

    @property
    def execute(self) -> Execute:
        """What runs it on arguments. Its code is made at the first call, which may take 1 ms."""
        if self._execute is None:
            library = self.description.library
            handle = library.make("primitive_create", self.description.handle)
            weakref.finalize(self, library.call, "primitive_destroy", handle)
            count = c_int(len(self._roles))
            self._execute = partial(library.execute, handle, library.stream, count)
        return self._execute

    def arguments(self) -> Arguments:
        """Places for tensors."""
        own = self.scratchpad if self.is_small else 0
        return Arguments(self.description, self._roles, own)

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        """The result, in memory of its own; the tensors are dense and of type float32."""
        result = torch.empty_strided(self.shape, self.strides, dtype=torch.float32)
        self.run(result, *tensors)
        return result

    def run(self, *tensors: torch.Tensor) -> None:
        """Compute the result into the first tensor, from the others."""
        if RECORDINGS.current is not None:
            RECORDINGS.current.add(self, [(tensor, 0) for tensor in tensors])
            return
        arguments = self._ready()
        arguments.put_all(tensors)
        self._run(arguments)

    def run_at(self, *places: Place) -> None:
        """Compute the result to the first place from what lies at the others."""
        if RECORDINGS.current is not None:
            RECORDINGS.current.add(self, places)
            return
        arguments = self._ready()
        for index, (tensor, begin) in enumerate(places):
            arguments.put(index, tensor.data_ptr() + begin)
        self._run(arguments)

    def _ready(self) -> Arguments:
        try:
            arguments = self._idle.pop()  # which no other thread uses meanwhile
        except IndexError:
            arguments = self.arguments()
        if not self.is_small:
            arguments.put_workspace(workspace(self.scratchpad))
        return arguments

    def _run(self, arguments: Arguments) -> None:
        status = self.execute(arguments.address)
        self._idle.append(arguments)
        if status:
            check("primitive_execute", status)
