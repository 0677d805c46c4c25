"""The array type that the Hetu API hands out."""

from typing import Any

import numpy as np
import torch

from hetu.convert import to_numpy, to_torch
from hetu.runtime.device import DeviceContext, Placement, torch_device
from hetu.types import dtype as find_dtype


class NDArray:
    """A tensor, or an array of strings, on some device."""

    def __init__(self, data: torch.Tensor | np.ndarray) -> None:
        self.data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> np.dtype:
        """Numpy's or ml_dtypes' type of the elements."""
        return find_dtype(self.data.dtype).numpy

    @property
    def ctx(self) -> DeviceContext:
        """Where the data lies."""
        device = self.data.device if isinstance(self.data, torch.Tensor) else torch.device("cpu")
        if isinstance(device, torch.device) and device.type == "cuda":
            return DeviceContext(2, device.index or 0)
        return DeviceContext(1)

    def asnumpy(self) -> np.ndarray:
        """A numpy array with the same elements."""
        return to_numpy(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.asnumpy()
        return np.array(array, dtype, copy=True) if copy else np.asarray(array, dtype)

    def copyto(self, target: "NDArray | DeviceContext") -> "NDArray":
        """Copy into another array, or into a new one on a device."""
        if isinstance(target, DeviceContext):
            moved = (
                self.data.to(target.device) if isinstance(self.data, torch.Tensor) else self.data
            )
            return NDArray(moved)
        target[:] = self
        return target

    def __setitem__(self, key: Any, content: "NDArray | np.ndarray | float") -> None:
        source = content.data if isinstance(content, NDArray) else content
        if isinstance(self.data, np.ndarray):
            self.data[key] = source
        else:
            self.data[key] = torch.as_tensor(source, device=self.data.device)

    def __getitem__(self, key: Any) -> "NDArray":
        return NDArray(self.data[key])

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"NDArray({self.asnumpy()!r}, ctx={self.ctx})"


def array(content: Any, ctx: Placement = None, dtype: Any = np.float32, **options: Any) -> NDArray:
    """A new array on a device; `data_type` is accepted for `dtype`."""
    element = find_dtype(options.get("data_type", dtype))
    return NDArray(to_torch(np.array(content).astype(element.numpy), torch_device(ctx)))


def empty(shape: tuple[int, ...], ctx: Placement = None, dtype: Any = np.float32) -> NDArray:
    """A new array whose elements are zero."""
    return array(np.zeros(shape), ctx, dtype)
