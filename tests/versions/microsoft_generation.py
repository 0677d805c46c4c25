"""Calls of searches that run a decoder of one layer in a loop."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.examples import Call, Random, example

DOMAIN = "com.microsoft"
WORDS, PAD, EOS = 11, 0, 3


def decoder(random: Random) -> onnx.GraphProto:
    """Embeddings, an attention with a cache, logits."""
    heads, size = 2, 3
    width = heads * size
    weights = {
        "words": random.floats(WORDS, width), "places": random.floats(16, width, low=-1, high=1),
        "w": random.floats(width, 3 * width, low=-1, high=1), "b": random.floats(3 * width),
        "out": random.floats(width, WORDS, low=-1, high=1),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Gather", ["places", "position_ids"], ["place"]),
        helper.make_node("Add", ["word", "place"], ["x"]),
        helper.make_node(
            "Attention", ["x", "w", "b", "attention_mask", "past_0"], ["a", "present_0"],
            domain=DOMAIN, num_heads=heads, unidirectional=1,
        ),
        helper.make_node("Add", ["x", "a"], ["y"]),
        helper.make_node("MatMul", ["y", "out"], ["logits"]),
    ]  # fmt: skip
    cache = [2, "b", heads, "p", size]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["b", "s"])
        for name in ("input_ids", "position_ids", "attention_mask")
    ]
    inputs.append(helper.make_tensor_value_info("past_0", TensorProto.FLOAT, cache))
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "s", WORDS]),
        helper.make_tensor_value_info("present_0", TensorProto.FLOAT, cache),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return helper.make_graph(nodes, "decoder", inputs, outputs, tensors)


def prompts(random: Random) -> np.ndarray:
    """Prompts, the first one sometimes padded on the left."""
    ids = random.integers(random.integer(1, 3), random.integer(2, 4), low=1, high=WORDS - 1)
    ids[0, 0] = random.choice(PAD, ids[0, 0])
    return ids.astype(np.int32)


def masks(random: Random, batch: int) -> list[np.ndarray | None]:
    """Words that may be chosen, always and at first."""
    shapes = ((WORDS,), (batch, WORDS))
    return [
        random.choice(None, np.maximum(random.bools(*shape), random.bools(*shape)).astype(np.int32))
        for shape in shapes
    ]


def attributes(random: Random) -> dict[str, Any]:
    """A decoder, the words that end and pad, and whether n-grams may come again."""
    options = random.choice({}, {"no_repeat_ngram_size": 2})
    options |= random.choice({}, {"init_decoder": None})
    graph = decoder(random)
    options |= {"init_decoder": graph} if "init_decoder" in options else {}
    return options | {"decoder": graph, "eos_token_id": EOS, "pad_token_id": PAD, "model_type": 0}


def number(value: float, dtype: Any = np.int32) -> np.ndarray:
    return np.array([value], dtype)


@example("GreedySearch", domain=DOMAIN)
def greedy_search(random: Random, version: int) -> Call:
    ids = prompts(random)
    penalty = number(random.choice(1.0, 1.3), np.float32)
    # behind the end of all sequences, ONNX Runtime's result holds anything: here they do not end
    inputs = [ids, number(9), number(9), penalty, *masks(random, len(ids))]
    mask = (ids != PAD).astype(np.int32)
    return Call([*inputs, random.choice(None, mask)], attributes(random))


@example("Sampling", domain=DOMAIN)
def sampling(random: Random, version: int) -> Call:
    call = greedy_search(random, version)
    # so little that only the likeliest word is left to draw
    call.attributes |= {"top_p": 1e-4} | random.choice({}, {"temperature": 0.5})
    return call


@example("BeamSearch", domain=DOMAIN)
def beam_search(random: Random, version: int) -> Call:
    ids, beams = prompts(random), random.integer(1, 4)
    inputs = [
        ids, number(9), number(random.choice(0, 6)), number(beams),
        number(random.integer(1, beams)), number(random.choice(0.5, 1.0, 2.0), np.float32),
        number(random.choice(1.0, 1.3), np.float32), *masks(random, len(ids)),
    ]  # fmt: skip
    options = attributes(random) | random.choice({}, {"early_stopping": 1})
    return Call(inputs, options, outputs=2)
