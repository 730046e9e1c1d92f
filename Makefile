# Everything a fresh machine with Python >= 3.11 needs: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs
JOBS ?= 2
WORKDIR ?= $(RUNS)/hibio
CORPUS ?= $(RUNS)/synthetic-medium/corpus

.PHONY: help setup demo test test-slow test-notebooks test-scverse faults docs lint format sbom lock clean

help:
	@echo "make demo       set up, pretrain on synthetic tissue, evaluate it (about ten minutes on 2 cores)"
	@echo "make test       set up, run the tests"
	@echo "make test-slow  the minutes-long checks"
	@echo "make test-notebooks  run the notebooks of experiments/colabs"
	@echo "make test-scverse    draw results with scanpy and squidpy (installs both)"
	@echo "make faults     kills, full disks, signals, flipped bits ...: what becomes of each (long; --only=KINDS for some)"
	@echo "make docs       build the site from docs/ into site/"
	@echo "make lint       ruff format --check and ruff check"
	@echo "make format     ruff format and ruff check --fix"
	@echo "make sbom       what is installed: RUNS/sbom.json (CycloneDX) and RUNS/licences.csv"
	@echo "make lock       recompile requirements.lock from requirements.txt and the extras test and dev"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "hibio: python: version: found " + sys.version.split()[0] + ", expected 3.11 or newer. Fix: make PYTHON=python3.12 setup.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup
	$(BIN)/python -m experiments.pretrain --config=experiments/hibio.py
	$(BIN)/python -m experiments.evaluate --checkpoint=$(WORKDIR) --corpus=$(CORPUS) --output=$(WORKDIR)/evaluation

test: setup
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow and not gpu and not notebooks"

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

test-notebooks: setup
	$(BIN)/python -m pytest -q -m notebooks

test-scverse: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[scverse]"
	$(BIN)/python -m pytest -q -m scverse

faults: setup
	JAX_PLATFORMS=cpu $(BIN)/python -m experiments.faults --output=$(RUNS)/faults --jobs=$(JOBS)

docs: setup
	sed 's/ *\\$$//; /^ *--hash/d' requirements.lock > $(VENV)/versions.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/versions.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

sbom: setup
	$(PYTHON) -m venv $(VENV)-sbom
	$(VENV)-sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0 pip-licenses==5.5.5
	mkdir -p $(RUNS)
	$(VENV)-sbom/bin/cyclonedx-py environment --output-reproducible --output-file $(RUNS)/sbom.json $(BIN)/python
	$(VENV)-sbom/bin/pip-licenses --python=$(BIN)/python --format=csv --order=license --output-file=$(RUNS)/licences.csv
	rm -rf $(VENV)-sbom

lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv
	$(VENV)-lock/bin/uv pip compile --universal --python-version 3.11 --no-header --quiet --generate-hashes requirements.txt pyproject.toml --extra test --extra dev -o requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(RUNS) .pytest_cache .ruff_cache tests/.jax_cache
