"""Strict expected failures, from `exceptions.toml`."""

import tomllib
from functools import cache
from pathlib import Path

import pytest


@cache
def _entries() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(__file__).parent.parent / "exceptions.toml").read_text())


def expect_failure(request: pytest.FixtureRequest, check: str, name: str) -> None:
    """Mark the running test as a strict expected failure where the file lists it for this check."""
    reason = _entries().get(check, {}).get(name)
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
