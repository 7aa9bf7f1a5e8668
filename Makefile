# kcap: everything that people and CI run. `make ci` is what CI runs.

CARGO ?= cargo
# Findings, tables and limits, shown on the bundled samples.
DEMO := svc004-policy-drop ovl001-one-way healthy-any-interface

# How long `make fuzz` tries each target.
SECONDS_EACH ?= 60

.PHONY: demo test e2e loss lint ci bench audit icount agent fuzz

# Builds kcap and shows its report on three bundled samples.
demo:
	@tests/setup.sh build
	$(CARGO) build --release -p kcap
	@set -e; for case in $(DEMO); do \
	    files=$$(find samples/cases/$$case -name '*.pcap*' | sort); \
	    printf '\n$$ kcap analyze %s\n\n' "$$(echo $$files)"; \
	    target/release/kcap analyze $$files; \
	done

# Passes all tests. KCAP_CAPTURES may name a folder of further captures.
test:
	@tests/setup.sh test
	$(CARGO) test --workspace --no-fail-fast

# Captures on the nodes of a real Kubernetes, which it builds once and starts. Needs root and Go.
e2e:
	@tests/setup.sh e2e
	@tests/cluster/cluster build
	$(CARGO) build -p kcap -p kcap-report
	KCAP_E2E=1 $(CARGO) test -p kcap-tests --test e2e -- --nocapture

# Packets lost and processor time taken by a capture, against tcpdump with the same ring; needs root.
loss:
	@tests/setup.sh test
	$(CARGO) build --release -p kcap-agent -p kcap-node --bin kcap-agent --example loss
	target/release/examples/loss target/release/kcap-agent

lint:
	@tests/setup.sh build
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO) check -p kcap --no-default-features --quiet
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --locked --quiet
	$(CARGO) deny check bans licenses sources

ci: lint test

# Builds kcap-agent as one static file.
agent:
	@capture/agent/static.sh

# Measures kcap against other tools in one run and records it under benches/runs.
bench:
	@tests/setup.sh bench
	$(CARGO) build --release -p kcap -p kcap-benches
	target/release/bench

# Instructions a packet, which no noise moves; fails where they grew past the baseline.
icount:
	@tests/setup.sh bench
	$(CARGO) build --release -p kcap -p kcap-benches
	target/release/icount

# Feeds mutated bytes to what reads strangers' files; fails on a panic, an overflow, a hang or too much memory.
fuzz:
	@tests/setup.sh fuzz
	@tests/fuzz/fuzz.sh $(SECONDS_EACH)

# Known vulnerabilities of dependencies; needs the network.
audit:
	@$(CARGO) deny check advisories || { echo "audit: see above; no answer from the network is no clean bill" >&2; exit 1; }
