# `make demo` and `make test` are all a fresh clone needs; `make help` lists the rest.

VENV := .venv
# xtuner starts `python` from the PATH.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## Install everything into .venv (once; does nothing when it is there)
	@python=$$(PYTHON="$(PYTHON)" sh tools/install/find_python.sh) && \
		"$$python" tools/install/install.py

demo: install  ## Train and evaluate F-LMM on the toy world, write work_dirs/demo/
	@python tools/demo.py

test: lint  ## Run the linter and the whole test suite
	@python -m pytest

lint: install  ## Run the linter
	@ruff check .
	@ruff format --check .

format: install  ## Format the code and repair what the linter can repair
	@ruff check --fix .
	@ruff format .

clean:  ## Remove what was installed and written here (not the wheel cache)
	rm -rf $(VENV) build dist work_dirs *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
