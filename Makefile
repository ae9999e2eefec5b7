# Two commands matter to a reader: `make demo` and `make test`. The rest is for who works on Hostfence.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
TESTBED := $(BIN)/python -m testbed

.PHONY: help demo demo-down cluster test dev lint sanity unit integration newest molecule build docsite shell
.DEFAULT_GOAL := help

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

demo: $(STAMP) ## Start a real cluster on this machine, protect it, and show what staged policy would deny
	$(TESTBED) up --if-needed
	eval "$$($(TESTBED) env)" && $(BIN)/ansible-playbook -i inventories/testbed site.yml -e @testbed/demo.json
	eval "$$($(TESTBED) env)" && $(BIN)/ansible-playbook -i inventories/testbed testbed/demo_audit.yml
	@echo "The cluster is still up: 'make demo' again changes nothing, 'make shell' looks around, 'make demo-down' ends it."

demo-down: $(STAMP) ## End the demo's cluster; nothing of it is left
	$(TESTBED) down

cluster: $(STAMP) ## A real cluster with kubelets, in which pods run; 'make demo-down' ends it
	$(TESTBED) up --kubelets --if-needed

shell: $(STAMP) ## A shell in which kubectl, ansible-playbook and ssh reach the demo's cluster
	eval "$$($(TESTBED) env)" && PATH="$(CURDIR)/$(BIN):$$PATH" $${SHELL:-/bin/sh}

test: $(STAMP) ## Everything that CI runs
	tests/run

lint: $(STAMP) ## ruff, mypy, yamllint, ansible-lint, changelog
	tests/run lint

sanity: $(STAMP) ## ansible-test sanity
	tests/run sanity

unit: $(STAMP) ## Pure logic, against recorded real output
	tests/run unit

integration: $(STAMP) ## Modules and roles against real API servers
	tests/run integration

newest: $(STAMP) ## ansible-lint, unit, sanity and one site.yml on the newest Python with the newest ansible-core
	tests/run newest

molecule: $(STAMP) ## Whole use cases on the testbed
	tests/run molecule

build: $(STAMP) ## The collection's artefact, in dist/
	$(BIN)/ansible-galaxy collection build --force --output-path dist

docsite: $(STAMP) ## The documentation site, in dist/docsite/html; a link that leads nowhere is an error
	[ -x $(VENV)-docs/bin/antsibull-docs ] || { $(BIN)/python -m venv $(VENV)-docs && \
	  $(VENV)-docs/bin/pip install --quiet 'pip>=25.1' && $(VENV)-docs/bin/pip install --quiet --group docs; }
	export ANSIBLE_COLLECTIONS_PATH="$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && \
	  PATH="$(CURDIR)/$(VENV)-docs/bin:$$PATH" antsibull-docs lint-collection-docs --plugin-docs . && \
	  $(VENV)-docs/bin/python docs/docsite/build.py

dev: $(STAMP) ## A virtual environment in which this checkout is the installed collection

$(STAMP): pyproject.toml
	@# One that is there keeps its Python: another one over it would not fit what is installed.
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group dev
	@# The link lives outside the tree: one inside would make lint, sanity and builds walk in circles.
	site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  mkdir -p "$$site/ansible_collections/hostfence" && \
	  ln -sfn "$(CURDIR)" "$$site/ansible_collections/hostfence/calico"
	@touch $@
