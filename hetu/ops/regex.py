"""Regular expressions from files: RE2, which matches in linear time."""

from functools import lru_cache
from typing import Any

from hetu.errors import ModelError, UsageError, show


@lru_cache
def regex(pattern: str) -> Any:
    """The compiled pattern. Raises `UsageError` without the RE2 package."""
    try:
        import re2
    except ImportError as error:
        raise UsageError("regular expressions need RE2: pip install hetu-onnx[text]") from error
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ModelError(f"{show(pattern)} is no RE2 pattern: {error}") from error
