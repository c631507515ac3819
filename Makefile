PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: plan test setup lint docs fuzz nights bench clean

plan: setup
	$(BIN)/planner plan
	$(BIN)/planner report --out out/report

# bytecode is written also where the environment says not to: tests start a hundred processes
test: export PYTHONDONTWRITEBYTECODE :=
test: setup
	$(BIN)/python -m pytest -n auto --dist worksteal

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

fuzz: setup
	PLANNER_TEST_MUTATIONS=10000 $(BIN)/python -m pytest tests/property/test_mutations.py -q
	PLANNER_TEST_CORRUPTIONS=100 $(BIN)/python -m pytest tests/property/test_damaged_stores.py -q
	PLANNER_TEST_STATEMENTS=all $(BIN)/python -m pytest tests/property/test_statements.py -q

nights: setup
	PLANNER_TEST_NIGHTS=30 $(BIN)/python -m pytest tests/integration/nightly/test_killed_nights.py -q

bench: setup
	$(BIN)/python -m pytest tests/bench --benchmark-only --benchmark-disable-gc -p no:cacheprovider -s

clean:
	rm -rf $(VENV) out
