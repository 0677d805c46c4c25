"""The original import path of the graph API: `from hetu import gpu_ops as ad`."""

from hetu.api.gradients import gradients as gradients
from hetu.api.hetu_ops import *  # noqa: F403
from hetu.api.variable import Variable as Variable
from hetu.api.variable import placeholder_op as placeholder_op
from hetu.optim.assign import assign_with_indexedslices_op as assign_with_indexedslices_op
from hetu.optim.assign import param_clip_op as param_clip_op
from hetu.optim.assign import sparse_set_op as sparse_set_op
from hetu.runtime.executor import Executor as Executor
