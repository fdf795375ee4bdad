# Five words to work with, one to measure and one to draw; CONTRIBUTING.md says more.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test types style docs bench pictures

setup:  ## An environment with the package, editable, and all tools.
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install -e '.[dev]'

test:  ## All tests; `make test ARGS="-k close -x"` for some.
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

types:  ## mypy, strict, over everything.
	$(BIN)/mypy

style:  ## Format, lint, and who imports whom.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/lint-imports

docs:  ## The manual, in docs/_build/html.
	$(BIN)/sphinx-build -W --keep-going -n -b html docs docs/_build/html

bench:  ## Ratios against plain websocket-client.
	$(BIN)/python -m bench

pictures:  ## The pictures of the manual that show real runs.
	$(BIN)/python docs/pictures/outage.py
