# The thin front: every target says what it does and ends with a result.
# make help lists them.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help setup build demo demo-down test budget simulate fuzz terraform cluster cluster-down cluster-test conformance check advisories bench soak clean-host

HOST   := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
BIN    := $(TARGET)/release
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/underlay

export UNDERLAY_BIN_DIR := $(BIN)
export PYTHON := $(CACHE)/venv/bin/python

help: ## Lists the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## Installs the Debian packages and Python modules that are missing, and says which.
	@scripts/setup

build: setup ## Builds the release programs under target/release.
	@echo "build: release programs into $(BIN) (the first build takes a few minutes)"
	cargo build --release --locked -p underlay-vpc -p underlay -p underlay-e2e
	@# The agent and the plugin have profiles of their own: one is resident, the other exec'd for each pod.
	cargo build --locked --profile agent -p underlay-agent
	@install -m 0755 $(TARGET)/agent/underlay-agent $(BIN)/underlay-agent
	@# The plugin is static. --target keeps its flags off build scripts.
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile plugin -p underlay-cni --target $(HOST)
	@install -m 0755 $(TARGET)/$(HOST)/plugin/underlay-cni $(BIN)/underlay-cni
	@ls -l $(BIN)/underlay-{agent,cni,vpc,e2e} $(BIN)/underlay | awk '{printf "build: %8.1f KiB  %s\n", $$5/1024, $$NF}'

demo: build ## The main job: a VPC, three nodes, 30 pods, security groups. KEEP=1 leaves it running.
	@$(BIN)/underlay-e2e demo $(if $(KEEP),--keep)

demo-down: ## Removes a demo that KEEP=1 left running.
	@$(BIN)/underlay-e2e demo-down

test: build simulate budget ## Every test: unit, property, snapshot, simulation, namespaces, eBPF, containerd end to end.
	cargo test --workspace --locked

budget: build ## Fails if the plugin has more instructions or bytes than testing/e2e/plugin-budget.json says.
	@$(BIN)/underlay-e2e plugin-budget

# How many, and from which seed on.
SCHEDULES ?= 100000
FROM      ?= 1

simulate: ## Lives of a node in simulated time, with faults and crashes. SCHEDULES=100000 FROM=1
	cargo build --release --locked -p underlay-sim
	@$(BIN)/underlay-sim --schedules $(SCHEDULES) --from $(FROM) --threads $$(nproc)

# How long each target runs; one target alone: TARGETS=journal.
SECONDS ?= 60

fuzz: ## Looks for bytes from outside that break something. SECONDS=60 for each target.
	@scripts/fuzz $(SECONDS) $(TARGETS)

terraform: build ## Terraform against the local VPC; builds it and its AWS provider from source first, once.
	@scripts/terraform

# Everything of a cluster: what it is built from, and how its Services are carried out.
PROXY   ?= nftables
CLUSTER  = scripts/setup cluster && programs=$$(scripts/cluster-build) && $(BIN)/underlay-e2e cluster
OPTIONS  = --programs "$$programs" --proxy $(PROXY)

cluster: build ## Kubernetes on the local VPC; built from source first, once. PROXY=iptables for that mode.
	@$(CLUSTER) up $(OPTIONS)

cluster-down: ## Removes the cluster of make cluster.
	@$(BIN)/underlay-e2e cluster down

cluster-test: build ## Pods, Services, host ports, groups and the death of an agent, in a cluster of its own.
	@$(CLUSTER) test $(OPTIONS) $(if $(KEEP),--keep)

conformance: build ## Upstream's 47 conformance specs of networking. KILL=1: an agent dies every 5 s.
	@$(CLUSTER) conformance $(OPTIONS) $(if $(KEEP),--keep) $(if $(KILL),--kill) \
	  --log $(TARGET)/conformance-$(PROXY)$(if $(KILL),-kill).log $(if $(FOCUS),--focus '$(FOCUS)')

check: ## Formatting, layers, lints, docs, licences, bans and sources.
	@scripts/check

advisories: ## Known vulnerabilities of dependencies; needs the advisory database from the network.
	@scripts/cargo-deny check advisories

bench: build ## Measures against a floor and a peer; writes target/bench.json. QUICK=1 for a short run.
	@# The floor of the plugin's rows is built as the plugin is.
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile plugin -p underlay-floor --target $(HOST)
	@install -m 0755 $(TARGET)/$(HOST)/plugin/underlay-floor{,-shim} $(BIN)/
	@UNDERLAY_PEERS=$$(scripts/peers) $(BIN)/underlay-e2e bench --json $(TARGET)/bench.json $(if $(QUICK),--quick)

# ADDs, each with its DEL.
ROUNDS ?= 100000

soak: build ## Fails if the agent holds more after many ADDs and DELs than before. ROUNDS=100000
	@$(BIN)/underlay-e2e soak --rounds $(ROUNDS)

clean-host: ## Removes every namespace, link, process and mount of ours, and nothing else.
	@if [ -x $(BIN)/underlay-vpc ]; then $(BIN)/underlay-vpc clean --all; \
	elif [ -d /run/underlay-vpc ]; then echo "clean-host: $(BIN)/underlay-vpc is missing; run 'make build' first" >&2; exit 1; \
	else echo "clean-host: nothing of ours on this host"; fi
