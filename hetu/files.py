"""Writing files so that a failure or a kill, at any point, leaves what was there before."""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from hetu.errors import HetuError, StorageError, UsageError, show

Write = Callable[[FileIO], None]
"""Fills a new file, which is unbuffered; its `name` may be used to open it once more."""

_BAD_PATHS = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL,
})  # fmt: skip


def write_file(path: Path, write: Write) -> None:
    """Write a file, or leave what was there as it was. Raises as `write_files` does."""
    write_files([(path, write)])


def write_files(parts: Sequence[tuple[Path, Write]]) -> None:
    """Write files of one folder in one commit: all of them are new, or nothing has changed.

    All are written under temporary names and synced before the first gets its own name. To name the
    last is the commit, so those before it must have names that nothing refers to yet. Raises
    `UsageError` for a path that cannot be written to and `StorageError` where the disk is full.
    """
    path = parts[-1][0]
    if os.path.isdir(path):
        raise UsageError(f"cannot write {show(str(path))}: it is a folder")
    if "\0" in str(path):
        raise UsageError(f"cannot write {show(str(path))}: it is no path")
    try:
        _remove_leftovers(path)
        with ExitStack() as stack:
            temporary = [stack.enter_context(_staged(path, write)) for _, write in parts]
            _rename(temporary, [target for target, _ in parts])
    except HetuError:
        raise
    except OSError as error:
        raise _explained(error, path) from error


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all bytes; the system takes some 2 GiB at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _explained(error: OSError, path: Path) -> HetuError:
    what = f"cannot write {show(str(path))}: {error.strerror or error}"
    if error.errno in _BAD_PATHS:
        return UsageError(what)
    return StorageError(
        error.errno, f"{what}; what was there is unchanged. Free space or choose another folder"
    )


@contextmanager
def _staged(path: Path, write: Write) -> Iterator[Path]:
    """A temporary file beside `path`, written and synced; it is gone afterwards, unless renamed."""
    file = _create(path)
    temporary = Path(os.fsdecode(file.name))
    with file:
        try:
            write(file)
            os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _create(path: Path) -> FileIO:
    """A new temporary file. Its lock, which ends with the process, tells that it is in use."""
    while True:
        file = FileIO(path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp", "x+")
        with suppress(OSError):  # without locks, leftovers stay
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # another process took it for a leftover, before it was locked


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote to `path`."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.tmp")
    for name in filter(pattern.fullmatch, os.listdir(path.parent)):
        with suppress(OSError), FileIO(path.parent / name) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path.parent / name)


def _rename(temporary: Sequence[Path], targets: Sequence[Path]) -> None:
    *before, commit = zip(temporary, targets, strict=True)
    folder = targets[-1].parent
    try:
        for source, target in before:
            os.replace(source, target)
            _sync_folder(folder)  # the names are on the disk before something refers to them
        os.replace(*commit)
    except BaseException:
        if temporary[-1].exists():  # the commit has not happened
            for _, target in before:
                target.unlink(missing_ok=True)
        raise
    try:
        _sync_folder(folder)
    except OSError as error:
        path = show(str(targets[-1]))
        reason = f"{path} is written, but may be lost with the power: {error.strerror}"
        raise StorageError(error.errno, reason) from error


def _sync_folder(folder: Path) -> None:
    """Have the disk keep the names that a folder has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
