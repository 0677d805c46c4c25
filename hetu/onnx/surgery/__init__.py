"""Changes to a loaded model as a whole; `ht.replace` changes the graph behind some values."""

from hetu.onnx.surgery.batch import change_batch
from hetu.onnx.surgery.rename import rename

__all__ = ["change_batch", "rename"]
