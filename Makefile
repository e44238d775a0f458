# `make check` runs what CI runs. Everything is installed into .venv, from pyproject.toml alone.
# `make check PYTHON=python3.13` does so with another Python.

PYTHON ?= python3
VERSION_OF := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
PYTHON_VERSION := $(shell $(PYTHON) $(VERSION_OF) 2>/dev/null)

# Said here, before pip says it in a hundred lines, or the shell in none.
ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),help)),)
ifeq ($(PYTHON_VERSION),)
$(error there is no $(PYTHON): name a Python from 3.11 on, such as make $(MAKECMDGOALS) PYTHON=python3.12)
endif
ifneq ($(filter 2.% 3.0 3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8 3.9 3.10,$(PYTHON_VERSION)),)
$(error $(PYTHON) is Python $(PYTHON_VERSION): name one from 3.11 on, such as make $(MAKECMDGOALS) PYTHON=python3.12)
endif
endif

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(PYTHON_VERSION)

# An environment of another Python is made anew: venv would leave the old one's packages and commands in it.
MAKE_VENV = test "$$($(BIN)/python $(VERSION_OF) 2>/dev/null)" = "$(PYTHON_VERSION)" || $(PYTHON) -m venv --clear $(VENV)

# Or each of a thousand processes that the tests start would compile everything anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help install check format lint imports types test chaos wheel bench demo screenshots clean

help:
	@echo "make demo     a daemon on a temporary file with producers, and the console on it"
	@echo "make test     run the tests"
	@echo "make chaos    run the long tests: minutes of load, kills and faults"
	@echo "make check    what CI runs: format, lint, import rules, types, tests on the built wheel"
	@echo "make format   rewrite the code in the house format"
	@echo "make screenshots   make the pictures of the console in docs/images anew"
	@echo "make bench    measure beside audit-stream 0.1.0; writes benchmarks/RESULTS.md"

$(STAMP): pyproject.toml
	$(MAKE_VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

install: $(STAMP)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

imports: $(STAMP)
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

# Two cores are kept busy by four: tests wait half of their time.
test: $(STAMP)
	$(BIN)/python -m pytest -n 4

# One at a time: they measure what a daemon under attack still does for others.
chaos: $(STAMP)
	$(BIN)/python -m pytest -m chaos

# The tests once more than `make test`, in that they run on the wheel that users install, from an environment of its own.
wheel: $(STAMP)
	rm -rf dist .make/wheel
	$(BIN)/python -m build --quiet --wheel
	$(PYTHON) -m venv .make/wheel
	.make/wheel/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.make/wheel/bin/python -m pip install --quiet dist/*.whl --group dev
	.make/wheel/bin/python -m pytest -n 4

check: lint imports types wheel

# The daemon that is measured is installed as users install it, without the tools of the development environment.
bench:
	$(PYTHON) -m venv --clear .make/bench
	.make/bench/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.make/bench/bin/python -m pip install --quiet --force-reinstall --no-deps .
	.make/bench/bin/python -m pip install --quiet .
	.make/bench/bin/python -m benchmarks

# A newcomer need not wait for the tools of development.
RUNTIME := $(VENV)/.runtime-$(PYTHON_VERSION)

$(RUNTIME): pyproject.toml
	@echo "Installing audit-stream into $(VENV), once ..."
	@$(MAKE_VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

demo: $(if $(wildcard $(STAMP)),$(STAMP),$(RUNTIME))
	@$(BIN)/audit-stream demo

# The pictures of README.md and docs/console.md, from the running app.
screenshots: $(STAMP)
	$(BIN)/python docs/screenshots.py

clean:
	rm -rf .venv .make dist build
