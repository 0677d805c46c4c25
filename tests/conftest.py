"""Counts what the tests of exported models verify: `pytest --verified=FILE` writes it as JSON.

Such a test is marked `@pytest.mark.verifies("results", "export", exporter=...)`. The exporter is a
row of the README's table, or a function that finds it among the test's parameters.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

VERIFIED = "verified"
_counts: pytest.StashKey[dict[str, Counter[str]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--verified", metavar="FILE", help="where to write what was verified")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_counts] = {}
    config.pluginmanager.register(_Counting(config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Note on the report, which workers hand on, what a test has verified."""
    report = yield
    if report.when == "call" and report.passed:
        for mark in item.iter_markers("verifies"):
            exporter = mark.kwargs["exporter"]
            if callable(exporter):
                exporter = exporter(item.callspec.params)  # pyright: ignore
            report.user_properties.append((VERIFIED, (exporter, *mark.args)))
    return report


class _Counting:
    """Adds up the reports, those of all workers where there are several."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, content in report.user_properties:
            if name == VERIFIED and report.when == "call":
                exporter, *properties = content
                self._config.stash[_counts].setdefault(exporter, Counter()).update(properties)

    def pytest_sessionfinish(self) -> None:
        path = self._config.getoption("--verified")
        if path and not hasattr(self._config, "workerinput"):
            text = json.dumps(self._config.stash[_counts], indent=2, sort_keys=True)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(f"{text}\n")
