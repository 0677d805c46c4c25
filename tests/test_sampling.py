"""Interpolation over any number of axes agrees with torch's over two and three."""

import pytest
import torch

from hetu.ops import sampling

CASES = [
    (rank, mode, padding_mode, align_corners)
    for rank, modes in ((2, ("nearest", "linear", "cubic")), (3, ("nearest", "linear")))
    for mode in modes
    for padding_mode in ("zeros", "border", "reflection")
    for align_corners in (False, True)
]


@pytest.mark.parametrize(("rank", "mode", "padding_mode", "align_corners"), CASES)
def test_any_rank_is_torchs(rank: int, mode: str, padding_mode: str, align_corners: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *(4, 5, 3)[:rank], generator=generator, dtype=torch.float64)
    grid = torch.rand(2, 6, *(2,) * (rank - 1), rank, generator=generator, dtype=torch.float64)
    settings = (4 * grid - 2, mode, padding_mode, align_corners)
    expected = sampling.grid_sample(x, *settings)
    torch.testing.assert_close(sampling._sampled(x, *settings), expected)


@pytest.mark.parametrize(("rank", "mode"), [(1, "linear"), (1, "cubic"), (3, "cubic")])
def test_gradients_where_torch_has_no_sampler(rank: int, mode: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 2, *(3,) * rank, generator=generator, dtype=torch.float64)
    grid = torch.rand(1, 2, *(1,) * (rank - 1), rank, generator=generator, dtype=torch.float64)
    grid = 2.6 * grid - 1.3
    assert torch.autograd.gradcheck(
        lambda x, grid: sampling.grid_sample(x, grid, mode, "reflection", False),
        (x.requires_grad_(), grid.requires_grad_()),
    )


def test_positions_on_elements_take_them() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    positions = torch.tensor([[[0.0, 0.0], [2.0, 3.0], [1.0, 2.0], [-1.0, 0.0], [0.5, 0.0]]])
    torch.testing.assert_close(
        sampling.sample(x, positions), torch.tensor([[[0.0, 11.0, 6.0, 0.0, 2.0]]])
    )
