"""oneDNN's own library, where it is installed: its primitives, called without torch in between."""

from hetu.onednn.operations import (
    Geometry,
    Packed,
    convolution,
    is_available,
    linear,
    pack_convolution,
    pack_linear,
)

__all__ = [
    "Geometry", "Packed", "convolution", "is_available", "linear", "pack_convolution",
    "pack_linear",
]  # fmt: skip
