# Every target sets up what it needs: a virtual environment with pinned packages, once.
#
#   make demo     trains a small network, assesses it, writes a report
#   make test     all tests            make lint    format, lint, types, layers
#   make bench    timings, into benchmarks/README.md
#   make docs     the site, in site/
#   make clean    removes the environment and caches
#
# Variables:
#   PYTHON       the Python to build the environment with (3.11 or newer)
#   VENV         where the environment lives
#   TORCH_INDEX  a package index to take torch from, empty for the usual one. The usual torch for Linux
#                brings the CUDA libraries (several gigabytes); PyTorch publishes an index of CPU-only builds:
#                    make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
#   WORKERS      processes for the tests

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
WORKERS ?= 2
BIN := $(VENV)/bin
TORCH := $(shell grep '^torch==' constraints.txt)
CODE := src tests benchmarks experiments examples

.PHONY: demo test lint format bench docs clean install
.DELETE_ON_ERROR:

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "netassay needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --index-url $(TORCH_INDEX) $(TORCH))
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,onnxruntime]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/netassay demo

test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(WORKERS)

lint: $(VENV)/.installed
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
