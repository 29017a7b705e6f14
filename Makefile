# Coverslip: what a person types. Each target is a line or two; the work is in scripts/.
SHELL := bash
.DEFAULT_GOAL := help

# MinIO, when scripts/provide builds one, lands here, outside the checkout.
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coverslip/bin:$(PATH)
# Given on the command line: make run SLIDE=~/slides/one.svs PORT=9090 DATA=/srv/coverslip
export SLIDE PORT DATA SETUP_PYTHON SETUP_NODE
# Packages are installed uncompiled, and compiled when first imported. Where that may not be written
# down, every process does it again: a conversion of a small slide took 4.2 s instead of 1.4 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test bench lock format clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-7s %s\n' "$$name" "$$text"; done

setup: ## everything the archive runs on, inside this folder
	@scripts/setup

run: setup ## start the archive on http://127.0.0.1:8080 [SLIDE=file PORT=8080 DATA=folder]
	@exec .venv/bin/python -m scripts.run

test: setup ## everything that must hold before a change goes in
	@scripts/test

bench: setup ## measure the archive beside nginx and Orthanc [PARTS="frames stow"]
	@exec .venv/bin/python -m benchmarks $(PARTS)

lock: setup ## make requirements.lock again from pyproject.toml
	@scripts/lock

format: setup ## write the code the way `make test` wants it
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean: ## remove what setup made; the data folder stays
	@rm -rf .venv viewer/node_modules viewer/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
