# make demo         explain the sample picture with the model that comes with vitreous
# make test-fast    while you work: lint, and a part of the tests that shows most mistakes; 90 seconds
# make test         everything that must pass: format, lint, types, tests; under 8 minutes on two cores
# make test-all     after it, what takes longer, with all that it needs
# make docs         the site, offline: build/site/index.html; two minutes
# make bench        what every method costs beside a forward pass: build/bench; half an hour
# make test-oldest  make test with the oldest versions that pyproject.toml allows
# Another interpreter, in a .venv of its own: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv$(patsubst python%,-%,$(filter-out python3 python,$(notdir $(PYTHON))))
BIN := $(VENV)/bin
OLDEST := .venv-oldest
SOURCES := conftest.py src tests benchmarks docs
# the same tests in the same order every time; a file's tests share what they make, so one process runs them all
TESTS := -p no:randomly -n 2 --dist loadfile --durations 10 --durations-min 3
# rooms whose tests train, judge or write a method again from its paper
LONG := training benchmarking interacting reference golden

# Python's own compiled files serve both processes and all programs that tests start
export PYTHONDONTWRITEBYTECODE =

.PHONY: bench demo docs test-fast test test-all test-oldest clean

demo: $(VENV)/installed
	$(BIN)/vitreous explain --report
	@echo "Look at $(CURDIR)/explained/report.html"

test-fast: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pytest $(TESTS) -m "not slow and not thorough" $(LONG:%=--ignore tests/%)

test: $(VENV)/installed-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest $(TESTS) -m "not slow"

test-all: $(VENV)/installed-dev
	$(BIN)/pytest $(TESTS) -m "slow or needs" --all

docs: $(VENV)/installed-dev
	$(BIN)/python -m sphinx -b html -c docs -W --keep-going -q . build/site
	@echo "Look at $(CURDIR)/build/site/index.html"

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.bench --output build/bench

test-oldest: $(OLDEST)/installed-dev
	$(OLDEST)/bin/pytest $(TESTS) -m "not slow"

clean:
	rm -rf .venv .venv-* explained build docs/made

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable ".[dev]"
	touch $@

$(OLDEST)/installed-dev: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install uv
	$(OLDEST)/bin/uv pip install --python $(OLDEST)/bin/python --resolution lowest-direct --editable ".[dev]"
	touch $@
