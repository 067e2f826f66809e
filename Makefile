# Each target does its own set-up. Needed: make, and Python 3.11 or newer.
# PYTHON=/path/to/python chooses one; ARGS="..." is passed on to what is run.

VENV = .venv
BIN = $(VENV)/bin

.PHONY: help demo test soak bench lint format clean

help:
	@echo "make demo    a server, a worker, a scheduler and the console, all on this machine"
	@echo "make test    the whole test suite"
	@echo "make soak    the tests that try many cases, for hours: before a release, and before a change"
	@echo "             of recurrence, of planning or of what is stored and sent is called done"
	@echo "make bench   measure this project beside celery-redbeat, into docs/benchmarks.md"
	@echo "make lint    style, types and import contracts"
	@echo "make format  put the code into the project's format"
	@echo "make clean   remove what the other targets made"

demo: $(VENV)/demo.stamp
	@$(BIN)/redbeat-tui demo $(ARGS)

test: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/dev.stamp
	@TEST_EFFORT=soak $(BIN)/python -m pytest -m "hypothesis or thorough" --ignore=tests/demo $(ARGS)

bench: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	@rm -rf $(VENV) .ci/work build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/made.stamp:
	@for python in $(PYTHON) python3 python3.15 python3.14 python3.13 python3.12 python3.11 python; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$python" -m venv --clear $(VENV) || exit 1; \
			touch $@; \
			exit 0; \
		fi; \
	done; \
	echo "Python 3.11 or newer is needed and none was found; if it has another name, say make PYTHON=..." >&2; \
	exit 1

$(VENV)/demo.stamp: pyproject.toml $(VENV)/made.stamp
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable ".[demo]"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/made.stamp
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ $(VENV)/demo.stamp
