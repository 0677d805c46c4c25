"""The benchmark's way from engines in processes of their own to a report; no times are judged."""

import json

import numpy as np
import pytest

from benchmarks.chart import write_chart
from benchmarks.measure import Contest, Plan, Row, build
from benchmarks.report import to_markdown, write_report
from benchmarks.targets import evaluate
from benchmarks.workloads import CHAINS

MACHINE = {
    "processor": "some", "cores": 2, "memory": 1 << 30, "threads": 2, "python": "3", "versions": {},
    "flops": 1e9, "bytes": 1e9,
}  # fmt: skip


def test_engines_take_turns_until_their_results_differ():
    workload = CHAINS[1_000]
    plan = Plan([workload], ["hetu", "onnxruntime"], runs=2, note=lambda _: None)
    model = build(plan, workload)
    with Contest([*plan.engines, "missing"], 1) as contest:
        assert set(contest.ask("load", workload, model)) == {"hetu", "onnxruntime"}
        results = contest.ask("run", workload, 3)
        contest.compare(results, 1e-5)
        times = contest.turns(plan.runs, 0)
        assert {engine: len(taken) for engine, taken in times.items()} == {
            "hetu": 2, "onnxruntime": 2,
        }  # fmt: skip
        assert min(map(min, times.values())) > 0
        contest.compare({**results, "hetu": [results["hetu"][0] * 1.01]}, 1e-3)
        rows = {row.engine: row for row in contest.rows("chain", workload, 3, {}, {})}
    assert results["hetu"][0].shape == (3, 16) and results["hetu"][0].std() > 0
    np.testing.assert_allclose(results["hetu"][0], results["onnxruntime"][0], rtol=1e-5)
    assert rows["hetu"].problem == "differs from onnxruntime by 1.0e-02 of the largest"
    assert rows["missing"].problem.startswith("ModuleNotFoundError")


ROWS = [
    Row("inference", "cnn", 1, "hetu", values=[2.0, 1.0, 3.0], facts={"flops": 5e8}),
    Row("inference", "cnn", 1, "onnxruntime", values=[1.5]),
    Row("inference", "cnn", 1, "openvino", values=[0.5]),
    Row("inference", "mlp", 8, "hetu", values=[1.0]),
    Row("inference", "mlp", 8, "onnxruntime", values=[6.0]),
    Row("inference", "mlp", 8, "openvino", problem="it failed"),
    Row("scale", "chain_10000", 1, "hetu", values=[0.5]),
    Row("scale", "chain_100000", 1, "hetu", values=[7.0]),
    Row("memory", "cnn", 1, "hetu", "B", [3 << 20]),
    Row("memory", "cnn", 1, "onnxruntime", "B", [2 << 20]),
]


def test_targets_are_worked_out_from_the_minima():
    measured = {o.target.name: (o.value, o.met) for o in evaluate(ROWS) if o.value is not None}
    assert measured == {
        "inference, mean against the better of ONNX Runtime and OpenVINO": (
            pytest.approx(3**0.5), True,
        ),
        "inference, worst case against these": (0.5, False),
        "inference, mean against ONNX Runtime": (pytest.approx(3.0), True),
        "memory, mean of the peak of ONNX Runtime": (pytest.approx(1.5), False),
        "load and compilation of 100,000 nodes": (pytest.approx(70), False),
        "cost of a node at 100,000, of that at 10,000": (pytest.approx(1.4), False),
    }  # fmt: skip


def test_the_report_has_every_figure(tmp_path):
    text = to_markdown(ROWS, MACHINE)
    assert "- mlp x8, OpenVINO: it failed" in text
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    cells = ["1000.000 ms", "1500.000 ms (1.50)", "500.000 ms (0.50)", "0.5 50%"]
    assert ["cnn", "1", *cells] in lines
    assert ["cnn", "1", "hetu", "1000.000 ms", "2000.000 ms", "3", "0.5", "50%"] in lines
    write_report(ROWS, MACHINE, tmp_path)
    assert (tmp_path / "results.md").read_text() == text
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["rows"][0]["minimum"] == 1.0 and content["rows"][0]["median"] == 2.0
    assert len(content["rows"]) == len(ROWS) and content["machine"] == MACHINE
    write_chart(ROWS, tmp_path / "results.png")
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
