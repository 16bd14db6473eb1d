# make demo   set up and chat with the bundled model:   make demo PROMPT="what is 25x5"
# make test   set up what is missing and run the tests
# make check  lint, format, types, import rules, generated files
# make bench  side-by-side measurements (benchmarks/README.md)

PYTHON ?= python3
PROMPT ?= Tell me a joke about birds.
BIN := .venv/bin
KERNELS := $(wildcard kernels/pyproject.toml kernels/CMakeLists.txt kernels/src/* kernels/llamaherd_kernels/*.py)

.PHONY: demo test check fix bench generate clean

demo: .venv/installed
	@$(BIN)/llamaherd chat demo -p "$(PROMPT)"

test: .venv/installed-dev
	$(BIN)/python -m pytest

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy kernels/llamaherd_kernels kernels/tests
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_bindings.py --check
	$(BIN)/python tools/generate_options.py --check
	$(BIN)/python tools/generate_cli_help.py --check

fix generate: .venv/installed-dev
	$(BIN)/python tools/generate_bindings.py
	$(BIN)/python tools/generate_options.py
	$(BIN)/python tools/generate_cli_help.py
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed-dev
	$(BIN)/python benchmarks/streaming.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/kernels.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/installed: pyproject.toml $(KERNELS)
	@$(PYTHON) tools/setup_environment.py
	@touch $@

.venv/installed-dev: pyproject.toml $(KERNELS)
	@$(PYTHON) tools/setup_environment.py dev
	@touch $@ .venv/installed
