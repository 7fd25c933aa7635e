# make demo    the whole journey on this machine, in a minute
# make test    all tests
# make check   lint, types, tests, built wheel: what CI runs

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types wheel check clean

demo: $(VENV)/installed
	$(BIN)/python -m stac_testbed demo \
	  $(if $(API),--api '$(API)') \
	  $(foreach collection,$(COLLECTION),--collection '$(collection)') \
	  $(if $(ASSETS),--assets '$(ASSETS)') \
	  $(if $(MAX_ITEMS),--max-items '$(MAX_ITEMS)') \
	  $(if $(KEEP),--keep)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed-test
	$(BIN)/mypy

wheel: $(VENV)/installed-test
	$(BIN)/python tests/wheel.py

check: lint types test wheel

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[testbed]'
	touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[testbed,test]'
	touch $@ $(VENV)/installed
