"""Where the parameters of a module are in the file that torch's exporter made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import is_parametrized

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Derived:
    """A tensor that the exporter computed from parameters, and the initializer that holds it.

    `order` are the places of the tensor's elements in the initializer.
    """

    tensor: Tensor
    initializer: str
    order: np.ndarray


class Account:
    """Tells of every parameter whether its initializer is the same, rearranged, folded or absent.

    Elements are recognized by their numbers, which `architecture.prepare` made unique: so are
    transposed weights and the gates that ONNX wants in another order. A parameter that was folded
    into another tensor, as a norm is into the convolution before it, is recognized by what torch
    computes for that tensor. `kinds` has every parameter; what is absent has no gradient.
    """

    def __init__(self, module: nn.Module, initializers: Arrays) -> None:
        self._sizes = {name: array.size for name, array in initializers.items()}
        self._flat = np.concatenate([array.ravel() for array in initializers.values()])
        self._owners = np.repeat(np.array(list(initializers)), list(self._sizes.values()))
        self._order = np.argsort(self._flat, kind="stable")
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.owners = {name: self._found(p) for name, p in self.parameters.items()}
        self.derived = list(self._find_derived(module, initializers))
        self.kinds = {name: self._kind(name, initializers) for name in self.parameters}

    @property
    def is_folded(self) -> bool:
        """Whether several parameters became one initializer."""
        return "folded" in self.kinds.values()

    @property
    def is_copied(self) -> bool:
        """Whether a parameter is in several initializers, which the file does not tie."""
        places = (self._places(p) for name, p in self.parameters.items() if self.owners[name])
        return any((right - left > 1).any() for left, right in places)

    @property
    def initializers(self) -> set[str]:
        """The initializers that hold parameters."""
        return set().union(*self.owners.values(), (found.initializer for found in self.derived))

    def gradients(self, given: Arrays) -> dict[str, np.ndarray]:
        """The gradient of each parameter that is not absent, from those of the initializers."""
        zeros = {name: np.zeros(size) for name, size in self._sizes.items()}
        arrays = {**zeros, **{name: array.ravel() for name, array in given.items()}}
        flat = np.concatenate([arrays[name] for name in self._sizes]).astype(np.float64)
        sums = np.concatenate([[0.0], np.cumsum(flat[self._order])])
        folded = self._pulled_back(given)
        gradients = {}
        for name, parameter in self.parameters.items():
            if self.kinds[name] == "folded":
                gradients[name] = folded[name]
            elif self.kinds[name] != "absent":
                left, right = self._places(parameter)
                gradients[name] = (sums[right] - sums[left]).reshape(parameter.shape)
        return gradients

    def _places(self, parameter: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The first and last place of each element among the sorted numbers of the file."""
        numbers = parameter.detach().numpy().ravel()
        sides = (np.searchsorted(self._flat, numbers, s, self._order) for s in ("left", "right"))
        return next(sides), next(sides)

    def _found(self, parameter: Tensor) -> set[str]:
        """The initializers that hold a parameter's elements, if all of them are there."""
        left, right = self._places(parameter)
        if not (right > left).all():
            return set()
        most = int((right - left).max())
        return {str(self._owners[self._order[p]]) for i in range(most)
                for p in (left + i)[right > left + i]}  # fmt: skip

    def _kind(self, name: str, initializers: Arrays) -> str:
        owners, parameter = self.owners[name], self.parameters[name]
        if owners == {name} and initializers[name].shape == tuple(parameter.shape):
            return "same"
        if owners:
            return "rearranged"
        is_folded = any(parameter is leaf for d in self.derived for leaf in _leaves(d.tensor))
        return "folded" if is_folded else "absent"

    def _find_derived(self, module: nn.Module, initializers: Arrays) -> Iterator[Derived]:
        claimed = set().union(*self.owners.values())
        free = {name: array for name, array in initializers.items() if name not in claimed}
        for tensor in _derivable(module):
            numbers = tensor.detach().numpy().ravel()
            for name, array in free.items():
                if array.size != numbers.size or not numbers.size:
                    continue
                theirs, ours = np.argsort(array.ravel()), np.argsort(numbers)
                if np.allclose(array.ravel()[theirs], numbers[ours], rtol=1e-4, atol=1e-6):
                    order = np.empty_like(ours)
                    order[ours] = theirs
                    yield Derived(tensor, name, order)
                    break

    def _pulled_back(self, given: Arrays) -> dict[str, np.ndarray]:
        """The gradients of parameters that were folded, by torch's own chain rule."""
        named = {name: p for name, p in self.parameters.items() if not self.owners[name]}
        totals = {name: torch.zeros_like(p) for name, p in named.items()}
        for found in self.derived:
            seed = given[found.initializer].ravel()[found.order]
            seed = torch.from_numpy(seed).view_as(found.tensor)
            grads = torch.autograd.grad(
                found.tensor, list(named.values()), seed, retain_graph=True, allow_unused=True
            )
            for name, grad in zip(named, grads, strict=True):
                totals[name] += 0 if grad is None else grad
        return {name: total.numpy() for name, total in totals.items()}


def _derivable(module: nn.Module) -> Iterator[Tensor]:
    """What exporters compute from parameters: parametrized weights, norms in what is before them.

    A norm is tried with every layer of as many channels. A temperature is the exponent of a number,
    and some norms multiply by one more than their weight.
    """
    yield from (p.exp() for p in module.parameters() if p.requires_grad and not p.ndim)
    yield from (1 + p for p in module.parameters() if p.requires_grad and p.ndim == 1)
    parts = list(module.modules())
    norms = [part for part in parts if isinstance(part, _BatchNorm)]
    for part in parts:
        if is_parametrized(part):
            yield from (getattr(part, name) for name in part.parametrizations)
        for norm in norms:
            yield from _fused(part, norm)


def _fused(part: nn.Module, norm: nn.Module) -> Iterator[Tensor]:
    """Weight and bias of a layer that does what a norm after it did."""
    is_linear, is_transposed = isinstance(part, nn.Linear), isinstance(part, _ConvTransposeNd)
    if not is_linear and not isinstance(part, _ConvNd):
        return
    axis = 1 if is_transposed else 0
    if part.weight.shape[axis] != norm.num_features:
        return
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    bias = -norm.running_mean if part.bias is None else part.bias - norm.running_mean
    shape = [-1 if i == axis else 1 for i in range(part.weight.ndim)]
    yield part.weight * scale.view(shape)
    yield bias * scale + (0 if norm.bias is None else norm.bias)


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    """The parameters that a tensor was computed from."""
    pending = [tensor.grad_fn]
    while pending:
        function = pending.pop()
        if hasattr(function, "variable"):
            yield function.variable
        pending += [following for following, _ in getattr(function, "next_functions", ())]
