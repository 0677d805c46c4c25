"""Reading the files that data sets come in."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hetu.errors import UsageError, show
from hetu.gzipped import read_bytes

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def find_all(folder: Path, names: Sequence[str]) -> list[Path] | None:
    """The files of those names in a folder, plain or gzipped; None where one is missing."""
    paths = [folder / name for name in names]
    paths = [path if path.is_file() else path.with_name(f"{path.name}.gz") for path in paths]
    return paths if all(path.is_file() for path in paths) else None


def read_idx(path: Path) -> np.ndarray:
    """The array of a file in the format of the MNIST data, `idx<rank>-<type>`."""
    content = read_bytes(path)
    start = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < start or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise UsageError(f"{show(str(path))} is no idx file: its header is not that of one")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    element = np.dtype(_IDX_TYPES[content[2]])
    if len(content) - start != math.prod(shape) * element.itemsize:
        raise UsageError(
            f"{show(str(path))} is broken: {len(content) - start} bytes for shape {list(shape)}"
        )
    array = np.frombuffer(content, element, offset=start).reshape(shape)
    return array.astype(element.newbyteorder("="))
