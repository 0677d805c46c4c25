"""The original import path of the initializers."""

from hetu.api.init import *  # noqa: F403
