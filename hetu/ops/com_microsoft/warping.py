"""Dynamic time warping."""

from math import inf

import torch

from hetu.ops.kinds import HostTensor
from hetu.ops.registry import op


@op("DynamicTimeWarping", domain="com.microsoft")
def dynamic_time_warping(input: HostTensor) -> HostTensor:
    costs = input.detach().reshape(input.shape[-2:]).tolist()
    moves = _cheapest_moves(costs)
    row, column = len(costs) - 1, len(costs[0]) - 1
    path = [(row, column)]
    while row > 0 or column > 0:
        down, right = moves[row][column]
        row, column = row - down, column - right
        path.append((row, column))
    return torch.tensor(path[::-1], dtype=torch.int32).t().contiguous()


def _cheapest_moves(costs: list[list[float]]) -> list[list[tuple[int, int]]]:
    """The last move, down and to the right, of the cheapest way to each point."""
    above, moves = [0.0, *[inf] * len(costs[0])], []
    for row in costs:
        totals, steps = [inf], []
        for column, cost in enumerate(row):
            diagonal, down, right = above[column], above[column + 1], totals[column]
            is_diagonal, is_down = diagonal < min(down, right), down < min(diagonal, right)
            steps.append((1, 1) if is_diagonal else (1, 0) if is_down else (0, 1))
            totals.append(cost + min(diagonal, down, right))
        above = totals
        moves.append(steps)
    return moves
