# Two commands matter to a reader: `make demo` and `make test`. The rest is for who works on Hostfence.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help dev
.DEFAULT_GOAL := help

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

dev: $(STAMP) ## A virtual environment in which this checkout is the installed collection

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group dev
	@# The link lives outside the tree: one inside would make lint, sanity and builds walk in circles.
	site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  mkdir -p "$$site/ansible_collections/hostfence" && \
	  ln -sfn "$(CURDIR)" "$$site/ansible_collections/hostfence/calico"
	@touch $@
