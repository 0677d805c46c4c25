"""Boxes and regions of interest: non-maximum suppression and pooling over regions."""

from functools import partial

import torch

from hetu.ops.autocast import exactly
from hetu.ops.kinds import Indices, Ints, Tensor
from hetu.ops.registry import op


@op("NonMaxSuppression", since=10)
def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes_per_class: int = 0,
    iou_threshold: float = 0.0,
    score_threshold: float | None = None,
    *,
    center_point_box: int = 0,
) -> Indices:
    classes, count = scores.shape[1:]
    ranked, order = torch.sort(scores.flatten(0, 1), dim=-1, descending=True, stable=True)
    if score_threshold is None:
        is_left = torch.ones_like(ranked, dtype=torch.bool)
    else:
        # "Less than score_threshold are removed", but ONNX's reference and every runtime remove
        # equal scores too.
        is_left = ranked > score_threshold
        count = int(is_left.sum(-1).max()) if ranked.numel() else 0
    corners = _corners(boxes, center_point_box).repeat_interleave(classes, 0)
    sorted_boxes = corners.gather(1, order[..., None].expand(-1, -1, 4))[:, :count]
    limit = min(max_output_boxes_per_class, count)
    picks = _suppress(sorted_boxes, is_left[:, :count], limit, iou_threshold)
    rows, columns = picks.nonzero(as_tuple=True)
    return torch.stack([rows // classes, rows % classes, order[rows, columns]], -1)


def _corners(boxes: torch.Tensor, center_point_box: int) -> torch.Tensor:
    """Boxes as their smallest and largest coordinates along both axes."""
    first, second = boxes.split(2, -1)
    if center_point_box:
        first, second = first - second / 2, first + second / 2
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)


def _suppress(
    boxes: torch.Tensor, is_left: torch.Tensor, limit: int, threshold: float
) -> torch.Tensor:
    """Which boxes stay, for several sets of boxes at once, each in order of falling score.

    Each step takes the best box left of every set and drops those that overlap it.
    """
    is_picked = torch.zeros_like(is_left)
    for _ in range(limit):
        if not is_left.any():
            break
        best = is_left.int().argmax(-1, keepdim=True)
        is_best = torch.zeros_like(is_left).scatter(-1, best, True) & is_left
        is_picked = is_picked | is_best
        chosen = boxes.gather(1, best[..., None].expand(-1, -1, 4))
        is_left = is_left & ~is_best & (_overlap(boxes, chosen) <= threshold)
    return is_picked


def _overlap(boxes: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union; 0 where either box is empty."""
    low = torch.maximum(boxes[..., :2], other[..., :2])
    high = torch.minimum(boxes[..., 2:], other[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = _area(boxes) + _area(other) - common
    return torch.where(common > 0, common / union, 0.0)


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


@op("RoiAlign", since=16)
def roi_align(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    is_shifted = coordinate_transformation_mode == "half_pixel"
    corners = _at_least_float32(rois) * spatial_scale - (0.5 if is_shifted else 0.0)
    starts, ends = corners.split(2, -1)
    extents = ends - starts if is_shifted else (ends - starts).clamp(min=1.0)
    xs = _samples(starts[:, 0], extents[:, 0], output_width, sampling_ratio)
    ys = _samples(starts[:, 1], extents[:, 1], output_height, sampling_ratio)
    if mode == "max":
        return _max_of_samples(x, batch_indices, ys, xs)
    return _mean_of_samples(x, batch_indices, ys, xs)


@op("RoiAlign", since=10)
def roi_align_10(
    x: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    return roi_align(
        x, rois, batch_indices, coordinate_transformation_mode="output_half_pixel", mode=mode,
        output_height=output_height, output_width=output_width, sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )  # fmt: skip


def _samples(start: torch.Tensor, extent: torch.Tensor, bins: int, ratio: int) -> torch.Tensor:
    """Positions along one axis: (region, bin, sample), NaN for samples that a bin does not have."""
    size = (extent / bins)[:, None, None]
    counts = torch.full_like(size, ratio) if ratio > 0 else size.detach().ceil()
    most = ratio if ratio > 0 or not counts.numel() else int(counts.max())
    steps = torch.arange(max(most, 1), device=start.device)
    places = torch.arange(bins, device=start.device)[:, None] + (steps + 0.5) / counts.clamp(min=1)
    return (start[:, None, None] + places * size).masked_fill(steps >= counts, torch.nan)


def _mean_of_samples(
    x: torch.Tensor, batch_indices: torch.Tensor, ys: torch.Tensor, xs: torch.Tensor
) -> torch.Tensor:
    """The mean of a grid of bilinear samples is the image between two matrices of weights.

    The regions are taken image by image, so that no image is copied once per region.
    """
    rows = _mean_weights(ys, x.shape[2]).to(x.dtype)
    columns = _mean_weights(xs, x.shape[3]).to(x.dtype)
    order = batch_indices.argsort(stable=True)
    counts = batch_indices.bincount(minlength=len(x)).tolist()
    parts = zip(x, rows[order].split(counts), columns[order].split(counts), strict=True)
    mean = partial(torch.einsum, "rph,chw,rqw->rcpq")
    pooled = [exactly(mean, r, image, c) for image, r, c in parts]
    return torch.cat(pooled)[order.argsort()]


def _mean_weights(positions: torch.Tensor, size: int) -> torch.Tensor:
    """What the mean over each bin's samples takes of each row (or column) of the image.

    Samples more than 1 outside of the image count as 0.
    """
    is_inside = (positions >= -1) & (positions <= size)
    clamped = torch.where(is_inside, positions, 0.0).clamp(0, size - 1)
    distances = (clamped[..., None] - torch.arange(size, device=positions.device)).abs()
    weights = (1 - distances).clamp(min=0) * is_inside[..., None]
    counts = positions.isfinite().sum(-1, keepdim=True).clamp(min=1)
    return weights.sum(2) / counts


def _max_of_samples(
    x: torch.Tensor, batch_indices: torch.Tensor, ys: torch.Tensor, xs: torch.Tensor
) -> torch.Tensor:
    """The largest term of all samples' interpolations, not the largest sample.

    That is what ONNX's test and its runtimes compute.
    """
    rows, row_weights = _terms(ys, x.shape[2])
    columns, column_weights = _terms(xs, x.shape[3])
    weights = row_weights[:, :, :, None, None] * column_weights[:, None, None]
    values = _grid(x, batch_indices, rows, columns) * weights[..., None].to(x.dtype)
    is_row, is_column = (positions.isfinite().repeat(1, 1, 2) for positions in (ys, xs))
    return _max_where(values, is_row, is_column)


def _terms(positions: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Both neighbours of each sample, all lower ones first, and their weights."""
    is_inside = (positions >= -1) & (positions <= size)
    clamped = torch.where(is_inside, positions, 0.0).clamp(0, size - 1)
    low = clamped.detach().floor()
    neighbours = torch.cat([low, low + 1], -1)
    weights = 1 - (clamped.repeat(1, 1, 2) - neighbours).abs()
    return neighbours.clamp(max=size - 1).long(), weights * is_inside.repeat(1, 1, 2)


@op("MaxRoiPool")
def max_roi_pool(
    x: Tensor, rois: Tensor, *, pooled_shape: Ints, spatial_scale: float = 1.0
) -> Tensor:
    scaled = _at_least_float32(rois)[:, 1:] * spatial_scale
    corners = (scaled + torch.full_like(scaled, 0.5).copysign(scaled)).trunc()
    starts, ends = corners.split(2, -1)
    rows, in_rows = _bins(starts[:, 1], ends[:, 1], pooled_shape[0], x.shape[2])
    columns, in_columns = _bins(starts[:, 0], ends[:, 0], pooled_shape[1], x.shape[3])
    return _max_where(_grid(x, rois[:, 0].long(), rows, columns), in_rows, in_columns)


def _bins(
    start: torch.Tensor, end: torch.Tensor, bins: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows (or columns) of each bin: (region, bin, row), and which of them it really has."""
    extent = (end - start + 1).clamp(min=1)[:, None] / bins
    numbers = torch.arange(bins, device=start.device)
    first = ((numbers * extent).floor() + start[:, None]).clamp(0, size).long()
    last = (((numbers + 1) * extent).ceil() + start[:, None]).clamp(0, size).long()
    most = max(int((last - first).max()), 1) if first.numel() else 1
    rows = first[..., None] + torch.arange(most, device=start.device)
    return rows.clamp(max=size - 1), rows < last[..., None]


def _grid(
    x: torch.Tensor, batch_indices: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """The elements at rows (region, bin, row) and columns: (region, bin, row, bin, column, C)."""
    images = batch_indices[:, None, None, None, None]
    return x.movedim(1, -1)[images, rows[:, :, :, None, None], columns[:, None, None]]


def _max_where(values: torch.Tensor, is_row: torch.Tensor, is_column: torch.Tensor) -> torch.Tensor:
    """The largest element of each bin, 0 where it has none: (region, C, bin, bin)."""
    is_in_bin = is_row[:, :, :, None, None] & is_column[:, None, None]
    largest = values.masked_fill(~is_in_bin[..., None], -torch.inf).amax((2, 4))
    is_empty = ~is_in_bin.any(4).any(2)
    return largest.masked_fill(is_empty[..., None], 0.0).movedim(-1, 1)


def _at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Coordinates are worth nothing in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
