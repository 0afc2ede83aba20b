# Everything a developer does here. `make help` lists the targets.

PYTHON ?= python3
PYTEST_ARGS ?=
# Tests mostly wait; a file's tests stay together, because they share their servers. WORKERS=0 runs them in one process.
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
BIN := .venv/bin
CODE := libs services deploy scripts tests
PROJECTS := $(wildcard */*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help run stop test test-full test-containers faults bench lint format describe lock clean
# One install, and one runner in the foreground: nothing here is to run side by side.
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: .venv/.installed ## start everything and print the page's address; Ctrl-C ends it (settings: make run ARGS=--help)
	@exec $(BIN)/python -m local_stack $(or $(ARGS),run)

# Without .run nothing has ever been run here, or `make clean` has ended it: no reason to install anything.
stop: $(if $(wildcard .run),.venv/.installed) ## end what `make run` started, from another terminal
	@if [ -d .run ]; then $(BIN)/python -m local_stack stop; else echo "No stack runs in .run."; fi

test: .venv/.installed ## unit, integration and end-to-end tests on embedded servers (PYTEST_ARGS=…)
	@$(PYTEST) -m "not full and not faults and not containers" $(PYTEST_ARGS)

# ONLY=long leaves out what `make test` runs, for who has just run that.
test-full: .venv/.installed ## those and the long ones
	@$(PYTEST) -m "$(if $(filter long,$(ONLY)),full and )not faults and not containers" $(PYTEST_ARGS)

# Base images: PYTHON_IMAGE, POSTGRES_IMAGE, NATS_IMAGE, NGINX_IMAGE. With DOCKER=docker a missing engine is a failure.
test-containers: .venv/.installed ## images and compose stack; integration tests on servers in containers (needs Docker)
	@TEST_BACKENDS=containers $(PYTEST) -m "not faults and (containers or servers and not full)" tests/integration $(PYTEST_ARGS)

faults: .venv/.installed ## every fault under 30 plans and 60 viewers, and their table (PYTEST_ARGS="--seed 7", or --write-docs)
	@$(BIN)/python -m pytest tests/faults --load full $(PYTEST_ARGS)

bench: .venv/.installed ## plans a core carries, lag, CPU and memory, and their table (ARGS="--short", ARGS=--help)
	@PYTHONPATH=tests/bench $(BIN)/python -m planbench $(ARGS)

lint: .venv/.installed ## style, types, import rules and lock files
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/python scripts/locks.py check

format: .venv/.installed ## rewrite the code in the house's format
	$(BIN)/ruff check --fix-only $(CODE)
	$(BIN)/ruff format $(CODE)

describe: .venv/.installed ## write docs/openapi.json and docs/asyncapi.yaml from the wire models
	$(BIN)/python scripts/describe.py make

lock: .venv/.installed ## make the lock files anew after a change of dependencies
	$(BIN)/python scripts/locks.py make

clean: ## end a running stack; remove its data, the virtual environment and all caches
	@if [ -x $(BIN)/python ] && [ -d .run ]; then $(BIN)/python -m local_stack stop; fi
	rm -rf .run .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The mark of a whole installation. The script itself knows what is missing, so it may be asked too often.
.venv/.installed: requirements-dev.lock $(PROJECTS) scripts/install.py
	@$(PYTHON) scripts/install.py
