# Everything that a person or CI runs. `make up` and `make test` are all that a new machine needs.
# PYTHON: interpreter for the virtual environments; the first suitable one by default.
PYTHON ?= $(shell sh scripts/find-python.sh)
PREPROCESS ?= default
PIP_FLAGS = --quiet --disable-pip-version-check

# In .venv: gateway, Triton, cli. In .venv-dev: the same plus linters, tests, torch, export.
SERVE_STAMP = .venv/.installed
DEV_STAMP = .venv-dev/.installed

.PHONY: up install install-dali install-dev check test test-long generate lock clean

up: $(SERVE_STAMP)  ## start Triton and the gateway on loopback
	@exec .venv/bin/bestiary up --preprocess $(PREPROCESS)

install: $(SERVE_STAMP)  ## what serving needs, into .venv

install-dev: $(DEV_STAMP)  ## what development needs, into .venv-dev

$(SERVE_STAMP): requirements/serve.txt pyproject.toml scripts/install.sh
	@sh scripts/install.sh "$(PYTHON)" .venv requirements/serve.txt
	@touch $@

$(DEV_STAMP): requirements/dev.txt requirements/train.txt pyproject.toml scripts/install.sh
	@sh scripts/install.sh "$(PYTHON)" .venv-dev requirements/dev.txt requirements/train.txt
	@touch $@

install-dali: $(SERVE_STAMP)  ## NVIDIA DALI (1 GB), for `make up PREPROCESS=dali`
	@for venv in .venv .venv-dev; do \
		[ ! -x $$venv/bin/pip ] || $$venv/bin/pip install $(PIP_FLAGS) -r requirements/dali.txt; done

check: $(DEV_STAMP)  ## style, types, generated code current
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/mypy
	sh scripts/generate.sh .venv-dev/bin/python --check

test: $(DEV_STAMP)  ## everything that must hold
	.venv-dev/bin/pytest -m "not long"

test-long: $(DEV_STAMP)  ## the longer experiments too
	.venv-dev/bin/pytest

generate: $(DEV_STAMP)  ## gRPC stubs from contract/protos
	sh scripts/generate.sh .venv-dev/bin/python

lock:  ## requirements/*.txt from pyproject.toml (needs uv)
	sh scripts/lock.sh

clean:  ## virtual environments and everything that was run here
	rm -rf .venv .venv-dev var
