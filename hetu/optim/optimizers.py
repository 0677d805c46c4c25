"""The optimizers of the Hetu API."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from hetu.api.gradients import gradients
from hetu.api.value import Value
from hetu.errors import UsageError
from hetu.ir import needed_leaves
from hetu.optim.lr import FixedScheduler
from hetu.optim.rules import Lamb, Momentum
from hetu.optim.train_op import TrainOp


class Optimizer(ABC):
    """An update rule.

    `learning_rate` is a number or a scheduler; `l2reg` adds `l2reg * p` to dense gradients.
    """

    def __init__(self, learning_rate: Any, l2reg: float = 0) -> None:
        is_scheduler = isinstance(learning_rate, FixedScheduler)
        self.lr_sched = learning_rate if is_scheduler else FixedScheduler(learning_rate)
        self.l2reg = l2reg

    @property
    def learning_rate(self) -> float:
        """The rate that the next step uses."""
        return self.lr_sched.get()

    def get_var_list(self, loss: Value | Sequence[Value]) -> list[Value]:
        """The trainable variables that a loss depends on."""
        losses = loss if isinstance(loss, list | tuple) else [loss]
        return [leaf for leaf in needed_leaves(losses) if leaf.trainable]  # pyright: ignore

    def minimize(
        self, loss: Value | Sequence[Value], var_list: Sequence[Value] | None = None
    ) -> TrainOp:
        """The operator that takes one step down a loss, or down the sum of several.

        `var_list` defaults to every trainable variable that the loss depends on; others cost no
        gradient.
        """
        variables = self.get_var_list(loss) if var_list is None else list(var_list)
        if not variables:
            raise UsageError("minimize: the loss depends on no trainable variable")
        for variable in variables:
            if variable.data is None:
                raise UsageError(f"minimize: {variable.name!r} is not a variable")
        return TrainOp(self, variables, gradients(loss, variables, sparse=True))

    @abstractmethod
    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """The torch optimizer that updates some parameters."""


class SGDOptimizer(Optimizer):
    """`p -= lr * g`."""

    def __init__(self, learning_rate: Any = 0.01, l2reg: float = 0) -> None:
        super().__init__(learning_rate, l2reg)

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """`torch.optim.SGD` without momentum."""
        fused = _is_fusible(params)
        return torch.optim.SGD(params, self.learning_rate, weight_decay=l2reg, fused=fused)


class MomentumOptimizer(Optimizer):
    """`v = momentum*v - lr*g; p += v`, or Nesterov's form of it."""

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        l2reg: float = 0,
    ) -> None:
        super().__init__(learning_rate, l2reg)
        self.momentum, self.nesterov = momentum, nesterov

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """See `rules.Momentum`."""
        return Momentum(params, self.learning_rate, self.momentum, self.nesterov, l2reg)


class AdaGradOptimizer(Optimizer):
    """`a += g**2; p -= lr * g / (sqrt(a) + eps)`."""

    def __init__(
        self,
        learning_rate: Any = 0.01,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-7,
        l2reg: float = 0,
    ) -> None:
        super().__init__(learning_rate, l2reg)
        self.initial_accumulator_value, self.eps = initial_accumulator_value, eps

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """`torch.optim.Adagrad`."""
        return torch.optim.Adagrad(
            params, self.learning_rate, weight_decay=l2reg,
            initial_accumulator_value=self.initial_accumulator_value, eps=self.eps,
        )  # fmt: skip


class AdamOptimizer(Optimizer):
    """Adam (Kingma and Ba 2015), bias-corrected, with `epsilon` outside of the root."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        l2reg: float = 0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(learning_rate, l2reg)
        self.betas, self.epsilon, self.amsgrad = (beta1, beta2), epsilon, amsgrad

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """`torch.optim.Adam`."""
        return torch.optim.Adam(
            params, self.learning_rate, self.betas, self.epsilon, l2reg, self.amsgrad,
            fused=_is_fusible(params),
        )  # fmt: skip


class AMSGradOptimizer(AdamOptimizer):
    """Adam that divides by the largest second moment so far (Reddi et al. 2018)."""

    def __init__(
        self,
        learning_rate: Any = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        l2reg: float = 0,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, l2reg, amsgrad=True)


class _DecayedOptimizer(Optimizer):
    def __init__(
        self,
        learning_rate: Any = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(learning_rate)
        self.betas, self.epsilon, self.weight_decay = (beta1, beta2), epsilon, weight_decay


class AdamWOptimizer(_DecayedOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """`torch.optim.AdamW`."""
        return torch.optim.AdamW(
            params, self.learning_rate, self.betas, self.epsilon, self.weight_decay,
            fused=_is_fusible(params),
        )  # fmt: skip


class LambOptimizer(_DecayedOptimizer):
    """Adam whose step has the norm of the parameter (You et al. 2020)."""

    def rule(self, params: list[torch.Tensor], l2reg: float) -> torch.optim.Optimizer:
        """See `rules.Lamb`."""
        return Lamb(params, self.learning_rate, self.betas, self.epsilon, self.weight_decay)


def _is_fusible(params: Sequence[torch.Tensor]) -> bool | None:
    """Whether torch can update all of some parameters in one pass; None leaves it to torch.

    Its fused SGD leaves 16-bit parameters on the CPU as they are.
    """
    types, devices = (torch.float32, torch.float64), ("cpu", "cuda")
    are_fusible = all(
        p.dtype in types and p.device.type in devices and p.is_contiguous() for p in params
    )
    return are_fusible or None
