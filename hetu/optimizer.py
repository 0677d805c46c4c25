"""The original import path of the optimizers."""

from hetu.optim import *  # noqa: F403
