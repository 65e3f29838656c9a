# prlx.c - PRLx-GAN in plain C (and CUDA, when nvcc is there). `make help` lists the targets.
CC      ?= gcc
BUILD   ?= build
OPT     ?= -O3
WARN     = -Wall -Wextra -Wno-unused-parameter -Wshadow -Wvla
BASE     = -std=gnu11 $(WARN) -ffp-contract=fast -fno-math-errno -fno-trapping-math -MMD -MP -I. $(EXTRA)
CFLAGS  ?= $(OPT) -g
LDLIBS   = -lm -lpthread
ARCH    := $(shell uname -m)

ifeq ($(ARCH),x86_64)
ISAS      = portable avx2 avx512
ISADEF    = -DPRLX_HAVE_X86_ISAS
else
ISAS      = portable
endif
FLAGS_portable =
FLAGS_avx2     = -mavx2 -mfma
FLAGS_avx512   = -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma -mprefer-vector-width=512

CORE   := $(wildcard core/*.c)
KERN   := $(wildcard core/kernels/*.c)
LIBSRC := $(CORE) $(wildcard models/*.c) $(wildcard io/*.c)
TOOLS  := $(wildcard tools/*.c)
TESTS  := $(patsubst test/test_%.c,$(BUILD)/test_%,$(wildcard test/test_*.c))
F64T   := $(patsubst test/f64_%.c,$(BUILD)/f64_%,$(wildcard test/f64_*.c))

LIBOBJ  = $(LIBSRC:%.c=$(BUILD)/%.o) $(foreach i,$(ISAS),$(KERN:%.c=$(BUILD)/%.$(i).o))
F64OBJ  = $(CORE:%.c=$(BUILD)/f64/%.o) $(KERN:%.c=$(BUILD)/f64/%.o)
GOLDOBJ = $(patsubst %.c,$(BUILD)/%.o,$(wildcard test/golden*.c))

all: hello $(BUILD)/prlx
hello:
	@echo "prlx.c: $(shell $(CC) --version | head -n 1), $(ARCH), instruction sets: $(ISAS)"
	@if command -v nvcc >/dev/null 2>&1; then echo "prlx.c: nvcc found; this version builds the CPU program (no cuda/ sources yet)"; else echo "prlx.c: no nvcc: building the CPU program"; fi

$(BUILD)/libprlx.a: $(LIBOBJ)
	@rm -f $@; ar rcs $@ $^
$(BUILD)/libprlx64.a: $(F64OBJ)
	@rm -f $@; ar rcs $@ $^
$(BUILD)/prlx: $(TOOLS:%.c=$(BUILD)/%.o) $(BUILD)/libprlx.a
	$(CC) $(CFLAGS) -o $@ $(TOOLS:%.c=$(BUILD)/%.o) $(BUILD)/libprlx.a $(LDLIBS)
$(BUILD)/golden: $(GOLDOBJ) $(BUILD)/libprlx.a
	$(CC) $(CFLAGS) -o $@ $(GOLDOBJ) $(BUILD)/libprlx.a $(LDLIBS)
$(BUILD)/test_%: $(BUILD)/test/test_%.o $(BUILD)/libprlx.a
	$(CC) $(CFLAGS) -o $@ $< $(BUILD)/libprlx.a $(LDLIBS)
$(BUILD)/f64_%: $(BUILD)/f64/test/f64_%.o $(BUILD)/libprlx64.a
	$(CC) $(CFLAGS) -o $@ $< $(BUILD)/libprlx64.a $(LDLIBS)

$(BUILD)/f64/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) -DPRLX_F64 -DISA=portable -c -o $@ $<
define kernel_rule
$(BUILD)/core/kernels/%.$(1).o: core/kernels/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(BASE) $$(CFLAGS) $$(ISADEF) -DISA=$(1) $$(FLAGS_$(1)) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call kernel_rule,$(i))))
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $(ISADEF) -c -o $@ $<

test: hello $(BUILD)/prlx $(TESTS) $(F64T) $(BUILD)/golden
	@BUILD=$(BUILD) sh test/run.sh fast
test-long: hello $(BUILD)/prlx $(TESTS) $(F64T) $(BUILD)/golden
	@BUILD=$(BUILD) sh test/run.sh long
asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" test
bench: $(BUILD)/prlx
	$(BUILD)/prlx bench
demo: $(BUILD)/prlx
	$(BUILD)/prlx demo --out out/demo
clean:
	rm -rf $(BUILD)
help:
	@echo "make            build $(BUILD)/prlx"
	@echo "make demo       denoise the bundled ambiguous lesion, generate 64 lesions, train a few ticks -> out/demo/report.html"
	@echo "make test       all fast tests (under 10 minutes on 2 cores); make test-long: all tests"
	@echo "make asan       the fast tests under address and undefined-behaviour sanitizers"
	@echo "make bench      machine peak, convolution shapes, projection and training speed"
	@echo "make clean      remove $(BUILD)/"
	@echo "variables: CC, CFLAGS, BUILD. environment: PRLX_ISA=portable|avx2|avx512, PRLX_THREADS=n"
.PHONY: all hello test test-long asan bench clean help demo
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
