# The commands of this project; `make` lists them. Everything they install goes under target/.

CARGO ?= cargo
PYTHON := target/venv/bin/python
# the oldest that is supported, one between, and the newest
ENVOY_VERSIONS := 1.36.2 1.38.3 1.40.0
ENVOY_TESTS := test_envoys.py test_fanout.py test_routing.py test_ordering.py test_services.py test_durability.py \
	test_connections.py
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2

GO ?= go
# everything that Go downloads and builds goes under target/, where it can be removed like the rest
PEERS_GO = cd benches/peers && GOPATH=$(CURDIR)/target/go GOMODCACHE=$(CURDIR)/target/go/pkg/mod \
	GOCACHE=$(CURDIR)/target/go-cache GOFLAGS=-modcacherw $(GO)

# what each fuzz target takes
FUZZ_SECONDS ?= 60

# one that is root on a machine without them in its path may still need them; the last is where Go is installed by default
export PATH := $(PATH):/usr/sbin:/sbin:/usr/local/go/bin

.DEFAULT_GOAL := help
.PHONY: help build loadtest-build prepare prepare-build prepare-tests test test-rust test-e2e test-envoys demo bench peers test-peers go load \
	compare etcd-change rebalance lint docs audit fuzz \
	fuzz-keep

help: ## list these commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: prepare-build ## the binaries, without optimisation: enough for tests and the demo
	$(CARGO) build --workspace --bins

# the compiler of protobuf, which etcd's client takes
prepare-build:
	@tools/prepare-build.sh protoc

# etcd as well, for the tests of the store in it
prepare-tests:
	@tools/prepare-build.sh protoc etcd

prepare: ## a virtual environment with a real Envoy, and the tools for network namespaces
	@e2e/prepare.sh

test: test-rust test-e2e ## all tests: those in Rust, then those with real Envoys

test-rust: prepare-tests
	$(CARGO) test --workspace

test-e2e: prepare-tests build prepare
	cd e2e && ../$(PYTHON) -m pytest

test-envoys: build prepare ## the tests with real Envoys, on every version of Envoy that is supported
	@for version in $(ENVOY_VERSIONS); do e2e/with_envoy.sh $$version $(ENVOY_TESTS) || exit 1; done

demo: build prepare ## watch real Envoys follow a mesh definition, and a control plane that may die
	@$(PYTHON) e2e/demo.py

bench: prepare-build ## the benchmarks, which take some minutes; docs/benchmarks.md says how to compare
	$(CARGO) bench -p legation-benches

lint: prepare-build ## formatting and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

docs: prepare-build ## the documentation of all crates, warnings denied
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

target/tools/bin/cargo-deny:
	$(CARGO) install --quiet --locked --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny

audit: target/tools/bin/cargo-deny ## licences, sources, bans and, with a network, security advisories of dependencies
	target/tools/bin/cargo-deny check bans licenses sources
	@if target/tools/bin/cargo-deny fetch db >/dev/null 2>&1; then \
		target/tools/bin/cargo-deny check --disable-fetch advisories; \
	else \
		echo "audit: the advisory database cannot be fetched here; advisories were not checked"; \
	fi

target/tools/bin/cargo-fuzz:
	$(CARGO) install --quiet --locked --root target/tools --version $(CARGO_FUZZ_VERSION) cargo-fuzz

FUZZ_RUN = PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) +nightly fuzz run --target-dir target/fuzz
FUZZ_FOUND := target/fuzz/corpus
# where counts of loops make no difference, some hundred inputs reach what any reaches
FUZZ_MERGE := -set_cover_merge=1 -use_counters=0

fuzz: prepare-build target/tools/bin/cargo-fuzz ## fuzz the session and what is decoded, signed, imported or asked for, FUZZ_SECONDS each; takes a nightly toolchain
	@mkdir -p $(FUZZ_FOUND)/session $(FUZZ_FOUND)/decode $(FUZZ_FOUND)/authenticate $(FUZZ_FOUND)/import $(FUZZ_FOUND)/path
	$(FUZZ_RUN) --fuzz-dir actors/fuzz session $(FUZZ_FOUND)/session actors/fuzz/corpus/session -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=2000
	$(FUZZ_RUN) --fuzz-dir engine/fuzz decode $(FUZZ_FOUND)/decode engine/fuzz/corpus/decode -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=4000
	$(FUZZ_RUN) --fuzz-dir engine/fuzz authenticate $(FUZZ_FOUND)/authenticate engine/fuzz/corpus/authenticate -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=4000
	$(FUZZ_RUN) --fuzz-dir engine/fuzz import $(FUZZ_FOUND)/import engine/fuzz/corpus/import -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=8000 -only_ascii=1
	$(FUZZ_RUN) --fuzz-dir engine/fuzz path $(FUZZ_FOUND)/path engine/fuzz/corpus/path -- \
		-max_total_time=$(FUZZ_SECONDS) -max_len=2000

fuzz-keep: prepare-build target/tools/bin/cargo-fuzz ## add what fuzzing has found to the corpora, which every test run checks
	$(FUZZ_RUN) --fuzz-dir actors/fuzz session actors/fuzz/corpus/session $(FUZZ_FOUND)/session -- $(FUZZ_MERGE)
	$(FUZZ_RUN) --fuzz-dir engine/fuzz decode engine/fuzz/corpus/decode $(FUZZ_FOUND)/decode -- $(FUZZ_MERGE)
	$(FUZZ_RUN) --fuzz-dir engine/fuzz authenticate engine/fuzz/corpus/authenticate $(FUZZ_FOUND)/authenticate -- $(FUZZ_MERGE)
	$(FUZZ_RUN) --fuzz-dir engine/fuzz import engine/fuzz/corpus/import $(FUZZ_FOUND)/import -- $(FUZZ_MERGE)
	$(FUZZ_RUN) --fuzz-dir engine/fuzz path engine/fuzz/corpus/path $(FUZZ_FOUND)/path -- $(FUZZ_MERGE)

LOADTEST := target/release/legation-loadtest
# what make load runs: a scenario of legation-loadtest with its flags
SCENARIO ?= hot-change --pin
# more flags of legation-loadtest compare, and of etcd-change: --store-in /dev/shm leaves the disk out
COMPARE ?=
ETCD_CHANGE ?=

$(LOADTEST): loadtest-build
loadtest-build: prepare-build
	$(CARGO) build --release -p legation -p legation-loadtest

load: $(LOADTEST) ## put a thousand simulated Envoys on a host; SCENARIO says what happens (docs/loadtest.md)
	$(LOADTEST) $(SCENARIO)

compare: $(LOADTEST) peers ## Legation beside servers without logic and go-control-plane, into docs/performance.md; takes Go
	$(LOADTEST) compare --pin --store-in /dev/shm --check loadtest/budgets.toml --markdown docs/performance.md --html target/compare.html \
		--json target/compare.json $(COMPARE)

etcd-change: $(LOADTEST) ## a change over etcd beside etcd's own put, into docs/performance.md; installs etcd
	@tools/prepare-build.sh etcd
	$(LOADTEST) etcd-change --markdown docs/performance.md --html target/etcd-change.html --json target/etcd-change.json $(ETCD_CHANGE)

rebalance: $(LOADTEST) ## simulate how a fleet reconnects over many hosts, into docs/scaling.md
	@# a million Envoys, looked at in no order: huge pages take a fifth off
	_RJEM_MALLOC_CONF=thp:always $(LOADTEST) rebalance --markdown docs/scaling.md --html target/rebalance.html --json target/rebalance.json

# Go is needed for nothing else
go:
	@command -v $(GO) >/dev/null || { echo "peers: there is no $(GO): install Go 1.26 or newer (https://go.dev/dl), or run make with GO=/path/to/go" >&2; exit 1; }

peers: go ## the go-control-plane server to compare with, in target/peers; takes Go
	$(PEERS_GO) build -trimpath -o $(CURDIR)/target/peers/legation-peer .

test-peers: go ## what must hold for benches/peers: format, go vet, tests; takes Go
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l benches/peers) && test -z "$$unformatted" || \
		{ echo "not formatted: $$unformatted" >&2; exit 1; }
	$(PEERS_GO) vet ./...
	$(PEERS_GO) test ./...
