# The only list of commands; CI calls it. `make help` shows it.

LAB      ?= anycast-metallb
LEAF     ?= leaf1
RUN      ?= target/lab/$(LAB)
PACKAGES  = build-essential cmake pkg-config libpcre2-dev git libfaketime
CROSS     = gcc-aarch64-linux-gnu musl-tools
TARGETS   = x86_64-unknown-linux-musl aarch64-unknown-linux-musl

.PHONY: help deps deps-release build demo lab cli test lint bench release

help: ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Installs what a build needs, or says the apt line.
	@packaging/need-packages $(PACKAGES)

deps-release: deps
	@packaging/need-packages $(CROSS)
	@for target in $(TARGETS); do \
		rustup target list --installed | grep -qx $$target || rustup target add $$target || exit 1; \
	done

build: deps
	@cargo build --workspace --bins

demo: build ## The anycast lab on emulated leaves: runs, breaks, heals, ends by itself.
	@target/debug/srl-sim demo lab/$(LAB)

lab: build ## The same lab, left running until Ctrl-C.
	@target/debug/srl-sim up lab/$(LAB) --run $(RUN)

cli: ## A CLI prompt on a leaf of the running lab: make cli LEAF=leaf4.
	@target/debug/srl-sim cli --run $(RUN) $(LEAF)

test: deps ## All tests.
	cargo test --workspace

lint: deps ## Format, clippy, documentation, YANG.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

bench: deps ## Measures the budgets; the figures stand in docs/performance.md.
	cargo bench --bench budgets

release: deps-release ## Static binaries in dist/.
	@mkdir -p dist
	@for target in $(TARGETS); do \
		cargo build --release --bin k8s-services --target $$target || exit 1; \
		cp target/$$target/release/k8s-services dist/k8s-services-$${target%%-*} || exit 1; \
	done
	@ls -l dist/k8s-services-*
