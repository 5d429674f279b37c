# make demo    train DQN on CartPole-v1 and print the tree with its times
# make test    lint, types and all tests
# make bench   what a loop pass costs, beside the same loop written by hand and beside peers
#
# Each makes .venv if there is none, and installs only what it needs and only once: the files
# .venv/.has-* remember what is installed, and pyproject.toml and constraints.txt renew them.

PYTHON := $(firstword $(foreach name,python3.11 python3,$(shell command -v $(name) 2>/dev/null)))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt

# The CPU build calls itself 2.13.0+cpu on Linux; asking for that name never brings CUDA.
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)$(if $(filter Linux,$(shell uname -s)),+cpu)
# Where the package index has no CPU build: make TORCH_INDEX=... with one that has.
TORCH_INDEX :=

.PHONY: demo test bench
.DELETE_ON_ERROR:

demo: .venv/.has-cli
	$(BIN)/looptree train dqn CartPole-v1 --steps 50000 --seed 0

test: .venv/.has-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n 2 --dist loadfile

bench: .venv/.has-bench
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python bench/overhead.py

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "looptree needs Python 3.11 or newer: install python3, then run make again."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "looptree needs Python 3.11 or newer: $(PYTHON) is older; install python3.11, then run make again."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	    && apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; } \
	    || { echo "Python has no venv here: run 'sudo apt-get install python3-venv', then make again."; exit 1; }
	$(PYTHON) -m venv .venv

# torch goes in first, so that nothing installed later gets to choose its build.
.venv/.has-torch: constraints.txt | $(BIN)/python
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)" \
	    || { echo "No index here has torch's CPU build: run make TORCH_INDEX=<the one that pytorch.org names for CPU>."; exit 1; }
	@touch $@

.venv/.has-%: pyproject.toml constraints.txt .venv/.has-torch
	$(PIP) -e ".[$*]"
	@touch $@

# fastai asks for torchvision, whose index build does not load beside torch's CPU build and then
# breaks the import of Lightning; nothing that is measured needs it.
.venv/.has-bench: pyproject.toml constraints.txt .venv/.has-torch
	$(PIP) -e ".[bench]"
	$(BIN)/python -m pip --quiet uninstall --yes torchvision
	@touch $@
