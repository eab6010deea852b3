# The few commands a newcomer needs. Everything is installed into .venv, nothing outside it.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete
DEMO ?= demo-output
# The part-solid nodule with a halo, which readers outline differently.
NODULE := -60.62 -45.62 -86.25

.PHONY: help setup demo pictures test lint format lists clean

help:
	@echo "make setup   install everything into .venv"
	@echo "make demo    open the browser viewer on a made-up chest CT (in a script: check it and write pictures)"
	@echo "make pictures  segment the made-up chest CT with two picks and show where the pictures are"
	@echo "make test    run the tests (and lint); LONG=1 runs the longest, too"
	@echo "make lint    ruff and mypy only"
	@echo "make format  let ruff rewrite the code"
	@echo "make lists   bring the file lists of CMakeLists.txt up to date"
	@echo "make clean   remove .venv, caches and demo-output"

setup: $(STAMP)

$(STAMP): pyproject.toml SPASegment/Resources/requirements.txt .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup
	@touch $@

PICTURES = mkdir -p "$(DEMO)" && $(BIN)/spasegment sample "$(DEMO)/chest.nrrd" && \
	$(BIN)/spasegment segment "$(DEMO)/chest.nrrd" --seed-ras $(NODULE) --picks 2,1 \
		--out "$(DEMO)/nodule.seg.nrrd" --report "$(DEMO)/report" --json "$(DEMO)/nodule.json" --force && \
	echo "Pictures, one per iteration:  $(abspath $(DEMO))/report" && \
	echo "To open in 3D Slicer:         $(abspath $(DEMO))/chest.nrrd and nodule.seg.nrrd"

# On a terminal the viewer stays open until Ctrl+C; in a script one interaction is played and its pictures written.
demo: setup
	@if [ -t 1 ]; then exec $(BIN)/spasegment view; else $(PICTURES) && $(BIN)/spasegment view --self-check; fi

pictures: setup
	@$(PICTURES)

# The longest tests run where CI or LONG is set.
LONG ?= $(CI)
WANTED := $(if $(filter-out 0 false no,$(LONG)),,and not long)

# Half of the tests in each of two processes, then those that measure time or memory, which want to be alone.
# Networks compute on one thread each: two processes share two cores, and answers are equal, bit for bit, only
# where as many threads made them.
ALONE = $(sort $(shell grep -rl --include='test_*.py' 'mark\.alone' Testing))
test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone $(WANTED)" -n 2 --dist loadfile --no-loadscope-reorder
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "alone $(WANTED)" $(ALONE)

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
