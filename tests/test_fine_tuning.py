"""The examples of docs/fine-tuning.md run as they stand, and do what the text says."""

import re
from pathlib import Path
from typing import Any

import onnx
import pytest

GUIDE = Path(__file__).parent.parent / "docs" / "fine-tuning.md"
SECTIONS = GUIDE.read_text().split("\n## ")


def run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the section that begins with `kind` leaves behind, and what it builds on."""
    monkeypatch.chdir(tmp_path)
    (section,) = (text for text in SECTIONS if text.startswith(kind))
    names: dict[str, Any] = {}
    for text in (SECTIONS[0], section):
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, GUIDE, "exec"), names)
    return names


def test_vision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("Vision", tmp_path, monkeypatch)
    assert names["vision_report"].ok, names["vision_report"]
    assert names["vision_before"] < 0.5
    assert names["vision_after"] > 0.9
    before, after = weights("vision.onnx"), weights("vision-tuned.onnx")
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {"3.weight", "3.bias", "head.weight", "head.bias"}


def test_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("Text", tmp_path, monkeypatch)
    assert names["text_report"].ok, names["text_report"]
    assert names["text_after"] < names["text_before"] / 2
    assert weights("text-tuned.onnx").keys() == weights("text.onnx").keys()


def test_quantized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("Quantized", tmp_path, monkeypatch)
    assert names["quantized_report"].ok, names["quantized_report"]
    assert names["quantized_before"] < 0.7
    assert names["quantized_after"] > 0.8
    before, after = weights("4-bit.onnx"), weights("4-bit-tuned.onnx")
    assert {n for n in after if before[n] != after[n]} == {"0.weight", "2.weight"}
    assert operators("4-bit.onnx") == operators("4-bit-tuned.onnx")


def test_tabular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("Tabular", tmp_path, monkeypatch)
    assert names["tabular_report"].ok, names["tabular_report"]
    assert names["tabular_before"] < 0.6
    assert names["tabular_after"] > 0.9
    assert operators("tabular.onnx") == operators("tabular-tuned.onnx")


def weights(path: str) -> dict[str, bytes]:
    """The initializers' data by name."""
    tensors = onnx.load(path).graph.initializer
    return {t.name: onnx.numpy_helper.to_array(t).tobytes() for t in tensors}


def operators(path: str) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]
