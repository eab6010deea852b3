# The few commands a newcomer needs. Everything is installed into .venv, nothing outside it.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete

.PHONY: help setup demo test lint format lists clean

help:
	@echo "make setup   install everything into .venv"
	@echo "make demo    segment a made-up chest CT with two picks and show where the pictures are"
	@echo "make test    run every test (and lint)"
	@echo "make lint    ruff and mypy only"
	@echo "make format  let ruff rewrite the code"
	@echo "make lists   bring the file lists of CMakeLists.txt up to date"
	@echo "make clean   remove .venv, caches and demo-output"

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup
	@touch $@

demo: setup
	@mkdir -p demo-output
	@$(BIN)/spasegment sample demo-output/chest.nrrd
	@$(BIN)/spasegment segment demo-output/chest.nrrd --picks 2,1 --out demo-output/nodule.seg.nrrd \
		--report demo-output/report --json demo-output/nodule.json
	@echo "Pictures, one per iteration: $(CURDIR)/demo-output/report"
	@echo "Volume and mask, to open in 3D Slicer: $(CURDIR)/demo-output/{chest.nrrd,nodule.seg.nrrd}"

test: setup
	@$(BIN)/python -m pytest

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lists:
	@$(PYTHON) .ci/lists.py

clean:
	rm -rf .venv demo-output build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
