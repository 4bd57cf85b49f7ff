# `make demo` and `make test` are the README's two commands; CI (.ci/run) uses the same words.
VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
INSTALL_FROM := pyproject.toml constraints.txt .ci/environment.py
# Two test processes share two cores, so each has one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal
DEMO := demo.mp4

# What `test-newest` and `test-oldest` run beside the demo; CI names fewer.
CORE := tests/decoding tests/chat_model tests/graphs tests/tools tests/cli

.PHONY: help demo test test-slow test-processors test-newest test-oldest test-core lint docs bench build clean
.NOTPARALLEL:

help:
	@echo "make demo       install into $(VENV), write a demo clip and ask its question"
	@echo "make test       the default tests: offline, on the CPU"
	@echo "make test-slow  the wheel in a clean environment, the examples, LangChain's suites, fuzzing"
	@echo "make test-processors  the decoding tests as processors without AVX-512, and without AVX, compute"
	@echo "make test-newest, make test-oldest"
	@echo "                demo and core tests with the newest and the oldest libraries that pyproject.toml allows"
	@echo "make lint       ruff and mypy"
	@echo "make docs       the pages of docs/ in build/docs; a link that leads nowhere is an error"
	@echo "make bench      time to load; time and memory of decoding, how they grow, what reuse saves"
	@echo "make build      sdist and wheel in dist/"
	@echo "make clean      remove what the other targets made"

$(RUNTIME): $(INSTALL_FROM)
	@$(MAKE_ENVIRONMENT) $(LIBRARIES)
	@touch $@

$(DEV): $(INSTALL_FROM)
	@$(MAKE_ENVIRONMENT) --dev
	@touch $@ $(RUNTIME)

define MAKE_ENVIRONMENT
test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed and none was found;" \
	"install it (Debian, Ubuntu: apt-get install python3 python3-venv)" >&2; exit 1; }; \
$(PYTHON) .ci/environment.py $(VENV)
endef

# The clip's last line of output is the command that asks its question. Exit code 3 is an answer too: the model abstained.
demo: $(RUNTIME)
	@$(BIN)/vreason-agent demo-video $(DEMO) > $(VENV)/demo.txt
	@cat $(VENV)/demo.txt
	@PATH="$(abspath $(BIN)):$$PATH"; eval "$$(tail -n 1 $(VENV)/demo.txt)" || test $$? -eq 3

test: $(DEV)
	$(PYTEST)

test-slow: $(DEV)
	$(PYTEST) -m slow

# Vector units add in different orders; what the decoding tests claim holds under each.
test-processors: $(DEV)
	ATEN_CPU_CAPABILITY=avx2 $(PYTEST) tests/decoding
	ATEN_CPU_CAPABILITY=default $(PYTEST) tests/decoding

test-newest test-oldest: test-%:
	rm -rf .venv-$*
	$(MAKE) VENV=.venv-$* LIBRARIES="--suite --$*" DEMO=.venv-$*/demo.mp4 demo test-core

test-core: $(RUNTIME)
	$(BIN)/python -m pip list | grep -E '^(av|langchain|langgraph|llguidance|numpy|opencv|pydantic|torch|transformers)'
	$(PYTEST) $(CORE)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/promises.py
	$(BIN)/mypy

docs: $(DEV)
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/docs
	@echo "open build/docs/docs/index.html"

bench: $(RUNTIME)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/load.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/decode.py
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.growth --models bundled
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.reuse

build: $(DEV)
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO) $(DEMO:.mp4=.json) .mypy_cache .pytest_cache .ruff_cache .hypothesis
