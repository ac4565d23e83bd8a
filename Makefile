# ngmq. `make run` and `make test` work from nothing but make, git and Go on Debian 12 and newer.
#
# Variables: ARGS (run), FUZZTIME (fuzz, per target: 30s, 5m; unset: 10 minutes in all), COUNT (bench repetitions),
# RUN (a test name pattern), REPEATS, ROWS, PEERS and IDLE (bench-peers: rounds, row numbers, servers, connections of the
# idle rows), MANY (bench-many: connections), DURATION, CLIENTS, SEED and SOAK (soak: time, clients, what they do, flags),
# SYSTEM_LIBS (1: the system's OpenSSL and ngtcp2 or failure; 0: the pinned copy; unset: the system's if new enough),
# THIRD_PARTY_CACHE (a folder of release tarballs to look in first), OPENSSL_VERSION and NGTCP2_VERSION (another version
# than the pinned one: third_party/pins.other has them), LDFLAGS (build: further flags of go's linker).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COUNT    ?= 6
REPEATS  ?= 5
ROWS     ?=
PEERS    ?=
IDLE     ?= 5000
MANY     ?= 20000
DURATION ?= 10m
CLIENTS  ?= 2000
SEED     ?= 1
SOAK     ?=
RUN      ?= .

# Every Go command that may compile C runs with the native libraries in sight.
NATIVE := . ./third_party/build/env.sh &&
# Go modules besides the root one: tools, checks, interop, benchmarks.
MODULES = $(shell find * -name go.mod -not -path 'third_party/*' -not -path go.mod -printf '%h\n' | sort)
# Packages that run C, or that lend it memory.
C_PACKAGES := ./crypto/... ./ngtcp2/...
STATICCHECK := $(CURDIR)/bin/tools/staticcheck
# The build without QUIC: what the tag changes.
NOQUIC := CGO_ENABLED=0 GOFLAGS="$${GOFLAGS:-} -tags=noquic"
NOQUIC_PACKAGES := ./cmd/... ./server ./server/examples/... ./server/internal/listener/... ./server/internal/conformance ./mqtt/client ./crypto/devcert

.PHONY: help
help: ## what there is (default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { gsub(/[$$][$$]/, "$$", $$2); printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##### build

.PHONY: deps deps-build deps-test deps-check deps-npm deps-wireshark deps-netns
deps: ## install what is missing for all targets (as root; else print the command)
	@scripts/deps.sh build test check
deps-build deps-test deps-check deps-npm deps-wireshark deps-netns: deps-%:
	@scripts/deps.sh $*

.PHONY: native
native: deps-build ## make OpenSSL and ngtcp2 available: the system's or a pinned copy, built once
	@scripts/third_party.sh

.PHONY: env
env: deps-build ## shell exports for plain go commands: eval "$$(make env)"
	@scripts/third_party.sh env

.PHONY: build
build: native ## bin/ngmqd and bin/ngmq
	$(NATIVE) go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o bin/ ./cmd/...
	@scripts/check_binary.sh bin/ngmqd

.PHONY: run
run: build ## build and start the server; flags in ARGS="--quic 127.0.0.1:14567"
	@exec bin/ngmqd $(ARGS)

##### test

.PHONY: test test-root test-noquic test-modules test-outside test-scripts
test: test-scripts test-root test-noquic test-modules interop ## the whole test suite, interop included

test-root: native
	$(NATIVE) go test -timeout 10m -run '$(RUN)' ./...

test-noquic: ## a server and a client without QUIC and cgo, and their tests
	$(NOQUIC) go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/noquic/ ./cmd/...
	$(NOQUIC) go test -timeout 10m -run '$(RUN)' $(NOQUIC_PACKAGES)

test-modules: native deps-test
	@$(NATIVE) for m in $(filter-out scripts/tools scripts/interop scripts/netns,$(MODULES)); do \
	  echo "== $$m"; (cd $$m && go test -timeout 10m ./...); done

test-scripts: deps-build
	@scripts/third_party_test.sh

.PHONY: conformance
conformance: native ## the MQTT 5.0 and 3.1.1 statements, the tests of each, pass or fail, totals
	$(NATIVE) cd server/internal/conformance && go test -count=1 -timeout 5m -run '$(RUN)' -table

.PHONY: interop
# Without package names go test shows the table that the tests print.
interop: build deps-test ## our binaries against QUIC stacks and MQTT clients of others
	$(NATIVE) cd scripts/interop && go test -count=1 -timeout 10m -run '$(RUN)'

.PHONY: interop-quiche
interop-quiche: build deps-npm ## the same with quiche, which npm brings (node 18 or newer)
	$(NATIVE) cd scripts/interop && go test -count=1 -timeout 10m -tags quiche -run TestQuiche

.PHONY: interop-mqttjs
interop-mqttjs: build deps-npm ## the same with MQTT.js over TCP, TLS and WebSocket, which npm brings (node 18 or newer)
	$(NATIVE) cd scripts/interop && go test -count=1 -timeout 10m -tags mqttjs -run TestMQTTJS

.PHONY: test-wireshark
test-wireshark: build deps-wireshark ## tshark decrypts a capture with our key logs (as root)
	@scripts/wireshark_test.sh

.PHONY: test-netns
test-netns: build deps-netns ## our binaries in network namespaces: loss, NAT, MTU, uplinks (as root)
	@$(NATIVE) scripts/netns.sh run -run '$(RUN)'

test-outside: native
	$(NATIVE) cd scripts/outside && go test -count=1 -timeout 10m ./...

.PHONY: test-system test-versions
test-system: ## tests of the root module and of scripts/outside with the libraries of Debian 13 (as root; needs debootstrap)
	@scripts/test_system.sh

test-versions: deps-build ## the same with other versions of the libraries: VERSIONS="3.6.3/1.24.0 ..." (OpenSSL/ngtcp2)
	@scripts/test_versions.sh $(VERSIONS)

.PHONY: soak
soak: build ## clients of all kinds come, go, move and lose packets; every message is counted: DURATION=10m CLIENTS=2000 SEED=1
	@$(NATIVE) cd scripts/soak && go run . -ngmqd ../../bin/ngmqd -duration '$(DURATION)' -clients '$(CLIENTS)' -seed '$(SEED)' $(SOAK)

.PHONY: race
race: native ## all tests under the race detector
	$(NATIVE) go test -race -timeout 15m -run '$(RUN)' ./...

.PHONY: asan
# Debug information stays in, so that reports name functions and lines.
asan: native ## tests of all packages with C under AddressSanitizer, leaks included
	$(NATIVE) CGO_CFLAGS='-g -O1 -fno-omit-frame-pointer' ASAN_OPTIONS=detect_leaks=1:halt_on_error=1 \
	  go test -asan -count=1 -ldflags='-w=0 -s=0 -compressdwarf=0' -timeout 15m -run '$(RUN)' $(C_PACKAGES)

.PHONY: fuzz
fuzz: native ## every fuzz target for FUZZTIME each; without it all of them for 10 minutes in all
	@$(NATIVE) scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: build ## all benchmarks COUNT (6) times, kept in bench.out for benchstat
	@$(NATIVE) scripts/bench.sh $(COUNT) bench.out

.PHONY: bench-peers
bench-peers: build deps-test ## ngmqd beside other servers, as ratios, 12 minutes: ROWS=1,4 REPEATS=5 PEERS=ngmqd-tcp,mosq-tcp, kept in bench-peers.out
	@cd scripts/peers && go run . -rows '$(ROWS)' -repeats '$(REPEATS)' -peers '$(PEERS)' -idle '$(IDLE)' \
	  -ngmqd ../../bin/ngmqd -out ../../bench-peers.out

.PHONY: bench-many
bench-many: build ## MANY (20000) connections come up, idle, ping and go without a leak
	@cd scripts/peers && go run . -rows 5 -repeats 1 -peers ngmqd -many '$(MANY)' -ngmqd ../../bin/ngmqd

.PHONY: cover
cover: native ## statement coverage across packages: cover.out and the total
	$(NATIVE) go test -timeout 10m -coverprofile=cover.out -coverpkg=./... ./...
	@go tool cover -func=cover.out | tail -n 1

.PHONY: test-docker
test-docker: build ## build the Dockerfile's image and test it; without an engine in Debian roots (as root; needs debootstrap)
	@scripts/test_image.sh

##### check

.PHONY: lint lint-format lint-vet lint-rules lint-shell
lint: lint-format lint-vet lint-rules lint-shell ## gofmt, vet, staticcheck, import and size rules, shellcheck

lint-format:
	@bad=$$(find . -name '*.go' -not -path './third_party/*' -print0 | xargs -r0 gofmt -l); \
	[ -z "$$bad" ] || { echo "gofmt would change:"; echo "$$bad"; exit 1; }

lint-vet: native $(STATICCHECK)
	@$(NATIVE) for m in . $(filter-out scripts/tools,$(MODULES)); do \
	  echo "== vet, staticcheck: $$m"; (cd $$m && go vet ./... && $(STATICCHECK) ./...); done
	@echo "== vet: scripts/interop with quiche and MQTT.js"; cd scripts/interop && go vet -tags quiche,mqttjs ./...
	@echo "== vet, staticcheck: without QUIC"; export $(NOQUIC); go vet $(NOQUIC_PACKAGES) && $(STATICCHECK) $(NOQUIC_PACKAGES)

lint-rules:
	@cd scripts/checks && go run . -root ../..

lint-shell: deps-check
	@shellcheck -x .ci/run $$(find scripts -name '*.sh' -not -path 'scripts/third_party/*')

$(STATICCHECK): scripts/tools/go.mod scripts/tools/go.sum
	cd scripts/tools && GOBIN=$(dir $@) go install tool
	@touch $@

.PHONY: tidy-check
tidy-check:
	@for m in . $(MODULES); do (cd $$m && go mod tidy -diff) || { echo "run: (cd $$m && go mod tidy)"; exit 1; }; done

.PHONY: check
check: lint tidy-check race ## lint, go mod tidy -diff, race

.PHONY: clean
clean: ## remove bin, reports and Go test results; the native libraries stay (third_party/build)
	rm -rf bin bench.out bench-peers.out cover.out
	go clean -testcache
