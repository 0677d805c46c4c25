"""A classifier of sequences: two layers of LSTM."""

from torch import Tensor, nn

WIDTH = 256


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(x)
        return self.head(steps[:, -1])


def lstm() -> nn.Module:
    return Lstm()
