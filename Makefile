# Everything a person types is here; `make` alone lists it.

PYTHON ?= python3
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -q

# With it, each `pulumi` command would compile the SDKs anew: a second of three.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup engine demo sandbox stop test lint unit e2e soak bench schemas mutants audit lock pictures clean

help:  ## list the targets
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/	/' | expand -t 12

setup:
	@$(PYTHON) -m sandbox.setup

engine:
	@$(PYTHON) -m sandbox.setup engine

demo: engine  ## up, verify, break, mend and destroy the lab's routes, on AWS in a box
	@$(PY) -m sandbox demo

sandbox: engine  ## start AWS in a box and leave it running
	@$(PY) -m sandbox start

stop: setup  ## stop what `make sandbox` started
	@$(PY) -m sandbox stop

test: setup  ## everything: lint, unit, and real pulumi commands
	@began=$$(date +%s); $(MAKE) --no-print-directory -j 2 lint unit && \
	  echo "make lint unit took $$(($$(date +%s) - began)) s"
	@$(MAKE) --no-print-directory e2e

lint: setup  ## ruff, its formatter, strict types, the workflows
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/mypy examples/workers/__main__.py
	@.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows \
	  .github/workflows/*.yml
	@.venv/bin/zizmor --offline --quiet .github

unit: setup  ## tests without the engine, under a minute
	@$(PYTEST) -n 2 tests/unit tests/property tests/program

e2e: setup  ## tests of the sandbox, the report's page, and real pulumi commands
	-@$(PYTHON) -m sandbox.setup engine
	@$(PYTEST) -n 3 --dist worksteal -m "not soak" --durations 10 \
	  tests/sandbox tests/page tests/e2e

soak: engine  ## the long forms: 20 kills, 100,000 user data, 5,000 accounts of packets
	@HYPOTHESIS_PROFILE=soak $(PYTEST) --timeout 0 \
	  tests/property tests/sandbox/wires/test_accounts.py
	@$(PYTEST) --timeout 0 -m soak tests

bench: engine  ## measure against the shell loop, Terraform and the floor, an hour
	@$(PY) -m bench

schemas: setup  ## write docs/schema from the models of what `verify` writes
	@$(PY) -m tests.schemas

mutants: setup  ## break the pure modules line by line; the tests must notice, 15 min
	@$(PY) -m pip install --quiet mutmut==3.8.1
	@HYPOTHESIS_PROFILE=mutants nice .venv/bin/mutmut run --max-children 1 $(MODULE)
	@.venv/bin/mutmut results

audit: setup  ## look the pinned packages up in the vulnerability database
	@$(PY) -m pip install --quiet pip-audit
	@.venv/bin/pip-audit --require-hashes --disable-pip -r requirements-dev.txt

lock: setup  ## pin requirements*.in, with hashes, into requirements*.txt
	@$(PY) -m pip install --quiet uv
	@for name in requirements requirements-dev; do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" $$name.in -o $$name.txt; done

pictures: engine  ## make the README's pictures again, with chromium
	@$(PY) -m sandbox.pictures

clean:  ## remove what the targets made
	rm -rf .venv .engine .sandbox .bench .setup.lock .mypy_cache .ruff_cache .pytest_cache mutants
