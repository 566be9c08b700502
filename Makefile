PYTHON ?= python3
PHOTOS =
PORT = 8000
HOST = 127.0.0.1
ARGS =
DATABASE = sqlite
INDEX = annoy
JOBS = 2
BIN = "$(or $(SIMSEARCH_VENV),.venv)/bin"
PYTEST = SIMSEARCH_TEST_DATABASE="$(DATABASE)" SIMSEARCH_TEST_INDEX="$(INDEX)" $(BIN)/python -m pytest -n $(JOBS)

.DEFAULT_GOAL := help
.PHONY: help run test drills check audit bench bench-index bench-quality bench-building bench-search environment clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## serve on this machine [PHOTOS=folder] [PORT=8000] [HOST=127.0.0.1]
	@PYTHON="$(PYTHON)" sh simsearch/launch/environment.sh run
	@exec $(BIN)/python -m simsearch.launch.run --photos "$(PHOTOS)" --port "$(PORT)" --host "$(HOST)"

test: environment ## run the tests [ARGS="tests/api -k crop"] [DATABASE=postgres] [INDEX=milvus] [JOBS=2, 0: in one process]
	@$(PYTEST) $(ARGS)

drills: environment ## run the tests that kill processes, fill disks, or set up servers or systems [as make test]
	@$(PYTEST) -m drill $(ARGS)

check: environment ## check format, lint, types, imports, migrations and production settings
	@$(BIN)/python -m tools.check

audit: environment ## look for known vulnerabilities in the pinned packages
	@$(BIN)/python -m tools.audit

bench: bench-index bench-quality bench-building bench-search ## run all benchmarks [ARGS=--quick]

bench-index: environment ## measure the index against exact search and hnswlib
	@$(BIN)/python -m bench.index $(ARGS)

bench-quality: environment ## measure precision, near-duplicates and the embedding rate
	@$(BIN)/python -m bench.quality $(ARGS)

bench-building: environment ## measure build_index
	@$(BIN)/python -m bench.building $(ARGS)

bench-search: environment ## measure searches over HTTP against the classic design
	@$(BIN)/python -m bench.search $(ARGS)

environment: ## install or update the virtual environment, with what the tests need
	@PYTHON="$(PYTHON)" sh simsearch/launch/environment.sh test

clean: ## remove the virtual environment and the caches
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
