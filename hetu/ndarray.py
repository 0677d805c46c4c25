"""The original import path of arrays and devices."""

from hetu.runtime.device import DeviceContext as DLContext
from hetu.runtime.device import cpu, gpu, is_gpu_ctx, rcpu, rgpu
from hetu.runtime.ndarray import NDArray, array, empty

__all__ = ["DLContext", "NDArray", "array", "cpu", "empty", "gpu", "is_gpu_ctx", "rcpu", "rgpu"]
