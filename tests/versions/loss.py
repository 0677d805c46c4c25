"""Calls of losses."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example


def classification(random: Random, outputs: int) -> Call:
    """Scores of some classes, the right classes, and weights or none."""
    classes = random.integer(2, 5)
    samples, *dims = random.shape(random.integer(1, 3))
    dtype = random.choice(np.float32, np.float64)
    scores = random.floats(samples, classes, *dims, dtype=dtype)
    labels = random.integers(samples, *dims, low=0, high=classes - 1)
    weights = random.floats(classes, low=0.5, high=2.0, dtype=dtype) if random.bools() else None
    attributes: dict[str, Any] = {}
    if random.bools():
        attributes["reduction"] = random.choice("none", "sum", "mean")
    if random.bools():
        # the first sample counts, so that a mean has something to divide by
        attributes["ignore_index"] = ignored = random.choice(-1, 0, 1, classes + 3)
        labels[random.bools(*labels.shape)] = ignored
        labels.flat[0] = 0 if ignored else 1
    labels = labels.astype(random.choice(np.int32, np.int64))
    return Call([scores, labels, weights], attributes, outputs=outputs)


@example("NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(random: Random, version: int) -> Call:
    return classification(random, 1)


@example("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(random: Random, version: int) -> Call:
    return classification(random, random.integer(1, 2))
