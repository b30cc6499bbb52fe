# `make` lists the targets.

PYTHON ?= python3
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -q

# It would make each `pulumi` command compile the SDKs again: a second of three.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup engine kube demo sandbox stop test lint unit e2e soak bench schemas mutants audit lock pictures clean

help:  ## list the targets
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/	/' | expand -t 12

setup:
	@$(PYTHON) -m sandbox.setup

engine:
	@$(PYTHON) -m sandbox.setup engine

kube:  ## get a Kubernetes control plane and AWS's cloud controller
	@$(PYTHON) -m sandbox.kube

demo: engine  ## create, verify, break, fix and destroy routes, on a local AWS
	@$(PY) -m sandbox demo

sandbox: engine  ## start a local AWS and leave it running
	@$(PY) -m sandbox start

stop: setup  ## stop the local AWS
	@$(PY) -m sandbox stop

test: setup  ## all tests: lint, unit and end-to-end, about 11 minutes
	@began=$$(date +%s); $(MAKE) --no-print-directory -j 2 lint unit && \
	  echo "make lint unit took $$(($$(date +%s) - began)) s"
	@$(MAKE) --no-print-directory e2e

lint: setup  ## ruff, its formatter, strict types, layers, the workflows
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@cd component && ../.venv/bin/mypy --config-file ../pyproject.toml __main__.py
	@.venv/bin/lint-imports --no-logo --no-cache
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows \
	  .github/workflows/*.yml
	@.venv/bin/zizmor --offline --quiet .github

unit: setup  ## tests without the engine, a minute
	@$(PYTEST) -n 2 tests/unit tests/property tests/program

e2e: setup  ## tests with real pulumi commands, about 10 minutes
	-@$(PYTHON) -m sandbox.setup engine && $(PYTHON) -m sandbox.pulumi.languages
	@$(PYTEST) -n 4 --dist worksteal -m "not soak" --durations 10 \
	  tests/sandbox tests/page tests/e2e

soak: engine  ## long tests: 20 kills, 100,000 user data, 5,000 random networks
	@HYPOTHESIS_PROFILE=soak $(PYTEST) --timeout 0 \
	  tests/property tests/sandbox/netns/test_accounts.py
	@$(PYTEST) --timeout 0 -m soak tests

bench: engine  ## measure beside the shell loop and Terraform, an hour
	@$(PY) -m bench

schemas: setup  ## write the JSON schemas in docs/schema
	@$(PY) -m tests.schemas

mutants: setup  ## mutation tests of the pure modules, 15 minutes
	@$(PY) -m pip install --quiet mutmut==3.8.1
	@HYPOTHESIS_PROFILE=mutants nice .venv/bin/mutmut run --max-children 1 $(MODULE)
	@.venv/bin/mutmut results

audit: setup  ## check the pinned packages for vulnerabilities
	@$(PY) -m pip install --quiet pip-audit
	@.venv/bin/pip-audit --require-hashes --disable-pip -r requirements-dev.txt

lock: setup  ## pin requirements*.in, with hashes, into requirements*.txt
	@$(PY) -m pip install --quiet uv
	@for name in requirements requirements-dev; do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" $$name.in -o $$name.txt; done

pictures: engine  ## render the README's pictures, with chromium
	@$(PY) -m sandbox.pictures

clean:  ## remove everything that the targets created
	rm -rf .venv .engine .sandbox .bench .setup.lock .mypy_cache .ruff_cache .pytest_cache mutants
