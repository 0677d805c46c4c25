"""What is generated from the operators is up to date."""

import json

from tools import generate, verified


def test_stub() -> None:
    assert generate.STUB.read_text() == generate.stub(), "run `make generate`"


def test_table() -> None:
    assert generate.TABLE.read_text() == generate.table(), "run `make generate`"


def test_verified() -> None:
    counts = json.loads(verified.COUNTS.read_text())
    verified.check_names(counts)
    assert verified.README.read_text() == verified.readme(counts), "run `make verified`"
