"""Optimizers and learning-rate schedules."""

from hetu.optim.assign import assign_with_indexedslices_op, param_clip_op, sparse_set_op
from hetu.optim.optimizers import (
    AdaGradOptimizer,
    AdamOptimizer,
    AdamWOptimizer,
    AMSGradOptimizer,
    LambOptimizer,
    MomentumOptimizer,
    Optimizer,
    SGDOptimizer,
)
from hetu.optim.train_op import TrainOp

__all__ = [
    "AMSGradOptimizer",
    "AdaGradOptimizer",
    "AdamOptimizer",
    "AdamWOptimizer",
    "LambOptimizer",
    "MomentumOptimizer",
    "Optimizer",
    "SGDOptimizer",
    "TrainOp",
    "assign_with_indexedslices_op",
    "param_clip_op",
    "sparse_set_op",
]
