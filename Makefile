# make run [PHOTOS=folder] [PORT=8000] [HOST=127.0.0.1]     everything, on this machine
# make test [ARGS="tests/local -k port"]                    every test
# make test DATABASE=postgres                               those that touch rows, on a PostgreSQL of their own
# make test JOBS=0                                          in one process (2: what two cores carry)
# make check                                                format, lint, types, imports, migrations, deployment
# make audit                                                known vulnerabilities in the pinned packages
# make bench [ARGS=--quick]                                 how fast
PYTHON ?= python3
PHOTOS =
PORT = 8000
HOST = 127.0.0.1
ARGS =
DATABASE = sqlite
JOBS = 2
BIN = "$(or $(SIMSEARCH_VENV),.venv)/bin"

.PHONY: run test check audit bench bench-index bench-quality bench-building bench-search environment clean

run:
	@$(PYTHON) simsearch/launch/environment.py run
	@exec $(BIN)/python -m simsearch.launch.run --photos "$(PHOTOS)" --port "$(PORT)" --host "$(HOST)"

test: environment
	@SIMSEARCH_TEST_DATABASE="$(DATABASE)" $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: environment
	@$(BIN)/python -m simsearch.launch.check

audit: environment
	@$(BIN)/python -m simsearch.launch.audit

bench: bench-index bench-quality bench-building bench-search

bench-index: environment
	@$(BIN)/python -m bench.index $(ARGS)

bench-quality: environment
	@$(BIN)/python -m bench.quality $(ARGS)

bench-building: environment
	@$(BIN)/python -m bench.building $(ARGS)

bench-search: environment
	@$(BIN)/python -m bench.search $(ARGS)

environment:
	@$(PYTHON) simsearch/launch/environment.py test

clean:
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
