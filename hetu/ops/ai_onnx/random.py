"""Random numbers, and what draws them: Dropout, Bernoulli, Multinomial."""

import struct

import torch

from hetu import types
from hetu.ops.kinds import Any, Context, DType, Ints, Mask, Tensor
from hetu.ops.registry import op
from hetu.types import FLOAT32, INT32


@op("Dropout", since=12)
def dropout(
    data: Tensor,
    ratio: float = 0.5,
    training_mode: bool = False,
    *,
    seed: int | None = None,
    ctx: Context,
) -> tuple[Tensor, Mask | None]:
    return _drop(data, ratio, training_mode, seed, ctx)


@op("Dropout", since=10)
def dropout_10(data: Tensor, *, ratio: float = 0.5, ctx: Context) -> tuple[Tensor, Mask | None]:
    return _drop(data, ratio, False, None, ctx)


@op("Dropout", since=7)
def dropout_7(data: Tensor, *, ratio: float = 0.5, ctx: Context) -> tuple[Tensor, Tensor | None]:
    output, mask = _drop(data, ratio, False, None, ctx)
    return output, mask.to(data.dtype)


@op("Dropout")
def dropout_1(
    data: Tensor, *, is_test: bool = False, ratio: float = 0.5, ctx: Context
) -> tuple[Tensor, Tensor | None]:
    output, mask = _drop(data, ratio, not is_test, None, ctx)
    return output, mask.to(data.dtype)


def _drop(
    data: Tensor, ratio: float, training_mode: bool, seed: int | None, ctx: Context
) -> tuple[Tensor, Tensor]:
    """The values that are left, scaled, and where they are."""
    if not ctx.is_training(training_mode) or ratio == 0:
        return data, torch.ones_like(data, dtype=torch.bool)
    mask = torch.empty_like(data, dtype=torch.bool)
    mask.bernoulli_(1 - ratio, generator=ctx.generator_of(seed))
    return data * mask * (1 / (1 - ratio)), mask


def _generator(ctx: Context, seed: float | None) -> torch.Generator | None:
    """The generator of a node whose seed is a float: the bits of the float count."""
    if seed is None:
        return ctx.generator
    return ctx.generator_of(int.from_bytes(struct.pack("<f", seed), "little"))


@op("RandomNormal")
def random_normal(
    *,
    dtype: DType | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    shape: Ints,
    ctx: Context,
) -> Tensor:
    return (
        torch.randn(
            shape,
            generator=_generator(ctx, seed),
            dtype=(dtype or FLOAT32).torch,
            device=ctx.device,
        )
        * scale
        + mean
    )


@op("RandomNormalLike")
def random_normal_like(
    input: Any,
    *,
    dtype: DType | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    ctx: Context,
) -> Any:
    kind = dtype or types.dtype(input.dtype)
    return random_normal(shape=input.shape, dtype=kind, mean=mean, scale=scale, seed=seed, ctx=ctx)


@op("RandomUniform")
def random_uniform(
    *,
    dtype: DType | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
    shape: Ints,
    ctx: Context,
) -> Tensor:
    return (
        torch.rand(
            shape,
            generator=_generator(ctx, seed),
            dtype=(dtype or FLOAT32).torch,
            device=ctx.device,
        )
        * (high - low)
        + low
    )


@op("RandomUniformLike")
def random_uniform_like(
    input: Any,
    *,
    dtype: DType | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
    ctx: Context,
) -> Any:
    kind = dtype or types.dtype(input.dtype)
    return random_uniform(shape=input.shape, dtype=kind, high=high, low=low, seed=seed, ctx=ctx)


@op("Bernoulli", since=15)
def bernoulli(
    input: Tensor, *, dtype: DType | None = None, seed: float | None = None, ctx: Context
) -> Any:
    drawn = torch.bernoulli(input.detach(), generator=_generator(ctx, seed))
    return drawn.to(dtype.torch) if dtype else drawn


@op("Multinomial", since=7)
def multinomial(
    input: Tensor,
    *,
    dtype: DType | None = None,
    sample_size: int = 1,
    seed: float | None = None,
    ctx: Context,
) -> Any:
    drawn = torch.multinomial(
        torch.softmax(input, 1), sample_size, replacement=True, generator=_generator(ctx, seed)
    )
    return drawn.to((dtype or INT32).torch)
