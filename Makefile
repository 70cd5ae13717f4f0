# Needs Python >= 3.11 with pip, and make. Everything else is installed into .venv from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
BENCHMARKS := sdk interpret ingest crash alert_crash weekly

.PHONY: demo test check bench fuzz serve docs lock clean

demo: .venv/editable
	$(BIN)/driftbell demo --out demo-out

test: .venv/editable
	$(BIN)/pytest

check: .venv/editable
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_layers.py tests/test_public_surface.py tests/test_docs.py

bench: .venv/editable
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python bench/$$name.py || exit 1; done

# Coverage-guided, for ten minutes unless SECONDS says otherwise; Linux.
fuzz: .venv/editable
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-fuzz.lock
	$(BIN)/python bench/fuzz.py --seconds $(or $(SECONDS),600) --corpus .cache/fuzz

serve: .venv/editable
	$(BIN)/driftbell serve

# The editable install maps the folders to driftbell.*; it takes a second and no network.
.venv/editable: .venv/locked pyproject.toml
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "driftbell needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@# Debian's Python comes without ensurepip: then the pip outside fills the environment.
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv 2>/dev/null || \
	  { $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# For maintainers: after a change of a command's options or of the API.
docs: .venv/editable
	$(BIN)/python tests/kit/command_docs.py
	$(BIN)/python tests/kit/api_docs.py

# The documentation as a site in .cache/site, which needs no network to be read.
site: .venv/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

.venv/site: .venv/editable requirements-docs.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

# For maintainers: after a change of the dependencies in pyproject.toml (needs uv).
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header --extra service --group dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header -c requirements.lock --group pyproject.toml:browser -o requirements-browser.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header -c requirements.lock --group pyproject.toml:clickhouse -o requirements-clickhouse.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header -c requirements.lock --group pyproject.toml:docs -o requirements-docs.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header --group pyproject.toml:providers -o requirements-providers.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header -c requirements.lock --group pyproject.toml:fuzz -o requirements-fuzz.lock

clean:
	rm -rf .venv .cache build demo-out *.egg-info
