PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
DOCUMENTS := docs/*.md docs/reference/*.md mappings/README.md
GENERATED := $(DOCUMENTS) docs/monitoring/alerts.yml gateway/console/templates/runbooks.html
# Hundreds of processes start in the tests: each would compile the whole of the gateway anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all soak mutants simulate coverage conformance check check-types check-documents check-code check-words docs bench bench-peers ig sbom wheel dictionaries upgrade-fixture lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

install: $(VENV)/.installed ## make .venv with everything the demo and the tests need

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autoscribe-gateway needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.locked: requirements-dev.lock | $(VENV)/bin/python
	@echo "installing into $(VENV), once; this may take a minute or two"
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.locked
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## everything on this machine: sandbox upstream, gateway, MLLP listener
	$(BIN)/autoscribe-gateway demo

test: install ## run the tests that need nothing but Python, in a few minutes
	EXAMPLES=few $(RUN) pytest -n auto -m "not soak and not full" --durations=10

test-all: install ## run all tests: PostgreSQL, processes, faults, many examples
	$(RUN) $(UNDER) pytest -n $$((2 * $$(nproc))) --durations=10

soak: install coverage ## the long proofs: coverage, gateways killed, 40,000 requests, the whole conformance corpus
	$(RUN) pytest -m soak
	EXAMPLES=all $(RUN) pytest -n auto tests/property
	EXAMPLES=all $(RUN) pytest -n auto -m "hypothesis and not soak" --ignore=tests/property
	EXAMPLES=all $(MAKE) conformance

mutants: install ## change the code at 200 random places and see that its proofs notice; half an hour
	PYTHONPATH=tests $(RUN) mutants.run $(MUTANTS)

simulate: install ## a week of 50 hospitals in virtual time, with its plots in docs/; some minutes on two idle cores
	PYTHONPATH=tests $(RUN) fakes.hospitals.run

coverage: install ## run the tests and fail below 95 % branch coverage
	rm -f .coverage .coverage.*
	$(MAKE) test-all UNDER="coverage run -m"
	$(RUN) coverage combine -q
	$(RUN) coverage report

conformance: install ## proof by validators, converters, parsers and FHIR clients of others; needs Node.js, a JDK and Maven
	$(RUN) pytest tests/clients tests/conformance -n auto --dist loadfile --no-loadscope-reorder -o norecursedirs=".* bench"

check: check-types check-documents check-code check-words ## lint, format, types, import contracts, generated documents, spelling, prose, licences

check-types: install
	$(RUN) mypy

check-documents: install
	$(BIN)/cog -I docs --check $(GENERATED)

check-code: install
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry .

check-words: install
	$(BIN)/codespell
	$(BIN)/proselint check *.md $(DOCUMENTS)
	$(BIN)/python tests/licences.py

docs: install ## write the generated tables of the documents, the rules and the dashboard anew
	$(BIN)/cog -I docs -r $(GENERATED)
	PYTHONPATH=docs $(BIN)/python -m generators.monitoring > docs/monitoring/dashboard.json

bench: install ## measure speed as ratios, on the disk of TMPDIR or /tmp; the last lines are the result
	TMPDIR=$${TMPDIR:-/tmp} $(RUN) pytest tests/bench -q -s -p no:randomly -p no:xdist -o norecursedirs=".*" -o addopts=--import-mode=importlib

bench-peers: install ## compare the CPU of a request with that of HAPI FHIR JPA; needs JDK 17, Maven and PostgreSQL
	PYTHONPATH=tests $(RUN) bench.peers.compare

ig: install ## write dist/autoscribe-gateway.fhir-<version>.tgz: what the gateway defines, as a FHIR package; CANONICAL is its base; snapshots need a JDK and Maven
	PYTHONPATH=tests $(RUN) conformance.whole_package dist $(CANONICAL)

sbom: install ## write dist/sbom.cdx.json: every package of the gateway, with version and hashes (CycloneDX)
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --validate -o dist/sbom.cdx.json

wheel: ## write dist/autoscribe_gateway-<version>-py3-none-any.whl, and dist/constraints.txt: the versions of the lock
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-build.lock
	build/tools/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	sed -e '/--hash=/d' -e 's/ *\\$$//' requirements.lock > dist/constraints.txt

dictionaries: install ## write new dictionaries for compressing rows, from invented studies; released ones never change
	PYTHONPATH=tests $(BIN)/python tests/dictionaries/train.py

upgrade-fixture: install ## write the database from which tests/upgrade upgrades: once with each release; needs PostgreSQL
	PYTHONPATH=tests $(BIN)/python tests/upgrade/write_fixture.py $(if $(NAME),--name $(NAME))

lock: install ## resolve anew what a release ships, what builds it, and what developers use: the three lock files
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --extra postgres -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --group build -o requirements-build.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links pyproject.toml --group dev -o requirements-dev.lock

clean: ## remove .venv and what the tools leave behind
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
