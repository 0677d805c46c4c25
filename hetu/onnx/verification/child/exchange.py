"""Values in a folder, for two processes: JSON says what they are, plain files hold the numbers."""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - gives numpy the names of its types
import numpy as np


def write_values(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Put values (arrays, lists, dicts, None) into a new folder; what comes back describes them."""
    folder.mkdir()
    files = (folder / str(number) for number in count())
    return {name: _write(value, files) for name, value in values.items()}


def _write(value: Any, files: Iterator[Path]) -> Any:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return {"elements": [_write(element, files) for element in value]}
    if isinstance(value, dict):
        keys = [key.item() if isinstance(key, np.generic) else key for key in value]
        return {"keys": keys, "values": [_write(v, files) for v in value.values()]}
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        return {"texts": [_text(t) for t in array.reshape(-1).tolist()], "shape": array.shape}
    path = next(files)
    np.ascontiguousarray(array).reshape(-1).view(np.uint8).tofile(path)
    return {"dtype": array.dtype.name, "shape": array.shape, "file": path.name}


def _text(text: str | bytes) -> str:
    return text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else str(text)


def read_values(descriptions: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The inverse of `write_values`; the arrays own their memory, the folder may go."""
    return {name: _read(description, folder) for name, description in descriptions.items()}


def _read(description: Any, folder: Path) -> Any:
    match description:
        case None:
            return None
        case {"elements": elements}:
            return [_read(element, folder) for element in elements]
        case {"keys": keys, "values": values}:
            return dict(zip(keys, (_read(value, folder) for value in values), strict=True))
        case {"texts": texts, "shape": shape}:
            return np.array(texts, dtype=object).reshape(shape)
    numbers = np.fromfile(folder / description["file"], np.uint8)
    return numbers.view(description["dtype"]).reshape(description["shape"])
