"""Wide and deep (Cheng et al., 2016) over the columns of Criteo: 13 numbers, 26 categories."""

import torch
from torch import Tensor, nn

NUMBERS, CATEGORIES, ROWS, WIDTH, HIDDEN = 13, 26, 10_000, 16, 256


class WideAndDeep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(ROWS, WIDTH) for _ in range(CATEGORIES))
        self.wide = nn.Linear(NUMBERS, 1)
        self.deep = nn.Sequential(
            nn.Linear(NUMBERS + CATEGORIES * WIDTH, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, 1),
        )  # fmt: skip

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        looked_up = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        return self.wide(numbers) + self.deep(torch.cat([numbers, *looked_up], 1))


def wide_and_deep() -> nn.Module:
    return WideAndDeep()
