# The five commands of daily work. `.ci/run` is what has to pass.
.PHONY: install check test docs ci

BIN = .venv/bin

install:  ## everything for development, in .venv
	python3 -m venv .venv && $(BIN)/pip install -q -c tests/constraints.txt -e '.[dev,docs]'

check:    ## lint, format, types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && .ci/types

test:     ## the tests; `make test T=tests/core` for some
	$(BIN)/pytest $(T)

docs:     ## the site, at http://127.0.0.1:8000
	$(BIN)/mkdocs serve

ci:       ## all that must pass before landing
	.ci/run
