# Each target makes .venv by itself on first use. `make PYTHON=/path/to/python3.11` chooses the interpreter.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
            "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check rich clean
demo: $(STAMP)
	$(BIN)/edgewright demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The richer suites: everything that the default run leaves out and that this machine can run.
rich: $(STAMP)
	$(BIN)/python -m pytest -m "slow or ssh or serial or emulated"

$(STAMP): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "edgewright needs Python 3.11, 3.12 or 3.13: install one, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[convert,demo,dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) edgewright-demo build dist
