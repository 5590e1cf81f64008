# OpenBMS: `make help` lists what there is. Everything installs itself into .venv; nothing is touched outside this folder.
# A ROS 2 installation that is sourced in the shell (Jazzy or later) is used; without one, ROS 2 comes from PyPI wheels.
.DEFAULT_GOAL := help
.PHONY: accuracy help setup build run test test-unit test-system lint format bench bench-reaction bench-estimation fuzz hostile faults campaign power-limits diagnosis mutation lock clean distclean
SHELL := /bin/sh

VENV := .venv
ENV  := $(VENV)/bin/openbms-env
# Sets `py` to the Python for the set-up; PYTHON=/path/to/python3.12 chooses another.
FIND_PYTHON = py=$$(PYTHON='$(PYTHON)' sh tools/find_python.sh)
WORKSPACE   = @$(FIND_PYTHON) && PYTHON='$(PYTHON)' exec "$$py" -S -E tools/workspace.py

# Arguments of `make run`, forwarded where given. In single quotes: a path may hold a space.
RUN_ARGS = $(if $(DURATION),--duration '$(DURATION)') $(if $(SUMMARY),--summary '$(SUMMARY)') \
           $(if $(SYSTEM),--system '$(SYSTEM)') $(if $(PACK),--pack '$(PACK)') $(if $(SPEED),--speed '$(SPEED)')

help: ## Show this help
	@echo "OpenBMS:  make <target>"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo "Variables of make run:  DURATION=seconds SUMMARY=file.json SYSTEM=name|file PACK=name|file SPEED=factor"
	@echo "Of make test:           PYTEST_ARGS='-k soc -x'          Of all:  PYTHON=/path/to/python3.12"

setup: ## Make .venv (ROS 2 wheels, or on top of a sourced ROS 2 installation)
	$(WORKSPACE) setup

build: ## Set up, then build the workspace (only what changed)
	$(WORKSPACE) build

run: build ## Build, then run the demo; Ctrl-C ends it
	@exec $(VENV)/bin/openbms run $(RUN_ARGS)

test: build ## Build, then run every test: unit tests in parallel, then the systems one by one
	@exec sh tools/run_tests.sh all $(PYTEST_ARGS)

test-unit: build ## Only the tests of the packages (src/*/test)
	@exec sh tools/run_tests.sh unit $(PYTEST_ARGS)

test-system: build ## Only the scenarios, replays, launch and contract tests (tests/)
	@exec sh tools/run_tests.sh system $(PYTEST_ARGS)

lint: setup ## Check style, types, dependency rule and spelling
	@exec sh tools/lint.sh

format: setup ## Format the Python sources and apply the safe fixes
	@$(VENV)/bin/ruff check --fix-only --quiet . && $(VENV)/bin/ruff format .

bench: build ## Measure speed and accuracy against the named opponents
	@exec $(ENV) python benchmarks/run.py $(BENCH_ARGS)

accuracy: build ## Accuracy of the SoC on recorded cells (ten minutes; ACCURACY_ARGS='--data FOLDER --groups lg-fit')
	@exec $(ENV) python benchmarks/accuracy.py --keep $(ACCURACY_ARGS)

bench-reaction: build ## Measure software latency and trips of each fault class (hours; REACTION_ARGS='--plan')
	@exec $(ENV) python benchmarks/reaction_time.py $(REACTION_ARGS)

bench-estimation: build ## Measure the SoC filters' speed against filterpy and a bare compiled loop (ESTIMATION_ARGS='--rounds 3')
	@exec env OMP_NUM_THREADS=1 $(ENV) python benchmarks/estimation_speed.py --output docs/validation/estimation-speed.md $(ESTIMATION_ARGS)

fuzz: build ## Send a million random and mutated frames through driver and monitor
	@exec $(ENV) python tests/support/frame_fuzz.py --output docs/validation/frame-fuzz.json $(FUZZ_ARGS)

hostile: build ## Hostile frames and answers into every shipped pack, damaged DBCs and logs (HOSTILE_ARGS='--seconds 3600')
	@exec $(ENV) python tests/support/hostile_run.py --output docs/validation/hostile-input.md $(HOSTILE_ARGS)

faults: build ## Put every case of the fault library into a running demo (half an hour; FAULTS_ARGS='cell_* --seed 1')
	@exec $(ENV) python -m openbms_bringup.inject.run_library $(FAULTS_ARGS)

campaign: build ## Inject faults at random, live through healthy hours (CAMPAIGN_ARGS='--parts pure --draws 100')
	@exec $(ENV) python tests/campaign $(CAMPAIGN_ARGS)

power-limits: build ## Judge power limits and energy against PyBaMM (half an hour; POWER_ARGS='--episodes 100')
	@exec $(ENV) python benchmarks/power_limits.py $(POWER_ARGS)

diagnosis: build ## Judge the diagnosis on simulated and real packs (minutes; all: DIAGNOSIS_ARGS='--full --data DIR')
	@exec $(ENV) python benchmarks/diagnosis.py $(DIAGNOSIS_ARGS)

mutation: build ## Change the safety core in small ways and see that a test notices (hours; --sample N: less)
	@exec $(ENV) python tools/mutation.py $(MUTATION_ARGS)

lock: ## Renew the lock files of requirements/ from the .in files
	@$(FIND_PYTHON) && PYTHON="$$py" exec sh tools/lock.sh

clean: ## Remove what the build made (keeps .venv)
	rm -rf build install log .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -f $(VENV)/bin/openbms $(VENV)/bin/openbms-env

distclean: clean ## Remove .venv too
	rm -rf .venv .build
