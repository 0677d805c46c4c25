"""What a use tells of the meaning of a value, where any number would run."""

from collections.abc import Mapping

from hetu.onnx.verification.domains import Rule
from hetu.onnx.verification.site import Between, Domain, Site
from hetu.types import dtype


def _compared(site: Site) -> Domain | None:
    """Next to a constant that it is compared with."""
    constant = site.constant(1 - site.use.index)
    if constant is None or constant.dtype.kind not in "iuf":
        return None
    number = float(constant.reshape(-1)[0])
    return Between(min(0.0, number), max(1.0, number)) if abs(number) < 1 << 20 else None


def _inverted(site: Site) -> Domain | None:
    """`1 - x` is how masks are turned over."""
    constant = site.constant(0)
    return Between(0, 1) if constant is not None and (constant == 1).all() else None


def _cast(site: Site) -> Domain | None:
    """To bool; or to a type without a sign, which negative floats have no meaning in."""
    target = dtype(site.attributes.get("to", 1))
    if target.name == "bool":
        return Between(0, 1)
    is_unsigned = target.name.startswith("uint") and not site.is_integer
    return Between(0, 3, is_real=True) if is_unsigned else None


HINTS: Mapping[tuple[str, str], Mapping[int, Rule]] = {
    ("", "Cast"): {0: _cast},
    ("", "Equal"): {0: _compared, 1: _compared},
    ("", "Greater"): {0: _compared},
    ("", "GreaterOrEqual"): {0: _compared},
    ("", "Less"): {0: _compared},
    ("", "Sub"): {1: _inverted},
}
"""What an input probably means; followed where `DOMAINS` leaves room."""
