# What a contributor can do here; `make help` lists it. Needs python3 (3.11 to 3.13) with venv, make and git.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
ARGS ?=
WORKERS ?= 2
BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock"
export OPENBLAS_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
# Where it is set, each of the hundreds of processes that tests start compiles all it imports once more: docs/decisions/0077.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: install
install: .venv/installed ## build .venv from requirements.lock (reused while it is current)

.venv/installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make install: there is no '$(PYTHON)'. Install Python 3.11, 3.12 or 3.13, or name one: make install PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "make install: $$($(PYTHON) --version) will not do; Rapport needs 3.11, 3.12 or 3.13: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make install: this Python comes without venv. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Building .venv with $$($(PYTHON) --version) (about a minute) ..."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@ && echo "Done: $(BIN)/rapport --help"

.PHONY: spark
spark: .venv/installed-spark ## add PySpark to .venv (434 MB; needs Java 17 or newer)

.venv/installed-spark: .venv/installed requirements-spark.lock
	@echo "Adding PySpark to .venv ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-spark.lock
	@command -v java >/dev/null || echo "There is no 'java' here, which Spark needs: on Debian and Ubuntu, sudo apt install openjdk-17-jre-headless"
	@touch $@

.PHONY: demo
demo: install ## the whole chain on real data, then serve it (ARGS=--no-serve ends after asking)
	@$(BIN)/rapport demo $(ARGS)

.PHONY: test
test: install ## the tests, two files at a time (ARGS="-k codec" chooses; WORKERS=0 runs them in one process)
	@$(PYTEST) -m "not slow" $(ARGS)

.PHONY: test-slow
test-slow: $(if $(shell command -v java),spark,install) ## the long proofs; those on Spark are skipped without Java, and pytest says so
	@$(PYTEST) -m slow $(ARGS)

.PHONY: test-all
test-all: install ## both in one run, as .ci/run does (those on Spark after `make spark`)
	@$(PYTEST) $(ARGS)

.PHONY: lint
lint: install ## ruff, mypy --strict and the import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: install ## let ruff write the layout
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.PHONY: lock
lock: install ## resolve pyproject.toml into requirements.lock and requirements-spark.lock again
	@$(LOCK) --extra train --extra demo --extra dev --output-file requirements.lock pyproject.toml
	@grep -oE 'pyspark[<>=][^"]+' pyproject.toml | $(LOCK) --constraint requirements.lock --output-file requirements-spark.lock -

.PHONY: docs
docs: install ## write docs/features.md and docs/openapi.json anew from the code
	@$(BIN)/rapport features document --folder docs

.PHONY: bench
bench: install ## run every benchmark; one JSON line each
	@for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script $(ARGS); done

.PHONY: clean
clean: ## remove the environment, facts, models and caches
	rm -rf .venv data build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find mlruns -mindepth 1 ! -name README.md -delete
