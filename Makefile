# Everything here sets up .venv first (tools/setup.py); nothing is installed outside of it.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
# As many workers as cores, but not so many that starting them costs more than the tests.
WORKERS := -n auto --maxprocesses 8

.DEFAULT_GOAL := help
.PHONY: help setup demo test check conformance taxii-lab bench bench-peers kill-test capture-test fuzz bench-longpoll bench-deciding lock clean

help:
	@echo "make demo          play the demonstration on two nodes (KEEP=1, INPUT=bundle.json)"
	@echo "make test          run all tests"
	@echo "make check         format, lint, types, tests"
	@echo "make conformance   check the TAXII face against the standard (TAXII_LAB=lab.json: another server)"
	@echo "make taxii-lab     serve a TAXII lab until ended; tells where as one line of JSON (LAB='--objects 50000')"
	@echo "make bench         run the measurements, written to bench/results.json"
	@echo "make fuzz          fire hostile requests at a node (long; FUZZ='--minutes 1 --seed 7')"
	@echo "make bench-peers   measure beside medallion and OpenTAXII (PEERS='--sizes 1000,10000')"
	@echo "make bench-longpoll  how soon 2,000 waiting readers have what is published (LONGPOLL='--clients 500')"
	@echo "make bench-deciding  what deciding costs over many agreements, parties and handlings"
	@echo "make kill-test     kill the node at 200 random moments (long)"
	@echo "make capture-test  watch the wire while 100 orders take force (long)"
	@echo "make lock          write requirements/ anew (UPGRADE=1: newest versions)"
	@echo "make clean         remove .venv, caches and results"

setup:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "setup: $(PYTHON) is missing: run apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: Python 3.11 or newer is missing, $(PYTHON) is $$($(PYTHON) -V 2>&1):" \
	    "name another, as in make PYTHON=python3.12 test" >&2; exit 1; }
	@$(PYTHON) tools/setup.py

# KEEP and INPUT, given to make, reach the program through its environment.
demo: setup
	@$(VENV_PYTHON) demo/play.py

test: setup
	@$(VENV_PYTHON) -m pytest $(WORKERS)

check: setup
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy
	$(VENV_PYTHON) -m pytest $(WORKERS)

# TAXII_LAB, given to make, reaches the suite through its environment.
conformance: setup
	@$(VENV_PYTHON) -m pytest tests/conformance -p no:xdist

# Standard output carries the one line of JSON and nothing else.
taxii-lab:
	@$(MAKE) --no-print-directory -s setup >&2
	@$(VENV_PYTHON) tools/taxii_lab.py $(LAB)

bench: setup
	@$(VENV_PYTHON) bench/run.py

fuzz: setup
	@$(VENV_PYTHON) tests/faults/fuzz_run.py $(FUZZ)

# The peers get venvs of their own under bench/run; they are no dependencies.
bench-peers: setup
	@$(VENV_PYTHON) bench/peers.py $(PEERS)

bench-deciding: setup
	@$(VENV_PYTHON) bench/deciding.py

bench-longpoll: setup
	@$(VENV_PYTHON) bench/longpoll.py $(LONGPOLL)

kill-test: setup
	@$(VENV_PYTHON) tests/faults/kill_run.py --rounds 200

capture-test: setup
	@$(VENV_PYTHON) tests/faults/capture_run.py --rounds 100

# Versions stay as they are where pyproject.toml still allows them, unless UPGRADE=1. What runs is
# held to the versions that are tested. `via` lines name who wants a package.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --only-binary :all: \
  --generate-hashes --no-header $(if $(UPGRADE),--upgrade) pyproject.toml
lock:
	@command -v uv >/dev/null || { echo "lock: uv is missing: run pipx install uv" >&2; exit 1; }
	$(COMPILE) --extra dev --output-file requirements/dev.txt >/dev/null
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/run.txt >/dev/null

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	rm -rf demo/report.json demo/run bench/*.json bench/run
	find src tests tools demo bench -name __pycache__ -type d -prune -exec rm -rf {} +
