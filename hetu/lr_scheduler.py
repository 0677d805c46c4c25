"""The original import path of the learning-rate schedules."""

from hetu.optim.lr import *  # noqa: F403
