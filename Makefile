# sun4v: `make` builds, `make test` proves. `make help` lists the rest.
#
# Needs: python3 (3.11 or later) with venv and headers, a C compiler, make. No root.
# Debian: apt-get install python3-venv python3-dev gcc make

PYTHON ?= python3
VENV   ?= .venv
PY      = $(VENV)/bin/python
READY   = $(VENV)/.ready
# How many processes compile and run tests at once: S4V_JOBS, or else the processors, at most four. One: no workers.
S4V_JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -lt 4 ] && echo $$n || echo 4)
export S4V_JOBS
WORKERS  = $(if $(filter-out 0 1,$(S4V_JOBS)),$(shell $(PY) -c 'import xdist' 2>/dev/null && printf -- '-n %s' $(S4V_JOBS)))
PYTEST   = $(PY) -m pytest $(WORKERS)
PYTEST_ARGS ?=
BENCH_ARGS ?=
LINUX_BENCH_ARGS ?=

# A development build: our warnings are errors.
export S4V_WERROR ?= 1

SANITIZE     = address,undefined
SAN_LIB      = build/sanitize
# Tests that drive the whole core; those of its parts build C programs with sanitizers of their own.
SAN_TESTS    = $(wildcard tests/unit/test_loader.py tests/unit/test_machine*.py tests/unit/test_strand*.py \
                 tests/cli/test_md.py tests/cli/test_run.py tests/cli/test_run_state.py tests/isa tests/hcall tests/firmware tests/fuzz \
                 tests/devices/test_hostile_bounds.py tests/devices/test_vnet_lane.py tests/devices/test_units_disks.py \
                 tests/stream/test_stream_presence.py tests/server/test_handed_memory.py)
# Found by the compiler, so that it fits the compiler that built the core. ${CC:-cc} as in emulator/_build_core.py.
SAN_PRELOAD  = $$($${CC:-cc} -print-file-name=libasan.so) $$($${CC:-cc} -print-file-name=libubsan.so)

# What `make coverage` runs: the parts, without whole rooms and without Linux.
COVER_TESTS  = $(wildcard tests/unit/test_machine*.py tests/unit/test_strand*.py tests/unit/test_engine*.py tests/isa/test_engine*.py \
                 tests/hcall tests/firmware tests/cli tests/devices tests/planner tests/migration/test_rules*.py \
                 tests/migrator/test_migrator_moves.py tests/services tests/vntsd tests/stream/test_stream_worker.py)

.DEFAULT_GOAL = build
DEMO_ARGS ?=
DEVICES_BENCH_ARGS ?=
STREAM_BENCH_ARGS ?=
MIGRATION_BENCH_ARGS ?=
ENGINE_COST_ARGS ?=
LOCKSTEP_ARGS ?=

.PHONY: build demo test check bench bench-cost bench-devices bench-linux bench-migration bench-room bench-stream coverage linux images lockstep mutate sanitize clean distclean help lint types

## build (default): virtual environment in .venv, the package in development mode, the C core
build: $(READY)
	$(PY) -W ignore setup.py -q build_ext --inplace

$(READY): pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "make: no venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PY) -m pip install -q --disable-pip-version-check setuptools wheel 'cffi>=1.15'
	$(PY) -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[dev]'
	$(PY) -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[oracle,plot]' || \
	  echo "make: gmpy2, cryptography or matplotlib could not be installed; the tests that need them will be skipped"
	touch $@

## demo: a running domain moves from a T4 to a T5 and back, and nothing is lost (DEMO_ARGS=--json and others)
demo: build
	$(PY) -m emulator.cli demo $(DEMO_ARGS)

## test: every test that can run on this machine; the others are skipped with their reason
test: build
	$(PYTEST) tests $(PYTEST_ARGS)

## check: ruff, mypy, layer and style rules, fast tests (about two minutes)
check: lint types
	$(PYTEST) -q -m "not slow" $(wildcard tests/tidy tests/unit tests/hcall tests/firmware tests/cli) $(PYTEST_ARGS)

lint: build
	$(VENV)/bin/ruff check .

types: build
	$(VENV)/bin/mypy

## bench: guest MIPS of our engine, qemu and native code, in one interleaved run; then Linux and its devices, where it is
##        built; then rooms and the transfer engine
bench: build
	$(PY) tests/benchmarks/bench.py $(BENCH_ARGS)
	@if images/linux/build --find >/dev/null 2>&1; then $(PY) tests/benchmarks/linux_bench.py $(LINUX_BENCH_ARGS); \
	else echo "make: no figures from inside Linux: there is no Linux guest yet (make linux)"; fi
	@if images/linux/build --find >/dev/null 2>&1; then $(PY) tests/benchmarks/devices.py $(DEVICES_BENCH_ARGS); fi
	$(PY) tests/benchmarks/room.py $(ROOM_BENCH_ARGS)
	$(PY) tests/benchmarks/stream.py $(STREAM_BENCH_ARGS)

## bench-cost: what instruction counting, dirty marking, a migration's rounds and translation cost
bench-cost: build
	$(PY) tests/benchmarks/cost.py $(BENCH_ARGS)
	$(PY) tests/benchmarks/engine_cost.py $(ENGINE_COST_ARGS)

## bench-linux: Linux to its shell and programs inside it, beside qemu-system-sparc64 booting the same kernel
bench-linux: build
	$(PY) tests/benchmarks/linux_bench.py $(LINUX_BENCH_ARGS)

## bench-room: bind and start of up to 127 guests, lists of them, a restart of the manager beside them
bench-room: build
	$(PY) tests/benchmarks/room.py $(ROOM_BENCH_ARGS)

## bench-devices: disks and networks of Linux guests, on one machine and on two, beside QEMU's virtio
bench-devices: build
	$(PY) tests/benchmarks/devices.py $(DEVICES_BENCH_ARGS)

## bench-stream: a migration's transfer engine beside bare sockets
bench-stream: build
	$(PY) tests/benchmarks/stream.py $(STREAM_BENCH_ARGS)

## bench-migration: live migrations of Linux beside QEMU's, quick; MIGRATION_BENCH_ARGS=--full for the whole matrix
bench-migration: build
	$(PY) tests/benchmarks/migration.py $(MIGRATION_BENCH_ARGS)

## linux: the Linux guest, from Debian's sources (docs/howto/linux.md); kept in a cache folder
linux:
	images/linux/build

## images: build the guest programs again (needs gcc-sparc64-linux-gnu; built ones are in images/prebuilt)
images:
	$(MAKE) -C images

## sanitize: the core with AddressSanitizer and UndefinedBehaviorSanitizer, under the tests that drive it hardest
sanitize: $(READY)
	S4V_SANITIZE=$(SANITIZE) $(PY) -W ignore setup.py -q build --build-lib $(SAN_LIB)
	env LD_PRELOAD="$(SAN_PRELOAD)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  PYTHONPATH=$(CURDIR)/$(SAN_LIB) S4V_EXPECT_SANITIZER=address \
	  $(VENV)/bin/pytest $(WORKERS) -m "not nosan and not slow" $(SAN_TESTS) $(PYTEST_ARGS)

## coverage: what the quicker tests reach, of the C core (gcov) and of Python; reports in build/coverage
##           (COVERAGE_HTML= leaves out the pages)
COVERAGE_HTML ?= 1
coverage: $(READY)
	rm -rf build/coverage && mkdir -p build/coverage/data
	find build -path 'build/core-coverage/*.gcda' -delete
	env S4V_VARIANT=coverage S4V_WERROR=0 CFLAGS="--coverage -O1 -fprofile-update=atomic" LDFLAGS=--coverage \
	  $(PY) -W ignore setup.py -q build --build-lib build/coverage/lib
	env PYTHONPATH=$(CURDIR)/build/coverage/lib COVERAGE_FILE=$(CURDIR)/build/coverage/data/python \
	  $(VENV)/bin/coverage run $(VENV)/bin/pytest $(WORKERS) -q -m "not slow" -p no:cacheprovider $(COVER_TESTS) $(PYTEST_ARGS) || \
	  echo "make: some tests failed under the instruments; the figures are of what they reached"
	COVERAGE_FILE=build/coverage/data/python $(VENV)/bin/coverage combine -q
	$(VENV)/bin/gcovr --root csrc --object-directory build/core-coverage --exclude csrc/tests --exclude-throw-branches \
	  --gcov-ignore-errors=no_working_dir_found --merge-mode-functions=separate -j $(S4V_JOBS) \
	  --txt build/coverage/core.txt --json-summary build/coverage/core.json \
	  $(if $(COVERAGE_HTML),--html-details build/coverage/core.html)
	$(if $(COVERAGE_HTML),COVERAGE_FILE=build/coverage/data/python $(VENV)/bin/coverage html -q --directory build/coverage/python-html)
	COVERAGE_FILE=build/coverage/data/python $(VENV)/bin/coverage report --sort=cover > build/coverage/python.txt
	@$(PY) -c 'import json; c = json.load(open("build/coverage/core.json")); print("coverage of the C core:", \
	  c["line_percent"], "% of", c["line_total"], "lines,", c["branch_percent"], "% of", c["branch_total"], "branches")'
	@tail -1 build/coverage/python.txt | sed 's/^TOTAL .* /coverage of Python, lines and branches: /'

## mutate: take out marks, barriers, rules and syncs, one by one, and see that tests fail (tests/mutation)
mutate: build
	$(PY) tests/mutation/mutate.py

## lockstep: the translator against the bodies over random programs, for an hour (LOCKSTEP_ARGS="--minutes 5 --seed 7")
lockstep: build
	$(PY) tests/benchmarks/lockstep.py $(LOCKSTEP_ARGS)

## clean: what was built, but not the virtual environment
clean:
	rm -rf build dist *.egg-info emulator/_core_cffi*.so
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

## distclean: clean, and the virtual environment
distclean: clean
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

## help: this list
help:
	@sed -n 's/^## /  make /p' Makefile
