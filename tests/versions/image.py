"""Calls of image operators."""

import io

import numpy as np
from PIL import Image

from tests.support.examples import Call, Random, example


@example("ImageDecoder")
def image_decoder(random: Random, version: int) -> Call:
    pixels = random.integers(*random.shape(2), 3, low=0, high=255, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    x = np.frombuffer(stream.getvalue(), np.uint8)
    return Call([x], {"pixel_format": random.choice("RGB", "BGR", "Grayscale")})
