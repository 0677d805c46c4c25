"""What every architecture of the zoo is, and how its module is made ready for a comparison."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Inputs = dict[str, Tensor]
Dimensions = dict[str, dict[int, str]]


@dataclass(frozen=True)
class Architecture:
    """A module with the inputs it is exported with, and inputs of other sizes.

    `dynamic` names the dimensions that may vary, by input and axis.
    """

    module: nn.Module
    inputs: Inputs
    others: Inputs
    dynamic: Dimensions

    @property
    def sizes(self) -> list[Inputs]:
        """All inputs that the exported model has to take."""
        return [self.inputs, self.others] if self.dynamic else [self.inputs]


class Outputs(nn.Module):
    """A model of transformers with named inputs, some of its outputs, and fixed options."""

    def __init__(self, model: nn.Module, names: Iterable[str], outputs: str, **options: object):
        super().__init__()
        self.model = model
        self.names, self.outputs, self.options = tuple(names), outputs.split(), options

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        results = self.model(**dict(zip(self.names, values, strict=True)), **self.options)
        return tuple(results[name] for name in self.outputs)


def prepare(module: nn.Module) -> nn.Module:
    """The module without dropout, its weights and statistics all different numbers.

    Exporters merge initializers that are equal; numbers that occur once show where a weight went.
    """
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        names = [n for n, v in vars(part).items() if isinstance(v, float) and "drop" in n]
        for name in [*names, *(["p"] if isinstance(part, nn.modules.dropout._DropoutNd) else [])]:
            setattr(part, name, 0.0)
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean += 0.1 * torch.randn(part.running_mean.shape, generator=generator)
            part.running_var *= 0.5 + torch.rand(part.running_mean.shape, generator=generator)
    _spread(list(module.parameters()), generator)
    return module.eval()


def _spread(parameters: list[nn.Parameter], generator: torch.Generator) -> None:
    """Move the parameters a little, until no number occurs twice."""
    sizes = [parameter.numel() for parameter in parameters]
    moving = torch.ones(sum(sizes), dtype=torch.bool)
    while moving.any():
        with torch.no_grad():
            for parameter, moves in zip(parameters, moving.split(sizes), strict=True):
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += 0.05 * noise * moves.view_as(parameter)
        flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
        _, inverse, counts = torch.unique(flat, return_inverse=True, return_counts=True)
        moving = counts[inverse] > 1


def tensors(results: object) -> list[Tensor]:
    """The tensors among nested results."""
    if isinstance(results, Tensor):
        return [results]
    assert isinstance(results, tuple | list)
    return [leaf for result in results for leaf in tensors(result)]
