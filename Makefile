# Everything starts here; `make help` lists it. Needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= quick
PIP_FLAGS ?=

.PHONY: help setup reproduce report test figures lab bench clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

reproduce: setup  ## run all notebooks with the quick profile into runs/quick/, and report (PROFILE=... for another)
	$(BIN)/gsos run --profile $(PROFILE)

report: setup  ## make runs/quick/report/ again from what has run (PROFILE=... for another)
	$(BIN)/gsos report --profile $(PROFILE)

test: setup $(VENV)/.peers  ## run the tests
	$(BIN)/python -m pytest

setup: $(VENV)/.ready  ## prepare .venv alone

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[test]'
	@touch $@

# Old packages that some tests compare with; where one cannot be built, its tests are skipped and say so.
$(VENV)/.peers: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hpbandster 2>$(VENV)/peers.log \
	  || echo "hpbandster could not be installed (see $(VENV)/peers.log): its tests will be skipped"
	@touch $@

figures: setup  ## rebuild figures/ and the notebooks' outputs from the committed records
	$(BIN)/gsos figures

lab: setup  ## open JupyterLab
	$(BIN)/jupyter lab notebooks

bench: setup  ## run the benchmarks
	for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

clean:  ## remove .venv and runs/
	rm -rf $(VENV) runs
