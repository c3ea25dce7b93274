# Everything a person runs. `make help` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
DATA ?= data/sample

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## what can be made
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# ---- environments: file targets, built from the lock ----

.venv/corpus.ok: requirements/core.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/core.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

.venv/everything.ok: .venv/corpus.ok requirements/dev.lock requirements/torch.txt
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.lock
	$(BIN)/python -m pip install --quiet --requirement requirements/torch.txt
	@touch $@
