# The one way to build and test. `make` alone lists what there is.

PYTHON ?= python3
PORT ?= 8000
PYTEST_ARGS ?= -n auto --maxprocesses 8 --dist worksteal
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help book pdf serve test chapter rules check hooks audit mutate newest times benchmark lock clean

help: ## list the commands
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10

# The environments: made when missing, brought up to date when a pin changes.
.venv/.book: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -r requirements.txt
	@touch $@

.venv/.tests: .venv/.book tests/requirements.txt
	$(BIN)/python -m pip install -q -r tests/requirements.txt
	@touch $@

book: .venv/.book ## build the book; any warning and any failing cell is an error
	$(BIN)/jupyter-book build . -W --keep-going
	@echo "The book is at file://$(CURDIR)/_build/html/index.html"

pdf: .venv/.book ## make the book one HTML file, and print it as a PDF; needs Chromium
	@$(BIN)/python extensions/book_single.py --ready
	@$(MAKE) --no-print-directory book
	@$(BIN)/python extensions/book_single.py

serve: ## show the built book at localhost (PORT=8000)
	@test -f _build/html/index.html || { echo "There is no book yet. Run: make book"; exit 1; }
	@echo "The book is at http://localhost:$(PORT)/ (Ctrl-C ends it)"
	@$(PYTHON) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: .venv/.tests ## run every check: ruff, mypy, pytest (PYTEST_ARGS=...)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(PYTEST_ARGS)

# One notebook, named by C; the shell has it in $$1.
one_chapter = set -- $$(find notebooks -name '*.ipynb' -not -path '*/.*' | sort | grep -F -- '$(C)'); \
	if [ -z '$(C)' ] || [ $$\# -ne 1 ]; then \
	  echo "C='$(C)' should name one chapter, as C=foundations/03 does; it names $$\#: $$*"; exit 1; fi

chapter: .venv/.book ## build one chapter: make chapter C=foundations/03, or another part of its path
	@$(one_chapter); rm -rf _build/chapter; $(BIN)/python extensions/book_chapter.py "$$1"

rules: .venv/.tests ## say what breaks a rule in one chapter, without a build: make rules C=foundations/03
	@$(one_chapter); fine=0; \
	$(BIN)/ruff check -q "$$1" || fine=1; \
	$(BIN)/ruff format -q --diff "$$1" || fine=1; \
	$(BIN)/pytest -q --tb=short -n 0 $(addprefix tests/test_,notebooks.py exercises.py contents.py bibliography.py) \
	  --chapter "$$1" || fine=1; \
	exit $$fine

check: .venv/.tests ## say what breaks a rule in one mechanism: make check M=scaled_dot_product
	@test -n '$(M)' || { echo "Say which mechanism: make check M=scaled_dot_product"; exit 1; }
	@fine=0; file=$$(ls attn_edu/*/_$(name).py 2>/dev/null) && { \
	  $(BIN)/ruff check -q "$$file" || fine=1; \
	  $(BIN)/ruff format -q --diff "$$file" || fine=1; \
	  $(BIN)/mypy --no-error-summary "$$file" || fine=1; }; \
	$(BIN)/pytest -q --tb=short -n 0 tests/test_contract.py --mechanism $(name) || fine=1; \
	exit $$fine
check: name = $(lastword $(subst ., ,$(M)))

hooks: .venv/.tests ## from now on a commit strips notebooks and refuses what ruff would
	$(BIN)/pre-commit install

audit: .venv/.tests ## run every notebook as Colab would, and look at every page in four views
	ATTN_AUDIT=all $(BIN)/pytest tests/test_colab.py tests/test_site.py

# What makes the mutants, in a folder of its own: the environment stays the book's.
_build/mutation: tests/mutation-requirements.txt
	$(BIN)/python -m pip install -q --no-deps --upgrade --target $@ -r $<
	@touch $@

mutate: .venv/.tests _build/mutation ## change a family's source place by place; the contract must see it: make mutate F=core
	@test -n '$(F)' || { echo "Say which family: make mutate F=core"; exit 1; }
	OMP_NUM_THREADS=1 PYTHONPATH=_build/mutation $(BIN)/python tests/mutate.py $(F) $(MUTATE_ARGS)

newest: .venv/.tests ## run the tests on the newest versions of all but torch (PYTEST_ARGS=...)
	$(BIN)/python tests/newest.py $(PYTEST_ARGS)

times: ## note how long each notebook took in the last build: the slowest start first
	$(BIN)/python extensions/book_execute.py

benchmark: .venv/.book ## time everything on this machine, in about an hour (BENCHMARK_ARGS=...)
	$(BIN)/python -m pip install -q -r benchmarks/requirements.txt
	@for script in run axial local re_attention; do \
	  $(BIN)/python benchmarks/$$script.py $(BENCHMARK_ARGS) || exit 1; done

lock: ## write constraints.txt anew from the exact versions in both requirements files
	rm -rf _build/lock && mkdir -p _build/lock && $(PYTHON) -m venv _build/lock/venv
	cat requirements.txt tests/requirements.txt | grep '==' > _build/lock/direct.txt
	_build/lock/venv/bin/python -m pip install -q -r _build/lock/direct.txt
	echo '# All exact versions. Written by `make lock`.' > constraints.txt
	_build/lock/venv/bin/python -m pip freeze | sed 's/+[a-z0-9.]*$$//' >> constraints.txt
	rm -rf _build/lock

clean: ## remove what was built; the environment stays
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find attn_edu extensions tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
