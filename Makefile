# The one front door. `make setup` prepares everything; each other target sets itself up first.
SHELL := /bin/bash
PY ?= python3.11
BIN := .venv/bin
PATHS := itmp tests benchmarks stacks

.PHONY: help setup demo test test-long test-browser test-catalog test-foreign test-tamper fuzz test-chaos test-crash bench-audit check fmt bench lock clean
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.venv/.done: requirements/dev.txt pyproject.toml
	$$(command -v $(PY) || command -v python3) -m venv .venv
	$(BIN)/python -m pip install -q --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

setup: .venv/.done ## a .venv with everything, system packages where allowed, the Pulumi engine
	bash scripts/system-packages.sh
	$(BIN)/python -m compileall -q itmp # else each command compiles anew where PYTHONDONTWRITEBYTECODE is set
	$(BIN)/python -m itmp.adapters.ansible._sooner
	-[ "$$(id -u)" != 0 ] || $(BIN)/itmp audit separate
	$(BIN)/itmp engine install
	$(BIN)/itmp lab prepare

demo: setup ## the whole story on throw-away hosts, at most three minutes
	$(BIN)/itmp demo

test: setup check ## every test, static checks first
	bash scripts/test.sh $(BIN)/python

test-long: setup ## long stories, which show again what make test holds, under other conditions
	$(BIN)/python -m pytest -n 3 --dist worksteal -m long --ignore tests/crash --ignore tests/tamper --ignore tests/foreign

test-browser: setup ## the auditor's pages in a real Chromium
	bash scripts/system-packages.sh chromium pdftotext=poppler-utils
	$(BIN)/python -m pytest -m browser tests/browser

test-catalog: setup ## each runbook of the catalog there and back on real hosts and services; a restart under load
	bash scripts/catalog-packages.sh
	$(BIN)/python -m pytest -s -m "catalog or hosts" tests/catalog

test-foreign: setup ## every foreign project under bare Ansible and under itmp, compared; a restart under load
	bash scripts/catalog-packages.sh
	$(BIN)/python -m pytest -n 3 --dist load -m "fleet or hosts or long" tests/foreign
	$(BIN)/python -m pytest -s -m catalog tests/catalog/test_catalog_balancer.py

CHAOS ?= 200
SEED ?= $(shell date +%s)
TALLY := .pytest_cache/chaos-tally
test-chaos: root setup ## harm at CHAOS random moments (200), by SEED; each must hit; needs root
	mkdir -p $(dir $(TALLY)) && rm -f $(TALLY)
	ITMP_CHAOS=$(CHAOS) ITMP_CHAOS_SEED=$(SEED) ITMP_CHAOS_TALLY=$(TALLY) \
	  $(BIN)/python -m pytest -n 2 --dist load -p no:randomly tests/chaos; ended=$$?; \
	  $(BIN)/python tests/chaos/tally.py $(TALLY) $(CHAOS) && exit $$ended

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root: its hosts are namespaces, whose power, network and disks are harmed" >&2; exit 1; }

# Each sample of the ordinary suite that has a whole beside it (all_NAME.py) is left to that.
CRASHES = $(wildcard tests/crash/all_*.py) $(filter-out $(addprefix tests/crash/test_log_,$(SAMPLES)),$(wildcard tests/crash/test_*.py)) \
  tests/crash/test_log_injected.py::test_the_calls_that_matter_are_among_those_hit
SAMPLES = injected.py power.py founding.py rotation.py founded.py
test-crash: setup ## faults at every system call, full disks, power cuts, killed writers and runs: the log keeps its promises (some minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal -p no:randomly -m "" $(CRASHES)

check: .venv/.done ## format, lint, types, import contracts
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/ruff check $(PATHS)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fmt: .venv/.done ## apply format and safe lint fixes
	$(BIN)/ruff format $(PATHS)
	$(BIN)/ruff check --fix $(PATHS)

test-tamper: .venv/.done ## every attack on log, evidence and approvals; every byte of small evidence (about ten minutes)
	ITMP_TAMPER=whole $(BIN)/python -m pytest -n 2 -m "" tests/tamper

fuzz: .venv/.done ## coverage-guided fuzzing of every parser, TIME seconds for each family (60)
	for family in logs signing evidence documents; do \
	  $(BIN)/python tests/fuzz/fuzz_$$family.py -max_total_time=$(or $(TIME),60) -verbosity=0 || exit 1; done

bench: setup ## ratios against the bare tools, in one run
	$(BIN)/python benchmarks/run.py

bench-audit: setup ## the audit trail against raw files, SQLite and ARA, with its targets
	$(BIN)/python benchmarks/audit.py

lock: ## refresh requirements/ (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate -p 3.11 pyproject.toml -o requirements/base.txt
	uv pip compile --universal --generate-hashes --no-header --no-annotate -p 3.11 pyproject.toml --extra all --group dev -o requirements/dev.txt

clean: ## remove what the targets above made
	rm -rf .venv .itmp .lab build dist *.egg-info
