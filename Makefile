# `make demo` and `make test` need nothing but Python 3.10 to 3.13 and pip; both make .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TYPED := benchmarks docs/_ext/edgepack_reference templates/linux-python examples/fashion_mnist examples/tutorial_nets examples/silero_vad examples/sentence_encoder examples/detector examples/unet examples/recognizer examples/scenes.py examples/training.py examples/packages.py \
         $(wildcard examples/imagenet/*.py) $(wildcard examples/imagenet/*/model.py)

.PHONY: demo test test-slow apps lint docs benchmarks zoo-sample clean

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	touch $@

demo: $(BIN)/.installed
	$(BIN)/edgepack build examples/fashion_mnist --out demo
	@echo "The bundles are in $(CURDIR)/demo/; try the Raspberry Pi's app here:"
	@echo "  cd demo/raspberry-pi-5/app && $(abspath $(BIN))/python -m fashion_mnist_app $(CURDIR)/examples/fashion_mnist/pictures/*.png"

test: $(BIN)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(BIN)/.installed
	$(BIN)/python -m pytest -m slow

apps: $(BIN)/.installed
	$(BIN)/python -m tests.apps

lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	@# scripts import their neighbors by bare names, which occur in several folders (model, train, fetch)
	for path in $(TYPED); do MYPYPATH=examples $(BIN)/mypy --no-explicit-package-bases $$path || exit 1; done

# Built anew each time, because Sphinx's cache does not notice changes of the code.
docs: $(BIN)/.installed
	$(BIN)/python -m sphinx --builder html --fresh-env --write-all --nitpicky --fail-on-warning --keep-going --quiet docs docs/_build

# One architecture of each kind, in every format; fails if a build ends by a traceback, a crash or its time limit.
zoo-sample: $(BIN)/.installed
	rm -rf zoo-sample
	$(BIN)/python -m benchmarks zoo --only sample --jobs 2 --results zoo-sample

benchmarks: $(BIN)/.installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) demo zoo-sample docs/_build
