"""Finds and loads oneDNN's library, and says what its functions take.

The names and numbers are those of its C interface (`dnnl_types.h`, version 3).
"""

import ctypes
import site
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, byref, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Any

import torch

FILE = "libdnnl.so.3"

NO_TYPE, F32 = 0, 3
ANY_ORDER, BLOCKS_OF_16 = 1, 78
TRAINING, INFERENCE, BACKWARD = 64, 96, 128
DIRECT_CONVOLUTION, WINOGRAD_CONVOLUTION, DIRECT_DECONVOLUTION = 0x1, 0x2, 0xA
SCRATCHPAD_OF_CALLER = 1
SOURCE, OTHER, RESULT, WEIGHTS, BIAS, SCRATCHPAD = 1, 2, 17, 33, 41, 80
SOURCE_GRADIENT, RESULT_GRADIENT, WEIGHTS_GRADIENT = 129, 145, 161
MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE = 49, 50, 51, 52, 64
SCALE_GRADIENT, SHIFT_GRADIENT = 255, 256
USE_STATISTICS, USE_SCALE, USE_SHIFT, FUSE_RELU = 1, 2, 4, 8
STATE, CELL, LAST_STATE, LAST_CELL, STATE_WEIGHTS = 2, 3, 18, 19, 34
ADDED, ADDED_SECOND = 1 << 15 | OTHER, 2 << 15 | OTHER
DEPTHWISE = 1 << 14
ARGUMENT_DESCRIPTOR = 255
ADD, MULTIPLY, LINEAR, MEAN_OF, SOFTMAX = 0x1FFF0, 0x1FFF1, 0x26, 0x2FFF6, 0x30000
IMPLEMENTATION = 8
STRIDES, INNER_COUNT, INNER_SIZES, INNER_AXES = 14, 263, 264, 265

MAX_RANK = 12
Dims = c_int64 * MAX_RANK


def dims(*lists: Sequence[int]) -> list[Any]:
    """Lists of sizes as the library takes them."""
    return [Dims(*sizes) for sizes in lists]


_CPU, _IN_ORDER = 1, 1
_FAILURES = {
    1: "out of memory", 2: "invalid arguments", 3: "unimplemented", 4: "last implementation",
    5: "runtime error", 6: "not required", 7: "invalid graph",
}  # fmt: skip
_THREADS, _SET_THREADS = "omp_get_max_threads", "omp_set_num_threads"

_NEW = POINTER(c_void_p)
_WINDOWS = (
    _NEW, c_void_p, c_int, c_int, c_void_p, c_void_p, c_void_p, c_void_p,
    Dims, Dims, Dims, Dims, c_void_p,
)  # fmt: skip
_LAYER = (c_void_p,) * 7
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "engine_create": (_NEW, c_int, c_size_t),
    "stream_create": (_NEW, c_void_p, c_uint),
    "memory_desc_create_with_strides": (_NEW, c_int, Dims, c_int, Dims),
    "memory_desc_create_with_tag": (_NEW, c_int, Dims, c_int, c_int),
    "memory_desc_clone": (_NEW, c_void_p),
    "memory_desc_destroy": (c_void_p,),
    "memory_desc_query": (c_void_p, c_int, c_void_p),
    "memory_desc_equal": (c_void_p, c_void_p),
    "memory_create": (_NEW, c_void_p, c_void_p, c_void_p),
    "memory_destroy": (c_void_p,),
    "post_ops_create": (_NEW,),
    "post_ops_destroy": (c_void_p,),
    "post_ops_append_eltwise": (c_void_p, c_int, c_float, c_float),
    "post_ops_append_binary": (c_void_p, c_int, c_void_p),
    "post_ops_append_dw": (c_void_p, c_int, c_int, c_int, c_int64, c_int64, c_int64),
    "primitive_attr_create": (_NEW,),
    "primitive_attr_destroy": (c_void_p,),
    "primitive_attr_set_post_ops": (c_void_p, c_void_p),
    "primitive_attr_set_scratchpad_mode": (c_void_p, c_int),
    "primitive_desc_destroy": (c_void_p,),
    "primitive_desc_query": (c_void_p, c_int, c_int, c_void_p),
    "primitive_create": (_NEW, c_void_p),
    "primitive_destroy": (c_void_p,),
    "primitive_execute": (c_void_p, c_void_p, c_int, c_void_p),
    "reorder_primitive_desc_create": (_NEW, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
    "matmul_primitive_desc_create": (
        _NEW, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
    ),
    "inner_product_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
    ),
    "eltwise_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_int, c_void_p, c_void_p, c_float, c_float, c_void_p,
    ),
    "binary_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p,
    ),
    "softmax_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_int, c_void_p, c_void_p, c_int, c_void_p,
    ),
    "softmax_backward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p, c_void_p,
    ),
    "pooling_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_int, c_void_p, c_void_p, Dims, Dims, Dims, Dims, Dims, c_void_p,
    ),
    "pooling_backward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, Dims, Dims, Dims, Dims, Dims, c_void_p, c_void_p,
    ),
    "batch_normalization_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_float, c_uint, c_void_p,
    ),
    "batch_normalization_backward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_float, c_uint, c_void_p, c_void_p,
    ),
    "layer_normalization_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_float, c_uint, c_void_p,
    ),
    "reduction_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_float, c_float, c_void_p,
    ),
    "convolution_forward_primitive_desc_create": _WINDOWS,
    "deconvolution_forward_primitive_desc_create": _WINDOWS,
    "vanilla_rnn_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_int, c_int, *_LAYER, c_uint, c_float, c_float, c_void_p,
    ),
    "gru_forward_primitive_desc_create": (_NEW, c_void_p, c_int, c_int, *_LAYER, c_uint, c_void_p),
    "lbr_gru_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_int, *_LAYER, c_uint, c_void_p,
    ),
    "lstm_forward_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_int, *_LAYER, c_void_p, c_void_p, c_void_p, c_void_p, c_uint,
        c_void_p,
    ),
    "convolution_backward_data_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, Dims, Dims, Dims, Dims,
        c_void_p, c_void_p,
    ),
    "convolution_backward_weights_primitive_desc_create": (
        _NEW, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p, Dims, Dims, Dims, Dims,
        c_void_p, c_void_p,
    ),
}  # fmt: skip


class Library:
    """The library's functions, and the processor and the queue that they work with.

    `execute` and `place`, which are called at each run, return their status. Other threads of
    Python go on while `execute` runs, whose arguments are of ctypes' types: to convert them would
    take a third of a call.
    """

    def __init__(self, path: Path) -> None:
        self._functions = ctypes.CDLL(str(path))
        for name, arguments in _SIGNATURES.items():
            getattr(self._functions, f"dnnl_{name}").argtypes = arguments
        self.execute = self._functions["dnnl_primitive_execute"]
        self.place = ctypes.PyDLL(str(path)).dnnl_memory_set_data_handle
        self.place.argtypes = (c_void_p, c_void_p)
        self._descriptor_of = self._functions.dnnl_primitive_desc_query_md
        self._descriptor_of.argtypes = (c_void_p, c_int, c_int)
        self._descriptor_of.restype = c_void_p
        self._size_of = self._functions.dnnl_memory_desc_get_size
        self._size_of.argtypes = (c_void_p,)
        self._size_of.restype = c_size_t
        self._set_threads = getattr(self._functions, _SET_THREADS)
        self.engine = self.make("engine_create", _CPU, 0)
        self.stream = self.make("stream_create", self.engine, _IN_ORDER)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function by its name without `dnnl_`. Raises `RuntimeError` where it fails."""
        check(name, getattr(self._functions, f"dnnl_{name}")(*arguments))

    def make(self, name: str, *arguments: Any) -> c_void_p:
        """The handle of what a function creates. Raises `RuntimeError` where it fails."""
        handle = c_void_p()
        self.call(name, byref(handle), *arguments)
        return handle

    def are_equal(self, one: c_void_p, other: c_void_p) -> bool:
        """Whether two descriptors of memory say the same."""
        return bool(self._functions.dnnl_memory_desc_equal(one, other))

    def size(self, descriptor: c_void_p | int) -> int:
        """The bytes of memory that a descriptor is of."""
        return self._size_of(descriptor)

    def argument(self, primitive_descriptor: c_void_p, argument: int) -> int:
        """The descriptor of what a primitive takes or makes, which lives as long as its own."""
        return self._descriptor_of(primitive_descriptor, ARGUMENT_DESCRIPTOR, argument)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Where this thread computes alone, also what torch computes."""
        before = torch.get_num_threads()
        self._set_threads(1)
        try:
            yield
        finally:
            self._set_threads(before)

    def shares_threads(self) -> bool:
        """Whether it computes in torch's threads, and not in its own beside them."""
        theirs = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        places = [ctypes.cast(getattr(of, _THREADS), c_void_p) for of in (self._functions, theirs)]
        return places[0].value == places[1].value


def check(name: str, status: int) -> None:
    """Raise `RuntimeError` where a function's status says that it failed."""
    if status:
        raise RuntimeError(f"oneDNN's {name} failed: {_FAILURES.get(status, status)}")


def _find() -> Library | None:
    for path in _places():
        try:
            found = Library(path)
            return found if found.shares_threads() else None
        except (OSError, AttributeError):  # for another system, or of another version
            continue
    return None


def _places() -> Iterator[Path]:
    """Where the package `onednn-cpu-gomp` puts it: in the environment, or the user's own."""
    for root in (sys.prefix, site.USER_BASE):
        path = Path(root, "lib", FILE) if root else None
        if path is not None and path.exists():
            yield path


LIBRARY = _find()
"""The library, None where it is not installed or would not share torch's threads."""
