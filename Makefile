PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow fuzz lint bench docs

demo: .venv/demo.installed
	$(BIN)/keras-effnet demo

test: lint
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: .venv/test.installed
	$(BIN)/python -m pytest -m slow

fuzz: .venv/test.installed
	$(BIN)/python tests/fuzz/fuzz.py --seconds 3600

lint: .venv/test.installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv/test.installed
	$(BIN)/python benchmarks/studies/import_time.py && $(BIN)/python benchmarks/studies/peers/build_time.py && $(BIN)/python benchmarks/studies/accuracy.py && $(BIN)/python benchmarks/studies/peers/export_time.py && $(BIN)/python benchmarks/studies/peers/file_latency.py && $(BIN)/python benchmarks/studies/peers/arm_instructions.py

docs: .venv/test.installed
	$(BIN)/python docs/tables.py

# One environment for all extras: each of its own would cost gigabytes.
.venv/%.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@
