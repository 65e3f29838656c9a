# cuda.mk: the CUDA sources without a GPU (emulated, g++) and their tests; the same tests on a GPU. Included by the Makefile.
#   make test-cuda-emu      the fast subset (part of make test); TEST_LONG=1: everything (part of make test-long)
#   make test-gpu           the same program, the golden files and compute-sanitizer on a card
#   make bench-gpu          speed on a card, one call of at most 10 minutes; beside it PyTorch when it is there
EMU_CXX   ?= g++
EMU_FLAGS ?= -O1 -g
EMU_BASE   = -std=gnu++17 -Wall -Wextra -Wno-unknown-pragmas -Wno-unused-parameter -Wno-missing-field-initializers -ffp-contract=off -MMD -MP -I. -Itest/cuda_emu -DPRLX_CUDA_EMU
EMU        = $(BUILD)/emu
EMU_CU    := $(wildcard cuda/*.cu)
EMU_OBJ    = $(patsubst %.cu,$(EMU)/%.o,$(EMU_CU)) $(EMU)/test/cuda_emu.o $(EMU)/test/cuda_emu_api.o
CHECK_OBJ  = $(patsubst %,$(BUILD)/test/%.o,cuda_ops cuda_check cuda_shapes cuda_loops cuda_plans)
HAVE_GXX  := $(shell command -v $(EMU_CXX) 2>/dev/null)
$(EMU)/%.o: %.cu
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_BASE) -include test/cuda_emu.h $(EMU_FLAGS) $(EMU_EXTRA) -x c++ -c -o $@ $<
$(EMU)/%.o: %.cpp
	@mkdir -p $(@D)
	$(EMU_CXX) $(EMU_BASE) -include test/cuda_emu.h $(EMU_FLAGS) -O2 $(EMU_EXTRA) -c -o $@ $<
$(EMU)/cuda_self: $(EMU)/test/cuda_emu_self.o $(EMU)/test/cuda_emu.o $(EMU)/test/cuda_emu_api.o $(BUILD)/libprlx.a
	$(EMU_CXX) $(EMU_FLAGS) $(EMU_EXTRA) -o $@ $^ $(LDLIBS)
$(EMU)/cuda_ops: $(CHECK_OBJ) $(EMU)/test/cuda_exact.o $(EMU_OBJ) $(BUILD)/libprlx.a
	$(EMU_CXX) $(EMU_FLAGS) $(EMU_EXTRA) -o $@ $^ $(LDLIBS)
emu-programs: $(if $(HAVE_GXX),$(EMU)/cuda_self $(EMU)/cuda_ops)
