# cross.mk: other machines, other C libraries, other compilers. Included by the Makefile.
#   make test-cross ARCH=s390x   builds for it and runs it under qemu-user (test/cross/run.sh); says
#                                what to install where something is missing
#   make test-cross              every one that can run
#   make test-static             the program of STATIC=1: runs without any library, where nothing
#                                newer than SSE2 is (test/cross/static.sh)
#   make test-windows            MinGW-w64 and Wine (test/cross/windows.sh)
#   make test-zig                zig cc: three targets (test/cross/zig.sh)
#   make test-clang              clang in place of gcc
#   make test-compilers CCS=gcc-11   the one file (make amalgamation) by every gcc and clang here,
#                                or by these (test/cross/compilers.sh)
#   make test-cuda-compilers CCS="DIR/bin/nvcc clang++-19"   the CUDA sources by another toolkit,
#                                or by clang (test/cross/cuda.sh; CUDA_PATH: the toolkit for clang)
CROSS_ALL = aarch64 armhf i386 riscv64 ppc64el s390x
$(BUILD)/cross/compare: test/cross/compare.c $(BUILD)/librooms.a
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BUILD)/librooms.a $(LDLIBS)
# what every file is compiled with, for scripts
print-flags:
	@echo '$(BASE)'
test-cross: $(BUILD)/prlx $(BUILD)/cross/compare
	@BUILD=$(BUILD) MAKE="$(MAKE)" sh test/cross/run.sh $(or $(ARCH),$(CROSS_ALL))
# The whole program by clang, golden files run. It does not know the pragma GCC ivdep.
CLANG     ?= clang
CLANG_DIR  = $(BUILD)/clang
test-clang:
	@if command -v $(CLANG) >/dev/null 2>&1; then \
	  $(MAKE) --no-print-directory CUDA=0 CC=$(CLANG) BUILD=$(CLANG_DIR) \
	    CFLAGS="$(or $(CROSS_CFLAGS),-O2) -Wno-unknown-pragmas -Wno-format-zero-length" \
	    $(CLANG_DIR)/prlx $(CLANG_DIR)/golden >/dev/null && \
	  $(CLANG_DIR)/prlx --version && \
	  $(CLANG_DIR)/golden -q test/golden/ops.safetensors test/golden/nn.safetensors; \
	else echo "test-clang: skipped; apt-get install clang"; fi
test-compilers: $(BUILD)/prlx
	@BUILD=$(BUILD) MAKE="$(MAKE)" sh test/cross/compilers.sh $(CCS)
test-cuda-compilers:
	@BUILD=$(BUILD) MAKE="$(MAKE)" sh test/cross/cuda.sh $(CCS)
test-static test-windows test-zig: $(BUILD)/prlx
	@BUILD=$(BUILD) MAKE="$(MAKE)" sh test/cross/$(@:test-%=%).sh
.PHONY: print-flags test-cross test-clang test-compilers test-cuda-compilers test-static \
  test-windows test-zig
