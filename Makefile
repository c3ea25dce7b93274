# Everything a person runs. `make help` lists the targets.
#
#   make corpus                                                     the offline sample, in data/sample
#   make corpus SUBMISSIONS='dumps/RS_2013-*.zst' CONTACT=me@example.org DATA=data/2013

PYTHON ?= python3
BIN := .venv/bin
DATA ?= data/sample
SUBMISSIONS ?= examples/submissions.ndjson.zst
ARCHIVE ?= $(if $(CONTACT),,examples/pages.warc.gz)
CONTACT ?=
SIZE ?= 50257
MODEL ?= tiny
OPTIONS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help corpus vocab tokens train sample test test-slow lint docs bench lock clean

help:  ## what can be made
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# ---- from submissions to a model ----

corpus: .venv/corpus.ok  ## a corpus in DATA (data/sample) from SUBMISSIONS and ARCHIVE, or a live crawl with CONTACT
	$(BIN)/webtext corpus --submissions $(SUBMISSIONS) --output $(DATA) \
	    $(if $(CONTACT),--contact $(CONTACT)) $(if $(ARCHIVE),--archive $(ARCHIVE)) $(OPTIONS)

# The steps below make what they need first, if it is not there.

$(DATA)/corpus/manifest.json: | .venv/corpus.ok
	$(MAKE) corpus

vocab: .venv/corpus.ok $(DATA)/corpus/manifest.json  ## a byte-level BPE of SIZE entries, trained on the corpus in DATA
	$(BIN)/webtext vocab --corpus $(DATA) --size $(SIZE) $(OPTIONS)

$(DATA)/vocab/vocab.json: $(DATA)/corpus/manifest.json
	$(BIN)/webtext vocab --corpus $(DATA) --size $(if $(filter tiny,$(MODEL)),4096,$(SIZE))

tokens: .venv/corpus.ok $(DATA)/vocab/vocab.json  ## token shards of the corpus in DATA
	$(BIN)/webtext tokens --corpus $(DATA) $(OPTIONS)

train: .venv/everything.ok $(DATA)/vocab/vocab.json  ## GPT-2 (MODEL: tiny) on the corpus in DATA
	$(BIN)/webtext tokens --corpus $(DATA)
	$(BIN)/webtext train --tokens $(DATA)/tokens --model $(MODEL) $(OPTIONS)

sample: .venv/everything.ok  ## text from the model in DATA
	$(BIN)/webtext sample --model $(DATA)/model $(OPTIONS)

# ---- for those who work on it ----

test: .venv/everything.ok  ## the quick tests: under five minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(OPTIONS)

test-slow: .venv/everything.ok  ## the others: kills, runners, memory, hostile pages
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow $(OPTIONS)

lint: .venv/everything.ok  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/everything.ok  ## these pages as a site, in site/
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs --doctree-dir .venv/doctrees . site
	@echo "docs: site/index.html"

bench: .venv/everything.ok  ## how to run the benchmarks
	@cat benchmarks/README.md

lock: .venv/everything.ok  ## new lock files (needs uv)
	$(BIN)/python requirements/compile.py

clean:  ## take the environment and the sample away
	rm -rf .venv data/sample

# ---- environments: file targets, built from the lock ----

.venv/corpus.ok: requirements/core.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("webtext needs Python 3.11 or later; name one with PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/core.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv/everything.ok: .venv/corpus.ok requirements/dev.lock requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements/torch.txt
	@touch $@
