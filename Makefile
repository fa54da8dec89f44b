# `make demo` and `make test` need Python 3.10 or newer, a C compiler and make; the rest is installed into $(VENV).
VENV ?= .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# cython-lint starts pycodestyle by name.
export PATH := $(abspath $(VENV))/bin:$(PATH)
EXTENSION_SOURCES := $(shell find kafka -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi')

.PHONY: build demo sim test test-full test-slow test-due quick bench generate generate-check lint format wheel clean
.DEFAULT_GOAL := build

build: $(VENV)/.built

$(VENV)/.ready: pyproject.toml tools/python.sh tools/requirements.py
	python=$$(tools/python.sh) && $$python -m venv $(VENV)
	$(PY) -m pip install -q --upgrade 'pip>=25.1'
	$(PY) -m pip install -q --group dev
	$(PY) tools/requirements.py > $(VENV)/requirements.txt
	$(PY) -m pip install -q -r $(VENV)/requirements.txt
	@touch $@

$(VENV)/.built: $(VENV)/.ready setup.py $(EXTENSION_SOURCES)
	$(PY) setup.py -q build_ext --inplace
	@touch $@

# Real data produced at full speed and verified; BOOTSTRAP=host:port does it against a cluster of yours.
demo: build
	$(PY) examples/demo.py $(if $(BOOTSTRAP),--bootstrap $(BOOTSTRAP)) $(if $(CONFIG),--config $(CONFIG))

test: build
	$(PY) tools/run_tests.py test

# What is too slow for every change: sanitizers, -X dev, leaks, every installed Python, long fuzzing.
test-slow: build
	$(PY) tools/run_tests.py full

# Those of them that are due, in 20 minutes: the two that passed longest ago, and those whose files have changed since.
test-due: build
	$(PY) tools/run_tests.py due

test-full: test test-slow

# The real producer, and groups, against simulated brokers and faults; SEEDS=FROM:TO plays others of the producer's.
sim: build
	$(PY) -m tests.sim.run --seeds $(or $(SEEDS),0:10000)
	$(if $(SEEDS),,GROUP_SEEDS=10000 $(PY) -m pytest -q -n auto --dist load tests/sim/test_group_seeds.py)

quick: build
	$(PY) tools/run_tests.py quick

# Beside other clients, which it installs: an hour and a half, QUICK=1 takes under three minutes. ROWS="tls lz4" takes
# those, BEFORE=/checkout compares with the client that is built there, PUBLISH=1 puts it into docs/ and README.md.
bench: build
	$(PY) -m bench $(if $(QUICK),--quick) $(if $(ROWS),--rows $(ROWS)) $(if $(BEFORE),--before $(BEFORE)) \
		$(if $(PUBLISH),--publish)

generate: build
	$(PY) -m codegen

generate-check: build
	$(PY) -m codegen --check

lint: build
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/cython-lint kafka
	$(VENV)/bin/mypy

format: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

# The sdist, and wheels built from it for every Python here; tried in empty environments outside the checkout; then
# the same of the shim that stands for kafka-python.
wheel: $(VENV)/.ready
	$(PY) tools/check_wheel.py
	$(PY) tools/check_shim.py

clean:
	rm -rf build dist $(VENV) *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find kafka \( -name '*.so' -o -name '_codec.c' -o -name '_turn.c' \) -delete
