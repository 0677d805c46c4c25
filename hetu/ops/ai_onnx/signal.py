"""Fourier transforms, and the windows and weights that go with them."""

import math
from collections.abc import Callable, Sequence

import torch

from hetu.ops.kinds import Any, Context, DType, Tensor
from hetu.ops.registry import op
from hetu.types import FLOAT32


@op("DFT", since=20)
def dft(
    input: Tensor,
    dft_length: int | None = None,
    axis: int = -2,
    *,
    inverse: bool = False,
    onesided: bool = False,
) -> Tensor:
    signal = _signal(input)
    axis = axis % input.ndim
    if inverse and onesided:
        return torch.fft.irfft(signal, dft_length, axis).unsqueeze(-1).to(input.dtype)
    transform = torch.fft.ifft if inverse else _forward_transform(signal, onesided)
    return _pairs(transform(signal, dft_length, axis), input.dtype)


@op("DFT", since=17)
def dft_17(
    input: Tensor,
    dft_length: int | None = None,
    *,
    axis: int = 1,
    inverse: bool = False,
    onesided: bool = False,
) -> Tensor:
    return dft(input, dft_length, axis, inverse=inverse, onesided=onesided)


@op("STFT", since=17)
def stft(
    signal: Tensor,
    frame_step: int,
    window: Tensor | None = None,
    frame_length: int | None = None,
    *,
    onesided: bool = True,
) -> Tensor:
    if frame_length is None:
        frame_length = signal.shape[1] if window is None else window.shape[0]
    if signal.ndim == 2:  # as torch's exporter writes it: real, without an axis that says so
        signal = signal.unsqueeze(-1)
    frames = _signal(signal).unfold(1, frame_length, frame_step)
    if window is not None:
        frames = frames * window
    return _pairs(_forward_transform(frames, onesided)(frames), signal.dtype)


def _signal(x: Tensor) -> Tensor:
    """Numbers from their last axis: the real part, or real and imaginary part."""
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return x.squeeze(-1) if x.shape[-1] == 1 else torch.view_as_complex(x.contiguous())


def _pairs(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.view_as_real(x.resolve_conj()).to(dtype)


def _forward_transform(signal: Tensor, onesided: bool) -> Callable[..., Tensor]:
    if not onesided:
        return torch.fft.fft
    return _first_half if signal.is_complex() else torch.fft.rfft


def _first_half(signal: Tensor, length: int | None = None, axis: int = -1) -> Tensor:
    spectrum = torch.fft.fft(signal, length, axis)
    return spectrum.narrow(axis, 0, spectrum.shape[axis] // 2 + 1)


@op("HannWindow", since=17)
def hann_window(
    size: int, *, output_datatype: DType | None = None, periodic: bool = True, ctx: Context
) -> Any:
    return _cosine_window((0.5, 0.5), size, periodic, output_datatype, ctx)


@op("HammingWindow", since=17)
def hamming_window(
    size: int, *, output_datatype: DType | None = None, periodic: bool = True, ctx: Context
) -> Any:
    return _cosine_window((25 / 46, 21 / 46), size, periodic, output_datatype, ctx)


@op("BlackmanWindow", since=17)
def blackman_window(
    size: int, *, output_datatype: DType | None = None, periodic: bool = True, ctx: Context
) -> Any:
    return _cosine_window((0.42, 0.5, 0.08), size, periodic, output_datatype, ctx)


def _cosine_window(
    coefficients: Sequence[float], size: int, periodic: bool, element: DType | None, ctx: Context
) -> Tensor:
    """Alternating sum of cosines; a symmetric window of one element is 0 / 0 by ONNX's formula."""
    angles = torch.arange(size, **_exact(ctx)) * (2 * math.pi) / (size if periodic else size - 1)
    terms = [a * torch.cos(k * angles) * (-1) ** k for k, a in enumerate(coefficients)]
    return _stored(sum(reversed(terms), torch.zeros_like(angles)), element)


@op("MelWeightMatrix", since=17)
def mel_weight_matrix(
    num_mel_bins: int,
    dft_length: int,
    sample_rate: int,
    lower_edge_hertz: float,
    upper_edge_hertz: float,
    *,
    output_datatype: DType | None = None,
    ctx: Context,
) -> Any:
    lowest, highest = _mel(lower_edge_hertz), _mel(upper_edge_hertz)
    mels = lowest + (highest - lowest) / (num_mel_bins + 2) * torch.arange(
        num_mel_bins + 2, **_exact(ctx)
    )
    hertz = 700 * torch.expm1(mels * (math.log(10) / 2595))
    edges = torch.floor((dft_length + 1) * hertz / sample_rate)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    bins = torch.arange(dft_length // 2 + 1, **_exact(ctx)).unsqueeze(1)
    rising = (bins - left) / (center - left).clamp(min=1)
    falling = (right - bins) / (right - center).clamp(min=1)
    slopes = torch.where(bins < center, rising, falling).clamp(min=0)
    return _stored(slopes.masked_fill(bins == center, 1), output_datatype)


def _mel(hertz: float) -> float:
    return 2595 * math.log1p(hertz / 700) / math.log(10)


def _exact(ctx: Context) -> dict[str, Any]:
    return {"dtype": torch.float64, "device": ctx.device}


def _stored(x: Tensor, element: DType | None) -> Tensor:
    return x.to((element or FLOAT32).torch)
