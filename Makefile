# Every target does the set-up that it needs. `make setup` alone makes both environments.
#   make demo    compile, evaluate and simulate both shipped models
#   make test    everything; parts: test-fast, test-lava, test-slow, test-py310
#   make test-full  the networks of the papers at their own size: hours, 4 GB; one of them: ONLY=qkformer_10_768
#   make lint    ruff, mypy, import contracts, sizes
#   make bench   the native engine beside PyTorch, ONNX Runtime, OpenVINO and Lava: hours; part: BENCH="--network ..."
#   make published   computed parameters and operations beside the papers', into docs/models.md

# The first Python that works, looked for only while there is no .venv and nobody names one.
PYTHON ?= $(shell for v in 3.11 3.12 3.13 3.10; do python$$v -c 'import ensurepip' 2>/dev/null && echo python$$v && break; done)
VENV := .venv
LAVA := .venv-lava
BIN := $(VENV)/bin
# The variable, unlike the option, also holds for what the extension is built with.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet
NATIVE := $(wildcard native/CMakeLists.txt native/*.?pp native/kernels/*.?pp)
UV := $(BIN)/uv

export NEURODEPLOY_LAVA_PYTHON ?= $(CURDIR)/$(LAVA)/bin/python

# pytest's exit code 5 says that a group has no test; that is no failure of a group.
PYTEST := $(BIN)/python -m pytest
OR_EMPTY := || [ $$? -eq 5 ]

.PHONY: setup demo test test-fast test-lava test-slow test-py310 test-dl test-full test-sanitize lint format bench accuracy published clean

setup: $(VENV)/.ready $(LAVA)/.ready

# torch comes first and alone: pinned, so that pip takes a CPU build where one is at hand.
$(VENV)/.ready: pyproject.toml constraints.txt $(NATIVE)
	@echo "making $(VENV): some minutes, about 2 GB, most of it torch"
	@test -x $(BIN)/python || { python="$(PYTHON)"; test -n "$$python" || \
		{ echo "neurodeploy needs Python 3.10 to 3.13 with venv; none is on the PATH" >&2; exit 1; }; \
		$$python -m venv $(VENV); }
	$(PIP) torch
	$(PIP) --editable '.[all,dev]'
	@touch $@

$(LAVA)/.ready: pyproject.toml constraints-lava.txt $(NATIVE) $(VENV)/.ready
	test -x $(LAVA)/bin/python || $(UV) venv --quiet --python 3.10 $(LAVA)
	$(UV) pip install --quiet --python $(LAVA)/bin/python --constraint constraints-lava.txt \
		--build-constraints constraints-lava.txt lava-nc pytest hypothesis --editable '.[onnxruntime,netx]'
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py

test: test-fast test-lava test-slow test-py310

test-fast: setup
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 -m "not lava and not slow and not dl"

test-lava: setup
	$(PYTEST) -m "lava and not slow" $(OR_EMPTY)

test-slow: setup
	$(PYTEST) -m slow --ignore tests/full_size $(OR_EMPTY)

# The core on Python 3.10 with NumPy 1.26 and networkx 2.8; the tests that need torch are left out by name.
test-py310: setup
	$(LAVA)/bin/python -m pytest -m "not lava and not slow and not dl"

# Needs a Lava environment with lava-dl, `neurodeploy lava setup --with-dl` or $$NEURODEPLOY_LAVA_PYTHON; skipped without.
test-dl: setup
	env $(if $(filter file,$(origin NEURODEPLOY_LAVA_PYTHON)),-u NEURODEPLOY_LAVA_PYTHON) $(PYTEST) -m dl

# Not part of `make test`.
test-full: setup
	$(PYTEST) tests/full_size $(if $(ONLY),-k $(ONLY))

# The native kernels under the address and undefined-behaviour sanitizers, which must be loaded before Python itself.
SANITIZED := build/sanitize
test-sanitize: $(VENV)/.ready
	$(PIP) cmake nanobind
	$(BIN)/cmake -S native -B $(SANITIZED) -DND_SANITIZE=ON -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python > /dev/null
	$(BIN)/cmake --build $(SANITIZED) --parallel 2
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 NEURODEPLOY_TEST_ENGINE=$(SANITIZED) $(PYTEST) tests/backends/native

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/check_sizes.py

format: $(VENV)/.ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# A runtime that is not installed is listed as absent; OpenVINO comes with pip install -e '.[bench]'.
bench: setup
	$(BIN)/python -m benchmarks.run --document $(BENCH)

# Fashion-MNIST is the Debian package dataset-fashion-mnist.
accuracy: $(VENV)/.ready
	$(BIN)/python -m benchmarks.accuracy --document $(ACCURACY)

published: $(VENV)/.ready
	$(BIN)/python benchmarks/published.py

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis out
