# Every target can be called again: it does only what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINK := .ansible/collections/ansible_collections/edgefl/kubeedge
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Environments are made side by side
MAKEFLAGS += --jobs=2
PYTEST := $(BIN)/pytest

.PHONY: help lab lab-down lab-purge .python .venv .venv-test .venv-newest .venv-fl test test-long quality lint sanity unit report site fl faults coverage molecule e2e test-faults storm bench-train bench-clients bench-scale bench-regions bench-hosts bench-flower bench-edit bench-ship docs generate changelog format lock clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One at a time: all checkouts share one lab.
LAB_HOME ?= $(or $(EDGEFL_LAB_HOME),$(HOME)/.local/share/edgefl/lab)
LOCKED = mkdir -p "$$(dirname "$(LAB_HOME)")" && exec 9>"$(LAB_HOME).lock" && \
  { flock --nonblock 9 || { echo "Another make lab is at work; waiting for it"; flock 9; }; } &&

lab: .venv  ## A three-node KubeEdge cluster on this machine, and a model trained on it
	@$(LOCKED) $(BIN)/ansible-playbook lab.yml

lab-down: .venv  ## Remove the lab (what was compiled stays, so that the next one is quick)
	@$(LOCKED) $(BIN)/ansible-playbook lab_down.yml

lab-purge: .venv  ## Remove the lab and what was compiled for it
	@$(LOCKED) $(BIN)/ansible-playbook lab_down.yml --extra-vars lab_nodes_purge=true

# The environment ---------------------------------------------------------------------------------------------------

.venv: .python $(LINK)
	@tools/shared_venv.sh $@ Ansible $(PYTHON) requirements-test.txt requirements.txt
.venv-test: .venv .venv-newest
	@tools/shared_venv.sh .venv "the tools of the tests" $(PYTHON) requirements-test.txt

.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "edgefl needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Call: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Installing Python's venv module, which Debian keeps in a package of its own"; \
	  root=; [ "$$(id -u)" = 0 ] || root=sudo; $$root apt-get update -qq && $$root apt-get install -qq -y --no-install-recommends python3-venv; }

# The newest ansible-core, beside the oldest one of all else, for ansible-test.
NEWEST_PYTHON ?=
.venv-newest:
	@python='$(NEWEST_PYTHON)'; tools/shared_venv.sh $@ "the newest ansible-core" "$${python:=$$(tools/newest_python.sh)}" requirements-newest.txt

# Flower, TensorFlow and the data as in the client's image, for tests/fl. In an environment of their own: their versions are not ours.
# Fashion-MNIST is a Debian package, which apt can only name when it has its lists.
export EDGEFL_PYTHON ?= $(CURDIR)/.venv-fl/bin/python
export EDGEFL_DATA_DIR ?= $(CURDIR)/.venv-fl/data
.venv-fl: .python
	@tools/shared_venv.sh $@ TensorFlow $(PYTHON) fl_src/requirements-client.txt
	@unpack() { fl_src/image/unpack_data.sh '$(CURDIR)/$@/unpacked' >/dev/null && mv $@/unpacked $@/data; }; root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	  [ -d $@/data ] || unpack || { $$root apt-get update -qq && unpack; }

# Lets `edgefl.kubeedge.*` resolve from the checkout.
$(LINK):
	@mkdir -p $(@D)
	@ln -sfn ../../../.. $@

# In the programs that tests start, too
COVERED := --cov --cov-report= --branches

# Tests ----------------------------------------------------------------------------------------------------------------

# What is on the lab waits more than it computes: all else runs beside it
test: .venv-test .venv-fl  ## Linters, sanity, unit, Flower processes, molecule, and end to end on the lab; fails below 90 % of all branches
	$(PYTEST) --numprocesses=3 $(COVERED)

test-long: .venv-test .venv-fl  ## What takes many minutes more: growing the lab, regions and autoscalers on it, more scenarios of roles, the how-to's problems
	$(PYTEST) -m long --ignore=tests/e2e/faults

test-faults: .venv-test  ## Faults on the lab while it trains, one after the other, and what each cost (less than an hour)
	$(PYTEST) -m '' tests/e2e/faults/test_faults.py tests/e2e/faults/test_shipping.py tests/e2e/faults/test_own_training.py tests/e2e/faults/test_absent.py

MINUTES ?= 30
SEED ?= 1
storm: .venv-test  ## Random faults on the lab while it trains; MINUTES=30 SEED=1
	$(PYTEST) -m long tests/e2e/faults/test_storm.py --minutes=$(MINUTES) --seed=$(SEED)

quality: .venv-test  ## Linters and sanity
	$(PYTEST) tests/quality

lint: .venv-test  ## Linters only (some seconds)
	$(PYTEST) tests/quality/test_lint.py

sanity: .venv-test  ## ansible-test, with the oldest and the newest ansible-core
	$(PYTEST) -m '' tests/quality/test_ansible_test.py

unit: .venv-test  ## Unit tests, which need neither lab nor network
	$(PYTEST) tests/unit

report: .venv-test  ## The report in a browser (Debian's chromium)
	$(PYTEST) tests/report

site: .venv-test  ## The documentation's site in a browser
	$(PYTEST) tests/docs

fl: .venv-test .venv-fl  ## Flower and TensorFlow as real processes
	$(PYTEST) tests/fl

REPEAT ?= 1
faults: .venv-test .venv-fl  ## Faults with real processes, and the time to recover; REPEAT=10 does each ten times
	$(PYTEST) tests/faults --repeat=$(REPEAT)

coverage: .venv-test .venv-fl  ## Coverage alone, by the tests that need no cluster, and the lines that none of them reaches
	$(PYTEST) --numprocesses=2 tests/unit tests/report tests/fl tests/faults $(COVERED)
	$(BIN)/coverage report --skip-covered --show-missing

molecule: .venv-test  ## Roles that need no cluster, on bare machines, all of them
	$(PYTEST) -m '' tests/molecule

e2e: .venv-test  ## The whole job on the lab
	$(PYTEST) tests/e2e

# Benchmarks -----------------------------------------------------------------------------------------------------------
# BENCH="--repeats 1 --json FILE" gives options; docs/benchmarks.md has the results.

bench-train: .venv-fl  ## Training: the how-to's code, ours, and the same steps without Flower (some minutes)
	$(EDGEFL_PYTHON) benchmarks/train.py $(BENCH)

bench-clients: .venv-fl  ## One aggregator with 10, 50 and 200 clients (some minutes)
	$(EDGEFL_PYTHON) benchmarks/clients.py $(BENCH)

bench-scale: .venv-fl  ## One aggregator with a thousand clients, models of 400 KB and 4 MB (some minutes)
	$(EDGEFL_PYTHON) benchmarks/scale.py $(BENCH)

bench-regions: .venv-fl  ## Ten regions of a thousand clients, and one aggregator with a thousand (some minutes)
	$(EDGEFL_PYTHON) benchmarks/regions.py $(BENCH)

bench-hosts: .venv-test  ## Ansible with 20, 60 and 200 edges, which are names of the lab's (an hour; BENCH=--help)
	$(BIN)/python benchmarks/hosts.py $(BENCH)

bench-flower: .venv-fl  ## One Flower app on this project's link and on Flower's own engine (some minutes)
	$(EDGEFL_PYTHON) benchmarks/flower.py $(BENCH)

bench-edit: .venv-test  ## From an edited line to the accuracy of round 5 on the lab, and the how-to's way (half an hour)
	$(BIN)/python benchmarks/edit_to_result.py $(BENCH)

bench-ship: .venv-test  ## Shipping from the lab's cloud node, and the ways of others (minutes to hours; BENCH=--help)
	$(BIN)/python benchmarks/ship.py $(BENCH)

# Upkeep ---------------------------------------------------------------------------------------------------------------

docs: .venv-test  ## The documentation as a site, in build/site/html
	$(BIN)/python tools/site.py

generate: .venv-test  ## Write what comes from the list of the training's options, and the tables of variables in the roles' READMEs
	$(BIN)/python tools/training_options.py
	$(BIN)/python tools/role_tables.py

format: .venv-test  ## Bring Python files into shape
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format .

LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" UV_NATIVE_TLS=true $(CURDIR)/$(BIN)/uv pip compile --quiet --generate-hashes --universal --no-emit-index-url --no-emit-find-links
lock: .venv-test  ## Lock what requirements*.in and the like ask for
	for name in requirements requirements-test; do $(LOCK) --python-version=3.11 $$name.in --output-file=$$name.txt; done
	$(LOCK) --python-version=3.12 requirements-newest.in --output-file=requirements-newest.txt
	@# For the cloud node's Python, which may be that of Debian 11
	$(LOCK) --python-version=3.9 roles/kubernetes_python/files/kubernetes.in --output-file=roles/kubernetes_python/files/kubernetes.txt
	@# The images' packages; the client's at the versions that are locked for the aggregator
	cd fl_src && for part in aggregator client; do $(LOCK) --no-header --python-version=3.11 requirements-$$part.in --output-file=requirements-$$part.txt; done

changelog: .venv-test  ## Write CHANGELOG.md from the fragments, for the version in galaxy.yml
	$(BIN)/antsibull-changelog release --reload-plugins --refresh-plugins --update-existing

clean:  ## Remove what was made in the checkout (not the lab, not results, not the environments that all checkouts share)
	rm -rf $(VENV) .venv-fl .venv-newest .ansible build .mypy_cache .pytest_cache .ruff_cache
