# Everything a newcomer needs. Only Python 3.11+, git and make are expected on the machine.
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
RUN := $(VENV)/bin/revstream

.PHONY: help setup jars demo test check bench recovery sim chaos docs lock clean
help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

$(VENV)/bin/uv: requirements/uv.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --require-hashes -r requirements/uv.txt
	@touch $@

$(VENV)/.run: $(UV) requirements/run.txt pyproject.toml
	$(UV) pip install --quiet --python $(VENV)/bin/python --require-hashes -r requirements/run.txt
	$(UV) pip install --quiet --python $(VENV)/bin/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(UV) pip install --quiet --python $(VENV)/bin/python --require-hashes -r requirements/dev.txt
	@touch $@

# Quix Streams has an environment of its own: it cannot share ours.
$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	$(UV) venv --quiet --clear --python $(VENV)/bin/python $(VENV)/quix
	$(UV) pip install --quiet --python $(VENV)/quix/bin/python --require-hashes -r requirements/bench.txt
	@touch $@

setup: $(VENV)/.run ## install Revstream into .venv

demo: setup ## play Stripe traffic through the whole pipe and compare the end state
	$(RUN) demo

check: $(VENV)/.dev ## format, lint and types
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# Kafka's jars come before the tests that run on it, so that none of them waits for the network.
jars: $(VENV)/.dev
	$(VENV)/bin/python -c "from tests.stock_tool import class_path; class_path()"

# Three at once on two cores, since most of them wait for processes of their own. Each worker has one Kafka.
WORKERS ?= 3
test: check jars ## lint, types and every test; WORKERS=3
	$(VENV)/bin/pytest -n $(WORKERS)

bench: $(VENV)/.bench ## side-by-side benchmark; ratios go to docs/benchmark.md
	$(VENV)/bin/python -m tests.bench

recovery: $(VENV)/.dev ## how soon a million customers are ready again; figures go to docs/recovery.md
	$(VENV)/bin/python -m tests.bench.recovery

SEEDS ?= 0-9
sim: $(VENV)/.dev ## play seeded lives in virtual time while things break; SEEDS=0-9
	$(VENV)/bin/python -m tests.simulation $(SEEDS)

MINUTES ?= 30
SEED ?= 1
chaos: $(VENV)/.dev ## break a running pipe for MINUTES=30 by the schedule of SEED=1; the report goes to docs/chaos.md
	$(VENV)/bin/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED)

docs: $(VENV)/.dev ## regenerate the reference pages and the dashboard from the code
	$(VENV)/bin/python -m docs.generate
	$(VENV)/bin/python -m deploy.grafana.overview

lock: $(UV) ## pin every dependency with its hashes
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" pyproject.toml requirements/build.in -o requirements/run.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" -c requirements/run.txt pyproject.toml --group dev -o requirements/dev.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" --group bench -o requirements/bench.txt

clean: ## remove the environment and all local state
	rm -rf $(VENV) .revstream .pytest_cache .mypy_cache .ruff_cache .hypothesis
