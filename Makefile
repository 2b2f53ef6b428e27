# Every task of the project. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
PIP := PYTHONWARNINGS=ignore::UserWarning $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
MARK := .venv/extras
SPREAD := --numprocesses auto --dist loadfile --no-loadscope-reorder
SDK := .venv-deploy
FOLDERS := prompts llms chains agents pretraining endpoints local_aws command apps
.DEFAULT_GOAL := help
.PHONY: help install demo test prove prove-short test-deploy lint types bench cassettes docs clean

help: ## List the tasks
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# `make demo` alone needs a part of what the tests need: each is installed into the same .venv once it is wanted.
install: $(MARK)/dev ## Create .venv with sagechain and everything its tests need
$(MARK)/demo $(MARK)/dev: $(MARK)/%: pyproject.toml constraints.txt | $(MARK)/pip
	$(PIP) --no-build-isolation --editable '.[$*]'
	@touch $@
$(MARK)/pip:
	$(PYTHON) -m venv --clear .venv
	$(PIP) pip setuptools
	@mkdir -p $(MARK) && touch $@

demo: $(MARK)/demo ## Run the demo: Llama 2 and Falcon wires with a real model behind them
	$(BIN)/sagechain demo

# A test process for each processor, up to four (conftest.py), and one thread each: several threads in each would wait for one
# another. Lint and types run beside them, and what they found is shown at the end.
test: install ## Run all tests, with lint and types
	@$(MAKE) --silent lint types >.checks.log 2>&1 & checks=$$!; \
	OMP_NUM_THREADS=1 LLAMA_ARG_THREADS=1 $(BIN)/python -m pytest $(SPREAD); tests=$$?; \
	wait $$checks; checks=$$?; cat .checks.log; exit $$((tests ? tests : checks))

prove-short: install ## Run those long tests that take about a minute: the demo, the wheel in an empty environment
	$(BIN)/python -m pytest -m prove $(SPREAD) tests/apps/test_demo.py tests/test_wheel.py -k 'demo or without_extras'

prove: install ## Run the long tests, and the tests of properties with many examples
	$(BIN)/python -m pytest -m prove -s
	$(BIN)/python -m pytest -m 'hypothesis and not prove' --hypothesis-profile many

test-deploy: $(SDK)/installed ## Test with the sagemaker SDK, in .venv-deploy
	$(SDK)/bin/python -m pytest -c tests/deploy/pytest.ini tests/deploy
$(SDK)/installed: pyproject.toml
	$(PYTHON) -m venv --clear $(SDK)
	$(SDK)/bin/python -m pip install --quiet --editable '.[deploy,local]' pytest
	@touch $@

lint: install ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Check types (strict)
	@mkdir -p .types/sagechain
	@for name in $(FOLDERS) $(notdir $(wildcard package/*.py*)); do \
		ln -sfn ../../$$(test -d $$name || echo package/)$$name .types/sagechain/$$name; done
	MYPYPATH=.types $(BIN)/mypy -p sagechain -p tests -p benchmarks

bench: install ## Run the benchmarks; medians on standard output
	@for script in startup endpoints conversations local_models; do $(BIN)/python benchmarks/$$script.py || exit 1; done

cassettes: install ## Record the cassettes again (REAL=1 with credentials: against real endpoints)
	$(BIN)/python -m pytest tests/test_cassettes.py tests/agents/test_agent_cassettes.py --record-mode=rewrite $(if $(REAL),--real --force-enable-socket)

docs: install ## Build the guide into site/
	$(BIN)/zensical build --clean

clean: ## Remove everything that the tasks created
	rm -rf .venv $(SDK) .types site build dist .pytest_cache .mypy_cache .ruff_cache .checks.log *.egg-info
