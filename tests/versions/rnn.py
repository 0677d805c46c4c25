"""Calls of recurrent layers.

ONNX Runtime has no kernels with the batch in front (layout 1): the backend suite covers that. Its
ThresholdedRelu has the default alpha 0 here, that of the operator is 1: alpha is always given.
"""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

PLAIN = ("Relu", "Tanh", "Sigmoid", "Softsign", "Softplus")
WITH_ALPHA = ("LeakyRelu", "ThresholdedRelu", "Elu")
WITH_ALPHA_AND_BETA = ("Affine", "ScaledTanh", "HardSigmoid")


def layer(
    random: Random, gates: int, functions: int, states: int
) -> tuple[list[np.ndarray | None], dict[str, Any]]:
    """A layer's inputs, up to its initial states, and attributes that all layers have."""
    hidden, features = random.integer(1, 4), random.integer(1, 4)
    length, batch = random.integer(1, 5), random.integer(1, 3)
    direction = random.choice("forward", "reverse", "bidirectional")
    n = 2 if direction == "bidirectional" else 1
    bias = random.floats(n, 2 * gates * hidden, low=-1, high=1)
    lengths = random.integers(batch, low=0, high=length, dtype=np.int32)
    inputs = [
        random.floats(length, batch, features),
        random.floats(n, gates * hidden, features, low=-1, high=1),
        random.floats(n, gates * hidden, hidden, low=-1, high=1),
        random.choice(None, bias),
        random.choice(None, lengths),
        *(random.choice(None, random.floats(n, batch, hidden)) for _ in range(states)),
    ]
    attributes = {"hidden_size": hidden, "direction": direction}
    attributes |= random.choice({}, {}, {"clip": 0.5})
    return inputs, attributes | random.choice({}, activations(random, functions * n))


def activations(random: Random, count: int) -> dict[str, Any]:
    """Functions, with values for those that take some; Affine and ScaledTanh have no defaults."""
    names = [random.choice(*PLAIN, *WITH_ALPHA, *WITH_ALPHA_AND_BETA) for _ in range(count)]
    n_alpha = sum(name in WITH_ALPHA + WITH_ALPHA_AND_BETA for name in names)
    n_beta = sum(name in WITH_ALPHA_AND_BETA for name in names)
    attributes: dict[str, Any] = {"activations": names}
    if n_alpha and (n_beta or "ThresholdedRelu" in names or random.choice(True, False)):
        attributes["activation_alpha"] = random.floats(n_alpha, low=0.1, high=0.6).tolist()
    if n_beta:
        attributes["activation_beta"] = random.floats(n_beta, low=0.1, high=0.6).tolist()
    return attributes


@example("RNN")
def rnn(random: Random, version: int) -> Call:
    inputs, attributes = layer(random, 1, 1, 1)
    return Call(inputs, attributes, outputs=2)


@example("GRU")
def gru(random: Random, version: int) -> Call:
    inputs, attributes = layer(random, 3, 2, 1)
    attributes |= {"linear_before_reset": random.integer(0, 1)}
    return Call(inputs, attributes, outputs=2)


@example("LSTM")
def lstm(random: Random, version: int) -> Call:
    inputs, attributes = layer(random, 4, 3, 2)
    directions, size, _ = inputs[2].shape
    peepholes = random.floats(directions, size // 4 * 3, low=-1, high=1)
    attributes |= random.choice({}, {"input_forget": 1})
    return Call([*inputs, random.choice(None, peepholes)], attributes, outputs=3)
