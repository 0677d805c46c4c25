"""Values of (N, C, D1, ..., Dn) between its elements, at positions that are computed too."""

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_TORCH_MODES = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}


def sample(x: Tensor, positions: Tensor) -> Tensor:
    """Linear interpolation of `x`, zero outside, at positions (N, P, axes) counted in elements."""
    sizes = torch.tensor(x.shape[2:], dtype=torch.float32, device=x.device)
    grid = (positions.to(float_type(x)) * 2 + 1) / sizes - 1
    spread = (1,) * (x.ndim - 3)
    grid = grid.flip(-1).reshape(*positions.shape[:2], *spread, positions.shape[2])
    return grid_sample(x, grid, "linear", "zeros", align_corners=False).flatten(2)


def grid_sample(
    x: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool
) -> Tensor:
    """ONNX's GridSample: `grid` is (N, outputs..., axes), the last axis first, from -1 to 1."""
    work = float_type(x)
    values, grid = x.to(work), grid.to(work.to_real())
    rank = x.ndim - 2
    if work.is_complex or rank > 3 or rank == 1 or (rank == 3 and mode == "cubic"):
        y = _sampled(values, grid, mode, padding_mode, align_corners)
    else:
        y = F.grid_sample(values, grid, _TORCH_MODES[mode], padding_mode, align_corners)
    return y.to(x.dtype)


def float_type(x: Tensor) -> torch.dtype:
    """The type to interpolate in: float64 for integers, so that all of 32 bits are exact."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return torch.float32
    return x.dtype if x.is_floating_point() or x.is_complex() else torch.float64


def _sampled(x: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool) -> Tensor:
    """GridSample for any number of axes."""
    positions = grid.flatten(1, -2).flip(-1).unbind(-1)
    taps = [
        _taps(_in_elements(position, size, align_corners), mode, size, padding_mode, align_corners)
        for position, size in zip(positions, x.shape[2:], strict=True)
    ]
    return _gathered(x, taps).unflatten(2, grid.shape[1:-1])


def _in_elements(position: Tensor, size: int, align_corners: bool) -> Tensor:
    return (position + 1) / 2 * (size - 1) if align_corners else ((position + 1) * size - 1) / 2


def _taps(
    position: Tensor, mode: str, size: int, padding_mode: str, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Along one axis, which elements each position takes and their weights: (N, P, taps) both."""
    if mode == "nearest":
        places, weights = position.round()[..., None], torch.ones_like(position)[..., None]
    else:
        first, last = (0, 1) if mode == "linear" else (-1, 2)
        places = position.floor()[..., None] + torch.arange(first, last + 1, device=position.device)
        weights = _FILTERS[mode]((places - position[..., None]).abs())
    places = places.long()
    if padding_mode == "zeros":
        weights = weights * ((places >= 0) & (places < size))
    elif padding_mode == "reflection":
        places = _reflected(places, size, align_corners)
    return places.clamp(0, size - 1), weights


def _reflected(places: Tensor, size: int, align_corners: bool) -> Tensor:
    """Places beyond the ends, mirrored at the outermost centres (`align_corners`) or edges."""
    last = 2 * (size - 1) if align_corners else 2 * size - 1
    period = max(1, last if align_corners else last + 1)
    places = places.remainder(period)
    return torch.minimum(places, last - places)


def _gathered(x: Tensor, taps: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Sums over all combinations of the axes' taps: (N, C, P)."""
    flat = x.flatten(2)
    n, channels, _ = flat.shape
    total = flat.new_zeros(())
    for choice in product(*(range(places.shape[-1]) for places, _ in taps)):
        place, weight = torch.zeros((), dtype=torch.int64, device=x.device), flat.new_ones(())
        for tap, (places, weights), size in zip(choice, taps, x.shape[2:], strict=True):
            place, weight = place * size + places[..., tap], weight * weights[..., tap]
        index = place[:, None].expand(n, channels, -1)
        total = total + flat.gather(2, index) * weight[:, None]
    return total


def _linear(distance: Tensor) -> Tensor:
    """The weight of an element at a distance."""
    return (1 - distance).clamp(min=0)


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """The weight of an element at a distance (Keys 1981, equation 4)."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0))


_FILTERS = {"linear": _linear, "cubic": _cubic}
