"""Steps of optimizers: new values in, newer values out."""

from collections.abc import Callable, Sequence

import torch

from hetu.errors import ModelError, show
from hetu.ops.kinds import Tensor
from hetu.ops.registry import op

DOMAIN = "ai.onnx.preview.training"


@op("Adagrad", domain=DOMAIN)
def adagrad(
    r: Tensor,
    t: Tensor,
    *inputs: Tensor,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
) -> tuple[Tensor, ...]:
    rate = r / (1 + t.to(r.dtype) * decay_factor)

    def step(x: Tensor, gradient: Tensor, squares: Tensor) -> tuple[Tensor, ...]:
        gradient = norm_coefficient * x + gradient
        squares = squares + gradient.square()
        return x - rate * gradient / (squares.sqrt() + epsilon), squares

    return _each(step, inputs, 3)


@op("Adam", domain=DOMAIN)
def adam(
    r: Tensor,
    t: Tensor,
    *inputs: Tensor,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Tensor, ...]:
    count = t.clamp(min=1).to(r.dtype)
    warmed = r * (1 - beta**count).sqrt() / (1 - alpha**count)
    rate = torch.where(t > 0, warmed, r)

    def step(x: Tensor, gradient: Tensor, mean: Tensor, squares: Tensor) -> tuple[Tensor, ...]:
        gradient = norm_coefficient * x + gradient
        mean = alpha * mean + (1 - alpha) * gradient
        squares = beta * squares + (1 - beta) * gradient.square()
        x = x - rate * mean / (squares.sqrt() + epsilon)
        return (1 - norm_coefficient_post) * x, mean, squares

    return _each(step, inputs, 4)


@op("Momentum", domain=DOMAIN)
def momentum(
    r: Tensor,
    t: Tensor,
    *inputs: Tensor,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Tensor, ...]:
    if mode not in ("standard", "nesterov"):
        raise ModelError(f"Momentum: mode {show(mode)} is neither 'standard' nor 'nesterov'")
    scale = torch.where(t > 0, beta, 1.0).to(r.dtype)

    def step(x: Tensor, gradient: Tensor, speed: Tensor) -> tuple[Tensor, ...]:
        gradient = norm_coefficient * x + gradient
        speed = alpha * speed + scale * gradient
        return x - r * (gradient + alpha * speed if mode == "nesterov" else speed), speed

    return _each(step, inputs, 3)


def _each(
    step: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], roles: int
) -> tuple[Tensor, ...]:
    """`step` on each variable; inputs and outputs list all variables role by role.

    The rate may be of another type than the variables; results are of theirs.
    """
    if not inputs or len(inputs) % roles:
        raise ModelError(f"{len(inputs)} inputs are not {roles} for each variable")
    count = len(inputs) // roles
    variables = [inputs[i::count] for i in range(count)]
    results = [step(*variable) for variable in variables]
    return tuple(
        result.to(variable[0].dtype)
        for role in zip(*results, strict=True)
        for variable, result in zip(variables, role, strict=True)
    )
