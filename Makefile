# `make` builds .venv; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
DIR ?=
ARGS ?=

.DEFAULT_GOAL := install
.PHONY: install help demo run test check chaos bench docs lock clean

install: .venv/installed  ## Build .venv with the locked dependencies and the program (the default)
	@echo "Ready: $(BIN)/forebay. Try 'make demo', or 'make help'."

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Forebay needs Python 3.11 or newer; choose one with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed  ## Index a folder (DIR=..., default: docs and src), ask it three questions, and ask what happened
	@$(BIN)/forebay demo $(if $(DIR),"$(DIR)")

run: .venv/installed  ## Run the server (ARGS="--watch DIR --port N")
	@$(BIN)/forebay up $(ARGS)

test: .venv/installed  ## Run all tests, the chaos ones in their short form (ARGS="-k name")
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/installed  ## Lint, format, types, import order, and whether the generated docs are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m forebay.cli.reference --check

chaos: .venv/installed  ## Kill, fill the disk, break things, and see that nothing is lost
	FOREBAY_TEST_SIMULATED_RUNS=10000 FOREBAY_TEST_KILLS=100 FOREBAY_TEST_ENGINE_KILLS=200 FOREBAY_TEST_ROUNDS=20 FOREBAY_TEST_FUZZ_EXAMPLES=500 FOREBAY_TEST_LOG_MIB=2048 FOREBAY_TEST_MACHINE_STEPS=200000 FOREBAY_TEST_REQUESTS=50 FOREBAY_TEST_ORACLE_PROGRAMS=2000 FOREBAY_TEST_KQL_CASES=20000 $(BIN)/python -m pytest tests/chaos tests/oracle tests/kql tests/integration/test_engine_waits.py tests/integration/test_engine_children.py tests/integration/test_replay_waits.py $(ARGS)

bench: .venv/installed  ## Measure what docs/benchmarks.md states
	$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/installed  ## Write the generated parts of docs/
	$(BIN)/python -m forebay.cli.reference

lock:  ## Resolve the dependencies anew (needs uv; see CONTRIBUTING.md)
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -o requirements.lock

clean:  ## Remove .venv and the caches; data directories stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
