"""Scaling, encoding and selecting features."""

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, UsageError, show
from hetu.ops.kinds import Context, Floats, Ints, Strs, Tensor
from hetu.ops.lookup import chosen, positions
from hetu.ops.registry import op


@op("Scaler", domain="ai.onnx.ml")
def scaler(x: Tensor, *, offset: Floats = (), scale: Floats = ()) -> Tensor:
    x = _floats(x)
    return ((x - x.new_tensor(offset or (0.0,))) * x.new_tensor(scale or (1.0,))).float()


@op("Normalizer", domain="ai.onnx.ml")
def normalizer(x: Tensor, *, norm: str = "MAX") -> Tensor:
    x = _floats(x)
    if not x.numel():
        return x.float()
    match norm:
        case "MAX":
            size = x.amax(-1, keepdim=True)
        case "L1":
            size = x.abs().sum(-1, keepdim=True)
        case "L2":
            size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        case _:
            raise ModelError(f"Normalizer: norm {show(norm)} is not MAX, L1 or L2")
    return (x / torch.where(size == 0, 1, size)).float()


@op("Binarizer", domain="ai.onnx.ml")
def binarizer(x: Tensor, *, threshold: float = 0.0) -> Tensor:
    return (x > threshold).to(x.dtype)


@op("Imputer", domain="ai.onnx.ml")
def imputer(
    x: Tensor,
    *,
    imputed_value_floats: Floats = (),
    imputed_value_int64s: Ints = (),
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Tensor:
    if not x.is_floating_point():
        return torch.where(x == replaced_value_int64, x.new_tensor(imputed_value_int64s), x)
    is_nan = replaced_value_float != replaced_value_float
    is_missing = torch.isnan(x) if is_nan else x == replaced_value_float
    return torch.where(is_missing, x.new_tensor(imputed_value_floats), x)


@op("FeatureVectorizer", domain="ai.onnx.ml")
def feature_vectorizer(*x: Tensor, inputdimensions: Ints = ()) -> Tensor:
    """Each input's features, cut or filled with zeros to the size that is given for it."""
    features = [_floats(part) for part in x]
    features = [part.reshape(1, -1) if part.ndim < 2 else part.flatten(1) for part in features]
    sizes = inputdimensions or [part.shape[1] for part in features]
    padded = [
        F.pad(part, (0, size - part.shape[1])) for part, size in zip(features, sizes, strict=True)
    ]
    return torch.cat(padded, 1).float()


@op("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature_extractor(x: Tensor, y: Tensor) -> Tensor:
    selected = x.index_select(-1, y.reshape(-1))
    # ONNX Runtime takes a vector for one sample
    return selected.unsqueeze(0) if x.ndim == 1 else selected


@op("OneHotEncoder", domain="ai.onnx.ml")
def one_hot_encoder(
    x: Any, *, cats_int64s: Ints = (), cats_strings: Strs = (), zeros: int = 1, ctx: Context
) -> Tensor:
    cats = cats_strings or cats_int64s
    x = x.long() if isinstance(x, Tensor) else x
    index = positions(x, cats, ctx.device)
    if not zeros and bool((index == len(cats)).any()):
        raise UsageError("OneHotEncoder: an element is none of the categories, and zeros is 0")
    return F.one_hot(index, len(cats) + 1)[..., :-1].float()


@op("LabelEncoder", since=4, domain="ai.onnx.ml")
def label_encoder(
    x: Any,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: Tensor | None = None,
    keys_floats: Floats = (),
    keys_int64s: Ints = (),
    keys_strings: Strs = (),
    keys_tensor: Tensor | None = None,
    values_floats: Floats = (),
    values_int64s: Ints = (),
    values_strings: Strs = (),
    values_tensor: Tensor | None = None,
    ctx: Context,
) -> Any:
    keys = keys_strings or keys_int64s or keys_floats if keys_tensor is None else keys_tensor
    index = positions(x, keys, ctx.device)
    if values_tensor is not None:
        values = values_tensor
    else:
        values = _table(values_strings, values_int64s, values_floats)
    default = _default(values, default_string, default_int64, default_float)
    if default_tensor is not None:
        default = default_tensor.reshape(-1).tolist()[0]
    return chosen(values, default, index)


@op("LabelEncoder", since=2, domain="ai.onnx.ml")
def label_encoder_2(
    x: Any,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    keys_floats: Floats = (),
    keys_int64s: Ints = (),
    keys_strings: Strs = (),
    values_floats: Floats = (),
    values_int64s: Ints = (),
    values_strings: Strs = (),
    ctx: Context,
) -> Any:
    return label_encoder(
        x, default_float=default_float, default_int64=default_int64, default_string=default_string,
        keys_floats=keys_floats, keys_int64s=keys_int64s, keys_strings=keys_strings,
        values_floats=values_floats, values_int64s=values_int64s, values_strings=values_strings,
        ctx=ctx,
    )  # fmt: skip


@op("LabelEncoder", domain="ai.onnx.ml")
def label_encoder_1(
    x: Any,
    *,
    classes_strings: Strs = (),
    default_int64: int = -1,
    default_string: str = "_Unused",
    ctx: Context,
) -> Any:
    if isinstance(x, Tensor):
        count = len(classes_strings)
        is_class = (x >= 0) & (x < count)
        return chosen(classes_strings, default_string, torch.where(is_class, x, count))
    index = positions(x, classes_strings, ctx.device)
    return torch.where(index == len(classes_strings), default_int64, index)


@op("CategoryMapper", domain="ai.onnx.ml")
def category_mapper(
    x: Any,
    *,
    cats_int64s: Ints = (),
    cats_strings: Strs = (),
    default_int64: int = -1,
    default_string: str = "_Unused",
    ctx: Context,
) -> Any:
    if isinstance(x, Tensor):
        return chosen(cats_strings, default_string, positions(x, cats_int64s, ctx.device))
    index = positions(x, cats_strings, ctx.device)
    return chosen(torch.tensor(cats_int64s), default_int64, index)


def _floats(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.float()


def _table(strings: Strs, ints: Ints, floats: Floats) -> Strs | Tensor:
    if strings:
        return strings
    return torch.tensor(ints) if ints else torch.tensor(floats, dtype=torch.float32)


def _default(values: Any, string: str, integer: int, real: float) -> str | float:
    if not isinstance(values, Tensor):
        return string
    return real if values.is_floating_point() else integer
