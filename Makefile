# prlx.c - PRLx-GAN in plain C (and CUDA, when nvcc is there). `make help` lists the targets.
CC      ?= gcc
AR      ?= ar
BUILD   ?= build
# STATIC=1: one file without any library beside it, with musl where its compiler is, else with the
# C library of CC. Neither is built for this machine alone.
STATIC  ?= 0
ifneq ($(STATIC),0)
MUSL_CC := $(shell command -v musl-gcc)
ifneq ($(filter default undefined file,$(origin CC)),)
CC      := $(if $(MUSL_CC),musl-gcc,$(CC))
endif
override CUDA = 0
LDFLAGS += -static
endif
OPT     ?= -O3
WARN     = -Wall -Wextra -Wno-unused-parameter -Wshadow -Wvla
FPMATH   = -ffp-contract=fast -fno-math-errno -fno-trapping-math
# position independent and hidden by default: the same objects make the program and libprlx.so
SHARED   = -fPIC -fvisibility=hidden
BASE     = -std=gnu11 -D_FILE_OFFSET_BITS=64 $(WARN) $(FPMATH) $(SHARED) -MMD -MP -I. $(EXTRA)
CFLAGS  ?= $(OPT) -g
LDLIBS   = -lm -lpthread
# what the compiler makes, not what runs it
TRIPLE  := $(shell $(CC) -dumpmachine)
MACHINE := $(firstword $(subst -, ,$(TRIPLE)))
ifeq ($(MAKELEVEL),0)
# as many compilers as cores; `make -j1` for one
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

ifneq ($(MACHINE),x86_64)
# GCC 12 takes an address that its loop optimiser wrote as 0 + a + b for a null pointer and leaves
# out the call that writes there (test/cross/null_base.c). Seen on aarch64 only; in the same sources
# it makes no such address for x86-64.
BASE     += -fno-delete-null-pointer-checks
endif
ifeq ($(MACHINE),x86_64)
ISAS      = portable avx2 avx512
ISADEF    = -DPRLX_HAVE_X86_ISAS
else ifeq ($(MACHINE),aarch64)
ISAS      = portable neon
ISADEF    = -DPRLX_HAVE_NEON
else
ISAS      = portable
endif
FLAGS_neon     = -DPRLX_NEON
ifneq ($(findstring mingw,$(TRIPLE))$(findstring windows,$(TRIPLE)),)
# Windows: %zu and %lld as ISO C has them; no library beside the program. GCC does not align the
# stack for AVX there (its bug 54412): the vectors of SSE2.
BASE     += -D__USE_MINGW_ANSI_STDIO=1 -Wno-format
LDLIBS    = -lm -lshell32
LDFLAGS  += -static
ISAS      = portable
ISADEF    =
endif
ifneq ($(filter i386 i486 i586 i686,$(MACHINE)),)
# the registers of the 8087 round otherwise than every other machine, and not always alike
FPMATH   += -msse2 -mfpmath=sse
endif
FLAGS_portable =
FLAGS_avx2     = -mavx2 -mfma
FLAGS_avx512   = -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma \
                 -mprefer-vector-width=512

CORE   := $(wildcard core/*.c)
KERN   := $(wildcard core/kernels/*.c)
LIBSRC := $(CORE) $(wildcard models/*/*.c) $(wildcard io/*/*.c)
TOOLS  := $(wildcard tools/*/*.c) $(wildcard paper/engine/*.c)
# pages, styles, scripts, recipes that the program carries in itself
ASSETS := $(wildcard tools/*/assets/*) paper/recipe.txt paper/scales.tsv paper/PLAN.md
TESTS  := $(patsubst test/test_%.c,$(BUILD)/test_%,$(wildcard test/test_*.c))
F64T   := $(patsubst test/f64_%.c,$(BUILD)/f64_%,$(wildcard test/f64_*.c))

# ---- CUDA: built when nvcc is there; `make CUDA=0` never. One binary per major architecture from
# sm_75 on (a binary runs on every later minor version of its major), and PTX of the newest for what
# comes after this nvcc. CUDA_ARCHS="90" builds for these only, CUDA_ARCHS=all for each one,
# CUDA_ARCHS=native for the GPU of this machine (quickest). ----
NVCC      ?= $(shell command -v nvcc 2>/dev/null || \
               { test -x /usr/local/cuda/bin/nvcc && echo /usr/local/cuda/bin/nvcc; })
CUDA      ?= 1
ifeq ($(NVCC),)
override CUDA = 0
endif
CUDASRC   := $(wildcard cuda/*.cu)
ifneq ($(CUDA),0)
CUDA_KNOWN  := $(shell $(NVCC) --list-gpu-arch 2>/dev/null | \
                 sed -n 's/^compute_\([0-9]*\)$$/\1/p' | sort -n | awk '$$1 >= 75')
CUDA_NEWEST := $(lastword $(CUDA_KNOWN))
CUDA_MAJORS := $(shell printf '%s\n' $(CUDA_KNOWN) | \
                 awk '{m = int($$1 / 10)} m != last {print; last = m}')
CUDA_ARCHS ?= $(CUDA_MAJORS)
CUDA_BUILD  = $(if $(filter all,$(CUDA_ARCHS)),$(CUDA_KNOWN),$(CUDA_ARCHS))
# PTX of the newest, unless some architectures were asked for: a list of one's own, or one alone
CUDA_OWN    = $(filter-out $(CUDA_MAJORS) all,$(CUDA_ARCHS))
CUDA_ALONE  = $(filter 1%,$(words $(filter-out all,$(CUDA_ARCHS))))
CUDA_PTX   ?= $(if $(CUDA_OWN)$(CUDA_ALONE),,$(CUDA_NEWEST))
GENCODE     = $(if $(filter native,$(CUDA_ARCHS)),-arch=native,$(GENCODES))
GENCODES    = $(foreach a,$(CUDA_BUILD),-gencode arch=compute_$(a),code=sm_$(a)) \
              $(foreach a,$(CUDA_PTX),-gencode arch=compute_$(a),code=compute_$(a))
# wgmma is of sm_90a, which only cards of 9.0 run: conv_wgmma.cu is compiled for it in place of
# sm_90; natively for it and, without a body, for whatever card there is.
BUILD_90A   = $(patsubst 90,90a,$(CUDA_BUILD))
GENCODE_90A = $(foreach a,$(BUILD_90A),-gencode arch=compute_$(a),code=sm_$(a)) \
              $(foreach a,$(CUDA_PTX),-gencode arch=compute_$(a),code=compute_$(a))
NATIVE_90A  = -gencode arch=compute_90a,code=sm_90a -gencode arch=compute_75,code=compute_75
$(BUILD)/cuda/conv_wgmma.cuda.o: \
  GENCODE = $(if $(filter native,$(CUDA_ARCHS)),$(NATIVE_90A),$(GENCODE_90A))
NVCC_HOME  := $(patsubst %/bin/nvcc,%,$(shell readlink -f $(NVCC)))
CUDA_HOME  ?= $(NVCC_HOME)
# the runtime beside this nvcc before the one of CUDA_HOME, which may be of another version
CUDART      = $(firstword $(wildcard $(foreach home,$(NVCC_HOME) $(CUDA_HOME),\
                $(home)/lib64/libcudart_static.a $(home)/targets/*/lib/libcudart_static.a)))
CUDA_LIBS   = $(CUDART) -ldl -lrt -Wl,--as-needed -lstdc++
CUDAOBJ     = $(CUDASRC:%.cu=$(BUILD)/%.cuda.o)
endif
NVCCFLAGS  ?= -O3 -std=c++17 -lineinfo
NVCCHOST    = -Wall,-Wextra,-Wno-unused-parameter,-Wno-missing-field-initializers
NVCCWARN    = -Xcompiler $(NVCCHOST),-fno-exceptions,-fno-threadsafe-statics \
              -Xcompiler -fPIC,-fvisibility=hidden

# ---- MPI: training by several processes (tools/cli/comm_mpi.c). Off by default; `make MPI=1` needs
# an MPI with its compiler MPICC. Only one object differs; $(BUILD)/prlx-mpi is the program with it,
# for the test. ----
# NCCL=1 (needs MPI, which starts the processes): gradients go from GPU to GPU (cuda/comm_nccl.cu).
NCCL      ?= 0
NCCL_HOME ?= $(CUDA_HOME)
ifneq ($(NCCL),0)
MPI        = 1
CUDA_LIBS += $(addprefix -L,$(wildcard $(NCCL_HOME)/lib64 $(NCCL_HOME)/lib)) -lnccl
endif
MPI       ?= 0
MPICC     ?= mpicc
TOOLOBJ    = $(TOOLS:%.c=$(BUILD)/%.o) $(ASSETS:%=$(BUILD)/%.asset.o)
MPIOBJ     = $(TOOLOBJ:%/comm_mpi.o=%/comm_mpi.mpi.o)

LIBOBJ  = $(LIBSRC:%.c=$(BUILD)/%.o) $(foreach i,$(ISAS),$(KERN:%.c=$(BUILD)/%.$(i).o))
F64OBJ  = $(CORE:%.c=$(BUILD)/f64/%.o) $(KERN:%.c=$(BUILD)/f64/%.o)
GOLDOBJ = $(patsubst %.c,$(BUILD)/%.o,$(wildcard test/golden*.c))

all: hello $(BUILD)/prlx
NVCC_NAME = $(shell $(NVCC) --version | sed -n 's/.*release \([0-9.]*\),.*/nvcc \1/p')
PTX_NAME  = $(if $(CUDA_PTX), and PTX of compute_$(CUDA_PTX))
hello:
	@echo "prlx.c: $(shell $(CC) --version | head -n 1), $(TRIPLE), instruction sets: $(ISAS)"
ifneq ($(CUDA),0)
	@echo "prlx.c: $(NVCC_NAME): CUDA backend for sm_ $(CUDA_BUILD)$(PTX_NAME)" \
	  "(make CUDA=0 builds without)"
else
	@echo "prlx.c: building the CPU program$(if $(NVCC), (CUDA=0),: no nvcc)"
endif

# core, io and models as they are, for programs and tests here; what others link is libprlx
# (tools/make/lib.mk), made of the same objects.
$(BUILD)/librooms.a: $(LIBOBJ)
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libprlx64.a: $(F64OBJ)
	@rm -f $@; $(AR) rcs $@ $^
# An operation without its kernel for the GPU, its gradient case or its documentation: no build.
$(BUILD)/librooms.a $(BUILD)/libprlx64.a: | $(BUILD)/operations.checked
$(BUILD)/operations.checked: test/house/operations.sh core/graph.h core/op_pointwise.c cuda/cuda.h \
  cuda/pointwise.cu test/op_cases.h docs/OPERATIONS.md
	@mkdir -p $(@D); sh test/house/operations.sh && touch $@
# The command line without main(): what tests of views and tools link.
$(BUILD)/libtools.a: $(TOOLOBJ)
	@rm -f $@; $(AR) rcs $@ $(filter-out %/main.o,$^)
ifeq ($(MPI),0)
$(BUILD)/prlx: $(TOOLOBJ) $(CUDAOBJ) $(BUILD)/librooms.a $(BUILD)/mpi.off
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(TOOLOBJ) $(CUDAOBJ) $(BUILD)/librooms.a $(CUDA_LIBS) $(LDLIBS)
else
$(BUILD)/prlx: $(MPIOBJ) $(CUDAOBJ) $(BUILD)/librooms.a $(BUILD)/mpi.on
	$(MPICC) $(CFLAGS) $(LDFLAGS) -o $@ $(MPIOBJ) $(CUDAOBJ) $(BUILD)/librooms.a $(CUDA_LIBS) $(LDLIBS)
endif
$(BUILD)/prlx-mpi: $(MPIOBJ) $(CUDAOBJ) $(BUILD)/librooms.a
	$(MPICC) $(CFLAGS) $(LDFLAGS) -o $@ $(MPIOBJ) $(CUDAOBJ) $(BUILD)/librooms.a $(CUDA_LIBS) $(LDLIBS)
# The report of the paper names the commit that fixed its settings; none outside a git checkout.
PLAN := paper/PLAN.md paper/recipe.txt paper/scales.tsv
$(BUILD)/paper/engine/paper_answer.o: $(PLAN)
$(BUILD)/paper/engine/paper_answer.o: BASE += -DPRLX_PLAN_COMMIT="\"$$(git log -1 --format=%h \
  -- $(PLAN) 2>/dev/null)$$(git diff --quiet HEAD -- $(PLAN) 2>/dev/null || echo ', changed')\""
# A file becomes bytes in a C source, with a zero after them: dir/FILE.ext is the text
# asset_FILE_ext (tools/view/assets.h). Only od, sed and tr: nothing is compiled for the machine
# that builds.
$(BUILD)/%.asset.c: %
	@mkdir -p $(@D)
	@name=asset_$$(basename $< | tr -c 'A-Za-z0-9\n' _); \
	  { echo "/* made from $<; change that */"; \
	    echo "static const unsigned char bytes[] = {"; \
	    od -An -v -tu1 $< | sed 's/\([0-9][0-9]*\)/\1,/g'; \
	    echo "0};"; \
	    echo "extern const char *const $$name;"; \
	    echo "const char *const $$name = (const char *)bytes;"; } >$@.tmp && mv $@.tmp $@
$(BUILD)/%.asset.o: $(BUILD)/%.asset.c
	$(CC) $(BASE) $(CFLAGS) -c -o $@ $<
$(BUILD)/%.mpi.o: %.c
	@mkdir -p $(@D)
	$(MPICC) $(BASE) $(CFLAGS) -DPRLX_HAVE_MPI -c -o $@ $<
$(BUILD)/mpi.on $(BUILD)/mpi.off: FORCE
	@mkdir -p $(@D); test -f $@ || { rm -f $(BUILD)/mpi.on $(BUILD)/mpi.off; touch $@; }
$(BUILD)/%.cuda.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCCFLAGS) $(NVCCWARN) -I. $(GENCODE) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
$(BUILD)/cuda/comm_nccl.cuda.o: NVCCWARN += \
    $(if $(filter-out 0,$(NCCL)),-DPRLX_HAVE_NCCL -I$(NCCL_HOME)/include)
$(BUILD)/cuda/comm_nccl.cuda.o: $(BUILD)/nccl.$(if $(filter-out 0,$(NCCL)),on,off)
$(BUILD)/nccl.on $(BUILD)/nccl.off: FORCE
	@mkdir -p $(@D); test -f $@ || { rm -f $(BUILD)/nccl.on $(BUILD)/nccl.off; touch $@; }
# Only this object knows whether CUDA is in the program; it is compiled again when that changes.
$(BUILD)/tools/cli/device.o: EXTRA += $(if $(filter-out 0,$(CUDA)),-DPRLX_HAVE_CUDA)
$(BUILD)/tools/cli/device.o: $(BUILD)/cuda.$(if $(filter-out 0,$(CUDA)),on,off)
$(BUILD)/cuda.on $(BUILD)/cuda.off: FORCE
	@mkdir -p $(@D); test -f $@ || { rm -f $(BUILD)/cuda.on $(BUILD)/cuda.off; touch $@; }
$(BUILD)/golden: $(GOLDOBJ) $(BUILD)/librooms.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(GOLDOBJ) $(BUILD)/librooms.a $(LDLIBS)
$(BUILD)/test_%: $(BUILD)/test/test_%.o $(BUILD)/libtools.a $(BUILD)/librooms.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/libtools.a $(BUILD)/librooms.a $(LDLIBS)
$(BUILD)/f64_%: $(BUILD)/f64/test/f64_%.o $(BUILD)/libprlx64.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/libprlx64.a $(LDLIBS)

# Other flags or another compiler: everything is compiled again.
FLAGS     = $(CC) $(BASE) $(CFLAGS) $(ISADEF) $(LDFLAGS)
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@
FORCE:
$(BUILD)/f64/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) -DPRLX_F64 -DISA=portable -c -o $@ $<
define kernel_rule
$(BUILD)/core/kernels/%.$(1).o: core/kernels/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) $$(CFLAGS) $$(ISADEF) -DISA=$(1) $$(FLAGS_$(1)) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call kernel_rule,$(i))))
$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $(ISADEF) -c -o $@ $<

# the program whose calls fail on request, where linker and C library can do it
FAULTS = $(if $(findstring linux-gnu,$(TRIPLE)),$(if $(filter 0,$(STATIC)),$(BUILD)/faults/prlx))
test: hello $(BUILD)/prlx $(BUILD)/sweep $(FAULTS) $(TESTS) $(F64T) $(BUILD)/golden
	@BUILD=$(BUILD) sh test/run.sh fast
test-long: hello $(BUILD)/prlx $(BUILD)/sweep $(FAULTS) $(TESTS) $(F64T) $(BUILD)/golden
	@BUILD=$(BUILD) sh test/run.sh long
ASAN_FLAGS = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
             -fno-omit-frame-pointer
asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS="$(ASAN_FLAGS)" test

# Compiles every kernel for one architecture (CUDA_CHECK_ARCH) and reports registers, shared memory
# and spills; fails on warnings and on spills. NCCL's once more with the calls, declared by a test.
CUDA_CHECK_ARCH ?= 90
cuda-check:
	@NVCC="$(NVCC)" FLAGS="$(NVCCFLAGS) $(NVCCWARN) -I." ARCH=$(CUDA_CHECK_ARCH) BUILD=$(BUILD) \
	  sh test/cuda_check.sh $(CUDASRC)
	@NVCC="$(NVCC)" FLAGS="$(NVCCFLAGS) $(NVCCWARN) -I. -DPRLX_HAVE_NCCL -Itest/nccl_emu" \
	  ARCH=$(CUDA_CHECK_ARCH) BUILD=$(BUILD) sh test/cuda_check.sh cuda/comm_nccl.cu
bench: $(BUILD)/prlx
	$(BUILD)/prlx bench
demo: $(BUILD)/prlx
	$(BUILD)/prlx demo --out out/demo
clean:
	rm -rf $(BUILD)
help:
	@echo "make            build $(BUILD)/prlx"
	@echo "make demo       denoise the bundled ambiguous lesion, generate 64 lesions," \
	  "train a few ticks -> out/demo/report.html"
	@echo "make test       all fast tests (under 10 minutes on 2 cores); make test-long: all tests"
	@echo "make asan       the fast tests under address and undefined-behaviour sanitizers"
	@echo "make fuzz       fuzz every reader of files for FUZZ_SECONDS each (60); needs clang"
	@echo "make check-style lint analyze tsan coverage: shape of the sources, more warnings, static" \
	  "analysis, threads, lines that tests run; make format, compile_commands.json"
	@echo "make MPI=1      a program that trains in several processes:" \
	  "mpirun -n 4 build/prlx train ... (needs mpicc)"
	@echo "make NCCL=1     the same, gradients from GPU to GPU (needs NCCL, NCCL_HOME)"
	@echo "make CUDA=0     no GPU code even where nvcc is;" \
	  "CUDA_ARCHS=native: for the GPU of this machine only (quicker)"
	@echo "make cuda-check registers, shared memory, spills of every kernel;" \
	  "make test-cuda-emu: cuda/ without a GPU; make test-gpu, bench-gpu: on one"
	@echo "make wasm       the inversion lab as one web page, docs/lab.html (needs clang, lld);" \
	  "make test-wasm; make ladder, test-learn: docs/learn"
	@echo "make bench      machine peak, convolution shapes, projection and training speed"
	@echo "make lib        $(BUILD)/libprlx.a and libprlx.so, the library of prlx.h"
	@echo "make install    program, library, header, man pages, data below PREFIX=/usr/local (DESTDIR="
	@echo "                before it for packagers); make uninstall removes them"
	@echo "make amalgamation  the library as one file, build/prlx-amalgamation/prlx.c, for" \
	  "cc -O3 prlx.c shell.c -lm -lpthread"
	@echo "make dist       tarball of the commit; make distcheck: builds and tests it outside git"
	@echo "make STATIC=1   one file without a library beside it (with musl where musl-gcc is)"
	@echo "make test-cross other machines under qemu-user (ARCH=s390x: one); test-windows," \
	  "test-static, test-clang, test-zig: other systems, C libraries, compilers"
	@echo "make clean      remove $(BUILD)/"
	@echo "variables: CC, CFLAGS, BUILD. environment: PRLX_ISA=portable|avx2|avx512|amx," \
	  "PRLX_THREADS=n"
.PHONY: FORCE all hello test test-long asan cuda-check bench clean help demo
-include test/cuda.mk test/cross/cross.mk docs/learn/learn.mk docs/lab/lab.mk test/house.mk \
  test/faults/faults.mk test/fuzz/fuzz.mk test/sweep/sweep.mk tools/make/lib.mk
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
