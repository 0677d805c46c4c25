"""Writing files so that a failure leaves what was there before."""

import os
import tempfile
from pathlib import Path

from hetu.errors import UsageError, show


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in the same folder, sync it, and give it its name."""
    if path.is_dir():
        raise UsageError(f"cannot write {show(str(path))}: it is a folder")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UsageError(f"cannot write {show(str(path))}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
