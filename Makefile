# One word each; `make` alone lists them. Everything happens inside this checkout: .venv, build, demo.

BIN := .venv/bin

# Accounts without a home directory that they may enter: some libraries ask for one as soon as they are imported.
ifeq ($(shell test -n "$$HOME" && test -d "$$HOME/." && echo yes),)
export HOME := $(CURDIR)/build/home
endif

.DEFAULT_GOAL := help
.PHONY: help setup tools check test soak bench demo clean

define lint
@mkdir -p build
$(BIN)/ruff check --quiet
$(BIN)/ruff format --check --quiet
$(BIN)/mypy --strict --no-error-summary
$(BIN)/lint-imports --no-logo >build/lint-imports.log || { cat build/lint-imports.log; exit 1; }
endef

help: ## list these words
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile

setup: ## make .venv and install what is missing (a second run ends at once)
	@scripts/setup.sh

tools: ## make setup, and what the tests drive beside that (a Samba server, a browser)
	@scripts/setup.sh --tests

check: tools ## linters, types, import contracts and the fast tests
	$(lint)
	$(BIN)/pytest -q -rs -m "not slow"

test: tools ## linters, types, import contracts and every test
	$(lint)
	$(BIN)/pytest -q -rs

soak: tools ## long runs: writers that do everything wrong, kills at random (about an hour)
	$(BIN)/python scripts/soak_writers.py
	[ $$(id -u) != 0 ] || $(BIN)/python scripts/soak_writers.py --smb
	$(BIN)/python scripts/soak_kills.py

bench: setup ## measure: runs every scripts/bench_*.py
	@set -e; for script in scripts/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

demo: setup ## make two films of a still portrait that speaks, in ./demo
	@scripts/demo.sh

clean: ## remove what these words made, except .venv
	rm -rf build demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +
