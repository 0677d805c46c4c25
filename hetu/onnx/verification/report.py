"""What a verification found."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from hetu.errors import show
from hetu.ir import Value
from hetu.onnx.verification.compare import Errors, Position
from hetu.types import dtype

Status = Literal["equal", "different", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One value of hetu against the same value of ONNX Runtime.

    `op_type` and `node` name what makes it. Errors are over the numbers that are finite on both
    sides, relative ones against ONNX Runtime's. `first_mismatch` is where the first element out of
    tolerance is; `nan_positions` and `infinity_positions` are the first places where only one side
    is NaN, or the infinities differ. `problem` says what else differs: a type, shape or length.
    """

    name: str
    op_type: str
    node: str
    is_output: bool
    dtype: str = ""
    shape: tuple[int, ...] | None = None
    size: int = 0
    mismatches: int = 0
    max_abs_error: float = 0.0
    max_rel_error: float = 0.0
    mean_abs_error: float = 0.0
    first_mismatch: Position | None = None
    nan_mismatches: int = 0
    nan_positions: tuple[Position, ...] = ()
    infinity_mismatches: int = 0
    infinity_positions: tuple[Position, ...] = ()
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the values agree."""
        return not self.mismatches and not self.problem

    @property
    def notes(self) -> str:
        """What the numbers do not say."""
        parts = [self.problem] if self.problem else []
        if self.first_mismatch:
            parts.append(f"first at {_place(self.first_mismatch)}")
        for what, count, positions in (
            ("NaN", self.nan_mismatches, self.nan_positions),
            ("infinity", self.infinity_mismatches, self.infinity_positions),
        ):
            if count:
                more = ", ..." if count > len(positions) else ""
                places = ", ".join(map(_place, positions))
                parts.append(f"{what} on one side {count}x: {places}{more}")
        return "; ".join(parts)

    def __str__(self) -> str:
        by = f" of {self.op_type}" + (f" {show(self.node)}" if self.node else "")
        what = f"{show(self.name)}{by if self.op_type else ''}"
        numbers = (
            f"{self.mismatches} of {self.size} differ, max {self.max_abs_error:.3g}, "
            f"mean {self.mean_abs_error:.3g}"
        )
        return f"{what}: {'; '.join(filter(None, (numbers, self.notes)))}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `verify`.

    `comparisons` are in topological order. `inputs` are the feeds that were used. `random` names
    outputs that depend on random operators: they are not compared. `hetu_error` and `runtime_error`
    say why a side has no results. `versions` are those of the packages.
    """

    comparisons: tuple[Comparison, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    random: tuple[str, ...] = ()
    hetu_error: str = ""
    runtime_error: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> Status:
        """`incomplete`: what was compared agrees, but some outputs are random."""
        if self.hetu_error or self.runtime_error:
            return "failed"
        if self.first_difference is not None:
            return "different"
        return "incomplete" if self.random or not self.comparisons else "equal"

    @property
    def ok(self) -> bool:
        """Whether every output was compared and all values agree."""
        return self.status == "equal"

    @property
    def first_difference(self) -> Comparison | None:
        """The first value, in topological order, that differs."""
        return next((c for c in self.comparisons if not c.ok), None)

    @property
    def outputs(self) -> dict[str, Comparison]:
        """The comparisons of the model's outputs by name."""
        return {c.name: c for c in self.comparisons if c.is_output}

    @property
    def summary(self) -> str:
        """The result in one or a few lines."""
        lines = []
        if self.hetu_error:
            lines.append(f"hetu failed: {self.hetu_error}")
        if self.runtime_error:
            lines.append(f"ONNX Runtime failed: {self.runtime_error}")
        if self.first_difference is not None:
            lines.append(f"the first value that differs is {self.first_difference}")
        if self.random:
            names = ", ".join(map(show, self.random))
            lines.append(f"random, not compared: {names}")
        if not self.comparisons and not lines:
            lines.append("the model has no outputs to compare")
        return "\n".join(lines) or f"{len(self.comparisons)} values agree with ONNX Runtime"

    def rows(self) -> list[tuple[str, ...]]:
        """The comparisons as a table of texts, under a row of titles."""
        titles = ("value", "made by", "type", "differ", "max abs", "max rel", "mean abs", "notes")
        return [titles, *map(_row, self.comparisons)]

    def to_json(self) -> str:
        """Everything but the inputs' contents; numbers that are not finite are texts."""
        content = {
            "ok": self.ok,
            "status": self.status,
            "comparisons": [asdict(c) | {"ok": c.ok} for c in self.comparisons],
            "first_difference": self.first_difference and self.first_difference.name,
            "inputs": {name: _described(value) for name, value in self.inputs.items()},
            "random": self.random,
            "hetu_error": self.hetu_error,
            "runtime_error": self.runtime_error,
            "versions": dict(self.versions),
        }
        return json.dumps(_finite(content), indent=2)

    def __str__(self) -> str:
        rows = self.rows() if self.comparisons else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([f"{self.status}: {self.summary}", *lines])


def comparison_of(value: Value, errors: Errors, content: Any, is_output: bool) -> Comparison:
    """The comparison of a value whose content in ONNX Runtime is given."""
    array = content if isinstance(content, np.ndarray) else None
    return Comparison(
        value.name,
        value.node.op_type if value.node else "",
        value.node.name if value.node else "",
        is_output,
        dtype=_type_name(content),
        shape=None if array is None else array.shape,
        size=errors.size,
        mismatches=errors.mismatches,
        max_abs_error=errors.max_abs,
        max_rel_error=errors.max_rel,
        mean_abs_error=errors.error_sum / errors.finite if errors.finite else 0.0,
        first_mismatch=errors.first,
        nan_mismatches=errors.nan_count,
        nan_positions=tuple(errors.nan_positions),
        infinity_mismatches=errors.infinity_count,
        infinity_positions=tuple(errors.infinity_positions),
        problem=errors.problem,
    )


def _type_name(content: Any) -> str:
    if isinstance(content, np.ndarray):
        return str(dtype(content.dtype))
    if isinstance(content, list | tuple):
        return f"sequence of {len(content)}"
    return "map" if isinstance(content, Mapping) else "none"


def _row(c: Comparison) -> tuple[str, ...]:
    shape = "" if c.shape is None else str(list(c.shape))
    by = f"{c.op_type} {c.node}".strip()
    errors = (f"{e:.3g}" for e in (c.max_abs_error, c.max_rel_error, c.mean_abs_error))
    return (c.name, by, c.dtype + shape, f"{c.mismatches}/{c.size}", *errors, c.notes)


def _place(position: Position) -> str:
    return f"[{', '.join(map(str, position))}]"


def _described(value: Any) -> Any:
    """An input's type and shape."""
    if isinstance(value, list | tuple):
        return [_described(element) for element in value]
    if isinstance(value, Mapping) or value is None:
        return value and f"map of {len(value)}"
    return f"{value.dtype.name}{list(value.shape)}"


def _finite(content: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content
