"""Devices, by the names of the Hetu API."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """A device: `device_type` is 1 for the CPU and 2 for a GPU."""

    device_type: int
    device_id: int = 0
    hostname: str = "localhost"

    @property
    def device(self) -> torch.device:
        """The torch device; the CPU, said once, where the GPU asked for does not exist."""
        if self.device_type == 1:
            return torch.device("cpu")
        if self.device_id < torch.cuda.device_count():
            return torch.device("cuda", self.device_id)
        _say_missing(self.device_id)
        return torch.device("cpu")

    def __str__(self) -> str:
        return f"{'cpu' if self.device_type == 1 else 'gpu'}({self.device_id})"


@cache
def _say_missing(device_id: int) -> None:
    warnings.warn(f"gpu({device_id}): there is no such CUDA device, the CPU is used", stacklevel=4)


def cpu(dev_id: int = 0) -> DeviceContext:
    """The CPU."""
    return DeviceContext(1, dev_id)


def gpu(dev_id: int = 0) -> DeviceContext:
    """A CUDA GPU, or the CPU where there is none."""
    return DeviceContext(2, dev_id)


def rcpu(hostname: str, dev_id: int = 0) -> DeviceContext:
    """The CPU of a named host."""
    return DeviceContext(1, dev_id, hostname)


def rgpu(hostname: str, dev_id: int = 0) -> DeviceContext:
    """A GPU of a named host."""
    return DeviceContext(2, dev_id, hostname)


def is_gpu_ctx(ctx: DeviceContext) -> bool:
    """Whether a context is a GPU."""
    return ctx.device_type == 2


Placement = DeviceContext | torch.device | str | Sequence[DeviceContext] | None


def torch_device(ctx: Placement) -> torch.device:
    """The torch device that a `ctx` argument means; of several devices the first."""
    if ctx is None:
        return torch.device("cpu")
    if isinstance(ctx, DeviceContext):
        return ctx.device
    if isinstance(ctx, str | torch.device):
        return torch.device(ctx)
    return torch_device(ctx[0])
