# `make demo` and `make test` need Python 3.11 or newer and nothing else.

PYTHON ?= python3
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/requirements.lock
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test bench verified lint format generate lock clean

demo: .venv/examples
	$(BIN)/python examples/digits.py

test: .venv/test
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup --verified=out/verified.json

# Writes the README's table of exporters from what the tests that are marked verify.
verified: .venv/test
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup --verified=out/verified.json tests/interop
	$(BIN)/python -m tools.verified out/verified.json

# Takes about two hours on two cores; `$(BIN)/python -m benchmarks --help` measures parts.
bench: .venv/onnx2torch
	$(BIN)/python -m benchmarks --out benchmarks/results

lint: .venv/test .venv/lint
	$(BIN)/ruff check hetu tests examples tools benchmarks
	$(BIN)/ruff format --check hetu tests examples tools benchmarks
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: .venv/lint
	$(BIN)/ruff check --fix hetu tests examples tools benchmarks
	$(BIN)/ruff format hetu tests examples tools benchmarks

# Writes what is generated from the operators' signatures: hetu/api/op.pyi and docs/operators.md.
generate: .venv/test
	$(BIN)/python -m tools.generate

# onnx2torch asks for torchvision, which it does without here (benchmarks/engines/onnx2torch.py).
.venv/onnx2torch: .venv/bench
	$(BIN)/pip install -q --no-deps onnx2torch
	touch $@

.venv/%: pyproject.toml requirements.lock | .venv
	$(BIN)/pip install -q -e '.[$*]'
	touch $@

.venv:
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv out
