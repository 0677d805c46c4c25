"""Conversion between opsets of whole models, of the ONNX suite, and of ai.onnx.ml."""

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings, strategies
from hypothesis.strategies import DataObject
from onnx import parser
from skl2onnx import to_onnx
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import hetu as ht
from hetu.errors import UnsupportedError, UsageError
from hetu.onnx.versions import Opset
from tests.interop.test_opset import infer
from tests.support.backend import Case, all_cases, assert_equal
from tests.support.examples import Random, find_example
from tests.test_versions import CALLS, build, feeds

ML = "ai.onnx.ml"
SCRIPT = Path(__file__).parent / "tensorflow_zoo.py"


def convert(model: onnx.ModelProto, opset: Opset, path: Path) -> onnx.ModelProto:
    loaded = ht.onnx.load_onnx(model)
    outputs, inputs = list(loaded.outputs.values()), list(loaded.inputs.values())
    executor = ht.Executor(outputs, inference=None, seed=0)
    return ht.onnx.export(executor, inputs, outputs, path, opset=opset)


def check(model: onnx.ModelProto, given: dict[str, Any], opset: Opset, path: Path) -> None:
    """The converted model, and what it is converted back to, give what the model gives."""
    expected = infer(model, given)
    own = {entry.domain: entry.version for entry in model.opset_import}
    converted = convert(model, opset, path)
    for version in (converted, convert(converted, max(own[""], 13), path)):
        onnx.checker.check_model(version, full_check=True)
        for ours, theirs in zip(infer(version, given), expected, strict=True):
            assert_equal(ours, theirs, f"opset {opset}", 1e-4, 1e-5)


TENSORFLOW = ("separable", "lstm", "attention", "loop", "resized", "suppressed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    command = [sys.executable, SCRIPT, folder, *TENSORFLOW]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.xdist_group("tensorflow")
@pytest.mark.verifies("opset conversion", exporter="tf2onnx, Keras")
@pytest.mark.parametrize("name", TENSORFLOW)
def test_models_of_tensorflow(name: str, folder: Path, tmp_path: Path) -> None:
    model, arrays = onnx.load(folder / f"{name}.onnx"), np.load(folder / f"{name}.npz")
    names = [info.name for info in model.graph.input]
    for opset, size in ((13, 0), (15, 1), (20, 0), (28, 1)):
        given = {name: arrays[f"x{size}_{i}"] for i, name in enumerate(names)}
        check(model, given, opset, tmp_path / "m.onnx")


ESTIMATORS = [
    GradientBoostingClassifier(n_estimators=3, random_state=0),
    RandomForestRegressor(n_estimators=3, random_state=0),
    GaussianProcessRegressor(alpha=1.0),
    make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=50, random_state=0)),
    SVC(),
]


@pytest.mark.verifies("opset conversion", exporter="skl2onnx")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_models_of_sklearn(estimator: Any, tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    fitted, x = clone(estimator).fit(x, y), x.astype(np.float32)
    is_classifier = hasattr(fitted, "classes_")
    options = {"options": {"zipmap": False}} if is_classifier else {}
    for source in (12, 18):
        model: Any = to_onnx(fitted, x[:1], target_opset={"": source, ML: 3}, **options)
        given = {model.graph.input[0].name: x[::7]}
        for opset in (13, 17, 28):
            check(model, given, opset, tmp_path / "m.onnx")
            versions = [ml_version(m) for m in (model, onnx.load(tmp_path / "m.onnx"))]
            assert versions[0] == versions[1]


def ml_version(model: onnx.ModelProto) -> int | None:
    return {entry.domain: entry.version for entry in model.opset_import}.get(ML)


def sampled_cases() -> list[Case]:
    """Some of the suite's cases, but none of random numbers."""
    without = ("bernoulli", "dropout")
    nodes = [case for case in all_cases() if case.kind == "node"]
    nodes = [case for case in nodes if not any(part in case.name for part in without)]
    return random.Random(0).sample(nodes, 100)


def test_cases_of_the_suite(tmp_path: Path) -> None:
    """At random opsets, with integer parameters as constants: the suite's own results, or none."""
    converted = 0
    for case in sampled_cases():
        inputs, expected = next(iter(case.data_sets()))
        model, given = with_constants(case.model, inputs)
        if not all(map(is_numpy, given.values())):
            continue
        theirs = infer(model, given)
        opset = random.Random(case.name).randint(13, 28)
        try:
            proto = convert(model, opset, tmp_path / "m.onnx")
        except UnsupportedError:
            continue
        converted += 1
        wanted = expected if is_equal(theirs, expected) else theirs
        assert_equal(infer(proto, given), list(wanted), f"{case.name} at opset {opset}")
    assert converted > 60


def is_numpy(value: Any) -> bool:
    """Whether it is of numpy's own types: ONNX Runtime takes no others from Python."""
    return not isinstance(value, np.ndarray) or value.dtype.kind != "V"


def is_equal(actual: Any, expected: Any) -> bool:
    try:
        assert_equal(actual, list(expected))
    except AssertionError:
        return False
    return True


def with_constants(
    model: onnx.ModelProto, inputs: list[Any]
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model with what says how, not what is computed, as initializers."""
    copy, given = onnx.ModelProto(), {}
    copy.CopyFrom(model)
    for info, value in zip(model.graph.input, inputs, strict=False):
        is_setting = isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.ndim < 2
        if is_setting and info.name != model.graph.input[0].name:
            copy.graph.input.remove(info)
            copy.graph.initializer.append(onnx.numpy_helper.from_array(value, info.name))
        else:
            given[info.name] = np.asarray(value) if isinstance(value, np.generic) else value
    return copy, given


@pytest.mark.parametrize(
    ("op_type", "version"),
    [("LabelEncoder", 1), ("LabelEncoder", 2), ("LabelEncoder", 4),
     ("TreeEnsembleClassifier", 1), ("TreeEnsembleClassifier", 3),
     ("TreeEnsembleRegressor", 1), ("TreeEnsembleRegressor", 3), ("TreeEnsemble", 5)],
)  # fmt: skip
def test_versions_of_ml(op_type: str, version: int, tmp_path: Path) -> None:
    converted = set()

    @settings(CALLS, max_examples=8)
    @given(strategies.data())
    def agree(data: DataObject) -> None:
        make = find_example(ML, op_type, version)
        assert make is not None
        call = make(Random(data), version)
        model = build(call, ML, op_type, version)
        expected = infer(model, feeds(call))
        for target in range(1, 6):
            try:
                proto = convert(model, {ML: target}, tmp_path / "m.onnx")
            except UnsupportedError as error:
                is_older = target < version
                reason = "that version|are float32" if is_older else "averages or base values"
                assert re.search(reason, str(error)) and (is_older or target == 5), error
                continue
            converted.add(target)
            for ours, theirs in zip(infer(proto, feeds(call)), expected, strict=True):
                assert_equal(ours, theirs, f"version {target}", call.rtol, call.atol)

    agree()
    assert converted == {1, 2, 3, 4, 5}


def test_versions_by_domain(tmp_path: Path) -> None:
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 15, "ai.onnx.ml" : 3]>
    g (float[2, 3] x) => (float[2, 3] y)
    { s = ai.onnx.ml.Scaler <offset = [1.0], scale = [2.0]> (x)  y = Softmax (s) }""")
    for opset, expected in ((17, (17, 3)), ({ML: 2}, (15, 2)), ({"": 13, ML: 5}, (13, 5))):
        proto = convert(model, opset, tmp_path / "m.onnx")
        versions = {entry.domain: entry.version for entry in proto.opset_import}
        assert (versions[""], versions[ML]) == expected
    for opset, reason in (({ML: 9}, "opsets 1 to 5"), ({"com.acme": 1}, "com.acme")):
        with pytest.raises(UsageError, match=reason):
            convert(model, opset, tmp_path / "m.onnx")


def test_joined_trees_of_different_versions(tmp_path: Path) -> None:
    """Those with several votes a leaf, and a file of the version that has leaves apart."""
    x, y = load_iris(return_X_y=True)
    x, y = x.astype(np.float32), np.stack([y, 2 - y, y * y], 1)
    forest = RandomForestRegressor(4, max_depth=4, random_state=0).fit(x, y)
    proto: Any = to_onnx(forest, x[:1], target_opset={"": 18, ML: 3})
    first = ht.onnx.load_onnx(proto)
    second = ht.onnx.load_onnx(
        parser.parse_model("""<ir_version: 10, opset_import: ["" : 18, "ai.onnx.ml" : 5]>
    g (float[N, 4] x) => (float[N, 3] z)
    { z = ai.onnx.ml.TreeEnsemble <n_targets = 3, tree_roots = [0], nodes_featureids = [2],
        nodes_modes = uint8[1] {0}, nodes_splits = float[1] {2.5}, nodes_truenodeids = [0],
        nodes_trueleafs = [1], nodes_falsenodeids = [1], nodes_falseleafs = [1],
        leaf_targetids = [0, 2], leaf_weights = float[2] {10.0, 20.0}> (x) }""")
    )
    ((name, given_to_both),) = first.inputs.items()
    (votes,) = first.outputs.values()
    outputs = [votes + ht.replace(second["z"], {second["x"]: given_to_both})]
    joined = ht.onnx.export(ht.Executor(outputs), [given_to_both], outputs, tmp_path / "m.onnx")
    onnx.checker.check_model(joined, full_check=True)
    assert ml_version(joined) == 5
    (actual,) = onnxruntime.InferenceSession(joined.SerializeToString()).run(None, {name: x})
    is_short = x[:, 2:3] <= 2.5
    expected = forest.predict(x) + np.where(is_short, [10, 0, 0], [0, 0, 20])
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
