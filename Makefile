# make demo: set up and run the main job.  make test: set up and pass the tests on CORES=2 cores.
# make soak: faults with fresh seeds for an hour, or MINUTES=N; needs PostgreSQL.
PYTHON ?= python3
MINUTES ?= 60
CORES ?= 2
BIN := .venv/bin
# hundreds of processes start in a test run: none compiles what another compiled
export PYTHONDONTWRITEBYTECODE :=
READY := .venv/.ready-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-12)

.PHONY: demo test soak check setup lock docs clean

demo: setup
	$(BIN)/archsearch run search_spaces/quickstart.yaml --export exports/quickstart

# some tests wait for clocks and processes: one more at a time than there are cores, files in the
# order of tests/conftest.py
test: setup check
	$(BIN)/python -m pytest -q -n $$(($(CORES) + 1)) --dist loadfile --no-loadscope-reorder

soak: setup
	bash tests/postgres.sh $(BIN)/python tests/soak.py --minutes $(MINUTES)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep ^torch== requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	rm -f .venv/.ready-* && touch $@

clean:
	rm -rf .venv exports archsearch-runs
