PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow lint bench docs

demo: .venv/demo
	$(BIN)/keras-effnet demo

test: .venv/test lint
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/test
	$(BIN)/python -m pytest -m slow

lint: .venv/test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: .venv/test
	for script in benchmarks/import_time.py benchmarks/peers/build_time.py benchmarks/accuracy.py; do $(BIN)/python $$script || exit 1; done

# An environment per set of extras is not worth its gigabyte: they share one.
.venv/%: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@
