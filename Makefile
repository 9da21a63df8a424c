# Two commands from a fresh clone, with Python 3.11 or later and pip:
#   make run     the pipeline on the synthetic world, ending with its metrics
#   make test    linters, types and the tests
# On Linux, pip takes PyTorch's build for GPUs. CPU=1 (`make run CPU=1`) takes the one without, which
# is several times smaller, from PyTorch's own index; TORCH_INDEX=… names another.
PYTHON ?= python3
BIN := .venv/bin
# Two workers with a thread each: more threads than cores make PyTorch wait for itself. What Python
# compiles is kept, whatever it is told elsewhere: tests start it hundreds of times.
TESTING := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
XDIST := --numprocesses 2 --dist worksteal
PYTEST := $(TESTING) $(BIN)/pytest $(XDIST)

CPU ?=
TORCH_INDEX ?= $(if $(CPU),https://download.pytorch.org/whl/cpu)
PIP := -m pip install --quiet --disable-pip-version-check
# UV=path of uv: it takes a sixth of pip's time, but does not read how pip is configured
UV ?=
PIP_INSTALL := $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python $(PIP))
# its other packages come from the usual index, as constraints.txt has them
TORCH_FROM := $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX))

.PHONY: install install-lake run test tests test-slow test-lake lint style types clean fuzz mutation-test crash-test pictures

install: .venv/installed

# what the pipeline needs; `make run` installs no more
.venv/runs: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) $(TORCH_FROM) "$$(grep '^torch==' constraints.txt)"
	$(PIP_INSTALL) --editable . --constraint constraints.txt
	$(BIN)/python -m pip check
	touch $@

# and what tests, linters and the notebook need
.venv/installed: .venv/runs
	$(PIP_INSTALL) --editable '.[dev]' --constraint constraints.txt
	$(BIN)/python -m pip check
	touch $@

run: .venv/runs
	$(BIN)/fpt run

lint: style types

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# SLOW=1: with the slow ones. Both at once are looked for once, and share homes and servers. Types
# are checked beside them: that takes a minute of one core, and their last tests leave one idle
SLOW ?=
test: style
	@$(MAKE) --no-print-directory --jobs 2 --old-file .venv/installed types tests

tests: install
	$(PYTEST) $(if $(SLOW),,-m "not slow")

test-slow: install
	$(PYTEST) -m slow

# An environment of its own for lakes (docs/how-to/many-writers.md): DuckDB 1.5.5 and its extensions,
# which are not there for 2.0. All else it finds in .venv, whose Python it has, after its own
LAKE_BIN := .venv-lake/bin
LAKE_PIP := $(LAKE_BIN)/python $(PIP)
FOLDER_OF := import sysconfig; print(sysconfig.get_path("purelib"))
install-lake: .venv-lake/installed

.venv-lake/installed: .venv/runs constraints-lake.txt
	$(BIN)/python -m venv .venv-lake
	grep -v '^duckdb==' constraints.txt | cat - constraints-lake.txt > .venv-lake/constraints.txt
	echo "import site; site.addsitedir('$$($(BIN)/python -c '$(FOLDER_OF)')')" \
		> "$$($(LAKE_BIN)/python -c '$(FOLDER_OF)')/after.pth"
	$(LAKE_PIP) --editable '.[lake]' --constraint .venv-lake/constraints.txt
	$(LAKE_BIN)/python -m pip check
	touch $@

.venv-lake/tested: .venv-lake/installed
	$(LAKE_PIP) flask flask-cors hypothesis 'moto[s3]' pytest pytest-timeout pytest-xdist --constraint .venv-lake/constraints.txt
	touch $@

# What a catalogue of a home's own passes, a lake must pass, and more; needs PostgreSQL's programs.
# tests/warehouse/not_on_a_lake.toml says what is left out, and why
test-lake: .venv-lake/tested
	FPT_TEST_WAREHOUSE=lake $(TESTING) $(LAKE_BIN)/python -m pytest $(XDIST) \
		-m "not slow and not files_only" tests/warehouse

clean:
	rm -rf .venv .venv-lake .fpt build *.egg-info

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
