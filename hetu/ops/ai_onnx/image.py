"""Decoding of images."""

import io
import warnings

import numpy as np
import torch

from hetu.errors import ModelError, UsageError, show
from hetu.ops.kinds import Tensor
from hetu.ops.registry import op

MODES = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}
"""What the formats are to Pillow."""


@op("ImageDecoder", since=20)
def image_decoder(encoded_stream: Tensor, *, pixel_format: str = "RGB") -> Tensor:
    """An image without pixels where the stream cannot be decoded, as ONNX wants it."""
    if pixel_format not in MODES:
        raise ModelError(f"pixel_format {show(pixel_format)} is none of {', '.join(MODES)}")
    pixels = _decoded(encoded_stream.cpu().numpy().tobytes(), MODES[pixel_format])
    pixels = pixels[..., ::-1].copy() if pixel_format == "BGR" else pixels
    return torch.from_numpy(pixels).to(encoded_stream.device)


def _decoded(stream: bytes, mode: str) -> np.ndarray:
    """Pixels (height, width, channels)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("ImageDecoder needs Pillow: pip install hetu-onnx[image]") from error
    channels = len(mode)
    try:
        with warnings.catch_warnings():
            # an image far larger than its stream is no image to decode
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            pixels = np.array(Image.open(io.BytesIO(stream)).convert(mode))
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return np.zeros((0, 0, channels), np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)
