"""Update rules that torch.optim does not have, in its form.

State tensors that have their parameter's shape hold one entry per element, so that rows of a
parameter can be updated alone.
"""

from collections.abc import Iterable
from typing import Any

import torch

from hetu.ops.native import momentum_step


class Momentum(torch.optim.Optimizer):
    """`v = m*v - lr*g; p += v`; with Nesterov `v = m*(v - lr*g); p += v - lr*g`.

    Unlike `torch.optim.SGD`, the velocity holds the learning rate of each step it sums up.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            gradients = [p.grad for p in params]
            velocities = [_state(self, p, "momentum_v") for p in params]
            step = _nesterov_step if group["nesterov"] else momentum_step
            step(
                params, gradients, velocities, group["momentum"], group["lr"], group["weight_decay"]
            )


def _nesterov_step(
    params: list[torch.Tensor],
    gradients: list[torch.Tensor],
    velocities: list[torch.Tensor],
    momentum: float,
    rate: float,
    decay: float,
) -> None:
    for p, gradient, velocity in zip(params, gradients, velocities, strict=True):
        gradient = gradient.add(p, alpha=decay) if decay else gradient
        velocity.sub_(gradient, alpha=rate).mul_(momentum)
        p.add_(velocity).sub_(gradient, alpha=rate)


class Lamb(torch.optim.Optimizer):
    """LAMB (You et al. 2020): Adam whose step is scaled to the parameter's norm, layer by layer."""

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, p.grad, group)

    def _step(self, p: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        m, v = _state(self, p, "lamb_m"), _state(self, p, "lamb_v")
        count = self.state[p].setdefault("step", torch.zeros(()))
        count += 1
        m.lerp_(gradient, 1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        corrected = v / (1 - beta2 ** float(count))
        update = m / (1 - beta1 ** float(count)) / (corrected.sqrt() + group["eps"])
        size, length = p.norm(), update.norm()
        ratio = torch.where((size > 0) & (length > 0), size / length, torch.ones_like(size))
        p.sub_((update + group["weight_decay"] * p) * (group["lr"] * ratio))


def _state(optimizer: torch.optim.Optimizer, p: torch.Tensor, name: str) -> torch.Tensor:
    state = optimizer.state[p]
    if name not in state:
        state[name] = torch.zeros_like(p)
    return state[name]
