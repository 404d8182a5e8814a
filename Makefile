# Agora. `make help` lists the targets.
export CGO_ENABLED := 0
export DEBIAN_FRONTEND := noninteractive
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin/agora
SEEDS   ?= 2000
OPS     ?= 1000000
BENCH   ?= P1 P2 P5 P6 P7 launch peers F14 P8 recovery past P9 P10 checks
FUZZTIME ?= 10s

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: build
build: ## build the static binary bin/agora
	@mkdir -p bin
	@$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/agora

.PHONY: run
run: build ## start a cluster on this machine with the demo on it; Ctrl-C ends it
	./$(BIN) dev --demo $(ARGS)

.PHONY: test
test: test-deps lint build ## everything: lint, unit, scripts, simulation, real containers, the VM
	$(GO) test -timeout 14m ./...
	$(GO) run ./cmd/agora-sim -first 1 -seeds $(SEEDS)
	$(MAKE) test-vm

.PHONY: test-deps
test-deps: ## install what the tests need from Debian's packages
	@test/deps.sh

.PHONY: lint
lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted; run gofmt -w" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck $$($(GO) list ./... | grep -v '/api/mesos\|/api/agora')

.PHONY: generate
generate: ## regenerate the Go code of the .proto files
	$(GO) run -C tools ./protogen

.PHONY: sim
sim: ## simulated clusters in virtual time, from fresh seeds; SEEDS=10000 for more
	$(GO) run ./cmd/agora-sim -seeds $(SEEDS)

.PHONY: model
model: ## the allocator against a plain model of its rules, OPS=1000000 random commands
	$(GO) test ./master/allocator -run PlainRules -ops $(OPS) -timeout 60m -v

.PHONY: bench
bench: build ## the budgets, one JSON line a figure; BENCH='P2 P7' for some
	@$(GO) run ./test/bench $(BENCH)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@test/fuzz.sh $(FUZZTIME)

.PHONY: test-vm
test-vm: ## the container tests once more, on cgroup v2, in a QEMU guest
	@test/vm/run.sh

.PHONY: clients
clients: ## public clients that this project did not write, unchanged; fetches Go modules and npm packages
	$(GO) test -tags clients -run 'UnchangedClient|MesosGo' -timeout 14m -v ./test/e2e

.PHONY: clean
clean: ## remove what the build made
	rm -rf bin .cache
