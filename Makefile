# Targets of a checkout; `make` alone lists them. They need only make, a C compiler, a package index and python3 with
# venv. Each target makes the virtual environment it uses, once.
#
# Variables: PYTHON=python3.13 takes another interpreter (give it a VENV of its own);
#            VENV=/tmp/venv puts the environments elsewhere;
#            COPY=/tmp/copy is where a read-only checkout is copied to, and used;
#            FUZZ_SECONDS=600 fuzzes each reader for longer;
#            DEMO, TESTS, BENCH, SOAK are further arguments: make demo DEMO='--seconds 30', make test TESTS='-k spool'

PYTHON ?= python3
VENV ?= .venv
WORKERS = 2  # the queues of three came near RLIMIT_MSGQUEUE, which counts for all of a user's
BASEPLATE = $(VENV)-baseplate
PEERS = $(VENV)-peers
STATSD = $(VENV)-statsd
COPY ?= $(HOME)/.cache/eventpub/checkout

.DEFAULT_GOAL := help
.PHONY: help demo test test-engines test-deploy test-page test-watched simulate soak lint bench docs fuzz wheel-check copy clean

ifneq ($(shell test -w . && echo writable),writable)

# A read-only checkout: pip and pytest write beside what they read, so a copy of it is used.
demo test test-engines test-deploy test-page test-watched simulate soak lint bench docs fuzz wheel-check: copy
	@echo "$(CURDIR) is read-only; using a copy, $(COPY)"
	@$(MAKE) --no-print-directory -C $(COPY) $@

else

demo: $(VENV)/installed-core  ## watch real events go from request handlers to a store (15 s)
	@$(VENV)/bin/python deploy/demo/run.py $(DEMO)

test: $(VENV)/installed  ## run the tests, against baseplate too where it can be installed
	@$(MAKE) --no-print-directory $(BASEPLATE)/installed || test -z "$$CI"
	@if [ -e $(BASEPLATE)/installed ]; then export EVENTPUB_BASEPLATE_PYTHON=$(abspath $(BASEPLATE))/bin/python; fi; \
	    $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

test-engines: $(VENV)/installed-engines  ## test the stores on real servers of NATS and PostgreSQL, and Kafka's mock
	@$(VENV)/bin/python -m pytest tests/engines $(TESTS)

test-deploy: $(VENV)/installed-deploy $(VENV)/debian.tar  ## follow the pages of deploy/ in containers (root, podman)
	@$(VENV)/bin/python -m pytest tests/deployed $(TESTS)

test-page: $(VENV)/installed-page  ## test the collector's page by clicks in a headless Chromium
	@$(VENV)/bin/python -m pytest tests/page $(TESTS)

test-watched: $(VENV)/installed  ## let a real Prometheus and a real statsd watch a sidecar and a collector
	@$(MAKE) --no-print-directory $(STATSD)/installed || test -z "$$CI"
	@$(VENV)/bin/python -m pytest tests/watched $(TESTS)

soak: $(VENV)/installed  ## kill, break and poison everything at random for five minutes; draw up the books
	@PYTHONPATH=.:tests $(VENV)/bin/python -m system.soak $(SOAK)

lint: $(VENV)/installed-lint  ## check style, format and types
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy --strict tests/typing  # what a user's code gets
	@$(VENV)/bin/mypy --strict deploy/demo deploy/docker docs/examples docs/site.py .ci/wheel_check.py

bench: $(VENV)/installed-engines $(BASEPLATE)/installed $(PEERS)/installed  ## measure, compared with baseplate and others
	@EVENTPUB_BASEPLATE_PYTHON=$(abspath $(BASEPLATE))/bin/python EVENTPUB_PEERS_PYTHON=$(abspath $(PEERS))/bin/python \
	    $(VENV)/bin/python -m benchmarks $(BENCH)

simulate: $(VENV)/installed  ## let 10,000 simulated sidecars through outages, on the real delivery policy (5 min)
	@$(VENV)/bin/python -m benchmarks.simulate $(SIMULATE)

docs: $(VENV)/installed-docs  ## build the documentation as a site into build/site; no warning, no dead link
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict
	@echo "open build/site/index.html; the search needs a server: python3 -m http.server -b 127.0.0.1 -d build/site"

fuzz: $(VENV)/installed-fuzz  ## look for bytes that break a reader (5 times 60 s)
	@PYTHONPATH=.:tests FUZZ_SECONDS=$(FUZZ_SECONDS) $(VENV)/bin/python -m fuzz

wheel-check: $(VENV)/installed-lint  ## build a wheel, install it elsewhere and use it
	@$(VENV)/bin/python .ci/wheel_check.py

endif

# Makes COPY what the checkout is, but for what was installed, built and shown in it; the mark says that it is one.
copy:
	@if [ -n "$$(ls -A $(COPY) 2>/dev/null)" ] && [ ! -e $(COPY)/.copy-of-eventpub ]; then \
	    echo "$(COPY) is not a copy of a checkout; give an empty folder: make COPY=FOLDER"; exit 1; fi
	@mkdir -p $(COPY) && touch $(COPY)/.copy-of-eventpub
	@cd $(COPY) && find . \( -path './.venv*' -o -path ./demo-run \) -prune -o \( -type f -o -type l \) \
	    ! -name '*.so' ! -name .copy-of-eventpub -exec rm -f {} + && find . -type d -empty ! -path './.venv*' -delete
	@tar -cf - --exclude=.git --exclude='.venv*' --exclude='.*_cache' --exclude=demo-run . | tar -xf - -C $(COPY)

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(BASEPLATE) $(PEERS) $(STATSD) build dist demo-run *.egg-info sidecar/*/*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | sort | while IFS="$$(printf '\t')" read -r target does; \
	    do printf '  make %-12s %s\n' "$$target" "$$does"; done

# --- the environments ------------------------------------------------------------------------------------

# $(call install,SECONDS,PIP ARGUMENTS) makes the environment its target stands in; quiet unless it fails
define install
	@echo "installing into $(@D) (once, about $(1) s) …"
	@mkdir -p $(@D)
	@{ $(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --disable-pip-version-check $(2); } \
	    > $@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@
endef

$(VENV)/installed-core: pyproject.toml $(wildcard sidecar/native/*.[ch])
	$(call install,20,-e .)

$(VENV)/installed: $(VENV)/installed-core
	$(call install,60,-e '.[test]')

$(VENV)/installed-engines: $(VENV)/installed
	$(call install,15,-e '.[engines]')

$(VENV)/installed-deploy: $(VENV)/installed
	$(call install,15,-e '.[deploy]')

# the image that deploy/docker builds on; the tests say so where it cannot be made
$(VENV)/debian.tar: | $(VENV)/installed
	@echo "making $@ (once, about 30 s) …"
	@folder=$$(mktemp -d) && debootstrap --variant=minbase trixie $$folder > $@.log 2>&1 \
	    && tar -C $$folder -cf $@ .; rm -rf $$folder

$(VENV)/installed-page: $(VENV)/installed
	$(call install,15,-e '.[page]')

# the tests say so where there is no npm; what only proxies and syslog need is left out
$(STATSD)/installed:
	@echo "installing into $(@D) (once, about 5 s) …"
	@mkdir -p $(@D)
	@npm install --prefix $(@D) --no-save --no-audit --no-fund --omit=optional --ignore-scripts statsd@0.9.0 \
	    > $@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@

$(VENV)/installed-lint: $(VENV)/installed
	$(call install,15,-e '.[lint]')

$(VENV)/installed-docs: $(VENV)/installed-core
	$(call install,15,-e '.[docs]')

# tests/fuzz says so where there is no wheel; to build atheris takes clang and many minutes
$(VENV)/installed-fuzz: $(VENV)/installed
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --only-binary :all: atheris > $@.log 2>&1 \
	    && touch $@ || true

# without dependencies, since the file lists what is needed and baseplate asks for twice as much
$(BASEPLATE)/installed: tests/baseplate-requirements.txt
	$(call install,30,--no-deps -r $<)

$(PEERS)/installed: benchmarks/peers-requirements.txt
	$(call install,10,--no-deps -r $<)
