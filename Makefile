# Only make and python3 >= 3.11 are assumed; uv, where present, makes the set-up faster.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
PROTOS := $(shell find protos -name '*.proto' 2>/dev/null)
GRPCURL_VERSION := v1.9.4
KUSTOMIZE_VERSION := v5.8.2
NODE_PACKAGES := tests/clients/node
PYTHON_CLIENTS := .tools/python-clients
PYTHON_CLIENTS_LOCK := tests/clients/python/requirements.lock
PYTEST_FLAGS ?= -n 3 --dist worksteal
export UV_PYTHON_DOWNLOADS := never

ifneq ($(UV),)
INSTALL_INTO = uv pip install --quiet --python $(1)/bin/python
VENV = uv venv --quiet --python $(BIN)/python
else
INSTALL_INTO = $(1)/bin/python -m pip install --quiet --disable-pip-version-check
VENV = $(BIN)/python -m venv
endif
INSTALL = $(call INSTALL_INTO,.venv)

.PHONY: help run dev test lint format codegen bench torture certs tools tools-browser tools-deploy lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.runtime gen/.stamp ## start the whole gateway on this machine
	@exec $(BIN)/python -m services

dev: .venv/.dev gen/.stamp ## the same, started again whenever a source file changes
	@exec $(BIN)/watchfiles --filter python --sigint-timeout 30 "$(BIN)/python -m services" services

test: lint ## lint, types, import contracts, proto lint, then every test
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: .venv/.dev gen/.stamp ## everything but the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint
	$(BIN)/buf format -d --exit-code

format: .venv/.dev ## rewrite the sources in the house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/buf format -w

codegen: gen/.stamp ## generate the gRPC code from protos/ into gen/

bench: .venv/.dev gen/.stamp ## measure what the gateway costs
	$(BIN)/python -m tests.bench

torture: .venv/.dev gen/.stamp ## kill, freeze and overload real processes, then check every cent
	$(BIN)/python -m tests.torture

certs: .venv/.runtime ## certificates for mTLS, in .gateway/certs
	@mkdir -p -m 700 .gateway
	@$(BIN)/python -m services.common.certs .gateway/certs

tools: $(BIN)/python ## fetch grpcurl, kustomize (needs Go), client libraries for Python and Node (needs npm)
	@for tool in grpcurl=github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION) \
	        kustomize=sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION); do \
	    name="$${tool%%=*}"; module="$${tool#*=}"; \
	    if [ -x ".tools/bin/$$name" ]; then echo "$$name is in .tools/bin"; \
	    elif command -v go >/dev/null; then GOBIN="$(CURDIR)/.tools/bin" go install "$$module"; \
	    else echo "No Go here: $$name is not installed; what needs it is skipped."; fi; \
	done
	@if [ $(NODE_PACKAGES)/node_modules/.package-lock.json -nt $(NODE_PACKAGES)/package-lock.json ]; then \
	    echo "Node's client libraries are in $(NODE_PACKAGES)/node_modules"; \
	elif command -v npm >/dev/null; then npm ci --silent --no-progress --prefix $(NODE_PACKAGES); \
	else echo "No npm here: the tests with Node's client libraries are skipped."; fi
	@if [ $(PYTHON_CLIENTS)/.installed -nt $(PYTHON_CLIENTS_LOCK) ]; then echo "Python's client libraries are in $(PYTHON_CLIENTS)"; \
	else rm -rf $(PYTHON_CLIENTS) && $(VENV) $(PYTHON_CLIENTS) && \
	    $(call INSTALL_INTO,$(PYTHON_CLIENTS)) --require-hashes -r $(PYTHON_CLIENTS_LOCK) && touch $(PYTHON_CLIENTS)/.installed; fi

tools-browser: ## install Chromium for the console's tests (needs root and apt-get)
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then echo "chromium is installed"; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null || \
	        echo "chromium could not be installed: the console's browser tests cannot run."; \
	else echo "No root or no apt-get here: install chromium yourself, or the browser tests are skipped."; fi

tools-deploy: ## fetch promtool and install HAProxy for the tests of deploy/ (needs root and apt-get)
	@if command -v promtool >/dev/null || [ -x .tools/bin/promtool ]; then echo "promtool is installed"; \
	elif ! command -v apt-get >/dev/null; then echo "No apt-get here: what needs promtool is skipped."; \
	else mkdir -p .tools/bin .tools/prometheus && chmod 755 .tools/prometheus && { apt-get update -qq || true; } && \
	    (cd .tools/prometheus && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb . && \
	        mv usr/bin/promtool ../bin) || echo "promtool could not be fetched: what needs it is skipped."; \
	    rm -rf .tools/prometheus; fi
	@if command -v haproxy >/dev/null; then echo "haproxy is installed"; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && \
	        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy >/dev/null || \
	        echo "haproxy could not be installed: what needs it is skipped."; \
	else echo "No root or no apt-get here: install haproxy yourself, or what needs it is skipped."; fi

lock: ## resolve the dependencies of pyproject.toml into the hashed locks (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" pyproject.toml -o requirements.lock > /dev/null
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock \
	    -o requirements-dev.lock > /dev/null
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" pyproject.toml --extra otel -c requirements.lock \
	    -o requirements-otel.lock > /dev/null
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" tests/clients/python/requirements.in \
	    -o $(PYTHON_CLIENTS_LOCK) > /dev/null

clean: ## remove what was made: .venv, gen, caches (the data in .gateway stays)
	rm -rf .venv gen build dist *.egg-info .tools .pytest_cache .mypy_cache .ruff_cache \
	    .import_linter_cache .hypothesis
	find services cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed as editable: gw and the tests follow the sources and gen/ without another install.
.venv/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements.lock
	@mkdir -p gen/gateway
	$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "The gateway needs Python 3.11 or newer as python3; or name one: make run PYTHON=python3.12"; exit 1; }
ifneq ($(UV),)
	@uv venv --quiet --seed --python "$$(command -v $(PYTHON))" .venv
else
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "Python's venv module is missing: apt install python3-venv (or install uv), then again."; exit 1; }
	@$(PYTHON) -m venv .venv
endif

gen/.stamp: $(PROTOS) .venv/.runtime
	@rm -rf gen/gateway && mkdir -p gen/gateway
	@$(BIN)/python -m grpc_tools.protoc -Iprotos \
	    --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=gen --pyi_out=gen \
	    --grpc_python_out=gen --mypy_grpc_out=quiet:gen $(PROTOS)
	@touch $@
