PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test check format lint types docs bench torture fuzz clean

demo: $(VENV)/.run  ## The whole path on an embedded corpus, in at most ten minutes
	$(BIN)/bertkit demo --out runs/demo

test: $(VENV)/.test  ## All tests
	$(BIN)/python -m pytest

check: lint types test  ## What continuous integration runs

lint: $(VENV)/.test  ## Format and lint, without changing a file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(VENV)/.test  ## Format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/.test  ## Strict types
	$(BIN)/mypy

torture: $(VENV)/.test  ## Kill every command and fill its disk, 100 times each; the results must be the same bits
	$(BIN)/python tools/torture/run.py --page

FUZZ_CASES ?= 10000
FUZZ_SEED ?= 1

fuzz: $(VENV)/.test  ## Bad invocations and spoilt files for every command: no traceback, hang, lost or half-written file
	$(BIN)/python tools/fuzz/run.py --cases $(FUZZ_CASES) --seed $(FUZZ_SEED)

docs: $(VENV)/.docs  ## The documentation site, in site/: docs/, docstrings and real reports; strict, without a network
	$(BIN)/python tools/docs/gallery.py build/gallery
	$(BIN)/python tools/docs/pages.py build/gallery build/pages
	rm -rf site
	$(BIN)/zensical build --strict --clean
	$(BIN)/python tools/docs/check.py site

bench: $(VENV)/.bench  ## The benchmarks that need no data of your own, against their peers
	$(BIN)/python benchmarks/run_all.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(INSTALL) --editable ".[test,check]"
	touch $@

$(VENV)/.docs: $(VENV)/.run
	$(INSTALL) --editable ".[docs]"
	touch $@

$(VENV)/.bench: $(VENV)/.run
	$(INSTALL) --editable ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) runs build dist site .cache
