"""Shapes, views and layout."""

import math

import numpy as np
import torch

from hetu.errors import ModelError, UsageError, show
from hetu.ops.kinds import Any, Floats, HostTensor, Ints, Tensor
from hetu.ops.registry import op


@op("Shape")
def shape(data: Any, *, start: int = 0, end: int | None = None) -> HostTensor:
    return torch.tensor(data.shape[start:end], dtype=torch.int64)


@op("Size")
def size(data: Any) -> HostTensor:
    return torch.tensor(math.prod(data.shape), dtype=torch.int64)


@op("Identity")
def identity(input: Any) -> Any:
    return input


@op("Reshape", since=5)
def reshape(data: Tensor, shape: Ints, *, allowzero: bool = False) -> Tensor:
    if not allowzero:
        shape = tuple(data.shape[i] if dim == 0 else dim for i, dim in enumerate(shape))
    y = data.reshape(shape)
    return _as_image(y) if len(shape) == 4 and len(y) == 1 else y


def _as_image(x: Tensor) -> Tensor:
    """One image, with strides by which torch's kernels see that its channels lie side by side.

    A view gives an axis of one element any stride, with which torch takes slower ways: to resize
    such an image takes it up to 15 times as long.
    """
    if not isinstance(x, torch.Tensor) or x.stride(1) != 1 or x.stride(0) == x.numel():
        return x
    pixels = x.permute(0, 2, 3, 1)
    return pixels.view(pixels.shape).permute(0, 3, 1, 2) if pixels.is_contiguous() else x


@op("Reshape")
def reshape_1(data: Tensor, *, shape: Ints = (), consumed_inputs: Ints = ()) -> Tensor:
    return reshape(data, shape)


@op("Flatten")
def flatten(input: Tensor, *, axis: int = 1) -> Tensor:
    return input.reshape(math.prod(input.shape[:axis]), math.prod(input.shape[axis:]))


@op("Squeeze", since=13)
def squeeze(data: Tensor, axes: Ints | None = None) -> Tensor:
    if axes is None:
        return data.squeeze()
    if any(data.shape[axis] != 1 for axis in axes):
        raise UsageError(f"Squeeze: axes {axes} of shape {tuple(data.shape)} are not all of size 1")
    return data.squeeze(axes)


@op("Squeeze")
def squeeze_1(data: Tensor, *, axes: Ints | None = None) -> Tensor:
    return squeeze(data, axes)


@op("Unsqueeze", since=13)
def unsqueeze(data: Tensor, axes: Ints) -> Tensor:
    rank = data.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        data = data.unsqueeze(axis)
    return data


@op("Unsqueeze")
def unsqueeze_1(data: Tensor, *, axes: Ints) -> Tensor:
    return unsqueeze(data, axes)


@op("Transpose")
def transpose(data: Tensor, *, perm: Ints | None = None) -> Tensor:
    return data.permute(tuple(reversed(range(data.ndim))) if perm is None else perm)


@op("Concat", since=4)
def concat(*inputs: Tensor, axis: int) -> Tensor:
    return torch.cat(inputs, axis)


@op("Concat")
def concat_1(*inputs: Tensor, axis: int = 1) -> Tensor:
    return concat(*inputs, axis=axis)


@op("Split", since=13)
def split(
    input: Tensor,
    split: Ints | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    n_outputs: int,
) -> tuple[Tensor, ...]:
    if split is None:
        split = _equal_parts(input.shape[axis], num_outputs or n_outputs)
    return input.split(split, axis)


def _equal_parts(total: int, count: int) -> Ints:
    """Sizes that are equal, but for the last ones where `total` does not suffice."""
    part = math.ceil(total / count)
    return tuple(max(0, min(part, total - i * part)) for i in range(count))


@op("Split", since=2)
def split_2(
    input: Tensor, *, axis: int = 0, split: Ints | None = None, n_outputs: int
) -> tuple[Tensor, ...]:
    sizes = _equal_parts(input.shape[axis], n_outputs) if split is None else split
    return input.split(sizes, axis)


@op("Split")
def split_1(
    input: Tensor,
    split_: Floats | None = None,
    *,
    axis: int = 0,
    split: Ints | None = None,
    n_outputs: int,
) -> tuple[Tensor, ...]:
    """As an input, the lengths are of the type of what is split."""
    lengths = split if split_ is None else tuple(map(int, split_))
    return split_2(input, axis=axis, split=lengths, n_outputs=n_outputs)


@op("Expand", since=8)
def expand(input: Tensor, shape: Ints) -> Tensor:
    return input.expand(np.broadcast_shapes(input.shape, shape))


@op("Tile", since=6)
def tile(input: Tensor, repeats: Ints) -> Tensor:
    return input.tile(repeats)


@op("Tile")
def tile_1(input: Tensor, tiles: int, axis: int) -> Tensor:
    return tile(input, tuple(tiles if i == axis % input.ndim else 1 for i in range(input.ndim)))


@op("DepthToSpace")
def depth_to_space(input: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    batch, channels, height, width = input.shape
    depth = channels // blocksize**2
    if _is_column_row_depth(mode):
        blocks = input.reshape(batch, depth, blocksize, blocksize, height, width)
        pixels = blocks.permute(0, 1, 4, 2, 5, 3)
    else:
        blocks = input.reshape(batch, blocksize, blocksize, depth, height, width)
        pixels = blocks.permute(0, 3, 4, 1, 5, 2)
    return pixels.reshape(batch, depth, height * blocksize, width * blocksize)


@op("SpaceToDepth")
def space_to_depth(input: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    batch, depth, height, width = input.shape
    rows, columns = height // blocksize, width // blocksize
    blocks = input.reshape(batch, depth, rows, blocksize, columns, blocksize)
    order = (0, 1, 3, 5, 2, 4) if _is_column_row_depth(mode) else (0, 3, 5, 1, 2, 4)
    return blocks.permute(order).reshape(batch, depth * blocksize**2, rows, columns)


def _is_column_row_depth(mode: str) -> bool:
    if mode not in ("DCR", "CRD"):
        raise ModelError(f"mode is DCR or CRD, not {show(mode)}")
    return mode == "CRD"
