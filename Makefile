# One front door. `make` builds the library and the command line; `make train` runs the main job;
# `make test` passes all tests; `make install PREFIX=... DESTDIR=...` installs like any C library.

PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
INCDIR  ?= $(PREFIX)/include
BINDIR  ?= $(PREFIX)/bin
SHARE   ?= $(PREFIX)/share
SWIFT   ?= swift
PYTHON  ?= python3
OBJCOPY ?= objcopy
DATA    ?=

version_of = $(shell sed -n 's/^\#define TLN_VERSION_$(1) //p' include/twolayernet.h)
MAJOR   := $(call version_of,MAJOR)
VERSION := $(MAJOR).$(call version_of,MINOR).$(call version_of,PATCH)
SONAME  := libtwolayernet.so.$(MAJOR)
LIBRARY := libtwolayernet.so.$(VERSION)

EMBEDDED := .build-embedded/release
ENGINE   := .build-embedded/engine.o
RELEASE  := .build/release
VENV     := .venv

all: lib cli

# ------------------------------------------------------------------ building

# Names the library by what it is made of: a hash of the output would hold paths of this machine, which
# are in the debug information before it is stripped.
BUILD_ID = $(shell { $(SWIFT) --version; cat Package.swift include/*.h; find Sources -type f \
  \( -name '*.swift' -o -name '*.[ch]' -o -name '*.map' -o -name '*.z' \) | LC_ALL=C sort | xargs cat; } 2>/dev/null \
  | sha1sum | cut -d ' ' -f 1)

# The C library, in Embedded Swift: dist/libtwolayernet.so and dist/libtwolayernet.a.
lib: setup
	TLN_EMBEDDED=1 TLN_BUILD_ID=0x$(BUILD_ID) TLN_ENGINE_OBJECT=$(abspath $(ENGINE)) \
	  $(SWIFT) build -c release --product twolayernet --scratch-path .build-embedded \
	  --disable-local-rpath
	mkdir -p dist
	# Renamed into place: a program may be running with the old one.
	strip -o dist/$(LIBRARY).new $(EMBEDDED)/libtwolayernet.so
	mv -f dist/$(LIBRARY).new dist/$(LIBRARY)
	ln -sf $(LIBRARY) dist/$(SONAME)
	ln -sf $(SONAME) dist/libtwolayernet.so
	rm -f dist/libtwolayernet.a
	ld -r --force-group-allocation --gc-sections --wrap=posix_memalign --wrap=free -o dist/twolayernet.o \
	  $(ENGINE) $(EMBEDDED)/*Kernels*.build/*.o $(EMBEDDED)/CSystem.build/*.o \
	  $$(nm -D --defined-only dist/$(LIBRARY) | sed -n 's/.* \(tln_[a-z_]*\).*/-u \1/p')
	$(OBJCOPY) --wildcard --keep-global-symbol='tln_*' --strip-unneeded dist/twolayernet.o
	ar rcs dist/libtwolayernet.a dist/twolayernet.o
	rm dist/twolayernet.o

# The command line, with the Swift runtime inside, so that it runs where no Swift is.
cli: setup
	$(SWIFT) build -c release --product twolayernet --static-swift-stdlib

# A Python wheel with the library inside, for every Python 3 on a Linux whose C library is not older than
# this one's: dist/twolayernet-*-py3-none-manylinux_*.whl. auditwheel finds out what it needs.
wheel: lib $(VENV)/ready
	rm -rf bindings/python/build dist/unaudited dist/*.whl
	$(VENV)/bin/python -m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation \
	  -w dist/unaudited ./bindings/python
	PATH="$(abspath $(VENV))/bin:$$PATH" auditwheel repair -w dist dist/unaudited/*.whl
	rm -rf dist/unaudited bindings/python/build bindings/python/src/*.egg-info
	@ls dist/*.whl

# What a fresh machine lacks: zlib's header and pkg-config, installed if permitted, else named.
setup:
	@Tests/setup.sh system

$(VENV)/ready: Tests/requirements.txt Tests/setup.sh
	Tests/setup.sh python $(PYTHON) $(VENV)

# ------------------------------------------------------------------- running

# Trains on MNIST (found in data/, or downloaded; DATA=directory to use another) and tests the result.
train: cli
	$(RELEASE)/twolayernet train $(if $(DATA),--data $(DATA)) --output mnist.pth
	$(RELEASE)/twolayernet test $(if $(DATA),--data $(DATA)) --model mnist.pth

test: lib cli $(VENV)/ready
	$(VENV)/bin/python Tests/run.py

# Compares fresh runs and files with real PyTorch 2.1.2, in an environment of its own (some GB to
# download). TLN_TEST_SEED=n draws other sizes, options and data.
test-pytorch: lib .venv-pytorch/ready
	.venv-pytorch/bin/python -m pytest -q Tests/PyTorch bindings/python/tests/test_torch.py

.venv-pytorch/ready: Tests/PyTorch/requirements.txt
	$(PYTHON) -m venv .venv-pytorch
	.venv-pytorch/bin/python -m pip install -q -r $<
	touch $@

# All that needs an NVIDIA card, and a report: Tests/Benchmarks/CUDA.md. Without a card it says so and ends.
# MNIST=directory, BENCH_PYTORCH=python that has PyTorch for CUDA, CUDA_DEVICE=cuda:1. Some minutes, half of
# them PyTorch's; for a machine without Swift there is cuda-bundle.
test-cuda: lib $(VENV)/ready
	$(VENV)/bin/python Tests/Benchmarks/cuda.py --only-look
	$(SWIFT) test -c release -Xswiftc -enable-testing --filter 'DeviceTests|ArithmeticTests|ConformanceTests'
	$(VENV)/bin/python Tests/Benchmarks/cuda.py $(if $(CUDA_DEVICE),--device $(CUDA_DEVICE)) \
	  $(if $(MNIST),--mnist $(MNIST)) $(if $(BENCH_PYTORCH),--pytorch $(BENCH_PYTORCH))

# The same but the tests in Swift, for a machine that has a card, and of all this only Python with NumPy:
# dist/twolayernet-cuda.tar.gz. There: tar -xzf twolayernet-cuda.tar.gz, and
#     python3 twolayernet-cuda/Tests/Benchmarks/cuda.py [--mnist directory] [--pytorch python3]
cuda-bundle: lib
	tar -czf dist/twolayernet-cuda.tar.gz --transform 's,^,twolayernet-cuda/,S' --exclude __pycache__ \
	  dist/libtwolayernet.so dist/$(SONAME) dist/$(LIBRARY) bindings/python/src Tests/Devices/conformance.py \
	  Tests/Benchmarks/cuda.py Tests/Benchmarks/cuda_torch.py LICENSE

# Whether NVIDIA's assembler takes the PTX in the repository, for old and new cards; and its header the calls
# of the driver.
test-ptx: .venv-cuda/ready
	.venv-cuda/bin/python Tests/Devices/driver_header.py
	.venv-cuda/bin/python Tests/Devices/assemble.py

.venv-cuda/ready: Tests/Devices/requirements.txt
	$(PYTHON) -m venv .venv-cuda
	.venv-cuda/bin/python -m pip install -q -r $<
	touch $@

# Measures beside NumPy, PyTorch, JAX and scikit-learn, which it installs (some GB to download; peers that
# cannot be had are left out). QUICK=1 for a short form, MNIST=directory, BENCH_PYTORCH=python that has it.
bench: lib cli .venv-bench/ready
	$(if $(BENCH_PYTORCH),,-$(MAKE) .venv-pytorch/ready)
	.venv-bench/bin/python Tests/Benchmarks/bench.py $(if $(QUICK),--quick) \
	  $(if $(MNIST),--mnist $(MNIST)) $(if $(BENCH_PYTORCH),--pytorch $(BENCH_PYTORCH))

# Counts instructions, and compares them with the record.
bench-instructions: lib
	$(PYTHON) Tests/Benchmarks/instructions.py

.venv-bench/ready: Tests/Benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -q -r $<
	touch $@

# ----------------------------------------------- what a host can rely on (SECURITY.md)

# Ten times the load of `make test`: a million steps, a hundred thousand networks.
test-load: lib $(VENV)/ready
	TLN_TEST_LOAD=10 $(VENV)/bin/python -m pytest -q Tests/Host

# A process killed a thousand times while it saves.
test-kill: lib $(VENV)/ready
	TLN_TEST_KILLS=1000 $(VENV)/bin/python -m pytest -q Tests/Faults/test_files.py

# Two builds in different directories must give the same bytes.
test-reproducible: setup
	Tests/reproducible.sh .build-reproducible

# Which lines of the engine and the C functions the tests run; unknown gaps are an error.
coverage: setup $(VENV)/ready
	$(VENV)/bin/python Tests/Coverage/coverage.py

# Changes the kernels in COUNT places, one at a time, and shows whether the tests notice.
mutation: setup
	$(PYTHON) Tests/Mutation/mutate.py --count $(or $(COUNT),12) --kernels $(or $(KERNELS),cpu)

# Records the binary interface, if nothing breaks by that.
abi: lib $(VENV)/ready
	$(VENV)/bin/python Tests/ABI/abi.py dist/libtwolayernet.so --record

footprint: lib
	$(PYTHON) Tests/Library/footprint.py dist/libtwolayernet.so

# -------------------------------------------------- faults (Tests/Fuzz, Tests/Sanitizers)

# Each fuzz target for FUZZ_SECONDS (60); TARGETS="idx zip" for some of them.
fuzz: setup
	$(PYTHON) Tests/Fuzz/fuzz.py run $(TARGETS) --seconds $(or $(FUZZ_SECONDS),60)

# The lines of the readers that the inputs found so far reach.
fuzz-coverage: setup
	$(PYTHON) Tests/Fuzz/fuzz.py coverage $(TARGETS)

# The tests under the sanitizers of the Swift toolchain.
test-asan: setup $(VENV)/ready
	$(VENV)/bin/python Tests/Sanitizers/sanitize.py address

test-tsan: setup $(VENV)/ready
	$(VENV)/bin/python Tests/Sanitizers/sanitize.py thread

test-ubsan: setup $(VENV)/ready
	$(VENV)/bin/python Tests/Sanitizers/sanitize.py undefined

# memcheck, helgrind and drd on the library as it is shipped.
test-valgrind: lib $(VENV)/ready
	Tests/setup.sh system valgrind
	$(VENV)/bin/python Tests/Sanitizers/sanitize.py valgrind

# ---------------------------------------------------------------- installing

dist/twolayernet.pc: bindings/c/twolayernet.pc.in include/twolayernet.h FORCE
	mkdir -p dist
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCDIR@|$(INCDIR)|' \
	  -e 's|@VERSION@|$(VERSION)|' $< > $@

dist/twolayernetConfigVersion.cmake: bindings/c/twolayernetConfigVersion.cmake.in FORCE
	mkdir -p dist
	sed -e 's|@VERSION@|$(VERSION)|' -e 's|@MAJOR@|$(MAJOR)|' $< > $@

# What the program says about itself, for man and for the shells.
documentation: cli
	mkdir -p dist
	$(RELEASE)/twolayernet --experimental-dump-help \
	  | $(PYTHON) Sources/CommandLineTool/manual.py $(VERSION) > dist/twolayernet.1
	for shell in bash zsh fish; do \
	  $(RELEASE)/twolayernet --generate-completion-script $$shell > dist/completions.$$shell || exit 1; \
	done

install: all documentation dist/twolayernet.pc dist/twolayernetConfigVersion.cmake
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/twolayernet \
	  $(DESTDIR)$(INCDIR) $(DESTDIR)$(BINDIR)
	install -m 755 dist/$(LIBRARY) $(DESTDIR)$(LIBDIR)/$(LIBRARY)
	ln -sf $(LIBRARY) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libtwolayernet.so
	install -m 644 dist/libtwolayernet.a $(DESTDIR)$(LIBDIR)/libtwolayernet.a
	install -m 644 include/twolayernet.h $(DESTDIR)$(INCDIR)/twolayernet.h
	install -m 644 dist/twolayernet.pc $(DESTDIR)$(LIBDIR)/pkgconfig/twolayernet.pc
	install -m 644 bindings/c/twolayernetConfig.cmake dist/twolayernetConfigVersion.cmake \
	  $(DESTDIR)$(LIBDIR)/cmake/twolayernet/
	install -m 755 -s $(RELEASE)/twolayernet $(DESTDIR)$(BINDIR)/twolayernet
	install -D -m 644 dist/twolayernet.1 $(DESTDIR)$(SHARE)/man/man1/twolayernet.1
	install -D -m 644 dist/completions.bash $(DESTDIR)$(SHARE)/bash-completion/completions/twolayernet
	install -D -m 644 dist/completions.zsh $(DESTDIR)$(SHARE)/zsh/site-functions/_twolayernet
	install -D -m 644 dist/completions.fish $(DESTDIR)$(SHARE)/fish/vendor_completions.d/twolayernet.fish

uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/libtwolayernet.so $(DESTDIR)$(LIBDIR)/$(SONAME) \
	  $(DESTDIR)$(LIBDIR)/$(LIBRARY) $(DESTDIR)$(LIBDIR)/libtwolayernet.a \
	  $(DESTDIR)$(INCDIR)/twolayernet.h $(DESTDIR)$(LIBDIR)/pkgconfig/twolayernet.pc \
	  $(DESTDIR)$(BINDIR)/twolayernet $(DESTDIR)$(SHARE)/man/man1/twolayernet.1 \
	  $(DESTDIR)$(SHARE)/bash-completion/completions/twolayernet \
	  $(DESTDIR)$(SHARE)/zsh/site-functions/_twolayernet \
	  $(DESTDIR)$(SHARE)/fish/vendor_completions.d/twolayernet.fish
	rm -rf $(DESTDIR)$(LIBDIR)/cmake/twolayernet

clean:
	rm -rf .build .build-embedded .build-fuzz .build-address .build-thread .build-undefined \
	  dist $(VENV) .venv-bench .venv-cuda .venv-pytorch

FORCE:
.PHONY: all lib cli wheel setup train test test-cuda cuda-bundle test-ptx test-load test-kill test-reproducible test-pytorch coverage \
  mutation abi footprint fuzz fuzz-coverage test-asan test-tsan test-ubsan test-valgrind \
  bench bench-instructions documentation install uninstall clean FORCE
