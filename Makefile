# Two commands do all: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
NODE_BIN := $(CURDIR)/test/node/node_modules/.bin
export PATH := $(NODE_BIN):$(PATH)
export EIDER_CORPUS ?= $(abspath $(CURDIR)/../shared/corpus)
GO ?= go
FUZZTIME ?= 10m

.PHONY: run build test test-setup check rules soak fuzz bench gen clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## build and start: embedded store, no configuration
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/eider ./cmd/eider
	exec ./bin/eider $(ARGS)

build: ## the binary, bin/eider
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o bin/eider ./cmd/eider

test: test-setup check ## everything but the long forms
	$(GO) test -race ./internal/... ./eidertest/...
	cd test/embedding && $(GO) test ./...
	$(GO) test -p 1 -timeout 40m ./test/...

test-setup: ## install the Debian and npm packages that the tests use
	@scripts/test-setup

check: ## vet, gofmt, other systems, the rules of the house
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt'ed: $$out"; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/eider
	CGO_ENABLED=0 GOOS=windows $(GO) build -o /dev/null ./cmd/eider
	$(GO) test ./test/rules

soak: test-setup ## the long forms: 200 kills and what else takes long
	EIDER_SOAK=1 $(GO) test -p 1 -timeout 5h -v ./test/...

fuzz: ## every fuzz target for FUZZTIME (default 10m) each
	@scripts/fuzz $(FUZZTIME)

bench: test-setup ## figures beside Mailpit, Dovecot and a bare limit loop
	$(GO) test -count=1 -timeout 2h -v -run 'TestBench' ./test/bench -bench-peers

gen: ## rewrite what is generated: docs/limits.md
	$(GO) test ./test/rules -run TestLimitsDoc -rewrite

clean: ## remove what was built
	rm -rf bin
