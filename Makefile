# Each target makes .venv by itself on first use. `make PYTHON=/path/to/python3.11` chooses the interpreter.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
            "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

RICH := "slow or ssh or serial or emulated"

.PHONY: demo test check rich tflite clean
demo: $(STAMP)
	$(BIN)/edgewright demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

check: $(STAMP)
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The richer suites: everything that the default run leaves out and that this machine can run. Conversions wait for each
# other's child processes, and whole jobs for lines and boards, so two of them run side by side; a file's tests share what
# they start, and stay together.
rich: $(STAMP) tflite
	$(BIN)/python -m pytest -m $(RICH) --durations 15 tests/unit --numprocesses auto --dist worksteal
	$(BIN)/python -m pytest -m $(RICH) --durations 15 tests/e2e --numprocesses 2 --dist loadfile

# The runtime's tests once more with tflite-runtime, whose numpy 1 cannot share an environment with TensorFlow's numpy 2.
tflite: .venv-tflite/.installed
	PYTHONPATH=device_runtime .venv-tflite/bin/python -m pytest tests/unit/runtime

.venv-tflite/.installed: setup.cfg
	$(PYTHON) -m venv .venv-tflite
	.venv-tflite/bin/python -m pip install --quiet --disable-pip-version-check ai-edge-litert==2.3.0 flatbuffers \
	    hypothesis 'numpy<2' pytest pytest-timeout 'setuptools>=77' tflite-runtime==2.14.0
	@touch $@

$(STAMP): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "edgewright needs Python 3.11, 3.12 or 3.13: install one, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[convert,demo,language,dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .venv-tflite edgewright-demo build dist
