# Everything a user or CI runs; `make help` lists it.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# TARGET=spark builds and exports on the server that SPARK_REMOTE names.
ifeq ($(TARGET),spark)
ENGINE := $(VENV)/spark
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The virtual environment of a user, and what developers need on top of it.
$(VENV)/pyvenv.cfg: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	@touch $@

$(VENV)/spark: $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[spark]'
	@touch $@

$(VENV)/dev: $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

profiles.yml:
	cp profiles.yml.example $@

# What both do is what `finetune init` writes.
SHIPPED = $(MAKE) --no-print-directory -f exporter/template/Makefile BIN=$(BIN)/

.PHONY: build
build: $(VENV)/pyvenv.cfg $(ENGINE) profiles.yml ## Build the views and run every test on them
	@$(SHIPPED) build

.PHONY: export
export: $(VENV)/pyvenv.cfg $(ENGINE) profiles.yml ## Build, test and write files/*.jsonl
	@$(SHIPPED) export

.PHONY: upload
upload: $(VENV)/pyvenv.cfg ## Send files/*.jsonl to the endpoint; start no training
	$(BIN)/finetune upload $(UPLOAD_OPTIONS)

.PHONY: test
test: $(VENV)/dev ## Run the tests
	$(BIN)/pytest -n 2 $(TEST_OPTIONS)

.PHONY: test-slow
test-slow: $(VENV)/dev ## Run the tests on the largest data set
	$(BIN)/pytest -n 2 -m slow

# The readers that the rules speak of, as they were run; torch is large.
READERS := together==1.5.35 datasets==5.2.0 mistral-common==1.13.1 trl==1.16.0 \
    mlx-lm==0.32.2 'mlx[cpu]' tinker-cookbook==0.1.0 torch==2.13.0

$(VENV)-readers/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)-readers
	$(VENV)-readers/bin/python -m pip install --quiet --disable-pip-version-check \
	    $(READERS)
	@touch $@

.PHONY: test-readers
test-readers: $(VENV)/dev $(VENV)-readers/pyvenv.cfg ## Run the real readers beside ours
	$(BIN)/pytest -n 2 -m readers tests/test_readers.py

# A trainer for the recipes; torch is large.
$(VENV)-recipes/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)-recipes
	$(VENV)-recipes/bin/python -m pip install --quiet --disable-pip-version-check \
	    torch==2.13.0 trl==1.16.0
	@touch $@

.PHONY: test-recipes
test-recipes: $(VENV)/dev $(VENV)-recipes/pyvenv.cfg ## Execute TRL's recipe with a tiny model
	$(BIN)/pytest -m recipes tests/test_trained_recipes.py

.PHONY: tables
tables: $(VENV)/dev ## Print what the docs show of readers, helps and targets
	$(BIN)/python -m tests.printed

# Spark's own programs: half a gigabyte, and they need Java.
$(VENV)-cluster/complete:
	$(PYTHON) -m venv $(VENV)-cluster
	$(VENV)-cluster/bin/python -m pip install --quiet --disable-pip-version-check \
	    pyspark==4.3.0
	@touch $@

.PHONY: java
java:
	@"$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 \
	    | grep -Eq 'version "(1[7-9]|[2-9][0-9])' \
	    || { echo 'make test-cluster needs Java 17 or later: install a JRE, or set' \
	    'JAVA_HOME' >&2; exit 1; }

.PHONY: test-cluster
test-cluster: java $(VENV)/dev $(VENV)-cluster/complete ## Build on a real Spark cluster, with a worker killed
	$(BIN)/pytest -q -s -m cluster tests/test_cluster.py

.PHONY: lint
lint: $(VENV)/dev ## Check style and types; change nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/tests

.PHONY: format
format: $(VENV)/dev ## Mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix dbt_project/models dbt_project/tests

# What a user would pick instead, in an environment of its own.
$(VENV)-bench/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	    'psycopg[binary]' polars connectorx adbc-driver-postgresql pyarrow pandas \
	    sqlalchemy datasets

.PHONY: bench
bench: $(VENV)/pyvenv.cfg $(VENV)-bench/pyvenv.cfg ## Measure us beside the alternatives; write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run --other-python $(VENV)-bench/bin/python $(BENCH_OPTIONS)

.PHONY: docs
docs: $(VENV)/pyvenv.cfg profiles.yml ## Describe models and tests in dbt_project/target/index.html
	$(BIN)/finetune local run -- $(BIN)/dbt docs generate --static \
	    --project-dir dbt_project --profiles-dir .

.PHONY: package
package: $(VENV)/dev ## Build the wheel and the source distribution
	$(BIN)/python -m build

.PHONY: clean
clean: ## Remove what make made, but neither the data nor the files
	rm -rf $(VENV) $(VENV)-bench $(VENV)-cluster $(VENV)-readers $(VENV)-recipes .bench dist dbt_project/target dbt_project/logs logs
