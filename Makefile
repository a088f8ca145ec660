# Everything sets itself up: Python 3.11 or newer and make are enough.
# Another interpreter: make test PYTHON=python3.13

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check bench dev clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.core ## make a synthetic night and show its transit report
	$(BIN)/starmuster demo

test: $(VENV)/.test ## run the tests that need no real frames
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not real and not long"

check: $(VENV)/.dev ## lint, format check, types and all tests, the long ones too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not real"

NOT_ALONE := $(addprefix bench/,measure.py made_night.py camera_scale.py)

bench: $(VENV)/.test ## run every benchmark
	@set -e; for script in $(filter-out $(NOT_ALONE),$(wildcard bench/*.py)); do \
		echo "== $$script"; $(BIN)/python "$$script"; done

dev: $(VENV)/.dev ## set up for development, with a link that lets editors find the package
	@mkdir -p .ide && ln -sfn .. .ide/starmuster
	@echo "ready: source $(BIN)/activate; point the editor's extra paths at .ide"

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) .ide build dist starmuster.egg-info .pytest_cache .ruff_cache

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.core

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found: install one," \
		"or name it: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
