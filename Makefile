# Every target can be called again: it does only what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINK := .ansible/collections/ansible_collections/edgefl/kubeedge
export PATH := $(CURDIR)/$(BIN):$(PATH)
PYTEST := $(BIN)/pytest

.PHONY: help lab lab-down .venv .venv-test test quality lint sanity unit fl molecule e2e docs lock clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lab: .venv  ## A three-node KubeEdge cluster on this machine, and a model trained on it
	$(BIN)/ansible-playbook lab.yml

lab-down: .venv  ## Remove all that `make lab` made
	$(BIN)/ansible localhost --connection=local --module-name=ansible.builtin.include_role \
	  --args='name=edgefl.kubeedge.lab_nodes tasks_from=remove' --become

# The environment ---------------------------------------------------------------------------------------------------

.venv: $(VENV)/.run $(LINK)
.venv-test: $(VENV)/.test $(LINK)

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "edgefl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Call: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. Install it: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-test.txt
	@touch $@

# TensorFlow and Flower as in the client's image, for tests/fl: in an environment of their own, their versions are not ours.
.venv-fl/.ready: fl_src/requirements-client.txt | $(BIN)/pip
	$(PYTHON) -m venv .venv-fl
	.venv-fl/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

# Lets `edgefl.kubeedge.*` resolve from the checkout.
$(LINK):
	@mkdir -p $(@D)
	@ln -sfn ../../../.. $@

# Tests ----------------------------------------------------------------------------------------------------------------

test: .venv-test .venv-fl/.ready  ## Everything: linters, sanity, unit, Flower processes, molecule, and end to end on the lab
	$(PYTEST)

quality: .venv-test  ## Linters and sanity
	$(PYTEST) tests/quality

lint: .venv-test  ## Linters only (some seconds)
	$(PYTEST) tests/quality/test_lint.py

sanity: .venv-test  ## ansible-test sanity
	$(PYTEST) tests/quality/test_sanity.py

unit: .venv-test  ## Unit tests, which need neither lab nor network
	$(PYTEST) tests/unit

fl: .venv-test .venv-fl/.ready  ## Flower and TensorFlow as real processes
	$(PYTEST) tests/fl

molecule: .venv-test  ## Roles that need no cluster, on bare machines
	$(PYTEST) tests/molecule

e2e: .venv-test  ## The whole job on the lab
	$(PYTEST) tests/e2e

# Upkeep ---------------------------------------------------------------------------------------------------------------

docs: .venv-test  ## Write the tables of variables in the roles' READMEs
	$(BIN)/python tests/role_tables.py

lock: .venv-test  ## Lock requirements*.in again
	for name in requirements requirements-test; do \
	  UV_CUSTOM_COMPILE_COMMAND="make lock" UV_NATIVE_TLS=true $(BIN)/uv pip compile --quiet --generate-hashes \
	    --python-version=3.11 $$name.in --output-file=$$name.txt; \
	done

clean:  ## Remove environments and caches (not the lab, not results)
	rm -rf $(VENV) .venv-fl .ansible .mypy_cache .pytest_cache .ruff_cache
