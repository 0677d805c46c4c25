"""hetu: ONNX models that train."""

from hetu import data, gpu_ops, onnx, optim, random
from hetu.api import init, op
from hetu.api.body import body
from hetu.api.gradients import gradients
from hetu.api.hetu_ops import *  # noqa: F403
from hetu.api.opset import DEFAULT_OPSET, opset
from hetu.api.surgery import replace
from hetu.api.value import Value, constant
from hetu.api.variable import Variable, placeholder_op
from hetu.data import metrics
from hetu.data.dataloader import Dataloader, dataloader_op
from hetu.errors import (
    ExternalDataError,
    HetuError,
    LimitError,
    ModelError,
    RunError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from hetu.optim import lr
from hetu.optim.assign import assign_with_indexedslices_op, param_clip_op, sparse_set_op
from hetu.runtime.device import DeviceContext, cpu, gpu, is_gpu_ctx, rcpu, rgpu
from hetu.runtime.executor import Executor
from hetu.runtime.ndarray import NDArray, array, empty
