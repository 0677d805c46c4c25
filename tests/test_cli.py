"""The command line: what it prints, its exit codes, one line for each error."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from hetu.cli.main import main
from hetu.onnx.verification import runtime
from tests.test_verify import MLP, model, wrong_elu  # noqa: F401 - a fixture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(model(MLP), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_equal(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(path), "--size", "N=3"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("equal: 1 values agree") and "float32[3, 3]" in output
    assert "onnxruntime 1." in output


def test_different(
    path: Path,
    wrong_elu: object,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong_elu(lambda y: y / y * float("nan"))  # pyright: ignore[reportCallIssue]
    np.savez(path.parent / "feeds.npz", x=np.ones((2, 4), np.float32))
    arguments = ["verify", str(path), "--inputs", str(path.parent / "feeds.npz"), "--json"]
    assert main([*arguments, "--intermediates"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["status"], report["first_difference"]) == (False, "different", "e")
    assert report["comparisons"][1]["nan_mismatches"] == 6
    assert report["inputs"] == {"x": "float32[2, 4]"}


def test_failed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = path.parent / "child.py"
    child.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(runtime, "_CHILD", child)
    assert main(["verify", str(path)]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["verify"], "MODEL"),
        (["paint", "x"], "paint"),
        (["verify", "none.onnx"], "No such file"),
        (["verify", "MODEL", "--size", "N"], "NAME=N"),
        (["verify", "MODEL", "--size", "K=2"], "'K'"),
        (["verify", "MODEL", "--inputs", "MODEL"], "no .npz file"),
        (["info", "JUNK"], "no ONNX model"),
        (["convert", "MODEL", "FOLDER/none/out.onnx", "--opset", "18"], "cannot write"),
        (["convert", "MODEL", "FOLDER/out.onnx"], "--opset"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], said: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path.parent / "junk").write_bytes(b"\0" * 64)
    files = {"MODEL": str(path), "JUNK": str(path.parent / "junk"), "FOLDER": str(path.parent)}
    for word, file in files.items():
        arguments = [argument.replace(word, file) for argument in arguments]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("hetu: error: ") and captured.err.count("\n") == 1
    assert said in captured.err
    assert {p.name for p in path.parent.iterdir()} == {"model.onnx", "junk"}


def test_info_of_what_hetu_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """g (float[N, 2] x, bool c) => (float[N, 2] y) <float[2] w = {1, 2}, int64 i = {1}> {
        a = Mul (x, w)
        b = my.Paint (a)
        y = If (c) <then_branch = t () => (float[N, 2] p) { p = Mul (b, b) },
                    else_branch = e () => (float[N, 2] q) { q = my.Paint (a) }>
    }"""
    proto = model(text, domains=', "my" : 3')
    proto.metadata_props.add(key="author", value="someone")
    onnx.save(proto, tmp_path / "model.onnx")
    assert main(["info", str(tmp_path / "model.onnx")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    expected = [
        ["x", "float32[N,", "2]"], ["Mul", "2"], ["my.Paint", "2"], ["my.Paint-3", "2"],
        ["parameters", "2,", "of", "these", "trainable", "2"], ["metadata", "author", "someone"],
        ["opsets", "ai.onnx", "17,", "my", "3"],
    ]  # fmt: skip
    assert all(row in rows for row in expected), rows


def test_convert(path: Path) -> None:
    out = path.parent / "out.onnx"
    assert main(["convert", str(path), str(out), "--opset", "21"]) == 0
    assert onnx.load(out).opset_import[0].version == 21
    assert main(["verify", str(out)]) == 0
    outside = ["convert", str(path), str(out), "--opset", "21", "--external-data", "w.data"]
    assert main(outside) == 0
    assert (path.parent / "w.data").stat().st_size > 0
    assert main(["verify", str(out)]) == 0


def test_as_a_program(path: Path) -> None:
    command = [sys.executable, "-m", "hetu", "verify", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result
    assert result.stdout.startswith("equal: ")
