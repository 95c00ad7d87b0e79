# Nacelle. `make demo` runs a container in a microVM; `make test` runs all tests. Both install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
JOBS ?= 2
STAGE := .build/nacelle

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dependencies
dependencies:
	@scripts/install-dependencies build kernel testbed test

.PHONY: kernel
kernel: dependencies ## build the guest kernel (cached by the hash of its inputs)
	@mkdir -p $(STAGE)/guest
	@ln -sf "$$(kernel-config/build)" $(STAGE)/guest/vmlinux

.PHONY: guest
guest: dependencies ## build the guest's root image
	@mkdir -p $(STAGE)/guest
	@scripts/build-guest-image $(STAGE)/guest/root.erofs

.PHONY: build
build: dependencies ## build the host's programs
	@mkdir -p $(STAGE)
	@for program in nacelle-oci nacelle-vmm nacelle-init nacelle; do swift build -c release -j $(JOBS) --product $$program; done
	@for program in nacelle-oci nacelle-vmm nacelle-init nacelle; do \
	  strip -o $(STAGE)/$$program.new .build/release/$$program && mv $(STAGE)/$$program.new $(STAGE)/$$program; done

.PHONY: all
all: kernel build guest ## everything that a machine needs, in .build/nacelle

.PHONY: demo
demo: all ## run an image in a microVM, and again by way of a registry
	@scripts/demo $(STAGE)

.PHONY: test
test: all ## run all tests
	@scripts/test $(STAGE)

.PHONY: fuzz
fuzz: dependencies ## feed the parsers a million inputs each (COUNT=, SEED=)
	@scripts/fuzz $(or $(COUNT),1000000) $(or $(SEED),1)

.PHONY: bench
bench: all ## measure starts, memory, pulls, warm runs, beside runc, crun, QEMU, skopeo, umoci and podman
	@scripts/install-dependencies bench test
	@scripts/bench $(STAGE)
	@bench/images $(STAGE) .build/bench-images.json

.PHONY: check
check: ## check imports, bans and scripts
	@scripts/check

PREFIX ?= /usr/local
.PHONY: install
install: all ## install below PREFIX, with manual pages and completions
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/nacelle/guest
	install -m 755 $(STAGE)/nacelle $(STAGE)/nacelle-oci $(DESTDIR)$(PREFIX)/bin/
	ln -sf nacelle-oci $(DESTDIR)$(PREFIX)/bin/nacelle-oci-namespace
	install -m 755 $(STAGE)/nacelle-vmm $(STAGE)/nacelle-init $(DESTDIR)$(PREFIX)/libexec/nacelle/
	install -m 644 $(STAGE)/guest/vmlinux $(STAGE)/guest/root.erofs $(DESTDIR)$(PREFIX)/libexec/nacelle/guest/
	@share=$(DESTDIR)$(PREFIX)/share; install -d $$share/bash-completion/completions $$share/zsh/site-functions $$share/fish/vendor_completions.d; \
	for program in nacelle nacelle-oci; do scripts/manual $(STAGE)/$$program $$share/man/man1; done; \
	$(STAGE)/nacelle --generate-completion-script bash >$$share/bash-completion/completions/nacelle; \
	$(STAGE)/nacelle --generate-completion-script zsh >$$share/zsh/site-functions/_nacelle; \
	$(STAGE)/nacelle --generate-completion-script fish >$$share/fish/vendor_completions.d/nacelle.fish

.PHONY: clean
clean: ## remove what was built here (the cache of kernels stays)
	rm -rf .build guest-agent/.build
