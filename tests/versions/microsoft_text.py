"""Calls of ONNX Runtime's own operators on text."""

from typing import Any

from tests.support.examples import Call, Random, example
from tests.versions.text import TEXTS, choose


@example("Tokenizer", domain="com.microsoft")
def tokenizer(random: Random, version: int) -> Call:
    x = choose(random, TEXTS, *random.shape(random.integer(1, 2)))
    attributes: dict[str, Any] = random.choice(
        {"separators": [","]},
        {"separators": [" ", ","]},
        {"separators": [""]},
        {"tokenexp": "[a-z]+"},
        {"tokenexp": "."},
    )
    # single characters can only be tokens where one is enough
    is_single = attributes in ({"separators": [""]}, {"tokenexp": "."})
    attributes |= {"mark": random.integer(0, 1), "pad_value": "#"}
    return Call([x], attributes | {"mincharnum": 1 if is_single else random.integer(1, 2)})
