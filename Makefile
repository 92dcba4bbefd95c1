# The only list of commands; CI calls it. `make help` shows it.

LAB      ?= anycast-metallb
LEAF     ?= leaf1
RUN      ?= target/lab/$(LAB)
# What the emulated switches are: default, or a release that refuses what devices of it do (24.10 ... 26.7, strict).
RELEASE  ?= default
# What else `srl-sim up` is to know: ARGS='--page-port 57580' where a port is taken.
ARGS     ?=
# How long the tests of `make e2e` may take, with their build: a test that hangs is named rather than waited for.
BOUND     = 40m
# Which Kubernetes `make e2e` takes: the newest, or an older one by KUBERNETES=1.27.
KUBERNETES ?=
# Where cargo builds.
TARGET    = $(or $(CARGO_TARGET_DIR),target)
PACKAGES  = build-essential cmake pkg-config libpcre2-dev git
# An empty root to try the package in; Python runs the CLI plugin.
PACKAGING = busybox-static python3
# What else is tested: promtool and smilint check rules and the MIB; MicroPython runs the trap script; libfaketime sets
# the clock of a process.
TOOLS     = smitools libfaketime
# Software that is not ours, which the agent is run against: of the distribution, and built by tests/e2e/peers/need.
PEERS     = frr frr-pythontools iproute2 nftables openssl python3-venv
BUILT     = kubernetes$(if $(KUBERNETES),-$(KUBERNETES)) metallb gnmic fcli bond-app python
CROSS     = gcc-aarch64-linux-gnu libc6-dev-arm64-cross musl-tools
TARGETS   = x86_64-unknown-linux-musl aarch64-unknown-linux-musl

# The binary does not say where it was built.
REMAP     = --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo

# The linker keeps one of several functions that came out the same, and relocations as a bitmap.
SMALLER   = -Clink-arg=--icf=all -Clink-arg=--pack-dyn-relocs=relr

# What lints Python and YANG; from PyPI.
LINTERS   = ruff==0.17.6 pyang==2.7.1
# What makes the site of the documentation; from PyPI. What they depend on is taken as it is there.
SITE      = mkdocs-material==9.8.2 mkdocs==1.6.1
# What stands on the site: the pages, and the files they refer to.
PAGES     = README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs lab yang packaging
# Subcommands of cargo, from crates.io.
DENY      = 0.20.2
FUZZ      = 0.13.2
# Which decoder `make fuzz` feeds; fuzz/Cargo.toml has their names.
DECODER  ?= ndk
# How long `make fuzz` and `make soak` take.
SECONDS  ?=
# How many random event sequences the long properties try.
CASES    ?= 20000
# How many fabrics `make truth` draws, and from which seed on.
FABRICS  ?= 100000
SEED     ?= 1

.PHONY: help deps deps-test deps-release deps-lint docs build demo lab verify-device cli telemetry record-telemetry test truth chaos soak e2e lint \
	deny fuzz coverage mutants bench release package package-check

help: ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Installs what a build needs, or says the apt line.
	@packaging/need-packages $(PACKAGES)

deps-test: deps
	@packaging/need-packages $(PACKAGING) $(TOOLS)
	@packaging/need-micropython target/micropython
	@packaging/need-promtool target/promtool

deps-release: deps
	@packaging/need-packages $(CROSS) $(PACKAGING)
	@for target in $(TARGETS); do \
		rustup target list --installed | grep -qx $$target || rustup target add $$target || exit 1; \
	done

build: deps
	@cargo build --workspace --bins

demo: build ## The anycast lab (LAB=... another, RELEASE=26.7 another switch) on emulated leaves: breaks, heals, ends.
	@$(TARGET)/debug/srl-sim demo lab/$(LAB) --release $(RELEASE)

lab: build ## The same lab, left running until Ctrl-C (ARGS='--page-port 57580' where a port is taken).
	@$(TARGET)/debug/srl-sim up lab/$(LAB) --run $(RUN) --release $(RELEASE) $(ARGS)

verify-device: release build ## The lab's demo on SR Linux containers (containerlab, an image, root); lists where they differ.
	@lab/containerlab/verify-device $(LAB) $(TARGET)/debug/srl-sim

cli: ## A CLI prompt on a leaf of the running lab: make cli LEAF=leaf4.
	@$(TARGET)/debug/srl-sim cli --run $(RUN) $(LEAF)

telemetry: build ## gnmic (GNMIC=...) on the running lab, with the shipped configuration.
	@SRL_SIM=$(TARGET)/debug/srl-sim packaging/telemetry/on-lab $(RUN)

record-telemetry: deps-test ## Records anew what gnmic makes of a broken lab, for the tests of rules and dashboard.
	@tests/e2e/peers/need gnmic
	K8S_SERVICES_RECORD=1 cargo test --workspace --test e2e gnmi::collector

docs: ## The documentation as a site in target/site; fails on a link that leads nowhere.
	@packaging/need-packages python3-venv git
	@[ -e $(TARGET)/mkdocs/$(subst ==,-,$(firstword $(SITE))) ] || { \
		python3 -m venv $(TARGET)/mkdocs && $(TARGET)/mkdocs/bin/pip install --quiet --disable-pip-version-check $(SITE) && \
		touch $(TARGET)/mkdocs/$(subst ==,-,$(firstword $(SITE))); }
	@rm -rf $(TARGET)/site-source && mkdir -p $(TARGET)/site-source
	@git ls-files -z --cached --others --exclude-standard -- $(PAGES) | xargs -0 cp --parents --target-directory=$(TARGET)/site-source
	@NO_MKDOCS_2_WARNING=1 SITE_SOURCE=$(abspath $(TARGET)/site-source) SITE_BUILT=$(abspath $(TARGET)/site) \
		$(TARGET)/mkdocs/bin/python -m mkdocs build --strict --clean
	@echo "open $(TARGET)/site/index.html"

deps-lint: deps
	@packaging/need-packages shellcheck python3-venv
	@[ -e $(TARGET)/lint/$(subst ==,-,$(firstword $(LINTERS))) ] || { \
		python3 -m venv $(TARGET)/lint && $(TARGET)/lint/bin/pip install --quiet --disable-pip-version-check $(LINTERS) && \
		touch $(TARGET)/lint/$(subst ==,-,$(firstword $(LINTERS))); }

test: deps-test ## All tests that are done in minutes.
	cargo test --workspace

truth: deps ## Verdicts held against what packets do, in FABRICS=... drawn from SEED=...
	FABRICS=$(FABRICS) SEED=$(SEED) cargo test --workspace --profile truth --test truth -- --ignored --nocapture

chaos: deps-test ## Everything goes wrong at random on a lab, and CASES=... random event sequences for the engine; takes longer.
	$(if $(CASES),PROPTEST_CASES=$(CASES) cargo test --workspace --profile truth --test engine property)
	cargo test --workspace --test chaos
	cargo test --workspace --test lab -- --ignored

soak: deps ## Ordinary trouble for SECONDS=3600: what the agents keep must not grow.
	SOAK_SECONDS=$(or $(SECONDS),3600) cargo test --release --test chaos soak -- --ignored --nocapture

e2e: deps ## The agent against FRR, Kubernetes and more, in network namespaces; needs root. REQUIRE=1 fails where one is missing.
	@if [ "$$(id -u)" = 0 ]; then packaging/need-packages $(PEERS); fi
	@packaging/need-promtool target/promtool
	-@tests/e2e/peers/need $(BUILT)
	@mkdir -p $(TARGET)
	@K8S_SERVICES_REQUIRE_PEERS=$(REQUIRE) K8S_SERVICES_KUBERNETES=$(KUBERNETES) bash -o pipefail -c \
		'timeout --verbose $(BOUND) cargo test --workspace --test e2e 2>&1 | tee $(TARGET)/e2e.log' || { \
		sed -n 's/^test \(.*\) has been running for over.*/\1/p' $(TARGET)/e2e.log | while read -r test; do \
			grep -qF "test $$test ... " $(TARGET)/e2e.log || echo "e2e: $$test did not end"; \
		done; \
		exit 1; }
	@echo "e2e: $$(grep -c '^skipped: ' $(TARGET)/e2e.log) skipped, $$(grep -c '^not to be had: ' $(TARGET)/e2e.log) not to be had"

lint: deps-lint ## Format, clippy, documentation, YANG, Python, shell scripts.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --test e2e --test chaos -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	shellcheck --shell=sh tests/e2e/guardian.sh
	shellcheck tests/e2e/peers/need
	shellcheck lab/containerlab/start-agent lab/containerlab/give-kubeconfig
	shellcheck packaging/build packaging/need-* packaging/rbac/make-kubeconfig packaging/snmp/traps packaging/snmp/set-enterprise-number .ci/run
	for script in packaging/scripts/p*.sh; do \
		cat packaging/scripts/common.sh $$script | shellcheck --shell=sh - || exit 1; \
	done

	$(TARGET)/lint/bin/pyang --strict --lint --path sim/yang yang/k8s-services.yang
	$(TARGET)/lint/bin/ruff check --quiet

deny: ## Licences, sources, duplicates and advisories of what is linked in; advisories need the network.
	@packaging/need-cargo-tool cargo-deny $(DENY)
	cargo deny check licenses bans sources
	cargo deny check advisories || [ "$(OFFLINE)" = 1 ]

fuzz: deps ## Feeds a decoder (DECODER=ndk, SECONDS=60) with what a fuzzer makes of real messages; needs a nightly Rust.
	@packaging/need-cargo-tool cargo-fuzz $(FUZZ)
	@mkdir -p fuzz/corpus/$(DECODER)
	cargo +nightly fuzz run $(DECODER) fuzz/corpus/$(DECODER) fuzz/seeds/$(DECODER) -- -max_total_time=$(or $(SECONDS),60)

coverage: deps-test ## Lines covered by make test (cargo install cargo-llvm-cov).
	cargo llvm-cov --workspace --html

mutants: deps-test ## Faults put into the engine that no test of it finds (cargo install cargo-mutants).
	cargo mutants --file 'agent/engine/**' --test-package srl-k8s-services -- --lib --test engine

bench: deps ## Measures the budgets; the figures stand in docs/performance.md.
	cargo bench --bench budgets

release: deps-release ## Static binaries in dist/.
	@mkdir -p dist
	@for target in $(TARGETS); do \
		RUSTFLAGS="$(REMAP) $(SMALLER)" cargo build --release --locked --bin k8s-services --target $$target || exit 1; \
		cp $(TARGET)/$$target/release/k8s-services dist/k8s-services-$${target%%-*} || exit 1; \
	done
	@ls -l dist/k8s-services-*

package: release ## The packages and bills of materials of both architectures in dist/, the same bytes from the same commit.
	@for target in $(TARGETS); do \
		packaging/build --arch $${target%%-*} --binary dist/k8s-services-$${target%%-*} --out dist || exit 1; \
	done
	@cd dist && sha256sum -- *.deb *.cdx.json | tee SHA256SUMS

package-check: package ## The packages in dist/, installed, upgraded to, run and removed in an empty root.
	K8S_SERVICES_PACKAGES=dist cargo test --test packaging
