"""Every error that hetu raises on purpose."""

MAX_NAME = 200


class HetuError(Exception):
    """Base of all errors that hetu raises."""


class ModelError(HetuError):
    """The file or proto is not a valid ONNX model."""


class UnsupportedError(HetuError):
    """The model is valid, but hetu cannot run or convert it; the message lists all reasons."""


class UsageError(HetuError):
    """The call is wrong: a bad argument, feed or name."""


class LimitError(HetuError):
    """The model is larger or deeper than the limits in force."""


class ExternalDataError(HetuError):
    """External tensor data is missing, too short, or outside the model's folder."""


class StorageError(HetuError, OSError):
    """A file could not be written: the disk is full or faulty. Has `errno` like any `OSError`."""


class RunError(HetuError):
    """An operator failed while the graph ran; the message names the node and its inputs."""


class VerificationError(HetuError):
    """A model's results are not shown to be ONNX Runtime's; `report` says where they differ."""

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


def show(name: object) -> str:
    """A name from a file or a user as it may stand in a message: `repr`, cut at `MAX_NAME`."""
    text = repr(name)
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..."
