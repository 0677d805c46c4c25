"""Calls of the operators of `ai.onnx.ml` but the trees."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

ML = "ai.onnx.ml"
NUMBERS = (np.float32, np.float64, np.int64, np.int32)
WORDS = ("a", "b", "", "ab", "ü", "a b", "A")
EPSILON = float(np.finfo(np.float32).eps)
"""Results are float32, whatever the input is."""


def numbers(random: Random, *dims: int, dtypes: Sequence[Any] = NUMBERS) -> np.ndarray:
    """Samples; floats with a few digits, so that values repeat."""
    dtype = random.choice(*dtypes)
    return np.asarray(
        random.integers(*dims, low=-9, high=9) / (2 if dtype in NUMBERS[:2] else 1), dtype
    )


def samples(random: Random, dtypes: Sequence[Any] = NUMBERS) -> np.ndarray:
    """A batch of samples, or a single one."""
    return numbers(random, *random.shape(random.integer(1, 2)), dtypes=dtypes)


def words(random: Random, *dims: int) -> np.ndarray:
    """Strings, few of them different."""
    return random.source.choice(np.array(WORDS, object), dims)


def weights(random: Random, count: int) -> list[float]:
    """Attributes of type floats."""
    return random.floats(count).tolist()


def near(inputs: Sequence[Any], attributes: dict[str, Any], steps: int = 8, **more: Any) -> Call:
    """A call whose results agree to some roundings in float32."""
    return Call(inputs, attributes, rtol=steps * EPSILON, atol=steps * EPSILON, **more)


def some(random: Random, values: Sequence[Any]) -> list[Any]:
    """Some of the values, each at most once, in any order."""
    order = random.permutation(len(values))[: random.integer(1, len(values))]
    return [values[i] for i in order]


@example("Scaler", ML)
def scaler(random: Random, version: int) -> Call:
    x = samples(random)
    count = random.choice(1, x.shape[-1])
    return near([x], {"offset": weights(random, count), "scale": weights(random, count)}, 64)


@example("Normalizer", ML)
def normalizer(random: Random, version: int) -> Call:
    x = samples(random)
    return near([x], random.choice({}, *({"norm": norm} for norm in ("MAX", "L1", "L2"))))


@example("Binarizer", ML)
def binarizer(random: Random, version: int) -> Call:
    return Call([samples(random, [np.float32])], random.choice({}, {"threshold": 0.5}))


@example("Imputer", ML)
def imputer(random: Random, version: int) -> Call:
    # ONNX Runtime has no double and no int32, and wants what is replaced to be given
    x = samples(random, [np.float32, np.int64])
    count = random.choice(1, x.shape[-1])
    if x.dtype == np.int64:
        imputed = random.integers(count).tolist()
        return Call([x], {"imputed_value_int64s": imputed, "replaced_value_int64": 1})
    replaced = random.choice(0.0, 0.5, float("nan"))
    x = np.where(random.source.random(x.shape) < 0.3, np.float32(replaced), x)
    imputed = weights(random, count)
    return Call([x], {"imputed_value_floats": imputed, "replaced_value_float": replaced})


@example("FeatureVectorizer", ML)
def feature_vectorizer(random: Random, version: int) -> Call:
    dtype, n = random.choice(*NUMBERS), random.integer(1, 3)
    shapes = [random.shape(random.integer(1 if n == 1 else 2, 3)) for _ in range(3)]
    x = [numbers(random, n, *dims, dtypes=[dtype]) for dims in shapes]
    sizes = [array[0].size + random.integer(-1, 1) for array in x]
    return Call(x, {"inputdimensions": [max(1, size) for size in sizes]})


@example("ArrayFeatureExtractor", ML)
def array_feature_extractor(random: Random, version: int) -> Call:
    dims = random.shape(random.integer(1, 3))
    x = random.choice(words(random, *dims), numbers(random, *dims))
    index = random.integers(*random.choice((3,), (1, 2)), low=0, high=dims[-1] - 1)
    return Call([x, index])


@example("OneHotEncoder", ML)
def one_hot_encoder(random: Random, version: int) -> Call:
    dims = random.shape(random.integer(1, 2))
    if random.integer(0, 1):
        return Call([words(random, *dims)], {"cats_strings": some(random, WORDS)})
    # ONNX Runtime has no int32
    x = numbers(random, *dims, dtypes=NUMBERS[:3])
    zeros = random.choice({}, {"zeros": 1})
    cats = {"cats_int64s": some(random, range(-9, 10))}
    if random.integer(0, 2) == 0:
        zeros, cats = {"zeros": 0}, {"cats_int64s": list(range(-9, 10))}
    return Call([x], cats | zeros)


@example("CategoryMapper", ML)
def category_mapper(random: Random, version: int) -> Call:
    strings = some(random, WORDS)
    cats = {"cats_strings": strings, "cats_int64s": list(range(-2, len(strings) - 2))}
    x = random.choice(words(random, 2, 3), numbers(random, 4, dtypes=[np.int64]))
    return Call([x], cats | random.choice({}, {"default_int64": 7, "default_string": "none"}))


@example("LabelEncoder", ML)
def label_encoder(random: Random, version: int) -> Call:
    if version == 1:
        x = random.choice(words(random, 2, 3), numbers(random, 4, dtypes=[np.int64]))
        defaults = random.choice({}, {"default_int64": 7, "default_string": "none"})
        return Call([x], {"classes_strings": list(WORDS[:5])} | defaults)
    if version >= 4 and random.integer(0, 1):
        return tensor_encoder(random)
    # ONNX Runtime has these types of keys and values before version 4
    kinds = [("strings", "int64s"), ("int64s", "strings"), ("strings", "floats"),
             ("floats", "strings"), ("int64s", "floats"), ("floats", "int64s")]  # fmt: skip
    if version >= 4:
        kinds += [(kind, kind) for kind in ("strings", "int64s", "floats")]
    key, value = random.choice(*kinds)
    keys = entries(random, key)
    if version < 4:  # ONNX Runtime does not find NaN there
        keys = [k for k in keys if k == k]
    values = {
        "strings": [random.choice(*WORDS) for _ in keys],
        "int64s": random.integers(len(keys)).tolist(),
        "floats": weights(random, len(keys)),
    }[value]
    default = {"strings": "none", "int64s": 7, "floats": 0.5}[value]
    attributes = {f"keys_{key}": keys, f"values_{value}": values}
    more = random.choice({}, {f"default_{value.removesuffix('s')}": default})
    return Call([inputs(random, key)], attributes | more)


def entries(random: Random, kind: str) -> list[Any]:
    """Different keys; NaN is one too."""
    if kind == "strings":
        return some(random, WORDS)
    if kind == "int64s":
        return some(random, range(-9, 10))
    return some(random, [*(np.arange(-18, 19) / 2).tolist(), float("nan")])


def inputs(random: Random, kind: str) -> np.ndarray:
    """What is looked up."""
    dims = random.shape(random.integer(0, 3))
    if kind == "strings":
        return np.asarray(words(random, *dims), object)
    x = numbers(random, *dims, dtypes=[np.int64 if kind == "int64s" else np.float32])
    if kind == "int64s":
        return x
    return np.where(random.source.random(dims) < 0.2, np.float32("nan"), x)


def tensor_encoder(random: Random) -> Call:
    """Version 4 with keys, values and default in tensors."""
    # ONNX Runtime has no int32, and int16 only from strings
    key, value = random.choice(
        (np.float64, np.float64), (np.int64, np.int64), (np.float32, np.float32),
        (object, np.int16), (object, np.float64), (np.float64, object), (object, object),
    )  # fmt: skip
    kind = "strings" if key is object else "int64s" if key is np.int64 else "floats"
    keys = np.array(entries(random, kind), key)
    is_text = value is object
    values = words(random, len(keys)) if is_text else numbers(random, len(keys), dtypes=[value])
    attributes = {"keys_tensor": keys, "values_tensor": values}
    default = np.array(["none"], object) if is_text else np.array([3], value)
    x = inputs(random, kind)
    return Call([np.asarray(x, key)], attributes | random.choice({}, {"default_tensor": default}))


@example("ZipMap", ML)
def zip_map(random: Random, version: int) -> Call:
    x = samples(random, [np.float32])
    count = x.shape[-1]
    keys = random.choice(
        {"classlabels_int64s": list(range(3, 3 + count))},
        {"classlabels_strings": list(WORDS[:count])},
    )
    return Call([x], keys)


# From Python, ONNX Runtime can be fed maps to float32 only; tests/ops/test_ml.py has the others.
@example("DictVectorizer", ML)
def dict_vectorizer(random: Random, version: int) -> Call:
    name, keys = random.choice(
        ("string_vocabulary", list(WORDS)), ("int64_vocabulary", [*range(9)])
    )
    drawn = {key: np.float32(random.integer(-9, 9) / 4) for key in some(random, keys)}
    return Call([drawn], {name: keys})


@example("CastMap", ML)
def cast_map(random: Random, version: int) -> Call:
    drawn = {k: np.float32(random.integer(-9, 9) / 4) for k in some(random, range(9))}
    cast = random.choice({}, *({"cast_to": f"TO_{name}"} for name in ("FLOAT", "INT64", "STRING")))
    form = random.choice({}, {"map_form": "SPARSE", "max_map": 9}, {"map_form": "DENSE"})
    return Call([drawn], cast | form)


# PROBIT is there for scores between 0 and 1, which these are not. Where there is a single score,
# ONNX Runtime leaves out the others.
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")


def transform(random: Random, count: int) -> dict[str, Any]:
    """A transform of so many scores; PROBIT only of what is between 0 and 1, which is not drawn."""
    return random.choice(
        {}, *({"post_transform": name} for name in TRANSFORMS[: 4 if count > 1 else 1])
    )


def classes(random: Random, count: int, ints: str = "classlabels_ints") -> dict[str, Any]:
    """Labels."""
    return random.choice(
        {ints: random.permutation(20)[:count]},
        {"classlabels_strings": list(WORDS[:count])},
    )


@example("LinearRegressor", ML)
def linear_regressor(random: Random, version: int) -> Call:
    # ONNX Runtime has float only
    x = samples(random, [np.float32])
    targets = random.integer(1, 3)
    attributes = {"coefficients": weights(random, targets * x.shape[-1]), "targets": targets}
    more = random.choice({}, {"intercepts": weights(random, targets)})
    return near([x], attributes | more | transform(random, targets), 64)


@example("LinearClassifier", ML)
def linear_classifier(random: Random, version: int) -> Call:
    x = samples(random)
    count = random.integer(2, 4)
    rows = random.choice(1, 2) if count == 2 else count
    # ONNX Runtime counts the scores by the intercepts
    attributes = {
        "coefficients": weights(random, rows * x.shape[-1]),
        "intercepts": weights(random, rows),
        "multi_class": random.integer(0, 1),
    } | classes(random, count)  # fmt: skip
    return near([x], attributes | transform(random, rows), 64, outputs=2)


def kernel(random: Random) -> dict[str, Any]:
    """An SVM's kernel."""
    params = [random.integer(1, 4) / 8, random.integer(-2, 2) / 4, float(random.integer(1, 3))]
    name = random.choice("LINEAR", "POLY", "RBF", "SIGMOID")
    return {"kernel_type": name, "kernel_params": params}


@example("SVMRegressor", ML)
def svm_regressor(random: Random, version: int) -> Call:
    # ONNX Runtime has float only, and ignores the transform
    x = samples(random, [np.float32])
    count = random.integer(1, 5)
    support = {"support_vectors": weights(random, count * x.shape[-1]), "n_supports": count}
    attributes = support | {"coefficients": weights(random, count)} | kernel(random)
    if random.integer(0, 3) == 0:
        attributes = {
            "coefficients": weights(random, x.shape[-1]),
            "kernel_params": [0.0, 0.0, 0.0],
        }
        attributes["n_supports"] = 0
    attributes |= {"rho": weights(random, 1), "one_class": random.integer(0, 1)}
    return near([x], attributes, 1024)


@example("SVMClassifier", ML)
def svm_classifier(random: Random, version: int) -> Call:
    x = samples(random)
    count = random.integer(2, 4)
    if random.integer(0, 3) == 0:
        return linear_svm(random, x, max(3, count))
    per_class = [random.integer(1, 3) for _ in range(count)]
    vectors, pairs = sum(per_class), count * (count - 1) // 2
    attributes = {
        "vectors_per_class": per_class,
        "support_vectors": weights(random, vectors * x.shape[-1]),
        "coefficients": weights(random, vectors * (count - 1)),
        "rho": weights(random, pairs),
    } | kernel(random) | classes(random, count)  # fmt: skip
    is_sure = random.integer(0, 1)
    if is_sure:
        attributes |= {
            "prob_a": (-random.floats(pairs, low=0.1)).tolist(),
            "prob_b": weights(random, pairs),
        }
    # of two classes without probabilities, ONNX Runtime replaces the transform by 1 - score
    attributes |= transform(random, count if is_sure or count > 2 else 1)
    return near([x], attributes, 1024, outputs=2)


def linear_svm(random: Random, x: np.ndarray, count: int) -> Call:
    """Without support vectors; of two classes, ONNX Runtime takes the second if a score is > 0."""
    attributes = {
        "coefficients": weights(random, count * x.shape[-1]),
        "rho": weights(random, 1),
        "kernel_params": [0.0, 0.0, 0.0],
    } | classes(random, count)  # fmt: skip
    return near([x], attributes | transform(random, count), 64, outputs=2)
