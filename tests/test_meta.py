"""On the meta device, rules know the shapes and types that torch computes on the CPU."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from hetu.runtime.meta import META, MetaMode

Shape = tuple[int, ...]

UNARY = (
    "abs", "acos", "ceil", "cos", "erf", "exp", "expm1", "floor", "isfinite", "isinf", "isnan",
    "log", "log1p", "logical_not", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid",
    "sign", "sin", "sqrt", "square", "tan", "tanh",
)  # fmt: skip
BINARY = (
    "add", "eq", "fmod", "ge", "gt", "le", "logical_and", "lt", "maximum", "minimum", "mul",
    "ne", "remainder", "sub",
)  # fmt: skip
INDEX = torch.tensor([[0, 1], [1, 0], [0, 0]])


def pool(x: Tensor, **options: Any) -> Any:
    return F.max_pool2d(x, return_indices=True, **options)


SHAPES: dict[str, tuple[Callable[..., Any], *tuple[Shape, ...]]] = {
    "div": (torch.div, (2, 3), (2, 1)),
    "pow": (torch.pow, (2, 3), (2, 3)),
    "add of a number": (lambda x: x + 1.5, (2, 3)),
    "alpha": (lambda x, y: torch.add(x, y, alpha=2), (2, 3), (3,)),
    "from a number": (lambda x: 1 - x, (2, 3)),
    "clamp": (lambda x: x.clamp(0, 1), (2, 3)),
    "activations": (lambda x: F.gelu(F.silu(F.leaky_relu(F.hardtanh(x)))), (2, 3)),
    "where": (lambda x, y: torch.where(x > 0, x, y), (2, 1), (3,)),
    "softmax": (lambda x: torch.softmax(x, 1), (2, 3)),
    "log_softmax": (lambda x: torch.log_softmax(x, 0), (2, 3)),
    "to": (lambda x: x.to(torch.float64), (2, 3)),
    "contiguous": (lambda x: x.t().contiguous(), (2, 3)),
    "zeros_like": (lambda x: torch.zeros_like(x, dtype=torch.int64), (2, 3)),
    "new_full": (lambda x: x.new_full((4, 1), 2), (2, 3)),
    "mm": (torch.matmul, (2, 3), (3, 4)),
    "bmm": (torch.matmul, (5, 2, 3), (5, 3, 4)),
    "matmul": (torch.matmul, (5, 1, 2, 3), (6, 3, 4)),
    "mv": (torch.matmul, (5, 3), (3,)),
    "linear": (F.linear, (5, 2, 3), (4, 3), (4,)),
    "baddbmm": (torch.baddbmm, (1, 1, 4), (5, 2, 3), (5, 3, 4)),
    "conv1d": (lambda x, w: F.conv1d(x, w, stride=2), (2, 3, 9), (4, 3, 2)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, (1, 2), (2, 1)), (2, 3, 9, 8), (4, 3, 2, 3), (4,)),
    "grouped": (lambda x, w: F.conv2d(x, w, groups=3, dilation=2), (2, 6, 9, 8), (9, 2, 2, 3)),
    "conv3d": (lambda x, w: F.conv3d(x, w, padding=1), (2, 3, 5, 6, 7), (4, 3, 2, 3, 2)),
    "transposed": (
        lambda x, w: F.conv_transpose2d(x, w, None, 2, 1, (1, 0), 2, 2),
        (2, 6, 4, 3), (6, 5, 3, 2),
    ),
    "avg_pool": (lambda x: F.avg_pool2d(x, (3, 2), ceil_mode=True), (2, 3, 8, 9)),
    "avg_pool with padding": (lambda x: F.avg_pool2d(x, 2, 2, 1, True), (2, 3, 5, 6)),
    "max_pool": (lambda x: pool(x, kernel_size=2, stride=3, padding=1), (2, 3, 8, 9)),
    "last window": (lambda x: pool(x, kernel_size=1, stride=3, ceil_mode=True), (1, 1, 5, 6)),
    "dilated": (lambda x: pool(x, kernel_size=3, stride=1, dilation=2), (2, 3, 8, 9)),
    "layer_norm": (lambda x, w: F.layer_norm(x, (3, 4), w, w), (2, 3, 4), (3, 4)),
    "cat": (lambda x, y: torch.cat([x, y], -1), (2, 3), (2, 4)),
    "index": (lambda x: x[:, INDEX.to(x.device)], (5, 2, 4)),
    "two indices": (lambda x: x[:, INDEX.to(x.device), INDEX[0].to(x.device)], (5, 2, 2, 4)),
    "index_select": (lambda x: x.index_select(-1, INDEX[0].to(x.device)), (5, 2)),
    "embedding": (lambda x: F.embedding(INDEX.to(x.device), x), (5, 4)),
    "shift": (lambda x: (x > 0).to(torch.int64) << 3 >> 1, (2, 3)),
    "prelu": (F.prelu, (2, 3), (3,)),
    "batch_norm": (lambda x, m, v: F.batch_norm(x, m, v, m, v), (2, 3, 4), (3,), (3,)),
    "group_norm": (lambda x, w: F.group_norm(x, 2, w, w), (2, 4, 5), (4,)),
    "pad": (lambda x: F.pad(x, (1, 2, -1, 0)), (2, 3, 4)),
    "nearest": (lambda x: F.interpolate(x, (5, 7)), (2, 3, 4, 4)),
    "bilinear": (lambda x: F.interpolate(x, (5, 7), mode="bilinear"), (2, 3, 4, 4)),
    "flip": (lambda x: x.flip(0).roll(1, 0).tril(), (2, 3)),
    "repeat": (lambda x: x.repeat(4, 1, 2), (2, 3)),
    "topk": (lambda x: tuple(x.topk(2, 0)), (3, 4)),
    "argmax": (lambda x: x.argmax(1, keepdim=True), (3, 4)),
    "argmin": (lambda x: x.argmin(-2), (3, 4)),
    "gather": (lambda x: x.gather(1, INDEX.to(x.device)), (3, 2)),
    "mean": (lambda x: x.mean((0, -1)), (2, 3, 4)),
    "mean of all": (lambda x: x.mean(), (2, 3)),
    "sum": (lambda x: x.sum(1, keepdim=True), (2, 3)),
    "sum of all": (lambda x: x.sum(dtype=torch.float64), (2, 3)),
    "prod": (lambda x: x.prod(-1, keepdim=True), (2, 3)),
    "prod of all": (lambda x: x.prod(), (2, 3)),
    "logsumexp": (lambda x: x.logsumexp((0, 2)), (2, 3, 4)),
    "any": (lambda x: (x > 0).any(1), (2, 3)),
    "all": (lambda x: (x > 0).all((0, 1), keepdim=True), (2, 3)),
    "any of all": (lambda x: (x > 0).any(), (2, 3)),
    "norm": (lambda x: torch.linalg.vector_norm(x, 2, (0, 1), True), (2, 3)),
    "norm of all": (lambda x: torch.linalg.vector_norm(x, 1), (2, 3)),
    "var": (lambda x: x.var(1, correction=0), (2, 3)),
    "var_mean": (lambda x: torch.var_mean(x, (0, 2), correction=1, keepdim=True), (2, 3, 4)),
    "cumsum": (lambda x: x.cumsum(-1), (2, 3)),
    "cumprod": (lambda x: x.cumprod(0, dtype=torch.float64), (2, 3)),
    "stack": (lambda x, y: torch.stack([x, y], -2), (2, 3), (2, 3)),
    "sort": (lambda x: tuple(x.sort(0, descending=True)), (3, 4)),
    "argsort": (lambda x: torch.argsort(x, dim=1, stable=True), (3, 4)),
    "searchsorted": (lambda x, y: torch.searchsorted(x.sort()[0], y), (5,), (2, 3)),
    "small places": (lambda x, y: torch.searchsorted(x, y, out_int32=True), (2, 5), (2, 3)),
    "cdist": (lambda x, y: torch.cdist(x.float(), y.float()), (4, 3), (5, 3)),
    "scatter": (lambda x, y: x.scatter(1, INDEX.to(x.device), y), (3, 4), (3, 2)),
    "scatter_add": (lambda x, y: x.scatter_add(1, INDEX.to(x.device), y), (3, 4), (3, 2)),
    "scatter_reduce": (
        lambda x, y: x.scatter_reduce(1, INDEX.to(x.device), y, "amax"), (3, 4), (3, 2),
    ),
    "index_add": (lambda x, y: x.index_add(0, INDEX[:, 0].to(x.device), y), (2, 4), (3, 4)),
    "index_put": (lambda x, y: x.index_put((INDEX[:, 0].to(x.device),), y), (2, 4), (3, 4)),
    "masked_fill": (lambda x: x.masked_fill(x > 0, 1), (2, 3)),
    "nan_to_num": (lambda x: torch.nan_to_num(x), (2, 3)),
    "lerp": (torch.lerp, (2, 3), (2, 3), (3,)),
    "lerp by a number": (lambda x, y: torch.lerp(x, y, 0.5), (2, 3), (3,)),
    "addcmul": (torch.addcmul, (3,), (2, 3), (2, 1)),
    "atan2": (torch.atan2, (2, 3), (3,)),
    "logaddexp": (torch.logaddexp, (2, 3), (2, 1)),
    "reflect": (lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"), (2, 3, 4, 5)),
    "replicate": (lambda x: F.pad(x, (1, 2), mode="replicate"), (2, 3, 4)),
    "rand_like": (lambda x: torch.rand_like(x, dtype=torch.float64), (2, 3)),
    "arange": (lambda x: x * torch.arange(1, 7.5, 2.5, device=x.device), (3,)),
    "whole arange": (lambda x: torch.arange(5, device=x.device), (3,)),
    "arange that counts down": (lambda x: torch.arange(9, 2, -3, device=x.device), (3,)),
    "eye": (lambda x: torch.eye(2, 3, device=x.device), (3,)),
    "grid_sample": (
        lambda x, g: F.grid_sample(x, g, align_corners=False), (2, 3, 4, 5), (2, 6, 7, 2),
    ),
    "adaptive pool": (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), (2, 3, 7, 8)),
    "amax": (lambda x: x.amax(1), (2, 3)),
    "amin": (lambda x: x.amin(keepdim=True), (2, 3)),
    **{name: (getattr(torch, name), (2, 3)) for name in UNARY},
    **{name: (getattr(torch, name), (4, 1, 3), (2, 3)) for name in BINARY},
}  # fmt: skip

INTEGERS: dict[str, Callable[[Tensor], Any]] = {
    "add": lambda x: x + x,
    "add of a float": lambda x: x + 1.5,
    "div": lambda x: x / x,
    "sqrt": lambda x: x.sqrt(),
    "sum": lambda x: x.sum(),
    "prod": lambda x: x.prod(1),
    "any": lambda x: x.any(0),
    "fourier": lambda x: torch.fft.fft(x.to(torch.complex64), dim=0),
    "any of bytes": lambda x: x.to(torch.uint8).any(0),
    "cumsum": lambda x: x.cumsum(1),
    "cumsum of truth": lambda x: (x > 0).cumsum(0),
    "mixed": lambda x: x * x.to(torch.float32),
    "compare": lambda x: x > 1,
    "bits": lambda x: x & 1,
    "complex": lambda x: x.to(torch.complex64).abs(),
    "truth": lambda x: (x > 0) * True,
    "truth and a number": lambda x: (x > 0) * 2,
}


def described(result: Any) -> list[tuple[Shape, torch.dtype]]:
    tensors = result if isinstance(result, tuple) else (result,)
    return [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]


def on_meta(function: Callable[..., Any], *tensors: Tensor) -> Any:
    with torch.no_grad(), MetaMode():
        return function(*(tensor.to(META) for tensor in tensors))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES)
def test_floats(case: tuple[Any, ...], dtype: torch.dtype) -> None:
    function, *shapes = case
    tensors = [torch.rand(shape).to(dtype) for shape in shapes]
    result = on_meta(function, *tensors)
    assert described(result) == described(function(*tensors))
    assert all(tensor.is_meta for tensor in (result if isinstance(result, tuple) else (result,)))


@pytest.mark.parametrize("function", INTEGERS.values(), ids=INTEGERS)
def test_integers(function: Callable[[Tensor], Any]) -> None:
    tensor = torch.ones(2, 3, dtype=torch.int64)
    assert described(on_meta(function, tensor)) == described(function(tensor))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (torch.add, [(2, 3), (2, 4)]),
        (lambda x: -(x > 0), [(2, 3)]),
        (lambda x: F.max_pool2d(x, 2, 1, 1), [(1, 3, 0, 4)]),
        (torch.mm, [(2, 3), (4, 5)]),
        (torch.bmm, [(2, 3, 4), (3, 4, 5)]),
        (F.conv2d, [(1, 3, 4, 4), (2, 2, 1, 1)]),
        (F.conv2d, [(1, 3, 2, 2), (2, 3, 5, 5)]),
        (lambda x, y: torch.cat([x, y]), [(2, 3), (2, 4)]),
    ],
)
def test_what_does_not_fit(function: Callable[..., Any], shapes: list[Shape]) -> None:
    with pytest.raises((RuntimeError, ValueError)):
        on_meta(function, *map(torch.rand, shapes))


def test_rules_import_nothing() -> None:
    """torch's own functions for the device import torch._dynamo, or sympy at least."""
    code = (
        "import sys, torch, test_meta\n"
        "for function, *shapes in test_meta.SHAPES.values():\n"
        "    test_meta.on_meta(function, *map(torch.rand, shapes))\n"
        "    assert not {'torch._dynamo', 'sympy'} & {*sys.modules}, function\n"
    )
    environment = {"PYTHONPATH": __file__.rpartition("/")[0]}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
