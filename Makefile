# make demo    the whole journey on this machine, in a minute
# make test    all tests
# make check   lint, types, tests, built wheel, older versions of Rucio

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet

# Majors of Rucio that are supported besides the newest, which all else is tested with.
OLDER_RUCIOS := 38 39 40

.PHONY: demo test lint types wheel check clean older-rucios

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

older-rucios: $(addprefix $(VENV)/rucio-,$(OLDER_RUCIOS))

$(VENV)/rucio-%: FORCE | $(BIN)/uv
	$(PYTHON) -m venv $@
	$(INSTALL) --python $@/bin/python --editable '.[testbed,test]' 'rucio==$*.*'
	$@/bin/python -m pytest tests/lake tests/policy/test_multi_vo.py

FORCE:

check: lint types test wheel older-rucios

clean:
	rm -rf $(VENV) build dist

# pip takes minutes to agree with itself about what Rucio and the tools of the tests need.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/installed: pyproject.toml | $(BIN)/uv
	$(INSTALL) --python $(BIN)/python --editable '.[testbed]'
	touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/uv
	$(INSTALL) --python $(BIN)/python --editable '.[testbed,test]'
	touch $@ $(VENV)/installed
