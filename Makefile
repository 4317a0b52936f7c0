# make quickstart: a first model, end to end. make test: the tests. make check: all that CI wants.
# make docs: the documentation's site in build/site, spelling and links checked.
# make docs-run: every block of code in the documentation, as a reader runs it, with the time of each.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiling every installed file takes longer than compiling the imported ones on first use.
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --no-compile

# Two processes of one thread each: tests are small, and two threads would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadscope

.PHONY: quickstart test slow check docs docs-run clean

quickstart: $(VENV)/.training
	$(BIN)/tinyforge quickstart --force

test: $(VENV)/.development
	$(PYTEST)

slow: $(VENV)/.development
	$(PYTEST) -m slow

check: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)
	$(MAKE) docs

docs: $(VENV)/.development
	$(BIN)/python docs/site/make_site.py

# PAGES="README.md docs/tutorials/01_introduction.md" runs these alone.
docs-run: $(VENV)/.development
	$(BIN)/python tests/docs/pages.py $(PAGES) --list build/blocks.md

clean:
	rm -rf $(VENV) quickstart-model quickstart-model-data quickstart-model-onnx .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache build dist src/*.egg-info

# The stamps make a second call start at once; a changed pyproject.toml installs again.
$(VENV)/.training: pyproject.toml | $(VENV)/bin/python
	@echo "Installing TinyForge and what training needs into $(VENV) (one to three minutes)"
	@$(PIP) --editable '.[training,onnx]'
	@touch $@

$(VENV)/.development: pyproject.toml | $(VENV)/bin/python
	@echo "Installing TinyForge and what the tests need into $(VENV)"
	@$(PIP) --editable '.[all,dev]'
	@touch $@ $(VENV)/.training

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "TinyForge needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "No venv here. On Debian: apt-get install python3-venv"; exit 1; }
