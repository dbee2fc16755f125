# `make demo` runs the main job, `make test` passes the tests; each makes the virtual environment it
# needs. PYTHON chooses the interpreter, VENV the folder.
PYTHON ?= python3
VENV ?= .venv
COVERAGE ?= --cov --cov-report=term
PYTEST_ARGS ?= --numprocesses=auto --dist=loadgroup
IMAGE ?= echo-env:latest
PACKAGES = aioenv echo_env
SOURCES = aioenv service client cli echo_env

# A strict editable install links every file, so that type checkers see the packages as installed.
# It has to be made anew when a file comes or goes: the stamp's name holds the list of files.
FILES := $(shell find $(SOURCES) -type f ! -name '*.pyc' 2>/dev/null | LC_ALL=C sort | cksum | cut -d' ' -f1)
STAMP = $(VENV)/.installed-$(FILES)
RUN = $(VENV)/bin/

.PHONY: demo test lint install screenshots bench serve image clean help

help:  ## Show what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(STAMP)  ## Run 256 concurrent Echo episodes against an embedded service
	$(RUN)aioenv rollout --episodes 256 --concurrency 256 --steps 20

test: $(STAMP)  ## Run the tests, with branch coverage
	$(RUN)python -m pytest $(COVERAGE) $(PYTEST_ARGS)

lint: $(STAMP)  ## Check style and types
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	cd $(VENV) && bin/python -m mypy --config-file "$(CURDIR)/setup.cfg" $(addprefix -p ,$(PACKAGES))
	$(RUN)python -m mypy benchmarks

install: $(STAMP)  ## Make the virtual environment, as the others do where it is missing

screenshots: $(STAMP)  ## Take the README's pictures of the web interface anew
	$(RUN)python -m tests.browser.screenshots

bench: $(STAMP)  ## Measure against the bare echo and OpenEnv (about eight minutes)
	$(RUN)python -m benchmarks $(BENCH_ARGS)

serve: $(STAMP)  ## Serve Echo on http://127.0.0.1:8000
	$(RUN)aioenv serve

image:  ## Build Echo's container image (BASE_IMAGE=… over another base)
	docker build --tag $(IMAGE) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(BUILD_ARGS) .

clean:  ## Remove what was made
	rm -rf $(VENV) build .cache .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

$(STAMP): setup.cfg pyproject.toml
	test -x $(RUN)python || $(PYTHON) -m venv $(VENV)
	rm -rf build $(VENV)/.installed-*
	$(RUN)python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	$(RUN)python -m pip install --quiet --disable-pip-version-check \
		--config-settings editable_mode=strict --editable '.[dev]'
	touch $@
