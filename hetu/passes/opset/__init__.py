"""Moves graphs to other operator set versions: a rule per operator and step, errors where none is.

A *step* leads from one version of an operator to the next newer or older one. Most steps follow
from what the schemas say (`derive.py`); `rules/` holds the others, found by operator and step.
"""

from hetu.passes.opset.convert import Conversion, Failure
from hetu.passes.opset.schema import Formal, Schemas, Setting, Signature

__all__ = ["Conversion", "Failure", "Formal", "Schemas", "Setting", "Signature"]
