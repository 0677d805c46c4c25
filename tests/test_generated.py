"""What is generated from the operators is up to date."""

from tools import generate


def test_stub() -> None:
    assert generate.STUB.read_text() == generate.stub(), "run `make generate`"


def test_table() -> None:
    assert generate.TABLE.read_text() == generate.table(), "run `make generate`"
