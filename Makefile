# The commands of users, developers and CI; `make help` lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# TARGET=spark builds and exports on the server that SPARK_REMOTE names.
ifeq ($(TARGET),spark)
ENGINE := $(VENV)/spark
endif

.DEFAULT_GOAL := help

# Targets share the environments and the output of dbt, also with make -j.
.NOTPARALLEL:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) }' $(MAKEFILE_LIST)

PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check

# Install what requirements/NAME.txt pins, then this project.
define install
	@echo 'installing requirements/$(1).txt into $(VENV): a minute or two' >&2
	@$(PIP) install --no-deps --require-hashes --requirement requirements/$(1).txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
endef

# The virtual environment: for users, then with Spark or the tools of developers.
$(VENV)/pyvenv.cfg: pyproject.toml requirements/local.txt
	$(PYTHON) -m venv $(VENV)
	$(call install,local)

$(VENV)/spark: $(VENV)/pyvenv.cfg requirements/spark.txt
	$(call install,spark)

$(VENV)/dev: $(VENV)/pyvenv.cfg requirements/dev.txt
	$(call install,dev)

profiles.yml:
	cp profiles.yml.example $@

# build, export and docs run the Makefile that `finetune init` writes.
SHIPPED = --no-print-directory -f exporter/template/Makefile BIN=$(BIN)/

##@ From the table to the files

.PHONY: build
build: $(VENV)/pyvenv.cfg $(ENGINE) profiles.yml ## Build the models and run all of dbt's tests
	@$(MAKE) $(SHIPPED) build

.PHONY: export
export: $(VENV)/pyvenv.cfg $(ENGINE) profiles.yml ## Build, test and write files/*.jsonl
	@$(MAKE) $(SHIPPED) export

.PHONY: upload
upload: $(VENV)/pyvenv.cfg ## Upload files/*.jsonl to the endpoint; start no training
	$(strip $(BIN)/finetune upload $(UPLOAD_OPTIONS))

# The tests check the report's HTML and its accessibility with these.
NPM := axe-core@4.14.1 html-validate@10.17.0
$(VENV)/npm: $(VENV)/dev
	@command -v npm >/dev/null && npm install --silent --no-save --fetch-retries=0 --prefix $@ $(NPM) \
	    || echo 'npm is absent: the tests do not check the report with axe and html-validate' >&2

.PHONY: docs
docs: $(VENV)/pyvenv.cfg $(ENGINE) profiles.yml ## Write dbt's documentation as one page
	@$(MAKE) $(SHIPPED) docs

##@ Develop

.PHONY: test
test: $(VENV)/dev $(VENV)/npm ## Run the tests
	@# Three workers on two cores: tests wait a third of the time.
	$(BIN)/pytest -n 3 $(TEST_OPTIONS)

.PHONY: lint
lint: $(VENV)/dev ## Check style and types; change nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint dbt_project/models dbt_project/tests

.PHONY: format
format: $(VENV)/dev ## Fix what can be fixed automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix dbt_project/models dbt_project/tests

.PHONY: tables
tables: $(VENV)/dev ## Update the documents' tables of readers, help texts and targets
	$(BIN)/python -m tests.printed

.PHONY: clean
clean: ## Remove environments and build output, but not data and files
	rm -rf $(VENV) $(VENV)-* .bench .faults .soak mutants dist dbt_project/target dbt_project/logs logs

##@ Slow or large tests

.PHONY: test-slow
test-slow: $(VENV)/dev ## Run the tests that take long or need much data
	$(BIN)/pytest -n 2 -m slow

# The tests of the endpoint reach most modules, so only mutants of exporter/endpoint
# run them; they mostly wait, so more of them run at a time.
MUTANTS ?= exporter.[!e]* exporter.endpoint*
$(VENV)/mutmut: $(VENV)/dev
	@$(PIP) install mutmut==3.8.1
	@touch $@

.PHONY: mutants
mutants: $(VENV)/mutmut ## List the one-place changes of the code that no test detects
	rm -rf mutants
	set -f; for names in $(MUTANTS); do \
	    case $$names in \
	        *endpoint*) children=6 without= ;; \
	        *) children=2 without='--deselect tests/endpoint' ;; \
	    esac; \
	    PYTEST_ADDOPTS=$$without $(BIN)/mutmut run --max-children $$children "$$names" \
	        || exit 1; \
	done
	$(BIN)/mutmut results

.PHONY: test-ranges
test-ranges: $(VENV)-release/pyvenv.cfg ## Run the tests with the lowest and newest versions allowed
	for versions in lowest-direct highest; do \
	    $(PYTHON) -m venv --clear $(VENV)-$$versions && \
	    $(VENV)-release/bin/uv pip install --quiet --resolution $$versions \
	        --python $(VENV)-$$versions/bin/python --editable '.[dev]' && \
	    $(VENV)-$$versions/bin/pytest -n 2 $(TEST_OPTIONS) || exit 1; \
	done

.PHONY: faults
faults: $(VENV)/dev ## Inject faults at every step; write docs/reliability.md
	rm -rf .faults
	mkdir .faults
	FINETUNE_FAULTS_FOLDER=.faults $(BIN)/pytest -n 2 -m 'faults or not faults' tests/faults
	$(BIN)/python -m tests.faults.page faults .faults

SOAK_MINUTES ?= 20

.PHONY: soak
soak: $(VENV)/dev ## Repeat the pipeline SOAK_MINUTES; write docs/reliability.md
	mkdir -p .soak
	$(BIN)/python -m tests.soak $(SOAK_MINUTES) $(CURDIR)/.soak
	$(BIN)/python -m tests.faults.page soak .soak

# Environments of the real readers and trainers; torch is large. Packages whose
# dependencies conflict with the others' are installed without dependencies.
TRAINERS := readers recipes llama-factory axolotl
ALONE_readers := amzn-nova-forge==1.4.10 nemo-automodel==0.7.0
ALONE_recipes := dashscope==2.0.2 litgpt==0.5.13
ALONE_llama-factory := llamafactory==0.9.5 torchaudio==2.11.0
ALONE_axolotl := axolotl==0.19.0 axolotl-contribs-lgpl==0.0.7 axolotl-contribs-mit==0.0.6

$(TRAINERS:%=$(VENV)-%/complete): $(VENV)-%/complete: tests/trainers/%.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check \
	    --requirement $<
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps --ignore-requires-python $(ALONE_$*)
	@# torchaudio's compiled library needs CUDA; torchaudio works without the file.
	rm -f $(VENV)-$*/lib/python3*/site-packages/torchaudio/lib/*.so
	@touch $@

.PHONY: test-readers
test-readers: $(VENV)/dev $(VENV)-readers/complete ## Run the real readers; write the results to docs/check.md
	$(BIN)/pytest -n 2 -m readers tests/test_readers.py

.PHONY: test-recipes
test-recipes: $(VENV)/dev $(VENV)-recipes/complete $(VENV)-llama-factory/complete $(VENV)-axolotl/complete ## Run the recipes with a tiny model; write docs/check.md
	$(BIN)/pytest -m recipes tests/test_trained_recipes.py

.PHONY: harm
harm: $(VENV)/dev ## Measure the warnings of harm; write the tables of docs/check.md
	$(BIN)/python -m tests.harm_figures

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
test-cluster: java $(VENV)/dev $(VENV)-cluster/complete ## Build on a real Spark cluster and kill a worker
	$(BIN)/pytest -q -s -m cluster tests/test_cluster.py

##@ Measure

# The alternatives that the bench measures, in an environment of their own.
$(VENV)-bench/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check \
	    'psycopg[binary]' polars adbc-driver-postgresql pyarrow duckdb

.PHONY: bench
bench: $(VENV)/pyvenv.cfg $(VENV)-bench/pyvenv.cfg ## Measure it beside others; write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run --other-python $(VENV)-bench/bin/python $(BENCH_OPTIONS)

##@ Release

# The tools of a release, in an environment of their own.
$(VENV)-release/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)-release
	$(VENV)-release/bin/python -m pip install --quiet --disable-pip-version-check \
	    build==1.6.1 check-wheel-contents==0.6.3 cyclonedx-bom==7.5.0 \
	    pip-audit==2.10.1 twine==7.0.0 uv==0.13.9
	@touch $@

.PHONY: package
package: $(VENV)-release/pyvenv.cfg ## Build and check the wheel, source distribution and SBOM
	rm -rf dist
	$(VENV)-release/bin/python -m build
	$(VENV)-release/bin/twine check --strict dist/*.whl dist/*.tar.gz
	$(VENV)-release/bin/check-wheel-contents dist
	$(VENV)-release/bin/cyclonedx-py requirements requirements/local.txt \
	    --pyproject pyproject.toml --output-file dist/sbom.cdx.json

.PHONY: publish
publish: $(VENV)-release/pyvenv.cfg ## Publish dist/, as the release workflow does for a tag
	$(VENV)-release/bin/uv publish dist/*.whl dist/*.tar.gz

# The extras of pyproject.toml that each file in requirements/ pins.
LOCKS := local spark dev
local_EXTRAS := --extra local
spark_EXTRAS := --extra local --extra spark
dev_EXTRAS := --extra dev

.PHONY: lock
lock: $(VENV)-release/pyvenv.cfg ## Pin the newest versions that pyproject.toml allows, with hashes
	for name in $(LOCKS); do $(MAKE) --no-print-directory lock-$$name; done

lock-%:
	printf 'hatchling\neditables\n' | $(VENV)-release/bin/uv pip compile --quiet --upgrade --universal \
	    --python-version 3.10 --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate $($*_EXTRAS) --output-file requirements/$*.txt pyproject.toml -

.PHONY: audit
audit: $(VENV)-release/pyvenv.cfg ## Check the pinned versions for known vulnerabilities
	$(VENV)-release/bin/pip-audit --require-hashes --disable-pip \
	    --requirement requirements/dev.txt
