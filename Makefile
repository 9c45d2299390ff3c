# One word each; `make` alone lists them. Everything happens inside this checkout: .venv, build, demo.

BIN := .venv/bin

# Of `make fuzz`: how long each of its two parts takes, and where it begins.
FUZZ_S := 1800
FUZZ_SEED := 1

# Without compiled modules every worker and daemon that a test starts compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

# Accounts without a home directory that they may enter: some libraries ask for one as soon as they are imported.
ifeq ($(shell test -n "$$HOME" && test -d "$$HOME/." && echo yes),)
export HOME := $(CURDIR)/build/home
endif

.DEFAULT_GOAL := help
.PHONY: help setup tools check test install uninstall faults corpus fuzz soak bench demo clean

define lint
@mkdir -p build
$(BIN)/ruff check --no-cache --quiet
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

# Much of the suite waits for daemons: two at once. Files stay whole, for what their tests share.
PYTEST := $(BIN)/pytest -q -rs -n 2 --dist loadfile

check: tools ## linters, types, import contracts and the fast tests
	$(lint)
	$(PYTEST) -m "not slow"

test: tools ## linters, types, import contracts and every test
	$(lint)
	$(PYTEST)

install: ## put heygemd on this machine as a service (asks for root)
	@scripts/install.sh

uninstall: ## take it off again; films, configuration and state stay
	@scripts/uninstall.sh

faults: tools ## kill, fault and power-cut a daemon at every change of a disk; goes on where it was (about 3 hours)
	@mkdir -p build
	$(BIN)/python -m tests.faults.everywhere --parallel 4 --minutes 115 --results build/faults.jsonl
	[ $$(id -u) != 0 ] || $(BIN)/python -m tests.faults.powercut --results build/powercuts.jsonl
	[ $$(id -u) != 0 ] || $(BIN)/python -m tests.faults.hunt

corpus: tools ## every hostile and odd input, judged, measured and watched by strace (about an hour)
	@mkdir -p build
	$(BIN)/python scripts/corpus.py --table build/corpus.md
	$(BIN)/python -m tests.isolation.watched

fuzz: tools ## damaged media, manifests and weights, and people who move files about (an hour; FUZZ_S=seconds)
	$(BIN)/python scripts/fuzz_inputs.py --seconds $(FUZZ_S) --seed $(FUZZ_SEED)
	$(BIN)/python scripts/fuzz_folders.py --seconds $(FUZZ_S) --seed $(FUZZ_SEED)

soak: tools ## long runs: bad writers, accelerated days, kills at random, an hour-long film, 10,000 queues (about 3 hours)
	$(BIN)/python scripts/soak_writers.py
	[ $$(id -u) != 0 ] || $(BIN)/python scripts/soak_writers.py --smb
	[ $$(id -u) != 0 ] || $(BIN)/python scripts/soak.py
	[ $$(id -u) != 0 ] || $(BIN)/python scripts/soak.py --rough 0 --steady 6 --troubles 0 --leak descriptors
	$(BIN)/python scripts/soak_kills.py
	$(BIN)/python scripts/soak_longfilm.py
	$(BIN)/python scripts/simulate_queue.py

bench: setup ## measure: runs every scripts/bench_*.py (queue and films in short; see their --help)
	@set -e; for script in scripts/bench_*.py; do echo "== $$script"; \
	  case $$script in *bench_queue.py) $(BIN)/python $$script --quick ;; \
	  *bench_render.py) $(BIN)/python $$script --seconds 10 30 --repeat 1 ;; *) $(BIN)/python $$script ;; esac; done

demo: setup ## make two films of a still portrait that speaks, in ./demo
	@scripts/demo.sh

clean: ## remove what these words made, except .venv
	rm -rf build demo dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +
