# Two commands from a fresh clone, with Python 3.11 or later and pip:
#   make run     the pipeline on the synthetic world, ending with its metrics
#   make test    linters, types and the tests
PYTHON ?= python3
BIN := .venv/bin
# Two workers with a thread each: more threads than cores make PyTorch wait for itself.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

.PHONY: install run test test-slow lint clean fuzz mutation-test crash-test pictures

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	$(BIN)/python -m pip check
	touch $@

run: install
	$(BIN)/fpt run

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(PYTEST) -m "not slow"

test-slow: install
	$(PYTEST) -m slow

clean:
	rm -rf .venv .fpt build *.egg-info

# 10,000 archives changed at random against plain Python: some minutes
fuzz: install
	$(BIN)/python benchmarks/fuzz.py --count 10000 --seed 7 --workers 2

# Small mistakes in metrics, split, transforms, views and audits, which tests must see. All 3,000
# (COUNT=0) take hours
COUNT ?= 100
mutation-test: install
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py --count $(COUNT) --seed 7

# every named place of the code fails in each way, 200 commands are killed at random: an hour
crash-test: install
	$(BIN)/python benchmarks/crash_test.py --kills 200 --seed 7 --workers 2

# the report's pictures in docs/images, of the synthetic world alone: some minutes, and chromium
pictures: install
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/report_pictures.py
