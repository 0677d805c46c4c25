"""Files that may be gzipped."""

import gzip
import zlib
from pathlib import Path

from hetu.errors import UsageError, show

_GZIP = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """A file's contents, unpacked where it is gzipped."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{show(str(path))} cannot be read: {error}") from error
