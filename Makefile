# Every target does its own set-up. `make test` is what continuous integration runs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO ?= go
FUZZTIME ?= 10s

.PHONY: build test test-unit test-race test-fuzz test-e2e test-long bench lint demo

build:
	$(GO) build -trimpath -ldflags "-s -w" -o bin/sallyport ./cmd/sallyport

demo:
	$(GO) run ./cmd/sallyport demo

# Everything, with the race detector, fuzzers for $(FUZZTIME) each and the built binary against
# real servers. 20 minutes at most on two cores.
test: lint test-race test-fuzz test-e2e

# Needs nothing installed; 3 minutes at most.
test-unit:
	$(GO) test ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) mod tidy -diff
	cd e2e && $(GO) vet ./...
	cd bench && $(GO) vet ./...

# What says that it is absurd under the race detector has a build tag !race; it runs without.
test-race:
	$(GO) test -race -timeout 15m ./...
	cd bench && $(GO) test -race ./...
	$(GO) test -timeout 10m $$(grep -rl --include='*_test.go' '^//go:build !race' . | xargs -r -n1 dirname | sort -u)

test-fuzz:
	@scripts/fuzz.sh $(FUZZTIME)

test-e2e:
	e2e/setup.sh
	cd e2e && $(GO) test -race -timeout 20m ./...

test-long:
	$(MAKE) test FUZZTIME=60s

bench:
	cd bench && $(GO) run .
