PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# one more than processors: a quarter of the time tests wait for processes that they started
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: plan test setup lint docs pictures fuzz nights forecasts curves engines scorecard loops bench clean

plan: setup
	$(BIN)/planner plan
	$(BIN)/planner report --out out/report

# bytecode is written also where the environment says not to: tests start a hundred processes
test: export PYTHONDONTWRITEBYTECODE :=
test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(STAMP)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy docs/hooks
	$(BIN)/lint-imports

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "out/site/index.html: open it, or serve it with search: $(BIN)/python -m http.server --directory out/site --bind 127.0.0.1"

# of the documentation, from a page that is served there
ADDRESS ?= http://127.0.0.1:8765
pictures: setup
	$(BIN)/python -m tests.bench.pictures $(ADDRESS)

fuzz: setup
	PLANNER_TEST_MUTATIONS=10000 $(BIN)/python -m pytest tests/property/test_mutations.py -q
	PLANNER_TEST_MUTATIONS=10000 $(BIN)/python -m pytest tests/property/test_configurations.py -q
	PLANNER_TEST_KILLS=180 $(BIN)/python -m pytest tests/integration/test_leftovers.py -q
	PLANNER_TEST_SCENARIOS=6600 $(BIN)/python -m pytest tests/property/test_scenario_mutations.py -q
	PLANNER_TEST_CALLS=660 $(BIN)/python -m pytest tests/property/test_hostile_calls.py -q
	$(BIN)/python -m pytest tests/property/test_hostile_logs.py -q
	PLANNER_TEST_CORRUPTIONS=100 $(BIN)/python -m pytest tests/property/test_damaged_stores.py -q
	PLANNER_TEST_ADDRESSES=10000 $(BIN)/python -m pytest tests/integration/web/test_hostile_addresses.py -q
	PLANNER_TEST_STATEMENTS=all $(BIN)/python -m pytest tests/property/test_statements.py -q

nights: setup
	PLANNER_TEST_NIGHTS=30 PLANNER_TEST_DISKS=6 $(BIN)/python -m pytest -q \
		tests/integration/nightly/test_killed_nights.py tests/integration/nightly/test_full_disk.py

forecasts: setup
	$(BIN)/python -m tests.bench.forecast_figures

# tables of measured kernels, which nothing else needs
curves: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable ".[curves]"
	$(BIN)/python -m tests.bench.kernel_curves

# these need PLANNER_TEST_POINTS, a file of measured points
engines: setup
	$(BIN)/python -m tests.bench.engine_fit
	$(BIN)/python -m tests.bench.own_points

scorecard: setup
	$(BIN)/python -m tests.bench.scorecard

loops: setup
	$(BIN)/python -m tests.bench.closed_loops

bench: setup
	$(BIN)/python -m pytest tests/bench --benchmark-only --benchmark-disable-gc -p no:cacheprovider -s

clean:
	rm -rf $(VENV) out
