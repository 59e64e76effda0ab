# Everything that a checkout needs, in one place: `make help` lists the targets.
# All of them work in .venv, which `make setup` creates and the others keep up to date.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
MODERN := import sys; sys.exit(sys.version_info < (3, 11))

# The interpreter to build .venv from; PYTHON=/path/to/python chooses another.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11, \
	$(shell $(name) -c '$(MODERN)' 2>/dev/null && echo $(name))) python3)

# The browser of the report's tests; CHROMIUM=/path/to/chromium chooses another.
CHROMIUM ?= $(firstword $(foreach name,chromium chromium-browser google-chrome google-chrome-stable, \
	$(shell command -v $(name) 2>/dev/null)))
export CHROMIUM

# A user's own settings for mirrors, proxies and certificates reach pip. Those that would install
# elsewhere or other things do not, nor do foreign packages reach Python.
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_NO_BINARY PIP_DRY_RUN PIP_NO_DEPS
unexport PYTHONPATH PYTHONHOME
export PIP_USER := 0
export PIP_REQUIRE_HASHES := 0
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

# -- set-up ------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.installed ## create or update .venv with the pinned dependencies
	@$(BIN)/python -m compileall -q autoscaler simulator # else, where Python may not write, every start compiles

$(VENV)/.requirements: requirements/dev.txt
	@$(PYTHON) -c '$(MODERN)' 2>/dev/null || { \
		echo "This needs Python 3.11 or later, and $(PYTHON) is not: $$($(PYTHON) --version 2>&1)"; \
		echo "Debian 12 and Ubuntu 24.04 have it: apt-get install python3 python3-venv"; \
		echo "An interpreter elsewhere: make PYTHON=/path/to/python3.12 ..."; \
		exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) comes without venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@$(BIN)/python -c 'import pip; $(MODERN)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the pinned dependencies into $(VENV) (about a minute the first time)"
	@$(PIP_INSTALL) --no-deps --only-binary :all: --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip check --quiet
	@touch $@

# The simulator's inner loops are compiled here and run as Python again once they are changed; `make
# compile` compiles them again.
$(VENV)/.installed: $(VENV)/.requirements pyproject.toml hatch_build.py autoscaler/__init__.py
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from simulator.compiled import describe; print(describe())'
	@touch $@

.PHONY: compile
compile: $(VENV)/.requirements ## compile the simulator's inner loops after a change to them
	@rm -f $(VENV)/.installed
	@$(MAKE) --no-print-directory $(VENV)/.installed

# -- the two commands of the README ------------------------------------------------------------

.PHONY: demo
demo: setup ## replay the bundled trace under two policies and write demo-report/report.html
	@mkdir -p demo-report
	$(BIN)/autoscale simulate azure-conv --rate-scale 2 --policy chat --policy queue-size \
		--html demo-report/report.html --json demo-report/summary.json
	@echo
	@echo "The report is in demo-report/report.html: open it in any browser. The figures: demo-report/summary.json"

.PHONY: test
test: lint test-fast test-browser ## every check but the slow tier: lint, types, fast tests, browser

# -- the tiers ---------------------------------------------------------------------------------

.PHONY: lint
lint: setup ## ruff, mypy --strict and the import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: test-fast
test-fast: setup ## the fast tests
	$(BIN)/python -m pytest -q -rs -n auto -m "not slow and not browser and not e2e" --durations=5

.PHONY: test-slow
test-slow: setup ## the tests that take minutes: whole traces, simulated days, the wheel
	$(BIN)/python -m pytest -q -rs -n auto --dist worksteal -m "slow and not browser and not e2e" --durations=5

.PHONY: test-browser
test-browser: setup ## the HTML report in a real browser; skipped without Chromium
	@if [ -n "$(CHROMIUM)" ]; then \
		$(BIN)/python -m pytest -q -rs -m browser; \
	else \
		echo "skipped: the browser tests need Chromium (Debian: apt-get install chromium)"; \
	fi

.PHONY: servers
servers: ## fetch Prometheus (Debian's) into the cache, without root; the e2e tests use it
	@tests/servers/fetch-prometheus

.PHONY: manifests
manifests: ## build kustomize and the manifest checker into the cache; the e2e tests use them
	@tests/manifests/build

.PHONY: controlplane
controlplane: ## build etcd, an API server and kwok into the cache, with Go; the e2e tests use them
	@tests/controlplane/build

.PHONY: e2e
e2e: setup servers manifests controlplane ## the tests on a real Prometheus and Kubernetes' own API machinery
	$(BIN)/python -m pytest -q -rs -m e2e --durations=5

.PHONY: e2e-again
e2e-again: ## only the end-to-end tests that failed last, each named
	$(BIN)/python -m pytest -q -rp -m e2e --last-failed --last-failed-no-failures none

.PHONY: bench
bench: compile setup ## reproduce the figures of docs/: equality, starts, speed, memory, fidelity (half an hour)
	$(BIN)/python -m pytest -q -rs tests/simulator/vllm/test_engines_agree.py tests/simulator/test_compiled.py
	$(BIN)/python -m benchmarks.startup_totals
	$(BIN)/python -m benchmarks.startup_machines
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.endurance
	$(BIN)/python -m benchmarks.bound
	$(BIN)/python -m benchmarks.fidelity
	$(BIN)/python -m benchmarks.recorded_runs
	$(BIN)/python -W ignore -m benchmarks.adapter_load

# -- day to day --------------------------------------------------------------------------------

.PHONY: check
check: lint ## before each commit: lint, then the fast tests until the first failure
	$(BIN)/python -m pytest -q -x -n auto -m "not slow and not browser and not e2e"

.PHONY: coverage
coverage: setup ## the fast tests again, listing the branches that none of them takes
	$(BIN)/python -m pytest -q -n auto -m "not slow and not browser and not e2e" --cov --cov-report=term

.PHONY: format
format: setup ## let ruff format the code and repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# No option may write an address or a path of this machine into the files.
LOCK = $(BIN)/pip-compile --quiet --no-config --no-header --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options $(LOCK_OPTIONS)

.PHONY: dashboards
dashboards: setup ## write deploy/dashboards/*.json from panels.yaml
	$(BIN)/python -m tools.dashboards

.PHONY: rule-tables
rule-tables: setup ## write the tables of warnings in docs/policy.md from the lint rules
	$(BIN)/python -m tools.rule_tables

.PHONY: picture
picture: demo ## take docs/images/demo.png again from the demo's report, with Chromium
	@sed 's|</head>|<style>.toolbar, header, .opening, \#comparison { display: none } main, .run { margin: 0; padding: 0; border: 0 }</style></head>|' demo-report/report.html > demo-report/picture.html
	@"$(CHROMIUM)" --headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run \
		--user-data-dir=demo-report/browser --hide-scrollbars --window-size=1210,765 \
		--virtual-time-budget=5000 --screenshot=docs/images/demo.png "file://$(CURDIR)/demo-report/picture.html" 2>/dev/null

.PHONY: sbom
sbom: setup ## write dist/sbom.cdx.json, the CycloneDX bill of materials of the image's Python packages
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml \
		--output-reproducible --output-file dist/sbom.cdx.json

.PHONY: lock
lock: setup ## pin requirements/*.txt again; LOCK_OPTIONS=--upgrade takes the latest versions
	$(LOCK) --output-file requirements/runtime.txt pyproject.toml
	$(LOCK) --output-file requirements/build.txt requirements/build.in
	$(LOCK) --constraint requirements/runtime.txt --output-file requirements/dev.txt \
		pyproject.toml requirements/dev.in
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/parquet.txt requirements/parquet.in

.PHONY: clean
clean: ## remove what the targets wrote, except .venv
	rm -rf build dist demo-report htmlcov .coverage .coverage.* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache simulator/_compiled
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## clean, and remove .venv too
	rm -rf $(VENV)
